/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-launcher-keeper-private.h"

#include "pool-launcher-process-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines are "+ TARGET", "- TARGET" and "/ DIRECTORY". What holds the program may have no room for a second one, and sh is small. */
static const char script[] =
    "trap '' HUP INT QUIT TERM\n"
    "targets= directory=\n"
    "while read -r what target; do\n"
    "  [ \"$what\" != / ] || { directory=$target; continue; }\n"
    "  rest=\n"
    "  for t in $targets; do [ \"$t\" = \"$target\" ] || rest=\"$rest $t\"; done\n"
    "  targets=$rest\n"
    "  [ \"$what\" = - ] || targets=\"$targets $target\"\n"
    "done\n"
    "[ -z \"$directory\" ] || { rm -f -- \"$directory\"/pool; rmdir -- \"$directory\"; } 2>/dev/null\n"
    "[ -n \"$targets\" ] || exit 0\n"
    "for t in $targets; do kill -s TERM -- \"$t\" 2>/dev/null; done\n"
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do\n"
    "  alive=\n"
    "  for t in $targets; do kill -s 0 -- \"$t\" 2>/dev/null && alive=1; done\n"
    "  [ -n \"$alive\" ] || exit 0\n"
    "  sleep 0.2\n"
    "done\n"
    "for t in $targets; do kill -s KILL -- \"$t\"; done\n";

void
pool_launcher_keeper_start (PoolLauncherKeeper *self)
{
  static const char *const argv[] = { "/bin/sh", "-c", script, "pool-keeper", NULL };
  int sockets[2], theirs, code;

  if (self->pid != 0 || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return;
  self->fd = sockets[0];
  /* not in the place of a standard stream */
  theirs = fcntl (sockets[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close (sockets[1]);
  code = theirs >= 0 ? pool_launcher_spawn (argv, theirs, -1, &self->pid) : errno;
  if (theirs >= 0)
    close (theirs);
  if (code == 0)
    return;
  g_debug ("Nothing will end agents when this program is killed: %s", g_strerror (code));
  close (self->fd);
  self->pid = 0;
}

static void
say (PoolLauncherKeeper *self, const char *line)
{
  if (self->pid != 0 && send (self->fd, line, strlen (line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    g_debug ("An agent's end is not seen to when this program is killed: %s", g_strerror (errno));
}

static void
tell (PoolLauncherKeeper *self, char what, pid_t target)
{
  g_autofree char *line = g_strdup_printf ("%c %d\n", what, (int) target);

  say (self, line);
}

void
pool_launcher_keeper_set_directory (PoolLauncherKeeper *self, const char *directory)
{
  g_autofree char *line = g_strdup_printf ("/ %s\n", directory);

  /* one that cannot be said in a line stays */
  if (strchr (directory, '\n') == NULL)
    say (self, line);
}

void
pool_launcher_keeper_add (PoolLauncherKeeper *self, pid_t target)
{
  tell (self, '+', target);
}

void
pool_launcher_keeper_remove (PoolLauncherKeeper *self, pid_t target)
{
  tell (self, '-', target);
}

void
pool_launcher_keeper_stop (PoolLauncherKeeper *self)
{
  if (self->pid == 0)
    return;
  kill (self->pid, SIGKILL);
  while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  close (self->fd);
  self->pid = 0;
}
