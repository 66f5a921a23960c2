/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_RESULT_ITERATOR (pool_result_iterator_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolResultIterator, pool_result_iterator, POOL, RESULT_ITERATOR, GObject)

POOL_AVAILABLE_IN_ALL
GVariant *pool_result_iterator_next (PoolResultIterator *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_result_iterator_next_bytes (PoolResultIterator *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_result_iterator_is_done (PoolResultIterator *self);
POOL_AVAILABLE_IN_ALL
void pool_result_iterator_next_async (PoolResultIterator *self, GCancellable *cancellable,
                                      GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GVariant *pool_result_iterator_next_finish (PoolResultIterator *self, GAsyncResult *result,
                                            GError **error);

G_END_DECLS
