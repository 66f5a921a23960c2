/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PoolCliProgress PoolCliProgress;

PoolCliProgress *pool_cli_progress_new (gboolean asked, gboolean never);
void pool_cli_progress_free (PoolCliProgress *self);
gboolean pool_cli_progress_is_enabled (PoolCliProgress *self);
void pool_cli_progress_show (PoolCliProgress *self, guint64 done, guint64 failed, gint64 total);
void pool_cli_progress_hide (PoolCliProgress *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliProgress, pool_cli_progress_free)

G_END_DECLS
