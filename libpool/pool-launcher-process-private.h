/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/* A process that a launcher has started, in a session of its own: its number is that of its group, too. */
typedef struct
{
  guint agent;
  pid_t pid;
  int pidfd;
  int output_fd;   /* what it says; -1: all who could say something are gone */
  GString *output; /* the end of it */
  gboolean cut;    /* there was more before that */
  gboolean ended;  /* not reaped: the number is still its own */
} PoolLauncherProcess;

/*
 * Runs @argv, looked for in PATH, with nothing of this program but its environment, directory and limits. @in_fd, @out_fd: its
 * standard input, and where it writes to; -1: nowhere. 0, or an errno
 */
int pool_launcher_spawn (const char *const *argv, int in_fd, int out_fd, pid_t *pid);

PoolLauncherProcess *pool_launcher_process_start (guint agent, const char *const *argv, GError **error);
/* Forgets it: what runs, runs on. */
void pool_launcher_process_free (PoolLauncherProcess *self);

/* Takes what it has said. output_fd is -1 when that was all. */
void pool_launcher_process_read (PoolLauncherProcess *self);
/* Sets, and returns, whether it has ended. */
gboolean pool_launcher_process_check (PoolLauncherProcess *self);
/* @group: also those that it has started. Not after it was reaped. */
void pool_launcher_process_signal (PoolLauncherProcess *self, int signum, gboolean group);
/* Waits, not for long, for one that has ended or was killed. Returns: (transfer full): how it ended */
char *pool_launcher_process_reap (PoolLauncherProcess *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolLauncherProcess, pool_launcher_process_free)

G_END_DECLS
