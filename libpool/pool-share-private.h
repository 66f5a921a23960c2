/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

G_BEGIN_DECLS

/*
 * Long values between a pool and an agent on the same machine: they stay where they are, and only their place is said. Each
 * side offers memory of its own, a memfd, and looks into the other's, which it can open if it is on this machine and may; that it
 * is the right one shows by random bytes in it, told over the connection. What is lent is not freed until it is given back,
 * or the session is over.
 *
 * pool-share-heap.c   memory for values that can be lent
 * pool-share-view.c   the other side's memory
 * pool-share.c        what a session has lent and borrowed
 */

/* --- memory of one's own --- */

/*
 * Blocks for values that are sent again and again: what was used before is several times as fast as what the system has
 * to find and clear first. Any thread may let go of one, also after the owner has let go of this.
 */
typedef struct _PoolShareHeap PoolShareHeap;

/* NULL: the system has no memory that can be shared. */
POOL_EXPORT
PoolShareHeap *pool_share_heap_new (void);
POOL_EXPORT
void pool_share_heap_unref (PoolShareHeap *self);
/* NULL: there is no room. The bytes may be written to as long as nobody else has them; they begin at a page, if they are as long. */
POOL_EXPORT
GBytes *pool_share_heap_alloc (PoolShareHeap *self, gsize size);
POOL_EXPORT
void pool_share_heap_get_memory (PoolShareHeap *self, PoolBackendMemory *memory);

/* --- the other side's --- */

typedef struct _PoolShareView PoolShareView;

/* For the other side, of type POOL_SHARE_TYPE. */
#define POOL_SHARE_TYPE "(xittay)"
POOL_EXPORT
GVariant *pool_share_offer (const PoolBackendMemory *memory);
/* NULL: it is not on this machine, or may not be looked into. @wake: something is to be given back; called by any thread; or NULL. */
POOL_EXPORT
PoolShareView *pool_share_view_open (GVariant *offer, void (*wake) (gpointer data), gpointer data);
/* Nobody is woken any more. What was borrowed stays valid. */
POOL_EXPORT
void pool_share_view_close (PoolShareView *self);
POOL_EXPORT
gsize pool_share_view_get_size (const PoolShareView *self);
POOL_EXPORT
GBytes *pool_share_view_borrow (PoolShareView *self, guint64 offset, gsize size);
/* FALSE: that is not where the data are. */
POOL_EXPORT
gboolean pool_share_view_find (const PoolShareView *self, gconstpointer data, guint64 *offset);
/* Takes one that can be given back. */
POOL_EXPORT
gboolean pool_share_view_pop_returned (PoolShareView *self, guint64 *offset);

/* --- a session --- */

/* Where a value is that has been lent. */
typedef struct
{
  guint64 block; /* the offset of what is lent and given back */
  guint64 skip;  /* where in it the value begins */
} PoolSharePlace;

typedef struct
{
  PoolBackendMemory own; /* fd < 0: none */
  PoolShareHeap *heap;   /* that this is, or NULL */
  gboolean is_seen;      /* by the other side */
  PoolShareView *view;   /* NULL: this side does not see the other's */
  GHashTable *loans;     /* block → Loan, owned */
} PoolShare;

/* @heap: what is lent is there, or copied to it; NULL: nothing is lent, unless pool_share_set_own() tells of other memory */
POOL_EXPORT
void pool_share_init (PoolShare *self, PoolShareHeap *heap);
POOL_EXPORT
void pool_share_set_own (PoolShare *self, const PoolBackendMemory *own);
POOL_EXPORT
void pool_share_clear (PoolShare *self);
/* TRUE: @place is to be said instead of the data, and they are kept. @bytes: have the data, or NULL. @is_theirs: it is in the other side's memory. */
POOL_EXPORT
gboolean pool_share_lend (PoolShare *self, gconstpointer data, gsize size, GBytes *bytes, PoolSharePlace *place,
                          gboolean *is_theirs);
/* What the other side says is there; NULL: that cannot be. @is_ours: in this side's own memory, which it had been lent. */
POOL_EXPORT
GBytes *pool_share_resolve (PoolShare *self, const PoolSharePlace *place, gsize size, gboolean is_ours);
/* FALSE: it had not been lent. */
POOL_EXPORT
gboolean pool_share_take_back (PoolShare *self, guint64 block);

G_END_DECLS
