/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-stream-private.h"

#include "pool-error.h"
#include "pool-packed-private.h"
#include "pool-value-private.h"

/**
 * PoolStream:
 *
 * Many calls of one task, submitted and taken in batches: what [method@Manager.open_stream] gives.
 *
 * Each item that is submitted is a call of its own, with bytes for its argument and its result, and is run again, timed out or
 * lost alone. Calls are numbered from 0 in the order in which they are submitted, over the life of the stream. No object is made
 * for a call, so a stream is what the iterators of a language binding stand on.
 *
 * A stream takes whatever is submitted and never waits for room: who submits keeps [method@Stream.get_n_pending] within bounds. It
 * may be used by several threads at once. Dropping it does not cancel calls; their results are freed. Signals of the pool about a
 * call of a stream have no result object.
 *
 * Since: 1.0
 */

/* Above this arguments are written without the lock. */
#define LARGE_BATCH (64 * 1024)

/* Calls that are kept for the next ones. */
#define SPARE_MAX 1024

G_DEFINE_FINAL_TYPE (PoolStream, pool_stream, G_TYPE_OBJECT)

static PoolStream *
get_self (PoolJob *job)
{
  return (PoolStream *) (gpointer) ((guint8 *) job - G_STRUCT_OFFSET (PoolStream, job));
}

/* --- calls --- */

static PoolStreamCall *
new_call_locked (PoolStream *self)
{
  PoolStreamCall *call = self->spare;

  if (call == NULL)
    call = g_try_malloc (sizeof *call);
  else
    {
      self->spare = (PoolStreamCall *) call->record.next;
      self->n_spare--;
    }
  if (call == NULL)
    return NULL;
  memset (call, 0, sizeof *call);
  call->order.data = call->ended.data = call;
  return call;
}

static void
free_call_locked (PoolStream *self, PoolStreamCall *call)
{
  g_clear_pointer (&call->bytes, g_bytes_unref);
  g_clear_error (&call->error);
  if (self->dropped || self->n_spare >= SPARE_MAX)
    {
      g_free (call);
      return;
    }
  call->record.next = (PoolRecord *) self->spare;
  self->spare = call;
  self->n_spare++;
}

/* @calls: by record.next */
void
pool_stream_free_calls_locked (PoolStream *self, PoolStreamCall *calls)
{
  while (calls != NULL)
    {
      PoolStreamCall *next = (PoolStreamCall *) calls->record.next;

      free_call_locked (self, calls);
      calls = next;
    }
}

static void
free_leftover (gpointer data)
{
  PoolStreamLeftover *leftover = data;

  g_clear_pointer (&leftover->bytes, g_bytes_unref);
  g_clear_error (&leftover->error);
  g_free (leftover);
}

/* --- job --- */

static void
end (PoolStream *self, PoolStreamCall *call)
{
  gboolean is_news = self->ended.length == 0 || self->order.head == &call->order;

  call->has_ended = TRUE;
  g_queue_push_tail_link (&self->ended, &call->ended);
  if (is_news)
    pool_stream_tell_locked (self);
}

static void
job_deliver (PoolJob *job, PoolRecord *record, const PoolBackendResult *result)
{
  PoolStream *self = get_self (job);
  PoolStreamCall *call = (PoolStreamCall *) record;

  if (G_UNLIKELY (self->dropped))
    return;
  call->size = result->size;
  if (result->kind == POOL_RESULT_ERROR)
    call->error = pool_error_decode (result->data, result->size);
  else if (result->size > POOL_RECORD_INLINE)
    call->bytes = pool_engine_take_bytes (self->engine, record, result);
  else if (result->size > 0)
    memmove (record->bytes, result->data, result->size); /* it may be part of the argument, which is there */
  end (self, call);
}

static void
job_fail (PoolJob *job, PoolRecord *record, const GError *error)
{
  PoolStream *self = get_self (job);
  PoolStreamCall *call = (PoolStreamCall *) record;

  if (self->dropped)
    return;
  call->error = g_error_copy (error);
  end (self, call);
}

static void
job_free_record (PoolJob *job, PoolRecord *record)
{
  PoolStreamCall *call = (PoolStreamCall *) record;

  if (!call->has_ended)
    free_call_locked (get_self (job), call);
}

static const PoolJobClass job_class = {
  .deliver = job_deliver,
  .fail = job_fail,
  .free_record = job_free_record,
};

/* --- the object --- */

static PoolStreamCall *
forget_calls_locked (PoolStream *self)
{
  PoolStreamCall *calls = NULL;
  GList *link;

  while ((link = g_queue_pop_head_link (&self->ended)) != NULL)
    {
      PoolStreamCall *call = link->data;

      call->record.next = (PoolRecord *) calls;
      calls = call;
    }
  g_queue_init (&self->order);
  return calls;
}

/* It is not used any more. While calls run it goes on living, as the engine's. */
static void
pool_stream_dispose (GObject *object)
{
  PoolStream *self = POOL_STREAM (object);
  PoolStreamCall *ended = NULL, *spare = NULL;

  if (self->engine != NULL)
    {
      pool_engine_lock (self->engine);
      if (!self->dropped)
        {
          self->dropped = TRUE;
          ended = forget_calls_locked (self);
          spare = g_steal_pointer (&self->spare);
          if (--self->job.n_records > 0)
            g_object_ref (self);
        }
      pool_engine_unlock (self->engine);
    }
  /* nobody else has them */
  pool_stream_free_calls_locked (self, ended);
  pool_stream_free_calls_locked (self, spare);
  G_OBJECT_CLASS (pool_stream_parent_class)->dispose (object);
}

static void
pool_stream_finalize (GObject *object)
{
  PoolStream *self = POOL_STREAM (object);

  g_hash_table_unref (self->leftovers);
  g_clear_pointer (&self->engine, pool_engine_unref);
  G_OBJECT_CLASS (pool_stream_parent_class)->finalize (object);
}

static void
pool_stream_class_init (PoolStreamClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = pool_stream_dispose;
  G_OBJECT_CLASS (klass)->finalize = pool_stream_finalize;
}

static void
pool_stream_init (PoolStream *self)
{
  g_queue_init (&self->order);
  g_queue_init (&self->ended);
  self->leftovers = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_leftover);
  self->job.klass = &job_class;
  self->job.object = G_OBJECT (self);
  self->job.is_stream = TRUE;
  self->job.n_records = 1;
}

PoolStream *
pool_stream_new (PoolEngine *engine, guint function)
{
  PoolStream *self = g_object_new (POOL_TYPE_STREAM, NULL);

  self->engine = pool_engine_ref (engine);
  self->function = function;
  return self;
}

/* --- submitting --- */

static PoolStreamCall *
no_memory (const PoolPackedView *view, GError **error)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
               "There is no memory for %" G_GUINT64_FORMAT " calls with %" G_GSIZE_FORMAT " bytes of arguments",
               view->n_items, view->data_size);
  return NULL;
}

/* Also their arguments; @backend: that these were to go to. */
static void
discard_locked (PoolStream *self, PoolBackend *backend, PoolStreamCall *calls)
{
  for (PoolStreamCall *call = calls; call != NULL; call = (PoolStreamCall *) call->record.next)
    {
      if (call->record.owns_payload == 2)
        POOL_BACKEND_GET_CLASS (backend)->free_payload (backend, (guint8 *) call->record.data);
      else if (call->record.owns_payload == 1)
        g_free ((guint8 *) call->record.data);
    }
  pool_stream_free_calls_locked (self, calls);
}

/* Calls for the items, without their arguments; NULL with an error. */
static PoolStreamCall *
make_calls_locked (PoolStream *self, const PoolPackedView *view, GError **error)
{
  PoolEngine *engine = self->engine;
  PoolStreamCall *calls = NULL, *last = NULL;

  for (guint64 i = 0; i < view->n_items; i++)
    {
      PoolStreamCall *call = new_call_locked (self);
      gsize size;

      if (G_LIKELY (call != NULL))
        {
          if (last == NULL)
            calls = call;
          else
            last->record.next = (PoolRecord *) call;
          last = call;
          pool_packed_view_item (view, i, &size, NULL);
        }
      if (G_UNLIKELY (call == NULL || pool_engine_alloc_payload (engine, &call->record, size) == NULL))
        {
          discard_locked (self, engine->backend, calls);
          return no_memory (view, error);
        }
      call->record.function = self->function;
      call->record.n_items = 1;
      pool_engine_init_record (engine, &call->record);
      pool_engine_set_limits (engine, &call->record);
    }
  return calls;
}

static void
write_arguments (const PoolPackedView *view, PoolStreamCall *calls)
{
  guint64 i = 0;

  for (PoolStreamCall *call = calls; call != NULL; call = (PoolStreamCall *) call->record.next, i++)
    {
      gsize size;
      const guint8 *item = pool_packed_view_item (view, i, &size, NULL);

      if (size > 0)
        memcpy ((guint8 *) call->record.data, item, size);
    }
}

/* Many bytes are written without the lock. FALSE: the pool has started anew meanwhile, with other memory. */
static gboolean
write_unlocked (PoolStream *self, const PoolPackedView *view, PoolStreamCall *calls)
{
  g_autoptr (PoolBackend) backend = g_object_ref (self->engine->backend);

  pool_engine_unlock (self->engine);
  write_arguments (view, calls);
  pool_engine_lock (self->engine);
  if (G_LIKELY (self->engine->backend == backend))
    return TRUE;
  discard_locked (self, backend, calls);
  return FALSE;
}

static gboolean
submit_locked (PoolStream *self, const PoolPackedView *view, GError **error)
{
  PoolEngine *engine = self->engine;
  PoolStreamCall *calls;

  if (!pool_engine_check_submit (engine, error))
    return FALSE;
  if (view->n_items == 0)
    return TRUE;
  calls = make_calls_locked (self, view, error);
  if (calls == NULL)
    return FALSE;
  if (view->data_size <= LARGE_BATCH)
    write_arguments (view, calls);
  else
    {
      if (!write_unlocked (self, view, calls))
        return submit_locked (self, view, error);
      if (!pool_engine_check_submit (engine, error))
        {
          discard_locked (self, engine->backend, calls);
          return FALSE;
        }
    }
  for (PoolStreamCall *call = calls; call != NULL; call = (PoolStreamCall *) call->record.next)
    {
      call->record.first = self->next_number++;
      g_queue_push_tail_link (&self->order, &call->order);
    }
  pool_engine_submit_all_locked (engine, &self->job, &calls->record);
  return TRUE;
}

/**
 * pool_stream_submit:
 * @self: a stream
 * @data: (array length=size) (element-type guint8): a packed batch, see [func@packed_check]
 * @size: its bytes
 * @error: return location for a #GError
 *
 * Makes each item of the batch a call. It does not wait. When it fails, none of them is made.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_PROTOCOL if @data is no packed batch, %POOL_ERROR_CLOSED, %POOL_ERROR_STATE,
 *   %POOL_ERROR_OUT_OF_MEMORY, or why the pool is broken
 *
 * Since: 1.0
 */
gboolean
pool_stream_submit (PoolStream *self, const guint8 *data, gsize size, GError **error)
{
  PoolPackedView view;
  gboolean ok;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), FALSE);

  if (!pool_packed_view_init (&view, data, size, FALSE, error))
    return FALSE;
  pool_engine_lock (self->engine);
  ok = submit_locked (self, &view, error);
  pool_engine_unlock (self->engine);
  return ok;
}

/* --- the rest --- */

/**
 * pool_stream_get_n_pending:
 * @self: a stream
 *
 * Counts the calls that were submitted and have not been taken.
 *
 * Returns: how many there are
 *
 * Since: 1.0
 */
guint64
pool_stream_get_n_pending (PoolStream *self)
{
  guint64 n;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), 0);

  pool_engine_lock (self->engine);
  n = self->order.length;
  pool_engine_unlock (self->engine);
  return n;
}

/**
 * pool_stream_get_n_ready:
 * @self: a stream
 *
 * Counts the calls that have ended and have not been taken: as many as [method@Stream.take] would give, regardless of the order.
 *
 * Returns: how many there are
 *
 * Since: 1.0
 */
guint64
pool_stream_get_n_ready (PoolStream *self)
{
  guint64 n;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), 0);

  pool_engine_lock (self->engine);
  n = self->ended.length;
  pool_engine_unlock (self->engine);
  return n;
}

/**
 * pool_stream_clear:
 * @self: a stream
 *
 * Forgets the calls that no worker has started: they end with %POOL_ERROR_CANCELLED. Those that run go on.
 *
 * Since: 1.0
 */
void
pool_stream_clear (PoolStream *self)
{
  g_autoptr (GError) error = NULL;

  g_return_if_fail (POOL_STREAM_IS_OPEN (self));

  error = g_error_new_literal (POOL_ERROR, POOL_ERROR_CANCELLED, "The call was cleared before a worker started it");
  pool_engine_lock (self->engine);
  if (!self->engine->orphan)
    pool_engine_cancel_queued_locked (self->engine, &self->job, error);
  pool_engine_unlock (self->engine);
}

/**
 * pool_stream_cancel:
 * @self: a stream
 *
 * Cancels all calls that have not ended, as [method@AsyncResult.cancel] does one: what no worker has started never starts, and
 * what runs is told. They are taken as failed, with %POOL_ERROR_CANCELLED. More can be submitted.
 *
 * Since: 1.0
 */
void
pool_stream_cancel (PoolStream *self)
{
  g_autoptr (GError) error = NULL;

  g_return_if_fail (POOL_STREAM_IS_OPEN (self));

  error = g_error_new_literal (POOL_ERROR, POOL_ERROR_CANCELLED, "The calls of the stream were cancelled");
  pool_engine_lock (self->engine);
  if (!self->engine->orphan)
    pool_engine_cancel_locked (self->engine, &self->job, error);
  pool_engine_unlock (self->engine);
}
