/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-error.h"
#include "pool-init.h"
#include "pool-process.h"

/* What is done to a pool before it starts: its functions, initializer, static arguments, and the checks of all. */

gboolean
pool_manager_check_new (PoolManager *self, const char *what, GError **error)
{
  if (self->engine->state == POOL_STATE_NEW)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "%s before the pool is started", what);
  return FALSE;
}

static gboolean
add_function (PoolManager *self, const char *name, PoolFunctionKind kind, gpointer func,
              gpointer user_data, GDestroyNotify destroy, GError **error)
{
  if (!pool_manager_check_new (self, "Functions are registered", error))
    {
      if (destroy != NULL)
        destroy (user_data);
      return FALSE;
    }
  return pool_function_table_add (self->engine->functions,
                                  pool_function_new (name, kind, func, user_data, destroy), error);
}

/**
 * pool_manager_register:
 * @self: a pool that has not been started
 * @name: name of the task: 1 to 100 bytes of UTF-8
 * @func: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data; also called when this fails
 * @error: return location for a #GError
 *
 * Registers a function of this program as a task. Workers that are forked from the program, and threads, can run it;
 * for others put it in a task module.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT if the name is taken or no name, or
 *   %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_register (PoolManager *self, const char *name, PoolTaskFunc func, gpointer user_data,
                       GDestroyNotify destroy, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (name != NULL && func != NULL, FALSE);

  return add_function (self, name, POOL_FUNCTION_TASK, func, user_data, destroy, error);
}

/**
 * pool_manager_register_bytes:
 * @self: a pool that has not been started
 * @name: name of the task
 * @func: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * As [method@Manager.register], for a function on bytes.
 *
 * Returns: %TRUE, or %FALSE with an error
 *
 * Since: 1.0
 */
gboolean
pool_manager_register_bytes (PoolManager *self, const char *name, PoolBytesFunc func,
                             gpointer user_data, GDestroyNotify destroy, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (name != NULL && func != NULL, FALSE);

  return add_function (self, name, POOL_FUNCTION_BYTES, func, user_data, destroy, error);
}

/**
 * pool_manager_register_memory:
 * @self: a pool that has not been started
 * @name: name of the task
 * @func: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * As [method@Manager.register_bytes], for a function that is given the address of the bytes.
 *
 * Returns: %TRUE, or %FALSE with an error
 *
 * Since: 1.0
 */
gboolean
pool_manager_register_memory (PoolManager *self, const char *name, PoolMemoryFunc func,
                              gpointer user_data, GDestroyNotify destroy, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (name != NULL && func != NULL, FALSE);

  return add_function (self, name, POOL_FUNCTION_MEMORY, func, user_data, destroy, error);
}

/**
 * pool_manager_register_batch:
 * @self: a pool that has not been started
 * @name: name of the task
 * @func: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * As [method@Manager.register], for a function on whole packed batches.
 *
 * Returns: %TRUE, or %FALSE with an error
 *
 * Since: 1.0
 */
gboolean
pool_manager_register_batch (PoolManager *self, const char *name, PoolBatchFunc func,
                             gpointer user_data, GDestroyNotify destroy, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (name != NULL && func != NULL, FALSE);

  return add_function (self, name, POOL_FUNCTION_BATCH, func, user_data, destroy, error);
}

static gboolean
check_tuple (GVariant *value, const char *what, GError **error)
{
  if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s must be a tuple, not %s", what,
               g_variant_get_type_string (value));
  return FALSE;
}

/**
 * pool_manager_set_initializer:
 * @self: a pool that has not been started
 * @task: (nullable): name of the task to run once in each worker before anything else; %NULL: none
 * @initargs: (nullable): a tuple of its arguments. A floating reference is taken
 * @error: return location for a #GError
 *
 * Sets what each worker starts with. A worker whose initializer fails is replaced; when that happens to as many in a
 * row as the pool has workers (at least 3), the pool is broken, and its calls fail with the initializer's message.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT or %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_set_initializer (PoolManager *self, const char *task, GVariant *initargs, GError **error)
{
  PoolBackendConfig *config;
  g_autoptr (GVariant) sunk = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  sunk = g_variant_ref_sink (initargs != NULL ? initargs : g_variant_new_tuple (NULL, 0));
  if (!pool_manager_check_new (self, "The initializer is set", error) ||
      !check_tuple (sunk, "The initializer's arguments", error))
    return FALSE;

  config = &self->engine->settings.backend;
  g_free ((char *) config->initializer);
  config->initializer = g_strdup (task);
  g_clear_pointer (&config->initargs, g_variant_unref);
  config->initargs = g_steal_pointer (&sunk);
  return TRUE;
}

/**
 * pool_manager_set_static_args: (set-property static-args)
 * @self: a pool that has not been started
 * @static_args: (nullable): a tuple. A floating reference is taken
 * @error: return location for a #GError
 *
 * Sets [property@Manager:static-args].
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT or %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_set_static_args (PoolManager *self, GVariant *static_args, GError **error)
{
  g_autoptr (GVariant) sunk = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (static_args != NULL)
    sunk = g_variant_ref_sink (static_args);
  if (!pool_manager_check_new (self, "Static arguments are set", error) ||
      !check_tuple (sunk, "The static arguments", error))
    return FALSE;
  g_object_set (self, "static-args", sunk, NULL);
  return TRUE;
}

/* --- the target --- */

#define TARGET_TYPE_TASK "target-type"

const char *
pool_manager_get_task (PoolManager *self, const char *task)
{
  if (task != NULL)
    return task;
  if (self->target_type != G_TYPE_NONE)
    return TARGET_TYPE_TASK;
  return self->target != NULL ? self->target : "(no target)";
}

gboolean
pool_manager_add_target_type (PoolManager *self, GError **error)
{
  if (self->target_type == G_TYPE_NONE)
    return TRUE;
  if (!g_type_is_a (self->target_type, POOL_TYPE_PROCESS) || G_TYPE_IS_ABSTRACT (self->target_type))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The target type %s is not a subclass of PoolProcess",
                   g_type_name (self->target_type));
      return FALSE;
    }
  return pool_function_table_add (self->engine->functions,
                                  pool_function_new (TARGET_TYPE_TASK, POOL_FUNCTION_PROCESS, NULL,
                                                     GSIZE_TO_POINTER (self->target_type), NULL),
                                  error);
}

static gboolean
prepare_target (PoolManager *self, GError **error)
{
  PoolBackendConfig *config = &self->engine->settings.backend;
  guint number;

  if (!pool_manager_add_target_type (self, error))
    return FALSE;
  if (self->target != NULL &&
      !pool_function_table_lookup (self->engine->functions, self->target, &number, error))
    return FALSE;
  return config->initializer == NULL ||
         pool_function_table_lookup (self->engine->functions, config->initializer, &number, error);
}

/* How many workers there are at first, and may be. */
static gboolean
prepare_size (PoolManager *self, GError **error)
{
  PoolEngineSettings *settings = &self->engine->settings;
  PoolBackendConfig *config = &settings->backend;
  guint processes = self->processes_set ? (guint) self->processes : pool_cpu_count ();

  if (settings->min_processes > 0 && settings->max_processes == 0)
    settings->max_processes = MAX (processes, settings->min_processes);
  if (settings->min_processes > settings->max_processes ||
      (settings->max_processes > 0 && self->processes_set && processes > settings->max_processes))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "A pool of %u workers cannot have between %u and %u", processes, settings->min_processes,
                   settings->max_processes);
      return FALSE;
    }
  if (settings->min_processes > 0 && !self->processes_set)
    processes = settings->min_processes;
  if (settings->max_processes > 0)
    processes = MIN (processes, settings->max_processes);
  config->processes = processes;
  config->has_size = self->processes_set || settings->min_processes > 0;
  config->max_processes =
      settings->max_processes > 0 ? settings->max_processes : MIN (MAX (3 * processes, 48), 4000);
  return TRUE;
}

/* Checks the settings and completes them, before the start. */
gboolean
pool_manager_prepare (PoolManager *self, GError **error)
{
  if (self->engine->state != POOL_STATE_NEW)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE, "The pool has been started before");
      return FALSE;
    }
  if (self->processes_set && (self->processes < 1 || self->processes > 4000))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "A pool has 1 to 4000 workers, not %d", self->processes);
      return FALSE;
    }
  pool_manager_prepare_logs (self);
  g_free (self->engine->settings.name);
  self->engine->settings.name = g_strdup (self->backend);
  self->engine->settings.backend.at_most_once = !self->engine->settings.resilient;
  self->engine->settings.backend.remote = &self->engine->settings.remote;
  return pool_manager_check_worker_command (self, error) && prepare_size (self, error) &&
         prepare_target (self, error);
}

gboolean
pool_manager_check_backend (PoolManager *self, PoolBackend *backend, GError **error)
{
  const PoolBackendConfig *config = &self->engine->settings.backend;
  PoolBackendFlags flags = POOL_BACKEND_GET_CLASS (backend)->flags;

  if (config->sandbox != POOL_SANDBOX_NONE && !(flags & POOL_BACKEND_SANDBOXES))
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "Workers of the backend \"%s\" cannot be isolated from the program, so there is no "
                 "sandbox \"%s\" for them: take a backend whose workers are processes, such as the "
                 "default one, or the sandbox \"none\"",
                 self->backend, config->sandbox == POOL_SANDBOX_STRICT ? "strict" : "basic");
  else if ((config->max_memory_per_child > 0 || config->memory_limit > 0) && !(flags & POOL_BACKEND_ISOLATES))
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "Workers of the backend \"%s\" have no memory of their own, so %s does not "
                 "go with it: take a backend whose workers are processes, such as the default one",
                 self->backend, config->memory_limit > 0 ? "memory-limit" : "max-memory-per-child");
  else if (self->engine->settings.capture_output && !(flags & POOL_BACKEND_CAN_CAPTURE))
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "Workers of the backend \"%s\" have no standard output of their own, so capture-output does not "
                 "go with it: take a backend whose workers are processes, such as the default one",
                 self->backend);
  else
    return pool_manager_check_remote (self, flags, error);
  return FALSE;
}
