/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exec-child.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Runs a command and reads what it writes, with poll() and waitpid() on this one child: no main
 * context, no SIGCHLD handler and no wait for other children, so that it can be used in any thread
 * of any program.
 *
 * The command is done when it has exited and what it wrote has been read. A process that it leaves
 * behind may hold the pipes open for ever, so their end is not waited for.
 */

/* From SIGTERM to SIGKILL when a task is cancelled. */
#define GRACE_MS 500
#define READ_MAX (64 * 1024)

typedef struct
{
  pid_t pid; /* the guard's, which leads the command's group and passes its status on */
  int pidfd;
  int fds[2]; /* its stdout and stderr; -1 when read to the end */
  gboolean exited;
  gint64 kill_at; /* 0: nobody wants to end it */
} ExecChild;

void
exec_command_clear (ExecCommand *command)
{
  g_clear_pointer (&command->argv, g_strfreev);
  g_clear_pointer (&command->envp, g_strfreev);
  g_clear_pointer (&command->cwd, g_free);
  g_clear_pointer (&command->input, g_bytes_unref);
}

void
exec_outcome_clear (ExecOutcome *outcome)
{
  g_clear_pointer (&outcome->output, g_byte_array_unref);
  g_clear_pointer (&outcome->errors, g_byte_array_unref);
}

static gboolean
set_errno_error (const char *what, GError **error)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", what,
               g_strerror (saved_errno));
  return FALSE;
}

/*
 * The input goes into a memory file and not through a pipe: a command that does not read it can
 * neither block the worker nor hit it with SIGPIPE.
 */
static int
make_input (GBytes *input, GError **error)
{
  gsize size, done = 0;
  const char *data = g_bytes_get_data (input, &size);
  int fd = memfd_create ("pool-exec-stdin", MFD_CLOEXEC);

  if (fd < 0)
    {
      set_errno_error ("Cannot make a memory file for the input", error);
      return -1;
    }
  while (done < size)
    {
      gssize n = pwrite (fd, data + done, size - done, (off_t) done);

      if (n < 0 && errno != EINTR)
        {
          set_errno_error ("Cannot write the input to a memory file", error);
          close (fd);
          return -1;
        }
      done += (gsize) MAX (n, 0);
    }
  return fd;
}

static void
close_all (void)
{
  if (syscall (SYS_close_range, 0U, ~0U, 0U) == 0)
    return;
  /* a kernel before 5.9 */
  for (int fd = (int) sysconf (_SC_OPEN_MAX) - 1; fd >= 0; fd--)
    close (fd);
}

/*
 * The guard: waits for the command or for the end of its own parent, the worker. A worker that is
 * killed cannot end its command any more, and the kernel would do so for a child, but not for what
 * that has started. The guard ends the whole group, and itself with it.
 */
static void G_GNUC_NORETURN
guard (pid_t command, pid_t worker, const sigset_t *all)
{
  int status;

  close_all ();
  prctl (PR_SET_NAME, "pool-exec-guard");
  for (;;)
    {
      if (waitpid (command, &status, WNOHANG) == command)
        _exit (WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status));
      if (getppid () != worker)
        kill (0, SIGKILL);
      sigwaitinfo (all, NULL);
    }
}

/* Runs in the child, between fork and exec: nothing here may take a lock or allocate. */
static void
set_up_child (gpointer user_data)
{
  static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2 };
  pid_t worker = GPOINTER_TO_INT (user_data);
  pid_t guard_pid = getpid ();
  pid_t command;
  sigset_t all;

  /* the worker may ignore or block what a command expects to be ended by */
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    signal (signals[i], SIG_DFL);
  /* the guard takes its signals one by one, so that it misses none, and none ends it */
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);
  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, SIGUSR1);

  command = fork ();
  if (command > 0)
    guard (command, worker, &all);
  /* without a guard, as far as the kernel goes */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != (command == 0 ? guard_pid : worker))
    _exit (1);
  sigemptyset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);
}

static gboolean
exec_child_spawn (ExecChild *child, const ExecCommand *command, GError **error)
{
  GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES | G_SPAWN_SEARCH_PATH;
  int input_fd = -1;
  gboolean ok;

  if (command->input != NULL)
    {
      input_fd = make_input (command->input, error);
      if (input_fd < 0)
        return FALSE;
    }
  if (command->envp != NULL)
    flags |= G_SPAWN_SEARCH_PATH_FROM_ENVP;
  ok = g_spawn_async_with_pipes_and_fds (command->cwd, (const char *const *) command->argv,
                                         (const char *const *) command->envp, flags, set_up_child,
                                         GINT_TO_POINTER (getpid ()), input_fd, -1, -1, NULL, NULL,
                                         0, &child->pid, NULL, &child->fds[0], &child->fds[1],
                                         error);
  if (input_fd >= 0)
    close (input_fd);
  if (!ok)
    return FALSE;

  g_unix_set_fd_nonblocking (child->fds[0], TRUE, NULL);
  g_unix_set_fd_nonblocking (child->fds[1], TRUE, NULL);
  /* -1 on a kernel before 5.3: then the end of its output is taken for its end */
  child->pidfd = (int) syscall (SYS_pidfd_open, child->pid, 0);
  return TRUE;
}

/* Reads at most @limit bytes of what is there now. */
static gboolean
read_some (int *fd, GByteArray *into, gsize limit, GError **error)
{
  while (limit > 0 && *fd >= 0)
    {
      guint start = into->len;
      gsize size = MIN (limit, READ_MAX);
      gssize n;

      if (start > G_MAXUINT - READ_MAX)
        {
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                               "The command wrote more than 4 GiB: let it write to a file");
          return FALSE;
        }
      g_byte_array_set_size (into, start + (guint) size);
      n = read (*fd, into->data + start, size);
      g_byte_array_set_size (into, start + (guint) MAX (n, 0));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return TRUE;
      if (n < 0)
        return set_errno_error ("Cannot read from the command", error);
      if (n == 0)
        {
          close (*fd);
          *fd = -1;
        }
      limit -= (gsize) n;
    }
  return TRUE;
}

/*
 * Once the command has exited, what is in the pipe now is all that it wrote; what comes later is
 * from processes that it left behind, and these may never stop.
 */
static gboolean
read_stream (ExecChild *child, gsize stream, short events, GByteArray *into, GError **error)
{
  int available = READ_MAX;

  if (child->fds[stream] < 0 || (events == 0 && !child->exited))
    return TRUE;
  if (child->exited && ioctl (child->fds[stream], FIONREAD, &available) < 0)
    return set_errno_error ("Cannot read from the command", error);
  return read_some (&child->fds[stream], into, (gsize) available, error);
}

static void
end_child (ExecChild *child)
{
  gint64 now = g_get_monotonic_time ();

  if (child->kill_at == 0)
    {
      child->kill_at = now + GRACE_MS * 1000;
      kill (-child->pid, SIGTERM);
    }
  else if (now >= child->kill_at)
    {
      kill (-child->pid, SIGKILL);
      child->kill_at = G_MAXINT64;
    }
}

/* One round: waits until something happens, and takes it in. */
static gboolean
exec_child_pump (ExecChild *child, GCancellable *cancellable, GPollFD *cancel_fd,
                 ExecOutcome *outcome, GError **error)
{
  gboolean cancelled = g_cancellable_is_cancelled (cancellable);
  struct pollfd fds[4] = {
    { .fd = child->fds[0], .events = POLLIN },
    { .fd = child->fds[1], .events = POLLIN },
    { .fd = child->pidfd, .events = POLLIN },
    { .fd = cancelled ? -1 : (int) cancel_fd->fd, .events = POLLIN },
  };

  if (cancelled)
    end_child (child);
  if (poll (fds, G_N_ELEMENTS (fds), cancelled ? 50 : -1) < 0 && errno != EINTR)
    return set_errno_error ("Cannot wait for the command", error);

  /*
   * looked at first: what the command wrote before it exited is in the pipes when they are read
   * below
   */
  if (child->pidfd >= 0 && (fds[2].revents & POLLIN) != 0)
    child->exited = TRUE;
  if (!read_stream (child, 0, fds[0].revents, outcome->output, error) ||
      !read_stream (child, 1, fds[1].revents, outcome->errors, error))
    return FALSE;
  if (child->pidfd < 0 && child->fds[0] < 0 && child->fds[1] < 0)
    child->exited = TRUE;
  return TRUE;
}

static gboolean
exec_child_reap (ExecChild *child, int *status, GError **error)
{
  int wait_status;

  while (waitpid (child->pid, &wait_status, 0) < 0)
    if (errno != EINTR)
      return set_errno_error ("Cannot learn how the command ended", error);
  *status = WIFSIGNALED (wait_status) ? 128 + WTERMSIG (wait_status) : WEXITSTATUS (wait_status);
  return TRUE;
}

static void
exec_child_close (ExecChild *child)
{
  for (gsize i = 0; i < G_N_ELEMENTS (child->fds); i++)
    if (child->fds[i] >= 0)
      close (child->fds[i]);
  if (child->pidfd >= 0)
    close (child->pidfd);
}

gboolean
exec_child_run (const ExecCommand *command, GCancellable *cancellable, ExecOutcome *outcome,
                GError **error)
{
  ExecChild child = { .pidfd = -1, .fds = { -1, -1 } };
  GPollFD cancel_fd = { .fd = -1 };
  gboolean has_cancel_fd, ok = TRUE;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (!exec_child_spawn (&child, command, error))
    return FALSE;

  outcome->output = g_byte_array_new ();
  outcome->errors = g_byte_array_new ();
  has_cancel_fd = g_cancellable_make_pollfd (cancellable, &cancel_fd);
  while (ok && !child.exited)
    ok = exec_child_pump (&child, cancellable, &cancel_fd, outcome, error);
  if (has_cancel_fd)
    g_cancellable_release_fd (cancellable);

  /* nothing of a command that is given up stays behind */
  if (!ok || g_cancellable_is_cancelled (cancellable))
    kill (-child.pid, SIGKILL);
  ok = exec_child_reap (&child, &outcome->status, ok ? error : NULL) && ok;
  exec_child_close (&child);
  return ok && !g_cancellable_set_error_if_cancelled (cancellable, error);
}
