/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exec-child.h"
#include "task-args.h"

/* A text (s) or a zero-terminated bytestring (ay); NULL for another type. */
static char *
dup_text (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    return g_variant_dup_bytestring (value, NULL);
  return NULL;
}

static gboolean G_GNUC_PRINTF (2, 3)
set_argument_error (GError **error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_propagate_error (error, g_error_new_valist (POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, format,
                                                arguments));
  va_end (arguments);
  return FALSE;
}

static gboolean
read_argv (GVariant *args, ExecCommand *command, GError **error)
{
  g_autoptr (GVariant) value = task_args_get (args, 0, "the command's words (as or aay)", error);

  if (value == NULL)
    return FALSE;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    command->argv = g_variant_dup_strv (value, NULL);
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING_ARRAY))
    command->argv = g_variant_dup_bytestring_array (value, NULL);
  else
    return set_argument_error (error, "The command's words must be of type “as” or “aay”, not “%s”",
                               g_variant_get_type_string (value));
  if (command->argv[0] == NULL)
    return set_argument_error (error, "There is no command in an empty list of words");
  return TRUE;
}

/* a{ss}: variables to set on top of the worker's own */
static gboolean
read_environment (GVariant *value, ExecCommand *command)
{
  GVariantIter iter;
  const char *name, *text;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("a{ss}")))
    return FALSE;
  command->envp = g_get_environ ();
  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &text))
    {
      if (*name == '\0' || strchr (name, '=') != NULL)
        return FALSE;
      command->envp = g_environ_setenv (command->envp, name, text, TRUE);
    }
  return TRUE;
}

static gboolean
read_option (const char *name, GVariant *value, ExecCommand *command, GError **error)
{
  if (g_str_equal (name, "stdin"))
    {
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
        return set_argument_error (error, "Option “%s” must be bytes (ay)", name);
      g_clear_pointer (&command->input, g_bytes_unref);
      command->input = g_variant_get_data_as_bytes (value);
      return TRUE;
    }
  if (g_str_equal (name, "cwd"))
    {
      g_free (command->cwd);
      command->cwd = dup_text (value);
      if (command->cwd == NULL || *command->cwd == '\0')
        return set_argument_error (error, "Option “%s” must be a folder's name (s or ay)", name);
      return TRUE;
    }
  if (g_str_equal (name, "env"))
    {
      g_clear_pointer (&command->envp, g_strfreev);
      if (!read_environment (value, command))
        return set_argument_error (error, "Option “%s” must be names and values (a{ss})", name);
      return TRUE;
    }
  return set_argument_error (error, "There is no option “%s”: only stdin, cwd and env", name);
}

static gboolean
read_options (GVariant *args, ExecCommand *command, GError **error)
{
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GVariant) value = NULL;
  GVariantIter iter;
  const char *name;

  if (g_variant_n_children (args) < 2)
    return TRUE;
  options = task_args_get (args, 1, "options", error);
  if (options == NULL)
    return FALSE;
  if (!g_variant_is_of_type (options, G_VARIANT_TYPE_VARDICT))
    return set_argument_error (error, "Options must be of type “a{sv}”, not “%s”",
                               g_variant_get_type_string (options));
  g_variant_iter_init (&iter, options);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    if (!read_option (name, value, command, error))
      return FALSE;
  return TRUE;
}

static GVariant *
take_bytes (GByteArray **array)
{
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (g_steal_pointer (array));

  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}

static GVariant *
run_command (PoolTask *task, const ExecCommand *command, GError **error)
{
  g_auto (ExecOutcome) outcome = { 0 };
  GVariant *output, *errors;

  if (!exec_child_run (command, pool_task_get_cancellable (task), &outcome, error))
    return NULL;
  output = take_bytes (&outcome.output);
  errors = take_bytes (&outcome.errors);
  return g_variant_new ("(i@ay@ay)", outcome.status, output, errors);
}

/*
 * exec.run (as or aay words [, a{sv} options]) → (iayay) exit code or 128 + signal, stdout, stderr
 */
static GVariant *
exec_run (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_auto (ExecCommand) command = { 0 };

  if (!read_argv (args, &command, error) || !read_options (args, &command, error))
    return NULL;
  return run_command (task, &command, error);
}

/* exec.shell (s or ay command line [, a{sv} options]) → as exec.run */
static GVariant *
exec_shell (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_auto (ExecCommand) command = { 0 };
  g_autoptr (GVariant) value = task_args_get (args, 0, "a command line (s or ay)", error);
  g_autofree char *line = value != NULL ? dup_text (value) : NULL;

  if (value == NULL)
    return NULL;
  if (line == NULL)
    {
      set_argument_error (error, "A command line must be of type “s” or “ay”, not “%s”",
                          g_variant_get_type_string (value));
      return NULL;
    }
  if (!read_options (args, &command, error))
    return NULL;
  command.argv = g_new0 (char *, 4);
  command.argv[0] = g_strdup ("/bin/sh");
  command.argv[1] = g_strdup ("-c");
  command.argv[2] = g_steal_pointer (&line);
  return run_command (task, &command, error);
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "run",
                        "runs a command given as its words; exit status, stdout and stderr",
                        exec_run);
  pool_task_module_add (module, "shell",
                        "runs a command line with /bin/sh; exit status, stdout and stderr",
                        exec_shell);
}
