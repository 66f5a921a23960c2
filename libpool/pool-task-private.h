/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-buffer-private.h"
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

  const guint8 *args; /* the whole argument of a lone call on bytes, or NULL */
  gsize args_size;
  const guint8 *reference; /* a reply that lies within args */
  gsize reference_size;
  guint8 *large; /* a reply in the place that reserve() gave */
  gsize large_size;
  PoolTaskReserveFunc reserve; /* or NULL */
  gpointer reserve_data;
  PoolBuffer reply;
};

POOL_EXPORT
PoolTask *pool_task_new (guint worker, GVariant *static_args);

/* From another thread: tells the call that runs now, and those that come. */
POOL_EXPORT
void pool_task_cancel (PoolTask *self);
/* The call has ended. */
POOL_EXPORT
void pool_task_forget_cancellable (PoolTask *self);

G_END_DECLS
