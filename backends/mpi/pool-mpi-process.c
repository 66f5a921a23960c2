/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-process.h"

#include "libpool/pool-copy-private.h"
#include "libpool/pool-error.h"
#include "libpool/pool-spawn-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long an MPI may take until it runs, ms: the other ranks have to come, too. */
#define READY_MS (70 * 1000)
/* How long it may take to end, ms, when its pool has. */
#define END_MS 3000
#define ERRORS_MAX 4096

/* How long a pool waits for the ranks of another one, which may be at its end, µs. */
#define RELEASE_US (5 * G_USEC_PER_SEC)

static GMutex lock; /* of the process of rank 0 */
static GCond released;
static PoolMpiProcess *rank_process;

/* --- start --- */

static int
spawn (PoolMpiProcess *self, char **argv, int fd, int error_fd)
{
  posix_spawn_file_actions_t actions;
  int result;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_addopen (&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (error_fd >= 0)
    posix_spawn_file_actions_adddup2 (&actions, error_fd, STDERR_FILENO);
  /* onto itself: clears close-on-exec */
  posix_spawn_file_actions_adddup2 (&actions, fd, fd);
  result = pool_spawn ((const char *const *) argv, &actions, POSIX_SPAWN_SETSID, &self->pid);
  posix_spawn_file_actions_destroy (&actions);
  return result;
}

static char **
make_argv (int fd, const char *const *info)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *program = pool_copy_find_worker_program ();
  g_autofree char *number = g_strdup_printf ("%d", fd);
  g_autofree char *pid = g_strdup_printf ("%d", (int) getpid ());

  g_strv_builder_add_many (builder, program, "mpi", "bridge", number, pid, NULL);
  if (info != NULL)
    g_strv_builder_addv (builder, (const char **) info);
  return g_strv_builder_end (builder);
}

PoolMpiProcess *
pool_mpi_process_start (const char *const *info, gboolean keep_errors, GError **error)
{
  PoolMpiProcess *self;
  int sockets[2], errors[2] = { -1, -1 }, result;
  g_auto (GStrv) argv = NULL;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0 ||
      (keep_errors && pipe2 (errors, O_CLOEXEC | O_NONBLOCK) != 0))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No socket for a pool: %s", g_strerror (errno));
      return NULL;
    }
  self = g_new0 (PoolMpiProcess, 1);
  argv = make_argv (sockets[1], info);
  if (keep_errors)
    fcntl (errors[1], F_SETFL, 0);
  result = spawn (self, argv, sockets[1], errors[1]);
  close (sockets[1]);
  if (errors[1] >= 0)
    close (errors[1]);
  self->error_fd = errors[0];
  self->errors = g_string_new (NULL);
  self->owner = getpid ();
  pool_mpi_link_init (&self->link, sockets[0]);
  self->link.heap = pool_share_heap_new ();
  if (result == 0)
    return self;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot run its helper %s: %s", argv[0],
               g_strerror (result));
  self->pid = 0;
  pool_mpi_process_free (self);
  return NULL;
}

/* --- what it says --- */

void
pool_mpi_process_read_errors (PoolMpiProcess *self)
{
  char text[4096];
  gssize n = -1;

  while (self->error_fd >= 0 && (n = read (self->error_fd, text, sizeof text)) > 0)
    {
      /* what tasks on other machines write comes this way, too */
      if (self->is_ready)
        n = write (STDERR_FILENO, text, n);
      else if (self->errors->len < ERRORS_MAX)
        g_string_append_len (self->errors, text, n);
    }
  /* it would be readable for ever */
  if (self->error_fd >= 0 && n == 0)
    {
      close (self->error_fd);
      self->error_fd = -1;
    }
}

char *
pool_mpi_process_describe_end (PoolMpiProcess *self)
{
  siginfo_t info = { 0 };
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < END_MS && self->pid > 0 && waitid (P_PID, self->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
                    info.si_pid == 0;
       i++)
    g_usleep (1000);
  if (info.si_pid == 0)
    g_string_append (text, "it does not answer");
  else if (info.si_code == CLD_EXITED)
    g_string_append_printf (text, "it exited with status %d", info.si_status);
  else
    g_string_append_printf (text, "it was killed by signal %d (%s)", info.si_status, g_strsignal (info.si_status));
  pool_mpi_process_read_errors (self);
  if (self->errors->len > 0)
    {
      g_autofree char *said = g_utf8_make_valid (self->errors->str, self->errors->len);

      g_string_append_printf (text, "; it said: %s", g_strstrip (said));
    }
  return g_string_free (text, FALSE);
}

static gboolean
fail (PoolMpiProcess *self, const char *why, GError **error)
{
  g_autofree char *how = why == NULL ? pool_mpi_process_describe_end (self) : NULL;

  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The MPI does not start: %s", why != NULL ? why : how);
  return FALSE;
}

static gboolean
take_answer (PoolMpiProcess *self, const PoolMpiFrame *frame, GPtrArray *parts, GError **error)
{
  if (frame->kind == POOL_MPI_READY)
    {
      self->n_ranks = frame->value;
      self->is_ready = TRUE;
      return TRUE;
    }
  if (parts->len > 0)
    {
      gsize size;
      const char *data = g_bytes_get_data (parts->pdata[0], &size);
      g_autofree char *text = g_utf8_make_valid (data, size);

      return fail (self, text, error);
    }
  return fail (self, "it says what cannot be", error);
}

gboolean
pool_mpi_process_open (PoolMpiProcess *self, GError **error)
{
  gint64 until = g_get_monotonic_time () + READY_MS * 1000;
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  if (!pool_mpi_link_send (&self->link, POOL_MPI_OPEN, 0, 0, NULL))
    return fail (self, NULL, error);
  for (;;)
    {
      struct pollfd fds[] = { { self->link.fd, POLLIN, 0 }, { self->error_fd, POLLIN, 0 } };
      gint64 left = until - g_get_monotonic_time ();
      PoolMpiFrame frame;
      int fd;

      while (pool_mpi_link_receive (&self->link, &frame, parts))
        {
          if (frame.kind == POOL_MPI_READY || frame.kind == POOL_MPI_FAILED)
            return take_answer (self, &frame, parts, error);
          /* what is left of the pool before this one is not for this */
          if (frame.kind == POOL_MPI_DIRECT && (fd = pool_mpi_link_take_fd (&self->link)) >= 0)
            close (fd);
        }
      if (self->link.is_broken)
        return fail (self, NULL, error);
      if (left <= 0)
        return fail (self, "it, or another rank of the job, has not come within 70 s", error);
      poll (fds, self->error_fd >= 0 ? 2 : 1, (int) (left / 1000) + 1);
      pool_mpi_process_read_errors (self);
    }
}

/* --- end --- */

void
pool_mpi_process_free (PoolMpiProcess *self)
{
  gboolean is_ours = self->owner == getpid ();
  int status;

  pool_mpi_link_clear (&self->link);
  /* that was the sign to end; in a forked child it is none, as the program has the other */
  for (guint i = 0; is_ours && self->pid > 0 && waitpid (self->pid, &status, WNOHANG) == 0; i++)
    {
      if (i == END_MS)
        kill (self->pid, SIGKILL);
      g_usleep (1000);
    }
  if (self->error_fd >= 0)
    close (self->error_fd);
  g_string_free (self->errors, TRUE);
  g_free (self);
}

/* --- rank 0 --- */

PoolMpiProcess *
pool_mpi_process_take_rank (GError **error)
{
  gint64 until = g_get_monotonic_time () + RELEASE_US;
  PoolMpiProcess *self = NULL;

  g_mutex_lock (&lock);
  while (rank_process != NULL && rank_process->is_used && g_cond_wait_until (&released, &lock, until))
    ;
  if (rank_process != NULL && rank_process->owner != getpid ())
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "This process was forked from rank 0 of a job, which has the other ranks: start the pool there");
  else if (rank_process != NULL && rank_process->is_used)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "Another pool has the ranks of this job: one at a time can, so close and join that first");
  else
    {
      if (rank_process == NULL)
        rank_process = pool_mpi_process_start (NULL, FALSE, error);
      self = rank_process;
    }
  if (self != NULL)
    self->is_used = TRUE;
  g_mutex_unlock (&lock);
  return self;
}

gboolean
pool_mpi_process_start_rank (GError **error)
{
  gboolean ok;

  g_mutex_lock (&lock);
  if (rank_process == NULL)
    rank_process = pool_mpi_process_start (NULL, FALSE, error);
  ok = rank_process != NULL;
  g_mutex_unlock (&lock);
  return ok;
}


/* It stays until the program ends. */
void
pool_mpi_process_release_rank (PoolMpiProcess *self)
{
  g_mutex_lock (&lock);
  self->is_used = FALSE;
  g_cond_broadcast (&released);
  g_mutex_unlock (&lock);
}

/*
 * At the end of the program. By mpirun's rules a rank that has entered a job must leave it in order before its process ends; and it is the
 * program that mpirun takes for the rank.
 */
static void __attribute__ ((destructor))
leave_job (void)
{
  if (rank_process != NULL && rank_process->owner == getpid ())
    g_clear_pointer (&rank_process, pool_mpi_process_free);
}
