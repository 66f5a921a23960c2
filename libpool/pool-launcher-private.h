/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * How the agents of a remote backend are started: the programs that connect to a pool and run its workers, on this machine or
 * on others. What is started is a process of this machine in any case (the agent itself, ssh, srun, a command of the user),
 * watched by its pidfd: no SIGCHLD handler, no wait for children that are not ours.
 *
 * Used by one thread at a time. Nothing blocks but pool_launcher_free().
 *
 * Each runs in a session of its own. When it ends, what it has started and left behind in that is killed: the end of the process
 * is the end of the agent, so a command must stay as long as the agent does. All end with this program, however that ends.
 */
typedef struct _PoolLauncher PoolLauncher;

/*
 * An agent's process has ended. @how: for people, e.g. "exited with status 1: ssh: connect to host a: No route to host"; what
 * it said last may be several lines. An agent of the same number may be started at once; the launcher must not be freed here.
 */
typedef void (*PoolLauncherEnded) (guint agent, const char *how, gpointer user_data);

/*
 * @spec: "local"; "ssh:HOST[,HOST…]" (each [USER@]HOST[:PORT]; agents are dealt out to the hosts in turn);
 * "slurm" or "slurm:OPTIONS OF SRUN"; "command:TEMPLATE", in which {command} stands for the agent's command line as one word
 * of sh, {argv} for it as words, {n} for the number of its workers, {agent} for its number.
 * NULL with POOL_ERROR_INVALID_ARGUMENT, which shows what is wrong with it. The environment variable POOL_SSH names another
 * program than ssh.
 */
POOL_EXPORT
PoolLauncher *pool_launcher_new (const char *spec, PoolLauncherEnded ended, gpointer user_data, GError **error);
/* Ends what still runs (SIGTERM, and SIGKILL after @grace seconds), and reaps it; calls nobody. In a forked child it ends nothing. */
POOL_EXPORT
void pool_launcher_free (PoolLauncher *self, double grace);

/* Do its agents run elsewhere, so that they need an endpoint that the network reaches? */
POOL_EXPORT
gboolean pool_launcher_is_remote (const PoolLauncher *self);

/* Where the socket "pool" is; if this program is killed, both are removed. */
POOL_EXPORT
void pool_launcher_keep_directory (PoolLauncher *self, const char *directory);
/*
 * Starts agent number @agent, for @n_workers workers. @argv: its command line; argv[0] is an absolute path for "local", and
 * a name that the other machine finds for the others. Agent N of "ssh" runs on host N modulo the number of hosts.
 */
POOL_EXPORT
gboolean pool_launcher_start (PoolLauncher *self, guint agent, guint n_workers, const char *const *argv,
                              GError **error);
/* Signals the process of an agent, if it is still there. */
POOL_EXPORT
void pool_launcher_signal (PoolLauncher *self, guint agent, int signum);
/* Its pid on this machine; 0: it is gone */
POOL_EXPORT
pid_t pool_launcher_get_pid (PoolLauncher *self, guint agent);

/* Readable when pool_launcher_dispatch() has something to do. */
POOL_EXPORT
int pool_launcher_get_fd (PoolLauncher *self);
/* Reads what agents say on standard output and error (the last 4 KiB are kept for @how), and tells of those that ended. */
POOL_EXPORT
void pool_launcher_dispatch (PoolLauncher *self);

G_END_DECLS
