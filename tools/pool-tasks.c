/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"
#include "pool-cli.h"

static void
print_task (const char *name, gboolean json)
{
  const char *description = pool_describe_task (name);
  g_autofree char *module = g_strndup (name, strcspn (name, "."));
  g_autoptr (JsonBuilder) builder = NULL;
  g_autofree char *line = NULL;

  if (!json)
    {
      g_print ("%-18s %s\n", name, description != NULL ? description : "");
      return;
    }
  builder = json_builder_begin_object (json_builder_new ());
  pool_cli_json_add_string (builder, "name", name);
  pool_cli_json_add_string (builder, "module", module);
  pool_cli_json_add_string (builder, "description", description != NULL ? description : "");
  line = pool_cli_json_to_line (builder);
  g_print ("%s", line);
}

static gboolean
is_of_module (const char *task, char **modules)
{
  g_autofree char *module = g_strndup (task, strcspn (task, "."));

  return modules == NULL || g_strv_contains ((const char *const *) modules, module);
}

/* One broken module does not hide the others; asked for by name it is an error. */
static int
load_modules (char **asked)
{
  g_auto (GStrv) found = asked == NULL ? pool_list_task_modules () : NULL;
  int status = POOL_CLI_EXIT_OK;

  for (char **name = asked != NULL ? asked : found; *name != NULL; name++)
    {
      g_autoptr (GError) error = NULL;

      if (pool_load_task_module (*name, &error))
        continue;
      if (asked != NULL)
        return pool_cli_error (error, POOL_CLI_EXIT_USAGE);
      status = pool_cli_error (error, POOL_CLI_EXIT_FAILED);
    }
  return status;
}

int
pool_tasks_main (char **argv)
{
  gboolean json = FALSE, version = FALSE;
  g_auto (GStrv) modules = NULL;
  g_auto (GStrv) tasks = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print one JSON object for each task", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &modules, NULL, "[MODULE…]" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  int status;

  g_option_context_set_summary (context, "List the tasks of all task modules, or of those named.");
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;

  status = load_modules (modules);
  if (status == POOL_CLI_EXIT_USAGE)
    return status;
  tasks = pool_list_tasks ();
  for (char **task = tasks; *task != NULL; task++)
    if (is_of_module (*task, modules))
      print_task (*task, json);
  return status;
}
