/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>

typedef struct
{
  const char *name;
  const char *summary;
  int (*main) (char **argv);
} Command;

static const Command commands[] = {
  { "backends", "list the backends, and why one cannot be used", pool_backends_main },
  { "exec", "run a command for each input", pool_exec_main },
  { "map", "run a task for each input", pool_map_main },
  { "tasks", "list the tasks of the task modules", pool_tasks_main },
};

static void
print_help (void)
{
  g_print ("Usage:\n  pool COMMAND [OPTION…] …\n\nCommands:\n");
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    g_print ("  %-10s %s\n", commands[i].name, commands[i].summary);
  g_print ("\nOptions:\n"
           "  -h, --help      show this help; “pool COMMAND --help” that of a command\n"
           "  --version       show the version\n"
           "\nExamples:\n"
           "  pool map checksum.sha256 *.iso > SHA256SUMS\n"
           "  pool exec -j4 -- gzip -k {} ::: *.log\n");
}

static const Command *
find_command (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (name, commands[i].name))
      return &commands[i];
  return NULL;
}

static int
unknown_command (const char *name)
{
  g_autofree char *shown = g_utf8_make_valid (name, -1);
  const char *what = *name == '-' ? "option" : "command";
  g_autoptr (GError) error = g_error_new (G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                                          "There is no %s “%s”", what, shown);

  return pool_cli_usage_error (error);
}

/* “pool help COMMAND” is “pool COMMAND --help” */
static int
run_help (const char *name)
{
  char *help_argv[] = { (char *) name, (char *) "--help", NULL };
  const Command *command = name != NULL ? find_command (name) : NULL;

  if (name != NULL && command == NULL)
    return unknown_command (name);
  if (command != NULL)
    {
      g_autofree char *prgname = g_strconcat ("pool ", command->name, NULL);

      g_set_prgname (prgname);
      return command->main (help_argv);
    }
  print_help ();
  return POOL_CLI_EXIT_OK;
}

/*
 * As it is: GLib's own handlers turn what the locale's charset lacks into “?”, in file names and
 * JSON too.
 */
static void
print_raw (const char *text)
{
  fputs (text, stdout);
}

static void
print_error_raw (const char *text)
{
  fputs (text, stderr);
}

/* A list that did not arrive, on a full disk, is a failure. */
static int
check_stdout (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  g_printerr ("pool: Cannot write: %s\n", g_strerror (errno));
  return status == POOL_CLI_EXIT_OK ? POOL_CLI_EXIT_FAILED : status;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *prgname = NULL;
  const Command *command;

  setlocale (LC_ALL, "");
  g_set_prgname ("pool");
  g_set_print_handler (print_raw);
  g_set_printerr_handler (print_error_raw);
  /*
   * first, while the program has one thread and little memory: workers are forked from what it is
   * now
   */
  if (!pool_init (&error))
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);

  if (argc < 2)
    {
      error = g_error_new_literal (G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Which command?");
      return pool_cli_usage_error (error);
    }
  if (g_str_equal (argv[1], "--version"))
    {
      g_print ("pool (libpool) %s\n", POOL_VERSION_S);
      return POOL_CLI_EXIT_OK;
    }
  if (g_str_equal (argv[1], "help") || g_str_equal (argv[1], "--help") ||
      g_str_equal (argv[1], "-h"))
    return run_help (argv[2]);

  command = find_command (argv[1]);
  if (command == NULL)
    return unknown_command (argv[1]);
  prgname = g_strconcat ("pool ", command->name, NULL);
  g_set_prgname (prgname);
  return check_stdout (command->main (argv + 1));
}
