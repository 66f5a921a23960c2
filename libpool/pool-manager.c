/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-chaos-private.h"
#include "pool-error.h"
#include "pool-module-private.h"

/**
 * PoolManager:
 *
 * A pool of workers that run tasks: threads, processes or whatever its [property@Manager:backend] offers.
 *
 * ```c
 * g_autoptr (PoolManager) pool = pool_manager_new ("fork");
 * pool_manager_register (pool, "square", square, NULL, NULL, &error);
 * pool_manager_start (pool, &error);
 * g_autoptr (GVariant) nine = pool_manager_apply (pool, "square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, &error);
 * pool_manager_close (pool, &error);
 * pool_manager_join (pool, -1, &error);
 * ```
 *
 * Every method may be called from any thread. Signals and callbacks come in the main context that was the thread default
 * when the pool was made; where nobody iterates it they come from the call that waits for a result, or from a thread of
 * the pool. A task whose worker dies is run again on another one, up to [property@Manager:max-retries] times,
 * unless [property@Manager:resilient] is off: so a task may run more than once, but its result is delivered once.
 *
 * A pool that is dropped while it runs is terminated. A pool in a forked child of the program that made it is only a
 * memory: its calls fail with %POOL_ERROR_STATE.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (PoolManager, pool_manager, G_TYPE_OBJECT)

/* Whatever signals come: what was submitted is to be done first. */
static void
join_whole (PoolManager *self)
{
  g_autoptr (GError) error = NULL;

  while (!pool_engine_join (self->engine, -1, &error) &&
         g_error_matches (error, POOL_ERROR, POOL_ERROR_INTERRUPTED))
    g_clear_error (&error);
}

static void
pool_manager_dispose (GObject *object)
{
  PoolManager *self = POOL_MANAGER (object);

  if (!self->daemon && pool_manager_get_state (self) == POOL_STATE_RUN &&
      pool_manager_close (self, NULL))
    join_whole (self);
  pool_engine_abandon (self->engine);
  pool_engine_stop_trace (self->engine, NULL);
  pool_manager_queue_clear (self);
  G_OBJECT_CLASS (pool_manager_parent_class)->dispose (object);
}

static void
pool_manager_finalize (GObject *object)
{
  PoolManager *self = POOL_MANAGER (object);

  g_free (self->backend);
  g_free (self->target);
  g_ptr_array_unref (self->loggers);
  pool_engine_unref (self->engine);
  G_OBJECT_CLASS (pool_manager_parent_class)->finalize (object);
}

static void
pool_manager_class_init (PoolManagerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = pool_manager_get_property;
  object_class->set_property = pool_manager_set_property;
  object_class->dispose = pool_manager_dispose;
  object_class->finalize = pool_manager_finalize;
  pool_manager_install_properties (object_class);
  pool_manager_install_signals ();
}

static void
pool_manager_init (PoolManager *self)
{
  self->engine = pool_engine_new ();
  self->backend = g_strdup ("fork");
  self->daemon = TRUE;
  self->target_type = G_TYPE_NONE;
  self->loggers = g_ptr_array_new_with_free_func (g_free);
  g_queue_init (&self->queue.results);
}

/**
 * pool_manager_new:
 * @backend: (nullable): name of the backend; %NULL: `fork`
 *
 * Makes a pool, which is to be set up through its properties, given its functions, and started.
 *
 * Returns: (transfer full): the pool
 *
 * Since: 1.0
 */
PoolManager *
pool_manager_new (const char *backend)
{
  return g_object_new (POOL_TYPE_MANAGER, "backend", backend != NULL ? backend : "fork", NULL);
}

/* --- life --- */

/**
 * pool_manager_start:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Loads the backend and makes the workers; it does not wait until they are up, which each tells with
 * [signal@Manager::process-up]: until then [property@Manager:n-workers] does not count it. Calls can be made at once. Call it early, before the program has
 * threads, if workers are to be forked from it.
 *
 * The environment variable `POOL_CHAOS` makes workers die, stop and dawdle now and then, for tests; see
 * [testing with chaos](testing-with-chaos.html). One that is wrong, or asks for what the backend cannot do, is
 * %POOL_ERROR_INVALID_ARGUMENT. A program with raised privileges ignores it.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE, %POOL_ERROR_INVALID_ARGUMENT,
 *   %POOL_ERROR_NO_SUCH_BACKEND, %POOL_ERROR_NO_SUCH_TASK (target or initializer), or, when the system has no more of
 *   something, %POOL_ERROR_OUT_OF_MEMORY or %POOL_ERROR_BACKEND: then it can be tried again
 *
 * Since: 1.0
 */
gboolean
pool_manager_start (PoolManager *self, GError **error)
{
  g_autoptr (PoolBackend) backend = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!pool_manager_prepare (self, error))
    return FALSE;
  backend = pool_module_new_backend (self->backend != NULL ? self->backend : "fork", error);
  if (backend == NULL || !pool_manager_check_backend (self, backend, error) ||
      !pool_chaos_configure (&self->engine->settings.backend.chaos, self->backend,
                             POOL_BACKEND_GET_CLASS (backend)->flags, error))
    return FALSE;

  pool_manager_connect_events (self);
  if (!pool_engine_start (self->engine, backend, error))
    return FALSE;
  g_steal_pointer (&backend); /* the engine's now */
  return TRUE;
}

/* What holds for every call that changes the state. */
static gboolean
check_ours (PoolManager *self, GError **error)
{
  gboolean orphan;

  pool_engine_lock (self->engine);
  orphan = self->engine->orphan;
  pool_engine_unlock (self->engine);
  if (!orphan)
    return TRUE;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                       "This pool belongs to the process that this one was forked from");
  return FALSE;
}

/**
 * pool_manager_close:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Takes no more tasks and lets the workers end when they have done what was submitted. Closing twice is harmless.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_NOT_STARTED or %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_close (PoolManager *self, GError **error)
{
  gboolean started;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!check_ours (self, error))
    return FALSE;
  pool_engine_lock (self->engine);
  started = self->engine->state != POOL_STATE_NEW;
  pool_engine_close (self->engine);
  pool_engine_watch_locked (self->engine);
  pool_engine_unlock (self->engine);
  if (!started)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_NOT_STARTED, "The pool has not been started");
  return started;
}

/**
 * pool_manager_terminate:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Ends the workers at once. What has not ended fails with %POOL_ERROR_TERMINATED. Threads cannot be ended:
 * their tasks are told through [method@Task.get_cancellable], and come to their end.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_terminate (PoolManager *self, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!check_ours (self, error))
    return FALSE;
  pool_engine_lock (self->engine);
  pool_engine_terminate (self->engine);
  pool_engine_watch_locked (self->engine);
  pool_engine_unlock (self->engine);
  return TRUE;
}

/**
 * pool_manager_join:
 * @self: a pool that was closed or terminated
 * @timeout: seconds; negative: for ever
 * @error: return location for a #GError
 *
 * Waits until all workers are gone.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE if the pool runs, %POOL_ERROR_WAIT_TIMED_OUT or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
gboolean
pool_manager_join (PoolManager *self, double timeout, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!check_ours (self, error))
    return FALSE;
  if (pool_manager_get_state (self) <= POOL_STATE_RUN)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "Only a pool that was closed or terminated can be joined");
      return FALSE;
    }
  return pool_engine_join (self->engine, timeout, error);
}

/**
 * pool_manager_get_state: (get-property state)
 * @self: a pool
 *
 * Gets where the pool is in its life.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
PoolState
pool_manager_get_state (PoolManager *self)
{
  PoolState state;

  g_return_val_if_fail (POOL_IS_MANAGER (self), POOL_STATE_NEW);

  pool_engine_lock (self->engine);
  state = self->engine->state;
  pool_engine_unlock (self->engine);
  return state;
}

/**
 * pool_manager_get_workers:
 * @self: a pool
 *
 * Describes the workers that are up.
 *
 * Returns: (transfer container) (element-type PoolWorkerInfo): their descriptions, by number
 *
 * Since: 1.0
 */
GPtrArray *
pool_manager_get_workers (PoolManager *self)
{
  GPtrArray *workers;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  pool_engine_lock (self->engine);
  workers = pool_engine_get_workers (self->engine);
  pool_engine_unlock (self->engine);
  return workers;
}
