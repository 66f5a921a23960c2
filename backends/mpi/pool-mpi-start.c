/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-start.h"

#include "libpool/pool-error.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a call may take for which there is no other form, seconds. */
#define CALL_SECONDS 60
/* At the end nobody is there any more who would miss something. */
#define END_SECONDS 5

/*
 * Open MPI's parameters. What the user has set stays. A rank that is lost must not end the others; on one machine nobody has to be let
 * in from outside; and more ranks than CPUs are what a pool's agents are, which leave the CPUs to their workers.
 */
static const struct
{
  const char *name, *value;
  gboolean only_alone; /* not in a job that somebody else has set up */
} parameters[] = {
  { "OMPI_MCA_orte_enable_recovery", "1", TRUE },
  { "OMPI_MCA_rmaps_base_oversubscribe", "1", TRUE },
  { "OMPI_MCA_hwloc_base_binding_policy", "none", TRUE },
  { "OMPI_MCA_btl_tcp_if_include", "lo", TRUE },
  { "OMPI_MCA_oob_tcp_if_include", "lo", TRUE },
  /* most messages of a busy pool, which then need no answer of the other rank before they can go */
  { "OMPI_MCA_btl_vader_eager_limit", "32768", FALSE },
  /* workers are forked by a process that was made before: a warning of what does not happen */
  { "OMPI_MCA_mpi_warn_on_fork", "0", FALSE },
};

void
pool_mpi_set_environment (gboolean is_alone)
{
  /* a job of several machines has other interfaces than the loopback */
  gboolean has_machines = g_getenv ("OMPI_MCA_orte_default_hostfile") != NULL || g_getenv ("SLURM_JOB_ID") != NULL;

  for (guint i = 0; i < G_N_ELEMENTS (parameters); i++)
    if ((is_alone || !parameters[i].only_alone) && !(has_machines && g_str_has_suffix (parameters[i].name, "if_include")))
      g_setenv (parameters[i].name, parameters[i].value, FALSE);
  if (geteuid () != 0 || !is_alone)
    return;
  g_setenv ("OMPI_ALLOW_RUN_AS_ROOT", "1", FALSE);
  g_setenv ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", FALSE);
}

void
pool_mpi_describe_error (int code, const char *what, GError **error)
{
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;

  MPI_Error_string (code, text, &length);
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "%s: %s", what, g_strstrip (text));
}

/* --- calls that wait --- */

static void
take_alarm (int signum)
{
  static const char text[] = "pool-worker: the MPI did not come back from a call\n";
  gssize n = write (STDERR_FILENO, text, sizeof text - 1);

  (void) n;
  _exit (1);
}

static void
set_guard (guint seconds)
{
  struct sigaction action = { .sa_handler = take_alarm };
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGALRM);
  sigaction (SIGALRM, &action, NULL);
  sigprocmask (SIG_UNBLOCK, &signals, NULL);
  alarm (seconds);
}

void
pool_mpi_guard_begin (void)
{
  set_guard (CALL_SECONDS);
}

void
pool_mpi_guard_end (void)
{
  alarm (0);
}

/* --- start and end --- */

gboolean
pool_mpi_start (GError **error)
{
  int provided, code;

  pool_mpi_guard_begin ();
  code = MPI_Init_thread (NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  pool_mpi_guard_end ();
  if (code != MPI_SUCCESS)
    {
      pool_mpi_describe_error (code, "MPI_Init", error);
      return FALSE;
    }
  MPI_Comm_set_errhandler (MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler (MPI_COMM_SELF, MPI_ERRORS_RETURN);
  return TRUE;
}

void
pool_mpi_exit (int status, gboolean in_order)
{
  fflush (NULL);
  if (in_order)
    {
      set_guard (END_SECONDS);
      MPI_Finalize ();
    }
  _exit (status);
}
