/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-enum-types.h"
#include "pool-error.h"
#include "pool-metrics-private.h"

/* What a pool says of itself: properties that count, times, metrics for a monitoring system, a time line. */

enum
{
  PROP_STATE = POOL_MANAGER_STATISTICS,
  PROP_N_WORKERS,
  PROP_N_PENDING,
  PROP_N_RUNNING,
  PROP_N_DONE,
  PROP_N_FAILED,
  PROP_N_RETRIED,
  PROP_N_RESTARTS,
  PROP_N_ABANDONED,
  PROP_N_SUBMITTED,
  PROP_N_LOST,
  PROP_N_CANCELLED,
  PROP_N_TIMED_OUT,
  PROP_N_SOFT_TIMED_OUT,
  PROP_N_WANTED,
  PROP_N_QUEUED,
  PROP_BYTES_IN_FLIGHT,
  PROP_REPORT_TASKS,
  PROP_STATISTICS,
  PROP_VISIBLE,
};

/* --- properties --- */

static guint
count_running (PoolEngine *engine)
{
  guint n = 0;

  for (guint i = 0; i < engine->workers->len; i++)
    {
      PoolWorker *worker = engine->workers->pdata[i];
      PoolBackendWorker now = { 0 };

      if (worker != NULL && worker->up && engine->backend != NULL)
        POOL_BACKEND_GET_CLASS (engine->backend)->get_worker (engine->backend, worker->id, &now);
      n += now.handle != 0;
    }
  return n;
}

/* Each call, and each map, has taken an id; a map stands for its items. */
static guint64
count_submitted (PoolEngine *engine)
{
  return engine->ledger.next_id - 1 - engine->n_maps + engine->n_items;
}

/* A worker may have come to an end of which the engine has not heard. */
static guint64
count_queued (PoolEngine *engine)
{
  guint running = count_running (engine);

  return engine->ledger.n_records > running ? engine->ledger.n_records - running : 0;
}

static guint64
count_bytes (PoolEngine *engine)
{
  guint64 n = 0;

  for (guint i = 0, seen = 0; i < engine->ledger.size && seen < engine->ledger.n_records; i++)
    {
      PoolRecord *record = engine->ledger.table[i];

      if (record == NULL)
        continue;
      seen++;
      if (record->is_sent)
        n += record->size;
    }
  return n;
}

static guint64
get_number (PoolEngine *engine, guint prop_id)
{
  const PoolEngineCounters *counters = &engine->counters;

  switch (prop_id)
    {
    case PROP_N_PENDING:
      return engine->ledger.n_records;
    case PROP_N_DONE:
      return counters->n_done;
    case PROP_N_FAILED:
      return counters->n_failed;
    case PROP_N_RETRIED:
      return counters->n_retried;
    case PROP_N_RESTARTS:
      return counters->n_restarts;
    case PROP_N_SUBMITTED:
      return count_submitted (engine);
    case PROP_N_LOST:
      return counters->n_lost;
    case PROP_N_CANCELLED:
      return counters->n_cancelled;
    case PROP_N_TIMED_OUT:
      return counters->n_timed_out;
    case PROP_N_SOFT_TIMED_OUT:
      return counters->n_soft_timed_out;
    case PROP_N_QUEUED:
      return count_queued (engine);
    case PROP_BYTES_IN_FLIGHT:
    default:
      return count_bytes (engine);
    }
}

/* What is told only to who asks for it. Returns: NULL for a property that counts */
static gboolean *
find_switch (PoolManager *self, guint prop_id)
{
  PoolEngineSettings *settings = &self->engine->settings;

  switch (prop_id)
    {
    case PROP_REPORT_TASKS:
      return &settings->report_tasks;
    case PROP_STATISTICS:
      return &settings->statistics;
    case PROP_VISIBLE:
      return &settings->visible;
    default:
      return NULL;
    }
}

void
pool_manager_get_statistic (PoolManager *self, guint prop_id, GValue *value)
{
  PoolEngine *engine = self->engine;
  gboolean *is_on = find_switch (self, prop_id);

  if (is_on != NULL)
    {
      g_value_set_boolean (value, *is_on);
      return;
    }
  pool_engine_lock (engine);
  switch (prop_id)
    {
    case PROP_STATE:
      g_value_set_enum (value, engine->state);
      break;
    case PROP_N_WORKERS:
      g_value_set_uint (value, engine->n_alive);
      break;
    case PROP_N_RUNNING:
      g_value_set_uint (value, count_running (engine));
      break;
    case PROP_N_ABANDONED:
      g_value_set_uint (value, engine->n_abandoned);
      break;
    case PROP_N_WANTED:
      g_value_set_uint (value, engine->n_wanted);
      break;
    default:
      g_value_set_uint64 (value, get_number (engine, prop_id));
      break;
    }
  pool_engine_unlock (engine);
}

void
pool_manager_set_statistic (PoolManager *self, guint prop_id, const GValue *value)
{
  *find_switch (self, prop_id) = g_value_get_boolean (value);
}

static void
install (GObjectClass *klass, guint id, GParamSpec *spec)
{
  g_object_class_install_property (klass, id, spec);
}

static void
install_counters (GObjectClass *klass)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:state: (getter get_state)
   *
   * Where the pool is in its life.
   *
   * Since: 1.0
   */
  install (klass, PROP_STATE, g_param_spec_enum ("state", NULL, NULL, POOL_TYPE_STATE, POOL_STATE_NEW, flags));

  /**
   * PoolManager:n-workers:
   *
   * Workers that are up.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_WORKERS, g_param_spec_uint ("n-workers", NULL, NULL, 0, G_MAXUINT, 0, flags));

  /**
   * PoolManager:n-pending:
   *
   * Tasks and chunks of maps that have not ended.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_PENDING, g_param_spec_uint64 ("n-pending", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-running:
   *
   * Workers that are in a task.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_RUNNING, g_param_spec_uint ("n-running", NULL, NULL, 0, G_MAXUINT, 0, flags));

  /**
   * PoolManager:n-done:
   *
   * Calls and items that workers have come to the end of.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_DONE, g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-failed:
   *
   * Calls that failed, and items that were lost or cancelled.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_FAILED, g_param_spec_uint64 ("n-failed", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-retried:
   *
   * How often a task was run again because its worker had died.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_RETRIED, g_param_spec_uint64 ("n-retried", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-restarts:
   *
   * How many workers were replaced.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_RESTARTS, g_param_spec_uint64 ("n-restarts", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-abandoned:
   *
   * Threads that were given up, because their task ran over its limit, and that have not ended yet.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_ABANDONED, g_param_spec_uint ("n-abandoned", NULL, NULL, 0, G_MAXUINT, 0, flags));
}

static void
install_more_counters (GObjectClass *klass)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:n-submitted:
   *
   * Calls, and items of maps and iterators, that were submitted. Each of them is pending, or done, or failed: this
   * is the sum.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_SUBMITTED, g_param_spec_uint64 ("n-submitted", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-lost:
   *
   * Of the failed: those whose worker died and that were not run again.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_LOST, g_param_spec_uint64 ("n-lost", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-cancelled:
   *
   * Of the failed: those that the program cancelled or terminated.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_CANCELLED, g_param_spec_uint64 ("n-cancelled", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-timed-out:
   *
   * How often a task ran over its hard time limit.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_TIMED_OUT, g_param_spec_uint64 ("n-timed-out", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-soft-timed-out:
   *
   * How often a task ran over its soft time limit, whatever came of it.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_SOFT_TIMED_OUT, g_param_spec_uint64 ("n-soft-timed-out", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:n-wanted:
   *
   * Workers that the pool is to have; fewer are up while some are made anew.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_WANTED, g_param_spec_uint ("n-wanted", NULL, NULL, 0, G_MAXUINT, 0, flags));

  /**
   * PoolManager:n-queued:
   *
   * Calls and chunks of maps that no worker has started. What a map has not cut into chunks yet is not counted.
   *
   * Since: 1.0
   */
  install (klass, PROP_N_QUEUED, g_param_spec_uint64 ("n-queued", NULL, NULL, 0, G_MAXUINT64, 0, flags));

  /**
   * PoolManager:bytes-in-flight:
   *
   * The size of the arguments, in bytes, that were given to the backend and have not been answered. Asking looks
   * at each pending task.
   *
   * Since: 1.0
   */
  install (klass, PROP_BYTES_IN_FLIGHT, g_param_spec_uint64 ("bytes-in-flight", NULL, NULL, 0, G_MAXUINT64, 0, flags));
}

static void
install_switches (GObjectClass *klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:report-tasks:
   *
   * Whether [signal@Manager::task-accepted], [signal@Manager::task-done], [signal@Manager::timeout-set] and
   * [signal@Manager::timeout-cancel] are emitted. They cost some microseconds for each task, so they are off; a handler that is
   * connected to one of them before the start turns them on.
   *
   * Since: 1.0
   */
  install (klass, PROP_REPORT_TASKS, g_param_spec_boolean ("report-tasks", NULL, NULL, FALSE, flags));

  /**
   * PoolManager:statistics:
   *
   * Whether the times of tasks are kept account of, for [method@Manager.get_histogram] and [method@Manager.dump_metrics]. It costs a
   * few readings of the clock for each task, so it is off. The counters do not need it.
   *
   * Since: 1.0
   */
  install (klass, PROP_STATISTICS, g_param_spec_boolean ("statistics", NULL, NULL, FALSE, flags));

  /**
   * PoolManager:visible:
   *
   * Whether other programs of the same user can see what the pool does, as `pool top` shows it. The environment variable `POOL_TOP`,
   * if it is `1`, says so of all pools of a program. It costs nothing while nobody looks.
   *
   * Since: 1.0
   */
  install (klass, PROP_VISIBLE, g_param_spec_boolean ("visible", NULL, NULL, FALSE, flags));
}

void
pool_manager_install_statistics (GObjectClass *klass)
{
  install_counters (klass);
  install_more_counters (klass);
  install_switches (klass);
}

/* --- methods --- */

/**
 * pool_manager_get_histogram:
 * @self: a pool
 * @kind: of which times
 * @error: return location for a #GError
 *
 * Gets how often something took how long: `(a(dt)dt)`, the buckets, the sum of all times in seconds, and their number. A bucket has its
 * upper bound in seconds, which belongs to it, and the number of times above the bound before; the last bound is infinite.
 *
 * A call counts once, and a chunk of a map counts once, whatever number of items it has; what was lost with its worker does not count.
 *
 * Returns: (transfer full): the histogram; %NULL with %POOL_ERROR_STATE unless [property@Manager:statistics] is set, or
 *   %POOL_ERROR_INVALID_ARGUMENT
 *
 * Since: 1.0
 */
GVariant *
pool_manager_get_histogram (PoolManager *self, PoolHistogramKind kind, GError **error)
{
  PoolHistogram histogram = { 0 };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  if ((guint) kind >= POOL_HISTOGRAM_KINDS)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no histogram %d", (int) kind);
      return NULL;
    }
  if (!self->engine->settings.statistics)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "This pool keeps no account of times: set \"statistics\" before the start");
      return NULL;
    }
  pool_engine_lock (self->engine);
  if (self->engine->statistics != NULL)
    histogram = self->engine->statistics->histograms[kind];
  pool_engine_unlock (self->engine);
  return g_variant_ref_sink (pool_histogram_to_variant (&histogram));
}

/**
 * pool_manager_get_n_exits:
 * @self: a pool
 * @reason: why
 *
 * Counts the workers that have ended for a reason; abandoned threads count as ended.
 *
 * Returns: the number of workers, since the pool was made
 *
 * Since: 1.0
 */
guint64
pool_manager_get_n_exits (PoolManager *self, PoolDownReason reason)
{
  guint64 n;

  g_return_val_if_fail (POOL_IS_MANAGER (self), 0);
  g_return_val_if_fail ((guint) reason < POOL_DOWN_REASONS, 0);

  pool_engine_lock (self->engine);
  n = self->engine->counters.n_exits[reason];
  pool_engine_unlock (self->engine);
  return n;
}

static void
take_metrics (PoolEngine *engine, PoolMetrics *metrics, PoolStatistics *statistics)
{
  pool_engine_lock (engine);
  metrics->counters = engine->counters;
  metrics->n_submitted = count_submitted (engine);
  metrics->n_pending = metrics->n_submitted - engine->counters.n_done - engine->counters.n_failed;
  metrics->n_queued = count_queued (engine);
  metrics->bytes_in_flight = count_bytes (engine);
  metrics->n_alive = engine->n_alive;
  metrics->n_wanted = engine->n_wanted;
  metrics->n_busy = count_running (engine);
  metrics->n_abandoned = engine->n_abandoned;
  if (engine->settings.statistics && engine->statistics != NULL)
    {
      *statistics = *engine->statistics;
      metrics->statistics = statistics;
    }
  pool_engine_unlock (engine);
}

/**
 * pool_manager_dump_metrics:
 * @self: a pool
 *
 * Writes down all numbers of the pool, in the text format of [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/)
 * (`application/openmetrics-text; version=1.0.0; charset=utf-8`): what a program shows Prometheus. The names begin with `libpool_`, and
 * each number has the label `backend`. The histograms are there if [property@Manager:statistics] is set.
 *
 * Returns: (transfer full): the text
 *
 * Since: 1.0
 */
char *
pool_manager_dump_metrics (PoolManager *self)
{
  PoolMetrics metrics = { 0 };
  PoolStatistics statistics;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  take_metrics (self->engine, &metrics, &statistics);
  return pool_metrics_format (&metrics, self->backend);
}

/**
 * pool_manager_start_trace:
 * @self: a pool, in any state
 * @path: (type filename): the file, which is made, or emptied
 * @error: return location for a #GError
 *
 * Begins to write a time line of the pool: when which worker ran what, and when workers came and went, tasks were tried again and ran over
 * their limits. The file is for Perfetto or `chrome://tracing`; if its name ends in `.syscap`, it is a capture for Sysprof.
 *
 * Tasks that were given to a worker before are not in it. A thread of the pool writes the file. What that cannot keep up with is left
 * out, and the file says how many events were. The pool itself does not notice a file that is slow or a disk that is full:
 * [method@Manager.stop_trace] tells of it. A pool that is dropped stops its trace.
 *
 * Returns: %TRUE; %FALSE with %POOL_ERROR_STATE if a trace is being written, an error of the domain %G_IO_ERROR if the file cannot be
 *   opened, or %G_IO_ERROR_NOT_SUPPORTED if libpool was built without Sysprof
 *
 * Since: 1.0
 */
gboolean
pool_manager_start_trace (PoolManager *self, const char *path, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (path != NULL, FALSE);

  return pool_engine_start_trace (self->engine, path, self->backend, error);
}

/**
 * pool_manager_stop_trace:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Writes what is left of the time line, which takes as long as the disk needs, and closes the file.
 *
 * Returns: %TRUE; %FALSE with %POOL_ERROR_STATE if there is no trace, or an error of the domain %G_IO_ERROR if the file could not be
 *   written in full
 *
 * Since: 1.0
 */
gboolean
pool_manager_stop_trace (PoolManager *self, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  return pool_engine_stop_trace (self->engine, error);
}
