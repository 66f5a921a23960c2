/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-block.h"
#include "pool-engine-private.h"

G_BEGIN_DECLS

/* of a pool that runs; NULL with @error */
PoolBlock *pool_block_new (PoolEngine *engine, gsize size, GError **error);
/* With the lock held: its memory becomes the record's. FALSE: that cannot be, and the block is as it was. */
gboolean pool_block_give_locked (PoolBlock *self, PoolEngine *engine, PoolRecord *record, GError **error);

G_END_DECLS
