/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"
#include "pool-dispatcher-private.h"
#include "pool-function-private.h"
#include "pool-job-private.h"
#include "pool-progress-private.h"

G_BEGIN_DECLS

/* How a pool is to be run; set before it starts. */
typedef struct
{
  PoolBackendConfig backend;
  gboolean resilient;
  guint max_retries;
  guint max_restarts; /* 0: 100 for each process */
  double max_restart_freq;
  gboolean threads;
} PoolEngineSettings;

/* What the pool knows of a worker. */
typedef struct
{
  guint id;
  gint64 pid;
  char *host;
  gboolean up;
  gint64 started_at; /* real time, µs */
} PoolWorker;

typedef struct
{
  guint64 n_done;
  guint64 n_failed;
  guint64 n_retried;
  guint64 n_restarts;
  guint64 n_late; /* results of old attempts, dropped */
} PoolEngineCounters;

typedef struct _PoolWaiter PoolWaiter;
typedef void (*PoolWorkerEventFunc) (gboolean up, PoolWorkerInfo *info, gpointer user_data);
typedef gboolean (*PoolReadyFunc) (gpointer user_data);

/*
 * The engine owns every task of a pool from submission to its end:
 *
 *   submit ─► ready queue ─► hand_out ─► backend->submit ══► worker
 *                 ▲                                            │
 *                 └── lost, handed back ◄── deliver ◄══════════┘
 *                                             │
 *            job->deliver ─► waiters woken ─► flush: callbacks, references
 *
 * Whoever waits for a result does the work (the pump); the engine's thread does it when nobody waits. See
 * pool-engine-wait.c for that half.
 *
 * Lock order: engine lock, then a backend's own (short) locks. No callback, signal or release of a foreign object
 * happens under the lock: finished jobs are collected and dealt with by pool_engine_unlock().
 */
struct _PoolEngine
{
  gatomicrefcount ref_count;
  guint generation; /* pool_fork_generation() when it was made */
  gboolean orphan;  /* a copy in a forked child: workers and threads are the parent's */
  PoolEngineSettings settings;
  PoolDispatcher *dispatcher;

  GMutex lock; /* of everything below, unless said otherwise */
  PoolState state;
  PoolBackend *backend;
  PoolBackendFlags flags;
  PoolFunctionTable *functions;
  PoolLedger ledger;
  PoolRecord *queue_head, *queue_tail;
  guint n_queued;
  guint64 bytes_sent; /* payloads of chunks that workers have */

  GPtrArray *workers; /* PoolWorker by id */
  guint n_alive;
  guint n_up_ever;
  guint n_failed_starts; /* in a row */
  gint64 restart_window; /* monotonic µs */
  guint restarts_in_window;
  GError *broken; /* why state is BROKEN */
  gboolean stopping; /* backend->stop() was called */
  PoolEngineCounters counters;

  PoolJob *finished; /* to be dealt with after unlocking */
  PoolWaiter *waiters;
  PoolWaiter *pump; /* who pumps; NULL: nobody, or the engine's thread in passing */
  gboolean watched; /* the fd is armed, or the thread is on its way */

  GThread *thread;
  int wake_fd;
  gboolean quit;
  GSource *source; /* without a thread */
  _Atomic guint activity; /* calls of the program, for the thread to see that somebody is at it; no lock */

  PoolWorkerEventFunc worker_event; /* in the dispatcher's context; set once, before the start */
  gpointer worker_event_data;
  GDestroyNotify worker_event_destroy;
};

PoolEngine *pool_engine_new (void);
/* what backends may use */
POOL_EXPORT
PoolEngine *pool_engine_ref (PoolEngine *self);
POOL_EXPORT
void pool_engine_unref (PoolEngine *self);

void pool_engine_lock (PoolEngine *self);
void pool_engine_unlock (PoolEngine *self);

/* life (pool-engine-life.c) */
gboolean pool_engine_start (PoolEngine *self, PoolBackend *backend, GError **error);
void pool_engine_close (PoolEngine *self);
void pool_engine_terminate (PoolEngine *self);
gboolean pool_engine_join (PoolEngine *self, double timeout, GError **error);
void pool_engine_abandon (PoolEngine *self);
gboolean pool_engine_check_submit (PoolEngine *self, GError **error);
gboolean pool_engine_lookup (PoolEngine *self, const char *task, guint *function, GError **error);
void pool_engine_break (PoolEngine *self, const GError *cause);
void pool_engine_worker_up (PoolEngine *self, guint worker, gint64 pid, const char *host);
void pool_engine_worker_down (PoolEngine *self, const PoolBackendExit *exit);
GPtrArray *pool_engine_get_workers (PoolEngine *self);
void pool_engine_maybe_stop_locked (PoolEngine *self);

/* tasks (pool-engine.c); with the lock held */
guint8 *pool_engine_alloc_payload (PoolEngine *self, PoolRecord *record, gsize size);
void pool_engine_free_payload (PoolEngine *self, PoolRecord *record);
GBytes *pool_engine_take_bytes (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result);
void pool_engine_submit_locked (PoolEngine *self, PoolJob *job, PoolRecord *record);
void pool_engine_add_source_locked (PoolEngine *self, PoolJob *job, PoolRecord *source);
void pool_engine_hand_out_locked (PoolEngine *self);
gboolean pool_engine_cancel_locked (PoolEngine *self, PoolJob *job, const GError *error);
void pool_engine_fail_all_locked (PoolEngine *self, const GError *error);
void pool_engine_job_done_locked (PoolEngine *self, PoolJob *job);
void pool_engine_deliver (PoolEngine *self, const PoolBackendResult *result);
void pool_engine_lose_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how);

/* waiting (pool-engine-wait.c) */
gint64 pool_engine_deadline (double timeout); /* monotonic µs; -1: none */
gboolean pool_engine_wait_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready, gpointer data,
                                  gint64 deadline);
void pool_engine_wake_locked (PoolEngine *self, PoolJob *job);
void pool_engine_watch_locked (PoolEngine *self);
gboolean pool_engine_dispatch_locked (PoolEngine *self);
void pool_engine_start_thread (PoolEngine *self);
void pool_engine_stop_thread (PoolEngine *self);

static inline gboolean
pool_job_is_done (PoolJob *job)
{
  return atomic_load_explicit (&job->done, memory_order_acquire);
}

G_END_DECLS
