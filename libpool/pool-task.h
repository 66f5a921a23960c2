/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_TASK (pool_task_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolTask, pool_task, POOL, TASK, GObject)

POOL_AVAILABLE_IN_ALL
guint64 pool_task_get_id (PoolTask *self);
POOL_AVAILABLE_IN_ALL
const char *pool_task_get_name (PoolTask *self);
POOL_AVAILABLE_IN_ALL
guint pool_task_get_attempt (PoolTask *self);
POOL_AVAILABLE_IN_ALL
guint pool_task_get_worker (PoolTask *self);
POOL_AVAILABLE_IN_ALL
GVariant *pool_task_get_static_args (PoolTask *self);
POOL_AVAILABLE_IN_ALL
GCancellable *pool_task_get_cancellable (PoolTask *self);
POOL_AVAILABLE_IN_ALL
gint64 pool_task_get_deadline (PoolTask *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_task_is_soft_timed_out (PoolTask *self);
POOL_AVAILABLE_IN_ALL
void pool_task_set_progress (PoolTask *self, double fraction);
POOL_AVAILABLE_IN_ALL
void pool_task_reply (PoolTask *self, const guint8 *data, gsize size);
POOL_AVAILABLE_IN_ALL
guint8 *pool_task_reserve_reply (PoolTask *self, gsize size);
POOL_AVAILABLE_IN_ALL
guint64 pool_task_reserve_reply_address (PoolTask *self, gsize size);
POOL_AVAILABLE_IN_ALL
gboolean pool_task_locate_argument (PoolTask *self, int *fd, guint64 *offset);

G_END_DECLS
