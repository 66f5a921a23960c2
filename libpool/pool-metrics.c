/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-metrics-private.h"

#include "pool-enum-types.h"

#include <math.h>

/* The numbers of a pool in the text format of OpenMetrics 1.0. */

typedef struct
{
  GString *out;
  char *backend; /* escaped */
} Writer;

/* The specification asks for a point or an exponent in each number that is not a whole one by nature. */
static void
append_double (GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (isinf (value))
    {
      g_string_append (out, "+Inf");
      return;
    }
  /* the fewest digits that say it: a bound must look as people write it */
  g_ascii_formatd (text, sizeof text, "%.15g", value);
  if (g_ascii_strtod (text, NULL) != value)
    g_ascii_dtostr (text, sizeof text, value);
  g_string_append (out, text);
  if (strpbrk (text, ".e") == NULL)
    g_string_append (out, ".0");
}

static char *
escape_label (const char *text)
{
  GString *out = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p++)
    if (*p == '\n')
      g_string_append (out, "\\n");
    else if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else
      g_string_append_c (out, *p);
  return g_string_free (out, FALSE);
}

static void
begin_family (Writer *self, const char *name, const char *type, const char *unit, const char *help)
{
  g_string_append_printf (self->out, "# TYPE libpool_%s %s\n", name, type);
  if (unit != NULL)
    g_string_append_printf (self->out, "# UNIT libpool_%s %s\n", name, unit);
  g_string_append_printf (self->out, "# HELP libpool_%s %s\n", name, help);
}

/* @label: one more, with its value, or NULL */
static void
add_sample (Writer *self, const char *name, const char *suffix, const char *label, const char *label_value,
            guint64 value)
{
  g_string_append_printf (self->out, "libpool_%s%s{backend=\"%s\"", name, suffix, self->backend);
  if (label != NULL)
    g_string_append_printf (self->out, ",%s=\"%s\"", label, label_value);
  g_string_append_printf (self->out, "} %" G_GUINT64_FORMAT "\n", value);
}

static void
add_counter (Writer *self, const char *name, const char *help, guint64 value)
{
  begin_family (self, name, "counter", NULL, help);
  add_sample (self, name, "_total", NULL, NULL, value);
}

static void
add_gauge (Writer *self, const char *name, const char *unit, const char *help, guint64 value)
{
  begin_family (self, name, "gauge", unit, help);
  add_sample (self, name, "", NULL, NULL, value);
}

static void
add_histogram (Writer *self, const char *name, const char *help, const PoolHistogram *histogram)
{
  guint64 sum = 0;

  begin_family (self, name, "histogram", "seconds", help);
  for (guint i = 0; i <= POOL_HISTOGRAM_BOUNDS; i++)
    {
      sum += histogram->counts[i];
      g_string_append_printf (self->out, "libpool_%s_bucket{backend=\"%s\",le=\"", name, self->backend);
      append_double (self->out, pool_histogram_get_bound (i));
      g_string_append_printf (self->out, "\"} %" G_GUINT64_FORMAT "\n", sum);
    }
  add_sample (self, name, "_count", NULL, NULL, histogram->count);
  g_string_append_printf (self->out, "libpool_%s_sum{backend=\"%s\"} ", name, self->backend);
  append_double (self->out, histogram->sum);
  g_string_append_c (self->out, '\n');
}

static void
add_exits (Writer *self, const PoolEngineCounters *counters)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_DOWN_REASON);

  begin_family (self, "worker_exits", "counter", NULL, "Workers that ended, by the reason.");
  for (guint i = POOL_DOWN_REASON_NONE + 1; i < POOL_DOWN_REASONS; i++)
    {
      g_autofree char *reason = g_strdelimit (g_strdup (g_enum_get_value (klass, i)->value_nick), "-", '_');

      add_sample (self, "worker_exits", "_total", "reason", reason, counters->n_exits[i]);
    }
}

static void
add_tasks (Writer *self, const PoolMetrics *metrics)
{
  const PoolEngineCounters *counters = &metrics->counters;

  add_counter (self, "tasks_submitted", "Calls and items of maps that were submitted.", metrics->n_submitted);
  add_counter (self, "tasks_done", "Calls that went well and items that workers came to the end of.",
               counters->n_done);
  add_counter (self, "tasks_failed", "Calls that failed and items that were lost, cancelled or timed out.",
               counters->n_failed);
  add_counter (self, "tasks_lost", "Of the failed: those whose worker died and that were not run again.",
               counters->n_lost);
  add_counter (self, "tasks_cancelled", "Of the failed: those that the program cancelled or terminated.",
               counters->n_cancelled);
  add_counter (self, "tasks_retried", "Runs after the first one, because a worker had died.", counters->n_retried);
  begin_family (self, "tasks_timed_out", "counter", NULL, "Tasks that ran over a time limit, by the limit.");
  add_sample (self, "tasks_timed_out", "_total", "limit", "hard", counters->n_timed_out);
  add_sample (self, "tasks_timed_out", "_total", "limit", "soft", counters->n_soft_timed_out);
  add_counter (self, "late_results", "Results of earlier attempts, which were dropped.", counters->n_late);
  add_gauge (self, "tasks_pending", NULL, "Calls and items that have not ended.", metrics->n_pending);
  add_gauge (self, "queue_length", NULL, "Calls and chunks of maps that no worker has started.", metrics->n_queued);
  add_gauge (self, "in_flight_bytes", "bytes", "Arguments that the backend has.", metrics->bytes_in_flight);
}

static void
add_workers (Writer *self, const PoolMetrics *metrics)
{
  add_gauge (self, "workers_alive", NULL, "Workers that are up.", metrics->n_alive);
  add_gauge (self, "workers_wanted", NULL, "Workers that the pool is to have.", metrics->n_wanted);
  add_gauge (self, "workers_busy", NULL, "Workers that are in a task.", metrics->n_busy);
  add_gauge (self, "threads_abandoned", NULL, "Threads that were given up and have not ended.",
             metrics->n_abandoned);
  add_exits (self, &metrics->counters);
  add_counter (self, "worker_restarts", "Workers that were replaced after they had died or failed to start.",
               metrics->counters.n_restarts);
}

char *
pool_metrics_format (const PoolMetrics *self, const char *backend)
{
  Writer writer = { g_string_new (NULL), escape_label (backend) };

  add_tasks (&writer, self);
  add_workers (&writer, self);
  if (self->statistics != NULL)
    {
      const PoolHistogram *histograms = self->statistics->histograms;

      add_histogram (&writer, "run_time_seconds", "How long calls and chunks of maps ran.",
                     &histograms[POOL_HISTOGRAM_RUN_TIME]);
      add_histogram (&writer, "waiting_time_seconds", "How long they waited for their start.",
                     &histograms[POOL_HISTOGRAM_WAITING_TIME]);
      add_histogram (&writer, "restart_time_seconds", "How long the pool had fewer workers than it is to have.",
                     &histograms[POOL_HISTOGRAM_RESTART_TIME]);
    }
  g_string_append (writer.out, "# EOF\n");
  g_free (writer.backend);
  return g_string_free (writer.out, FALSE);
}
