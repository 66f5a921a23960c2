/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-macros.h"

#include <glib.h>

G_BEGIN_DECLS

/*
 * Blocks in a window of shared memory. All bookkeeping is in the manager's own memory, where no worker can reach it.
 *
 * Sizes are powers of two; only pages that are written to exist, so a block costs what is put into it. Freed blocks are
 * used again first, the last one freed before the others: a page that was used before is filled 33 times faster than a
 * fresh one. What lies idle beyond a limit is given back to the system.
 *
 * Thread-safe: results are freed by whoever drops them.
 */
typedef struct
{
  GMutex lock;
  guint8 *base;
  gsize size;
  gsize top;           /* nothing beyond has ever been used */
  GArray *free[40];    /* gsize offsets, by class */
  guint8 *classes;     /* of the block that begins at a unit, + 1; 0: none */
  gsize idle;          /* bytes of free blocks that may have pages */
  gboolean is_kept;    /* others may still look at what is free: no page of it is given back */
} PoolArena;

POOL_EXPORT
gboolean pool_arena_init (PoolArena *self, guint8 *base, gsize size);
POOL_EXPORT
void pool_arena_clear (PoolArena *self);
/* NULL: no room, or a block was asked for that only new memory could give (@recycled) */
POOL_EXPORT
guint8 *pool_arena_alloc (PoolArena *self, gsize size, gboolean recycled);
POOL_EXPORT
void pool_arena_free (PoolArena *self, guint8 *block);
POOL_EXPORT
gsize pool_arena_get_block_size (PoolArena *self, const guint8 *block);

static inline gboolean
pool_arena_contains (PoolArena *self, const guint8 *p)
{
  return p >= self->base && p < self->base + self->size;
}

G_END_DECLS
