/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* How many workers may fail in the initializer, or not be made, in a row, before the pool gives up. */
#define FAILED_STARTS_MIN 3

/* --- start --- */

/* Which call does not fit the state? */
gboolean
pool_engine_check_submit (PoolEngine *self, GError **error)
{
  if (G_UNLIKELY (self->orphan))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "This pool belongs to the process that this one was forked from");
      return FALSE;
    }
  switch (self->state)
    {
    case POOL_STATE_RUN:
      return TRUE;
    case POOL_STATE_NEW:
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_NOT_STARTED,
                           "The pool has not been started");
      return FALSE;
    case POOL_STATE_BROKEN:
      g_propagate_error (error, g_error_copy (self->broken));
      return FALSE;
    case POOL_STATE_CLOSE:
    case POOL_STATE_TERMINATE:
    case POOL_STATE_JOINED:
    default:
      g_set_error (error, POOL_ERROR, POOL_ERROR_CLOSED, "The pool was %s and takes no more tasks",
                   self->state == POOL_STATE_TERMINATE ? "terminated" : "closed");
      return FALSE;
    }
}

/* The number of a task that workers of this pool can run. */
gboolean
pool_engine_lookup (PoolEngine *self, const char *task, guint *function, GError **error)
{
  if (!pool_function_table_lookup (self->functions, task, function, error))
    return FALSE;
  if (G_LIKELY ((self->flags & POOL_BACKEND_TAKES_CLOSURES) ||
                pool_function_table_get (self->functions, *function)->from_module))
    return TRUE;

  g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
               "Workers of this pool do not have \"%s\", which was registered in this program: put it "
               "into a task module, or call pool_init() first in main()",
               task);
  return FALSE;
}

typedef struct
{
  PoolEngine *engine;
  guint life;
} PoolEngineLife;

/* The workers of one life of the pool, which may be in its next by now. */
static gboolean
all_gone (gpointer data)
{
  PoolEngineLife *life = data;
  PoolEngine *self = life->engine;

  return self->state == POOL_STATE_JOINED || self->life != life->life ||
         (self->stopping && self->ledger.n_records == 0 &&
          POOL_BACKEND_GET_CLASS (self->backend)->count_workers (self->backend) == 0);
}

/* The backend has started, and the thread has not: ends the workers as a pool without one does, and is new again. */
static void
undo_start_locked (PoolEngine *self)
{
  gboolean threads = self->settings.threads;
  PoolEngineLife life = { self, self->life };

  self->settings.threads = FALSE;
  pool_engine_terminate (self);
  pool_engine_wait_locked (self, NULL, all_gone, &life, -1);
  POOL_BACKEND_GET_CLASS (self->backend)->finish (self->backend);
  self->settings.threads = threads;
  self->backend = NULL;
  self->state = POOL_STATE_NEW;
  self->stopping = self->watched = FALSE;
}

gboolean
pool_engine_start (PoolEngine *self, PoolBackend *backend, GError **error)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (backend);
  gboolean started;

  if (!pool_engine_open_fds (self, error))
    return FALSE;
  pool_engine_lock (self);
  self->n_wanted = self->settings.backend.processes;
  backend->engine = self;
  self->backend = backend;
  pool_engine_unlock (self);
  /* the lock is not held: a fork in start() needs our other threads to stand still, and one may want the lock */
  if (!klass->start (backend, &self->settings.backend, error))
    {
      pool_engine_lock (self);
      self->backend = NULL;
      g_clear_pointer (&self->monitor, pool_monitor_unref);
      pool_engine_unlock (self);
      return FALSE;
    }

  pool_engine_lock (self);
  self->flags = klass->get_flags != NULL ? klass->get_flags (backend) : klass->flags;
  self->state = POOL_STATE_RUN;
  pool_engine_start_statistics_locked (self);
  started = pool_engine_start_thread (self, error);
  if (started)
    pool_engine_watch_locked (self); /* workers will say that they are up */
  else
    {
      undo_start_locked (self);
      g_clear_pointer (&self->monitor, pool_monitor_unref);
    }
  pool_engine_unlock (self);
  return started;
}

/* --- workers --- */

static PoolWorker *
ensure_worker (PoolEngine *self, guint id)
{
  PoolWorker *worker;

  if (id >= self->workers->len)
    g_ptr_array_set_size (self->workers, id + 1);
  worker = self->workers->pdata[id];
  if (worker == NULL)
    worker = self->workers->pdata[id] = g_new0 (PoolWorker, 1);
  worker->id = id;
  return worker;
}

void
pool_engine_worker_sandboxed (PoolEngine *self, guint id, PoolSandboxFlags enforced)
{
  ensure_worker (self, id)->sandbox = enforced;
}

void
pool_engine_worker_up (PoolEngine *self, guint id, gint64 pid, const char *host)
{
  PoolWorker *worker = ensure_worker (self, id);

  g_free (worker->host);
  *worker = (PoolWorker){ .id = id, .pid = pid, .host = g_strdup (host), .up = TRUE,
                          .started_at = g_get_real_time (), .sandbox = worker->sandbox };
  self->n_alive++;
  self->n_failed_starts = 0;
  if (self->statistics != NULL)
    pool_engine_observe_up (self, worker);
  pool_engine_push_worker_event (self, POOL_EVENT_PROCESS_UP,
                                 pool_engine_describe_worker (self, worker, NULL));
  pool_engine_release_leaver_locked (self);
  pool_engine_check_surplus_locked (self, worker);
  pool_engine_replace_stale_locked (self);
  pool_engine_wake_locked (self, NULL);
}

static char *
describe_exit (PoolWorker *worker, const PoolBackendExit *exit)
{
  if (exit->error != NULL)
    return g_strdup_printf ("worker %u (pid %" G_GINT64_FORMAT ") %s", exit->worker, worker->pid,
                            exit->error->message);
  if (exit->signum != 0)
    return g_strdup_printf ("worker %u (pid %" G_GINT64_FORMAT ") was killed by signal %d (%s)",
                            exit->worker, worker->pid, exit->signum, g_strsignal (exit->signum));
  return g_strdup_printf ("worker %u (pid %" G_GINT64_FORMAT ") exited with status %d", exit->worker,
                          worker->pid, exit->exit_code);
}

/* May another worker be made in place of one that died? */
static gboolean
restart_allowed (PoolEngine *self)
{
  guint max = self->settings.max_restarts != 0 ? self->settings.max_restarts
                                               : 100 * self->settings.backend.processes;
  gint64 now = g_get_monotonic_time ();

  if (now - self->restart_window > self->settings.max_restart_freq * G_USEC_PER_SEC)
    {
      self->restart_window = now;
      self->restarts_in_window = 0;
    }
  self->counters.n_restarts++;
  return ++self->restarts_in_window <= max;
}

/* The pool goes on with @n_left workers, because of @cause. */
static void
warn_of_fewer (PoolEngine *self, guint n_left, const PoolBackendExit *cause)
{
  pool_engine_push_warning (
      self, g_error_new (POOL_ERROR, POOL_ERROR_BACKEND,
                         "The pool goes on with %u of %u workers: worker %u %s; it is tried again when another one "
                         "is replaced",
                         n_left, self->n_wanted, cause->worker,
                         cause->error != NULL ? cause->error->message : "could not be made"));
}

/* A worker that never came up: its initializer failed, or it could not be made. */
static void
failed_start (PoolEngine *self, const PoolBackendExit *exit)
{
  guint max = MAX (FAILED_STARTS_MIN, self->settings.backend.processes);
  guint n_left = POOL_BACKEND_GET_CLASS (self->backend)->count_workers (self->backend);
  g_autoptr (GError) error = NULL;

  self->n_failed_starts++;
  self->n_bad_exits++;
  /* whoever waits for it to take its place goes all the same */
  pool_engine_release_leaver_locked (self);
  /* some run, or are about to: go on with fewer rather than not at all */
  if (exit->reason == POOL_DOWN_REASON_NOT_STARTED && n_left > 0)
    {
      warn_of_fewer (self, n_left, exit);
      return;
    }
  if (self->n_failed_starts < max)
    {
      self->counters.n_restarts++;
      pool_engine_fill_up_locked (self);
      return;
    }

  error = g_error_new (POOL_ERROR, POOL_ERROR_RESTART_FREQ,
                       "The pool is broken: %u workers in a row could not start; the last one: %s",
                       self->n_failed_starts,
                       exit->error != NULL ? exit->error->message : "it ended at once");
  pool_engine_break (self, error);
}

/* The pool is one that gets smaller with each worker that dies. */
static void
do_without_worker (PoolEngine *self, const char *how)
{
  g_autoptr (GError) error = NULL;

  if (--self->n_wanted > 0)
    return;
  error = g_error_new (POOL_ERROR, POOL_ERROR_WORKERS_GONE,
                       "No worker is left, and the pool does not replace them; the last one: %s", how);
  pool_engine_break (self, error);
}

/* @counts: it was not the pool that ended it */
static void
replace_worker (PoolEngine *self, const PoolBackendExit *exit, gboolean counts, const char *how)
{
  g_autoptr (GError) error = NULL;

  if (self->stopping || self->state > POOL_STATE_CLOSE)
    return;
  if (counts && self->settings.leave_dead && !exit->is_foreign)
    {
      do_without_worker (self, how);
      return;
    }
  if (!counts || exit->is_foreign || exit->is_another || restart_allowed (self))
    {
      pool_engine_fill_up_locked (self);
      return;
    }
  error = g_error_new (POOL_ERROR, POOL_ERROR_RESTART_FREQ,
                       "The pool is broken: %u workers died within %g s; the last one: %s",
                       self->restarts_in_window, self->settings.max_restart_freq, how);
  pool_engine_break (self, error);
}

/* Why did it end? The backend knows how; the engine knows what it had done to it. */
static PoolDownReason
why_down (PoolWorker *worker, const PoolBackendExit *exit)
{
  if (worker->why != POOL_DOWN_REASON_NONE)
    return worker->why;
  if (worker->leaves && exit->signum == 0 && exit->exit_code == 0 &&
      exit->reason != POOL_DOWN_REASON_INITIALIZER)
    return worker->dismissed ? POOL_DOWN_REASON_ASKED : POOL_DOWN_REASON_RECYCLED;
  return exit->reason;
}

/* It counts as gone from now on. */
static void
forget_worker (PoolEngine *self, PoolWorker *worker)
{
  if (worker->up)
    self->n_alive--;
  if (worker->leaves)
    self->n_leaving--;
  g_queue_remove (&self->leavers, worker);
  worker->up = worker->leaves = worker->stale = FALSE;
  worker->kill_at = 0;
  worker->told = 0;
}

static GError *
explain_out_of_memory (PoolEngine *self, const PoolRecord *record, const PoolBackendExit *exit, const char *how)
{
  const PoolFunction *function = pool_function_table_get (self->functions, record->function);

  return g_error_new (POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                      "Task %" G_GUINT64_FORMAT " (%s) ran out of memory in attempt %u: a worker may have %" G_GUINT64_FORMAT
                      " KiB (memory-limit) more than it is made with; %s; it had %" G_GUINT64_FORMAT
                      " KiB resident at its peak and %" G_GUINT64_FORMAT " KiB of those from its start",
                      record->id, function != NULL ? function->name : "?", record->attempt,
                      self->settings.backend.memory_limit, how, exit->max_rss, exit->start_memory);
}

static void
lose_task (PoolEngine *self, const PoolBackendExit *exit, const char *how)
{
  PoolRecord *record = pool_ledger_find (&self->ledger, exit->handle);

  if (record == NULL)
    return;
  record->worker = exit->worker;
  if (exit->reason == POOL_DOWN_REASON_OUT_OF_MEMORY)
    {
      g_autoptr (GError) error = explain_out_of_memory (self, record, exit, how);

      /* it would run out of it again */
      pool_engine_condemn_locked (self, record, exit->item, error);
    }
  else if (exit->may_deliver)
    pool_engine_await_results_locked (self, record, exit->item, how);
  else
    pool_engine_lose_locked (self, record, exit->item, how);
}

void
pool_engine_worker_down (PoolEngine *self, const PoolBackendExit *report)
{
  PoolWorker unknown = { .id = report->worker };
  PoolWorker *worker = pool_engine_get_worker (self, report->worker);
  PoolBackendExit exit = *report;
  g_autofree char *how = NULL;
  PoolWorkerInfo *info;

  if (worker == NULL)
    worker = &unknown;
  if (worker->abandoned)
    {
      /* it has been replaced long since */
      worker->abandoned = FALSE;
      self->n_abandoned--;
      pool_engine_push_worker_event (self, POOL_EVENT_PROCESS_EXIT,
                                     pool_engine_describe_worker (self, worker, &exit));
      return;
    }

  exit.reason = why_down (worker, &exit);
  self->counters.n_exits[MIN (exit.reason, POOL_DOWN_REASONS - 1)]++;
  if (self->statistics != NULL)
    pool_engine_observe_down (self, worker, exit.reason);
  how = describe_exit (worker, &exit);
  info = pool_engine_describe_worker (self, worker, &exit);
  pool_engine_push_worker_event (self, POOL_EVENT_PROCESS_DOWN, g_object_ref (info));
  worker->abandoned = exit.abandoned;
  if (exit.abandoned)
    {
      self->n_abandoned++;
      g_object_unref (info);
    }
  else
    pool_engine_push_worker_event (self, POOL_EVENT_PROCESS_EXIT, info);
  forget_worker (self, worker);

  lose_task (self, &exit, how);
  if (exit.reason == POOL_DOWN_REASON_INITIALIZER || exit.reason == POOL_DOWN_REASON_NOT_STARTED)
    {
      if (!self->stopping && self->state <= POOL_STATE_CLOSE)
        failed_start (self, &exit);
    }
  else
    {
      gboolean counts = exit.reason == POOL_DOWN_REASON_CRASHED || exit.reason == POOL_DOWN_REASON_EXITED ||
                        exit.reason == POOL_DOWN_REASON_OUT_OF_MEMORY;

      self->n_bad_exits += counts;
      replace_worker (self, &exit, counts, how);
    }
  pool_engine_replace_stale_locked (self);
  pool_engine_wake_locked (self, NULL);
}

/* Workers come, or go, by themselves. */
void
pool_engine_add_wanted (PoolEngine *self, int n)
{
  self->n_wanted = n < 0 && (guint) -n > self->n_wanted ? 0 : self->n_wanted + n;
}

/* No worker can be kept alive: everything fails with @cause, now and later. */
void
pool_engine_break (PoolEngine *self, const GError *cause)
{
  if (self->state >= POOL_STATE_TERMINATE)
    return;
  self->broken = g_error_copy (cause);
  self->state = POOL_STATE_BROKEN;
  self->stopping = TRUE;
  pool_engine_fail_all_locked (self, cause);
  POOL_BACKEND_GET_CLASS (self->backend)->stop (self->backend, TRUE);
  pool_engine_wake_locked (self, NULL);
}

/* New references to infos of all workers that are up. */
GPtrArray *
pool_engine_get_workers (PoolEngine *self)
{
  GPtrArray *infos = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->up && self->backend != NULL)
        g_ptr_array_add (infos, pool_engine_describe_worker (self, worker, NULL));
    }
  return infos;
}

/* --- again --- */

/* Lets go of the backend of a pool that is at its end, whatever state it is in. The lock is given up meanwhile. */
static void
drop_backend_locked (PoolEngine *self)
{
  PoolBackend *old;

  pool_engine_terminate (self);
  self->state = POOL_STATE_JOINED;
  POOL_BACKEND_GET_CLASS (self->backend)->finish (self->backend);
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker != NULL)
        worker->up = worker->leaves = worker->stale = worker->abandoned = FALSE;
    }
  self->n_alive = self->n_leaving = 0;
  g_queue_clear (&self->leavers);
  pool_engine_wake_locked (self, NULL);
  pool_engine_stop_thread_locked (self);
  pool_engine_settle_locked (self);
  pool_engine_stop_time_locked (self);

  old = g_steal_pointer (&self->backend);
  /* threads that have not ended keep what they need of it */
  if (self->flags & POOL_BACKEND_CAN_KILL)
    pool_engine_defer_locked (self, g_object_unref, old);
  else
    g_ptr_array_add (self->old_backends, old);
}

static gboolean
begin_restart_locked (PoolEngine *self, GError **error)
{
  if (self->restarting)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE, "The pool is being restarted by another thread");
      return FALSE;
    }
  self->restarting = TRUE;
  drop_backend_locked (self);
  self->life++;
  self->n_abandoned = self->n_stand_ins = 0;
  self->stopping = self->watched = FALSE;
  self->n_failed_starts = self->restarts_in_window = self->n_bad_exits = 0;
  g_clear_error (&self->broken);
  return TRUE;
}

/*
 * New workers. A pool that runs replaces its workers one by one, each after its task; one that has ended, or broke, starts
 * anew with @fresh. Meanwhile it is as one that was joined, for all other threads.
 */
gboolean
pool_engine_restart (PoolEngine *self, PoolBackend *fresh, GError **error)
{
  gboolean ok;

  pool_engine_lock (self);
  if (self->state == POOL_STATE_RUN)
    {
      for (guint i = 0; i < self->workers->len; i++)
        {
          PoolWorker *worker = self->workers->pdata[i];

          if (worker != NULL)
            worker->stale = worker->up;
        }
      pool_engine_replace_stale_locked (self);
      pool_engine_watch_locked (self);
      pool_engine_unlock (self);
      g_object_unref (fresh);
      return TRUE;
    }
  ok = begin_restart_locked (self, error);
  pool_engine_unlock (self);
  if (!ok)
    {
      g_object_unref (fresh);
      return FALSE;
    }

  ok = pool_engine_start (self, fresh, error);
  pool_engine_lock (self);
  if (!ok)
    self->state = POOL_STATE_NEW;
  self->restarting = FALSE;
  pool_engine_unlock (self);
  return ok;
}

/* --- the end --- */

/* A closed pool lets its workers end when the last task has. */
void
pool_engine_maybe_stop_locked (PoolEngine *self)
{
  if (self->state != POOL_STATE_CLOSE || self->stopping || self->ledger.n_records > 0 ||
      self->queue.n > 0)
    return;
  self->stopping = TRUE;
  POOL_BACKEND_GET_CLASS (self->backend)->stop (self->backend, FALSE);
}

void
pool_engine_close (PoolEngine *self)
{
  if (self->state != POOL_STATE_RUN)
    return;
  self->state = POOL_STATE_CLOSE;
  pool_engine_maybe_stop_locked (self);
  pool_engine_wake_locked (self, NULL);
}

void
pool_engine_terminate (PoolEngine *self)
{
  g_autoptr (GError) error = NULL;

  if (self->state >= POOL_STATE_TERMINATE && self->state != POOL_STATE_BROKEN)
    return;

  error = g_error_new_literal (POOL_ERROR, POOL_ERROR_TERMINATED,
                               "The pool was terminated before the task ended");
  self->state = POOL_STATE_TERMINATE;
  if (self->backend == NULL)
    return;
  self->stopping = TRUE;
  pool_engine_fail_all_locked (self, error);
  POOL_BACKEND_GET_CLASS (self->backend)->stop (self->backend, TRUE);
  pool_engine_wake_locked (self, NULL);
}

gboolean
pool_engine_join (PoolEngine *self, double timeout, GError **error)
{
  PoolEngineLife life = { self, 0 };
  gboolean gone, interrupted;

  pool_engine_lock (self);
  life.life = self->life;
  if (self->state == POOL_STATE_JOINED || self->backend == NULL)
    {
      self->state = POOL_STATE_JOINED;
      pool_engine_unlock (self);
      return TRUE;
    }

  gone = pool_engine_wait_interruptibly_locked (self, NULL, all_gone, &life,
                                                pool_engine_deadline (timeout), &interrupted);
  if (gone && self->life == life.life && self->state != POOL_STATE_JOINED)
    {
      self->state = POOL_STATE_JOINED;
      POOL_BACKEND_GET_CLASS (self->backend)->finish (self->backend);
      pool_engine_wake_locked (self, NULL);
    }
  if (gone && self->life == life.life)
    pool_engine_stop_thread_locked (self);
  pool_engine_unlock_and_call_back (self);

  if (gone)
    return TRUE;
  if (interrupted)
    pool_engine_explain_interruption (error);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT,
                 "Workers were still there after %g s", timeout);
  return FALSE;
}

/* The program has let go of the pool, in whatever state: ends it without waiting for anybody. */
void
pool_engine_abandon (PoolEngine *self)
{
  pool_engine_lock (self);
  if (self->orphan)
    {
      pool_engine_unlock (self);
      return;
    }
  if (self->backend != NULL && self->state != POOL_STATE_JOINED)
    {
      pool_engine_terminate (self);
      self->state = POOL_STATE_JOINED;
      POOL_BACKEND_GET_CLASS (self->backend)->finish (self->backend);
      pool_engine_wake_locked (self, NULL);
    }
  pool_engine_stop_thread_locked (self);
  pool_engine_unlock (self);
  pool_engine_drop_events (self);
  pool_dispatcher_close (self->dispatcher);
}
