/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-buffer-private.h"
#include "pool-ring-private.h"
#include "pool-task.h"

G_BEGIN_DECLS

/*
 * A reply of at least this many bytes that lies within the argument is passed by reference, not copied: the pool
 * hands the argument's memory on to the caller.
 */
#define POOL_TASK_REFERENCE_MIN 4096

/* A reply of a lone call of more than this is written where the caller will find it, if the worker has such a place. */
#define POOL_TASK_LARGE_MIN (64 * 1024)

typedef guint8 *(*PoolTaskReserveFunc) (gpointer data, gsize size);
/* Where the worker could map what is at @args by itself. FALSE: nowhere. */
typedef gboolean (*PoolTaskLocateFunc) (gpointer data, const guint8 *args, int *fd, guint64 *offset);
/* Somebody has asked for the cancellable: from now on pool_task_notified() is to be called when a notice comes. */
typedef void (*PoolTaskWatchFunc) (PoolTask *task, gpointer data);

/* The running call; belongs to one worker, which reuses it for call after call. */
struct _PoolTask
{
  GObject parent_instance;

  guint64 id;
  const char *name;
  guint attempt;
  guint worker;
  GVariant *static_args;
  GCancellable *cancellable; /* made when first asked for; with `cancelled`, under a lock of its own */
  gboolean cancelled;
  _Atomic guint32 serial; /* of the hand-out; what notices go by */
  float limit;            /* seconds until the first time limit, or 0 */
  PoolRingWorker *ring;   /* to tell the manager something; NULL: there is none */
  const PoolRingSlot *slot;
  gint64 told_at; /* monotonic ns: when progress was told last */
  PoolTaskWatchFunc watch; /* or NULL */
  gpointer watch_data;

  const guint8 *args; /* the whole argument of a lone call, or NULL */
  gsize args_size;
  const guint8 *reference; /* a reply that lies within args */
  gsize reference_size;
  guint8 *large; /* a reply in the place that reserve() gave */
  gsize large_size;
  PoolTaskReserveFunc reserve; /* or NULL */
  gpointer reserve_data;
  PoolTaskLocateFunc locate; /* or NULL */
  gpointer locate_data;
  PoolBuffer reply;
  gboolean refused; /* there was no memory for a reply of so many bytes: the call fails */
  gsize refused_size;
};

POOL_EXPORT
PoolTask *pool_task_new (guint worker, GVariant *static_args);

/* From another thread: tells the call that runs now, and those that come. */
POOL_EXPORT
void pool_task_cancel (PoolTask *self);
/* From another thread: there is a notice, for the call that runs or for one before. */
POOL_EXPORT
void pool_task_notified (PoolTask *self);
POOL_EXPORT
PoolNotice pool_task_get_notice (PoolTask *self);
/* The running call begins. */
POOL_EXPORT
void pool_task_begin (PoolTask *self, PoolRingWorker *ring, const PoolRingSlot *slot);
/* The call has ended. */
POOL_EXPORT
void pool_task_forget_cancellable (PoolTask *self);

G_END_DECLS
