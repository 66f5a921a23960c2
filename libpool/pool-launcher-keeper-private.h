/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Ends what a launcher has started when this program is gone without having ended it itself: an srun that waits in its queue,
 * or a connection that is being made, would stay for long. A process that gets a signal at its parent's death (PR_SET_PDEATHSIG)
 * gets it at that of the thread that started it; so it is a small process that waits for the end of a socket.
 * It does what it can: without it agents still leave when they lose their connection.
 */
typedef struct
{
  pid_t pid; /* 0: none */
  int fd;
} PoolLauncherKeeper;

void pool_launcher_keeper_start (PoolLauncherKeeper *self);
/* @target: a process, or as a negative number a group */
void pool_launcher_keeper_add (PoolLauncherKeeper *self, pid_t target);
/* Before it is reaped. */
void pool_launcher_keeper_remove (PoolLauncherKeeper *self, pid_t target);
/* Removes the directory and the socket "pool" in it. */
void pool_launcher_keeper_set_directory (PoolLauncherKeeper *self, const char *directory);
void pool_launcher_keeper_stop (PoolLauncherKeeper *self);

G_END_DECLS
