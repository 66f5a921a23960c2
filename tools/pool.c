/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli.h"

#include "libpool/pool-copy-private.h"

#include <errno.h>
#include <unistd.h>

typedef struct
{
  const char *name;
  const char *summary;
  int (*main) (char **argv);
} Command;

#ifdef HAVE_KEYGEN
/* Made by a program of its own, which is where this one is. Returns if that cannot be run. */
static int
run_keygen (char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *self = g_file_read_link ("/proc/self/exe", &error);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : NULL;
  g_autofree char *program = folder != NULL ? g_build_filename (folder, "pool-keygen", NULL) : NULL;

  if (program == NULL)
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  execv (program, argv);
  g_printerr ("pool: Cannot run %s: %s\n", program, g_strerror (errno));
  return POOL_CLI_EXIT_FAILED;
}
#endif

/* An agent: the helper that the library runs for its own pools, run by hand. Returns if that cannot be run. */
static int
run_worker (char **argv)
{
  g_autofree char *program = pool_copy_find_worker_program ();
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) words = NULL;
  gboolean is_rank = g_strv_contains ((const char *const *) argv, "--mpi");

  g_strv_builder_add_many (builder, "pool worker", is_rank ? "mpi" : "zmq", "agent", NULL);
  for (char **word = argv + 1; *word != NULL; word++)
    if (!g_str_equal (*word, "--mpi"))
      g_strv_builder_add (builder, *word);
  words = g_strv_builder_end (builder);
  execv (program, words);
  g_printerr ("pool: Cannot run %s: %s\n", program, g_strerror (errno));
  return POOL_CLI_EXIT_FAILED;
}

static const Command commands[] = {
  { "backends", "list the backends, and why one cannot be used", pool_backends_main },
  { "bench", "measure how fast a pool is on this machine", pool_bench_main },
#ifdef HAVE_SERVICE
  { "cancel", "cancel jobs of the service", pool_cancel_main },
#endif
  { "exec", "run a command for each input", pool_exec_main },
#ifdef HAVE_SERVICE
  { "jobs", "list the jobs that the service has", pool_jobs_main },
#endif
#ifdef HAVE_KEYGEN
  { "keygen", "make keys for a pool that others connect to", run_keygen },
#endif
  { "map", "run a task for each input", pool_map_main },
#ifdef HAVE_SERVICE
  { "submit", "give the service a job", pool_submit_main },
#endif
  { "tasks", "list the tasks of the task modules", pool_tasks_main },
#ifdef HAVE_SERVICE
  { "top", "show your pools", pool_top_main },
  { "wait", "wait for jobs of the service", pool_wait_main },
#endif
  { "worker", "run tasks of a pool on another machine", run_worker },
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

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *prgname = NULL;
  const Command *command;

  pool_cli_begin ("pool");
#ifdef HAVE_KEYGEN
  if (argc >= 2 && g_str_equal (argv[1], "keygen"))
    return run_keygen (argv + 1);
#endif
  /* of several ranks this is one that has no pool */
  if (argc >= 2 && g_str_equal (argv[1], "worker"))
    return run_worker (argv + 1);
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
  return pool_cli_end (command->main (argv + 1));
}
