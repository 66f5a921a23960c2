/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"
#include "pool-cli.h"

static void
print_json (const char *name, const char *description, const GError *error)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
  g_autofree char *line = NULL;

  pool_cli_json_add_string (builder, "name", name);
  json_builder_set_member_name (builder, "available");
  json_builder_add_boolean_value (builder, error == NULL);
  if (error == NULL)
    pool_cli_json_add_string (builder, "description", description);
  else
    pool_cli_json_add_error (builder, error);
  line = pool_cli_json_to_line (builder);
  g_print ("%s", line);
}

int
pool_backends_main (char **argv)
{
  gboolean json = FALSE, version = FALSE;
  g_auto (GStrv) rest = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print one JSON object for each backend", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;

  g_option_context_set_summary (context, "List the backends, and why one cannot be used.");
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if (rest != NULL)
    {
      error = g_error_new_literal (G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                                   "This command takes no arguments");
      return pool_cli_usage_error (error);
    }

  names = pool_list_backends ();
  for (char **name = names; *name != NULL; name++)
    {
      g_autoptr (GError) reason = NULL;
      g_autofree char *description = pool_describe_backend (*name, &reason);

      if (json)
        print_json (*name, description, reason);
      else if (reason != NULL)
        g_print ("%-10s unavailable: %s\n", *name, reason->message);
      else
        g_print ("%-10s %s\n", *name, description);
    }
  return POOL_CLI_EXIT_OK;
}
