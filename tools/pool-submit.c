/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-bus.h"
#include "pool-cli.h"

#include "bindings/dbus/pool-service-value.h"

/* pool submit: gives the service a job, which it has even if everything else is switched off. */

static const char description[] =
    "The job is kept on the disk and runs in a pool of the user's that the service has, which is made if there is none. Its\n"
    "number is printed: “pool wait NUMBER” waits for it and prints its result.";

/* The first pool that outlives its client, or NULL. */
static char *
find_pool (GVariant *objects)
{
  GVariantIter iter, interfaces;
  GVariant *inner;
  const char *path, *interface;

  g_variant_iter_init (&iter, objects);
  while (g_variant_iter_next (&iter, "{&o@a{sa{sv}}}", &path, &inner))
    {
      g_autoptr (GVariant) held = inner;
      GVariant *values;

      g_variant_iter_init (&interfaces, held);
      while (g_variant_iter_next (&interfaces, "{&s@a{sv}}", &interface, &values))
        {
          g_autoptr (GVariant) properties = values;
          const char *state;
          gboolean is_persistent;

          if (g_str_equal (interface, POOL_CLI_BUS_POOL) && g_variant_lookup (properties, "State", "&s", &state) &&
              (g_str_equal (state, "new") || g_str_equal (state, "run")) &&
              g_variant_lookup (properties, "Persistent", "b", &is_persistent) && is_persistent)
            return g_strdup (path);
        }
    }
  return NULL;
}

static char *
make_pool (GDBusConnection *bus, const char *backend, int processes, GError **error)
{
  g_autoptr (GVariant) reply = NULL;
  GVariantDict options;
  char *path;

  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "persistent", "b", TRUE);
  if (processes > 0)
    g_variant_dict_insert (&options, "processes", "i", processes);
  reply = pool_cli_bus_call (bus, POOL_CLI_BUS_PATH, POOL_CLI_BUS_INTERFACE, "CreatePool",
                             g_variant_new ("(s@a{sv})", backend, g_variant_dict_end (&options)), NULL, error);
  if (reply == NULL)
    return NULL;
  g_variant_get (reply, "(o)", &path);
  return path;
}

static char *
get_pool (GDBusConnection *bus, const char *given, const char *backend, int processes, GError **error)
{
  g_autoptr (GVariant) objects = NULL;
  char *found;

  if (given != NULL)
    return pool_cli_bus_pool_path (given);
  objects = pool_cli_bus_list (bus, error);
  if (objects == NULL)
    return NULL;
  found = backend == NULL && processes == 0 ? find_pool (objects) : NULL;
  return found != NULL ? found : make_pool (bus, backend != NULL ? backend : "fork", processes, error);
}

/* The words as strings, or a tuple that was given as text. */
static GVariant *
make_args (const char *text, char **words, GError **error)
{
  g_autoptr (GVariantBuilder) builder = NULL;

  if (text != NULL && *words != NULL)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Arguments are words or a tuple, not both");
      return NULL;
    }
  if (text != NULL)
    {
      g_autoptr (GVariant) value = g_variant_parse (NULL, text, NULL, NULL, error);

      if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
        return g_steal_pointer (&value);
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "“%s” is no tuple: write (%s,)", text, text);
      return NULL;
    }
  builder = g_variant_builder_new (G_VARIANT_TYPE_TUPLE);
  for (; *words != NULL; words++)
    g_variant_builder_add_value (builder, g_utf8_validate (*words, -1, NULL) ? g_variant_new_string (*words)
                                                                             : g_variant_new_bytestring (*words));
  return g_variant_take_ref (g_variant_builder_end (builder));
}

static char *
submit (GDBusConnection *bus, const char *pool, const char *task, GVariant *args, const char *name, GError **error)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) reply = NULL;
  GVariantDict options;
  GVariant *variant;
  char *path;

  if (!pool_service_value_give (args, FALSE, &variant, &fds, error))
    return NULL;
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "durable", "b", TRUE);
  if (name != NULL)
    g_variant_dict_insert (&options, "correlation-id", "s", name);
  reply = g_dbus_connection_call_with_unix_fd_list_sync (
      bus, POOL_CLI_BUS_INTERFACE, pool, POOL_CLI_BUS_POOL, "ApplyAsync",
      g_variant_new ("(s@v@a{sv})", task, variant, g_variant_dict_end (&options)), G_VARIANT_TYPE ("(o)"),
      G_DBUS_CALL_FLAGS_NONE, G_MAXINT, fds, NULL, NULL, error);
  if (reply == NULL)
    {
      g_dbus_error_strip_remote_error (*error);
      return NULL;
    }
  g_variant_get (reply, "(o)", &path);
  return path;
}

int
pool_submit_main (char **argv)
{
  gboolean version = FALSE, system = FALSE;
  g_autofree char *backend = NULL;
  g_autofree char *given_pool = NULL;
  g_autofree char *text = NULL;
  g_autofree char *name = NULL;
  int processes = 0;
  g_auto (GStrv) words = NULL;
  const GOptionEntry entries[] = {
    { "backend", 'b', 0, G_OPTION_ARG_STRING, &backend, "Make a pool of this kind", "NAME" },
    { "jobs", 'j', 0, G_OPTION_ARG_INT, &processes, "Make a pool of N workers", "N" },
    { "pool", 0, 0, G_OPTION_ARG_STRING, &given_pool, "Take this pool of the service", "POOL" },
    { "arguments", 0, 0, G_OPTION_ARG_STRING, &text, "Arguments as a GVariant tuple, instead of words", "TUPLE" },
    { "name", 0, 0, G_OPTION_ARG_STRING, &name, "Call the job NAME in lists", "NAME" },
    { "system", 0, 0, G_OPTION_ARG_NONE, &system, "Ask the service of the system bus", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &words, NULL, "TASK [ARGUMENT…]" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GDBusConnection) bus = NULL;
  g_autoptr (GVariant) args = NULL;
  g_autofree char *pool = NULL;
  g_autofree char *job = NULL;
  g_autoptr (GError) error = NULL;

  g_option_context_set_summary (context, "Give a task to the service, which runs it whatever happens.");
  g_option_context_set_description (context, description);
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if (words == NULL)
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Which task? “pool tasks” lists them");
  else if (processes < 0)
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "--jobs must be at least 1");
  else
    args = make_args (text, words + 1, &error);
  if (args == NULL)
    return pool_cli_usage_error (error);

  if ((bus = pool_cli_bus_open (system, &error)) == NULL ||
      (pool = get_pool (bus, given_pool, backend, processes, &error)) == NULL ||
      (job = submit (bus, pool, words[0], args, name, &error)) == NULL)
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  g_print ("%s\n", pool_cli_bus_get_number (job));
  return POOL_CLI_EXIT_OK;
}
