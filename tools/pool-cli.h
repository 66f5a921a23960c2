/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

/* What the program's exit status says; see the manual page. */
typedef enum
{
  POOL_CLI_EXIT_OK = 0,
  POOL_CLI_EXIT_FAILED = 1,
  POOL_CLI_EXIT_USAGE = 2,
  POOL_CLI_EXIT_SIGNAL = 128, /* + its number */
} PoolCliExit;

/* @argv: the command's name and its arguments; changed, but not freed */
int pool_backends_main (char **argv);
int pool_bench_main (char **argv);
int pool_exec_main (char **argv);
int pool_map_main (char **argv);
int pool_tasks_main (char **argv);
/* of the service on the bus, if it is built */
int pool_cancel_main (char **argv);
int pool_jobs_main (char **argv);
int pool_submit_main (char **argv);
int pool_top_main (char **argv);
int pool_wait_main (char **argv);

void pool_cli_begin (const char *name);
int pool_cli_end (int status);
int pool_cli_usage_error (const GError *error);
int pool_cli_start_error (const GError *error);
int pool_cli_error (const GError *error, int status);
gboolean pool_cli_parse (GOptionContext *context, const GOptionEntry *entries, char **argv,
                         gboolean *version, GError **error);

G_END_DECLS
