/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-launcher-private.h"

#include "pool-descriptors-private.h"
#include "pool-error.h"
#include "pool-launcher-keeper-private.h"
#include "pool-launcher-process-private.h"
#include "pool-launcher-spec-private.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define GRACE_MAX 86400.0
/* What an agent takes in this program, at most: its process, its output, its connection; and while it is started. */
#define DESCRIPTORS 8
/* What a shell had started has been asked to end with it. */
#define LINGER (G_USEC_PER_SEC)

struct _PoolLauncher
{
  PoolLauncherSpec *spec;
  PoolLauncherEnded ended;
  gpointer user_data;
  GHashTable *processes; /* by the agent's number */
  PoolLauncherKeeper keeper;
  int epoll_fd;
  pid_t owner; /* a child that was forked from it has not started the agents */
};

/* What an event is about: the agent's number, and in the bits above whether it is the process or its output. */
#define EVENT_OUTPUT ((guint64) 1 << 32)

PoolLauncher *
pool_launcher_new (const char *spec, PoolLauncherEnded ended, gpointer user_data, GError **error)
{
  g_autoptr (PoolLauncherSpec) parsed = NULL;
  PoolLauncher *self;
  int epoll_fd;

  g_return_val_if_fail (spec != NULL && ended != NULL, NULL);

  parsed = pool_launcher_spec_parse (spec, error);
  if (parsed == NULL)
    return NULL;
  epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (epoll_fd < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No epoll for a pool: %s", g_strerror (errno));
      return NULL;
    }
  self = g_new0 (PoolLauncher, 1);
  self->spec = g_steal_pointer (&parsed);
  self->ended = ended;
  self->user_data = user_data;
  self->epoll_fd = epoll_fd;
  self->owner = getpid ();
  self->processes =
      g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) pool_launcher_process_free);
  return self;
}

/* A killed srun leaves a process in its group that cancels the job. */
static gboolean
group_is_ours (PoolLauncher *self)
{
  return self->spec->kind != POOL_LAUNCHER_SLURM;
}

/* An agent ends its own workers, and a shell in front of it would not tell it. */
static gboolean
group_is_asked (PoolLauncher *self)
{
  return self->spec->kind == POOL_LAUNCHER_COMMAND;
}

static pid_t
get_keeper_target (PoolLauncher *self, const PoolLauncherProcess *process)
{
  return group_is_ours (self) ? -process->pid : process->pid;
}

static PoolLauncherProcess *
find_process (PoolLauncher *self, guint agent)
{
  return g_hash_table_lookup (self->processes, GUINT_TO_POINTER (agent));
}

static gboolean
watch (PoolLauncher *self, int fd, guint64 what)
{
  struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Ends what is left of it, while its number cannot be another's. Returns: (transfer full): how it ended */
static char *
finish_process (PoolLauncher *self, PoolLauncherProcess *process)
{
  pool_launcher_process_signal (process, SIGKILL, group_is_ours (self));
  pool_launcher_keeper_remove (&self->keeper, get_keeper_target (self, process));
  pool_launcher_process_read (process);
  /* a child that another thread is making has them too: to close them is not enough */
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, process->pidfd, NULL);
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, process->output_fd, NULL);
  return pool_launcher_process_reap (process);
}

gboolean
pool_launcher_is_remote (const PoolLauncher *self)
{
  return self->spec->kind != POOL_LAUNCHER_LOCAL;
}

void
pool_launcher_keep_directory (PoolLauncher *self, const char *directory)
{
  pool_launcher_keeper_start (&self->keeper);
  pool_launcher_keeper_set_directory (&self->keeper, directory);
}

gboolean
pool_launcher_start (PoolLauncher *self, guint agent, guint n_workers, const char *const *argv,
                     GError **error)
{
  g_auto (GStrv) command = NULL;
  g_autoptr (PoolLauncherProcess) process = NULL;

  g_return_val_if_fail (argv != NULL && argv[0] != NULL, FALSE);

  if (find_process (self, agent) != NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                   "Agent %u cannot be started: it runs; wait for its end, or take another number", agent);
      return FALSE;
    }
  /* and its connection, of which whoever accepts it cannot say that there is none left */
  if (!pool_descriptors_check (DESCRIPTORS, "An agent", error))
    return FALSE;
  command = pool_launcher_spec_get_command (self->spec, agent, n_workers, argv);
  pool_launcher_keeper_start (&self->keeper);
  process = pool_launcher_process_start (agent, (const char *const *) command, error);
  if (process == NULL)
    return FALSE;
  pool_launcher_keeper_add (&self->keeper, get_keeper_target (self, process));
  if (!watch (self, process->pidfd, agent) || !watch (self, process->output_fd, agent | EVENT_OUTPUT))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "Agent %u cannot be watched: %s", agent,
                   g_strerror (errno));
      g_free (finish_process (self, process));
      return FALSE;
    }
  g_hash_table_insert (self->processes, GUINT_TO_POINTER (agent), g_steal_pointer (&process));
  return TRUE;
}

void
pool_launcher_signal (PoolLauncher *self, guint agent, int signum)
{
  PoolLauncherProcess *process = find_process (self, agent);

  if (process != NULL)
    pool_launcher_process_signal (process, signum, FALSE);
}

pid_t
pool_launcher_get_pid (PoolLauncher *self, guint agent)
{
  PoolLauncherProcess *process = find_process (self, agent);

  return process != NULL ? process->pid : 0;
}

int
pool_launcher_get_fd (PoolLauncher *self)
{
  return self->epoll_fd;
}

void
pool_launcher_dispatch (PoolLauncher *self)
{
  struct epoll_event events[EVENTS_MAX];
  int n = epoll_wait (self->epoll_fd, events, EVENTS_MAX, 0);

  /* an agent that ended and was started again in between is looked at in vain */
  for (int i = 0; i < n; i++)
    {
      guint agent = (guint) events[i].data.u64;
      PoolLauncherProcess *process = find_process (self, agent);
      g_autofree char *how = NULL;

      if (process != NULL && (events[i].data.u64 & EVENT_OUTPUT) != 0)
        pool_launcher_process_read (process);
      else if (process != NULL && pool_launcher_process_check (process))
        {
          how = finish_process (self, process);
          g_hash_table_remove (self->processes, GUINT_TO_POINTER (agent));
          self->ended (agent, how, self->user_data);
        }
    }
}

/* Whether nobody is left, or @leaders: none of those that it has started itself. */
static gboolean
are_gone (PoolLauncher *self, gboolean leaders)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->processes);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      PoolLauncherProcess *process = value;

      if (!process->ended || (!leaders && group_is_asked (self) && process->output_fd >= 0))
        return FALSE;
    }
  return TRUE;
}

static void
wait_for_ends (PoolLauncher *self, gint64 deadline)
{
  struct epoll_event events[EVENTS_MAX];
  gint64 now;

  while (!are_gone (self, FALSE) && (now = g_get_monotonic_time ()) < deadline)
    {
      int n = epoll_wait (self->epoll_fd, events, EVENTS_MAX, (int) ((deadline - now) / 1000) + 1);

      for (int i = 0; i < n; i++)
        {
          PoolLauncherProcess *process = find_process (self, (guint) events[i].data.u64);

          if (process == NULL)
            continue;
          if ((events[i].data.u64 & EVENT_OUTPUT) != 0)
            pool_launcher_process_read (process);
          else if (pool_launcher_process_check (process))
            epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, process->pidfd, NULL);
        }
      if (are_gone (self, TRUE))
        deadline = MIN (deadline, g_get_monotonic_time () + LINGER);
    }
}

static void
end_all (PoolLauncher *self, double grace)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) (CLAMP (grace, 0, GRACE_MAX) * G_USEC_PER_SEC);
  GHashTableIter iter;
  gpointer process;

  g_hash_table_iter_init (&iter, self->processes);
  while (g_hash_table_iter_next (&iter, NULL, &process))
    pool_launcher_process_signal (process, SIGTERM, group_is_asked (self));
  wait_for_ends (self, deadline);
  /* all first: then waiting for one that does not come to its end takes no time from the others */
  g_hash_table_iter_init (&iter, self->processes);
  while (g_hash_table_iter_next (&iter, NULL, &process))
    pool_launcher_process_signal (process, SIGKILL, group_is_ours (self));
  g_hash_table_iter_init (&iter, self->processes);
  while (g_hash_table_iter_next (&iter, NULL, &process))
    g_free (finish_process (self, process));
}

void
pool_launcher_free (PoolLauncher *self, double grace)
{
  if (self == NULL)
    return;
  if (self->owner == getpid ())
    {
      end_all (self, grace);
      pool_launcher_keeper_stop (&self->keeper);
    }
  else if (self->keeper.pid != 0)
    close (self->keeper.fd);
  g_hash_table_unref (self->processes);
  pool_launcher_spec_free (self->spec);
  close (self->epoll_fd);
  g_free (self);
}
