/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/* Sets a property of @object to what a client sent for it, if it is of the right kind and in its range. */
gboolean pool_service_option_set (gpointer object, const char *name, GVariant *value, GError **error);
gboolean pool_service_option_get_flag (const char *name, GVariant *value, gboolean *flag, GError **error);
gboolean pool_service_option_get_number (const char *name, GVariant *value, guint max, guint *number, GError **error);

G_END_DECLS
