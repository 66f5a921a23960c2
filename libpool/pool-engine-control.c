/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-ring-private.h"

#include <signal.h>

/* What is done to tasks that run, and to the number of workers. */

/* --- ending a task that runs --- */

/* See PoolBackendClass.doom; from now on the worker is of no use. */
guint
pool_engine_doom_locked (PoolEngine *self, PoolWorker *worker, PoolRecord *record, gint64 item)
{
  guint doomed = POOL_BACKEND_GET_CLASS (self->backend)
                     ->doom (self->backend, worker->id, pool_record_get_handle (record), item);

  if (doomed > 0)
    {
      record->worker = worker->id;
      worker->doomed_task = record->id;
    }
  return doomed;
}

/* Ends a worker. If the signal is one that it may survive, it gets the pool's grace. */
void
pool_engine_end_worker_locked (PoolEngine *self, PoolWorker *worker, PoolDownReason reason, int signum)
{
  worker->why = reason;
  worker->told = 0;
  if (signum != SIGKILL)
    {
      worker->kill_at = g_get_monotonic_time () + (gint64) (self->settings.grace * G_USEC_PER_SEC);
      pool_engine_arm_timer_locked (self, worker->kill_at);
    }
  POOL_BACKEND_GET_CLASS (self->backend)->kill_worker (self->backend, worker->id, signum);
}

/* What a worker has is to end. If that one is gone, and only a result could still come, it has ended with this. */
void
pool_engine_mark_ending_locked (PoolEngine *self, PoolRecord *record, PoolEnding ending, int signum)
{
  if (!record->is_sent)
    {
      record->ending = ending;
      pool_engine_end_as_wanted_locked (self, record);
      return;
    }
  if (record->ending == POOL_ENDING_NONE || record->is_placed)
    self->n_unplaced++;
  record->is_placed = FALSE;
  record->ending = ending;
  record->signum = signum;
}

static void
placed (PoolEngine *self, PoolRecord *record)
{
  if (!record->is_placed)
    self->n_unplaced--;
  record->is_placed = TRUE;
}

static void
tell_to_stop (PoolEngine *self, PoolWorker *worker, PoolRecord *record)
{
  guint64 handle = pool_record_get_handle (record);

  placed (self, record);
  worker->told = handle;
  worker->told_until = g_get_monotonic_time () + (gint64) (self->settings.grace * G_USEC_PER_SEC);
  pool_engine_arm_timer_locked (self, worker->told_until);
  POOL_BACKEND_GET_CLASS (self->backend)
      ->notify (self->backend, worker->id, handle, 0, POOL_NOTICE_CANCEL);
}

static GError *
explain_ending (PoolWorker *worker, PoolRecord *record)
{
  if (record->ending == POOL_ENDING_CANCEL)
    return g_error_new (POOL_ERROR, POOL_ERROR_CANCELLED,
                        "Task %" G_GUINT64_FORMAT " was cancelled, did not stop, and was ended with worker %u "
                        "(pid %" G_GINT64_FORMAT ")",
                        record->id, worker->id, worker->pid);
  return g_error_new (POOL_ERROR, POOL_ERROR_TERMINATED,
                      "Task %" G_GUINT64_FORMAT " was terminated by signal %d (%s) to worker %u "
                      "(pid %" G_GINT64_FORMAT ")",
                      record->id, record->signum, g_strsignal (record->signum), worker->id, worker->pid);
}

/*
 * Does to a task what is wanted of it, now that its worker is known. FALSE: the worker has not begun, or has come to the end of it,
 * which will show.
 */
gboolean
pool_engine_try_to_end_locked (PoolEngine *self, PoolWorker *worker, PoolRecord *record)
{
  int signum = record->signum;
  g_autoptr (GError) error = NULL;

  if (signum == 0)
    {
      tell_to_stop (self, worker, record);
      return TRUE;
    }
  if (pool_engine_doom_locked (self, worker, record, -1) == 0)
    return FALSE;
  placed (self, record);
  error = explain_ending (worker, record);
  pool_engine_give_up_locked (self, record, -1, error);
  pool_engine_end_worker_locked (self, worker, POOL_DOWN_REASON_ASKED, signum);
  return TRUE;
}

/* Ends what a job has in work, and gives up the rest. */
gboolean
pool_engine_terminate_job_locked (PoolEngine *self, PoolJob *job, int signum)
{
  g_autoptr (GError) error = NULL;
  gboolean any;

  if (self->backend == NULL)
    return FALSE;
  error = g_error_new (POOL_ERROR, POOL_ERROR_TERMINATED,
                       "Task %" G_GUINT64_FORMAT " was terminated before it was started", job->id);
  any = pool_engine_cancel_queued_locked (self, job, error);
  for (guint i = 0; i < self->ledger.size; i++)
    {
      PoolRecord *record = self->ledger.table[i];

      if (record == NULL || record->job != job)
        continue;
      any = TRUE;
      pool_engine_mark_ending_locked (self, record, POOL_ENDING_TERMINATE, signum);
    }
  if (any)
    pool_engine_check_time_locked (self);
  return any;
}

static PoolWorker *
find_worker (PoolEngine *self, gint64 pid)
{
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->up && worker->pid == pid)
        return worker;
    }
  return NULL;
}

/* Ends the task that the worker process @pid runs now. */
gboolean
pool_engine_terminate_worker_locked (PoolEngine *self, gint64 pid, int signum, GError **error)
{
  PoolWorker *worker = pid > 0 ? find_worker (self, pid) : NULL;
  PoolBackendWorker now;
  PoolRecord *record;

  if (worker == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "No worker of this pool has the process id %" G_GINT64_FORMAT, pid);
      return FALSE;
    }
  POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &now);
  record = pool_ledger_find (&self->ledger, now.handle);
  if (record != NULL)
    {
      pool_engine_mark_ending_locked (self, record, POOL_ENDING_TERMINATE, signum);
      if (pool_engine_try_to_end_locked (self, worker, record))
        return TRUE;
      /* it has just begun, or is at its end: that is decided when it is looked at again */
      pool_engine_arm_timer_locked (self, g_get_monotonic_time () + 1000);
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
               "Worker %u (pid %" G_GINT64_FORMAT ") runs no task now", worker->id, pid);
  return FALSE;
}

/* --- workers that leave --- */

static void
count_leaving (PoolEngine *self, PoolWorker *worker)
{
  if (!worker->leaves)
    self->n_leaving++;
  worker->leaves = TRUE;
}

/* A worker takes no more tasks. It goes when the one that is made now is up, so that the pool is never smaller. */
void
pool_engine_worker_leaves_locked (PoolEngine *self, guint id)
{
  PoolWorker *worker = pool_engine_get_worker (self, id);

  if (worker == NULL || !worker->up || worker->leaves)
    return;
  count_leaving (self, worker);
  g_queue_push_tail (&self->leavers, worker);
  pool_engine_fill_up_locked (self);
}

/* Another worker is up, or cannot be made: one of those that wait to leave may go. */
void
pool_engine_release_leaver_locked (PoolEngine *self)
{
  PoolWorker *worker = g_queue_pop_head (&self->leavers);

  if (worker != NULL)
    POOL_BACKEND_GET_CLASS (self->backend)->retire_worker (self->backend, worker->id);
}

/* Replaces the workers from before a restart one by one, each after its task. */
void
pool_engine_replace_stale_locked (PoolEngine *self)
{
  if (self->leavers.length > 0 || self->stopping)
    return;
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker == NULL || !worker->up || !worker->stale || worker->leaves)
        continue;
      worker->stale = FALSE;
      pool_engine_worker_leaves_locked (self, worker->id);
      return;
    }
}

/* --- the number of workers --- */

/* Makes workers until there are as many as there are to be. */
void
pool_engine_fill_up_locked (PoolEngine *self)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->backend);
  guint n;

  if (self->stopping || self->state > POOL_STATE_CLOSE)
    return;
  n = klass->count_workers (self->backend);
  n = n > self->n_leaving ? n - self->n_leaving : 0;
  if (n < self->n_wanted)
    klass->add_workers (self->backend, self->n_wanted - n);
}

gboolean
pool_engine_grow_locked (PoolEngine *self, guint n, GError **error)
{
  if (!(self->flags & POOL_BACKEND_CAN_GROW))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE, "The workers of this pool cannot be added to");
      return FALSE;
    }
  if (n > self->settings.backend.max_processes ||
      self->n_wanted + n > self->settings.backend.max_processes)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The pool has %u workers and may have %u: it cannot grow by %u (set max-processes before "
                   "the start)",
                   self->n_wanted, self->settings.backend.max_processes, n);
      return FALSE;
    }
  self->n_wanted += n;
  pool_engine_fill_up_locked (self);
  pool_engine_watch_locked (self);
  return TRUE;
}

static void
dismiss (PoolEngine *self, PoolWorker *worker)
{
  count_leaving (self, worker);
  worker->dismissed = TRUE;
  POOL_BACKEND_GET_CLASS (self->backend)->retire_worker (self->backend, worker->id);
}

static guint
dismiss_some (PoolEngine *self, guint n, gboolean busy)
{
  guint dismissed = 0;

  /* the last ones first: the first are woken first, and warm */
  for (guint i = self->workers->len; i > 0 && dismissed < n; i--)
    {
      PoolWorker *worker = self->workers->pdata[i - 1];
      PoolBackendWorker now;

      if (worker == NULL || !worker->up || worker->leaves || worker->why != POOL_DOWN_REASON_NONE)
        continue;
      POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &now);
      if ((now.handle != 0) != busy)
        continue;
      dismiss (self, worker);
      dismissed++;
    }
  return dismissed;
}

/* @worker has come up. The pool may have been made smaller while it was being made. */
void
pool_engine_check_surplus_locked (PoolEngine *self, PoolWorker *worker)
{
  guint n = POOL_BACKEND_GET_CLASS (self->backend)->count_workers (self->backend);

  if (n > self->n_leaving + self->n_wanted && !self->stopping)
    dismiss (self, worker);
}

gboolean
pool_engine_shrink_locked (PoolEngine *self, guint n, GError **error)
{
  guint dismissed;

  if (n >= self->n_wanted)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The pool has %u workers and needs one: it cannot shrink by %u", self->n_wanted, n);
      return FALSE;
    }
  self->n_wanted -= n;
  dismissed = dismiss_some (self, n, FALSE);
  /* they end after the task that they are in */
  dismiss_some (self, n - dismissed, TRUE);
  pool_engine_watch_locked (self);
  return TRUE;
}

/* The task of a worker waits for another one of this pool: somebody else has to run that. FALSE: there can be no more workers. */
gboolean
pool_engine_stand_in_locked (PoolEngine *self)
{
  if (self->n_wanted >= self->settings.backend.max_processes || self->state > POOL_STATE_CLOSE)
    return FALSE;
  self->n_stand_ins++;
  self->n_wanted++;
  pool_engine_fill_up_locked (self);
  return TRUE;
}

void
pool_engine_end_stand_in_locked (PoolEngine *self)
{
  if (self->n_stand_ins == 0)
    return;
  self->n_stand_ins--;
  self->n_wanted--;
  if (dismiss_some (self, 1, FALSE) == 0)
    dismiss_some (self, 1, TRUE);
}

/* There is more to do than there are workers. */
void
pool_engine_scale_up_locked (PoolEngine *self)
{
  guint wanted = MIN (self->ledger.n_records, self->settings.max_processes);

  if (wanted <= self->n_wanted || self->stopping)
    return;
  self->n_wanted = wanted;
  pool_engine_fill_up_locked (self);
  if (self->idle_check_at != 0)
    return;
  self->idle_check_at = g_get_monotonic_time () + (gint64) (self->settings.idle_time * G_USEC_PER_SEC);
  pool_engine_arm_timer_locked (self, self->idle_check_at);
}

/* Lets workers go that have done nothing since this was called last. */
void
pool_engine_scale_down_locked (PoolEngine *self, gint64 now)
{
  self->idle_check_at = 0;
  if (self->stopping)
    return;
  for (guint i = self->workers->len; i > 0; i--)
    {
      PoolWorker *worker = self->workers->pdata[i - 1];
      PoolBackendWorker state;

      if (worker == NULL || !worker->up || worker->leaves)
        continue;
      POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &state);
      if (state.handle == 0 && state.done == worker->done_seen &&
          self->n_wanted > self->settings.min_processes)
        {
          self->n_wanted--;
          dismiss (self, worker);
        }
      worker->done_seen = state.done;
    }
  if (self->n_wanted > self->settings.min_processes)
    self->idle_check_at = now + (gint64) (self->settings.idle_time * G_USEC_PER_SEC);
}
