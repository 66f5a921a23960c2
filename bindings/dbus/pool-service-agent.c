/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-agent.h"

#include "pool-service.h"

#include "libpool/pool-copy-private.h"

#include <libpool.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the agent finds its socket. */
#define AGENT_FD 3

struct _PoolServiceAgent
{
  PoolService *service;
  PoolServiceClient *client;
  PoolServiceAccount *account;
  guint n_workers;
  guint number; /* by which its pool knows it */
  int pidfd;
  guint watch; /* 0: it has ended */
  void (*ended) (PoolServiceAgent *self, gpointer user_data);
  gpointer user_data;
};

static void
on_ended (GPid pid, int status, gpointer user_data)
{
  PoolServiceAgent *self = user_data;

  self->watch = 0;
  self->ended (self, self->user_data);
}

/* The service takes signals from a descriptor; the agent is to have them as anybody has. */
static void
unblock_signals (gpointer user_data)
{
  sigset_t none;

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static gboolean
is_socket (int fd, GError **error)
{
  int type = 0;
  socklen_t size = sizeof type;

  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
    return TRUE;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The handle must be that of a stream socket");
  return FALSE;
}

static gboolean
spawn (PoolServiceAgent *self, int fd, GError **error)
{
  g_autofree char *program = pool_copy_find_worker_program ();
  g_autofree char *handle = g_strdup_printf ("%d", AGENT_FD);
  g_autofree char *processes = g_strdup_printf ("%u", self->n_workers);
  g_autofree char *number = g_strdup_printf ("%u", self->number);
  g_autofree char *parent = g_strdup_printf ("%d", (int) getpid ());
  const char *const argv[] = { program, "dbus", "agent", handle, processes, number, parent, NULL };
  const int target = AGENT_FD;
  g_autoptr (GError) reason = NULL;
  GPid pid;

  if (g_spawn_async_with_pipes_and_fds (NULL, argv, NULL,
                                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
                                            G_SPAWN_STDERR_TO_DEV_NULL,
                                        unblock_signals, NULL, -1, -1, -1, &fd, &target, 1, &pid, NULL, NULL, NULL, &reason))
    {
      self->pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
      self->watch = g_child_watch_add (pid, on_ended, self);
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No agent can be started: %s", reason->message);
  return FALSE;
}

/* All agents of a client are those of one pool. */
static gboolean
charge (PoolServiceClient *client, guint n_workers, GError **error)
{
  guint n_pools = client->n_agents == 0 ? 1 : 0;

  if (!pool_service_account_charge (client->account, POOL_SERVICE_POOLS, n_pools, error))
    return FALSE;
  if (!pool_service_account_charge (client->account, POOL_SERVICE_WORKERS, n_workers, error))
    {
      pool_service_account_give_back (client->account, POOL_SERVICE_POOLS, n_pools);
      return FALSE;
    }
  client->n_agents++;
  return TRUE;
}

PoolServiceAgent *
pool_service_agent_new (PoolService *service, PoolServiceClient *client, int fd, guint n_workers, guint number,
                        void (*ended) (PoolServiceAgent *self, gpointer user_data), gpointer user_data, GError **error)
{
  PoolServiceAgent *self;

  if (n_workers < 1 || n_workers > 4000)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "A pool has 1 to 4000 workers, not %u", n_workers);
      return NULL;
    }
  if (number < 1)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The agents of a pool are numbered from 1");
      return NULL;
    }
  if (!is_socket (fd, error) || !charge (client, n_workers, error))
    return NULL;
  self = g_new0 (PoolServiceAgent, 1);
  self->service = service;
  self->pidfd = -1;
  self->client = pool_service_client_ref (client);
  self->account = pool_service_account_ref (client->account);
  self->n_workers = n_workers;
  self->number = number;
  self->ended = ended;
  self->user_data = user_data;
  pool_service_hold (service);
  if (!spawn (self, fd, error))
    {
      pool_service_agent_free (self);
      return NULL;
    }
  return self;
}

void
pool_service_agent_kill (PoolServiceAgent *self)
{
  /* by its descriptor: the number may be another's as soon as GLib has reaped it, which is before it says so */
  if (self->pidfd >= 0)
    syscall (SYS_pidfd_send_signal, self->pidfd, SIGKILL, NULL, 0);
}

void
pool_service_agent_free (PoolServiceAgent *self)
{
  /* only when the service itself ends; its workers go with it */
  if (self->watch != 0)
    pool_service_agent_kill (self);
  g_clear_handle_id (&self->watch, g_source_remove);
  if (self->pidfd >= 0)
    close (self->pidfd);
  pool_service_account_give_back (self->account, POOL_SERVICE_POOLS, --self->client->n_agents == 0 ? 1 : 0);
  pool_service_account_give_back (self->account, POOL_SERVICE_WORKERS, self->n_workers);
  pool_service_account_unref (self->account);
  pool_service_client_unref (self->client);
  pool_service_release (self->service);
  g_free (self);
}

gboolean
pool_service_agent_is_of (PoolServiceAgent *self, PoolServiceClient *client)
{
  return self->client == client;
}
