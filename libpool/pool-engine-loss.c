/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"

/* Tasks that do not come to a good end: their worker died, or nobody wants them any more. */

/* A worker may be reading the argument of a record that ends before its task does. */
static void
give_away_payload (PoolEngine *self, PoolRecord *record)
{
  if (record->owns_payload == 0 || record->serial == 0)
    return;
  POOL_BACKEND_GET_CLASS (self->backend)
      ->adopt_payload (self->backend, pool_record_get_handle (record), (guint8 *) record->data,
                       record->owns_payload == 2);
  record->owns_payload = 0;
}

void
pool_engine_fail_record_locked (PoolEngine *self, PoolRecord *record, PoolRecordState state, const GError *error)
{
  pool_engine_count_failure (self, record, error);
  record->job->klass->fail (record->job, record, error);
  pool_engine_leave_locked (self, record, state);
}

/* The program has given it up meanwhile: what the task says no longer counts. */
void
pool_engine_end_as_wanted_locked (PoolEngine *self, PoolRecord *record)
{
  g_autoptr (GError) error = NULL;

  if (record->ending == POOL_ENDING_CANCEL)
    error = g_error_new (POOL_ERROR, POOL_ERROR_CANCELLED,
                         "Task %" G_GUINT64_FORMAT " was cancelled while it ran", record->id);
  else
    error = g_error_new (POOL_ERROR, POOL_ERROR_TERMINATED,
                         "Task %" G_GUINT64_FORMAT " was terminated", record->id);
  pool_engine_fail_record_locked (self, record, POOL_RECORD_CANCELLED, error);
}

/* --- losses --- */

static void
lost_for_good (PoolEngine *self, PoolRecord *record, const char *how)
{
  const PoolFunction *function = pool_function_table_get (self->functions, record->function);
  g_autoptr (GError) error = NULL;

  pool_engine_push_task_event (self, POOL_EVENT_TASK_LOST, record, 0);
  if (self->statistics != NULL)
    pool_engine_observe_task (self, record, "lost");
  error = g_error_new (POOL_ERROR, POOL_ERROR_WORKER_LOST,
                       "Task %" G_GUINT64_FORMAT " (%s) was lost in attempt %u%s: %s", record->id,
                       function != NULL ? function->name : "?", record->attempt,
                       self->settings.resilient ? "" : " and is not tried again (resilient is off)",
                       how);
  pool_engine_fail_record_locked (self, record, POOL_RECORD_FAILED, error);
}

/*
 * A record for items of @from that are to be run again, or by somebody else. NULL: there is no memory for one, and they
 * have failed; @from keeps the job from ending meanwhile.
 */
PoolRecord *
pool_engine_cut_again_locked (PoolEngine *self, PoolRecord *from, guint64 first, guint n)
{
  PoolJob *job = from->job;
  g_autoptr (GError) error = NULL;
  PoolRecord *record = job->klass->cut_again (job, self, first, n, &error);

  if (G_UNLIKELY (record == NULL))
    {
      PoolRecord items = { .job = job, .id = from->id, .first = first, .n_items = n,
                           .attempt = from->attempt, .worker = from->worker };

      self->counters.n_failed += n;
      job->klass->fail (job, &items, error);
    }
  return record;
}

static void
queue_items_again (PoolEngine *self, PoolRecord *lost, guint first, guint n, guint attempt)
{
  PoolRecord *record;

  if (n == 0)
    return;
  record = pool_engine_cut_again_locked (self, lost, lost->first + first, n);
  if (record == NULL)
    return;
  record->max_retries = lost->max_retries;
  pool_engine_enter_locked (self, lost->job, record, lost->id);
  record->attempt = attempt;
  record->order = lost->order;
  pool_queue_push_head (&self->queue, record);
}

static gboolean
may_retry (PoolEngine *self, PoolRecord *record)
{
  return self->settings.resilient && record->attempt < MAX (record->max_retries, 1);
}

static void
count_retry (PoolEngine *self, PoolRecord *record)
{
  self->counters.n_retried++;
  pool_engine_push_task_event (self, POOL_EVENT_TASK_RETRIED, record, 0);
  if (self->statistics != NULL)
    pool_engine_observe_task (self, record, "retry");
}

/*
 * A chunk whose worker died in @item: that one is tried again alone, and the blame falls on it only. @verdict: it is not tried
 * again, and fails with this.
 */
static void
lose_chunk (PoolEngine *self, PoolRecord *record, guint item, const char *how, const GError *verdict)
{
  PoolJob *job = record->job;
  guint n_items = record->n_items;

  job->n_records++; /* the job must not end between its pieces */
  item = MIN (item, n_items - 1);
  queue_items_again (self, record, item + 1, n_items - item - 1, record->attempt);
  if (self->settings.resilient)
    queue_items_again (self, record, 0, item, record->attempt);
  if (verdict == NULL && may_retry (self, record))
    {
      count_retry (self, record);
      queue_items_again (self, record, item, 1, record->attempt + 1);
      pool_engine_leave_locked (self, record, POOL_RECORD_CANCELLED);
    }
  else
    {
      /* at most once: what came before it has been run too, and its results are gone */
      record->n_items = self->settings.resilient ? 1 : item + 1;
      record->first += self->settings.resilient ? item : 0;
      if (verdict != NULL)
        pool_engine_fail_record_locked (self, record, POOL_RECORD_FAILED, verdict);
      else
        lost_for_good (self, record, how);
    }
  job->n_records--;
  pool_engine_collect_job_locked (self, job);
}

/* The worker that ran @record is dead. @how: a sentence for the error. */
void
pool_engine_lose_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how)
{
  record->state = POOL_RECORD_RUNNING;
  if (record->ending != POOL_ENDING_NONE)
    pool_engine_end_as_wanted_locked (self, record);
  /* also a chunk of one: if the rest of it was taken back, its payload still has that */
  else if (record->job->klass->cut_again != NULL)
    lose_chunk (self, record, item, how, NULL);
  else if (may_retry (self, record))
    {
      count_retry (self, record);
      pool_engine_put_back_locked (self, record, TRUE);
      if (self->statistics != NULL)
        pool_engine_observe_queued (self, record);
    }
  else
    lost_for_good (self, record, how);
}

/* @record fails with @error, though other items of it than @item (< 0: all) may have another attempt. No worker has it any more. */
void
pool_engine_condemn_locked (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error)
{
  pool_engine_take_output_locked (self, record);
  record->state = POOL_RECORD_RUNNING;
  if (self->statistics != NULL)
    pool_engine_observe_given_up (self, record, item, error);
  if (item >= 0 && record->ending != POOL_ENDING_NONE)
    pool_engine_end_as_wanted_locked (self, record);
  else if (item >= 0 && record->job->klass->cut_again != NULL)
    lose_chunk (self, record, item, NULL, error);
  else
    pool_engine_fail_record_locked (self, record, POOL_RECORD_FAILED, error);
}

/* A worker still has @record, and will say nothing of it any more. @item: that it is given up for; < 0: all of it. */
void
pool_engine_give_up_locked (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error)
{
  give_away_payload (self, record);
  pool_engine_condemn_locked (self, record, item, error);
}

/* --- giving up --- */

/* What a map has not cut into chunks yet. */
static gboolean
fail_source (PoolEngine *self, PoolJob *job, const GError *error)
{
  if (!job->has_source)
    return FALSE;
  pool_engine_fail_record_locked (self, job->source, POOL_RECORD_CANCELLED, error);
  return TRUE;
}

/* Gives up what no worker has; what one has is told, and ended if it does not come to its end by itself. */
gboolean
pool_engine_cancel_locked (PoolEngine *self, PoolJob *job, const GError *error)
{
  PoolBackendClass *klass;
  gboolean any, running = FALSE;

  if (self->backend == NULL)
    return FALSE;
  klass = POOL_BACKEND_GET_CLASS (self->backend);
  any = fail_source (self, job, error);
  for (guint i = 0; i < self->ledger.size; i++)
    {
      PoolRecord *record = self->ledger.table[i];

      if (record == NULL || record->job != job || record->ending != POOL_ENDING_NONE)
        continue;
      any = TRUE;
      if (record->state == POOL_RECORD_QUEUED ||
          klass->cancel (self->backend, pool_record_get_handle (record)))
        pool_engine_fail_record_locked (self, record, POOL_RECORD_CANCELLED, error);
      else
        {
          pool_engine_mark_ending_locked (self, record, POOL_ENDING_CANCEL, 0);
          running = TRUE;
        }
    }
  if (running)
    pool_engine_check_time_locked (self);
  return any;
}

/* Nobody had started it, and nobody is to. */
void
pool_engine_end_unwanted_locked (PoolEngine *self, PoolRecord *record)
{
  g_autoptr (GError) error = g_error_new (POOL_ERROR, POOL_ERROR_CANCELLED,
                                          "Task %" G_GUINT64_FORMAT " was cancelled before it was started", record->id);

  pool_engine_fail_record_locked (self, record, POOL_RECORD_CANCELLED, error);
}

/* Gives up what no worker has started of a job; how much of it there was. */
gboolean
pool_engine_cancel_queued_locked (PoolEngine *self, PoolJob *job, const GError *error)
{
  gboolean any = fail_source (self, job, error);

  for (guint i = 0; i < self->ledger.size; i++)
    {
      PoolRecord *record = self->ledger.table[i];

      if (record == NULL || record->job != job)
        continue;
      if (record->state != POOL_RECORD_QUEUED &&
          !POOL_BACKEND_GET_CLASS (self->backend)->cancel (self->backend, pool_record_get_handle (record)))
        {
          /* one that is far away may yet be handed back */
          record->is_unwanted = (self->flags & POOL_BACKEND_REMOTE) != 0;
          continue;
        }
      any = TRUE;
      pool_engine_fail_record_locked (self, record, POOL_RECORD_CANCELLED, error);
    }
  return any;
}

void
pool_engine_fail_all_locked (PoolEngine *self, const GError *error)
{
  PoolRecord *record;

  while ((record = pool_queue_any (&self->queue)) != NULL)
    pool_engine_fail_record_locked (self, record, POOL_RECORD_CANCELLED, error);
  for (guint i = 0; i < self->ledger.size; i++)
    if (self->ledger.table[i] != NULL)
      {
        give_away_payload (self, self->ledger.table[i]);
        pool_engine_take_output_locked (self, self->ledger.table[i]);
        pool_engine_fail_record_locked (self, self->ledger.table[i], POOL_RECORD_CANCELLED, error);
      }
}
