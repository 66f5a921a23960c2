/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"
#include "pool-dispatcher-private.h"
#include "pool-function-private.h"
#include "pool-job-private.h"
#include "pool-monitor-private.h"
#include "pool-progress-private.h"
#include "pool-queue-private.h"
#include "pool-statistics-private.h"
#include "pool-trace-private.h"

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
  double timeout, soft_timeout; /* seconds; 0: no limit */
  gboolean enable_timeouts;
  double grace;               /* seconds between asking a task to end and ending it */
  double lost_worker_timeout; /* seconds for results of a worker that is gone */
  gboolean synack;
  gboolean putlocks; /* submitting waits for one of */
  guint slots;       /* 0: as many as workers */
  gboolean report_tasks; /* events for each task */
  gboolean statistics;   /* histograms of times */
  guint min_processes, max_processes; /* 0: the size stays */
  double idle_time;                   /* seconds until an idle worker too many is let go */
  gboolean capture_output;
  GDestroyNotify fork_destroy, thread_destroy; /* of the data of the backend's functions */
  double callback_grace;  /* seconds that callbacks wait for their context to be iterated */
  gboolean interruptible; /* a wait ends when a signal handler has run */
  gboolean leave_dead; /* workers that die are not replaced */
  gboolean visible;    /* to other programs of the user */
  char *name;          /* of the backend, for people */
  PoolRemoteConfig remote;
} PoolEngineSettings;

/* What the pool knows of a worker. */
typedef struct
{
  guint id;
  gint64 pid;
  char *host;
  gboolean up;
  gboolean leaves;    /* takes no more tasks, or is to take none */
  gboolean dismissed; /* that was because the pool is to be smaller */
  gboolean stale;     /* to be replaced, by and by */
  gboolean abandoned; /* counts as gone, but is still there */
  gint64 started_at; /* real time, µs */
  PoolSandboxFlags sandbox;

  PoolDownReason why; /* it is being ended */
  gint64 kill_at;     /* monotonic µs: when it is to be killed if it is still there; 0: not */
  guint64 doomed_task; /* that it was ended for */
  guint64 told;       /* handle of the task that was told to stop, and when it is ended, monotonic µs */
  gint64 told_until;
  guint64 soft_told;  /* handle and item that have been told of their soft limit */
  guint soft_item;
  guint64 done_seen; /* tasks done when the pool last looked for idle workers */
} PoolWorker;

typedef enum
{
  POOL_EVENT_PROCESS_UP,
  POOL_EVENT_PROCESS_DOWN,
  POOL_EVENT_PROCESS_EXIT,
  POOL_EVENT_TIMEOUT,
  POOL_EVENT_TIMEOUT_SET,
  POOL_EVENT_TIMEOUT_CANCEL,
  POOL_EVENT_TASK_ACCEPTED,
  POOL_EVENT_TASK_DONE,
  POOL_EVENT_TASK_LOST,
  POOL_EVENT_TASK_RETRIED,
  POOL_EVENT_PROGRESS,
  POOL_EVENT_WARNING,
} PoolEventKind;

/* Something that the program may want to hear of; told in its context. */
typedef struct
{
  PoolEventKind kind;
  PoolEngine *engine;   /* a reference */
  GObject *result;      /* of the task, a reference; or NULL */
  PoolWorkerInfo *info; /* of the worker, a reference; or NULL */
  double soft, timeout; /* limits in seconds */
  gboolean is_soft;
  gint64 time; /* monotonic µs */
  GError *error; /* of a warning */
} PoolEvent;

#define POOL_DOWN_REASONS (POOL_DOWN_REASON_NOT_STARTED + 1)

/* All but the first count what is rare, and so cost nothing. */
typedef struct
{
  guint64 n_done;
  guint64 n_failed;
  guint64 n_retried;
  guint64 n_restarts;
  guint64 n_late; /* results of old attempts, dropped */
  guint64 n_lost; /* of the failed */
  guint64 n_cancelled; /* of the failed; also terminated */
  guint64 n_timed_out;
  guint64 n_soft_timed_out;
  guint64 n_exits[POOL_DOWN_REASONS]; /* of workers */
} PoolEngineCounters;

typedef struct _PoolWaiter PoolWaiter;
typedef void (*PoolEventFunc) (const PoolEvent *event, gpointer user_data);
typedef void (*PoolDeferredFunc) (gpointer data);
typedef struct _PoolDeferred PoolDeferred;
typedef void (*PoolLogEventFunc) (GLogLevelFlags level, const char *domain, const GLogField *fields,
                                  gsize n_fields, gpointer user_data);
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
  GPtrArray *old_backends; /* from before a restart, whose threads may still be there */
  guint life;              /* how often it started anew */
  gboolean restarting;     /* one thread is at it */
  guint n_ending;          /* engine's threads that are waited for */
  GCond settled;           /* what a restart waits for has changed */
  PoolBackendFlags flags;
  PoolFunctionTable *functions;
  PoolLedger ledger;
  PoolQueue queue;
  gboolean has_priorities; /* the backend is given no more than it can start soon */
  guint n_sent;       /* records that the backend has */
  guint64 bytes_sent; /* payloads of chunks that workers have */

  GPtrArray *workers; /* PoolWorker by id */
  guint n_alive;
  guint n_wanted; /* workers that the pool is to have */
  guint n_leaving; /* of those that the backend has, that are not counted on */
  guint n_abandoned; /* threads that were given up */
  guint n_stand_ins; /* of n_wanted: for workers whose task waits for another one */
  guint n_bad_exits;
  GQueue leavers; /* PoolWorker: they go when another one is up in their place */
  guint n_failed_starts; /* in a row */
  gint64 restart_window; /* monotonic µs */
  guint restarts_in_window;
  GError *broken; /* why state is BROKEN */
  gboolean stopping; /* backend->stop() was called */
  PoolEngineCounters counters;
  guint64 n_maps, n_items; /* that were submitted; calls are counted by their ids */
  PoolStatistics *statistics; /* NULL: nobody wants to know when tasks were queued and started */
  PoolTrace *trace;           /* or NULL; only if there are statistics */

  int timer_fd;
  gint64 timer_at; /* monotonic µs; 0: not set */
  guint n_limited; /* of the records that the backend has: with time limits */
  gint64 min_limit; /* µs, the shortest of those */
  guint n_unplaced; /* records that are to be ended, whose worker is not known yet */
  gint64 idle_check_at; /* monotonic µs */
  gint64 memory_check_at; /* monotonic µs; 0: the backend has no tasks, or memory has no limit */
  GQueue lost; /* PoolLostTask: results of workers that are gone may still come */

  PoolDeferred *deferred; /* to be called after unlocking */
  PoolJob *finished; /* to be dealt with after unlocking */
  PoolWaiter *waiters;
  PoolWaiter *pump; /* who pumps; NULL: nobody, or the engine's thread in passing */
  gboolean watched; /* the fd is armed, or the thread is on its way */

  GThread *thread;
  _Atomic gboolean dozing; /* the thread sleeps and does not look for callbacks; no lock */
  int wake_fd;
  GSource *source, *timer_source, *monitor_source; /* without a thread */
  PoolMonitor *monitor; /* NULL: nobody is to look at the pool */
  gboolean timer_fired; /* the pump saw it; only the pump's */
  _Atomic guint activity; /* calls of the program, for the thread to see that somebody is at it; no lock */

  PoolEventFunc event; /* in the dispatcher's context; set once, before the start */
  PoolLogEventFunc log_event; /* likewise, and with the same data */
  gpointer event_data;
  GDestroyNotify event_destroy;
  _Atomic gsize log_bytes; /* of records that wait for the dispatcher; no lock */
  guint n_logs_lost;
};

PoolEngine *pool_engine_new (void);
/* what backends may use */
POOL_EXPORT
PoolEngine *pool_engine_ref (PoolEngine *self);
POOL_EXPORT
void pool_engine_unref (PoolEngine *self);

void pool_engine_lock (PoolEngine *self);
void pool_engine_unlock (PoolEngine *self);
void pool_engine_unlock_and_call_back (PoolEngine *self);

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
void pool_engine_worker_sandboxed (PoolEngine *self, guint worker, PoolSandboxFlags enforced);
void pool_engine_worker_down (PoolEngine *self, const PoolBackendExit *exit);
GPtrArray *pool_engine_get_workers (PoolEngine *self);
void pool_engine_add_wanted (PoolEngine *self, int n);
void pool_engine_maybe_stop_locked (PoolEngine *self);
void pool_engine_fill_up_locked (PoolEngine *self);
gboolean pool_engine_restart (PoolEngine *self, PoolBackend *fresh, GError **error);

/* events (pool-engine-events.c); with the lock held */
PoolWorkerInfo *pool_engine_describe_worker (PoolEngine *self, PoolWorker *worker, const PoolBackendExit *exit);
PoolWorker *pool_engine_get_worker (PoolEngine *self, guint id);
void pool_engine_drop_events (PoolEngine *self); /* without the lock */
void pool_engine_push_worker_event (PoolEngine *self, PoolEventKind kind, PoolWorkerInfo *info);
void pool_engine_push_task_event (PoolEngine *self, PoolEventKind kind, PoolRecord *record, gint64 time);
void pool_engine_push_timeout (PoolEngine *self, PoolRecord *record, gboolean is_soft);
void pool_engine_push_warning (PoolEngine *self, GError *error);
void pool_engine_push_progress (PoolEngine *self, PoolJob *job);
/* calls @func when the lock has been given up: for what may call back into the program */
POOL_EXPORT
void pool_engine_defer_locked (PoolEngine *self, PoolDeferredFunc func, gpointer data);
void pool_engine_run_deferred (PoolDeferred *deferred);

/* statistics (pool-engine-statistics.c); with the lock held, and only if self->statistics is not NULL */
void pool_engine_observe_queued (PoolEngine *self, PoolRecord *record);
void pool_engine_observe_cut (PoolEngine *self, PoolRecord *chunk, const PoolRecord *source);
void pool_engine_observe_result (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result);
void pool_engine_observe_given_up (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error);
void pool_engine_observe_task (PoolEngine *self, PoolRecord *record, const char *what);
void pool_engine_observe_up (PoolEngine *self, PoolWorker *worker);
void pool_engine_observe_down (PoolEngine *self, PoolWorker *worker, PoolDownReason reason);
/* tells who asks how the pool is doing; without the lock */
void pool_engine_answer_monitor (PoolEngine *self, PoolMonitor *monitor);
/* always */
void pool_engine_count_failure (PoolEngine *self, PoolRecord *record, const GError *error);
void pool_engine_start_statistics_locked (PoolEngine *self);
/* without the lock; @label: names the pool */
gboolean pool_engine_start_trace (PoolEngine *self, const char *path, const char *label, GError **error);
gboolean pool_engine_stop_trace (PoolEngine *self, GError **error);

/* How often the memory that busy workers have is looked at, where it has a limit. */
#define POOL_MEMORY_CHECK_US (25 * 1000)

/* time (pool-engine-time.c); with the lock held */
void pool_engine_arm_timer_locked (PoolEngine *self, gint64 when);
void pool_engine_check_time_locked (PoolEngine *self);
void pool_engine_watch_memory_locked (PoolEngine *self);
void pool_engine_worker_changed (PoolEngine *self, guint worker);
void pool_engine_limit_locked (PoolEngine *self, PoolRecord *record);
void pool_engine_await_results_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how);
void pool_engine_clear_lost (PoolEngine *self);

/* control (pool-engine-control.c); with the lock held */
void pool_engine_mark_ending_locked (PoolEngine *self, PoolRecord *record, PoolEnding ending, int signum);
gboolean pool_engine_try_to_end_locked (PoolEngine *self, PoolWorker *worker, PoolRecord *record);
void pool_engine_end_worker_locked (PoolEngine *self, PoolWorker *worker, PoolDownReason reason, int signum);
guint pool_engine_doom_locked (PoolEngine *self, PoolWorker *worker, PoolRecord *record, gint64 item);
gboolean pool_engine_terminate_job_locked (PoolEngine *self, PoolJob *job, int signum);
gboolean pool_engine_terminate_worker_locked (PoolEngine *self, gint64 pid, int signum, GError **error);
void pool_engine_worker_leaves_locked (PoolEngine *self, guint worker);
void pool_engine_release_leaver_locked (PoolEngine *self);
gboolean pool_engine_grow_locked (PoolEngine *self, guint n, GError **error);
gboolean pool_engine_shrink_locked (PoolEngine *self, guint n, GError **error);
void pool_engine_check_surplus_locked (PoolEngine *self, PoolWorker *worker);
gboolean pool_engine_stand_in_locked (PoolEngine *self);
void pool_engine_end_stand_in_locked (PoolEngine *self);
void pool_engine_scale_up_locked (PoolEngine *self);
void pool_engine_scale_down_locked (PoolEngine *self, gint64 now);
void pool_engine_replace_stale_locked (PoolEngine *self);

/* tasks (pool-engine.c); with the lock held */
guint8 *pool_engine_alloc_memory (PoolEngine *self, gsize size, guint8 *owner);
guint8 *pool_engine_alloc_payload (PoolEngine *self, PoolRecord *record, gsize size);
void pool_engine_free_payload (PoolEngine *self, PoolRecord *record);
GBytes *pool_engine_take_bytes (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result);
void pool_engine_submit_locked (PoolEngine *self, PoolJob *job, PoolRecord *record);
void pool_engine_submit_all_locked (PoolEngine *self, PoolJob *job, PoolRecord *records);
void pool_engine_add_source_locked (PoolEngine *self, PoolJob *job, PoolRecord *source);
void pool_engine_hand_out_locked (PoolEngine *self);
void pool_engine_enter_locked (PoolEngine *self, PoolJob *job, PoolRecord *record, guint64 id);
void pool_engine_leave_locked (PoolEngine *self, PoolRecord *record, PoolRecordState state);
void pool_engine_put_back_locked (PoolEngine *self, PoolRecord *record, gboolean lost);
void pool_engine_count_back_locked (PoolEngine *self, PoolRecord *record);
void pool_engine_collect_job_locked (PoolEngine *self, PoolJob *job);
void pool_engine_job_done_locked (PoolEngine *self, PoolJob *job);
void pool_engine_deliver (PoolEngine *self, const PoolBackendResult *result);
void pool_engine_was_split (PoolEngine *self, guint64 handle, guint first);
void pool_engine_withdraw_locked (PoolEngine *self, int priority);
void pool_engine_init_record (PoolEngine *self, PoolRecord *record);
void pool_engine_set_limits (PoolEngine *self, PoolRecord *record);

/* losses (pool-engine-loss.c); with the lock held */
gboolean pool_engine_cancel_locked (PoolEngine *self, PoolJob *job, const GError *error);
gboolean pool_engine_cancel_queued_locked (PoolEngine *self, PoolJob *job, const GError *error);
void pool_engine_fail_all_locked (PoolEngine *self, const GError *error);
PoolRecord *pool_engine_cut_again_locked (PoolEngine *self, PoolRecord *from, guint64 first, guint n);
void pool_engine_fail_record_locked (PoolEngine *self, PoolRecord *record, PoolRecordState state, const GError *error);
void pool_engine_end_as_wanted_locked (PoolEngine *self, PoolRecord *record);
void pool_engine_end_unwanted_locked (PoolEngine *self, PoolRecord *record);
void pool_engine_lose_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how);
void pool_engine_condemn_locked (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error);
void pool_engine_give_up_locked (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error);

/* records and output of tasks (pool-engine-logs.c); with the lock held */
void pool_engine_log (PoolEngine *self, guint worker, const guint8 *record, gsize size);
void pool_engine_take_output_locked (PoolEngine *self, PoolRecord *record);
void pool_engine_output (PoolEngine *self, guint64 handle, const PoolBackendOutput *output);

/* waiting (pool-engine-wait.c) */
gint64 pool_engine_deadline (double timeout); /* monotonic µs; -1: none */
gboolean pool_engine_wait_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready, gpointer data,
                                  gint64 deadline);
/* the same, but if the pool is interruptible it also ends, with *@interrupted, when a signal handler ran meanwhile */
gboolean pool_engine_wait_interruptibly_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready,
                                                gpointer data, gint64 deadline, gboolean *interrupted);
void pool_engine_explain_interruption (GError **error);
/* this thread runs tasks of @self; NULL: not any more */
POOL_EXPORT
void pool_engine_set_worker_thread (PoolEngine *self);
gboolean pool_engine_is_worker_thread (PoolEngine *self);
void pool_engine_wake_locked (PoolEngine *self, PoolJob *job);
void pool_engine_watch_locked (PoolEngine *self);
gboolean pool_engine_dispatch_locked (PoolEngine *self);
void pool_engine_rouse_thread (PoolEngine *self); /* without the lock */
gboolean pool_engine_open_fds (PoolEngine *self, GError **error);
gboolean pool_engine_start_thread (PoolEngine *self, GError **error);
void pool_engine_stop_thread_locked (PoolEngine *self);
gboolean pool_engine_is_own_thread_locked (PoolEngine *self);
void pool_engine_settle_locked (PoolEngine *self);
void pool_engine_stop_time_locked (PoolEngine *self);

static inline gboolean
pool_job_is_done (PoolJob *job)
{
  return atomic_load_explicit (&job->done, memory_order_acquire);
}

G_END_DECLS
