/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-apply-result-private.h"

#include "pool-block-private.h"
#include "pool-call-options-private.h"
#include "pool-error.h"
#include "pool-packed-private.h"
#include "pool-value-private.h"

/**
 * PoolApplyResult:
 *
 * The result of one call: [method@Manager.apply_async] or [method@Manager.apply_bytes_async].
 *
 * Since: 1.0
 */
struct _PoolApplyResult
{
  PoolAsyncResult parent_instance;

  PoolRecord record; /* its bytes hold the argument, and afterwards a short result */
  GBytes *bytes;     /* a longer result */
  guint result_size;
  gboolean is_value;
};

struct _PoolApplyResultClass
{
  PoolAsyncResultClass parent_class;
};

G_DEFINE_FINAL_TYPE (PoolApplyResult, pool_apply_result, POOL_TYPE_ASYNC_RESULT)

static PoolApplyResult *
get_self (PoolJob *job)
{
  return (PoolApplyResult *) pool_job_get_result (job);
}

static void
end (PoolApplyResult *self, PoolRecord *record)
{
  PoolAsyncResult *result = &self->parent_instance;

  result->attempts = record->attempt;
  result->worker = record->worker;
  pool_async_result_finished_locked (result);
}

static void
job_deliver (PoolJob *job, PoolRecord *record, const PoolBackendResult *result)
{
  PoolApplyResult *self = get_self (job);

  self->parent_instance.run_time = result->run_time;
  if (result->kind == POOL_RESULT_ERROR)
    self->parent_instance.error = pool_error_decode (result->data, result->size);
  else if (result->size <= POOL_RECORD_INLINE)
    {
      self->result_size = result->size;
      /* of an empty one there may be no address */
      if (result->size > 0)
        memcpy (record->bytes, result->data, result->size);
    }
  else
    self->bytes = pool_engine_take_bytes (self->parent_instance.engine, record, result);
  end (self, record);
}

static void
job_fail (PoolJob *job, PoolRecord *record, const GError *error)
{
  PoolApplyResult *self = get_self (job);

  pool_async_result_set_error (&self->parent_instance, error);
  end (self, record);
}

static void
job_progress (PoolJob *job, double fraction)
{
  pool_async_result_set_progress_locked (pool_job_get_result (job), fraction);
}

static const PoolJobClass job_class = {
  .deliver = job_deliver,
  .fail = job_fail,
  .progress = job_progress,
  .notify = pool_async_result_notify,
  .output = pool_async_result_output,
};

static GBytes *
get_bytes (PoolApplyResult *self)
{
  return self->bytes != NULL ? g_bytes_ref (self->bytes)
                             : g_bytes_new (self->record.bytes, self->result_size);
}

static GBytes *
pool_apply_result_get_bytes (PoolAsyncResult *result, GError **error)
{
  PoolApplyResult *self = POOL_APPLY_RESULT (result);

  if (!self->is_value)
    return get_bytes (self);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "Task %" G_GUINT64_FORMAT " was called with a value: its result is no plain bytes",
               result->job.id);
  return NULL;
}

static GVariant *
pool_apply_result_get_value (PoolAsyncResult *result, GError **error)
{
  PoolApplyResult *self = POOL_APPLY_RESULT (result);
  g_autoptr (GBytes) bytes = NULL;

  if (!self->is_value)
    {
      bytes = get_bytes (self);
      return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
    }
  /* what a worker says is a value may be anything */
  if (self->bytes != NULL)
    return pool_value_decode (self->bytes, FALSE, error);
  return pool_value_decode_data (self->record.bytes, self->result_size, FALSE, g_object_unref,
                                 g_object_ref (self), error);
}

static void
pool_apply_result_finalize (GObject *object)
{
  PoolApplyResult *self = POOL_APPLY_RESULT (object);

  g_clear_pointer (&self->bytes, g_bytes_unref);
  G_OBJECT_CLASS (pool_apply_result_parent_class)->finalize (object);
}

static void
pool_apply_result_class_init (PoolApplyResultClass *klass)
{
  PoolAsyncResultClass *result_class = &klass->parent_class;

  G_OBJECT_CLASS (klass)->finalize = pool_apply_result_finalize;
  result_class->get_value = pool_apply_result_get_value;
  result_class->get_bytes = pool_apply_result_get_bytes;
}

static void
pool_apply_result_init (PoolApplyResult *self)
{
}

/* Above this an argument is written without the lock. */
#define LARGE_ARGUMENT (64 * 1024)

static gsize
argument_size (const PoolArgument *argument)
{
  return argument->value != NULL ? pool_value_size (argument->value, argument->wrap)
                                 : argument->size;
}

static void
write_argument (const PoolArgument *argument, guint8 *data)
{
  if (argument->value != NULL)
    pool_value_encode (argument->value, argument->wrap, data);
  else if (argument->size > 0)
    memcpy (data, argument->data, argument->size);
}

static void
apply_options (PoolApplyResult *self, PoolCallOptions *options)
{
  PoolAsyncResult *result = &self->parent_instance;
  PoolRecord *record = &self->record;

  result->correlation_id = g_strdup (options->correlation_id);
  if (options->max_retries >= 0)
    record->max_retries = options->max_retries;
  if (options->timeout >= 0)
    record->timeout = options->timeout;
  if (options->soft_timeout >= 0)
    record->soft_timeout = options->soft_timeout;
  record->priority = options->priority;
  if (options->callbacks.accept != NULL || options->callbacks.timeout != NULL)
    result->options = g_object_ref (options);
  if (options->callbacks.accept != NULL)
    {
      record->flags |= POOL_CALL_ACK | POOL_CALL_TIMED;
      result->job.wants_accepted = TRUE;
    }
  if (options->capture_output > 0)
    record->flags |= POOL_CALL_CAPTURE;
  else if (options->capture_output == 0)
    record->flags &= ~POOL_CALL_CAPTURE;
}

static gboolean
check_capture (PoolEngine *engine, GError **error)
{
  if (engine->flags & POOL_BACKEND_CAN_CAPTURE)
    return TRUE;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                       "The pool's backend cannot capture the output of tasks: leave the option "
                       "capture-output alone, or take a backend whose workers are processes");
  return FALSE;
}

/* A large argument is written without the lock. FALSE: the pool has started anew meanwhile, with other memory. */
static gboolean
write_unlocked (PoolEngine *engine, PoolRecord *record, const PoolArgument *argument)
{
  g_autoptr (PoolBackend) backend = g_object_ref (engine->backend);

  pool_engine_unlock (engine);
  write_argument (argument, (guint8 *) record->data);
  pool_engine_lock (engine);
  if (G_LIKELY (engine->backend == backend))
    return TRUE;
  if (record->owns_payload == 2)
    POOL_BACKEND_GET_CLASS (backend)->free_payload (backend, (guint8 *) record->data);
  else
    g_free ((guint8 *) record->data);
  record->owns_payload = 0;
  return FALSE;
}

static gboolean
submit_locked (PoolApplyResult *self, const char *task, const PoolArgument *argument, GError **error)
{
  PoolEngine *engine = self->parent_instance.engine;
  gsize size;
  guint8 *data;

  if (!pool_engine_check_submit (engine, error) ||
      !pool_engine_lookup (engine, task, &self->record.function, error) ||
      !pool_async_result_check_cancelled (&self->parent_instance, error))
    return FALSE;
  if (G_UNLIKELY (self->record.flags & POOL_CALL_CAPTURE) && !check_capture (engine, error))
    return FALSE;
  if (argument->block != NULL)
    {
      if (!pool_block_give_locked (argument->block, engine, &self->record, error))
        return FALSE;
      pool_engine_submit_locked (engine, &self->parent_instance.job, &self->record);
      return TRUE;
    }

  size = argument_size (argument);
  data = pool_engine_alloc_payload (engine, &self->record, size);
  if (G_UNLIKELY (data == NULL))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "There is no memory to send %" G_GSIZE_FORMAT " bytes to \"%s\"", size, task);
      return FALSE;
    }
  if (size <= LARGE_ARGUMENT)
    write_argument (argument, data);
  else
    {
      if (!write_unlocked (engine, &self->record, argument))
        return submit_locked (self, task, argument, error);
      if (!pool_engine_check_submit (engine, error))
        {
          pool_engine_free_payload (engine, &self->record);
          return FALSE;
        }
    }
  pool_engine_submit_locked (engine, &self->parent_instance.job, &self->record);
  return TRUE;
}

static gboolean
has_slot (gpointer data)
{
  PoolEngine *engine = data;
  guint slots = engine->settings.slots != 0 ? engine->settings.slots : engine->n_wanted;

  return engine->state != POOL_STATE_RUN || engine->ledger.n_records < slots;
}

/* Submitting is held up while every slot has a task. */
static void
wait_for_slot (PoolEngine *engine)
{
  pool_engine_lock (engine);
  pool_engine_wait_locked (engine, NULL, has_slot, engine, -1);
  pool_engine_unlock (engine);
}

static void
submit (PoolApplyResult *self, const char *task, const PoolArgument *argument)
{
  PoolEngine *engine = self->parent_instance.engine;
  GError *error = NULL;

  pool_engine_lock (engine);
  submit_locked (self, task, argument, &error);
  pool_engine_unlock (engine);

  if (G_UNLIKELY (error != NULL))
    pool_async_result_fail_now (&self->parent_instance, error);
  else if (G_UNLIKELY (self->parent_instance.cancellable != NULL))
    pool_async_result_watch_cancellable (&self->parent_instance);
}

PoolApplyResult *
pool_apply_result_submit (PoolEngine *engine, const char *task, const PoolArgument *argument,
                          PoolCallOptions *options, const PoolCallback *callback)
{
  PoolApplyResult *self = g_object_new (POOL_TYPE_APPLY_RESULT, NULL);

  pool_async_result_init_call (&self->parent_instance, engine, &job_class, callback);
  self->is_value = argument->value != NULL;
  self->record.n_items = 1;
  self->record.flags = self->is_value ? POOL_CALL_VALUE | POOL_CALL_TIMED : 0;
  pool_engine_init_record (engine, &self->record);
  /* without a callback nobody gets the object, and with it what was captured */
  if (G_UNLIKELY (engine->settings.capture_output) && callback != NULL)
    self->record.flags |= POOL_CALL_CAPTURE;
  if (G_UNLIKELY (options != NULL))
    apply_options (self, options);
  pool_engine_set_limits (engine, &self->record);
  if (G_UNLIKELY (engine->settings.putlocks) && (options == NULL || options->wait_for_slot))
    wait_for_slot (engine);
  submit (self, task, argument);
  return self;
}

PoolApplyResult *
pool_apply_result_refuse (PoolEngine *engine, const PoolCallback *callback, GError *error)
{
  PoolApplyResult *self = g_object_new (POOL_TYPE_APPLY_RESULT, NULL);

  pool_async_result_init_call (&self->parent_instance, engine, &job_class, callback);
  pool_async_result_fail_now (&self->parent_instance, error);
  return self;
}
