/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-remote-backend-private.h"

#include "pool-engine-private.h"
#include "pool-error.h"

/* Agents that this side starts, by a launcher; and the workers that agents are asked to make. */

/* How long to wait after an agent could not be started, µs; twice as long each time, up to the last. */
#define AGAIN_US (100 * 1000)
#define AGAIN_MAX_US (10 * 1000 * 1000)
/* So often in a row an agent is tried, before all its workers count as failed. */
#define TRIES 3

gboolean
pool_remote_backend_launches (PoolRemoteBackend *self)
{
  return self->launcher != NULL || POOL_REMOTE_BACKEND_GET_CLASS (self)->start_agent != NULL;
}

gboolean
pool_remote_backend_launches_here (PoolRemoteBackend *self)
{
  return self->launcher != NULL && !pool_launcher_is_remote (self->launcher);
}

void
pool_remote_backend_signal_agent (PoolRemoteBackend *self, guint agent, int signum)
{
  if (self->launcher != NULL)
    pool_launcher_signal (self->launcher, agent, signum);
  else if (POOL_REMOTE_BACKEND_GET_CLASS (self)->end_agent != NULL)
    POOL_REMOTE_BACKEND_GET_CLASS (self)->end_agent (self, agent);
}

guint
pool_remote_backend_get_share (PoolRemoteBackend *self, guint n)
{
  guint each = self->config->remote->processes_per_agent;

  if (POOL_REMOTE_BACKEND_GET_CLASS (self)->get_share != NULL)
    return POOL_REMOTE_BACKEND_GET_CLASS (self)->get_share (self, n);
  return each > 0 ? MIN (each, n) : n;
}

void
pool_remote_backend_agent_ended (PoolRemoteBackend *self, guint number, const char *how)
{
  PoolRemoteAgent *agent = pool_remote_backend_find_launched (self, number);

  if (agent != NULL)
    pool_remote_agent_lose (agent, how);
}

static void
agent_ended (guint number, const char *how, gpointer user_data)
{
  pool_remote_backend_agent_ended (user_data, number, how);
}

gboolean
pool_remote_backend_open_launcher (PoolRemoteBackend *self, GError **error)
{
  const PoolRemoteConfig *remote = self->config->remote;
  const char *spec = remote->launcher != NULL ? remote->launcher : remote->endpoint != NULL ? "none" : "local";

  if (POOL_REMOTE_BACKEND_GET_CLASS (self)->start_agent != NULL)
    return TRUE;
  if (g_str_equal (spec, "none"))
    {
      /* agents bring their workers with them */
      pool_backend_add_wanted (POOL_BACKEND (self), -(int) self->config->processes);
      return TRUE;
    }
  self->launcher = pool_launcher_new (spec, agent_ended, self, error);
  return self->launcher != NULL &&
         pool_remote_backend_watch_fd (self, pool_launcher_get_fd (self->launcher));
}

/* Agents are to be started for so many workers. */
void
pool_remote_backend_plan (PoolRemoteBackend *self, guint n_workers)
{
  gint64 now = g_get_monotonic_time ();

  self->n_planned += n_workers;
  if (self->launch_at == 0)
    self->launch_at = now;
  if (self->n_failed_launches > 0)
    self->launch_at = now + MIN ((gint64) AGAIN_US << MIN (self->n_failed_launches, 20), AGAIN_MAX_US);
  pool_remote_backend_set_timer (self);
}

static void
report_not_started (PoolRemoteBackend *self, const char *how)
{
  g_autoptr (GError) error = g_error_new (POOL_ERROR, POOL_ERROR_BACKEND, "could not be made: its agent: %s", how);
  const PoolBackendExit exit = { .worker = pool_remote_backend_free_id (self),
                                 .reason = POOL_DOWN_REASON_NOT_STARTED,
                                 .exit_code = -1,
                                 .error = error };

  pool_backend_worker_down (POOL_BACKEND (self), &exit);
}

static gboolean
has_agents (PoolRemoteBackend *self)
{
  for (guint i = 0; i < self->agents->len; i++)
    if (self->agents->pdata[i] != NULL)
      return TRUE;
  return FALSE;
}

/* While there are others the pool goes on, and it is tried again. Else the engine tries again when it hears of one; of all, it gives up. */
void
pool_remote_backend_launch_failed (PoolRemoteBackend *self, guint n_workers, const char *how)
{
  guint n = ++self->n_failed_launches < TRIES ? 1 : MAX (n_workers, TRIES);

  if (has_agents (self))
    {
      pool_remote_backend_plan (self, n_workers);
      report_not_started (self, how);
      return;
    }

  for (guint i = 0; i < n; i++)
    report_not_started (self, how);
}

static gboolean
launch_one (PoolRemoteBackend *self, guint n_workers, GError **error)
{
  PoolRemoteBackendClass *klass = POOL_REMOTE_BACKEND_GET_CLASS (self);
  PoolRemoteAgent *agent = pool_remote_agent_new (self, n_workers);
  g_auto (GStrv) argv = klass->get_command != NULL ? klass->get_command (self, agent->number, n_workers) : NULL;

  agent->is_launched = TRUE;
  if (klass->start_agent != NULL ? klass->start_agent (self, agent->number, n_workers, error)
                                 : pool_launcher_start (self->launcher, agent->number, n_workers,
                                                        (const char *const *) argv, error))
    return TRUE;
  pool_remote_agent_free (agent);
  return FALSE;
}

/* Starts agents for the workers that are planned; where there can be no more, those that are there make them. */
gboolean
pool_remote_backend_launch (PoolRemoteBackend *self, GError **error)
{
  self->launch_at = 0;
  while (self->n_planned > 0 && !self->is_stopping && self->launch_at == 0)
    {
      guint n = pool_remote_backend_get_share (self, self->n_planned);

      if (n == 0)
        {
          self->n_planned = pool_remote_backend_ask_agents (self, self->n_planned, TRUE);
          if (self->n_planned == 0)
            return TRUE;
          /* those that have been started may say something yet */
          if (has_agents (self))
            {
              self->launch_at = g_get_monotonic_time () + AGAIN_US;
              return TRUE;
            }
          self->n_planned = 0;
          g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "no agent is left, and none can be started");
          return FALSE;
        }
      self->n_planned -= n;
      if (!launch_one (self, n, error))
        return FALSE;
    }
  return TRUE;
}

/* The same, when it is time for it. */
void
pool_remote_backend_launch_in_time (PoolRemoteBackend *self, gint64 now)
{
  g_autoptr (GError) error = NULL;

  if (self->launch_at != 0 && now >= self->launch_at && !pool_remote_backend_launch (self, &error))
    pool_remote_backend_launch_failed (self, self->config->processes, error->message);
}
