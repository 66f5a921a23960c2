/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-call-options-private.h"

#include "pool-async-result.h"
#include "pool-queue-private.h"
#include "pool-worker-info.h"

/**
 * PoolCallOptions:
 *
 * What one call may have of its own, where it differs from the pool's settings. It is read when the call is submitted
 * and may be used for many calls.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (PoolCallOptions, pool_call_options, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_CORRELATION_ID,
  PROP_MAX_RETRIES,
  PROP_TIMEOUT,
  PROP_SOFT_TIMEOUT,
  PROP_PRIORITY,
  PROP_WAIT_FOR_SLOT,
  PROP_CAPTURE_OUTPUT,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
pool_call_options_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  PoolCallOptions *self = POOL_CALL_OPTIONS (object);

  switch (prop_id)
    {
    case PROP_CORRELATION_ID:
      g_value_set_string (value, self->correlation_id);
      break;
    case PROP_MAX_RETRIES:
      g_value_set_int (value, self->max_retries);
      break;
    case PROP_TIMEOUT:
      g_value_set_double (value, self->timeout);
      break;
    case PROP_SOFT_TIMEOUT:
      g_value_set_double (value, self->soft_timeout);
      break;
    case PROP_PRIORITY:
      g_value_set_int (value, self->priority);
      break;
    case PROP_WAIT_FOR_SLOT:
      g_value_set_boolean (value, self->wait_for_slot);
      break;
    case PROP_CAPTURE_OUTPUT:
      g_value_set_int (value, self->capture_output);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_call_options_set_property (GObject *object, guint prop_id, const GValue *value,
                                GParamSpec *pspec)
{
  PoolCallOptions *self = POOL_CALL_OPTIONS (object);

  switch (prop_id)
    {
    case PROP_CORRELATION_ID:
      pool_call_options_set_correlation_id (self, g_value_get_string (value));
      break;
    case PROP_MAX_RETRIES:
      pool_call_options_set_max_retries (self, g_value_get_int (value));
      break;
    case PROP_TIMEOUT:
      pool_call_options_set_timeout (self, g_value_get_double (value));
      break;
    case PROP_SOFT_TIMEOUT:
      pool_call_options_set_soft_timeout (self, g_value_get_double (value));
      break;
    case PROP_PRIORITY:
      pool_call_options_set_priority (self, g_value_get_int (value));
      break;
    case PROP_WAIT_FOR_SLOT:
      pool_call_options_set_wait_for_slot (self, g_value_get_boolean (value));
      break;
    case PROP_CAPTURE_OUTPUT:
      pool_call_options_set_capture_output (self, g_value_get_int (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_call_options_finalize (GObject *object)
{
  PoolCallOptions *self = POOL_CALL_OPTIONS (object);

  pool_call_options_set_accept_callback (self, NULL, NULL, NULL);
  pool_call_options_set_timeout_callback (self, NULL, NULL, NULL);
  g_free (self->correlation_id);
  G_OBJECT_CLASS (pool_call_options_parent_class)->finalize (object);
}

static void
pool_call_options_class_init (PoolCallOptionsClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = pool_call_options_get_property;
  object_class->set_property = pool_call_options_set_property;
  object_class->finalize = pool_call_options_finalize;

  /**
   * PoolCallOptions:correlation-id:
   *
   * A name of the caller's own for the call; it comes back as [method@AsyncResult.get_correlation_id].
   *
   * Since: 1.0
   */
  properties[PROP_CORRELATION_ID] = g_param_spec_string (
      "correlation-id", NULL, NULL, NULL,
      G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:max-retries:
   *
   * How many workers the call may take down before it fails; -1: as the pool says.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETRIES] =
      g_param_spec_int ("max-retries", NULL, NULL, -1, G_MAXUINT16, -1,
                        G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:timeout:
   *
   * The hard time limit in seconds: [property@Manager:timeout] for this call. 0: none; negative: as the pool says.
   *
   * Since: 1.0
   */
  properties[PROP_TIMEOUT] =
      g_param_spec_double ("timeout", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, -1,
                           G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:soft-timeout:
   *
   * The soft time limit in seconds: [property@Manager:soft-timeout] for this call. 0: none; negative: as the pool says.
   *
   * Since: 1.0
   */
  properties[PROP_SOFT_TIMEOUT] =
      g_param_spec_double ("soft-timeout", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, -1,
                           G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:priority:
   *
   * From -16 to 15; the highest goes first. Every 16th time the call that has waited longest goes, whatever its priority, so
   * that none starves.
   *
   * Since: 1.0
   */
  properties[PROP_PRIORITY] =
      g_param_spec_int ("priority", NULL, NULL, POOL_PRIORITY_MIN, POOL_PRIORITY_MAX, 0,
                        G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:wait-for-slot:
   *
   * Whether submitting the call waits for a free slot when [property@Manager:putlocks] is set.
   *
   * Since: 1.0
   */
  properties[PROP_WAIT_FOR_SLOT] =
      g_param_spec_boolean ("wait-for-slot", NULL, NULL, TRUE,
                            G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  /**
   * PoolCallOptions:capture-output:
   *
   * Whether what the call writes to standard output and error is kept, see [property@Manager:capture-output]: 1, 0, or
   * -1: as the pool says. With a backend that cannot, 1 makes the call fail with %POOL_ERROR_INVALID_ARGUMENT.
   *
   * Since: 1.0
   */
  properties[PROP_CAPTURE_OUTPUT] =
      g_param_spec_int ("capture-output", NULL, NULL, -1, 1, -1,
                        G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
pool_call_options_init (PoolCallOptions *self)
{
  self->max_retries = -1;
  self->timeout = self->soft_timeout = -1;
  self->wait_for_slot = TRUE;
  self->capture_output = -1;
}

/**
 * pool_call_options_new:
 *
 * Makes options that change nothing.
 *
 * Returns: (transfer full): the options
 *
 * Since: 1.0
 */
PoolCallOptions *
pool_call_options_new (void)
{
  return g_object_new (POOL_TYPE_CALL_OPTIONS, NULL);
}

/**
 * pool_call_options_get_correlation_id:
 * @self: options
 *
 * Gets [property@CallOptions:correlation-id].
 *
 * Returns: (nullable): the name
 *
 * Since: 1.0
 */
const char *
pool_call_options_get_correlation_id (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), NULL);

  return self->correlation_id;
}

/**
 * pool_call_options_set_correlation_id:
 * @self: options
 * @correlation_id: (nullable): the name
 *
 * Sets [property@CallOptions:correlation-id].
 *
 * Since: 1.0
 */
void
pool_call_options_set_correlation_id (PoolCallOptions *self, const char *correlation_id)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  if (g_strcmp0 (self->correlation_id, correlation_id) == 0)
    return;
  g_free (self->correlation_id);
  self->correlation_id = g_strdup (correlation_id);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CORRELATION_ID]);
}

/**
 * pool_call_options_get_max_retries:
 * @self: options
 *
 * Gets [property@CallOptions:max-retries].
 *
 * Returns: the number, or -1
 *
 * Since: 1.0
 */
int
pool_call_options_get_max_retries (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), -1);

  return self->max_retries;
}

/**
 * pool_call_options_set_max_retries:
 * @self: options
 * @max_retries: the number, or -1
 *
 * Sets [property@CallOptions:max-retries].
 *
 * Since: 1.0
 */
void
pool_call_options_set_max_retries (PoolCallOptions *self, int max_retries)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));
  g_return_if_fail (max_retries >= -1 && max_retries <= G_MAXUINT16);

  if (self->max_retries == max_retries)
    return;
  self->max_retries = max_retries;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_RETRIES]);
}

/**
 * pool_call_options_get_timeout:
 * @self: options
 *
 * Gets [property@CallOptions:timeout].
 *
 * Returns: seconds
 *
 * Since: 1.0
 */
double
pool_call_options_get_timeout (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), -1);

  return self->timeout;
}

/**
 * pool_call_options_set_timeout:
 * @self: options
 * @timeout: seconds; 0: none; negative: as the pool says
 *
 * Sets [property@CallOptions:timeout].
 *
 * Since: 1.0
 */
void
pool_call_options_set_timeout (PoolCallOptions *self, double timeout)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  if (self->timeout == timeout)
    return;
  self->timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TIMEOUT]);
}

/**
 * pool_call_options_get_soft_timeout:
 * @self: options
 *
 * Gets [property@CallOptions:soft-timeout].
 *
 * Returns: seconds
 *
 * Since: 1.0
 */
double
pool_call_options_get_soft_timeout (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), -1);

  return self->soft_timeout;
}

/**
 * pool_call_options_set_soft_timeout:
 * @self: options
 * @soft_timeout: seconds; 0: none; negative: as the pool says
 *
 * Sets [property@CallOptions:soft-timeout].
 *
 * Since: 1.0
 */
void
pool_call_options_set_soft_timeout (PoolCallOptions *self, double soft_timeout)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  if (self->soft_timeout == soft_timeout)
    return;
  self->soft_timeout = soft_timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SOFT_TIMEOUT]);
}

/**
 * pool_call_options_get_priority:
 * @self: options
 *
 * Gets [property@CallOptions:priority].
 *
 * Returns: the priority
 *
 * Since: 1.0
 */
int
pool_call_options_get_priority (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), 0);

  return self->priority;
}

/**
 * pool_call_options_set_priority:
 * @self: options
 * @priority: from -16 to 15
 *
 * Sets [property@CallOptions:priority].
 *
 * Since: 1.0
 */
void
pool_call_options_set_priority (PoolCallOptions *self, int priority)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));
  g_return_if_fail (priority >= POOL_PRIORITY_MIN && priority <= POOL_PRIORITY_MAX);

  if (self->priority == priority)
    return;
  self->priority = priority;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PRIORITY]);
}

/**
 * pool_call_options_get_wait_for_slot:
 * @self: options
 *
 * Gets [property@CallOptions:wait-for-slot].
 *
 * Returns: %TRUE if it does
 *
 * Since: 1.0
 */
gboolean
pool_call_options_get_wait_for_slot (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), FALSE);

  return self->wait_for_slot;
}

/**
 * pool_call_options_set_wait_for_slot:
 * @self: options
 * @wait_for_slot: whether submitting waits
 *
 * Sets [property@CallOptions:wait-for-slot].
 *
 * Since: 1.0
 */
void
pool_call_options_set_wait_for_slot (PoolCallOptions *self, gboolean wait_for_slot)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  if (self->wait_for_slot == wait_for_slot)
    return;
  self->wait_for_slot = wait_for_slot;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_WAIT_FOR_SLOT]);
}

/**
 * pool_call_options_set_accept_callback:
 * @self: options
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): called when a worker has started the call
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets what is told when a worker starts a call that is submitted with these options, in the pool's main context. It is called
 * once for each attempt. Keep the options unchanged while such calls are under way.
 *
 * Since: 1.0
 */
void
pool_call_options_set_accept_callback (PoolCallOptions *self, PoolAcceptFunc func, gpointer user_data,
                                       GDestroyNotify destroy)
{
  PoolCallCallbacks *callbacks;

  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  callbacks = &self->callbacks;
  if (callbacks->accept_destroy != NULL)
    callbacks->accept_destroy (callbacks->accept_data);
  callbacks->accept = func;
  callbacks->accept_data = user_data;
  callbacks->accept_destroy = destroy;
}

/**
 * pool_call_options_set_timeout_callback:
 * @self: options
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): called when a time limit is over
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets what is told when a call that was submitted with these options has run over its soft or its hard limit, in the pool's
 * main context.
 *
 * Since: 1.0
 */
void
pool_call_options_set_timeout_callback (PoolCallOptions *self, PoolTimeoutFunc func, gpointer user_data,
                                        GDestroyNotify destroy)
{
  PoolCallCallbacks *callbacks;

  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));

  callbacks = &self->callbacks;
  if (callbacks->timeout_destroy != NULL)
    callbacks->timeout_destroy (callbacks->timeout_data);
  callbacks->timeout = func;
  callbacks->timeout_data = user_data;
  callbacks->timeout_destroy = destroy;
}

void
pool_call_options_accepted (PoolCallOptions *self, PoolAsyncResult *result, PoolWorkerInfo *worker, gint64 time)
{
  if (self->callbacks.accept != NULL)
    self->callbacks.accept (result, worker, time, self->callbacks.accept_data);
}

void
pool_call_options_timed_out (PoolCallOptions *self, PoolAsyncResult *result, gboolean soft, double limit)
{
  if (self->callbacks.timeout != NULL)
    self->callbacks.timeout (result, soft, limit, self->callbacks.timeout_data);
}

/**
 * pool_call_options_get_capture_output:
 * @self: options
 *
 * Gets [property@CallOptions:capture-output].
 *
 * Returns: 1, 0 or -1
 *
 * Since: 1.0
 */
int
pool_call_options_get_capture_output (PoolCallOptions *self)
{
  g_return_val_if_fail (POOL_IS_CALL_OPTIONS (self), -1);

  return self->capture_output;
}

/**
 * pool_call_options_set_capture_output:
 * @self: options
 * @capture_output: 1, 0 or -1
 *
 * Sets [property@CallOptions:capture-output].
 *
 * Since: 1.0
 */
void
pool_call_options_set_capture_output (PoolCallOptions *self, int capture_output)
{
  g_return_if_fail (POOL_IS_CALL_OPTIONS (self));
  g_return_if_fail (capture_output >= -1 && capture_output <= 1);

  if (self->capture_output == capture_output)
    return;
  self->capture_output = capture_output;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CAPTURE_OUTPUT]);
}
