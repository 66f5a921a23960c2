/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-worker-info-private.h"

#include <string.h>

/* How many workers may fail in the initializer, or not be made, in a row, before the pool gives up. */
#define FAILED_STARTS_MIN 3

typedef struct
{
  PoolEngine *engine;
  gboolean up;
  PoolWorkerInfo *info;
} WorkerEvent;

static void
worker_event_run (gpointer data)
{
  WorkerEvent *event = data;

  if (event->engine->worker_event != NULL)
    event->engine->worker_event (event->up, event->info, event->engine->worker_event_data);
  g_object_unref (event->info);
  pool_engine_unref (event->engine);
  g_free (event);
}

static void
push_worker_event (PoolEngine *self, gboolean up, PoolWorkerInfo *info)
{
  WorkerEvent *event = g_new (WorkerEvent, 1);

  *event = (WorkerEvent){ pool_engine_ref (self), up, info };
  pool_dispatcher_push (self->dispatcher, worker_event_run, event);
}

static PoolWorker *
get_worker (PoolEngine *self, guint id)
{
  return id < self->workers->len ? self->workers->pdata[id] : NULL;
}

static PoolWorkerInfo *
describe_worker (PoolEngine *self, PoolWorker *worker, const PoolBackendExit *exit)
{
  guint64 handle = 0, done = 0;
  PoolRecord *record;

  POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &handle, &done);
  record = pool_ledger_find (&self->ledger, handle);
  return pool_worker_info_new (worker, record != NULL ? record->id : 0, done, exit);
}

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

gboolean
pool_engine_start (PoolEngine *self, PoolBackend *backend, GError **error)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (backend);

  /* the lock is not held: a fork in start() needs our other threads to stand still, and one may want the lock */
  backend->engine = self;
  self->backend = backend;
  if (!klass->start (backend, &self->settings.backend, error))
    {
      self->backend = NULL;
      return FALSE;
    }

  pool_engine_lock (self);
  self->flags = klass->get_flags != NULL ? klass->get_flags (backend) : klass->flags;
  self->state = POOL_STATE_RUN;
  pool_engine_start_thread (self);
  pool_engine_watch_locked (self); /* workers will say that they are up */
  pool_engine_unlock (self);
  return TRUE;
}

/* --- workers --- */

void
pool_engine_worker_up (PoolEngine *self, guint id, gint64 pid, const char *host)
{
  PoolWorker *worker;

  if (id >= self->workers->len)
    g_ptr_array_set_size (self->workers, id + 1);
  worker = self->workers->pdata[id];
  if (worker == NULL)
    {
      worker = self->workers->pdata[id] = g_new0 (PoolWorker, 1);
      worker->id = id;
    }
  worker->pid = pid;
  g_free (worker->host);
  worker->host = g_strdup (host);
  worker->up = TRUE;
  worker->started_at = g_get_real_time ();
  self->n_alive++;
  self->n_up_ever++;
  push_worker_event (self, TRUE, describe_worker (self, worker, NULL));
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

/* A worker that never came up: its initializer failed, or it could not be made. */
static void
failed_start (PoolEngine *self, const PoolBackendExit *exit)
{
  guint max = MAX (FAILED_STARTS_MIN, self->settings.backend.processes);
  g_autoptr (GError) error = NULL;

  self->n_failed_starts++;
  /* some run: go on with fewer rather than not at all */
  if (exit->reason == POOL_DOWN_REASON_NOT_STARTED && self->n_alive > 0)
    return;
  if (self->n_failed_starts < max)
    {
      self->counters.n_restarts++;
      POOL_BACKEND_GET_CLASS (self->backend)->add_workers (self->backend, 1);
      return;
    }

  error = g_error_new (POOL_ERROR, POOL_ERROR_RESTART_FREQ,
                       "The pool is broken: %u workers in a row could not start; the last one: %s",
                       self->n_failed_starts,
                       exit->error != NULL ? exit->error->message : "it ended at once");
  pool_engine_break (self, error);
}

static void
replace_worker (PoolEngine *self, const char *how)
{
  g_autoptr (GError) error = NULL;

  if (self->stopping || self->state > POOL_STATE_CLOSE)
    return;
  if (restart_allowed (self))
    {
      POOL_BACKEND_GET_CLASS (self->backend)->add_workers (self->backend, 1);
      return;
    }
  error = g_error_new (POOL_ERROR, POOL_ERROR_RESTART_FREQ,
                       "The pool is broken: %u workers died within %g s; the last one: %s",
                       self->restarts_in_window, self->settings.max_restart_freq, how);
  pool_engine_break (self, error);
}

void
pool_engine_worker_down (PoolEngine *self, const PoolBackendExit *exit)
{
  PoolWorker unknown = { .id = exit->worker };
  PoolWorker *worker = get_worker (self, exit->worker);
  PoolRecord *record = pool_ledger_find (&self->ledger, exit->handle);
  g_autofree char *how = NULL;

  if (worker == NULL)
    worker = &unknown;
  how = describe_exit (worker, exit);
  push_worker_event (self, FALSE, describe_worker (self, worker, exit));
  if (worker->up)
    {
      worker->up = FALSE;
      self->n_alive--;
    }

  if (record != NULL)
    {
      record->worker = exit->worker;
      pool_engine_lose_locked (self, record, exit->item, how);
    }
  if (exit->reason == POOL_DOWN_REASON_INITIALIZER || exit->reason == POOL_DOWN_REASON_NOT_STARTED)
    {
      if (!self->stopping && self->state <= POOL_STATE_CLOSE)
        failed_start (self, exit);
    }
  else if (exit->reason != POOL_DOWN_REASON_ASKED)
    {
      self->n_failed_starts = 0;
      replace_worker (self, how);
    }
  pool_engine_wake_locked (self, NULL);
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
        g_ptr_array_add (infos, describe_worker (self, worker, NULL));
    }
  return infos;
}

/* --- the end --- */

/* A closed pool lets its workers end when the last task has. */
void
pool_engine_maybe_stop_locked (PoolEngine *self)
{
  if (self->state != POOL_STATE_CLOSE || self->stopping || self->ledger.n_records > 0 ||
      self->queue_head != NULL)
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

static gboolean
all_gone (gpointer data)
{
  PoolEngine *self = data;

  return self->state == POOL_STATE_JOINED ||
         (self->stopping && self->ledger.n_records == 0 &&
          POOL_BACKEND_GET_CLASS (self->backend)->count_workers (self->backend) == 0);
}

gboolean
pool_engine_join (PoolEngine *self, double timeout, GError **error)
{
  gboolean gone;

  pool_engine_lock (self);
  if (self->state == POOL_STATE_JOINED || self->backend == NULL)
    {
      self->state = POOL_STATE_JOINED;
      pool_engine_unlock (self);
      return TRUE;
    }

  gone = pool_engine_wait_locked (self, NULL, all_gone, self, pool_engine_deadline (timeout));
  if (gone && self->state != POOL_STATE_JOINED)
    {
      self->state = POOL_STATE_JOINED;
      POOL_BACKEND_GET_CLASS (self->backend)->finish (self->backend);
      pool_engine_wake_locked (self, NULL);
    }
  pool_engine_unlock (self);

  if (!gone)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT,
                   "Workers were still there after %g s", timeout);
      return FALSE;
    }
  pool_engine_stop_thread (self);
  pool_dispatcher_run (self->dispatcher);
  return TRUE;
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
  pool_engine_unlock (self);
  pool_engine_stop_thread (self);
  pool_dispatcher_close (self->dispatcher);
}
