/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-call-options.h"

/**
 * PoolCallOptions:
 *
 * What one call may have of its own, where it differs from the pool's settings. It is read when the call is submitted
 * and may be used for many calls.
 *
 * Since: 1.0
 */
struct _PoolCallOptions
{
  GObject parent_instance;

  char *correlation_id;
  int max_retries;
};

G_DEFINE_FINAL_TYPE (PoolCallOptions, pool_call_options, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_CORRELATION_ID,
  PROP_MAX_RETRIES,
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
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_call_options_finalize (GObject *object)
{
  g_free (POOL_CALL_OPTIONS (object)->correlation_id);
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

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
pool_call_options_init (PoolCallOptions *self)
{
  self->max_retries = -1;
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
