/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-launcher-process-private.h"

#include "pool-error.h"
#include "pool-spawn-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How much of what a process says is kept. */
#define OUTPUT_MAX 4096
/* A process that writes without end does not hold up the others. */
#define READS_MAX 16
/* A killed process is gone at once, unless a device or file server does not answer it. */
#define REAP_MS 5000

int
pool_launcher_spawn (const char *const *argv, int in_fd, int out_fd, pid_t *pid)
{
  posix_spawn_file_actions_t actions;
  int result;

  posix_spawn_file_actions_init (&actions);
  if (in_fd >= 0)
    posix_spawn_file_actions_adddup2 (&actions, in_fd, STDIN_FILENO);
  else
    posix_spawn_file_actions_addopen (&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (out_fd >= 0)
    posix_spawn_file_actions_adddup2 (&actions, out_fd, STDOUT_FILENO);
  else
    posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2 (&actions, STDOUT_FILENO, STDERR_FILENO);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  /* what the program itself has not marked close-on-exec */
  posix_spawn_file_actions_addclosefrom_np (&actions, STDERR_FILENO + 1);
#endif
  /* a session: ^C on the program's terminal is not for it, and a group can be ended with it */
  result = pool_spawn (argv, &actions, POSIX_SPAWN_SETSID, pid);
  posix_spawn_file_actions_destroy (&actions);
  return result;
}

/* Not in the place of a standard stream that is closed: that is where the child gets its own. */
static gboolean
open_pipe (int *ends)
{
  if (pipe2 (ends, O_CLOEXEC) != 0)
    return FALSE;
  for (guint i = 0; i < 2; i++)
    if (ends[i] <= STDERR_FILENO)
      {
        int moved = fcntl (ends[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int code = errno;

        if (moved < 0)
          {
            close (ends[0]);
            close (ends[1]);
            errno = code;
            return FALSE;
          }
        close (ends[i]);
        ends[i] = moved;
      }
  fcntl (ends[0], F_SETFL, O_NONBLOCK);
  return TRUE;
}

static void
start_error (GError **error, guint agent, const char *program, int code)
{
  if (code == ENOENT)
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                 "Agent %u cannot be started: there is no program \"%s\" on this machine; install it, or give its "
                 "path",
                 agent, program);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "Agent %u cannot be started by \"%s\": %s", agent,
                 program, g_strerror (code));
}

PoolLauncherProcess *
pool_launcher_process_start (guint agent, const char *const *argv, GError **error)
{
  g_autoptr (PoolLauncherProcess) self = g_new0 (PoolLauncherProcess, 1);
  int ends[2], code;

  self->agent = agent;
  self->pidfd = self->output_fd = -1;
  self->output = g_string_new (NULL);
  if (!open_pipe (ends))
    {
      start_error (error, agent, argv[0], errno);
      return NULL;
    }
  code = pool_launcher_spawn (argv, -1, ends[1], &self->pid);
  close (ends[1]);
  self->output_fd = ends[0];
  if (code != 0)
    {
      start_error (error, agent, argv[0], code);
      return NULL;
    }
  /* the number cannot be another's: nobody but us waits for this process */
  self->pidfd = syscall (SYS_pidfd_open, self->pid, 0);
  if (self->pidfd < 0)
    {
      code = errno;
      kill (-self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
      start_error (error, agent, argv[0], code);
      return NULL;
    }
  return g_steal_pointer (&self);
}

static void
close_output (PoolLauncherProcess *self)
{
  if (self->output_fd >= 0)
    close (self->output_fd);
  self->output_fd = -1;
}

void
pool_launcher_process_free (PoolLauncherProcess *self)
{
  close_output (self);
  if (self->pidfd >= 0)
    close (self->pidfd);
  g_string_free (self->output, TRUE);
  g_free (self);
}

void
pool_launcher_process_read (PoolLauncherProcess *self)
{
  char buffer[OUTPUT_MAX];

  for (guint i = 0; i < READS_MAX && self->output_fd >= 0; i++)
    {
      ssize_t n = read (self->output_fd, buffer, sizeof buffer);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return;
      if (n <= 0)
        close_output (self);
      else
        g_string_append_len (self->output, buffer, n);
      if (self->output->len > OUTPUT_MAX)
        {
          g_string_erase (self->output, 0, (gssize) self->output->len - OUTPUT_MAX);
          self->cut = TRUE;
        }
    }
}

gboolean
pool_launcher_process_check (PoolLauncherProcess *self)
{
  siginfo_t info = { 0 };
  int result;

  if (self->ended)
    return TRUE;
  do
    result = waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
  while (result != 0 && errno == EINTR);
  /* an error: somebody else has reaped it */
  self->ended = result != 0 || info.si_pid != 0;
  return self->ended;
}

void
pool_launcher_process_signal (PoolLauncherProcess *self, int signum, gboolean group)
{
  siginfo_t info;

  if (!group)
    syscall (SYS_pidfd_send_signal, self->pidfd, signum, NULL, 0);
  /* a number that somebody else has reaped may be anybody's */
  else if (waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
    kill (-self->pid, signum);
}

/* What a process that runs elsewhere has said is shown to people: no escape sequences, no half lines. */
static void
append_output (PoolLauncherProcess *self, GString *out)
{
  g_autofree char *valid = NULL;
  const char *text = self->output->str;
  gsize length = self->output->len;
  const char *line = self->cut ? memchr (text, '\n', length) : NULL;

  if (line != NULL)
    {
      length -= (gsize) (line + 1 - text);
      text = line + 1;
    }
  while (length > 0 && g_ascii_isspace (text[length - 1]))
    length--;
  if (length == 0)
    return;
  g_string_append (out, ": ");
  valid = g_utf8_make_valid (text, (gssize) length);
  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (c == '\n' || c == '\t' || !g_unichar_iscntrl (c))
        g_string_append_unichar (out, c);
      else if (c != '\r' || p[1] != '\n')
        g_string_append_c (out, '?');
    }
}

char *
pool_launcher_process_reap (PoolLauncherProcess *self)
{
  struct pollfd ready = { self->pidfd, POLLIN, 0 };
  GString *how = g_string_new (NULL);
  siginfo_t info = { 0 };
  int result;

  while (poll (&ready, 1, REAP_MS) < 0 && errno == EINTR)
    ;
  do
    result = waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED | WNOHANG);
  while (result != 0 && errno == EINTR);
  if (result != 0)
    g_string_append (how, "ended, nobody knows how: the program ignores SIGCHLD or waits for children that are "
                          "not its own");
  else if (info.si_pid == 0)
    g_string_append (how, "cannot be ended");
  else if (info.si_code == CLD_EXITED)
    g_string_append_printf (how, "exited with status %d", info.si_status);
  else
    g_string_append_printf (how, "was killed by signal %d (%s)", info.si_status, g_strsignal (info.si_status));
  append_output (self, how);
  return g_string_free (how, FALSE);
}
