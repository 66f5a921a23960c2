/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

#include <sys/types.h>

G_BEGIN_DECLS

/*
 * Processes and threads that are made by a function of the program's language. What the new one is to be waits in the
 * thread that calls the function, until that calls pool_run_worker() from within: in the child, or in the thread.
 */
typedef int (*PoolHostFunc) (gpointer data);

/*
 * As fork(): the pid of a child of this process; or -1 with errno, which is 0 if the function failed without one. The child calls @run,
 * whose result is that of pool_run_worker(); it does not return from here.
 */
POOL_EXPORT
pid_t pool_host_fork (PoolForkFunc func, gpointer user_data, PoolHostFunc run, gpointer data);
/* FALSE: the function returned without having called pool_run_worker() */
POOL_EXPORT
gboolean pool_host_enter (PoolThreadFunc func, gpointer user_data, PoolHostFunc run, gpointer data);

G_END_DECLS
