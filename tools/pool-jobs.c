/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-bus.h"
#include "pool-cli-json.h"
#include "pool-cli.h"

/* pool jobs, wait and cancel: what became of what was submitted. */

/* --- jobs --- */

static void
print_job (const char *path, GVariant *properties, gboolean json)
{
  const char *task = "", *state = "", *name = "", *pool = "/";
  gboolean is_durable = FALSE;
  gint64 submitted_at = 0;
  guint32 runs = 0;
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *when = NULL;

  g_variant_lookup (properties, "Task", "&s", &task);
  g_variant_lookup (properties, "State", "&s", &state);
  g_variant_lookup (properties, "CorrelationId", "&s", &name);
  g_variant_lookup (properties, "Pool", "&o", &pool);
  g_variant_lookup (properties, "Durable", "b", &is_durable);
  g_variant_lookup (properties, "SubmittedAt", "x", &submitted_at);
  g_variant_lookup (properties, "Runs", "u", &runs);
  time = g_date_time_new_from_unix_local (submitted_at / G_USEC_PER_SEC);
  when = g_date_time_format (time, "%F %T");
  if (json)
    {
      g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
      g_autofree char *line = NULL;

      pool_cli_json_add_string (builder, "job", pool_cli_bus_get_number (path));
      pool_cli_json_add_string (builder, "path", path);
      pool_cli_json_add_string (builder, "pool", pool);
      pool_cli_json_add_string (builder, "task", task);
      pool_cli_json_add_string (builder, "name", name);
      pool_cli_json_add_string (builder, "state", state);
      json_builder_add_boolean_value (json_builder_set_member_name (builder, "durable"), is_durable);
      json_builder_add_int_value (json_builder_set_member_name (builder, "runs"), runs);
      json_builder_add_double_value (json_builder_set_member_name (builder, "submitted-at"),
                                     (double) submitted_at / G_USEC_PER_SEC);
      line = pool_cli_json_to_line (builder);
      g_print ("%s", line);
    }
  else
    g_print ("%-16s  %-7s  %s  %s%s%s\n", pool_cli_bus_get_number (path), state, when, task, *name != '\0' ? "  " : "", name);
}

static void
print_jobs (GVariant *objects, gboolean json)
{
  GVariantIter iter;
  GVariant *value;
  const char *path;

  g_variant_iter_init (&iter, objects);
  while (g_variant_iter_next (&iter, "{&o@a{sa{sv}}}", &path, &value))
    {
      g_autoptr (GVariant) interfaces = value;
      g_autoptr (GVariant) properties = g_variant_lookup_value (interfaces, POOL_CLI_BUS_JOB, G_VARIANT_TYPE_VARDICT);

      if (properties != NULL)
        print_job (path, properties, json);
    }
}

int
pool_jobs_main (char **argv)
{
  gboolean json = FALSE, version = FALSE, system = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print one JSON object for each job", NULL },
    { "system", 0, 0, G_OPTION_ARG_NONE, &system, "Ask the service of the system bus", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GDBusConnection) bus = NULL;
  g_autoptr (GVariant) objects = NULL;
  g_autoptr (GError) error = NULL;

  g_option_context_set_summary (context, "List the jobs that you have at the service.");
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if ((bus = pool_cli_bus_open (system, &error)) == NULL || (objects = pool_cli_bus_list (bus, &error)) == NULL)
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  print_jobs (objects, json);
  return POOL_CLI_EXIT_OK;
}

/* --- wait and cancel --- */

static void
print_result (const char *job, GVariant *value, const GError *error, gboolean json)
{
  g_autofree char *text = NULL;

  if (json)
    {
      g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());

      pool_cli_json_add_string (builder, "job", pool_cli_bus_get_number (job));
      if (error != NULL)
        pool_cli_json_add_error (builder, error);
      else
        pool_cli_json_add_variant (builder, "value", value);
      text = pool_cli_json_to_line (builder);
      g_print ("%s", text);
      return;
    }
  if (error != NULL)
    {
      g_printerr ("pool: %s: %s\n", pool_cli_bus_get_number (job), error->message);
      return;
    }
  text = g_variant_is_of_type (value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string (value, NULL) : g_variant_print (value, FALSE);
  g_print ("%s\n", text);
}

static int
wait_for_jobs (GDBusConnection *bus, char **jobs, double timeout, gboolean keep, gboolean json)
{
  gint64 until = g_get_monotonic_time () + (gint64) (MAX (timeout, 0) * G_USEC_PER_SEC);
  int status = POOL_CLI_EXIT_OK;

  for (; *jobs != NULL; jobs++)
    {
      g_autofree char *path = pool_cli_bus_job_path (*jobs);
      g_autoptr (GError) error = NULL;
      double left = timeout < 0 ? -1 : MAX ((double) (until - g_get_monotonic_time ()) / G_USEC_PER_SEC, 0);
      g_autoptr (GVariant) value = pool_cli_bus_get_result (bus, path, left, keep, &error);

      print_result (path, value, error, json);
      if (value == NULL)
        status = POOL_CLI_EXIT_FAILED;
    }
  return status;
}

/* NULL: @status is what to exit with. @jobs, @system: where the options put them. */
static GDBusConnection *
open_for_jobs (GOptionContext *context, const GOptionEntry *entries, char **argv, char ***jobs, const gboolean *system,
               int *status)
{
  g_autoptr (GError) error = NULL;
  GDBusConnection *bus = NULL;
  gboolean version = FALSE;

  *status = POOL_CLI_EXIT_OK;
  if (pool_cli_parse (context, entries, argv, &version, &error) && !version && *jobs == NULL)
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Which job? “pool jobs” lists them");
  if (error != NULL)
    *status = pool_cli_usage_error (error);
  else if (!version && (bus = pool_cli_bus_open (*system, &error)) == NULL)
    *status = pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  return bus;
}

int
pool_wait_main (char **argv)
{
  gboolean json = FALSE, system = FALSE, keep = FALSE;
  double timeout = -1;
  int status;
  g_auto (GStrv) jobs = NULL;
  const GOptionEntry entries[] = {
    { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &timeout, "Wait so long for all of them", "SECONDS" },
    { "keep", 0, 0, G_OPTION_ARG_NONE, &keep, "Leave the results with the service", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print one JSON object for each job", NULL },
    { "system", 0, 0, G_OPTION_ARG_NONE, &system, "Ask the service of the system bus", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &jobs, NULL, "JOB…" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GDBusConnection) bus = NULL;

  g_option_context_set_summary (context, "Wait for jobs of the service, and print their results.");
  bus = open_for_jobs (context, entries, argv, &jobs, &system, &status);
  return bus != NULL ? wait_for_jobs (bus, jobs, timeout, keep, json) : status;
}

static int
cancel_jobs (GDBusConnection *bus, char **jobs)
{
  int status = POOL_CLI_EXIT_OK;

  for (; *jobs != NULL; jobs++)
    {
      g_autofree char *path = pool_cli_bus_job_path (*jobs);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) reply = pool_cli_bus_call (bus, path, POOL_CLI_BUS_JOB, "Cancel", NULL, NULL, &error);
      gboolean cancelled = FALSE;

      if (reply != NULL)
        g_variant_get (reply, "(b)", &cancelled);
      if (reply != NULL && !cancelled)
        g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_FAILED, "It is too late: the job has ended");
      if (error == NULL)
        continue;
      print_result (path, NULL, error, FALSE);
      status = POOL_CLI_EXIT_FAILED;
    }
  return status;
}

int
pool_cancel_main (char **argv)
{
  gboolean system = FALSE;
  int status;
  g_auto (GStrv) jobs = NULL;
  const GOptionEntry entries[] = {
    { "system", 0, 0, G_OPTION_ARG_NONE, &system, "Ask the service of the system bus", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &jobs, NULL, "JOB…" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GDBusConnection) bus = NULL;

  g_option_context_set_summary (context, "Cancel jobs of the service, also those that run.");
  bus = open_for_jobs (context, entries, argv, &jobs, &system, &status);
  return bus != NULL ? cancel_jobs (bus, jobs) : status;
}
