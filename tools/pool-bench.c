/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"
#include "pool-cli-settings.h"
#include "pool-cli.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* How fast a pool is on this machine, by what anybody can call: the tasks of the module “debug”. */

#define MEBIBYTE (1024 * 1024)
#define SIGNAL_SECONDS 30
#define MAP_ITEMS 1000

typedef struct
{
  PoolCliSettings settings;
  double seconds; /* that a figure is measured for */
  gboolean json;
  PoolManager *pool;
  double made_at;
  guint n_up; /* workers that have come since that was set to 0 */
} Bench;

typedef struct
{
  const char *name;
  const char *unit;
  const char *description;
  /* more of it is better: a rate */
  gboolean is_rate;
  gboolean (*measure) (Bench *bench, GArray *samples, GError **error);
} Figure;

/* Seconds. */
static double
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static gboolean
call (Bench *self, const char *task, GVariant *args, GError **error)
{
  g_autoptr (GVariant) value = pool_manager_apply (self->pool, task, args, NULL, NULL, error);

  return value != NULL;
}

/* --- figures --- */

static gboolean
measure_start (Bench *self, GArray *samples, GError **error)
{
  double ms;

  if (!call (self, "debug.echo", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), error))
    return FALSE;
  ms = (now () - self->made_at) * 1000;
  g_array_append_val (samples, ms);
  return TRUE;
}

static gboolean
measure_round_trip (Bench *self, GArray *samples, GError **error)
{
  double end = now () + self->seconds;

  do
    {
      double start = now (), us;

      if (!call (self, "debug.echo", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), error))
        return FALSE;
      us = (now () - start) * 1e6;
      g_array_append_val (samples, us);
    }
  while (now () < end);
  return TRUE;
}

static GVariant *
make_items (gsize n)
{
  g_autofree gint64 *items = g_new (gint64, n);

  for (gsize i = 0; i < n; i++)
    items[i] = (gint64) i;
  return g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, items, n, sizeof *items));
}

/* Maps of so many items that each takes a while, after one that is not counted. */
static gboolean
measure_map (Bench *self, guint chunksize, GArray *samples, GError **error)
{
  gsize n = MAP_ITEMS;
  double end = 0;

  do
    {
      g_autoptr (GVariant) items = make_items (n);
      double start = now (), took, rate;
      g_autoptr (GVariant) values = pool_manager_map (self->pool, "debug.echo", items, chunksize, NULL, error);

      if (values == NULL)
        return FALSE;
      took = MAX (now () - start, 1e-6);
      rate = (double) n / took;
      if (end > 0)
        g_array_append_val (samples, rate);
      else
        end = now () + self->seconds;
      n = (gsize) CLAMP (rate * self->seconds / 10, MAP_ITEMS, 1e6);
    }
  while (samples->len == 0 || now () < end);
  return TRUE;
}

static gboolean
measure_tasks (Bench *self, GArray *samples, GError **error)
{
  return measure_map (self, 1, samples, error);
}

static gboolean
measure_items (Bench *self, GArray *samples, GError **error)
{
  return measure_map (self, 0, samples, error);
}

static gboolean
measure_values (Bench *self, GArray *samples, GError **error)
{
  double end = now () + self->seconds;
  guint8 *data = g_malloc (MEBIBYTE);
  g_autoptr (GVariant) args = NULL;

  memset (data, 1, MEBIBYTE);
  args = g_variant_new ("(@ay)", g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, MEBIBYTE, TRUE, g_free, data));
  g_variant_ref_sink (args);
  do
    {
      double start = now (), rate;

      if (!call (self, "debug.echo", args, error))
        return FALSE;
      rate = 1 / MAX (now () - start, 1e-6);
      g_array_append_val (samples, rate);
    }
  while (now () < end);
  return TRUE;
}

static void
on_process_up (PoolManager *pool, PoolWorkerInfo *worker, gpointer user_data)
{
  Bench *self = user_data;

  self->n_up++;
}

/* Whether workers are processes: those that are threads of this program cannot be killed alone. */
static gboolean
find_process (Bench *self, gboolean *found, GError **error)
{
  g_autoptr (GVariant) value = pool_manager_apply (self->pool, "debug.pid", NULL, NULL, NULL, error);

  *found = value != NULL && g_variant_get_int32 (value) != getpid ();
  return value != NULL;
}

static gboolean
on_late (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* A worker is killed by its task. Returns: whether another one came in its place */
static gboolean
replace_one (Bench *self, GError **error)
{
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) failure = NULL;
  gboolean is_late = FALSE;
  guint deadline;

  while (g_main_context_iteration (NULL, FALSE))
    continue;
  self->n_up = 0;
  pool_call_options_set_max_retries (options, 0);
  value = pool_manager_apply (self->pool, "debug.crash", g_variant_new ("(i)", SIGKILL), options, NULL, &failure);
  if (!g_error_matches (failure, POOL_ERROR, POOL_ERROR_WORKER_LOST))
    {
      if (failure != NULL)
        g_propagate_error (error, g_steal_pointer (&failure));
      else
        g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "A task that kills its worker did not fail");
      return FALSE;
    }
  deadline = g_timeout_add_seconds (SIGNAL_SECONDS, on_late, &is_late);
  while (self->n_up == 0 && !is_late)
    g_main_context_iteration (NULL, TRUE);
  if (!is_late)
    g_source_remove (deadline);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "A worker that died was not replaced within %d s", SIGNAL_SECONDS);
  return !is_late;
}

static gboolean
measure_replacement (Bench *self, GArray *samples, GError **error)
{
  double end = now () + self->seconds;
  gboolean found;

  if (!find_process (self, &found, error))
    return FALSE;
  if (!found)
    return TRUE;
  do
    {
      double start = now (), ms;

      if (!replace_one (self, error))
        return FALSE;
      ms = (now () - start) * 1000;
      g_array_append_val (samples, ms);
    }
  while (now () < end);
  return TRUE;
}

static const Figure figures[] = {
  { "start", "ms", "from nothing to the first result", FALSE, measure_start },
  { "round-trip", "us", "a call at a time", FALSE, measure_round_trip },
  { "tasks", "task/s", "a map in chunks of one", TRUE, measure_tasks },
  { "items", "item/s", "a map in chunks of the pool's choice", TRUE, measure_items },
  { "values", "MiB/s", "calls with 1 MiB, there and back", TRUE, measure_values },
  { "replacement", "ms", "from a call that kills its worker to a new one", FALSE, measure_replacement },
};

/* --- what comes of it --- */

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* The sample that so large a part of them is not above. */
static double
quantile (const GArray *sorted, double part)
{
  return g_array_index (sorted, double, (guint) (part * (sorted->len - 1) + 0.5));
}

static char *
format_number (double number)
{
  if (number >= 1e6)
    return g_strdup_printf ("%.2fM", number / 1e6);
  if (number >= 1e4)
    return g_strdup_printf ("%.0fk", number / 1e3);
  return g_strdup_printf (number >= 100 ? "%.0f" : "%.1f", number);
}

static void
print_figure (Bench *self, const Figure *figure, GArray *samples)
{
  g_autofree char *median = NULL, *bad = NULL;

  if (samples->len == 0)
    {
      g_print ("%-12s %8s %-7s %s\n", figure->name, "-", "", "the workers are threads of this program");
      return;
    }
  median = format_number (quantile (samples, 0.5));
  g_print ("%-12s %8s %-7s %s", figure->name, median, figure->unit, figure->description);
  bad = format_number (quantile (samples, figure->is_rate ? 0.01 : 0.99));
  if (samples->len > 1)
    g_print ("; 99 %% are %s %s or better", bad, figure->unit);
  g_print ("\n");
}

/* The 99th percentile of how long it took: of a rate, what 99 of 100 are not below. */
static void
print_json (Bench *self, const Figure *figure, GArray *samples)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
  g_autofree char *backend = NULL, *line = NULL;
  int processes;

  g_object_get (self->pool, "backend", &backend, "processes", &processes, NULL);
  pool_cli_json_add_string (builder, "figure", figure->name);
  pool_cli_json_add_string (builder, "backend", backend);
  json_builder_set_member_name (builder, "processes");
  json_builder_add_int_value (builder, processes);
  pool_cli_json_add_string (builder, "unit", figure->unit);
  json_builder_set_member_name (builder, "samples");
  json_builder_add_int_value (builder, samples->len);
  if (samples->len > 0)
    {
      json_builder_set_member_name (builder, "median");
      json_builder_add_double_value (builder, quantile (samples, 0.5));
      json_builder_set_member_name (builder, "percentile-99");
      json_builder_add_double_value (builder, quantile (samples, figure->is_rate ? 0.01 : 0.99));
    }
  line = pool_cli_json_to_line (builder);
  g_print ("%s", line);
}

static gboolean
measure (Bench *self, const Figure *figure, GError **error)
{
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (double));

  if (!figure->measure (self, samples, error))
    {
      g_prefix_error (error, "%s: ", figure->name);
      return FALSE;
    }
  g_array_sort (samples, compare_doubles);
  (self->json ? print_json : print_figure) (self, figure, samples);
  fflush (stdout);
  return TRUE;
}

static gboolean
is_figure (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
    if (g_str_equal (name, figures[i].name))
      return TRUE;
  return FALSE;
}

static gboolean
check_names (char **names, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (; names != NULL && *names != NULL; names++)
    if (!is_figure (*names))
      {
        for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
          g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", figures[i].name);
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "There is no figure “%s”: there are %s", *names, known->str);
        return FALSE;
      }
  return TRUE;
}

/* A pool that others connect to has no result before they do. */
static int
run (Bench *self, char **names)
{
  g_autoptr (GError) error = NULL;

  if (!pool_load_task_module ("debug", &error))
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  self->made_at = now ();
  self->pool = pool_cli_settings_make_pool (&self->settings);
  /* so many deaths are meant to be */
  g_object_set (self->pool, "max-restarts", G_MAXUINT, NULL);
  g_signal_connect (self->pool, "process-up", G_CALLBACK (on_process_up), self);
  if (!pool_manager_start (self->pool, &error))
    return pool_cli_start_error (error);
  pool_cli_settings_print_endpoint (&self->settings, self->pool);
  for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
    if ((names == NULL || g_strv_contains ((const char *const *) names, figures[i].name)) && !measure (self, &figures[i], &error))
      return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  if (!pool_manager_close (self->pool, &error) || !pool_manager_join (self->pool, -1, &error))
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  return POOL_CLI_EXIT_OK;
}

static void
add_figures (GOptionContext *context)
{
  g_autoptr (GString) text = g_string_new ("Figures:");

  for (gsize i = 0; i < G_N_ELEMENTS (figures); i++)
    g_string_append_printf (text, "\n  %-12s: %s", figures[i].name, figures[i].description);
  g_option_context_set_summary (context, "Measure how fast a pool is on this machine.");
  g_option_context_set_description (context, text->str);
}

int
pool_bench_main (char **argv)
{
  Bench self = { .seconds = 1 };
  gboolean version = FALSE;
  g_auto (GStrv) names = NULL;
  const GOptionEntry own[] = {
    { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &self.seconds, "Measure each figure for S seconds [1]", "S" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self.json, "Print one JSON object for each figure", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &names, NULL, "[FIGURE…]" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  int status = POOL_CLI_EXIT_OK;

  add_figures (context);
  if (!pool_cli_settings_parse_pool (&self.settings, context, own, argv, &version, &error) || !check_names (names, &error))
    status = pool_cli_usage_error (error);
  else if (!version && !(self.seconds > 0 && self.seconds <= 3600))
    {
      error = g_error_new (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--seconds must be above 0 and at most 3600, not %g", self.seconds);
      status = pool_cli_usage_error (error);
    }
  else if (!version)
    status = run (&self, names);
  g_clear_object (&self.pool);
  pool_cli_settings_clear (&self.settings);
  return status;
}
