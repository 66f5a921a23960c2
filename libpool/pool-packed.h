/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

POOL_AVAILABLE_IN_ALL
GBytes *pool_packed_new (GBytes **items, gsize n_items);
POOL_AVAILABLE_IN_ALL
gboolean pool_packed_check (const guint8 *data, gsize size, guint64 *n_items, GError **error);
POOL_AVAILABLE_IN_ALL
guint64 pool_packed_get_n_items (GBytes *packed);
POOL_AVAILABLE_IN_ALL
GBytes *pool_packed_get_item (GBytes *packed, guint64 index, GError **error);

G_END_DECLS
