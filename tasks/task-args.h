/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

GVariant *task_args_get (GVariant *args, gsize index, const char *what, GError **error);
char *task_args_dup_filename (GVariant *args, gsize index, GError **error);
char *task_args_dup_string (GVariant *args, gsize index, GError **error);
gboolean task_args_get_integer (GVariant *args, gsize index, gint64 min, gint64 max, gint64 *value,
                                GError **error);
gboolean task_args_get_seconds (GVariant *args, gsize index, double *value, GError **error);

G_END_DECLS
