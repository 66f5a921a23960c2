/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-settings.h"

#include "pool-cli.h"

#include <unistd.h>

void
pool_cli_settings_clear (PoolCliSettings *self)
{
  g_free (self->backend);
  g_free (self->jobs_text);
  g_free (self->start_method_text);
  g_free (self->sandbox_text);
  g_free (self->halt_text);
  g_free (self->memory_limit_text);
  g_free (self->input_file);
  g_free (self->joblog);
  g_free (self->trace);
  g_free (self->metrics);
  g_free (self->endpoint);
  g_free (self->launcher);
  g_free (self->key_file);
  g_free (self->allowed_keys);
  g_free (self->agent_key_file);
  g_free (self->agent_command);
}

static gboolean G_GNUC_PRINTF (2, 3)
bad_value (GError **error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_propagate_error (error, g_error_new_valist (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format,
                                                arguments));
  va_end (arguments);
  return FALSE;
}

static gboolean
parse_jobs (PoolCliSettings *self, GError **error)
{
  gint64 jobs;

  self->jobs = G_MININT;
  if (self->jobs_text == NULL)
    return TRUE;
  /* a number too small is for the library to refuse */
  if (!g_ascii_string_to_signed (self->jobs_text, 10, G_MININT + 1, G_MAXINT, &jobs, NULL))
    return bad_value (error, "--jobs must be a number, not “%s”", self->jobs_text);
  self->jobs = (int) jobs;
  return TRUE;
}

/* The value of an option that takes one of the words of an enumeration; -1: not given. */
static gboolean
parse_enum (const char *option, const char *text, GType type, int *parsed, GError **error)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (type);
  g_autoptr (GString) known = g_string_new (NULL);
  const GEnumValue *value;

  *parsed = -1;
  if (text == NULL)
    return TRUE;
  value = g_enum_get_value_by_nick (klass, text);
  if (value != NULL)
    {
      *parsed = value->value;
      return TRUE;
    }
  for (guint i = 0; i < klass->n_values; i++)
    g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
  return bad_value (error, "%s must be one of %s, not “%s”", option, known->str, text);
}

/* KiB, or a number with the letter of its unit */
static gboolean
parse_memory_limit (PoolCliSettings *self, GError **error)
{
  static const char units[] = "KMGT";
  const char *text = self->memory_limit_text;
  g_autofree char *number = NULL;
  const char *unit = NULL;
  guint shift = 0;
  gsize length;

  if (text == NULL)
    return TRUE;
  length = strlen (text);
  if (length > 0)
    unit = strchr (units, g_ascii_toupper (text[length - 1]));
  if (unit != NULL)
    shift = 10 * (unit - units);
  number = g_strndup (text, unit != NULL ? length - 1 : length);
  if (g_ascii_string_to_unsigned (number, 10, 1, G_MAXUINT64 >> shift, &self->memory_limit, NULL))
    {
      self->memory_limit <<= shift;
      return TRUE;
    }
  return bad_value (error, "--memory-limit must be a number of KiB, or one with K, M, G or T, not “%s”", text);
}

/* never | now,fail=N | soon,fail=N | now,success=N | soon,success=N */
static gboolean
parse_halt (PoolCliSettings *self, GError **error)
{
  g_auto (GStrv) parts = NULL;
  const char *number = NULL;
  gint64 *count = NULL;

  if (self->halt_text == NULL || g_str_equal (self->halt_text, "never"))
    return TRUE;
  parts = g_strsplit (self->halt_text, ",", 2);
  if (g_strcmp0 (parts[0], "now") == 0)
    self->halt = POOL_CLI_HALT_NOW;
  else if (g_strcmp0 (parts[0], "soon") == 0)
    self->halt = POOL_CLI_HALT_SOON;
  if (self->halt != POOL_CLI_HALT_NEVER && parts[1] != NULL)
    {
      if (g_str_has_prefix (parts[1], "fail="))
        count = &self->halt_failures;
      else if (g_str_has_prefix (parts[1], "success="))
        count = &self->halt_successes;
      number = strchr (parts[1], '=');
    }
  if (count != NULL && g_ascii_string_to_signed (number + 1, 10, 1, G_MAXINT64, count, NULL))
    return TRUE;
  return bad_value (error,
                    "--halt must be never, or now or soon with fail=N or success=N (now,fail=1), "
                    "not “%s”",
                    self->halt_text);
}

static gboolean
check (PoolCliSettings *self, GError **error)
{
  if (!parse_jobs (self, error) ||
      !parse_enum ("--start-method", self->start_method_text, POOL_TYPE_START_METHOD,
                   &self->start_method, error) ||
      !parse_enum ("--sandbox", self->sandbox_text, POOL_TYPE_SANDBOX, &self->sandbox, error) ||
      !parse_halt (self, error) || !parse_memory_limit (self, error))
    return FALSE;
  if (self->chunksize < 0)
    return bad_value (error, "--chunksize must not be below 0, as %d is", self->chunksize);
  if (self->retries < 0)
    return bad_value (error, "--retries must not be below 0, as %d is", self->retries);
  if (self->processes_per_agent < 0)
    return bad_value (error, "--processes-per-agent must not be below 0, as %d is", self->processes_per_agent);
  if (self->resume && self->joblog == NULL)
    return bad_value (error, "--resume needs the --joblog to resume from");
  return TRUE;
}

/* Which pool. */
static void
add_pool_entries (PoolCliSettings *self, GArray *entries)
{
  const GOptionEntry pool[] = {
    { "backend", 'b', 0, G_OPTION_ARG_STRING, &self->backend,
      "Run on this backend (see “pool backends”)", "NAME" },
    { "jobs", 'j', 0, G_OPTION_ARG_STRING, &self->jobs_text,
      "Run N tasks at a time [one for each processor]", "N" },
    { "start-method", 0, 0, G_OPTION_ARG_STRING, &self->start_method_text,
      "How workers are made: auto, fork, forkserver, spawn", "METHOD" },
    { "sandbox", 0, 0, G_OPTION_ARG_STRING, &self->sandbox_text,
      "What workers are kept from: none, basic, strict", "SANDBOX" },
    { "memory-limit", 0, 0, G_OPTION_ARG_STRING, &self->memory_limit_text,
      "Fail tasks that need more memory: KiB, or a number with K, M, G or T", "SIZE" },
    { "endpoint", 0, 0, G_OPTION_ARG_STRING, &self->endpoint,
      "Listen here for agents of the backend: tcp://*:PORT or ipc:///PATH", "ENDPOINT" },
    { "launcher", 0, 0, G_OPTION_ARG_STRING, &self->launcher,
      "Who starts agents: local, ssh:HOST,…, slurm, command:TEMPLATE, none", "LAUNCHER" },
    { "key-file", 0, 0, G_OPTION_ARG_FILENAME, &self->key_file,
      "The pool's own keys, as “pool keygen” makes them", "FILE" },
    { "allowed-keys", 0, 0, G_OPTION_ARG_FILENAME, &self->allowed_keys,
      "The public keys of agents that may connect: a file or a folder", "PATH" },
    { "agent-key-file", 0, 0, G_OPTION_ARG_FILENAME, &self->agent_key_file,
      "The keys of agents, on the machines where they are started", "FILE" },
    { "agent-command", 0, 0, G_OPTION_ARG_FILENAME, &self->agent_command,
      "The program “pool” on those machines [pool]", "PROGRAM" },
    { "processes-per-agent", 0, 0, G_OPTION_ARG_INT, &self->processes_per_agent,
      "Start agents with N workers each", "N" },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &self->verbose,
      "Tell where agents connect", NULL },
  };

  g_array_append_vals (entries, pool, G_N_ELEMENTS (pool));
}

/* What is run there, and what comes of it. */
static void
add_run_entries (PoolCliSettings *self, GArray *entries)
{
  const GOptionEntry run[] = {
    { "arg-file", 'a', 0, G_OPTION_ARG_FILENAME, &self->input_file,
      "Read inputs from FILE", "FILE" },
    { "null", '0', 0, G_OPTION_ARG_NONE, &self->null_separated,
      "Inputs read end in a zero byte, not in a line's end", NULL },
    { "keep-order", 'k', 0, G_OPTION_ARG_NONE, &self->keep_order,
      "Print in the order of the inputs", NULL },
    { "tag", 0, 0, G_OPTION_ARG_NONE, &self->tag,
      "Begin each line with its input and a tab", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->json, "Print one JSON object for each task", NULL },
    { "progress", 0, 0, G_OPTION_ARG_NONE, &self->progress,
      "Show progress, rate and time left on a terminal", NULL },
    { "bar", 0, 0, G_OPTION_ARG_NONE, &self->progress, "As --progress", NULL },
    { "eta", 0, 0, G_OPTION_ARG_NONE, &self->progress, "As --progress", NULL },
    { "joblog", 0, 0, G_OPTION_ARG_FILENAME, &self->joblog, "Log each task to FILE", "FILE" },
    { "resume", 0, 0, G_OPTION_ARG_NONE, &self->resume,
      "Skip what --joblog records as done with success", NULL },
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &self->trace,
      "Write a time line of the workers to FILE", "FILE" },
    { "metrics", 0, 0, G_OPTION_ARG_FILENAME, &self->metrics,
      "Write counters and times to FILE at the end", "FILE" },
    { "retries", 0, 0, G_OPTION_ARG_INT, &self->retries,
      "Run a task that fails up to N times in all", "N" },
    { "halt", 0, 0, G_OPTION_ARG_STRING, &self->halt_text,
      "When to stop: never, or now or soon with fail=N or success=N", "WHEN" },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &self->dry_run,
      "Print what would be run, and run nothing", NULL },
  };

  g_array_append_vals (entries, run, G_N_ELEMENTS (run));
}

static gboolean
parse (PoolCliSettings *self, GArray *entries, GOptionContext *context, const GOptionEntry *own, char **argv, gboolean *version,
       GError **error)
{
  for (; own->long_name != NULL; own++)
    g_array_append_vals (entries, own, 1);
  if (!pool_cli_parse (context, (gconstpointer) entries->data, argv, version, error))
    return FALSE;
  return *version || check (self, error);
}

/* @own: the command's own options */
gboolean
pool_cli_settings_parse (PoolCliSettings *self, GOptionContext *context, const GOptionEntry *own,
                         char **argv, gboolean *version, GError **error)
{
  g_autoptr (GArray) entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));

  add_pool_entries (self, entries);
  add_run_entries (self, entries);
  return parse (self, entries, context, own, argv, version, error);
}

/* Of a command that runs no tasks of the user's. */
gboolean
pool_cli_settings_parse_pool (PoolCliSettings *self, GOptionContext *context, const GOptionEntry *own,
                              char **argv, gboolean *version, GError **error)
{
  g_autoptr (GArray) entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));

  add_pool_entries (self, entries);
  return parse (self, entries, context, own, argv, version, error);
}

/* --- the pool --- */

#define N_PROPERTIES 13

typedef struct
{
  const char *names[N_PROPERTIES];
  GValue values[N_PROPERTIES];
  guint n;
} Properties;

static GValue *
add_property (Properties *self, const char *name, GType type)
{
  g_assert (self->n < N_PROPERTIES);
  self->names[self->n] = name;
  return g_value_init (&self->values[self->n++], type);
}

static void
add_string (Properties *self, const char *name, const char *text)
{
  if (text != NULL)
    g_value_set_string (add_property (self, name, G_TYPE_STRING), text);
}

static void
add_enum (Properties *self, const char *name, GType type, int value)
{
  if (value >= 0)
    g_value_set_enum (add_property (self, name, type), value);
}

/* Where workers are that are not on this machine; a backend that has no such workers says so. */
static void
add_remote (Properties *properties, const PoolCliSettings *self)
{
  add_string (properties, "endpoint", self->endpoint);
  add_string (properties, "launcher", self->launcher);
  add_string (properties, "key-file", self->key_file);
  add_string (properties, "allowed-keys", self->allowed_keys);
  add_string (properties, "agent-key-file", self->agent_key_file);
  add_string (properties, "agent-command", self->agent_command);
  if (self->processes_per_agent > 0)
    g_value_set_uint (add_property (properties, "processes-per-agent", G_TYPE_UINT), self->processes_per_agent);
}

/* Only what was asked for is set: the defaults are the library's. */
PoolManager *
pool_cli_settings_make_pool (const PoolCliSettings *self)
{
  Properties properties = { 0 };
  PoolManager *pool;

  add_string (&properties, "backend", self->backend);
  if (self->jobs != G_MININT)
    g_value_set_int (add_property (&properties, "processes", G_TYPE_INT), self->jobs);
  add_enum (&properties, "start-method", POOL_TYPE_START_METHOD, self->start_method);
  add_enum (&properties, "sandbox", POOL_TYPE_SANDBOX, self->sandbox);
  if (self->memory_limit > 0)
    g_value_set_uint64 (add_property (&properties, "memory-limit", G_TYPE_UINT64), self->memory_limit);
  if (self->metrics != NULL)
    g_value_set_boolean (add_property (&properties, "statistics", G_TYPE_BOOLEAN), TRUE);
  add_remote (&properties, self);
  pool = POOL_MANAGER (g_object_new_with_properties (POOL_TYPE_MANAGER, properties.n, properties.names,
                                                     properties.values));
  for (guint i = 0; i < properties.n; i++)
    g_value_unset (&properties.values[i]);
  return pool;
}

/* Who has left it to the system where agents connect could not start any without being told. */
void
pool_cli_settings_print_endpoint (const PoolCliSettings *self, PoolManager *pool)
{
  g_autofree char *endpoint = NULL;

  if (!self->verbose && (self->endpoint == NULL || strchr (self->endpoint, '*') == NULL))
    return;
  g_object_get (pool, "endpoint", &endpoint, NULL);
  if (endpoint != NULL)
    g_printerr ("pool: agents connect to %s\n", endpoint);
}

/* @words: the inputs given on the command line, or NULL if they are to be read */
PoolCliInput *
pool_cli_settings_open_input (const PoolCliSettings *self, char **words, GError **error)
{
  if (words != NULL && self->input_file != NULL)
    {
      bad_value (error, "Inputs are either given or read from --arg-file, not both");
      return NULL;
    }
  if (words != NULL)
    return pool_cli_input_new_for_words (words);
  if (self->input_file == NULL && isatty (STDIN_FILENO))
    g_printerr ("pool: reading inputs from the terminal, one on each line, until Ctrl-D\n");
  return pool_cli_input_new_for_file (self->input_file, self->null_separated ? '\0' : '\n', error);
}

guint
pool_cli_settings_get_jobs (const PoolCliSettings *self)
{
  return self->jobs > 0 ? (guint) self->jobs : pool_cpu_count ();
}
