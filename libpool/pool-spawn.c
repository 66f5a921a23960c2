/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-spawn-private.h"

#include <signal.h>
#include <unistd.h>

int
pool_spawn (const char *const *argv, const posix_spawn_file_actions_t *actions, short flags, pid_t *pid)
{
  posix_spawnattr_t attributes;
  sigset_t signals;
  int result;

  posix_spawnattr_init (&attributes);
  sigemptyset (&signals);
  posix_spawnattr_setsigmask (&attributes, &signals);
  sigfillset (&signals);
  posix_spawnattr_setsigdefault (&attributes, &signals);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | flags);
  result = posix_spawnp (pid, argv[0], actions, &attributes, (char **) argv, environ);
  posix_spawnattr_destroy (&attributes);
  return result;
}
