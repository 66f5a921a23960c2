/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"

#include "libpool/pool-engine-private.h"
#include "libpool/pool-log-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * What a process is that was made from nothing but its arguments: one that runs a program, or a child of the copy that
 * pool_init() keeps. The arguments are those of pool-fork-start.c and, for a worker, of exec_worker() in pool-zygote.c.
 */

/* What was to survive the exec is not for programs that tasks run. */
static int
take_fd (const char *number)
{
  int fd = atoi (number);

  fcntl (fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

/* Is this a pool's program, whose functions tasks can name, rather than pool-worker? */
static void
take_host (PoolZygote *zygote, const PoolEngine *engine)
{
  if (engine == NULL)
    return;
  zygote->named = engine->functions;
  zygote->fork_func = engine->settings.backend.fork_func;
  zygote->fork_data = engine->settings.backend.fork_data;
  zygote->keeps_fds = engine->settings.backend.keep_descriptors && zygote->fork_func != NULL;
}

/* argv: … zygote METHOD WORKERS shm control event manager report [COMMAND…] */
static int
be_zygote (PoolZygote *zygote, int argc, char **argv)
{
  guint sandbox, keeps_fds;

  zygote->exec_workers = g_str_equal (argv[3], "spawn");
  if (sscanf (argv[4], "%u:%u:%u:%u", &zygote->n_workers, &zygote->incarnation, &sandbox, &keeps_fds) != 4)
    return 2;
  zygote->keeps_fds |= keeps_fds != 0;
  zygote->sandbox = sandbox;
  zygote->control_fd = take_fd (argv[6]);
  zygote->event_fd = take_fd (argv[7]);
  zygote->manager_fd = take_fd (argv[8]);
  zygote->report_fd = take_fd (argv[9]);
  zygote->program = argv[0];
  if (argc > 10)
    zygote->command = (const char *const *) argv + 10;
  pool_zygote_main (zygote);
}

/* argv: … worker shm event NUMBER report SANDBOX */
static int
be_worker (PoolZygote *zygote, char **argv)
{
  zygote->event_fd = take_fd (argv[4]);
  zygote->report_fd = take_fd (argv[6]);
  zygote->sandbox = atoi (argv[7]);
  /* by this name the manager knows it from another process of the same pid */
  prctl (PR_SET_NAME, "pool-worker");
  if (zygote->named != NULL && zygote->shm->header->log_domains_size > 0)
    zygote->has_log_writer = !pool_log_writer_is_free ();
  return pool_fork_worker_main (zygote, atoi (argv[5]));
}

int
pool_fork_backend_worker_main (PoolBackend *backend, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  PoolZygote zygote = { .their_fd = -1 };
  gboolean is_zygote = argc >= 10 && g_str_equal (argv[2], "zygote");
  int status;

  if (!is_zygote && !(argc >= 8 && g_str_equal (argv[2], "worker")))
    return 2;

  zygote.shm = pool_shm_open (atoi (argv[is_zygote ? 5 : 3]), &error);
  if (zygote.shm == NULL)
    {
      /* a program of its own has nobody else to tell */
      if (backend->engine == NULL)
        g_printerr ("pool-worker: %s\n", error->message);
      return 1;
    }
  fcntl (zygote.shm->fd, F_SETFD, FD_CLOEXEC);
  take_host (&zygote, backend->engine);
  status = is_zygote ? be_zygote (&zygote, argc, argv) : be_worker (&zygote, argv);
  /* what the libraries of tasks have registered for the end of a program is not run for a plain worker */
  if (status == 0 && backend->engine == NULL)
    _exit (0);
  return status;
}
