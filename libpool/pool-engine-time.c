/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-ring-private.h"

#include <signal.h>
#include <sys/timerfd.h>

/*
 * All that happens at a time: limits of tasks, a look at the memory of workers that have one, workers that were asked to end and did not, workers that have been idle for long. One
 * timer stands for all of it, and it is not set when there is nothing to wait for.
 *
 * A task's time begins when a worker starts it, and nobody is told of that. So when a task with a limit is handed out, the timer is set
 * to the first moment at which it could have run too long. Then the workers' words tell what they run and since when, and the
 * timer is set anew. Tasks that are short cost nothing but the clock that the worker reads.
 */

/* How soon to look again for a task that was claimed and has not begun. */
#define UNPLACED_US 1000

typedef struct
{
  guint64 handle;
  guint item;
  char *how;
  gint64 until;
} PoolLostTask;

static void
set_timer (PoolEngine *self, gint64 when)
{
  const struct itimerspec spec = { .it_value = { when / G_USEC_PER_SEC,
                                                 when % G_USEC_PER_SEC * 1000 } };

  self->timer_at = when;
  if (self->timer_fd >= 0)
    timerfd_settime (self->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Not later than @when (monotonic µs) pool_engine_check_time_locked() is to be called. */
void
pool_engine_arm_timer_locked (PoolEngine *self, gint64 when)
{
  if (self->timer_at == 0 || when < self->timer_at)
    set_timer (self, MAX (when, 1));
}

/* A record with limits is about to be handed out. */
void
pool_engine_limit_locked (PoolEngine *self, PoolRecord *record)
{
  double seconds = record->soft_timeout > 0 && record->timeout > 0
                       ? MIN (record->soft_timeout, record->timeout)
                       : MAX (record->soft_timeout, record->timeout);
  gint64 limit = MIN (seconds, 1e9) * G_USEC_PER_SEC;

  self->n_limited++;
  /* the timer was set by an earlier one with a limit that is no longer: it comes in time for this one too */
  if (self->timer_at != 0 && self->min_limit <= limit)
    return;
  self->min_limit = MIN (self->min_limit, limit);
  pool_engine_arm_timer_locked (self, g_get_monotonic_time () + limit);
}

static void
time_out (PoolEngine *self, PoolWorker *worker, PoolRecord *record, const PoolBackendWorker *now)
{
  const PoolFunction *function = pool_function_table_get (self->functions, record->function);
  gboolean kills = (self->flags & POOL_BACKEND_CAN_KILL) != 0;
  g_autoptr (GError) error = NULL;

  if (pool_engine_doom_locked (self, worker, record, now->item) == 0)
    return; /* it came to its end meanwhile */

  error = g_error_new (POOL_ERROR, POOL_ERROR_TIMED_OUT,
                       "Task %" G_GUINT64_FORMAT " (%s) ran over its limit of %g s in attempt %u; worker %u "
                       "(pid %" G_GINT64_FORMAT ") %s",
                       record->id, function != NULL ? function->name : "?", (double) record->timeout,
                       record->attempt, worker->id, worker->pid,
                       kills ? "is killed with all that it started"
                             : "cannot be ended: its thread was abandoned");
  pool_engine_push_timeout (self, record, FALSE);
  self->counters.n_timed_out++;
  if (self->statistics != NULL)
    pool_engine_observe_task (self, record, "timeout");
  pool_engine_give_up_locked (self, record, now->item, error);
  pool_engine_end_worker_locked (self, worker, POOL_DOWN_REASON_TIMED_OUT, 9);
}

static void
tell_soft (PoolEngine *self, PoolWorker *worker, PoolRecord *record, const PoolBackendWorker *now)
{
  if (worker->soft_told == now->handle && worker->soft_item == now->item)
    return;
  worker->soft_told = now->handle;
  worker->soft_item = now->item;
  record->worker = worker->id;
  pool_engine_push_timeout (self, record, TRUE);
  self->counters.n_soft_timed_out++;
  if (self->statistics != NULL)
    pool_engine_observe_task (self, record, "soft timeout");
  POOL_BACKEND_GET_CLASS (self->backend)
      ->notify (self->backend, worker->id, now->handle, now->item, POOL_NOTICE_SOFT_TIMEOUT);
}

/* MIN() would call twice what it is given. */
static inline gint64
earlier (gint64 a, gint64 b)
{
  return a < b ? a : b;
}

/* When a task that starts now could first have run too long. */
static gint64
soonest (PoolEngine *self, gint64 time)
{
  return self->min_limit == G_MAXINT64 ? G_MAXINT64 : time + self->min_limit;
}

/* The time at which to look again at what this worker runs, which has limits. */
static gint64
check_limits (PoolEngine *self, PoolWorker *worker, PoolRecord *record, const PoolBackendWorker *now,
              gint64 time)
{
  gint64 hard = G_MAXINT64, soft = G_MAXINT64;

  if (now->since == 0)
    return soonest (self, time);
  if (record->timeout > 0)
    hard = now->since + (gint64) (record->timeout * G_USEC_PER_SEC);
  if (record->soft_timeout > 0)
    soft = now->since + (gint64) (record->soft_timeout * G_USEC_PER_SEC);

  if (time >= hard)
    {
      time_out (self, worker, record, now);
      return soonest (self, time);
    }
  if (time < soft)
    return earlier (soft, hard);
  tell_soft (self, worker, record, now);
  /* in a batch the next item has a limit of its own */
  return record->n_items > 1 ? earlier (hard, soonest (self, time)) : hard;
}

/* A worker that was asked to end, or whose task was, has had its time. */
static gint64
check_patience (PoolEngine *self, PoolWorker *worker, const PoolBackendWorker *now, gint64 time)
{
  gint64 next = G_MAXINT64;
  PoolRecord *record;

  if (worker->kill_at != 0 && time >= worker->kill_at)
    {
      worker->kill_at = 0;
      POOL_BACKEND_GET_CLASS (self->backend)->kill_worker (self->backend, worker->id, 9);
    }
  else if (worker->kill_at != 0)
    next = worker->kill_at;

  if (worker->told == 0 || worker->told != now->handle)
    return next;
  if (time < worker->told_until)
    return earlier (next, worker->told_until);
  record = pool_ledger_find (&self->ledger, worker->told);
  worker->told = 0;
  if (record != NULL)
    {
      record->ending = POOL_ENDING_CANCEL;
      record->signum = 9;
      pool_engine_try_to_end_locked (self, worker, record);
    }
  return next;
}

/* Tasks are about to run, and their memory has a limit. What a worker cannot be refused must be looked for. */
void
pool_engine_watch_memory_locked (PoolEngine *self)
{
  self->memory_check_at = g_get_monotonic_time () + POOL_MEMORY_CHECK_US;
  pool_engine_arm_timer_locked (self, self->memory_check_at);
}

/* Its end will tell the rest: see pool_engine_worker_down(). */
static void
check_memory (PoolEngine *self, PoolWorker *worker, PoolRecord *record)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->backend);

  if (klass->get_memory == NULL ||
      klass->get_memory (self->backend, worker->id) <= self->settings.backend.memory_limit ||
      pool_engine_doom_locked (self, worker, record, -1) == 0)
    return;
  pool_engine_end_worker_locked (self, worker, POOL_DOWN_REASON_OUT_OF_MEMORY, SIGKILL);
}

static gint64
check_worker (PoolEngine *self, PoolWorker *worker, gint64 time, guint *n_limited)
{
  PoolBackendWorker now;
  PoolRecord *record;
  gint64 next;

  POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &now);
  next = check_patience (self, worker, &now, time);
  record = pool_ledger_find (&self->ledger, now.handle);
  if (record == NULL)
    return next;
  if (G_UNLIKELY (self->memory_check_at != 0) && time >= self->memory_check_at)
    check_memory (self, worker, record);
  if (record->ending != POOL_ENDING_NONE && !record->is_placed)
    {
      pool_engine_try_to_end_locked (self, worker, record);
      /* it may be gone */
      record = pool_ledger_find (&self->ledger, now.handle);
      if (record == NULL)
        return next;
      if (worker->told == now.handle)
        next = earlier (next, worker->told_until);
    }
  if (record->flags & POOL_CALL_LIMITED)
    {
      ++*n_limited;
      next = earlier (next, check_limits (self, worker, record, &now, time));
    }
  return next;
}

/* What a worker far away does has become known: it may be what somebody waits for. */
void
pool_engine_worker_changed (PoolEngine *self, guint worker)
{
  if (self->n_limited > 0 || self->n_unplaced > 0)
    pool_engine_arm_timer_locked (self, 1);
}

/* --- results that may still come --- */

static void
free_lost (PoolLostTask *lost)
{
  g_free (lost->how);
  g_free (lost);
}

/*
 * The worker is gone, but it may have sent the result of @record before that. Meanwhile the record takes nobody's turn, and none of its
 * time limits is looked at: no worker is in it.
 */
void
pool_engine_await_results_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how)
{
  PoolLostTask *lost;

  if (record->ending != POOL_ENDING_NONE)
    {
      pool_engine_end_as_wanted_locked (self, record);
      return;
    }
  pool_engine_count_back_locked (self, record);
  lost = g_new (PoolLostTask, 1);
  *lost = (PoolLostTask){ pool_record_get_handle (record), item, g_strdup (how),
                          g_get_monotonic_time () +
                              (gint64) (self->settings.lost_worker_timeout * G_USEC_PER_SEC) };
  g_queue_push_tail (&self->lost, lost);
  pool_engine_arm_timer_locked (self, lost->until);
}

static gint64
check_lost (PoolEngine *self, gint64 time)
{
  PoolLostTask *lost;

  while ((lost = g_queue_peek_head (&self->lost)) != NULL)
    {
      PoolRecord *record = pool_ledger_find (&self->ledger, lost->handle);

      if (record != NULL && time < lost->until)
        return lost->until;
      g_queue_pop_head (&self->lost);
      if (record != NULL)
        pool_engine_lose_locked (self, record, lost->item, lost->how);
      free_lost (lost);
    }
  return G_MAXINT64;
}

void
pool_engine_clear_lost (PoolEngine *self)
{
  PoolLostTask *lost;

  while ((lost = g_queue_pop_head (&self->lost)) != NULL)
    free_lost (lost);
}

/* --- all of it --- */

/* Nothing is to happen at a time any more. */
void
pool_engine_stop_time_locked (PoolEngine *self)
{
  set_timer (self, 0);
  self->idle_check_at = 0;
  pool_engine_clear_lost (self);
}

void
pool_engine_check_time_locked (PoolEngine *self)
{
  gint64 time = g_get_monotonic_time (), next = G_MAXINT64;
  guint n_limited = 0;

  if (self->backend == NULL || self->state == POOL_STATE_JOINED)
    return;

  set_timer (self, 0);
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->up)
        next = earlier (next, check_worker (self, worker, time, &n_limited));
    }
  /* those that wait to be started: one of them could start now */
  if (self->n_limited > n_limited)
    next = earlier (next, soonest (self, time));
  if (self->n_unplaced > 0)
    next = earlier (next, time + UNPLACED_US);
  next = earlier (next, check_lost (self, time));
  if (self->idle_check_at != 0 && time >= self->idle_check_at)
    pool_engine_scale_down_locked (self, time);
  if (self->idle_check_at != 0)
    next = earlier (next, self->idle_check_at);
  if (self->memory_check_at != 0 && time >= self->memory_check_at)
    self->memory_check_at = self->n_sent > 0 ? time + POOL_MEMORY_CHECK_US : 0;
  if (self->memory_check_at != 0)
    next = earlier (next, self->memory_check_at);
  if (next != G_MAXINT64)
    pool_engine_arm_timer_locked (self, next);
  if (self->queue.n > 0)
    pool_engine_hand_out_locked (self);
  /* the last task of a closed pool may have been given up, of which no worker will say anything */
  pool_engine_maybe_stop_locked (self);
}
