/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-host-private.h"

#include "pool-fork-guard-private.h"
#include "pool-init.h"

#include <errno.h>
#include <stdio_ext.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  PoolHostFunc run; /* NULL: nothing is to be run, or not any more */
  gpointer data;
  pid_t parent; /* the process that it must not be run in; 0: none */
} Pending;

/* a child goes on in the thread that forked it, so it finds what was left there */
static _Thread_local Pending pending;

/* Whatever number the function made up would be sent signals later. */
static gboolean
is_child (pid_t pid)
{
  siginfo_t info;

  return pid > 0 && waitid (P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

pid_t
pool_host_fork (PoolForkFunc func, gpointer user_data, PoolHostFunc run, gpointer data)
{
  const Pending before = pending;
  pid_t parent = getpid ();
  pid_t pid;
  int code;

  pending = (Pending){ run, data, parent };
  errno = 0;
  pid = func (user_data);
  code = errno;
  /* a child that was let go on: the program is not to be run twice */
  if (getpid () != parent)
    _exit (pending.run == NULL ? 0 : 1);
  pending = before;
  if (is_child (pid))
    return pid;
  errno = pid < 0 ? code : 0;
  return -1;
}

gboolean
pool_host_enter (PoolThreadFunc func, gpointer user_data, PoolHostFunc run, gpointer data)
{
  gboolean entered;

  pending = (Pending){ run, data, 0 };
  func (user_data);
  entered = pending.run == NULL;
  pending.run = NULL;
  return entered;
}

/**
 * pool_run_worker:
 *
 * Runs what a [callback@ForkFunc] or a [callback@ThreadFunc] was called for, from within it: in the child that the former has
 * forked, or in the thread that the latter is called in. For bindings, which so have their language's state in order in
 * each worker.
 *
 * In a child it returns when the worker has ended in order; one that cannot go on, or that only forks others, ends the
 * process by itself. What is left to do is to clean up and to end the child with `_exit`. In a thread it returns when the
 * worker has ended.
 *
 * Returns: the exit status, 0 if the worker has ended in order; -1 if there is nothing to run: it was called elsewhere, for
 *   the second time, or in the process that forks
 *
 * Since: 1.0
 */
int
pool_run_worker (void)
{
  const Pending now = pending;

  if (now.run == NULL || now.parent == getpid ())
    return -1;
  pending.run = NULL;
  if (now.parent != 0)
    {
      pool_fork_guard_reset_in_child ();
      /* what the program has buffered is the program's to write */
      __fpurge (stdout);
      __fpurge (stderr);
    }
  return now.run (now.data);
}
