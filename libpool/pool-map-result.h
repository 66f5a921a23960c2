/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-async-result.h"

G_BEGIN_DECLS

#define POOL_TYPE_MAP_RESULT (pool_map_result_get_type ())
#define POOL_MAP_RESULT(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_MAP_RESULT, PoolMapResult))
#define POOL_IS_MAP_RESULT(o) (G_TYPE_CHECK_INSTANCE_TYPE ((o), POOL_TYPE_MAP_RESULT))

typedef struct _PoolMapResultClass PoolMapResultClass;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolMapResult, g_object_unref)

POOL_AVAILABLE_IN_ALL
GType pool_map_result_get_type (void) G_GNUC_CONST;

POOL_AVAILABLE_IN_ALL
guint64 pool_map_result_get_n_items (PoolMapResult *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_map_result_get_n_done (PoolMapResult *self);
POOL_AVAILABLE_IN_ALL
GVariant *pool_map_result_get_item (PoolMapResult *self, guint64 index, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_map_result_get_item_bytes (PoolMapResult *self, guint64 index, GError **error);

G_END_DECLS
