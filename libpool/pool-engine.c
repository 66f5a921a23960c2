/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-value-private.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Tasks that go to the backend in one call. */
#define HAND_OUT_BATCH 64

/*
 * Chunks of a map are cut when they are handed out, and no more of their bytes than this are in flight, so that a map
 * over more data than there is memory for needs little of it; each worker always has two chunks to go on with.
 */
#define MAX_BYTES_SENT (32 * 1024 * 1024)

/* Something is to be called back that nobody may be there to call. */
static void
wake_for_callbacks (gpointer data)
{
  PoolEngine *self = data;

  if (self->generation == pool_fork_generation ())
    pool_engine_rouse_thread (self);
}

PoolEngine *
pool_engine_new (void)
{
  PoolEngine *self = g_new0 (PoolEngine, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  g_cond_init (&self->settled);
  self->generation = pool_fork_generation ();
  self->dispatcher = pool_dispatcher_new ();
  pool_dispatcher_set_wake (self->dispatcher, wake_for_callbacks, self);
  self->functions = pool_function_table_new ();
  self->workers = g_ptr_array_new ();
  self->old_backends = g_ptr_array_new_with_free_func (g_object_unref);
  self->wake_fd = -1;
  self->settings.resilient = TRUE;
  self->settings.max_retries = 3;
  self->settings.max_restart_freq = 1;
  self->settings.threads = TRUE;
  self->settings.enable_timeouts = TRUE;
  self->settings.grace = 2;
  self->settings.callback_grace = 0.05;
  self->settings.lost_worker_timeout = 10;
  self->settings.idle_time = 10;
  self->settings.remote.heartbeat = 1;
  self->timer_fd = -1;
  self->min_limit = G_MAXINT64;
  g_queue_init (&self->leavers);
  g_queue_init (&self->lost);
  pool_ledger_init (&self->ledger);
  return self;
}

PoolEngine *
pool_engine_ref (PoolEngine *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
free_worker (gpointer data)
{
  PoolWorker *worker = data;

  if (worker != NULL)
    g_free (worker->host);
  g_free (worker);
}

static void
clear_settings (PoolEngineSettings *self)
{
  PoolBackendConfig *config = &self->backend;

  g_clear_pointer (&config->static_args, g_variant_unref);
  g_clear_pointer (&config->initargs, g_variant_unref);
  g_free ((char *) config->initializer);
  g_strfreev ((char **) config->log_domains);
  g_strfreev ((char **) config->worker_command);
  g_free (self->remote.endpoint);
  g_free (self->remote.launcher);
  g_free (self->remote.key_file);
  g_free (self->remote.allowed_keys);
  g_free (self->remote.agent_key_file);
  g_free (self->remote.agent_command);
  g_free (self->remote.bound);
  g_free (self->name);
  if (self->fork_destroy != NULL)
    self->fork_destroy (config->fork_data);
  if (self->thread_destroy != NULL)
    self->thread_destroy (config->thread_data);
}

void
pool_engine_unref (PoolEngine *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  pool_dispatcher_set_wake (self->dispatcher, NULL, NULL);
  g_clear_object (&self->backend);
  g_ptr_array_unref (self->old_backends);
  if (self->event_destroy != NULL)
    self->event_destroy (self->event_data);
  if (!self->orphan && self->generation == pool_fork_generation ())
    pool_ledger_clear (&self->ledger);
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  if (self->timer_fd >= 0)
    close (self->timer_fd);
  g_clear_pointer (&self->monitor, pool_monitor_unref);
  g_queue_clear (&self->leavers);
  pool_engine_clear_lost (self);
  g_ptr_array_set_free_func (self->workers, free_worker);
  g_ptr_array_unref (self->workers);
  pool_function_table_free (self->functions);
  clear_settings (&self->settings);
  g_clear_error (&self->broken);
  g_free (self->statistics);
  pool_dispatcher_unref (self->dispatcher);
  g_cond_clear (&self->settled);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* In a forked child: what was held at the time of the fork will never be released. */
static void
become_orphan (PoolEngine *self)
{
  self->orphan = TRUE;
  self->generation = pool_fork_generation ();
  g_mutex_init (&self->lock);
}

void
pool_engine_lock (PoolEngine *self)
{
  if (G_UNLIKELY (self->generation != pool_fork_generation ()))
    become_orphan (self);
  g_mutex_lock (&self->lock);
}

/* Unlocks, then does what must not happen under the lock for the jobs that have ended. */
void
pool_engine_unlock (PoolEngine *self)
{
  PoolJob *job = g_steal_pointer (&self->finished);
  PoolDeferred *deferred = g_steal_pointer (&self->deferred);

  g_mutex_unlock (&self->lock);
  if (G_UNLIKELY (deferred != NULL))
    pool_engine_run_deferred (deferred);
  while (job != NULL)
    {
      PoolJob *next = job->next_finished;

      if (job->wants_notify)
        job->klass->notify (job);
      g_object_unref (job->object);
      job = next;
    }
}

/* The same, and brings what that gave to call back, if it is to come from this thread. */
void
pool_engine_unlock_and_call_back (PoolEngine *self)
{
  pool_dispatcher_expect_run (self->dispatcher);
  pool_engine_unlock (self);
  pool_dispatcher_run (self->dispatcher);
}

/* --- records and jobs --- */

void
pool_engine_enter_locked (PoolEngine *self, PoolJob *job, PoolRecord *record, guint64 id)
{
  record->job = job;
  pool_ledger_add (&self->ledger, record, id);
  if (G_UNLIKELY (self->statistics != NULL))
    pool_engine_observe_queued (self, record);
  if (job->n_records++ == 0 && !job->has_source)
    g_object_ref (job->object);
}

void
pool_engine_collect_job_locked (PoolEngine *self, PoolJob *job)
{
  if (job->n_records > 0 || job->has_source || job->is_queued_finished)
    return;

  job->is_queued_finished = TRUE;
  job->next_finished = self->finished;
  self->finished = job;
}

/* The backend has it no more. */
static inline void
count_back (PoolEngine *self, PoolRecord *record)
{
  if (!record->is_sent)
    return;
  record->is_sent = FALSE;
  self->n_sent--;
  if (record->flags & POOL_CALL_PACKED)
    self->bytes_sent -= MIN (self->bytes_sent, record->size);
  if (G_UNLIKELY (record->flags & POOL_CALL_LIMITED) && --self->n_limited == 0)
    self->min_limit = G_MAXINT64;
  if (G_UNLIKELY (record->ending != POOL_ENDING_NONE) && !record->is_placed)
    self->n_unplaced--;
}

/* No worker has it any more, though a result of it may still come. */
void
pool_engine_count_back_locked (PoolEngine *self, PoolRecord *record)
{
  count_back (self, record);
}

/* The record has ended: forget it, and the job when it was the last. */
void
pool_engine_leave_locked (PoolEngine *self, PoolRecord *record, PoolRecordState state)
{
  PoolJob *job = record->job;

  if (record->state == POOL_RECORD_QUEUED)
    pool_queue_remove (&self->queue, record);
  if (record->is_source)
    job->has_source = FALSE;
  else
    {
      if (G_UNLIKELY (self->settings.report_tasks) && record->flags & POOL_CALL_LIMITED &&
          record->state == POOL_RECORD_RUNNING)
        pool_engine_push_task_event (self, POOL_EVENT_TIMEOUT_CANCEL, record, 0);
      count_back (self, record);
      pool_ledger_finish (&self->ledger, record, state);
      pool_engine_free_payload (self, record);
      job->n_records--;
    }
  if (G_UNLIKELY (self->settings.report_tasks) && !record->is_source &&
      (job->is_stream || pool_job_is_done (job)))
    pool_engine_push_task_event (self, POOL_EVENT_TASK_DONE, record, 0);
  if (job->klass->free_record != NULL)
    job->klass->free_record (job, record);
  pool_engine_collect_job_locked (self, job);
}

/* Called by a job when its result is complete. */
void
pool_engine_job_done_locked (PoolEngine *self, PoolJob *job)
{
  atomic_store_explicit (&job->done, TRUE, memory_order_release);
  if (self->waiters != NULL || self->pump != NULL)
    pool_engine_wake_locked (self, job);
}

/* What was queued for @job can go. */
static void
start_queued (PoolEngine *self, PoolJob *job)
{
  pool_engine_hand_out_locked (self);
  /* no room: whoever submits at full speed collects what is done, too */
  if (G_UNLIKELY (self->queue.n > 0) && self->pump == NULL)
    pool_engine_dispatch_locked (self);
  if (!job->is_waited_for)
    pool_engine_watch_locked (self);
}

void
pool_engine_submit_locked (PoolEngine *self, PoolJob *job, PoolRecord *record)
{
  pool_engine_enter_locked (self, job, record, 0);
  job->id = record->id;
  if (G_UNLIKELY (record->priority != 0))
    {
      self->has_priorities = TRUE;
      pool_engine_withdraw_locked (self, record->priority);
    }
  pool_queue_push_tail (&self->queue, record);
  start_queued (self, job);
}

/* Many calls of one job at once: @records, by their next. */
void
pool_engine_submit_all_locked (PoolEngine *self, PoolJob *job, PoolRecord *records)
{
  while (records != NULL)
    {
      PoolRecord *record = records;

      records = record->next;
      record->next = NULL;
      pool_engine_enter_locked (self, job, record, 0);
      pool_queue_push_tail (&self->queue, record);
    }
  start_queued (self, job);
}

/* @source: stands for the chunks that the job has yet to cut; also to wake one that has run dry. */
void
pool_engine_add_source_locked (PoolEngine *self, PoolJob *job, PoolRecord *source)
{
  if (job->has_source)
    return;

  if (job->n_records == 0)
    {
      g_object_ref (job->object);
      job->is_queued_finished = FALSE;
    }
  if (job->id == 0)
    job->id = self->ledger.next_id++;
  job->has_source = TRUE;
  job->source = source;
  source->job = job;
  source->is_source = TRUE;
  source->state = POOL_RECORD_QUEUED;
  if (G_UNLIKELY (self->statistics != NULL))
    pool_engine_observe_queued (self, source);
  pool_queue_push_tail (&self->queue, source);
  pool_engine_hand_out_locked (self);
  if (!job->is_waited_for)
    pool_engine_watch_locked (self);
}

/* --- handing out --- */

static PoolRecord *
cut_chunk (PoolEngine *self, PoolRecord *source)
{
  PoolJob *job = source->job;
  PoolRecord *chunk = NULL;
  g_autoptr (GError) error = NULL;

  if (self->bytes_sent > MAX_BYTES_SENT && self->ledger.n_records > 2 * self->n_alive)
    return NULL;

  chunk = job->klass->cut (job, self, MAX (self->n_alive, self->settings.backend.processes), &error);
  if (G_UNLIKELY (error != NULL))
    {
      pool_engine_fail_record_locked (self, source, POOL_RECORD_CANCELLED, error);
      return NULL;
    }
  if (chunk == NULL)
    {
      pool_engine_leave_locked (self, source, POOL_RECORD_DONE);
      return NULL;
    }
  pool_engine_enter_locked (self, job, chunk, job->id);
  if (G_UNLIKELY (self->statistics != NULL))
    pool_engine_observe_cut (self, chunk, source);
  return chunk;
}

/* The next record that can go to a worker; it is in nobody's queue. */
static PoolRecord *
next_ready (PoolEngine *self)
{
  PoolRecord *record;

  while ((record = pool_queue_peek (&self->queue)) != NULL)
    {
      PoolRecord *chunk;

      if (!record->is_source)
        {
          pool_queue_remove (&self->queue, record);
          pool_queue_turn (&self->queue);
          return record;
        }

      chunk = cut_chunk (self, record);
      if (chunk != NULL)
        {
          pool_queue_turn (&self->queue);
          return chunk;
        }
      if (pool_queue_peek (&self->queue) == record)
        return NULL; /* enough bytes are in flight */
    }
  return NULL;
}

static void
fill_task (PoolEngine *self, PoolBackendTask *task, PoolRecord *record)
{
  task->handle = pool_ledger_send (&self->ledger, record);
  task->id = record->id;
  task->attempt = record->attempt;
  task->function = record->function;
  task->n_items = record->n_items;
  task->flags = record->flags;
  task->limit = 0;
  task->data = record->data;
  task->size = record->size;
  record->is_sent = TRUE;
  self->n_sent++;
  if (record->flags & POOL_CALL_PACKED)
    self->bytes_sent += record->size;
  if (G_UNLIKELY (record->flags & POOL_CALL_LIMITED))
    {
      task->limit = record->soft_timeout > 0 ? record->soft_timeout : record->timeout;
      pool_engine_limit_locked (self, record);
    }
  if (G_UNLIKELY (self->settings.backend.memory_limit > 0) && self->memory_check_at == 0)
    pool_engine_watch_memory_locked (self);
}

void
pool_engine_put_back_locked (PoolEngine *self, PoolRecord *record, gboolean lost)
{
  count_back (self, record);
  pool_ledger_requeue (&self->ledger, record, lost);
  pool_queue_push_head (&self->queue, record);
}

/* With priorities the backend has only what it can start soon: what comes later may be more urgent. */
static inline guint
get_room (PoolEngine *self, PoolBackendClass *klass)
{
  guint room = klass->get_room (self->backend);

  room = MIN (room, HAND_OUT_BATCH);
  if (G_UNLIKELY (self->has_priorities))
    {
      guint wanted = MAX (2 * self->n_alive, 1);

      room = MIN (room, wanted > self->n_sent ? wanted - self->n_sent : 0);
    }
  return room;
}

static int
compare_order (gconstpointer a, gconstpointer b)
{
  const PoolRecord *const *left = a, *const *right = b;

  return (*left)->order < (*right)->order ? 1 : -1;
}

/* Takes back what no worker has started and is less urgent than @priority. */
void
pool_engine_withdraw_locked (PoolEngine *self, int priority)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->backend);
  g_autoptr (GPtrArray) withdrawn = g_ptr_array_new ();

  for (guint i = 0; i < self->ledger.size; i++)
    {
      PoolRecord *record = self->ledger.table[i];

      if (record != NULL && record->state == POOL_RECORD_SENT && record->priority < priority &&
          !record->is_aged &&
          klass->cancel (self->backend, pool_record_get_handle (record)))
        g_ptr_array_add (withdrawn, record);
    }
  g_ptr_array_sort (withdrawn, compare_order);
  for (guint i = 0; i < withdrawn->len; i++)
    pool_engine_put_back_locked (self, withdrawn->pdata[i], FALSE);
}

void
pool_engine_hand_out_locked (PoolEngine *self)
{
  PoolBackendClass *klass;

  if (self->queue.n == 0 || self->backend == NULL || self->state == POOL_STATE_BROKEN)
    return;

  klass = POOL_BACKEND_GET_CLASS (self->backend);
  for (;;)
    {
      PoolBackendTask tasks[HAND_OUT_BATCH];
      PoolRecord *records[HAND_OUT_BATCH];
      guint room = get_room (self, klass);
      guint n = 0, accepted;

      while (n < room && (records[n] = next_ready (self)) != NULL)
        {
          fill_task (self, &tasks[n], records[n]);
          n++;
        }
      if (n == 0)
        break;

      accepted = klass->submit (self->backend, tasks, n);
      for (guint i = n; i > accepted; i--)
        pool_engine_put_back_locked (self, records[i - 1], FALSE);
      if (accepted < n)
        break;
    }
  if (G_UNLIKELY (self->settings.min_processes > 0 && self->n_wanted < self->settings.max_processes))
    pool_engine_scale_up_locked (self);
}

/* The worker of @record leaves its items from @first on to others. */
static void
take_rest (PoolEngine *self, PoolRecord *record, guint first)
{
  guint n_items = record->n_items;
  PoolRecord *rest;

  record->n_items = first;
  rest = pool_engine_cut_again_locked (self, record, record->first + first, n_items - first);
  if (rest == NULL)
    return;
  pool_engine_enter_locked (self, record->job, rest, record->id);
  pool_queue_push_tail (&self->queue, rest);
}

void
pool_engine_was_split (PoolEngine *self, guint64 handle, guint first)
{
  PoolRecord *record = pool_ledger_find (&self->ledger, handle);

  if (record != NULL && first > 0 && first < record->n_items && record->ending == POOL_ENDING_NONE &&
      record->job->klass->cut_again != NULL)
    take_rest (self, record, first);
}

/*
 * When nothing is queued and there are more workers than records in work, somebody is idle: take the later half of a
 * running chunk back for it.
 */
static void
split_for_idle (PoolEngine *self)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->backend);

  if (klass->split == NULL)
    return;

  for (guint i = 0, seen = 0; i < self->ledger.size && seen < self->ledger.n_records; i++)
    {
      PoolRecord *record = self->ledger.table[i];
      guint first;

      if (record == NULL)
        continue;
      seen++;
      if (self->ledger.n_records >= self->n_alive || record->n_items < 2 ||
          record->state == POOL_RECORD_QUEUED || record->ending != POOL_ENDING_NONE ||
          record->job->klass->cut_again == NULL)
        continue;
      first = klass->split (self->backend, pool_record_get_handle (record), record->n_items);
      if (first > 0)
        take_rest (self, record, first);
    }
}

/* --- results --- */

/* A worker can write what it likes: is this an answer to what @record asked? */
static gboolean
is_answer (const PoolRecord *record, const PoolBackendResult *result)
{
  gboolean is_value = (record->flags & POOL_CALL_VALUE) != 0;

  if (result->kind == POOL_RESULT_ERROR)
    return TRUE;
  if (record->flags & POOL_CALL_PACKED)
    return result->kind == (is_value ? POOL_RESULT_PACKED_VALUES : POOL_RESULT_PACKED) &&
           result->n_items == record->n_items;
  return result->kind == (is_value ? POOL_RESULT_VALUE : POOL_RESULT_BYTES);
}

static void
fail_protocol (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  g_autoptr (GError) error =
      g_error_new (POOL_ERROR, POOL_ERROR_PROTOCOL,
                   "Worker %u sent something that is no answer to task %" G_GUINT64_FORMAT
                   " (attempt %u)",
                   result->worker, record->id, record->attempt);

  pool_engine_fail_record_locked (self, record, POOL_RECORD_FAILED, error);
}

static void
accepted (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  record->worker = result->worker;
  if (record->state == POOL_RECORD_SENT)
    record->state = POOL_RECORD_RUNNING;
  if (record->flags & POOL_CALL_SYNACK)
    POOL_BACKEND_GET_CLASS (self->backend)
        ->answer (self->backend, result->worker, result->handle, record->ending == POOL_ENDING_NONE);
  if (!self->settings.report_tasks && !record->job->wants_accepted)
    return;
  pool_engine_push_task_event (self, POOL_EVENT_TASK_ACCEPTED, record, result->since);
  if (record->flags & POOL_CALL_LIMITED)
    pool_engine_push_task_event (self, POOL_EVENT_TIMEOUT_SET, record, result->since);
}

/* Who had it is gone, and it may have been started. */
static void
lost_unseen (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  g_autoptr (GError) error = NULL;

  if (record == NULL)
    return;
  error = pool_error_decode (result->data, result->size);
  pool_engine_lose_locked (self, record, 0, error->message);
}

/* What a worker says that is no result. */
static void
take_message (PoolEngine *self, const PoolBackendResult *result)
{
  PoolRecord *record = pool_ledger_find (&self->ledger, result->handle);

  if (result->kind == POOL_RESULT_LEAVING)
    pool_engine_worker_leaves_locked (self, result->worker);
  else if (result->kind == POOL_RESULT_LOST)
    lost_unseen (self, record, result);
  else if (record == NULL)
    {
      /* it was given up before it began */
      if (result->kind == POOL_RESULT_ACCEPTED)
        POOL_BACKEND_GET_CLASS (self->backend)->answer (self->backend, result->worker, result->handle, FALSE);
    }
  else if (result->kind == POOL_RESULT_ACCEPTED)
    accepted (self, record, result);
  else if (record->job->klass->progress != NULL)
    record->job->klass->progress (record->job, result->run_time);
}

void
pool_engine_deliver (PoolEngine *self, const PoolBackendResult *result)
{
  PoolRecord *record;

  if (G_UNLIKELY (result->kind > POOL_RESULT_LAST))
    {
      take_message (self, result);
      return;
    }

  record = pool_ledger_find (&self->ledger, result->handle);

  if (G_UNLIKELY (record == NULL))
    {
      self->counters.n_late++;
      return;
    }

  record->worker = result->worker;
  if (G_UNLIKELY (record->ending != POOL_ENDING_NONE))
    {
      if (self->statistics != NULL)
        pool_engine_observe_result (self, record, result);
      pool_engine_end_as_wanted_locked (self, record);
      return;
    }
  if (G_UNLIKELY (result->kind == POOL_RESULT_NONE && record->is_unwanted))
    {
      pool_engine_end_unwanted_locked (self, record);
      return;
    }
  if (G_UNLIKELY (result->kind == POOL_RESULT_NONE))
    {
      pool_engine_put_back_locked (self, record, FALSE);
      return;
    }
  if (G_UNLIKELY (!is_answer (record, result)))
    {
      fail_protocol (self, record, result);
      return;
    }

  if (G_UNLIKELY (self->statistics != NULL))
    pool_engine_observe_result (self, record, result);
  if (result->kind == POOL_RESULT_ERROR)
    self->counters.n_failed += record->n_items;
  else
    self->counters.n_done += record->n_items;
  record->job->klass->deliver (record->job, record, result);
  pool_engine_leave_locked (self, record,
         result->kind == POOL_RESULT_ERROR ? POOL_RECORD_FAILED : POOL_RECORD_DONE);
}

/* Collects what the backend has, and gives it more. */
gboolean
pool_engine_dispatch_locked (PoolEngine *self)
{
  gboolean any;

  if (self->backend == NULL)
    return FALSE;

  any = POOL_BACKEND_GET_CLASS (self->backend)->dispatch (self->backend);
  if (self->queue.n > 0)
    pool_engine_hand_out_locked (self);
  if (any && self->queue.n == 0 && self->ledger.n_records > 0 &&
      self->ledger.n_records < self->n_alive)
    {
      split_for_idle (self);
      pool_engine_hand_out_locked (self);
    }
  pool_engine_maybe_stop_locked (self);
  return any;
}

/* --- limits --- */

/* What every record has from the pool, before the call's own. */
void
pool_engine_init_record (PoolEngine *self, PoolRecord *record)
{
  const PoolEngineSettings *settings = &self->settings;

  record->max_retries = settings->max_retries;
  record->timeout = settings->timeout;
  record->soft_timeout = settings->soft_timeout;
  if (G_UNLIKELY (settings->synack))
    record->flags |= POOL_CALL_SYNACK;
  if (G_UNLIKELY (settings->report_tasks))
    record->flags |= POOL_CALL_ACK | POOL_CALL_TIMED;
}

/* When the limits are what they are to be. */
void
pool_engine_set_limits (PoolEngine *self, PoolRecord *record)
{
  if (!self->settings.enable_timeouts)
    record->timeout = record->soft_timeout = 0;
  if (G_UNLIKELY (record->timeout > 0 || record->soft_timeout > 0))
    record->flags |= POOL_CALL_LIMITED | POOL_CALL_TIMED;
  else
    record->flags &= ~POOL_CALL_LIMITED;
}
