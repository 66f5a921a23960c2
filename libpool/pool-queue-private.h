/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-ledger-private.h"

G_BEGIN_DECLS

#define POOL_PRIORITY_MIN (-16)
#define POOL_PRIORITY_MAX 15
#define POOL_QUEUE_LEVELS (POOL_PRIORITY_MAX - POOL_PRIORITY_MIN + 1)

/*
 * Records that wait for a worker: one list through the records for each priority. The highest goes first, but every 16th time the
 * one that has waited longest does, so that a low priority is slow and never starves.
 */
typedef struct
{
  struct
  {
    PoolRecord *head, *tail;
  } levels[POOL_QUEUE_LEVELS];
  guint32 used; /* bit n: level n is not empty */
  guint n;
  guint turn;
  guint64 next_order;
} PoolQueue;

POOL_EXPORT
void pool_queue_push_tail (PoolQueue *self, PoolRecord *record);
/* back to where it came from */
POOL_EXPORT
void pool_queue_push_head (PoolQueue *self, PoolRecord *record);
POOL_EXPORT
void pool_queue_remove (PoolQueue *self, PoolRecord *record);
/* Who is next; the same until pool_queue_turn(). NULL: nobody waits. */
POOL_EXPORT
PoolRecord *pool_queue_peek (PoolQueue *self);
static inline void
pool_queue_turn (PoolQueue *self)
{
  self->turn++;
}

/* any record, for those who go through all and remove each */
static inline PoolRecord *
pool_queue_any (PoolQueue *self)
{
  return self->used != 0 ? self->levels[__builtin_ctz (self->used)].head : NULL;
}

G_END_DECLS
