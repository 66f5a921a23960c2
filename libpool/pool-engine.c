/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"

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

PoolEngine *
pool_engine_new (void)
{
  PoolEngine *self = g_new0 (PoolEngine, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->generation = pool_fork_generation ();
  self->dispatcher = pool_dispatcher_new ();
  self->functions = pool_function_table_new ();
  self->workers = g_ptr_array_new ();
  self->wake_fd = -1;
  self->settings.resilient = TRUE;
  self->settings.max_retries = 3;
  self->settings.max_restart_freq = 1;
  self->settings.threads = TRUE;
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

void
pool_engine_unref (PoolEngine *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_clear_object (&self->backend);
  if (self->worker_event_destroy != NULL)
    self->worker_event_destroy (self->worker_event_data);
  if (!self->orphan && self->generation == pool_fork_generation ())
    pool_ledger_clear (&self->ledger);
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_ptr_array_set_free_func (self->workers, free_worker);
  g_ptr_array_unref (self->workers);
  pool_function_table_free (self->functions);
  g_clear_pointer (&self->settings.backend.static_args, g_variant_unref);
  g_clear_pointer (&self->settings.backend.initargs, g_variant_unref);
  g_free ((char *) self->settings.backend.initializer);
  g_clear_error (&self->broken);
  pool_dispatcher_unref (self->dispatcher);
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

  g_mutex_unlock (&self->lock);
  while (job != NULL)
    {
      PoolJob *next = job->next_finished;

      if (job->wants_notify)
        job->klass->notify (job);
      g_object_unref (job->object);
      job = next;
    }
}

/* --- the ready queue: a list through the records --- */

static void
queue_push_tail (PoolEngine *self, PoolRecord *record)
{
  record->next = NULL;
  record->prev = self->queue_tail;
  if (self->queue_tail != NULL)
    self->queue_tail->next = record;
  else
    self->queue_head = record;
  self->queue_tail = record;
  self->n_queued++;
}

static void
queue_push_head (PoolEngine *self, PoolRecord *record)
{
  record->prev = NULL;
  record->next = self->queue_head;
  if (self->queue_head != NULL)
    self->queue_head->prev = record;
  else
    self->queue_tail = record;
  self->queue_head = record;
  self->n_queued++;
}

static void
queue_remove (PoolEngine *self, PoolRecord *record)
{
  if (record->prev != NULL)
    record->prev->next = record->next;
  else
    self->queue_head = record->next;
  if (record->next != NULL)
    record->next->prev = record->prev;
  else
    self->queue_tail = record->prev;
  record->next = record->prev = NULL;
  self->n_queued--;
}

/* --- payloads --- */

/* Where to write @size bytes of argument: in the record, in the backend's memory, or on the heap. */
guint8 *
pool_engine_alloc_payload (PoolEngine *self, PoolRecord *record, gsize size)
{
  guint8 *data = record->bytes;

  record->owns_payload = 0;
  if (size > POOL_RECORD_INLINE)
    {
      PoolBackendClass *klass = self->backend != NULL ? POOL_BACKEND_GET_CLASS (self->backend) : NULL;

      data = klass != NULL && klass->alloc_payload != NULL
                 ? klass->alloc_payload (self->backend, size)
                 : NULL;
      record->owns_payload = data != NULL ? 2 : 1;
      if (data == NULL)
        data = g_malloc (size);
    }
  record->data = data;
  record->size = size;
  return data;
}

void
pool_engine_free_payload (PoolEngine *self, PoolRecord *record)
{
  if (record->owns_payload == 2)
    POOL_BACKEND_GET_CLASS (self->backend)->free_payload (self->backend, (guint8 *) record->data);
  else if (record->owns_payload == 1)
    g_free ((guint8 *) record->data);
  record->owns_payload = 0;
  record->data = NULL;
}

/* The record's argument, as bytes of their own: a task has replied with (part of) it. */
static GBytes *
steal_payload (PoolEngine *self, PoolRecord *record)
{
  guint8 *data = (guint8 *) record->data;
  GBytes *bytes;

  if (record->owns_payload == 2)
    bytes = POOL_BACKEND_GET_CLASS (self->backend)->wrap_payload (self->backend, data, record->size);
  else if (record->owns_payload == 1)
    bytes = g_bytes_new_take (data, record->size);
  else
    return g_bytes_new (data, record->size);
  record->owns_payload = 0;
  return bytes;
}

/* The result as bytes that may be kept. */
GBytes *
pool_engine_take_bytes (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  g_autoptr (GBytes) argument = NULL;
  gsize offset;

  if (result->bytes != NULL)
    return g_bytes_ref (result->bytes);
  if (!result->is_reference)
    return g_bytes_new (result->data, result->size);

  offset = result->data - record->data;
  argument = steal_payload (self, record);
  return g_bytes_new_from_bytes (argument, offset, result->size);
}

/* --- records and jobs --- */

static void
enter (PoolEngine *self, PoolJob *job, PoolRecord *record, guint64 id)
{
  record->job = job;
  pool_ledger_add (&self->ledger, record, id);
  if (job->n_records++ == 0 && !job->has_source)
    g_object_ref (job->object);
}

static void
collect_job (PoolEngine *self, PoolJob *job)
{
  if (job->n_records > 0 || job->has_source || job->is_queued_finished)
    return;

  job->is_queued_finished = TRUE;
  job->next_finished = self->finished;
  self->finished = job;
}

/* The record has ended: forget it, and the job when it was the last. */
static void
leave (PoolEngine *self, PoolRecord *record, PoolRecordState state)
{
  PoolJob *job = record->job;

  if (record->state == POOL_RECORD_QUEUED)
    queue_remove (self, record);
  if (record->is_source)
    job->has_source = FALSE;
  else
    {
      if (record->flags & POOL_CALL_PACKED && record->serial != 0)
        self->bytes_sent -= MIN (self->bytes_sent, record->size);
      pool_ledger_finish (&self->ledger, record, state);
      pool_engine_free_payload (self, record);
      job->n_records--;
    }
  if (job->klass->free_record != NULL)
    job->klass->free_record (job, record);
  collect_job (self, job);
}

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

static void
fail_record (PoolEngine *self, PoolRecord *record, PoolRecordState state, const GError *error)
{
  self->counters.n_failed += MAX (record->n_items, 1);
  record->job->klass->fail (record->job, record, error);
  leave (self, record, state);
}

/* Called by a job when its result is complete. */
void
pool_engine_job_done_locked (PoolEngine *self, PoolJob *job)
{
  atomic_store_explicit (&job->done, TRUE, memory_order_release);
  if (self->waiters != NULL || self->pump != NULL)
    pool_engine_wake_locked (self, job);
}

void
pool_engine_submit_locked (PoolEngine *self, PoolJob *job, PoolRecord *record)
{
  enter (self, job, record, 0);
  job->id = record->id;
  queue_push_tail (self, record);
  pool_engine_hand_out_locked (self);
  /* no room: whoever submits at full speed collects what is done, too */
  if (G_UNLIKELY (self->queue_head != NULL) && self->pump == NULL)
    pool_engine_dispatch_locked (self);
  if (!job->is_waited_for)
    pool_engine_watch_locked (self);
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
  source->job = job;
  source->is_source = TRUE;
  source->state = POOL_RECORD_QUEUED;
  queue_push_tail (self, source);
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

  if (self->bytes_sent > MAX_BYTES_SENT && self->ledger.n_records > 2 * self->n_alive)
    return NULL;

  chunk = job->klass->cut (job, self, MAX (self->n_alive, self->settings.backend.processes));
  if (chunk == NULL)
    {
      leave (self, source, POOL_RECORD_DONE);
      return NULL;
    }
  enter (self, job, chunk, job->id);
  return chunk;
}

/* The next record that can go to a worker; it is in nobody's queue. */
static PoolRecord *
next_ready (PoolEngine *self)
{
  while (self->queue_head != NULL)
    {
      PoolRecord *record = self->queue_head;
      PoolRecord *chunk;

      if (!record->is_source)
        {
          queue_remove (self, record);
          return record;
        }

      chunk = cut_chunk (self, record);
      if (chunk != NULL)
        return chunk;
      if (self->queue_head == record)
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
  task->data = record->data;
  task->size = record->size;
  if (record->flags & POOL_CALL_PACKED)
    self->bytes_sent += record->size;
}

static void
put_back (PoolEngine *self, PoolRecord *record, gboolean lost)
{
  if (record->flags & POOL_CALL_PACKED)
    self->bytes_sent -= MIN (self->bytes_sent, record->size);
  pool_ledger_requeue (&self->ledger, record, lost);
  queue_push_head (self, record);
}

void
pool_engine_hand_out_locked (PoolEngine *self)
{
  PoolBackendClass *klass;

  if (self->queue_head == NULL || self->backend == NULL || self->state == POOL_STATE_BROKEN)
    return;

  klass = POOL_BACKEND_GET_CLASS (self->backend);
  for (;;)
    {
      PoolBackendTask tasks[HAND_OUT_BATCH];
      PoolRecord *records[HAND_OUT_BATCH];
      guint room = MIN (klass->get_room (self->backend), HAND_OUT_BATCH);
      guint n = 0, accepted;

      while (n < room && (records[n] = next_ready (self)) != NULL)
        {
          fill_task (self, &tasks[n], records[n]);
          n++;
        }
      if (n == 0)
        return;

      accepted = klass->submit (self->backend, tasks, n);
      for (guint i = n; i > accepted; i--)
        put_back (self, records[i - 1], FALSE);
      if (accepted < n)
        return;
    }
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
      PoolRecord *rest;
      guint first, n_items;

      if (record == NULL)
        continue;
      seen++;
      if (self->ledger.n_records >= self->n_alive || record->n_items < 2 ||
          record->state != POOL_RECORD_SENT || record->job->klass->cut_again == NULL)
        continue;
      n_items = record->n_items;
      first = klass->split (self->backend, pool_record_get_handle (record), n_items);
      if (first == 0)
        continue;
      record->n_items = first;
      rest = record->job->klass->cut_again (record->job, self, record->first + first, n_items - first);
      enter (self, record->job, rest, record->id);
      queue_push_tail (self, rest);
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

  fail_record (self, record, POOL_RECORD_FAILED, error);
}

void
pool_engine_deliver (PoolEngine *self, const PoolBackendResult *result)
{
  PoolRecord *record = pool_ledger_find (&self->ledger, result->handle);

  if (G_UNLIKELY (record == NULL))
    {
      self->counters.n_late++;
      return;
    }

  record->worker = result->worker;
  if (G_UNLIKELY (result->kind == POOL_RESULT_NONE))
    {
      put_back (self, record, FALSE);
      return;
    }
  if (G_UNLIKELY (!is_answer (record, result)))
    {
      fail_protocol (self, record, result);
      return;
    }

  if (result->kind == POOL_RESULT_ERROR)
    self->counters.n_failed += record->n_items;
  else
    self->counters.n_done += record->n_items;
  record->job->klass->deliver (record->job, record, result);
  leave (self, record,
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
  if (self->queue_head != NULL)
    pool_engine_hand_out_locked (self);
  if (any && self->queue_head == NULL && self->ledger.n_records > 0 &&
      self->ledger.n_records < self->n_alive)
    {
      split_for_idle (self);
      pool_engine_hand_out_locked (self);
    }
  pool_engine_maybe_stop_locked (self);
  return any;
}

/* --- losses --- */

static void
lost_for_good (PoolEngine *self, PoolRecord *record, const char *how)
{
  const PoolFunction *function = pool_function_table_get (self->functions, record->function);
  g_autoptr (GError) error = NULL;

  error = g_error_new (POOL_ERROR, POOL_ERROR_WORKER_LOST,
                       "Task %" G_GUINT64_FORMAT " (%s) was lost in attempt %u%s: %s", record->id,
                       function != NULL ? function->name : "?", record->attempt,
                       self->settings.resilient ? "" : " and is not tried again (resilient is off)",
                       how);
  fail_record (self, record, POOL_RECORD_FAILED, error);
}

static void
queue_items_again (PoolEngine *self, PoolRecord *lost, guint first, guint n, guint attempt)
{
  PoolRecord *record;

  if (n == 0)
    return;
  record = lost->job->klass->cut_again (lost->job, self, lost->first + first, n);
  record->max_retries = lost->max_retries;
  enter (self, lost->job, record, lost->id);
  record->attempt = attempt;
  queue_push_head (self, record);
}

/* A chunk whose worker died in @item: that one is tried again alone, and the blame falls on it only. */
static void
lose_chunk (PoolEngine *self, PoolRecord *record, guint item, const char *how)
{
  PoolJob *job = record->job;
  guint n_items = record->n_items;
  gboolean again = self->settings.resilient && record->attempt < MAX (record->max_retries, 1);

  job->n_records++; /* the job must not end between its pieces */
  item = MIN (item, n_items - 1);
  queue_items_again (self, record, item + 1, n_items - item - 1, record->attempt);
  if (self->settings.resilient)
    queue_items_again (self, record, 0, item, record->attempt);
  if (again)
    {
      self->counters.n_retried++;
      queue_items_again (self, record, item, 1, record->attempt + 1);
      leave (self, record, POOL_RECORD_CANCELLED);
    }
  else
    {
      /* at most once: what came before it has been run too, and its results are gone */
      record->n_items = self->settings.resilient ? 1 : item + 1;
      record->first += self->settings.resilient ? item : 0;
      lost_for_good (self, record, how);
    }
  job->n_records--;
  collect_job (self, job);
}

/* The worker that ran @record is dead. @how: a sentence for the error. */
void
pool_engine_lose_locked (PoolEngine *self, PoolRecord *record, guint item, const char *how)
{
  record->state = POOL_RECORD_RUNNING;
  /* also a chunk of one: if the rest of it was taken back, its payload still has that */
  if (record->job->klass->cut_again != NULL)
    lose_chunk (self, record, item, how);
  else if (self->settings.resilient && record->attempt < MAX (record->max_retries, 1))
    {
      self->counters.n_retried++;
      put_back (self, record, TRUE);
    }
  else
    lost_for_good (self, record, how);
}

/* --- giving up --- */

gboolean
pool_engine_cancel_locked (PoolEngine *self, PoolJob *job, const GError *error)
{
  gboolean any = FALSE;

  for (PoolRecord *record = self->queue_head, *next; record != NULL; record = next)
    {
      next = record->next;
      if (record->job == job && record->is_source)
        {
          any = TRUE;
          fail_record (self, record, POOL_RECORD_CANCELLED, error);
          break;
        }
    }

  for (guint i = 0; i < self->ledger.size; i++)
    {
      PoolRecord *record = self->ledger.table[i];

      if (record == NULL || record->job != job)
        continue;
      if (record->state != POOL_RECORD_QUEUED &&
          !POOL_BACKEND_GET_CLASS (self->backend)->cancel (self->backend,
                                                           pool_record_get_handle (record)))
        continue;
      any = TRUE;
      fail_record (self, record, POOL_RECORD_CANCELLED, error);
    }
  return any;
}

void
pool_engine_fail_all_locked (PoolEngine *self, const GError *error)
{
  while (self->queue_head != NULL)
    fail_record (self, self->queue_head, POOL_RECORD_CANCELLED, error);
  for (guint i = 0; i < self->ledger.size; i++)
    if (self->ledger.table[i] != NULL)
      {
        give_away_payload (self, self->ledger.table[i]);
        fail_record (self, self->ledger.table[i], POOL_RECORD_CANCELLED, error);
      }
}
