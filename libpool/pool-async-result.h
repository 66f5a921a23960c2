/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_ASYNC_RESULT (pool_async_result_get_type ())
#define POOL_ASYNC_RESULT(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_ASYNC_RESULT, PoolAsyncResult))
#define POOL_IS_ASYNC_RESULT(o) (G_TYPE_CHECK_INSTANCE_TYPE ((o), POOL_TYPE_ASYNC_RESULT))

typedef struct _PoolAsyncResultClass PoolAsyncResultClass;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolAsyncResult, g_object_unref)

POOL_AVAILABLE_IN_ALL
GType pool_async_result_get_type (void) G_GNUC_CONST;

POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_ready (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_successful (PoolAsyncResult *self, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_wait (PoolAsyncResult *self, double timeout, GCancellable *cancellable,
                                 GError **error);
POOL_AVAILABLE_IN_ALL
void pool_async_result_wait_async (PoolAsyncResult *self, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_wait_finish (PoolAsyncResult *self, GAsyncResult *result, GError **error);
POOL_AVAILABLE_IN_ALL
GVariant *pool_async_result_get (PoolAsyncResult *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_async_result_get_bytes (PoolAsyncResult *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_cancel (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_cancel_queued (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_async_result_terminate (PoolAsyncResult *self, int signum);

POOL_AVAILABLE_IN_ALL
guint64 pool_async_result_get_id (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
const char *pool_async_result_get_correlation_id (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
guint pool_async_result_get_attempts (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
guint pool_async_result_get_worker (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
double pool_async_result_get_run_time (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
double pool_async_result_get_progress (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
GBytes *pool_async_result_get_output (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
GBytes *pool_async_result_get_error_output (PoolAsyncResult *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_async_result_get_lost_output (PoolAsyncResult *self);

G_END_DECLS
