/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-process-private.h"

#include "pool-error.h"

/**
 * PoolProcess:
 *
 * The class to derive from when the tasks of a pool share state: a connection, a parser, a loaded model.
 *
 * Give the type to the pool as [property@Manager:target-type]. Each worker makes one object of it, when its first
 * task comes, with the pool's static arguments in [property@Process:static-args]; then
 * [vfunc@Process.run] is called for each task with that task's own arguments. When there is no such state, a plain
 * function ([callback@TaskFunc]) is simpler.
 *
 * Since: 1.0
 */
typedef struct
{
  GVariant *static_args;
} PoolProcessPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (PoolProcess, pool_process, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_STATIC_ARGS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static GVariant *
pool_process_real_run (PoolProcess *self, PoolTask *task, GVariant *args, GError **error)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s does not implement run()",
               G_OBJECT_TYPE_NAME (self));
  return NULL;
}

static void
pool_process_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  PoolProcessPrivate *priv = pool_process_get_instance_private (POOL_PROCESS (object));

  if (prop_id == PROP_STATIC_ARGS)
    g_value_set_variant (value, priv->static_args);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}

static void
pool_process_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  PoolProcessPrivate *priv = pool_process_get_instance_private (POOL_PROCESS (object));

  if (prop_id == PROP_STATIC_ARGS)
    priv->static_args = g_value_dup_variant (value);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
}

static void
pool_process_finalize (GObject *object)
{
  PoolProcessPrivate *priv = pool_process_get_instance_private (POOL_PROCESS (object));

  g_clear_pointer (&priv->static_args, g_variant_unref);
  G_OBJECT_CLASS (pool_process_parent_class)->finalize (object);
}

static void
pool_process_class_init (PoolProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = pool_process_get_property;
  object_class->set_property = pool_process_set_property;
  object_class->finalize = pool_process_finalize;
  klass->run = pool_process_real_run;

  /**
   * PoolProcess:static-args:
   *
   * The pool's static arguments: a tuple, or %NULL.
   *
   * Since: 1.0
   */
  properties[PROP_STATIC_ARGS] =
      g_param_spec_variant ("static-args", NULL, NULL, G_VARIANT_TYPE_TUPLE, NULL,
                            G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
pool_process_init (PoolProcess *self)
{
}

PoolProcess *
pool_process_new_for_worker (GType type, GVariant *static_args)
{
  return g_object_new (type, "static-args", static_args, NULL);
}

/**
 * pool_process_get_static_args:
 * @self: a process
 *
 * Gets the pool's static arguments.
 *
 * Returns: (transfer none) (nullable): a tuple, or %NULL if the pool has none
 *
 * Since: 1.0
 */
GVariant *
pool_process_get_static_args (PoolProcess *self)
{
  PoolProcessPrivate *priv = pool_process_get_instance_private (self);

  g_return_val_if_fail (POOL_IS_PROCESS (self), NULL);

  return priv->static_args;
}

/**
 * pool_process_run: (virtual run)
 * @self: a process
 * @task: the running call
 * @args: a tuple with one member for each argument
 * @error: return location for a #GError
 *
 * Runs one task.
 *
 * Returns: (transfer full) (nullable): the result, or %NULL with @error set
 *
 * Since: 1.0
 */
GVariant *
pool_process_run (PoolProcess *self, PoolTask *task, GVariant *args, GError **error)
{
  g_return_val_if_fail (POOL_IS_PROCESS (self), NULL);

  return POOL_PROCESS_GET_CLASS (self)->run (self, task, args, error);
}
