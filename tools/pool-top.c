/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-bus.h"
#include "pool-cli-json.h"
#include "pool-cli.h"
#include "pool-top-local.h"

#include <stdio.h>
#include <unistd.h>

/* pool top: the pools that the user has at the service, and those of programs that show them; what they do, again and again. */

typedef struct
{
  char *name; /* a path at the service, or that of a local pool */
  char *backend, *state;
  char *program; /* NULL: the service */
  gint64 pid;
  gboolean is_persistent;
  guint n_workers, n_running;
  guint64 n_pending, n_done, n_failed, n_restarts;
  double rate; /* tasks per second since the last look */
  GVariant *workers; /* aa{sv} */
} Row;

typedef struct
{
  GDBusConnection *bus; /* NULL: only local pools are looked at */
  char *sort;
  gboolean json;
  GHashTable *seen; /* name → guint64: tasks that had ended at the last look */
  gint64 seen_at;   /* monotonic µs */
} Top;

static const char *const sort_keys[] = { "rate", "pending", "running", "done", "failed", "workers", NULL };

static void
free_row (gpointer data)
{
  Row *row = data;

  g_free (row->name);
  g_free (row->program);
  g_free (row->backend);
  g_free (row->state);
  g_clear_pointer (&row->workers, g_variant_unref);
  g_free (row);
}

/* --- looking --- */

typedef struct
{
  Top *top;
  GPtrArray *rows;
  GHashTable *seen;
  gint64 now;
} Look;

/* @workers: aa{sv}, or NULL: a pool that has just gone has none */
static Row *
add_row (Look *look, const char *name, GVariant *properties, GVariant *workers)
{
  Row *row = g_new0 (Row, 1);
  Top *self = look->top;
  guint64 *before = g_hash_table_lookup (self->seen, name);
  guint64 ended;

  row->name = g_strdup (name);
  g_variant_lookup (properties, "Backend", "s", &row->backend);
  g_variant_lookup (properties, "State", "s", &row->state);
  g_variant_lookup (properties, "Persistent", "b", &row->is_persistent);
  g_variant_lookup (properties, "NWorkers", "u", &row->n_workers);
  g_variant_lookup (properties, "NRunning", "u", &row->n_running);
  g_variant_lookup (properties, "NPending", "t", &row->n_pending);
  g_variant_lookup (properties, "NDone", "t", &row->n_done);
  g_variant_lookup (properties, "NFailed", "t", &row->n_failed);
  g_variant_lookup (properties, "NRestarts", "t", &row->n_restarts);
  g_variant_lookup (properties, "Program", "s", &row->program);
  g_variant_lookup (properties, "Pid", "x", &row->pid);
  row->workers = workers != NULL ? g_variant_ref (workers)
                                 : g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARDICT, NULL, 0));
  ended = row->n_done + row->n_failed;
  if (before != NULL && ended >= *before && look->now > self->seen_at)
    row->rate = (double) (ended - *before) * G_USEC_PER_SEC / (double) (look->now - self->seen_at);
  g_ptr_array_add (look->rows, row);
  g_hash_table_insert (look->seen, g_strdup (name), g_memdup2 (&ended, sizeof ended));
  return row;
}

static void
add_local (const char *name, GVariant *answer, gpointer user_data)
{
  g_autoptr (GVariant) none = g_variant_ref_sink (g_variant_new_parsed ("@a{sv} {}"));
  g_autoptr (GVariant) workers = answer != NULL ? g_variant_lookup_value (answer, "Workers", G_VARIANT_TYPE ("aa{sv}")) : NULL;
  Row *row = add_row (user_data, name, answer != NULL ? answer : none, workers);

  /* it is stopped, or in its main loop too rarely */
  if (row->state == NULL)
    row->state = g_strdup ("silent");
  if (row->backend == NULL)
    row->backend = g_strdup ("");
  if (row->program == NULL)
    row->program = g_strdup ("");
  if (row->pid == 0)
    row->pid = g_ascii_strtoll (name, NULL, 10);
}

static gboolean
add_those_of_service (Look *look, GError **error)
{
  g_autoptr (GVariant) objects = pool_cli_bus_list (look->top->bus, error);
  GVariantIter iter;
  GVariant *value;
  const char *path;

  if (objects == NULL)
    return FALSE;
  g_variant_iter_init (&iter, objects);
  while (g_variant_iter_next (&iter, "{&o@a{sa{sv}}}", &path, &value))
    {
      g_autoptr (GVariant) interfaces = value;
      g_autoptr (GVariant) properties = g_variant_lookup_value (interfaces, POOL_CLI_BUS_POOL, G_VARIANT_TYPE_VARDICT);
      g_autoptr (GVariant) reply = NULL;
      g_autoptr (GVariant) workers = NULL;

      if (properties == NULL)
        continue;
      reply = pool_cli_bus_call (look->top->bus, path, POOL_CLI_BUS_POOL, "GetWorkers", NULL, NULL, NULL);
      if (reply != NULL)
        workers = g_variant_get_child_value (reply, 0);
      add_row (look, path, properties, workers);
    }
  return TRUE;
}

static GPtrArray *
look (Top *self, GError **error)
{
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (free_row);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Look look = { self, rows, seen, g_get_monotonic_time () };

  pool_top_local_look (add_local, &look);
  if (self->bus != NULL && !add_those_of_service (&look, error))
    return NULL;
  g_hash_table_unref (self->seen);
  self->seen = g_steal_pointer (&seen);
  self->seen_at = look.now;
  return g_steal_pointer (&rows);
}

static double
get_key (const Row *row, const char *key)
{
  switch (*key)
    {
    case 'p':
      return (double) row->n_pending;
    case 'd':
      return (double) row->n_done;
    case 'f':
      return (double) row->n_failed;
    case 'w':
      return row->n_workers;
    default:
      return g_str_equal (key, "running") ? row->n_running : row->rate;
    }
}

static int
compare_rows (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const Row *first = *(Row *const *) a, *second = *(Row *const *) b;
  Top *self = user_data;
  double one = get_key (first, self->sort), other = get_key (second, self->sort);

  return one != other ? (one < other ? 1 : -1) : strcmp (first->name, second->name);
}

/* --- showing --- */

static void
print_json (const Row *row)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
  g_autofree char *line = NULL;

  pool_cli_json_add_string (builder, "pool", row->name);
  pool_cli_json_add_string (builder, "kind", row->program != NULL ? "local" : "service");
  if (row->program != NULL)
    {
      pool_cli_json_add_string (builder, "program", row->program);
      json_builder_add_int_value (json_builder_set_member_name (builder, "pid"), row->pid);
    }
  pool_cli_json_add_string (builder, "backend", row->backend);
  pool_cli_json_add_string (builder, "state", row->state);
  json_builder_add_boolean_value (json_builder_set_member_name (builder, "persistent"), row->is_persistent);
  json_builder_add_int_value (json_builder_set_member_name (builder, "pending"), (gint64) row->n_pending);
  json_builder_add_int_value (json_builder_set_member_name (builder, "running"), row->n_running);
  json_builder_add_int_value (json_builder_set_member_name (builder, "done"), (gint64) row->n_done);
  json_builder_add_int_value (json_builder_set_member_name (builder, "failed"), (gint64) row->n_failed);
  json_builder_add_int_value (json_builder_set_member_name (builder, "restarts"), (gint64) row->n_restarts);
  json_builder_add_double_value (json_builder_set_member_name (builder, "rate"), row->rate);
  pool_cli_json_add_variant (builder, "workers", row->workers);
  line = pool_cli_json_to_line (builder);
  g_print ("%s", line);
}

static void
print_worker (GVariant *worker)
{
  const char *state = "", *host = "";
  guint64 rss = 0, done = 0, task = 0;
  gint64 pid = 0;
  guint32 id = 0;

  g_variant_lookup (worker, "id", "u", &id);
  g_variant_lookup (worker, "pid", "x", &pid);
  g_variant_lookup (worker, "state", "&s", &state);
  g_variant_lookup (worker, "host", "&s", &host);
  g_variant_lookup (worker, "rss", "t", &rss);
  g_variant_lookup (worker, "tasks-done", "t", &done);
  g_variant_lookup (worker, "current-task", "t", &task);
  g_print ("    worker %-4u pid %-8" G_GINT64_FORMAT " %-9s %8" G_GUINT64_FORMAT " KiB %10" G_GUINT64_FORMAT " done", id, pid, state,
           rss, done);
  if (task != 0)
    g_print ("  in task %" G_GUINT64_FORMAT, task);
  g_print ("\n");
}

static void
print_rows (Top *self, GPtrArray *rows)
{
  if (self->json)
    {
      for (guint i = 0; i < rows->len; i++)
        print_json (rows->pdata[i]);
      return;
    }
  g_print ("%-18s %-8s %-10s %8s %8s %8s %10s %8s %10s\n", "POOL", "BACKEND", "STATE", "WORKERS", "RUNNING", "PENDING", "DONE",
           "FAILED", "TASKS/S");
  for (guint i = 0; i < rows->len; i++)
    {
      const Row *row = rows->pdata[i];

      g_print ("%-18s %-8s %-10s %8u %8u %8" G_GUINT64_FORMAT " %10" G_GUINT64_FORMAT " %8" G_GUINT64_FORMAT " %10.1f%s%s\n",
               pool_cli_bus_get_number (row->name), row->backend, row->state, row->n_workers, row->n_running, row->n_pending,
               row->n_done, row->n_failed, row->rate, row->program != NULL ? "  " : "",
               row->program != NULL ? row->program : "");
      for (gsize j = 0, n = g_variant_n_children (row->workers); j < n; j++)
        {
          g_autoptr (GVariant) worker = g_variant_get_child_value (row->workers, j);

          print_worker (worker);
        }
    }
}

static gboolean
show (Top *self, gboolean again, GError **error)
{
  g_autoptr (GPtrArray) rows = look (self, error);

  if (rows == NULL)
    return FALSE;
  g_ptr_array_sort_with_data (rows, compare_rows, self);
  /* in place of what is there */
  if (again && !self->json && isatty (STDOUT_FILENO))
    g_print ("\033[H\033[J");
  print_rows (self, rows);
  return fflush (stdout) == 0;
}

int
pool_top_main (char **argv)
{
  gboolean version = FALSE, system = FALSE, local = FALSE, once = FALSE;
  double interval = 1;
  Top self = { 0 };
  const GOptionEntry entries[] = {
    { "once", 0, 0, G_OPTION_ARG_NONE, &once, "Look once, and not again and again", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self.json, "Print one JSON object for each pool", NULL },
    { "interval", 0, 0, G_OPTION_ARG_DOUBLE, &interval, "Look every so many seconds (default: 1)", "SECONDS" },
    { "sort", 0, 0, G_OPTION_ARG_STRING, &self.sort, "Sort by rate, pending, running, done, failed or workers", "KEY" },
    { "system", 0, 0, G_OPTION_ARG_NONE, &system, "Ask the service of the system bus", NULL },
    { "local", 0, 0, G_OPTION_ARG_NONE, &local, "Do not ask a service", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_set_summary (context, "Show your pools and what they do: those at the service, and those of programs that show them (POOL_TOP=1).");
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if (self.sort == NULL)
    self.sort = g_strdup ("rate");
  if (!g_strv_contains (sort_keys, self.sort))
    g_set_error (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Pools cannot be sorted by “%s”", self.sort);
  else if (!(interval >= 0.01 && interval <= 86400))
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "--interval is between 0.01 and 86400 seconds");
  else if (system && local)
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "--system and --local do not go together");
  if (error != NULL)
    return pool_cli_usage_error (error);

  self.seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (!local)
    self.bus = pool_cli_bus_open (system, &error);
  while (error == NULL && show (&self, !once, &error) && !once)
    g_usleep ((gulong) (interval * G_USEC_PER_SEC));
  g_hash_table_unref (self.seen);
  g_clear_object (&self.bus);
  g_free (self.sort);
  return error != NULL ? pool_cli_error (error, POOL_CLI_EXIT_FAILED) : POOL_CLI_EXIT_OK;
}
