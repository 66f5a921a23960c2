/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

void pool_cli_json_add_bytes (JsonBuilder *builder, const char *name, const char *data, gsize size);
void pool_cli_json_add_string (JsonBuilder *builder, const char *name, const char *text);
void pool_cli_json_add_variant (JsonBuilder *builder, const char *name, GVariant *value);
void pool_cli_json_add_error (JsonBuilder *builder, const GError *error);
char *pool_cli_json_to_line (JsonBuilder *builder);

G_END_DECLS
