/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

#include <stdatomic.h>

G_BEGIN_DECLS

/*
 * How far a worker is in a batch: serial:16 | items started:24 | items to do:24, in one word, so that the worker can
 * start an item and the manager can take the rest back without a lock. After a death it says which item was running.
 *
 * A lone call is a batch of one that has been started. The word also decides who has a task that is to be stopped: the worker,
 * by finishing it, or the manager, by dooming it. A doomed worker publishes nothing and starts nothing else, so killing it can
 * only hit the task that was meant.
 */
typedef _Atomic guint64 PoolProgress;

#define POOL_PROGRESS_FINISHED ((1u << 24) - 1) /* items to do, of a batch that has come to its end */
#define POOL_PROGRESS_MAX_ITEMS (POOL_PROGRESS_FINISHED - 1)
#define POOL_PROGRESS_MASK ((1u << 24) - 1)

static inline guint64
pool_progress_pack (guint16 serial, guint started, guint end)
{
  return ((guint64) serial << 48) | ((guint64) started << 24) | end;
}

static inline guint
pool_progress_started (guint64 word)
{
  return (word >> 24) & POOL_PROGRESS_MASK;
}

static inline guint
pool_progress_end (guint64 word)
{
  return word & POOL_PROGRESS_MASK;
}

static inline guint16
pool_progress_serial (guint64 word)
{
  return word >> 48;
}

static inline void
pool_progress_begin (PoolProgress *self, guint16 serial, guint n_items)
{
  atomic_store_explicit (self, pool_progress_pack (serial, 0, n_items), memory_order_release);
}

/* All of it is one piece, and under way. */
static inline void
pool_progress_begin_whole (PoolProgress *self, guint16 serial, guint n_items)
{
  atomic_store_explicit (self, pool_progress_pack (serial, n_items, n_items), memory_order_release);
}

/* Worker: may item @next of @n_items be started? Marks it started. */
static inline gboolean
pool_progress_next (PoolProgress *self, guint n_items, guint next)
{
  guint64 word;

  if (self == NULL)
    return next < n_items;

  word = atomic_load_explicit (self, memory_order_relaxed);
  do
    if (next >= pool_progress_end (word))
      return FALSE;
  while (!atomic_compare_exchange_weak_explicit (self, &word, word + (1u << 24), memory_order_acq_rel,
                                                 memory_order_relaxed));
  return TRUE;
}

/*
 * Manager: takes back the later half of the items that have not been started of the batch @serial. Returns the first
 * item that was taken, or 0 if there was nothing to take (the first item of a batch is never taken back).
 */
static inline guint
pool_progress_take_back (PoolProgress *self, guint16 serial, guint n_items)
{
  guint64 word = atomic_load_explicit (self, memory_order_acquire);
  guint started, end, keep;

  do
    {
      started = pool_progress_started (word);
      end = pool_progress_end (word);
      if (pool_progress_serial (word) != serial || end != n_items || started == 0 || started >= end)
        return 0;
      keep = started + (end - started) / 2;
    }
  while (!atomic_compare_exchange_weak_explicit (self, &word,
                                                 pool_progress_pack (serial, started, keep),
                                                 memory_order_acq_rel, memory_order_acquire));
  return keep;
}

/* Worker: the batch has come to its end. FALSE: it is doomed, and its results must not be published. */
static inline gboolean
pool_progress_finish (PoolProgress *self)
{
  guint64 word = atomic_load_explicit (self, memory_order_relaxed);

  do
    if (pool_progress_end (word) == 0 && pool_progress_started (word) > 0)
      return FALSE;
  while (!atomic_compare_exchange_weak_explicit (self, &word, word | POOL_PROGRESS_FINISHED,
                                                 memory_order_acq_rel, memory_order_relaxed));
  return TRUE;
}

/*
 * Manager: the item that the batch @serial is in + 1, or 0: it has not begun, or has come to its end. Only 16 bits tell one batch
 * from another, so until a worker begins a batch, the word of its last one may be taken for it: that one is at its end.
 */
static inline guint
pool_progress_current (guint64 word, guint16 serial)
{
  if (pool_progress_serial (word) != serial || pool_progress_end (word) == POOL_PROGRESS_FINISHED)
    return 0;
  return pool_progress_started (word);
}

/*
 * Manager: dooms the batch @serial if it is in its item @item (< 0: any) and not at its end. Returns that item + 1, or 0.
 */
static inline guint
pool_progress_doom (PoolProgress *self, guint16 serial, gint64 item)
{
  guint64 word = atomic_load_explicit (self, memory_order_acquire);
  guint started;

  do
    {
      started = pool_progress_started (word);
      if (pool_progress_serial (word) != serial || started == 0 || pool_progress_end (word) == 0 ||
          pool_progress_end (word) == POOL_PROGRESS_FINISHED || (item >= 0 && started != item + 1))
        return 0;
    }
  while (!atomic_compare_exchange_weak_explicit (self, &word, pool_progress_pack (serial, started, 0),
                                                 memory_order_acq_rel, memory_order_acquire));
  return started;
}

G_END_DECLS
