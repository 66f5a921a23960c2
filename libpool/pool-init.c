/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-init.h"

#include "pool-copy-private.h"
#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-module-private.h"
#include "pool-pass-fds-private.h"
#include "pool-ranks-private.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REQUEST_MAX 1024

static GMutex lock; /* of the conversation with the copy */
static int copy_fd = -1;
static guint copy_generation;
static GArray *copy_ranges; /* Range: what was mapped when the copy was made */

typedef struct
{
  gsize start, end;
} Range;

/* --- the copy --- */

static gssize
receive_request (int fd, char *request, PoolPassedFds *passed)
{
  struct iovec io = { request, REQUEST_MAX };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };

  return pool_pass_fds_receive (fd, &message, passed, 0);
}

/* The request: the arguments, each with its zero. */
static void
be_child (const char *request, gsize size, const int *fds, guint n_fds)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();

  g_ptr_array_add (argv, pool_copy_find_worker_program ());
  for (const char *p = request; p < request + size; p += strlen (p) + 1)
    g_ptr_array_add (argv, (gpointer) p);
  for (guint i = 0; i < n_fds; i++)
    g_ptr_array_add (argv, g_strdup_printf ("%d", fds[i]));
  g_ptr_array_add (argv, NULL);
  _exit (pool_copy_run_worker (argv->len - 1, (char **) argv->pdata));
}

static void
serve (int fd, int program_fd)
{
  struct pollfd fds[2] = { { fd, POLLIN, 0 }, { program_fd, POLLIN, 0 } };
  char request[REQUEST_MAX + 1] = { 0 };
  PoolPassedFds received;

  for (;;)
    {
      gssize n;
      int status = 0;
      pid_t pid;

      if (poll (fds, 2, -1) < 0)
        continue;
      /* the program is gone */
      if (fds[1].revents != 0 || (n = receive_request (fd, request, &received)) <= 0)
        _exit (0);
      request[n] = '\0';

      pid = fork ();
      if (pid == 0)
        {
          close (fd);
          close (program_fd);
          be_child (request, n, received.fds, received.n_fds);
        }
      if (pid < 0)
        status = errno;
      for (guint i = 0; i < received.n_fds; i++)
        close (received.fds[i]);
      send (fd, &status, sizeof status, MSG_NOSIGNAL);
    }
}

static void
be_copy (int fd, int program_fd)
{
  sigset_t none;

  setpgid (0, 0);
  for (int i = 1; i < NSIG; i++)
    signal (i, SIG_DFL);
  /* its children are none of its business once they run */
  signal (SIGCHLD, SIG_IGN);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_NAME, "pool-copy");
  pool_ranks_forget ();
  __fpurge (stdout);
  __fpurge (stderr);

  /* descriptors of the program would stay open in it for ever */
  fd = fcntl (fd, F_DUPFD_CLOEXEC, 100);
  program_fd = fcntl (program_fd, F_DUPFD_CLOEXEC, 100);
  close_range (3, MIN (fd, program_fd) - 1, 0);
  close_range (MIN (fd, program_fd) + 1, MAX (fd, program_fd) - 1, 0);
  close_range (MAX (fd, program_fd) + 1, ~0U, 0);
  serve (fd, program_fd);
}

static int
remember_range (struct dl_phdr_info *info, size_t size, void *data)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X))
      {
        Range range;

        range.start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        range.end = range.start + info->dlpi_phdr[i].p_memsz;
        g_array_append_val (copy_ranges, range);
      }
  return 0;
}

gboolean
pool_copy_make (GError **error)
{
  int sockets[2], program_fd;
  guint n_threads;
  pid_t pid = -1;

  if (pool_copy_exists ())
    return TRUE;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "pool_init: %s", g_strerror (errno));
      return FALSE;
    }
  program_fd = syscall (SYS_pidfd_open, getpid (), 0);
  n_threads = pool_fork_guard_lock ();
  if (n_threads == 1 && program_fd >= 0)
    pid = fork ();
  if (pid == 0)
    {
      pool_fork_guard_reset_in_child ();
      be_copy (sockets[1], program_fd);
    }
  pool_fork_guard_unlock ();

  close (sockets[1]);
  if (program_fd >= 0)
    close (program_fd);
  if (pid > 0)
    {
      copy_fd = sockets[0];
      copy_generation = pool_fork_generation ();
      copy_ranges = g_array_new (FALSE, FALSE, sizeof (Range));
      dl_iterate_phdr (remember_range, NULL);
      return TRUE;
    }

  close (sockets[0]);
  if (n_threads > 1)
    g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                 "pool_init must be called before the program makes threads; it has %u", n_threads);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "pool_init: %s", g_strerror (errno));
  return FALSE;
}

/**
 * pool_init:
 * @error: return location for a #GError
 *
 * Keeps a copy of the program, as it is now, for pools that are started later, when the program has threads: workers
 * are then forked from the copy and have the program's functions, but none of what it did since. Call it first thing in
 * `main`. A program that starts its pools before it makes threads, or whose tasks are all in modules, need not call
 * it. Calling it again is harmless.
 *
 * The copy is one idle process, which ends with the program.
 *
 * In a program that `mpirun`, or `srun` with a plugin for MPI, has started as several ranks, this function returns in
 * rank 0 only. The others do the tasks of its pools whose [property@Manager:backend] is `mpi`, and end with it. A program
 * whose ranks are to have pools of their own does not call it, or is run with `POOL_RANKS=ignore` in its environment.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE if the program has threads already, or %POOL_ERROR_BACKEND if no
 *   process can be made
 *
 * Since: 1.0
 */
gboolean
pool_init (GError **error)
{
  return pool_copy_exists () || (pool_copy_make (error) && pool_ranks_join (error));
}

gboolean
pool_copy_exists (void)
{
  return copy_fd >= 0 && copy_generation == pool_fork_generation ();
}

gboolean
pool_copy_has_address (gconstpointer address)
{
  for (guint i = 0; copy_ranges != NULL && i < copy_ranges->len; i++)
    {
      const Range *range = &g_array_index (copy_ranges, Range, i);

      if (GPOINTER_TO_SIZE (address) >= range->start && GPOINTER_TO_SIZE (address) < range->end)
        return TRUE;
    }
  return FALSE;
}

static gboolean
send_request (GByteArray *request, const int *fds, guint n_fds)
{
  struct iovec io = { request->data, request->len };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  gssize n = pool_pass_fds_send (copy_fd, &message, fds, n_fds, MSG_NOSIGNAL);

  return n == (gssize) request->len;
}

/* An answer that is left would be taken for that to the next request. */
static gboolean
receive_answer (int *status)
{
  gssize n;

  do
    n = recv (copy_fd, status, sizeof *status, 0);
  while (n < 0 && errno == EINTR);
  return n == sizeof *status;
}

gboolean
pool_copy_start_child (const char *backend, const char *const *args, const int *fds, guint n_fds,
                       GError **error)
{
  g_autoptr (GByteArray) request = g_byte_array_new ();
  int status = EIO;

  g_byte_array_append (request, (const guint8 *) backend, strlen (backend) + 1);
  for (const char *const *arg = args; *arg != NULL; arg++)
    g_byte_array_append (request, (const guint8 *) *arg, strlen (*arg) + 1);
  g_assert (request->len <= REQUEST_MAX && n_fds <= POOL_PASS_FDS_MAX);

  g_mutex_lock (&lock);
  if (!send_request (request, fds, n_fds) || !receive_answer (&status))
    status = status != 0 ? status : EIO;
  g_mutex_unlock (&lock);
  if (status == 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
               "The copy of the program that pool_init() made cannot fork: %s", g_strerror (status));
  return FALSE;
}

char *
pool_copy_find_worker_program (void)
{
  const char *given = getauxval (AT_SECURE) ? NULL : g_getenv ("POOL_WORKER");

  /* never looked for in PATH or the working directory */
  return g_strdup (given != NULL && g_path_is_absolute (given) ? given : POOL_WORKER_PROGRAM);
}

int
pool_copy_run_worker (int argc, char **argv)
{
  g_autoptr (PoolBackend) backend = NULL;
  g_autoptr (GError) error = NULL;
  PoolBackendClass *klass;

  if (argc < 3)
    {
      fprintf (stderr, "pool-worker: libpool runs this program; there is no use in doing so by hand\n");
      return 2;
    }
  backend = pool_module_new_backend (argv[1], &error);
  if (backend == NULL)
    {
      fprintf (stderr, "pool-worker: %s\n", error->message);
      return 1;
    }
  klass = POOL_BACKEND_GET_CLASS (backend);
  return klass->worker_main != NULL ? klass->worker_main (backend, argc, argv) : 2;
}
