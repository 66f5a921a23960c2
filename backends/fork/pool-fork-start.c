/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"

#include "libpool/pool-copy-private.h"
#include "libpool/pool-engine-private.h"
#include "libpool/pool-fork-guard-private.h"
#include "libpool/pool-host-private.h"
#include "libpool/pool-spawn-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The ways to a zygote:
 *  - fork it from the program, when that has one thread: it inherits functions, globals, everything;
 *  - let the copy of the program fork it that pool_init() keeps from before there were threads: it has the functions;
 *  - exec the pool-worker helper: it has what task modules have; or the program that the pool has for a worker-command.
 * A child that is forked while other threads run may inherit a lock that nobody will release, and hang at its first
 * allocation of a GObject; so that is not done.
 */

static const PoolFunction *
find_closure (PoolForkBackend *self)
{
  return pool_function_table_get_closure (POOL_BACKEND (self)->engine->functions);
}

const char *const *
pool_fork_backend_get_command (PoolForkBackend *self)
{
  return POOL_BACKEND (self)->engine->settings.backend.worker_command;
}

static int
be_zygote (gpointer zygote)
{
  pool_zygote_main (zygote);
}

static pid_t
fork_by_means (PoolZygote *zygote)
{
  pid_t pid;

  if (zygote->fork_func != NULL)
    return pool_host_fork (zygote->fork_func, zygote->fork_data, be_zygote, zygote);
  pid = fork ();
  if (pid == 0)
    {
      pool_fork_guard_reset_in_child ();
      /* what the program has buffered is the program's to write */
      __fpurge (stdout);
      __fpurge (stderr);
      pool_zygote_main (zygote);
    }
  return pid;
}

static gboolean
fork_zygote (PoolForkBackend *self, PoolZygote *zygote, GError **error)
{
  const PoolBackendConfig *config = &POOL_BACKEND (self)->engine->settings.backend;
  sigset_t all, before;
  pid_t pid;
  int code;

  zygote->fork_func = config->fork_func;
  zygote->fork_data = config->fork_data;
  zygote->keeps_fds = config->keep_descriptors && config->fork_func != NULL;
  /* a thread that a library starts in each child takes on what is blocked: it must not swallow the zygote's SIGCHLD */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid = fork_by_means (zygote);
  code = errno;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (pid < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot fork: %s",
                   code != 0 ? g_strerror (code) : "the fork function failed");
      return FALSE;
    }
  self->zygote = pid;
  return TRUE;
}

/* The arguments by which an exec'd or copied process knows what to do; see pool_fork_backend_worker_main(). */
static void
zygote_arguments (PoolForkBackend *self, const PoolZygote *zygote, const char **args, int *fds)
{
  g_snprintf (self->first_workers, sizeof self->first_workers, "%u:%u:%u:%u", zygote->n_workers,
              zygote->incarnation, zygote->sandbox,
              POOL_BACKEND (self)->engine->settings.backend.keep_descriptors ? 1 : 0);
  args[0] = "zygote";
  args[1] = self->method == POOL_START_METHOD_SPAWN ? "spawn" : "fork";
  args[2] = self->first_workers;
  fds[0] = zygote->shm->fd;
  fds[1] = zygote->control_fd;
  fds[2] = zygote->event_fd;
  fds[3] = zygote->manager_fd;
  fds[4] = zygote->report_fd;
}

/*
 * Workers that are forked come from the command itself. Where each is to run it, the zygote is the light helper, which is
 * given the command to run.
 */
static char **
zygote_argv (const PoolZygote *zygote, const char **args, const int *fds, guint n_fds)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (zygote->command != NULL && !zygote->exec_workers)
    g_strv_builder_addv (builder, (const char **) zygote->command);
  else
    g_strv_builder_add (builder, zygote->program);
  g_strv_builder_add (builder, "fork");
  g_strv_builder_addv (builder, args);
  for (guint i = 0; i < n_fds; i++)
    {
      g_autofree char *number = g_strdup_printf ("%d", fds[i]);

      g_strv_builder_add (builder, number);
    }
  if (zygote->command != NULL && zygote->exec_workers)
    g_strv_builder_addv (builder, (const char **) zygote->command);
  return g_strv_builder_end (builder);
}

static gboolean
exec_zygote (PoolForkBackend *self, PoolZygote *zygote, GError **error)
{
  const char *args[4] = { NULL };
  int fds[5], result;
  g_auto (GStrv) argv = NULL;
  posix_spawn_file_actions_t actions;
  pid_t pid;

  zygote->command = pool_fork_backend_get_command (self);
  zygote->exec_workers = self->method == POOL_START_METHOD_SPAWN;
  zygote_arguments (self, zygote, args, fds);
  argv = zygote_argv (zygote, args, fds, G_N_ELEMENTS (fds));
  posix_spawn_file_actions_init (&actions);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    /* onto itself: clears close-on-exec */
    posix_spawn_file_actions_adddup2 (&actions, fds[i], fds[i]);
  result = pool_spawn ((const char *const *) argv, &actions, 0, &pid);
  posix_spawn_file_actions_destroy (&actions);

  if (result != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot run its helper %s: %s",
                   argv[0], g_strerror (result));
      return FALSE;
    }
  self->zygote = pid;
  return TRUE;
}

/* Functions of the program, for its copy: their addresses, if those mean the same there. */
static gboolean
publish_addresses (PoolForkBackend *self, GError **error)
{
  PoolFunctionTable *functions = POOL_BACKEND (self)->engine->functions;

  for (guint i = 0; i < pool_function_table_get_size (functions); i++)
    {
      const PoolFunction *function = pool_function_table_get (functions, i);

      if (function->from_module)
        continue;
      if (function->kind == POOL_FUNCTION_PROCESS || function->user_data != NULL ||
          !pool_copy_has_address (function->func.address))
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                       "This program has threads, so its workers come from the copy of it that "
                       "pool_init() made, and \"%s\" is not in that copy: register a plain function "
                       "without user data and give it static arguments, put it into a task module, or "
                       "start the pool before the threads",
                       function->name);
          return FALSE;
        }
      pool_shm_function (self->shm, i)->address = GPOINTER_TO_SIZE (function->func.address);
    }
  return TRUE;
}

static gboolean
copy_zygote (PoolForkBackend *self, PoolZygote *zygote, GError **error)
{
  const char *args[4] = { NULL };
  int fds[5];

  zygote_arguments (self, zygote, args, fds);
  self->from_copy = TRUE;
  return publish_addresses (self, error) &&
         pool_copy_start_child ("fork", args, fds, G_N_ELEMENTS (fds), error);
}

static gboolean
check_no_closures (PoolForkBackend *self, guint n_threads, GError **error)
{
  const PoolFunction *closure = find_closure (self);

  /* a program that the user names may well have it */
  if (closure == NULL || pool_fork_backend_get_command (self) != NULL)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
               "Workers that are made by %s do not have \"%s\", which was registered in this program "
               "(of %u threads): put it into a task module, call pool_init() first in main(), or "
               "start the pool before other threads",
               self->method == POOL_START_METHOD_SPAWN ? "spawn" : "forkserver", closure->name,
               n_threads);
  return FALSE;
}

/* A program that was named for workers has more of them than a copy from before the program did anything. */
static gboolean
prefers_command (PoolForkBackend *self, PoolStartMethod asked)
{
  return asked == POOL_START_METHOD_AUTO && pool_fork_backend_get_command (self) != NULL;
}

/* Called with the library's other threads standing still. */
static gboolean
start_by_method (PoolForkBackend *self, PoolStartMethod asked, guint n_threads, PoolZygote *zygote,
                 GError **error)
{
  gboolean may_fork = asked == POOL_START_METHOD_AUTO || asked == POOL_START_METHOD_FORK;
  gboolean by_function = POOL_BACKEND (self)->engine->settings.backend.fork_func != NULL;

  self->method = POOL_START_METHOD_FORK;
  /* whoever hands in a function that forks has taken it on itself that this can be done beside threads */
  if (may_fork && !POOL_BACKEND (self)->engine->settings.backend.needs_copy &&
      (n_threads == 1 || (asked == POOL_START_METHOD_FORK && by_function)))
    return fork_zygote (self, zygote, error);
  if (may_fork && pool_copy_exists () && !prefers_command (self, asked))
    return copy_zygote (self, zygote, error);
  if (asked == POOL_START_METHOD_FORK)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                   "This program has %u threads, and a child forked now could hang on a lock that one "
                   "of them holds: start the pool earlier, call pool_init() first in main(), or take "
                   "another start method",
                   n_threads);
      return FALSE;
    }
  self->method = asked == POOL_START_METHOD_SPAWN ? asked : POOL_START_METHOD_FORKSERVER;
  return check_no_closures (self, n_threads, error) && exec_zygote (self, zygote, error);
}

gboolean
pool_fork_backend_start_zygote (PoolForkBackend *self, PoolStartMethod asked, gboolean again,
                                guint n_workers, guint32 incarnation, GError **error)
{
  PoolLocalBackend *local = POOL_LOCAL_BACKEND (self);
  g_autofree char *program = pool_copy_find_worker_program ();
  PoolZygote zygote = { .shm = self->shm,
                        .event_fd = local->event_fd,
                        .manager_fd = self->manager_fd,
                        .report_fd = self->report_fds[1],
                        .n_workers = n_workers,
                        .incarnation = incarnation,
                        .sandbox = self->sandbox,
                        .program = program };
  int sockets[2];
  guint n_threads;
  gboolean ok;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No socket for a pool: %s",
                   g_strerror (errno));
      return FALSE;
    }

  zygote.control_fd = sockets[1];
  zygote.their_fd = sockets[0];
  zygote.functions = POOL_BACKEND (self)->engine->functions;
  if (again)
    ok = self->from_copy ? copy_zygote (self, &zygote, error) : exec_zygote (self, &zygote, error);
  else
    {
      n_threads = pool_fork_guard_lock ();
      ok = start_by_method (self, asked, n_threads, &zygote, error);
      pool_fork_guard_unlock ();
    }
  close (sockets[1]);
  if (!ok)
    {
      close (sockets[0]);
      return FALSE;
    }
  self->control_fd = sockets[0];
  return TRUE;
}
