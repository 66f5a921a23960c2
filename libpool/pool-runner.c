/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-runner-private.h"

#include "pool-error.h"
#include "pool-packed-private.h"
#include "pool-process-private.h"
#include "pool-value-private.h"

void
pool_runner_init (PoolRunner *self, guint worker, GVariant *static_args)
{
  memset (self, 0, sizeof *self);
  self->task = pool_task_new (worker, static_args);
  self->static_args = self->task->static_args;
}

/* What the program made goes, in the worker; the last reply is still there. */
void
pool_runner_end (PoolRunner *self)
{
  g_clear_object (&self->process);
  g_clear_object (&self->task);
}

void
pool_runner_clear (PoolRunner *self)
{
  pool_runner_end (self);
  pool_buffer_clear (&self->ends);
  pool_buffer_clear (&self->out);
}

static GVariant *
append_static_args (GVariant *args, GVariant *static_args)
{
  gsize n = g_variant_n_children (args), m = g_variant_n_children (static_args);
  g_autofree GVariant **children = g_new (GVariant *, n + m);
  GVariant *tuple;

  for (gsize i = 0; i < n; i++)
    children[i] = g_variant_get_child_value (args, i);
  for (gsize i = 0; i < m; i++)
    children[n + i] = g_variant_get_child_value (static_args, i);
  tuple = g_variant_ref_sink (g_variant_new_tuple (children, n + m));
  for (gsize i = 0; i < n + m; i++)
    g_variant_unref (children[i]);

  g_variant_unref (args);
  return tuple;
}

static gboolean
no_memory (PoolRunner *self, gsize size, GError **error)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
               "Task %" G_GUINT64_FORMAT " (%s): there is no memory for a result of %" G_GSIZE_FORMAT " bytes",
               self->task->id, self->task->name, size);
  return FALSE;
}

static PoolProcess *
ensure_process (PoolRunner *self, const PoolFunction *function)
{
  /* the object is this worker's own: it is made here, not in the program */
  if (self->process == NULL)
    self->process =
        pool_process_new_for_worker (GPOINTER_TO_SIZE (function->user_data), self->static_args);
  return self->process;
}

static GVariant *
call_on_value (PoolRunner *self, const PoolFunction *function, GVariant *args, GError **error)
{
  GVariant *value;

  if (function->kind == POOL_FUNCTION_PROCESS)
    value = pool_process_run (ensure_process (self, function), self->task, args, error);
  else
    value = function->func.task (self->task, args, function->user_data, error);

  if (value != NULL && *error != NULL)
    g_clear_error (error);
  if (value == NULL && *error == NULL)
    g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
                 "Task %" G_GUINT64_FORMAT " (%s) returned no value and no error", self->task->id,
                 function->name);
  return value != NULL ? g_variant_take_ref (value) : NULL;
}

static gboolean
run_task (PoolRunner *self, const PoolFunction *function, const guint8 *data, gsize size,
          gboolean is_value, PoolBuffer *out, GError **error)
{
  g_autoptr (GVariant) args = NULL;
  g_autoptr (GVariant) value = NULL;
  guint8 *place;

  if (is_value)
    args = pool_value_decode_data (data, size, TRUE, NULL, NULL, error);
  else
    args = g_variant_ref_sink (g_variant_new (
        "(@ay)", g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, size, TRUE, NULL, NULL)));
  if (args == NULL)
    return FALSE;
  if (self->static_args != NULL && function->kind != POOL_FUNCTION_PROCESS)
    args = append_static_args (g_steal_pointer (&args), self->static_args);

  value = call_on_value (self, function, args, error);
  if (value == NULL)
    return FALSE;

  if (is_value)
    {
      place = pool_buffer_try_reserve (out, pool_value_size (value, FALSE));
      if (place == NULL)
        return no_memory (self, pool_value_size (value, FALSE), error);
      pool_value_encode (value, FALSE, place);
      return TRUE;
    }

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
                   "Task %" G_GUINT64_FORMAT " (%s) was called with bytes, so its result must be of "
                   "type ay, not %s",
                   self->task->id, function->name, g_variant_get_type_string (value));
      return FALSE;
    }
  place = pool_buffer_try_reserve (out, g_variant_get_size (value));
  if (place == NULL)
    return no_memory (self, g_variant_get_size (value), error);
  g_variant_store (value, place);
  return TRUE;
}

/* The bytes in an encoded "(ay)"; a function on bytes can be called with nothing else. */
static gboolean
unwrap_bytes (PoolRunner *self, const PoolFunction *function, const guint8 **data, gsize *size,
              GError **error)
{
  static const char tail[] = "\0(ay)";
  gsize tail_size = sizeof tail - 1;

  if (*size >= tail_size && memcmp (*data + *size - tail_size, tail, tail_size) == 0)
    {
      *size -= tail_size;
      return TRUE;
    }

  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "Task %" G_GUINT64_FORMAT " (%s) works on bytes: its argument must be of type (ay)",
               self->task->id, function->name);
  return FALSE;
}

static gboolean
call_on_bytes (PoolRunner *self, const PoolFunction *function, const guint8 *data, gsize size,
               GError **error)
{
  gboolean ok;

  self->task->refused = FALSE;
  self->task->refused_size = 0;
  if (function->kind == POOL_FUNCTION_MEMORY)
    ok = function->func.memory (self->task, GPOINTER_TO_SIZE (data), size, function->user_data, error);
  else
    ok = function->func.bytes (self->task, data, size, function->user_data, error);
  if (G_UNLIKELY (self->task->refused))
    {
      g_clear_error (error);
      return no_memory (self, self->task->refused_size, error);
    }
  if (ok)
    {
      g_clear_error (error);
      return TRUE;
    }

  if (*error == NULL)
    g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
                 "Task %" G_GUINT64_FORMAT " (%s) failed and set no error", self->task->id,
                 function->name);
  return FALSE;
}

static GBytes *
call_on_batch (PoolRunner *self, const PoolFunction *function, GBytes *batch, guint64 n_items,
               GError **error)
{
  g_autoptr (GBytes) results = function->func.batch (self->task, batch, function->user_data, error);
  PoolPackedView view;
  gsize size;
  const guint8 *data;
  g_autoptr (GError) local_error = NULL;

  if (results == NULL)
    {
      if (*error == NULL)
        g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
                     "Task %" G_GUINT64_FORMAT " (%s) returned no batch and no error", self->task->id,
                     function->name);
      return NULL;
    }

  g_clear_error (error);
  data = g_bytes_get_data (results, &size);
  if (!pool_packed_view_init (&view, data, size, TRUE, &local_error) || view.n_items != n_items)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
                   "Task %" G_GUINT64_FORMAT " (%s) was given %" G_GUINT64_FORMAT
                   " items and returned %s%s",
                   self->task->id, function->name, n_items,
                   local_error != NULL ? "" : "a batch of another length",
                   local_error != NULL ? local_error->message : "");
      return NULL;
    }
  return g_steal_pointer (&results);
}

/* A lone call of a function on batches: a batch of one. */
static gboolean
run_batch_of_one (PoolRunner *self, const PoolFunction *function, const guint8 *data, gsize size,
                  PoolBuffer *out, GError **error)
{
  guint8 *packed = g_try_malloc (POOL_PACKED_HEADER (1) + size);
  g_autoptr (GBytes) batch = NULL;
  g_autoptr (GBytes) results = NULL;
  g_autoptr (GBytes) item = NULL;
  gconstpointer item_data;
  gsize item_size;

  if (packed == NULL)
    return no_memory (self, size, error);
  pool_packed_write (packed, 1);
  pool_packed_write (packed + 8, size);
  memcpy (packed + POOL_PACKED_HEADER (1), data, size);
  batch = g_bytes_new_take (packed, POOL_PACKED_HEADER (1) + size);

  results = call_on_batch (self, function, batch, 1, error);
  if (results == NULL)
    return FALSE;
  item = pool_packed_get_item (results, 0, error);
  if (item == NULL)
    return FALSE;
  item_data = g_bytes_get_data (item, &item_size);
  return pool_buffer_try_append (out, item_data, item_size) || no_memory (self, item_size, error);
}

/* One item, or a lone call: appends the result to @out, in the form in which the argument came. */
static inline gboolean
run_item (PoolRunner *self, const PoolFunction *function, const guint8 *data, gsize size,
          gboolean is_value, PoolBuffer *out, GError **error)
{
  gboolean ok;

  if (function->kind == POOL_FUNCTION_TASK || function->kind == POOL_FUNCTION_PROCESS)
    return run_task (self, function, data, size, is_value, out, error);

  if (G_UNLIKELY (is_value) && !unwrap_bytes (self, function, &data, &size, error))
    return FALSE;
  if (pool_function_is_on_bytes (function))
    ok = call_on_bytes (self, function, data, size, error);
  else
    ok = run_batch_of_one (self, function, data, size, out, error);
  if (G_UNLIKELY (is_value) && ok)
    {
      self->task->refused = FALSE;
      pool_task_reserve_reply (self->task, 0); /* it is in the buffer now, wherever it was */
      if (self->task->refused || !pool_buffer_try_append (out, "\0ay", 3))
        return no_memory (self, out->len + 3, error);
    }
  return ok;
}

/* What a task returned that stopped because it was told to, in the words of who told it. */
static void
explain_notice (PoolTask *task, const PoolRingSlot *slot, GError **error)
{
  PoolNotice notice = pool_task_get_notice (task);

  if (notice == POOL_NOTICE_NONE || !g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  g_clear_error (error);
  if (notice == POOL_NOTICE_SOFT_TIMEOUT)
    g_set_error (error, POOL_ERROR, POOL_ERROR_SOFT_TIMED_OUT,
                 "Task %" G_GUINT64_FORMAT " (%s) stopped when its soft limit of %g s was over", task->id,
                 task->name, (double) slot->limit);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_CANCELLED,
                 "Task %" G_GUINT64_FORMAT " (%s) was cancelled and stopped", task->id, task->name);
}

static void
reply_error (PoolRunner *self, GError *error, PoolRunnerReply *reply)
{
  if (G_UNLIKELY (self->task->slot != NULL))
    explain_notice (self->task, self->task->slot, &error);
  pool_buffer_reset (&self->out);
  pool_error_encode (error, &self->out);
  g_error_free (error);
  reply->kind = POOL_RESULT_ERROR;
  reply->data = self->out.data;
  reply->size = self->out.len;
  reply->is_reference = FALSE;
}

static void
run_lone (PoolRunner *self, const PoolFunction *function, const PoolRunnerCall *call,
          PoolRunnerReply *reply)
{
  PoolTask *task = self->task;
  gboolean is_value = (call->flags & POOL_CALL_VALUE) != 0;
  GError *error = NULL;

  task->args = call->data;
  task->args_size = call->size;
  if (!run_item (self, function, call->data, call->size, is_value, &task->reply, &error))
    {
      task->reference = NULL;
      task->large = NULL;
      reply_error (self, error, reply);
      return;
    }

  reply->kind = is_value ? POOL_RESULT_VALUE : POOL_RESULT_BYTES;
  reply->is_reference = task->reference != NULL;
  reply->data = reply->is_reference ? task->reference : task->reply.data;
  reply->size = reply->is_reference ? task->reference_size : task->reply.len;
  if (task->large != NULL)
    {
      reply->is_placed = TRUE;
      reply->data = task->large;
      reply->size = task->large_size;
    }
  task->reference = NULL;
  task->large = NULL;
}

static void
run_whole_batch (PoolRunner *self, const PoolFunction *function, const PoolRunnerCall *call,
                 PoolRunnerReply *reply)
{
  g_autoptr (GBytes) batch = g_bytes_new_static (call->data, call->size);
  g_autoptr (GBytes) results = NULL;
  GError *error = NULL;
  gconstpointer data;
  gsize size;

  results = call_on_batch (self, function, batch, call->n_items, &error);
  if (results == NULL)
    {
      reply_error (self, error, reply);
      return;
    }
  data = g_bytes_get_data (results, &size);
  if (!pool_buffer_try_append (&self->out, data, size))
    {
      no_memory (self, size, &error);
      reply_error (self, error, reply);
      return;
    }
  reply->kind = POOL_RESULT_PACKED;
  reply->n_items = call->n_items;
  reply->data = self->out.data;
  reply->size = self->out.len;
}

/* In place of what the item had replied before it failed. FALSE: there is no memory for that, and @error is still there. */
static gboolean
reply_error_item (PoolRunner *self, PoolBuffer *out, gsize start, GError **error)
{
  if (G_UNLIKELY (self->task->slot != NULL))
    explain_notice (self->task, self->task->slot, error);
  out->len = start;
  if (!pool_error_encode (*error, out))
    return FALSE;
  g_clear_error (error);
  return TRUE;
}

/*
 * The items of a batch, one by one. The pool may take items back that have not been started (for a worker that has
 * nothing to do), so what is to be done is read from @progress before each item.
 */
static void
run_items (PoolRunner *self, const PoolFunction *function, const PoolRunnerCall *call,
           PoolProgress *progress, PoolRunnerReply *reply)
{
  PoolPackedView view;
  PoolBuffer *out = &self->task->reply;
  gboolean is_value = (call->flags & POOL_CALL_VALUE) != 0;
  gsize header = POOL_PACKED_HEADER (call->n_items);
  GError *error = NULL;
  guint done = 0;

  if (!pool_packed_view_init (&view, call->data, call->size, FALSE, &error) ||
      view.n_items != call->n_items)
    {
      if (error == NULL)
        error = g_error_new_literal (POOL_ERROR, POOL_ERROR_PROTOCOL, "A batch of a wrong length");
      reply_error (self, error, reply);
      return;
    }

  if (pool_buffer_try_reserve (out, header) == NULL)
    {
      no_memory (self, header, &error);
      reply_error (self, error, reply);
      return;
    }
  for (;;)
    {
      gsize size, start = out->len;
      const guint8 *item;
      guint64 flag = 0;

      /* first the time: whoever sees that the item has started must not find the time of the one before */
      if (G_UNLIKELY (self->since != NULL))
        atomic_store_explicit (self->since, pool_now_ns (), memory_order_release);
      if (!pool_progress_next (progress, call->n_items, done))
        break;
      item = pool_packed_view_item (&view, done, &size, NULL);
      if (!run_item (self, function, item, size, is_value, out, &error))
        {
          if (!reply_error_item (self, out, start, &error))
            {
              reply_error (self, error, reply);
              return;
            }
          flag = POOL_PACKED_ERROR;
        }
      pool_packed_write (out->data + 8 + 8 * (gsize) done, (out->len - header) | flag);
      done++;
      if (G_UNLIKELY (self->task->cancellable != NULL))
        pool_task_forget_cancellable (self->task);
    }

  /* items were taken back: close the gap that their ends leave */
  if (done < call->n_items)
    {
      gsize shorter = POOL_PACKED_HEADER (done);

      memmove (out->data + shorter, out->data + header, out->len - header);
      out->len -= header - shorter;
    }
  pool_packed_write (out->data, done);
  reply->kind = is_value ? POOL_RESULT_PACKED_VALUES : POOL_RESULT_PACKED;
  reply->n_items = done;
  reply->data = out->data;
  reply->size = out->len;
}

void
pool_runner_run (PoolRunner *self, const PoolFunction *function, const PoolRunnerCall *call,
                 PoolProgress *progress, PoolRunnerReply *reply)
{
  PoolTask *task = self->task;

  task->id = call->id;
  task->name = function->name;
  task->attempt = call->attempt;
  task->args = NULL;
  pool_buffer_reset (&task->reply);
  pool_buffer_reset (&self->out);
  reply->n_items = 1;
  reply->is_reference = reply->is_placed = FALSE;

  if ((call->flags & POOL_CALL_PACKED) == 0)
    run_lone (self, function, call, reply);
  else if (function->kind == POOL_FUNCTION_BATCH && (call->flags & POOL_CALL_VALUE) == 0)
    run_whole_batch (self, function, call, reply);
  else
    run_items (self, function, call, progress, reply);

  if (G_UNLIKELY (task->cancellable != NULL))
    pool_task_forget_cancellable (task);
}

static void
begin_progress (PoolRingWorkerWords *words, const PoolRingSlot *slot, const PoolFunction *function)
{
  guint16 serial = slot->handle >> 32;

  if ((slot->flags & POOL_CALL_PACKED) == 0)
    pool_progress_begin_whole (&words->progress, serial, 1);
  else if (function->kind == POOL_FUNCTION_BATCH && (slot->flags & POOL_CALL_VALUE) == 0)
    pool_progress_begin_whole (&words->progress, serial, slot->n_items);
  else
    pool_progress_begin (&words->progress, serial, slot->n_items);
}

PoolRunnerOutcome
pool_runner_run_slot (PoolRunner *self, PoolRingWorker *worker, const PoolRingSlot *slot,
                      const PoolFunction *function, const guint8 *data, PoolRunnerReply *reply,
                      PoolTiming *timing)
{
  const PoolRunnerCall call = { slot->id, slot->attempt, slot->n_items, slot->flags, data, slot->size };
  PoolRingWorkerWords *words = worker->words;
  guint64 done = atomic_load_explicit (&words->done, memory_order_relaxed);
  gint64 start = 0;

  *timing = (PoolTiming){ 0 };
  if (G_UNLIKELY (slot->flags & POOL_CALL_SYNACK))
    {
      pool_ring_worker_tell (worker, POOL_RING_ACCEPTED, slot, 0);
      if (!pool_ring_worker_ask (worker, slot))
        return POOL_RUNNER_REFUSED;
    }
  if (slot->flags & POOL_CALL_TIMED)
    {
      start = pool_now_ns ();
      atomic_store_explicit (&words->since, start, memory_order_release);
    }
  pool_task_begin (self->task, worker, slot);
  self->since = (slot->flags & POOL_CALL_LIMITED) != 0 ? &words->since : NULL;
  begin_progress (words, slot, function);
  if (G_UNLIKELY ((slot->flags & (POOL_CALL_ACK | POOL_CALL_SYNACK)) == POOL_CALL_ACK))
    pool_ring_worker_tell (worker, POOL_RING_ACCEPTED, slot, 0);

  pool_runner_run (self, function, &call, &words->progress, reply);
  if (start != 0)
    *timing = (PoolTiming){ (pool_now_ns () - start) / 1e9, (guint32) (start >> 10) };
  atomic_store_explicit (&words->done, done + 1, memory_order_relaxed);
  return pool_progress_finish (&words->progress) ? POOL_RUNNER_DONE : POOL_RUNNER_DOOMED;
}

gboolean
pool_runner_initialize (PoolRunner *self, const PoolFunction *function, GVariant *args, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GVariant) value = NULL;

  self->task->id = 0;
  self->task->attempt = 1;
  self->task->name = function->name;
  self->task->args = NULL;
  if (function->kind == POOL_FUNCTION_TASK)
    {
      /* it has no result to return */
      value = function->func.task (self->task, args, function->user_data, &local_error);
      if (value != NULL)
        g_variant_take_ref (value);
    }
  else if (pool_function_is_on_bytes (function))
    call_on_bytes (self, function, g_variant_get_data (args), g_variant_get_size (args), &local_error);
  else
    g_set_error (&local_error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "%s cannot be an initializer: it is no function on values or bytes", function->name);

  pool_buffer_reset (&self->task->reply);
  self->task->reference = NULL;
  self->task->large = NULL;
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
