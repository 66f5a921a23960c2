/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-enum-types.h"
#include "pool-error.h"
#include "pool-init.h"
#include "pool-module-private.h"
#include "pool-process.h"
#include "pool-worker-info.h"

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

enum
{
  PROP_0,
  PROP_BACKEND,
  PROP_PROCESSES,
  PROP_START_METHOD,
  PROP_TARGET,
  PROP_TARGET_TYPE,
  PROP_STATIC_ARGS,
  PROP_RESILIENT,
  PROP_MAX_RETRIES,
  PROP_MAX_RESTARTS,
  PROP_MAX_RESTART_FREQ,
  PROP_QUEUE_SIZE,
  PROP_ORDERED,
  PROP_DAEMON,
  PROP_THREADS,
  PROP_STATE,
  PROP_N_WORKERS,
  PROP_N_PENDING,
  PROP_N_RUNNING,
  PROP_N_DONE,
  PROP_N_FAILED,
  PROP_N_RETRIED,
  PROP_N_RESTARTS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

enum
{
  SIGNAL_PROCESS_UP,
  SIGNAL_PROCESS_DOWN,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

/* --- properties --- */

static guint
count_running (PoolEngine *engine)
{
  guint n = 0;

  for (guint i = 0; i < engine->workers->len; i++)
    {
      PoolWorker *worker = engine->workers->pdata[i];
      guint64 handle = 0, done;

      if (worker != NULL && worker->up && engine->backend != NULL)
        POOL_BACKEND_GET_CLASS (engine->backend)
            ->get_worker (engine->backend, worker->id, &handle, &done);
      n += handle != 0;
    }
  return n;
}

static void
get_statistic (PoolManager *self, guint prop_id, GValue *value)
{
  PoolEngine *engine = self->engine;

  pool_engine_lock (engine);
  switch (prop_id)
    {
    case PROP_STATE:
      g_value_set_enum (value, engine->state);
      break;
    case PROP_N_WORKERS:
      g_value_set_uint (value, engine->n_alive);
      break;
    case PROP_N_PENDING:
      g_value_set_uint64 (value, engine->ledger.n_records);
      break;
    case PROP_N_RUNNING:
      g_value_set_uint (value, count_running (engine));
      break;
    case PROP_N_DONE:
      g_value_set_uint64 (value, engine->counters.n_done);
      break;
    case PROP_N_FAILED:
      g_value_set_uint64 (value, engine->counters.n_failed);
      break;
    case PROP_N_RETRIED:
      g_value_set_uint64 (value, engine->counters.n_retried);
      break;
    case PROP_N_RESTARTS:
    default:
      g_value_set_uint64 (value, engine->counters.n_restarts);
      break;
    }
  pool_engine_unlock (engine);
}

static void
pool_manager_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  PoolManager *self = POOL_MANAGER (object);
  PoolEngineSettings *settings = &self->engine->settings;

  switch (prop_id)
    {
    case PROP_BACKEND:
      g_value_set_string (value, self->backend);
      break;
    case PROP_PROCESSES:
      g_value_set_int (value, self->processes_set ? self->processes : (int) pool_cpu_count ());
      break;
    case PROP_START_METHOD:
      g_value_set_enum (value, settings->backend.start_method);
      break;
    case PROP_TARGET:
      g_value_set_string (value, self->target);
      break;
    case PROP_TARGET_TYPE:
      g_value_set_gtype (value, self->target_type);
      break;
    case PROP_STATIC_ARGS:
      g_value_set_variant (value, settings->backend.static_args);
      break;
    case PROP_RESILIENT:
      g_value_set_boolean (value, settings->resilient);
      break;
    case PROP_MAX_RETRIES:
      g_value_set_uint (value, settings->max_retries);
      break;
    case PROP_MAX_RESTARTS:
      g_value_set_uint (value, settings->max_restarts);
      break;
    case PROP_MAX_RESTART_FREQ:
      g_value_set_double (value, settings->max_restart_freq);
      break;
    case PROP_QUEUE_SIZE:
      g_value_set_uint (value, self->queue.size);
      break;
    case PROP_ORDERED:
      g_value_set_boolean (value, self->queue.ordered);
      break;
    case PROP_DAEMON:
      g_value_set_boolean (value, self->daemon);
      break;
    case PROP_THREADS:
      g_value_set_boolean (value, settings->threads);
      break;
    default:
      get_statistic (self, prop_id, value);
      break;
    }
}

static void
pool_manager_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  PoolManager *self = POOL_MANAGER (object);
  PoolEngineSettings *settings = &self->engine->settings;

  /* what a pool was started with stays: check_settable() in the setters that can fail says so */
  if (self->engine->state != POOL_STATE_NEW)
    {
      g_critical ("Property \"%s\" cannot be changed once the pool has started", pspec->name);
      return;
    }

  switch (prop_id)
    {
    case PROP_BACKEND:
      g_free (self->backend);
      self->backend = g_value_dup_string (value);
      break;
    case PROP_PROCESSES:
      self->processes = g_value_get_int (value);
      self->processes_set = TRUE;
      break;
    case PROP_START_METHOD:
      settings->backend.start_method = g_value_get_enum (value);
      break;
    case PROP_TARGET:
      g_free (self->target);
      self->target = g_value_dup_string (value);
      break;
    case PROP_TARGET_TYPE:
      self->target_type = g_value_get_gtype (value);
      break;
    case PROP_STATIC_ARGS:
      g_clear_pointer (&settings->backend.static_args, g_variant_unref);
      settings->backend.static_args = g_value_dup_variant (value);
      break;
    case PROP_RESILIENT:
      settings->resilient = g_value_get_boolean (value);
      break;
    case PROP_MAX_RETRIES:
      settings->max_retries = g_value_get_uint (value);
      break;
    case PROP_MAX_RESTARTS:
      settings->max_restarts = g_value_get_uint (value);
      break;
    case PROP_MAX_RESTART_FREQ:
      settings->max_restart_freq = g_value_get_double (value);
      break;
    case PROP_QUEUE_SIZE:
      self->queue.size = g_value_get_uint (value);
      break;
    case PROP_ORDERED:
      self->queue.ordered = g_value_get_boolean (value);
      break;
    case PROP_DAEMON:
      self->daemon = g_value_get_boolean (value);
      break;
    case PROP_THREADS:
      settings->threads = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_manager_dispose (GObject *object)
{
  PoolManager *self = POOL_MANAGER (object);

  if (!self->daemon && pool_manager_get_state (self) == POOL_STATE_RUN &&
      pool_manager_close (self, NULL))
    pool_manager_join (self, -1, NULL);
  pool_engine_abandon (self->engine);
  pool_manager_queue_clear (self);
  G_OBJECT_CLASS (pool_manager_parent_class)->dispose (object);
}

static void
pool_manager_finalize (GObject *object)
{
  PoolManager *self = POOL_MANAGER (object);

  g_free (self->backend);
  g_free (self->target);
  pool_engine_unref (self->engine);
  G_OBJECT_CLASS (pool_manager_parent_class)->finalize (object);
}

static void
install_settings (void)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:backend:
   *
   * What runs the tasks: `fork`, `threads`, or the name of another module; see [func@list_backends].
   *
   * Since: 1.0
   */
  properties[PROP_BACKEND] = g_param_spec_string ("backend", NULL, NULL, "fork", flags);

  /**
   * PoolManager:processes:
   *
   * The number of workers; the default is [func@cpu_count]. A number below 1 makes [method@Manager.start] fail.
   *
   * Since: 1.0
   */
  properties[PROP_PROCESSES] =
      g_param_spec_int ("processes", NULL, NULL, G_MININT, G_MAXINT, 1, flags);

  /**
   * PoolManager:start-method:
   *
   * How worker processes are made.
   *
   * Since: 1.0
   */
  properties[PROP_START_METHOD] =
      g_param_spec_enum ("start-method", NULL, NULL, POOL_TYPE_START_METHOD,
                         POOL_START_METHOD_AUTO, flags);

  /**
   * PoolManager:target:
   *
   * The task that is meant where none is named: by [method@Manager.put], and by calls with %NULL for a task.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, flags);

  /**
   * PoolManager:target-type:
   *
   * A subclass of [class@Process] whose `run` is the pool's target, instead of a function.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET_TYPE] =
      g_param_spec_gtype ("target-type", NULL, NULL, G_TYPE_NONE, flags);

  /**
   * PoolManager:static-args: (setter set_static_args)
   *
   * A tuple that is sent to each worker once and appended to the arguments of each call; a [class@Process] gets it when it
   * is made instead.
   *
   * Since: 1.0
   */
  properties[PROP_STATIC_ARGS] =
      g_param_spec_variant ("static-args", NULL, NULL, G_VARIANT_TYPE_TUPLE, NULL, flags);

  /**
   * PoolManager:resilient:
   *
   * Run a task again whose worker died. If %FALSE, it fails with %POOL_ERROR_WORKER_LOST, and no task is ever started
   * twice.
   *
   * Since: 1.0
   */
  properties[PROP_RESILIENT] = g_param_spec_boolean ("resilient", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:max-retries:
   *
   * A task that has taken down this many workers fails with %POOL_ERROR_WORKER_LOST.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETRIES] =
      g_param_spec_uint ("max-retries", NULL, NULL, 0, G_MAXUINT16, 3, flags);

  /**
   * PoolManager:max-restarts:
   *
   * How many workers may be replaced within [property@Manager:max-restart-freq] seconds before the pool gives up and
   * is %POOL_STATE_BROKEN; 0: 100 for each worker.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RESTARTS] =
      g_param_spec_uint ("max-restarts", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * PoolManager:max-restart-freq:
   *
   * The time in seconds within which [property@Manager:max-restarts] are counted.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RESTART_FREQ] =
      g_param_spec_double ("max-restart-freq", NULL, NULL, 0, 1e9, 1, flags);

  /**
   * PoolManager:queue-size:
   *
   * How many items [method@Manager.put] takes, beyond those that workers are busy with, before it waits; 0: two for
   * each worker.
   *
   * Since: 1.0
   */
  properties[PROP_QUEUE_SIZE] = g_param_spec_uint ("queue-size", NULL, NULL, 0, G_MAXINT, 0, flags);

  /**
   * PoolManager:ordered:
   *
   * Whether [method@Manager.get] gives results in the order of [method@Manager.put] rather than as they are ready.
   *
   * Since: 1.0
   */
  properties[PROP_ORDERED] = g_param_spec_boolean ("ordered", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:daemon:
   *
   * Whether dropping the pool ends its workers at once. If %FALSE, it waits until they have done all that was
   * submitted.
   *
   * Since: 1.0
   */
  properties[PROP_DAEMON] = g_param_spec_boolean ("daemon", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:threads:
   *
   * Whether a thread of the pool keeps it going when nobody waits for a result. If %FALSE, the main context of the
   * thread that made the pool does, and calls that wait do.
   *
   * Since: 1.0
   */
  properties[PROP_THREADS] = g_param_spec_boolean ("threads", NULL, NULL, TRUE, flags);
}

static void
install_statistics (void)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:state: (getter get_state)
   *
   * Where the pool is in its life.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
      g_param_spec_enum ("state", NULL, NULL, POOL_TYPE_STATE, POOL_STATE_NEW, flags);

  /**
   * PoolManager:n-workers:
   *
   * Workers that are up.
   *
   * Since: 1.0
   */
  properties[PROP_N_WORKERS] = g_param_spec_uint ("n-workers", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * PoolManager:n-pending:
   *
   * Tasks and chunks of maps that have not ended.
   *
   * Since: 1.0
   */
  properties[PROP_N_PENDING] =
      g_param_spec_uint64 ("n-pending", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:n-running:
   *
   * Workers that are in a task.
   *
   * Since: 1.0
   */
  properties[PROP_N_RUNNING] = g_param_spec_uint ("n-running", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * PoolManager:n-done:
   *
   * Calls and items that workers have come to the end of.
   *
   * Since: 1.0
   */
  properties[PROP_N_DONE] = g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:n-failed:
   *
   * Calls that failed, and items that were lost or cancelled.
   *
   * Since: 1.0
   */
  properties[PROP_N_FAILED] =
      g_param_spec_uint64 ("n-failed", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:n-retried:
   *
   * How often a task was run again because its worker had died.
   *
   * Since: 1.0
   */
  properties[PROP_N_RETRIED] =
      g_param_spec_uint64 ("n-retried", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:n-restarts:
   *
   * How many workers were replaced.
   *
   * Since: 1.0
   */
  properties[PROP_N_RESTARTS] =
      g_param_spec_uint64 ("n-restarts", NULL, NULL, 0, G_MAXUINT64, 0, flags);
}

static void
pool_manager_class_init (PoolManagerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = pool_manager_get_property;
  object_class->set_property = pool_manager_set_property;
  object_class->dispose = pool_manager_dispose;
  object_class->finalize = pool_manager_finalize;
  install_settings ();
  install_statistics ();
  g_object_class_install_properties (object_class, N_PROPS, properties);

  /**
   * PoolManager::process-up:
   * @self: the pool
   * @worker: the worker
   *
   * A worker is ready: its initializer has run.
   *
   * Since: 1.0
   */
  signals[SIGNAL_PROCESS_UP] =
      g_signal_new ("process-up", POOL_TYPE_MANAGER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 1, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::process-down:
   * @self: the pool
   * @worker: the worker, with its exit status, the signal that ended it, and the reason
   *
   * A worker has ended.
   *
   * Since: 1.0
   */
  signals[SIGNAL_PROCESS_DOWN] =
      g_signal_new ("process-down", POOL_TYPE_MANAGER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 1, POOL_TYPE_WORKER_INFO);
}

static void
worker_event (gboolean up, PoolWorkerInfo *info, gpointer user_data)
{
  g_autoptr (PoolManager) self = g_weak_ref_get (user_data);

  if (self != NULL)
    g_signal_emit (self, signals[up ? SIGNAL_PROCESS_UP : SIGNAL_PROCESS_DOWN], 0, info);
}

static void
free_weak_ref (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

static void
pool_manager_init (PoolManager *self)
{
  self->engine = pool_engine_new ();
  self->backend = g_strdup ("fork");
  self->daemon = TRUE;
  self->target_type = G_TYPE_NONE;
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
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE, %POOL_ERROR_INVALID_ARGUMENT,
 *   %POOL_ERROR_NO_SUCH_BACKEND, %POOL_ERROR_NO_SUCH_TASK (target or initializer) or %POOL_ERROR_BACKEND
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
  if (backend == NULL)
    return FALSE;

  if (self->engine->worker_event == NULL)
    {
      GWeakRef *weak = g_new0 (GWeakRef, 1);

      g_weak_ref_init (weak, self);
      self->engine->worker_event_data = weak;
      self->engine->worker_event_destroy = free_weak_ref;
      self->engine->worker_event = worker_event;
    }
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
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE if the pool runs, or %POOL_ERROR_WAIT_TIMED_OUT
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
