/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "pool-launcher-private.h"
#include "pool-error.h"
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
typedef struct { guint agent; pid_t pid; int fd; } Proc;
struct _PoolLauncher { PoolLauncherEnded ended; gpointer data; int epoll; GArray *procs; };
extern char **environ;
PoolLauncher *pool_launcher_new (const char *spec, PoolLauncherEnded ended, gpointer user_data, GError **error)
{ PoolLauncher *self = g_new0 (PoolLauncher, 1); self->ended = ended; self->data = user_data; self->epoll = epoll_create1 (EPOLL_CLOEXEC); self->procs = g_array_new (FALSE, FALSE, sizeof (Proc)); return self; }
void pool_launcher_free (PoolLauncher *self, double grace)
{ for (guint i = 0; i < self->procs->len; i++) { Proc *p = &g_array_index (self->procs, Proc, i); for (int k = 0; k < (int)(grace*100) && waitpid (p->pid, NULL, WNOHANG) == 0; k++) g_usleep (10000); kill (p->pid, SIGKILL); waitpid (p->pid, NULL, 0); close (p->fd); } g_array_unref (self->procs); close (self->epoll); g_free (self); }
gboolean pool_launcher_is_remote (const PoolLauncher *self) { return FALSE; }
gboolean pool_launcher_start (PoolLauncher *self, guint agent, guint n_workers, const char *const *argv, GError **error)
{ Proc p = { agent }; struct epoll_event e = { .events = EPOLLIN };
  sigset_t none; posix_spawnattr_t at; posix_spawnattr_init (&at); sigemptyset (&none); posix_spawnattr_setsigmask (&at, &none); posix_spawnattr_setflags (&at, POSIX_SPAWN_SETSIGMASK);
  if (posix_spawn (&p.pid, argv[0], NULL, &at, (char **) argv, environ) != 0) { g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "cannot run %s", argv[0]); return FALSE; }
  p.fd = syscall (SYS_pidfd_open, p.pid, 0); e.data.fd = p.fd; epoll_ctl (self->epoll, EPOLL_CTL_ADD, p.fd, &e); g_array_append_val (self->procs, p); return TRUE; }
void pool_launcher_signal (PoolLauncher *self, guint agent, int signum)
{ for (guint i = 0; i < self->procs->len; i++) if (g_array_index (self->procs, Proc, i).agent == agent) kill (g_array_index (self->procs, Proc, i).pid, signum); }
pid_t pool_launcher_get_pid (PoolLauncher *self, guint agent) { return 0; }
int pool_launcher_get_fd (PoolLauncher *self) { return self->epoll; }
void pool_launcher_dispatch (PoolLauncher *self)
{ for (guint i = 0; i < self->procs->len; i++) { Proc p = g_array_index (self->procs, Proc, i); int st; if (waitpid (p.pid, &st, WNOHANG) == p.pid) { g_autofree char *how = g_strdup_printf ("ended with %d", st); close (p.fd); g_array_remove_index (self->procs, i--); self->ended (p.agent, how, self->data); } } }
