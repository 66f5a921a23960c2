/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-cli-progress.h"

G_BEGIN_DECLS

typedef struct _PoolCliOutput PoolCliOutput;
typedef void (*PoolCliOutputFunc) (PoolCliOutput *output, gpointer user_data);

PoolCliOutput *pool_cli_output_new (int fd, PoolCliProgress *progress, PoolCliOutputFunc changed,
                                    gpointer user_data);
void pool_cli_output_free (PoolCliOutput *self);
void pool_cli_output_add (PoolCliOutput *self, const char *text);
void pool_cli_output_add_data (PoolCliOutput *self, gconstpointer data, gsize size);
guint64 pool_cli_output_get_added (PoolCliOutput *self);
guint64 pool_cli_output_get_written (PoolCliOutput *self);
gboolean pool_cli_output_is_full (PoolCliOutput *self);
gboolean pool_cli_output_is_idle (PoolCliOutput *self);
gboolean pool_cli_output_at_line_start (PoolCliOutput *self);
int pool_cli_output_get_errno (PoolCliOutput *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliOutput, pool_cli_output_free)

G_END_DECLS
