/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-async-result-private.h"

#include "pool-call-options-private.h"
#include "pool-error.h"
#include "pool-wait-private.h"

/**
 * PoolAsyncResult:
 *
 * A call that was submitted and may not have ended yet: what the `_async` methods of [class@Manager] give.
 *
 * It can be asked from any thread. Waiting for it does the pool's work meanwhile, so a program that only waits needs
 * no other thread. It is a [iface@Gio.AsyncResult] too, and what the callback of such a method gets.
 *
 * Dropping the last reference does not cancel the call.
 *
 * Since: 1.0
 */
static void async_result_iface_init (GAsyncResultIface *iface);

G_DEFINE_ABSTRACT_TYPE_WITH_CODE (PoolAsyncResult, pool_async_result, G_TYPE_OBJECT,
                                  G_IMPLEMENT_INTERFACE (G_TYPE_ASYNC_RESULT, async_result_iface_init))

enum
{
  SIGNAL_COMPLETED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

enum
{
  PROP_0,
  PROP_PROGRESS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static gpointer
async_result_get_user_data (GAsyncResult *result)
{
  return POOL_ASYNC_RESULT (result)->user_data;
}

static GObject *
async_result_get_source_object (GAsyncResult *result)
{
  PoolAsyncResult *self = POOL_ASYNC_RESULT (result);

  return self->source != NULL ? g_object_ref (G_OBJECT (self->source)) : NULL;
}

static gboolean
async_result_is_tagged (GAsyncResult *result, gpointer tag)
{
  return POOL_ASYNC_RESULT (result)->tag == tag;
}

static void
async_result_iface_init (GAsyncResultIface *iface)
{
  iface->get_user_data = async_result_get_user_data;
  iface->get_source_object = async_result_get_source_object;
  iface->is_tagged = async_result_is_tagged;
}

static void
pool_async_result_finalize (GObject *object)
{
  PoolAsyncResult *self = POOL_ASYNC_RESULT (object);

  g_clear_object (&self->cancellable);
  g_clear_object (&self->source);
  g_clear_error (&self->error);
  g_clear_object (&self->options);
  g_clear_pointer (&self->output, pool_output_free);
  g_free (self->correlation_id);
  g_clear_pointer (&self->engine, pool_engine_unref);
  G_OBJECT_CLASS (pool_async_result_parent_class)->finalize (object);
}

static void
pool_async_result_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_PROGRESS:
      g_value_set_double (value, pool_async_result_get_progress (POOL_ASYNC_RESULT (object)));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_async_result_class_init (PoolAsyncResultClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = pool_async_result_finalize;
  G_OBJECT_CLASS (klass)->get_property = pool_async_result_get_property;

  /**
   * PoolAsyncResult:progress: (getter get_progress)
   *
   * How much of the call is done, from 0 to 1: what the task told with [method@Task.set_progress], or the part of a map's
   * items that have ended. Its notifications come in the pool's main context.
   *
   * Since: 1.0
   */
  properties[PROP_PROGRESS] =
      g_param_spec_double ("progress", NULL, NULL, 0, 1, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (G_OBJECT_CLASS (klass), N_PROPS, properties);

  /**
   * PoolAsyncResult::completed:
   * @self: the result
   *
   * The call has ended, well or badly. Emitted once, in the main context that was the thread default when the pool was
   * made; connect in that context too, and look at [method@AsyncResult.ready] first.
   *
   * Since: 1.0
   */
  signals[SIGNAL_COMPLETED] = g_signal_new ("completed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                                            0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
pool_async_result_init (PoolAsyncResult *self)
{
}

void
pool_async_result_init_call (PoolAsyncResult *self, PoolEngine *engine, const PoolJobClass *klass,
                             const PoolCallback *callback)
{
  self->engine = pool_engine_ref (engine);
  self->job.klass = klass;
  self->job.object = G_OBJECT (self);
  if (callback == NULL)
    return;
  if (callback->callback != NULL)
    {
      self->source = g_object_ref (callback->source);
      self->job.wants_notify = TRUE;
    }
  self->job.is_waited_for = callback->waits;
  self->callback = callback->callback;
  self->user_data = callback->user_data;
  self->tag = callback->tag;
  if (callback->cancellable != NULL)
    {
      self->cancellable = g_object_ref (callback->cancellable);
      self->job.wants_notify = TRUE;
    }
}

static void
cancelled (GCancellable *cancellable, gpointer user_data)
{
  pool_async_result_cancel (user_data);
}

/* The cancellable holds a reference, so that it never tells a result that is gone; ended by unwatch_cancellable(). */
void
pool_async_result_watch_cancellable (PoolAsyncResult *self)
{
  gulong id = g_cancellable_connect (self->cancellable, G_CALLBACK (cancelled),
                                     g_object_ref (self), g_object_unref);
  gboolean ended;

  pool_engine_lock (self->engine);
  ended = atomic_load (&self->notified);
  if (!ended)
    self->cancelled_id = id;
  pool_engine_unlock (self->engine);
  if (ended && id != 0)
    g_cancellable_disconnect (self->cancellable, id);
}

/* What is cancelled before it is submitted never starts, however fast workers are. */
gboolean
pool_async_result_check_cancelled (PoolAsyncResult *self, GError **error)
{
  if (G_LIKELY (self->cancellable == NULL || !g_cancellable_is_cancelled (self->cancellable)))
    return TRUE;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_CANCELLED, "The call was cancelled before it was made");
  return FALSE;
}

static void
unwatch_cancellable (PoolAsyncResult *self)
{
  gulong id;

  pool_engine_lock (self->engine);
  id = self->cancelled_id;
  self->cancelled_id = 0;
  pool_engine_unlock (self->engine);
  if (id != 0)
    g_cancellable_disconnect (self->cancellable, id);
}

void
pool_async_result_set_error (PoolAsyncResult *self, const GError *error)
{
  if (self->error == NULL)
    self->error = g_error_copy (error);
}

/* The job has all it waited for. */
void
pool_async_result_finished_locked (PoolAsyncResult *self)
{
  if (self->waits != NULL ||
      g_signal_has_handler_pending (self, signals[SIGNAL_COMPLETED], 0, TRUE))
    self->job.wants_notify = TRUE;
  pool_engine_job_done_locked (self->engine, &self->job);
}

static void
complete (gpointer data)
{
  g_autoptr (PoolAsyncResult) self = data;
  g_autoptr (GObject) source = self->source != NULL ? g_object_ref (G_OBJECT (self->source)) : NULL;
  GAsyncReadyCallback callback = g_steal_pointer (&self->callback);
  GSList *waits;

  if (self->cancellable != NULL)
    unwatch_cancellable (self);
  pool_engine_lock (self->engine);
  waits = g_steal_pointer (&self->waits);
  pool_engine_unlock (self->engine);

  if (callback != NULL)
    callback (source, G_ASYNC_RESULT (self), self->user_data);
  g_signal_emit (self, signals[SIGNAL_COMPLETED], 0);
  for (GSList *l = waits; l != NULL; l = l->next)
    {
      pool_wait_return (l->data, NULL, NULL);
      g_object_unref (l->data);
    }
  g_slist_free (waits);
  /* the callback has had it: a result that is kept does not keep the pool */
  g_clear_object (&self->source);
}

/* Job class: tell the program, in its context. */
void
pool_async_result_notify (PoolJob *job)
{
  PoolAsyncResult *self = pool_job_get_result (job);

  if (!atomic_exchange (&self->notified, TRUE))
    pool_dispatcher_push (self->engine->dispatcher, complete, g_object_ref (self));
}

/* Job class: a task, or a chunk, is about to end; with the lock held. */
void
pool_async_result_output (PoolJob *job, PoolRecord *record, const PoolBackendOutput *output)
{
  PoolAsyncResult *self = pool_job_get_result (job);

  /* after its end somebody may be reading it */
  if (pool_job_is_done (job))
    return;
  if (self->output == NULL)
    self->output = pool_output_new ();
  pool_output_set (self->output, record->first, output);
}

void
pool_async_result_fail_now (PoolAsyncResult *self, GError *error)
{
  self->error = error;
  atomic_store_explicit (&self->job.done, TRUE, memory_order_release);
  if (self->callback != NULL)
    pool_async_result_notify (&self->job);
}

static guint64
double_bits (double number)
{
  guint64 bits;

  memcpy (&bits, &number, sizeof bits);
  return bits;
}

void
pool_async_result_set_progress_locked (PoolAsyncResult *self, double fraction)
{
  static guint notify_id;

  atomic_store (&self->progress, double_bits (fraction));
  if (G_UNLIKELY (notify_id == 0))
    notify_id = g_signal_lookup ("notify", G_TYPE_OBJECT);
  if (g_signal_has_handler_pending (self, notify_id, 0, TRUE) ||
      g_signal_has_handler_pending (self, notify_id, g_quark_from_static_string ("progress"), TRUE))
    pool_engine_push_progress (self->engine, &self->job);
}

void
pool_async_result_handle_event (PoolAsyncResult *self, const PoolEvent *event)
{
  if (event->kind == POOL_EVENT_PROGRESS)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PROGRESS]);
  else if (event->kind == POOL_EVENT_TASK_ACCEPTED && self->options != NULL)
    pool_call_options_accepted (self->options, self, event->info, event->time);
  else if (event->kind == POOL_EVENT_TIMEOUT && self->options != NULL)
    pool_call_options_timed_out (self->options, self, event->is_soft,
                                 event->is_soft ? event->soft : event->timeout);
}

static gboolean
is_done (gpointer data)
{
  return pool_job_is_done (data);
}

/* Waits; FALSE with WAIT_TIMED_OUT or INTERRUPTED. */
gboolean
pool_async_result_block (PoolAsyncResult *self, double timeout, GError **error)
{
  gboolean done = pool_job_is_done (&self->job), interrupted = FALSE;
  gint64 deadline;

  /* its own callback comes first, unless a main loop elsewhere is to call it */
  if (!done)
    {
      deadline = pool_engine_deadline (timeout);
      pool_engine_lock (self->engine);
      /* who submitted it and waits at once could not wait again */
      done = self->job.is_waited_for
                 ? pool_engine_wait_locked (self->engine, &self->job, is_done, &self->job, deadline)
                 : pool_engine_wait_interruptibly_locked (self->engine, &self->job, is_done, &self->job,
                                                          deadline, &interrupted);
      pool_engine_unlock_and_call_back (self->engine);
    }
  else if (G_UNLIKELY (pool_dispatcher_has_pending (self->engine->dispatcher)))
    pool_dispatcher_run (self->engine->dispatcher);

  if (G_UNLIKELY (interrupted))
    pool_engine_explain_interruption (error);
  else if (!done && timeout < 0)
    g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                 "A task cannot wait for task %" G_GUINT64_FORMAT
                 " of its own pool: all workers wait already, and the pool may not have more (max-processes)",
                 self->job.id);
  else if (!done)
    g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT,
                 "Task %" G_GUINT64_FORMAT " has not ended after %g s; it goes on", self->job.id,
                 timeout);
  return done;
}

/**
 * pool_async_result_ready:
 * @self: a result
 *
 * Tells whether the call has ended, well or badly.
 *
 * Returns: %TRUE if [method@AsyncResult.get] would not wait
 *
 * Since: 1.0
 */
gboolean
pool_async_result_ready (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);

  return pool_job_is_done (&self->job);
}

/**
 * pool_async_result_successful:
 * @self: a result
 * @error: return location for a #GError
 *
 * Tells whether the call has ended without an error.
 *
 * Returns: %TRUE if it has a value; %FALSE if it failed, or, with %POOL_ERROR_STATE, if it has not ended
 *
 * Since: 1.0
 */
gboolean
pool_async_result_successful (PoolAsyncResult *self, GError **error)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);

  if (!pool_job_is_done (&self->job))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "Task %" G_GUINT64_FORMAT " has not ended yet",
                   self->job.id);
      return FALSE;
    }
  return self->error == NULL;
}

typedef struct
{
  PoolAsyncResult *result;
  GCancellable *cancellable;
} CancellableWait;

static gboolean
is_done_or_cancelled (gpointer data)
{
  CancellableWait *wait = data;

  return pool_job_is_done (&wait->result->job) || g_cancellable_is_cancelled (wait->cancellable);
}

static void
wake_waiter (GCancellable *cancellable, gpointer user_data)
{
  PoolAsyncResult *self = user_data;

  pool_engine_lock (self->engine);
  pool_engine_wake_locked (self->engine, &self->job);
  pool_engine_unlock (self->engine);
}

/**
 * pool_async_result_wait:
 * @self: a result
 * @timeout: seconds; negative: for ever
 * @cancellable: (nullable): ends the wait, not the call
 * @error: return location for a #GError
 *
 * Waits until the call has ended, whether well or badly.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_WAIT_TIMED_OUT, %POOL_ERROR_CANCELLED or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
gboolean
pool_async_result_wait (PoolAsyncResult *self, double timeout, GCancellable *cancellable,
                        GError **error)
{
  CancellableWait wait = { self, cancellable };
  gboolean interrupted;
  gulong id;

  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);

  if (cancellable == NULL)
    return pool_async_result_block (self, timeout, error);

  id = g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), self, NULL);
  pool_engine_lock (self->engine);
  pool_engine_wait_interruptibly_locked (self->engine, &self->job, is_done_or_cancelled, &wait,
                                         pool_engine_deadline (timeout), &interrupted);
  pool_engine_unlock_and_call_back (self->engine);
  g_cancellable_disconnect (cancellable, id);

  if (!pool_job_is_done (&self->job) && g_cancellable_is_cancelled (cancellable))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_CANCELLED,
                   "The wait for task %" G_GUINT64_FORMAT " was cancelled; it goes on", self->job.id);
      return FALSE;
    }
  if (G_UNLIKELY (interrupted) && !pool_job_is_done (&self->job))
    {
      pool_engine_explain_interruption (error);
      return FALSE;
    }
  return pool_async_result_block (self, 0, error);
}

/**
 * pool_async_result_wait_async:
 * @self: a result
 * @cancellable: (nullable): ends the wait, not the call
 * @callback: (scope async): called when the call has ended
 * @user_data: for @callback
 *
 * Waits for the end of the call without blocking.
 *
 * Since: 1.0
 */
void
pool_async_result_wait_async (PoolAsyncResult *self, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (PoolWait) wait = NULL;
  gboolean done;

  g_return_if_fail (POOL_IS_ASYNC_RESULT (self));

  wait = pool_wait_new (self->engine, self, cancellable, callback, user_data);
  pool_engine_lock (self->engine);
  done = pool_job_is_done (&self->job);
  if (!done)
    self->waits = g_slist_prepend (self->waits, g_object_ref (wait));
  pool_engine_unlock (self->engine);
  if (done)
    pool_wait_return (wait, NULL, NULL);
}

/**
 * pool_async_result_wait_finish:
 * @self: a result
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@AsyncResult.wait_async].
 *
 * Returns: %TRUE if the call has ended; %FALSE with an error if the wait was cancelled
 *
 * Since: 1.0
 */
gboolean
pool_async_result_wait_finish (PoolAsyncResult *self, GAsyncResult *result, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  g_return_val_if_fail (pool_wait_is_valid (result, self), FALSE);

  pool_wait_propagate (POOL_WAIT (result), &local_error);
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
check_value (PoolAsyncResult *self, double timeout, GError **error)
{
  if (!pool_async_result_block (self, timeout, error))
    return FALSE;
  if (self->error == NULL)
    return TRUE;

  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

/**
 * pool_async_result_get:
 * @self: a result
 * @timeout: seconds; negative: for ever
 * @error: return location for a #GError
 *
 * Waits for the call and gets its value: what the function returned or, of a map, an array of type `av` with the
 * values in the order of the items. May be called again.
 *
 * Returns: (transfer full): the value; %NULL with the task's error, %POOL_ERROR_WAIT_TIMED_OUT,
 *   %POOL_ERROR_WORKER_LOST, %POOL_ERROR_TERMINATED, %POOL_ERROR_CANCELLED, %POOL_ERROR_ENCODING or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
GVariant *
pool_async_result_get (PoolAsyncResult *self, double timeout, GError **error)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), NULL);

  if (!check_value (self, timeout, error))
    return NULL;
  return G_TYPE_INSTANCE_GET_CLASS (self, POOL_TYPE_ASYNC_RESULT, PoolAsyncResultClass)->get_value (self, error);
}

/**
 * pool_async_result_get_bytes:
 * @self: a result
 * @timeout: seconds; negative: for ever
 * @error: return location for a #GError
 *
 * Waits for a call that was made with bytes and gets its result; of a map of packed items, the packed results. A
 * large result is not copied: the bytes lie where the worker wrote them.
 *
 * Returns: (transfer full): the bytes, or %NULL with an error as in [method@AsyncResult.get]
 *
 * Since: 1.0
 */
GBytes *
pool_async_result_get_bytes (PoolAsyncResult *self, double timeout, GError **error)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), NULL);

  if (!check_value (self, timeout, error))
    return NULL;
  return G_TYPE_INSTANCE_GET_CLASS (self, POOL_TYPE_ASYNC_RESULT, PoolAsyncResultClass)->get_bytes (self, error);
}

/**
 * pool_async_result_cancel:
 * @self: a result
 *
 * Cancels the call, or what is left of a map, and the result fails with %POOL_ERROR_CANCELLED. What no worker has started
 * never starts. A task that runs is told through [method@Task.get_cancellable] (and a worker process by SIGUSR1); if it is still there after
 * [property@Manager:grace], its worker is killed and replaced. The result is ready when the task has stopped.
 *
 * Returns: %TRUE if anything is cancelled; %FALSE if the call has ended already
 *
 * Since: 1.0
 */
gboolean
pool_async_result_cancel (PoolAsyncResult *self)
{
  g_autoptr (GError) error = NULL;
  gboolean any = FALSE;

  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);

  error = g_error_new (POOL_ERROR, POOL_ERROR_CANCELLED, "Task %" G_GUINT64_FORMAT " was cancelled",
                       self->job.id);
  pool_engine_lock (self->engine);
  if (!pool_job_is_done (&self->job) && !self->engine->orphan)
    any = pool_engine_cancel_locked (self->engine, &self->job, error);
  pool_engine_unlock (self->engine);
  return any;
}

/**
 * pool_async_result_cancel_queued:
 * @self: a result
 *
 * Cancels what no worker has started of the call or map; what runs goes on, and is not told. What is on another machine is asked
 * back, and fails with %POOL_ERROR_CANCELLED if nobody has started it there.
 *
 * Returns: %TRUE if anything is cancelled now
 *
 * Since: 1.0
 */
gboolean
pool_async_result_cancel_queued (PoolAsyncResult *self)
{
  g_autoptr (GError) error = NULL;
  gboolean any = FALSE;

  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);

  error = g_error_new (POOL_ERROR, POOL_ERROR_CANCELLED, "Task %" G_GUINT64_FORMAT " was cancelled before it was started",
                       self->job.id);
  pool_engine_lock (self->engine);
  if (!pool_job_is_done (&self->job) && !self->engine->orphan && self->engine->backend != NULL)
    any = pool_engine_cancel_queued_locked (self->engine, &self->job, error);
  pool_engine_unlock (self->engine);
  return any;
}
