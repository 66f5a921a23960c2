/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"
#include "pool-cli-run.h"
#include "pool-cli-template.h"
#include "pool-cli.h"

#include <string.h>

typedef struct
{
  PoolCliTemplate *template;
  gboolean tag;
} Exec;

/* What the value of exec.run and exec.shell says; the bytes belong to it. */
typedef struct
{
  int status;
  const char *output;
  gsize output_size;
  const char *errors;
  gsize errors_size;
} Outcome;

static gboolean
read_outcome (GVariant *value, Outcome *outcome)
{
  g_autoptr (GVariant) output = NULL;
  g_autoptr (GVariant) errors = NULL;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("(iayay)")))
    return FALSE;
  /* the parts of a serialised value point into it, and it outlives them */
  g_variant_get_data (value);
  g_variant_get (value, "(i@ay@ay)", &outcome->status, &output, &errors);
  outcome->output = g_variant_get_fixed_array (output, &outcome->output_size, 1);
  outcome->errors = g_variant_get_fixed_array (errors, &outcome->errors_size, 1);
  if (outcome->output_size == 0)
    outcome->output = "";
  if (outcome->errors_size == 0)
    outcome->errors = "";
  return TRUE;
}

static char *
exec_describe (gpointer user_data, const PoolCliJob *job)
{
  const Exec *exec = user_data;
  g_auto (GStrv) argv = pool_cli_template_expand (exec->template, job->input, job->seq);

  return pool_cli_template_describe (exec->template, argv);
}

static gboolean
is_utf8 (char **words)
{
  for (; *words != NULL; words++)
    if (!g_utf8_validate (*words, -1, NULL))
      return FALSE;
  return TRUE;
}

static GVariant *
exec_make_args (gpointer user_data, const PoolCliJob *job, GError **error)
{
  const Exec *exec = user_data;
  g_auto (GStrv) argv = pool_cli_template_expand (exec->template, job->input, job->seq);

  if (pool_cli_template_is_shell (exec->template))
    return is_utf8 (argv) ? g_variant_new ("(s)", argv[0]) : g_variant_new ("(^ay)", argv[0]);
  return is_utf8 (argv) ? g_variant_new ("(^as)", argv) : g_variant_new ("(^aay)", argv);
}

/* A command that ran and failed is a failed task. */
static void
exec_check (gpointer user_data, PoolCliJob *job)
{
  g_autofree char *command = NULL;
  Outcome outcome;

  if (!read_outcome (job->value, &outcome))
    {
      g_set_error (&job->error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                   "A result of type %s is none of exec's", g_variant_get_type_string (job->value));
      g_clear_pointer (&job->value, g_variant_unref);
      return;
    }
  job->received = outcome.output_size;
  job->exit_code = outcome.status;
  if (outcome.status == 0)
    return;
  command = exec_describe (user_data, job);
  /* 128 + N is how a shell, too, says that signal N ended a command */
  if (outcome.status > 128 && outcome.status <= 128 + 64)
    {
      job->exit_signal = outcome.status - 128;
      g_set_error (&job->error, G_SPAWN_EXIT_ERROR, outcome.status, "Exit status %d (%s): %s",
                   outcome.status, g_strsignal (job->exit_signal), command);
    }
  else
    g_set_error (&job->error, G_SPAWN_EXIT_ERROR, outcome.status, "Exit status %d: %s",
                 outcome.status, command);
}

static void
print_stream (const Exec *exec, const PoolCliJob *job, const char *data, gsize size,
              PoolCliOutput *out)
{
  const char *end = data + size;

  if (!exec->tag)
    {
      pool_cli_output_add_data (out, data, size);
      return;
    }
  while (data < end)
    {
      const char *newline = memchr (data, '\n', (gsize) (end - data));
      const char *next = newline != NULL ? newline + 1 : end;

      pool_cli_output_add_data (out, job->input, job->size);
      pool_cli_output_add (out, "\t");
      pool_cli_output_add_data (out, data, (gsize) (next - data));
      data = next;
    }
}

/* One command's output comes out in one piece. */
static void
exec_print (gpointer user_data, const PoolCliJob *job, PoolCliOutput *out, PoolCliOutput *err)
{
  const Exec *exec = user_data;
  Outcome outcome;

  if (!read_outcome (job->value, &outcome))
    return;
  print_stream (exec, job, outcome.output, outcome.output_size, out);
  print_stream (exec, job, outcome.errors, outcome.errors_size, err);
}

static void
exec_add_json (gpointer user_data, const PoolCliJob *job, JsonBuilder *builder)
{
  g_autofree char *command = exec_describe (user_data, job);
  Outcome outcome;

  if (!read_outcome (job->value, &outcome))
    return;
  pool_cli_json_add_string (builder, "command", command);
  json_builder_set_member_name (builder, "exit_code");
  json_builder_add_int_value (builder, outcome.status);
  pool_cli_json_add_bytes (builder, "stdout", outcome.output, outcome.output_size);
  pool_cli_json_add_bytes (builder, "stderr", outcome.errors, outcome.errors_size);
}

static const PoolCliKind exec_kind = {
  .describe = exec_describe,
  .make_args = exec_make_args,
  .check = exec_check,
  .print = exec_print,
  .add_json = exec_add_json,
};

/*
 * Splits COMMAND… ::: INPUT… and COMMAND… :::: FILE: afterwards @words is the command alone.
 * @inputs: the inputs given, or NULL
 */
static gboolean
split_words (char **words, PoolCliSettings *settings, char ***inputs, GError **error)
{
  char **p = words;

  *inputs = NULL;
  while (*p != NULL && !g_str_equal (*p, ":::") && !g_str_equal (*p, "::::"))
    p++;
  if (p == words)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Which command?");
      return FALSE;
    }
  if (*p == NULL)
    return TRUE;
  for (char **q = p + 1; *q != NULL; q++)
    if (g_str_equal (*q, ":::") || g_str_equal (*q, "::::"))
      {
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Only one %s is possible", *q);
        return FALSE;
      }
  if (g_str_equal (*p, ":::"))
    {
      *inputs = p + 1;
      *p = NULL;
      return TRUE;
    }
  if (settings->input_file != NULL || p[1] == NULL || p[2] != NULL)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                           ":::: is followed by the name of one file, and replaces --arg-file");
      return FALSE;
    }
  settings->input_file = g_strdup (p[1]);
  *p = NULL;
  return TRUE;
}

static const char description[] =
    "Inputs are read from the standard input, one on each line, if neither ::: nor :::: is given.\n"
    "In the command, {} is the input, {.} that without its extension, {/} its base name,\n"
    "{//} its folder, {/.} its base name without extension, {#} its number; without any of them\n"
    "the input comes last. A command of several words is run as it is. One that is a single word\n"
    "with spaces or other characters special to a shell is run by /bin/sh, the inputs quoted.\n\n"
    "Examples:\n"
    "  pool exec -j4 -- gzip -k {} ::: *.log\n"
    "  find . -name '*.flac' | pool exec --bar 'flac -dc {} | lame - {.}.mp3'";

int
pool_exec_main (char **argv)
{
  g_auto (PoolCliSettings) settings = { 0 };
  g_auto (GStrv) words = NULL;
  g_autofree char **command = NULL;
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &words, NULL,
      "COMMAND… [::: INPUT… | :::: FILE]" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (PoolCliTemplate) template = NULL;
  g_autoptr (PoolCliInput) input = NULL;
  g_autoptr (GError) error = NULL;
  PoolCliKind kind = exec_kind;
  Exec exec = { 0 };
  char **inputs = NULL;

  g_option_context_set_summary (context, "Run a command for each input.");
  g_option_context_set_description (context, description);
  g_option_context_set_strict_posix (context, TRUE);
  if (!pool_cli_settings_parse (&settings, context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  /* a shallow copy: it is cut in two where the inputs begin */
  command = g_memdup2 (words, ((words != NULL ? g_strv_length (words) : 0) + 1) * sizeof (char *));
  if (command == NULL)
    command = g_new0 (char *, 1);
  if (split_words (command, &settings, &inputs, &error))
    input = pool_cli_settings_open_input (&settings, inputs, &error);
  if (input == NULL)
    return pool_cli_usage_error (error);

  template = pool_cli_template_new (command);
  exec.template = template;
  exec.tag = settings.tag;
  kind.task = pool_cli_template_is_shell (template) ? "exec.shell" : "exec.run";
  return pool_cli_run (&settings, &kind, &exec, input);
}
