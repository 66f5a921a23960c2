/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-enum-types.h"
#include "pool-error.h"
#include "pool-futex-private.h"
#include "pool-worker-info-private.h"

#include <unistd.h>

/*
 * What the engine keeps account of beyond what it must know anyway: times of tasks, for histograms and for a time line. None of this is
 * called, and no clock is read for it, unless somebody has asked.
 */

/* --- failures --- */

/* How many tasks end with this one? */
static guint64
count_tasks (PoolRecord *record)
{
  if (record->is_source)
    return record->job->klass->count_uncut (record->job);
  return MAX (record->n_items, 1);
}

void
pool_engine_count_failure (PoolEngine *self, PoolRecord *record, const GError *error)
{
  guint64 n = count_tasks (record);

  self->counters.n_failed += n;
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_WORKER_LOST))
    self->counters.n_lost += n;
  else if (g_error_matches (error, POOL_ERROR, POOL_ERROR_CANCELLED) ||
           g_error_matches (error, POOL_ERROR, POOL_ERROR_TERMINATED))
    self->counters.n_cancelled += n;
}

/* --- the time line --- */

/* Workers that are threads have no process of their own. */
static gint64
get_pid (const PoolWorker *worker)
{
  return worker != NULL && worker->pid > 0 ? worker->pid : getpid ();
}

static const char *
get_function_name (PoolEngine *self, PoolRecord *record)
{
  const PoolFunction *function = pool_function_table_get (self->functions, record->function);

  return function != NULL ? function->name : "?";
}

static void
trace_task (PoolEngine *self, PoolRecord *record, guint n_items, gint64 time, gint64 duration, const char *outcome)
{
  pool_trace_add (self->trace, &(PoolTraceEvent){
                                   .kind = POOL_TRACE_TASK,
                                   .worker = record->worker,
                                   .pid = get_pid (pool_engine_get_worker (self, record->worker)),
                                   .time = time,
                                   .duration = duration,
                                   .name = get_function_name (self, record),
                                   .detail = outcome,
                                   .id = record->id,
                                   .attempt = record->attempt,
                                   .n_items = n_items,
                               });
}

void
pool_engine_observe_task (PoolEngine *self, PoolRecord *record, const char *what)
{
  if (self->trace == NULL)
    return;
  pool_trace_add (self->trace, &(PoolTraceEvent){
                                   .kind = POOL_TRACE_NOTE,
                                   .worker = record->worker,
                                   .pid = get_pid (pool_engine_get_worker (self, record->worker)),
                                   .time = pool_now_ns (),
                                   .name = what,
                                   .detail = get_function_name (self, record),
                                   .id = record->id,
                                   .attempt = record->attempt,
                                   .n_items = record->n_items,
                               });
}

static void
trace_worker (PoolEngine *self, PoolWorker *worker, PoolTraceKind kind, const char *detail)
{
  pool_trace_add (self->trace, &(PoolTraceEvent){
                                   .kind = kind,
                                   .worker = worker->id,
                                   .pid = get_pid (worker),
                                   .time = pool_now_ns (),
                                   .detail = detail,
                               });
}

/* --- workers --- */

static void
add_time (PoolEngine *self, PoolHistogramKind kind, double seconds)
{
  pool_histogram_add (&self->statistics->histograms[kind], seconds);
}

/* It has been counted. */
void
pool_engine_observe_up (PoolEngine *self, PoolWorker *worker)
{
  if (self->statistics->weak_since != 0 && self->n_alive >= self->n_wanted)
    {
      add_time (self, POOL_HISTOGRAM_RESTART_TIME,
                (g_get_monotonic_time () - self->statistics->weak_since) / 1e6);
      self->statistics->weak_since = 0;
    }
  if (self->trace == NULL)
    return;
  trace_worker (self, worker, POOL_TRACE_WORKER, NULL);
  trace_worker (self, worker, POOL_TRACE_UP, NULL);
}

static const char *
describe_reason (PoolDownReason reason)
{
  static const char *const names[POOL_DOWN_REASONS] = {
    "none",      "asked",         "exited",      "crashed",     "recycled",
    "timed-out", "out-of-memory", "initializer", "not-started",
  };

  return names[MIN (reason, POOL_DOWN_REASONS - 1)];
}

/* It is still counted. */
void
pool_engine_observe_down (PoolEngine *self, PoolWorker *worker, PoolDownReason reason)
{
  PoolStatistics *statistics = self->statistics;

  /* one that goes when another has taken its place leaves no gap */
  if (worker->up && self->n_alive <= self->n_wanted && !self->stopping && self->state <= POOL_STATE_CLOSE &&
      (statistics->weak_since == 0 || self->n_alive == self->n_wanted))
    statistics->weak_since = g_get_monotonic_time ();
  if (self->trace != NULL)
    trace_worker (self, worker, POOL_TRACE_DOWN, describe_reason (reason));
}

/* --- tasks --- */

void
pool_engine_observe_queued (PoolEngine *self, PoolRecord *record)
{
  pool_record_set_queued (record, g_get_monotonic_time ());
  record->flags |= POOL_CALL_TIMED;
}

/* A chunk has waited for as long as its map. */
void
pool_engine_observe_cut (PoolEngine *self, PoolRecord *chunk, const PoolRecord *source)
{
  if (pool_record_get_queued (source) != 0)
    pool_record_set_queued (chunk, pool_record_get_queued (source));
}

/* In the units of PoolBackendResult.started, that they wrap at the same time. */
#define UNIT_NS 1024

/* A run time in ns that is not longer than the real one: a float has 24 bits of it. */
static gint64
get_run_time (const PoolBackendResult *result)
{
  return (double) result->run_time * 1e9 * (1 - 1e-7);
}

/*
 * The monotonic ns at which a task was started. Its worker says the low half of that, which is enough if the result is not older than an
 * hour: the high half is that of the latest moment at which it can have been, given how long it ran.
 */
static gint64
get_start (const PoolBackendResult *result, gint64 now)
{
  gint64 latest = (now - get_run_time (result)) / UNIT_NS;

  if (result->started == 0)
    return latest * UNIT_NS;
  return (latest - (guint32) ((guint32) latest - result->started)) * UNIT_NS;
}

/* Rounded down as its start is, so that what follows on the same worker does not overlap it. */
static gint64
get_duration (const PoolBackendResult *result)
{
  return get_run_time (result) / UNIT_NS * UNIT_NS;
}

void
pool_engine_observe_result (PoolEngine *self, PoolRecord *record, const PoolBackendResult *result)
{
  gint64 now, start;

  /* a worker can write what it likes */
  if (result->kind == POOL_RESULT_NONE || !(result->run_time >= 0 && result->run_time < 1e9f) ||
      (result->run_time == 0 && result->started == 0))
    return;
  now = pool_now_ns ();
  start = get_start (result, now);
  add_time (self, POOL_HISTOGRAM_RUN_TIME, result->run_time);
  if (pool_record_get_queued (record) != 0)
    add_time (self, POOL_HISTOGRAM_WAITING_TIME, MAX (0, start / 1000 - pool_record_get_queued (record)) / 1e6);
  if (self->trace == NULL)
    return;
  trace_task (self, record, record->n_items, start, get_duration (result),
              record->ending != POOL_ENDING_NONE    ? "cancelled"
              : result->kind == POOL_RESULT_ERROR ? "failed"
                                                  : "done");
}

static const char *
describe_error (const GError *error)
{
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_TIMED_OUT))
    return "timed-out";
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_CANCELLED))
    return "cancelled";
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY))
    return "out-of-memory";
  return "terminated";
}

/* No result will come of it; its worker still knows since when it has run. @item: of a chunk, or < 0 */
void
pool_engine_observe_given_up (PoolEngine *self, PoolRecord *record, gint64 item, const GError *error)
{
  PoolBackendWorker now;
  gint64 start;

  if (self->trace == NULL)
    return;
  POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, record->worker, &now);
  if (now.handle != pool_record_get_handle (record) || now.since == 0)
    {
      pool_engine_observe_task (self, record, describe_error (error));
      return;
    }
  /* rounded up: what was before it has ended by then */
  start = (now.since + 1) * 1000;
  trace_task (self, record, item >= 0 ? 1 : record->n_items, start, MAX (0, pool_now_ns () - start),
              describe_error (error));
}

/* --- on and off --- */

void
pool_engine_start_statistics_locked (PoolEngine *self)
{
  if (self->settings.statistics && self->statistics == NULL)
    self->statistics = g_new0 (PoolStatistics, 1);
  /* a pool that is started again has no past */
  if (self->statistics != NULL)
    self->statistics->weak_since = 0;
}

/* Those that are queued have not been asked to take the time. */
static void
time_queued (PoolEngine *self)
{
  for (guint i = 0; i < self->ledger.size; i++)
    if (self->ledger.table[i] != NULL && self->ledger.table[i]->state == POOL_RECORD_QUEUED)
      pool_engine_observe_queued (self, self->ledger.table[i]);
}

static gboolean
attach_trace (PoolEngine *self, PoolTrace *trace, GError **error)
{
  if (self->orphan || self->trace != NULL)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           self->orphan ? "This pool belongs to the process that this one was forked from"
                                        : "A trace of this pool is being written already: stop that first");
      return FALSE;
    }
  self->trace = trace;
  if (self->statistics == NULL)
    {
      self->statistics = g_new0 (PoolStatistics, 1);
      time_queued (self);
    }
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolWorker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->up)
        trace_worker (self, worker, POOL_TRACE_WORKER, NULL);
    }
  return TRUE;
}

gboolean
pool_engine_start_trace (PoolEngine *self, const char *path, const char *label, GError **error)
{
  PoolTrace *trace;
  gboolean attached;

  /* before the file is emptied that is perhaps the one being written */
  pool_engine_lock (self);
  attached = self->orphan || self->trace != NULL;
  if (attached)
    attach_trace (self, NULL, error);
  pool_engine_unlock (self);
  if (attached)
    return FALSE;

  trace = pool_trace_start (path, label, error);
  if (trace == NULL)
    return FALSE;
  pool_engine_lock (self);
  attached = attach_trace (self, trace, error);
  pool_engine_unlock (self);
  if (!attached)
    pool_trace_stop (trace, NULL);
  return attached;
}

gboolean
pool_engine_stop_trace (PoolEngine *self, GError **error)
{
  PoolTrace *trace = NULL;

  pool_engine_lock (self);
  /* the thread that writes is the parent's, too */
  if (!self->orphan)
    trace = g_steal_pointer (&self->trace);
  if (trace != NULL && !self->settings.statistics)
    g_clear_pointer (&self->statistics, g_free);
  pool_engine_unlock (self);

  if (trace != NULL)
    return pool_trace_stop (trace, error);
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE, "No trace of this pool is being written");
  return FALSE;
}

/* --- who looks at the pool from outside --- */

static void
add (GVariantBuilder *builder, const char *key, GVariant *value)
{
  g_variant_builder_add (builder, "{sv}", key, value);
}

static void
add_workers_locked (PoolEngine *self, GVariantBuilder *builder)
{
  g_autoptr (GPtrArray) workers = pool_engine_get_workers (self);
  GVariantBuilder described;
  guint n_running = 0;

  g_variant_builder_init (&described, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < workers->len; i++)
    {
      n_running += pool_worker_info_get_current_task (workers->pdata[i]) != 0;
      g_variant_builder_add_value (&described, pool_worker_info_describe (workers->pdata[i], TRUE));
    }
  add (builder, "NRunning", g_variant_new_uint32 (n_running));
  add (builder, "Workers", g_variant_builder_end (&described));
}

static char *
get_program (void)
{
  g_autofree char *text = NULL;

  if (g_get_prgname () != NULL)
    return g_utf8_make_valid (g_get_prgname (), -1);
  if (!g_file_get_contents ("/proc/self/comm", &text, NULL, NULL))
    return g_strdup ("");
  return g_utf8_make_valid (g_strchomp (text), -1);
}

static GVariant *
describe_locked (PoolEngine *self)
{
  g_autoptr (GEnumClass) states = g_type_class_ref (POOL_TYPE_STATE);
  g_autofree char *program = get_program ();
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (POOL_MONITOR_TYPE));
  add (&builder, "Pid", g_variant_new_int64 (getpid ()));
  add (&builder, "Program", g_variant_new_string (program));
  add (&builder, "Backend", g_variant_new_string (self->settings.name != NULL ? self->settings.name : ""));
  add (&builder, "State", g_variant_new_string (g_enum_get_value (states, self->state)->value_nick));
  add (&builder, "NWorkers", g_variant_new_uint32 (self->n_alive));
  add (&builder, "NWanted", g_variant_new_uint32 (self->n_wanted));
  add (&builder, "NPending", g_variant_new_uint64 (self->ledger.n_records));
  add (&builder, "NDone", g_variant_new_uint64 (self->counters.n_done));
  add (&builder, "NFailed", g_variant_new_uint64 (self->counters.n_failed));
  add (&builder, "NRetried", g_variant_new_uint64 (self->counters.n_retried));
  add (&builder, "NRestarts", g_variant_new_uint64 (self->counters.n_restarts));
  add_workers_locked (self, &builder);
  return g_variant_builder_end (&builder);
}

void
pool_engine_answer_monitor (PoolEngine *self, PoolMonitor *monitor)
{
  int connection = pool_monitor_accept (monitor);
  GVariant *value;

  if (connection < 0)
    return;
  pool_engine_lock (self);
  value = describe_locked (self);
  pool_engine_unlock (self);
  pool_monitor_send (connection, value);
}
