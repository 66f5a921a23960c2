/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_BLOCK (pool_block_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolBlock, pool_block, POOL, BLOCK, GObject)

POOL_AVAILABLE_IN_ALL
guint64 pool_block_get_address (PoolBlock *self);
POOL_AVAILABLE_IN_ALL
gsize pool_block_get_size (PoolBlock *self);

G_END_DECLS
