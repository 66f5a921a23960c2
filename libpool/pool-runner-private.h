/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-function-private.h"
#include "pool-process.h"
#include "pool-progress-private.h"
#include "pool-ring-private.h"
#include "pool-task-private.h"

G_BEGIN_DECLS

/* What a worker is to run: the argument is a value, bytes, or a batch of either. */
typedef struct
{
  guint64 id;
  guint attempt;
  guint n_items;
  guint flags; /* POOL_CALL_… */
  const guint8 *data;
  gsize size;
} PoolRunnerCall;

/* What came of it; the bytes are valid until the next call. */
typedef struct
{
  PoolResultKind kind;
  guint n_items;
  const guint8 *data;
  gsize size;
  gboolean is_reference; /* data lies within the call's argument */
  gboolean is_placed;    /* data lies where the task's reserve() said */
} PoolRunnerReply;

/*
 * The part of a worker that is the same everywhere: it calls the function on one value, on bytes, or on the items
 * of a batch one by one, and turns what comes back into bytes. Used by one thread.
 */
typedef struct
{
  PoolTask *task;
  PoolProcess *process; /* of a pool with a target type, made at the first call */
  GVariant *static_args;
  PoolBuffer ends; /* of the batch that is being made */
  PoolBuffer out;
  _Atomic gint64 *since; /* where the start of each item is noted, or NULL */
} PoolRunner;

POOL_EXPORT
void pool_runner_init (PoolRunner *self, guint worker, GVariant *static_args);
POOL_EXPORT
void pool_runner_end (PoolRunner *self);
POOL_EXPORT
void pool_runner_clear (PoolRunner *self);
/* @progress: of a batch, see pool-progress-private.h; NULL to run all items */
POOL_EXPORT
void pool_runner_run (PoolRunner *self, const PoolFunction *function, const PoolRunnerCall *call,
                      PoolProgress *progress, PoolRunnerReply *reply);
typedef enum
{
  POOL_RUNNER_DONE,    /* there is a reply */
  POOL_RUNNER_REFUSED, /* the task was not to be started: hand it back */
  POOL_RUNNER_DOOMED,  /* the manager has given the task up: no reply, no other task */
} PoolRunnerOutcome;

/* runs what a worker has claimed; @function: of slot->function, @data: the argument; @timing: zeros if nobody asked for it */
POOL_EXPORT
PoolRunnerOutcome pool_runner_run_slot (PoolRunner *self, PoolRingWorker *worker, const PoolRingSlot *slot,
                                        const PoolFunction *function, const guint8 *data,
                                        PoolRunnerReply *reply, PoolTiming *timing);
/* runs an initializer, which has no result */
POOL_EXPORT
gboolean pool_runner_initialize (PoolRunner *self, const PoolFunction *function, GVariant *args,
                                 GError **error);

G_END_DECLS
