/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_STREAM (pool_stream_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolStream, pool_stream, POOL, STREAM, GObject)

POOL_AVAILABLE_IN_ALL
gboolean pool_stream_submit (PoolStream *self, const guint8 *data, gsize size, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_stream_take (PoolStream *self, gboolean ordered, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_stream_steal_large (PoolStream *self, guint64 number, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_stream_check (PoolStream *self, guint64 number, GError **error);
POOL_AVAILABLE_IN_ALL
guint64 pool_stream_get_n_pending (PoolStream *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_stream_get_n_ready (PoolStream *self);
POOL_AVAILABLE_IN_ALL
void pool_stream_clear (PoolStream *self);
POOL_AVAILABLE_IN_ALL
void pool_stream_cancel (PoolStream *self);
POOL_AVAILABLE_IN_ALL
void pool_stream_wait_async (PoolStream *self, gboolean ordered, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
gboolean pool_stream_wait_finish (PoolStream *self, GAsyncResult *result, GError **error);

G_END_DECLS
