/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Memory for large values that are sent again and again: what was used before is several times as fast as what the system
 * has to find and clear first. Blocks begin at a page. Any thread may let go of one, also after the owner has let go of this.
 */
typedef struct _PoolPayloadCache PoolPayloadCache;

POOL_EXPORT
PoolPayloadCache *pool_payload_cache_new (void);
POOL_EXPORT
void pool_payload_cache_unref (PoolPayloadCache *self);
/* NULL: there is no memory. The bytes may be written to as long as nobody else has them. */
POOL_EXPORT
GBytes *pool_payload_cache_alloc (PoolPayloadCache *self, gsize size);

G_END_DECLS
