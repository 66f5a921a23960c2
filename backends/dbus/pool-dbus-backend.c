/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-dbus-agent.h"
#include "pool-dbus-stream.h"

#include "bindings/dbus/pool-service-error.h"

#include "libpool/pool-error.h"
#include "libpool/pool-remote-backend-private.h"

#include <dbus/dbus.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A pool whose workers the service on a bus has. It is asked over D-Bus to start an agent, and handed one end of a pair of sockets for
 * it; all that follows goes over those, and none of it through the bus. The connection to the bus stays, for the service to know how
 * long the pool is there, and to ask again if the agent is gone.
 */

#define NAME "org.libpool.Service1"
#define PEER 1
#define RECEIVE_MAX 256
#define ASK_MS 60000
/* So often in a row an agent is asked for that ends without a word. */
#define TRIES 3

typedef struct
{
  PoolRemoteBackend parent_instance;

  DBusConnection *bus;
  PoolDbusStream stream;
  gboolean has_stream;
  guint n_tries;
  int epoll_fd; /* of the stream that there is, and of the bus */
  GPtrArray *parts;
} PoolDbusBackend;

typedef PoolRemoteBackendClass PoolDbusBackendClass;

static GType pool_dbus_backend_get_type (void);

G_DEFINE_FINAL_TYPE (PoolDbusBackend, pool_dbus_backend, POOL_TYPE_REMOTE_BACKEND)

static PoolDbusBackend *
cast (gpointer self)
{
  return self;
}

static gboolean
watch (PoolDbusBackend *self, int fd)
{
  struct epoll_event event = { .events = EPOLLIN };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* --- the bus --- */

static gboolean
take_bus_error (DBusError *reason, GError **error)
{
  g_autoptr (GError) any = g_error_new_literal (POOL_ERROR, POOL_ERROR_BACKEND, "");
  GError *found;

  /* has the names registered */
  g_free (pool_service_error_get_name (any));
  found = g_dbus_error_new_for_dbus_error (reason->name != NULL ? reason->name : DBUS_ERROR_NO_MEMORY,
                                           reason->message != NULL ? reason->message : "there is no memory");
  g_dbus_error_strip_remote_error (found);
  if (found->domain == POOL_ERROR)
    g_propagate_error (error, found);
  else
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The service on the bus gives no workers: %s", found->message);
      g_error_free (found);
    }
  dbus_error_free (reason);
  return FALSE;
}

/* Makes the pair of sockets, keeps one, and returns the message that carries the other. */
static DBusMessage *
make_request (PoolDbusBackend *self)
{
  dbus_uint32_t n = self->parent_instance.config->processes;
  DBusMessage *message;
  int sockets[2];
  gboolean ok;

  if (self->has_stream)
    pool_dbus_stream_clear (&self->stream);
  self->has_stream = FALSE;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return NULL;
  message = dbus_message_new_method_call (NAME, "/org/libpool/Service1", NAME, "StartAgent");
  ok = message != NULL && dbus_message_append_args (message, DBUS_TYPE_UNIX_FD, &sockets[1], DBUS_TYPE_UINT32, &n, DBUS_TYPE_INVALID);
  close (sockets[1]);
  self->has_stream = TRUE;
  if (pool_dbus_stream_init (&self->stream, sockets[0]) && watch (self, self->stream.epoll_fd) && ok)
    return message;
  if (message != NULL)
    dbus_message_unref (message);
  return NULL;
}

static gboolean
ask_and_wait (PoolDbusBackend *self, GError **error)
{
  DBusError reason = DBUS_ERROR_INIT;
  DBusMessage *message = make_request (self);
  DBusMessage *reply = message != NULL ? dbus_connection_send_with_reply_and_block (self->bus, message, ASK_MS, &reason) : NULL;

  if (message != NULL)
    dbus_message_unref (message);
  if (reply == NULL)
    return take_bus_error (&reason, error);
  dbus_message_unref (reply);
  return TRUE;
}

/* The agent is gone: another one is asked for, and comes by itself. */
static void
ask_again (PoolDbusBackend *self)
{
  DBusMessage *message = ++self->n_tries <= TRIES && dbus_connection_get_is_connected (self->bus) ? make_request (self) : NULL;

  if (message == NULL)
    return;
  dbus_connection_send (self->bus, message, NULL);
  dbus_connection_flush (self->bus);
  dbus_message_unref (message);
}

/* --- what a remote backend is --- */

static gboolean
pool_dbus_backend_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  PoolRemoteConfig *remote = config->remote;

  if (remote->launcher != NULL && !g_str_equal (remote->launcher, "none"))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "The service on the bus starts the workers of a pool: there is no launcher to be chosen");
      return FALSE;
    }
  if (remote->endpoint != NULL && !g_str_equal (remote->endpoint, "session") && !g_str_equal (remote->endpoint, "system"))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The endpoint of a pool on D-Bus is “session” or “system”, not “%s”",
                   remote->endpoint);
      return FALSE;
    }
  /* as this side sees it, the agent comes by itself */
  g_free (remote->launcher);
  remote->launcher = g_strdup ("none");
  return POOL_BACKEND_CLASS (pool_dbus_backend_parent_class)->start (backend, config, error);
}

static gboolean
pool_dbus_backend_open (PoolRemoteBackend *remote, gboolean is_remote, GError **error)
{
  PoolDbusBackend *self = cast (remote);
  const char *endpoint = remote->config->remote->endpoint;
  DBusError reason = DBUS_ERROR_INIT;
  int fd = -1;

  if (!dbus_threads_init_default ())
    return take_bus_error (&reason, error);
  self->bus = dbus_bus_get_private (g_strcmp0 (endpoint, "system") == 0 ? DBUS_BUS_SYSTEM : DBUS_BUS_SESSION, &reason);
  if (self->bus == NULL)
    return take_bus_error (&reason, error);
  dbus_connection_set_exit_on_disconnect (self->bus, FALSE);
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0 || !dbus_connection_get_unix_fd (self->bus, &fd) || !watch (self, fd) ||
      !pool_remote_backend_watch_fd (remote, self->epoll_fd))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The bus cannot be watched: %s", g_strerror (errno));
      return FALSE;
    }
  return ask_and_wait (self, error);
}

static char **
pool_dbus_backend_get_command (PoolRemoteBackend *remote, guint agent, guint n_workers)
{
  /* nobody is started from here */
  return g_new0 (char *, 1);
}

static gboolean
pool_dbus_backend_send (PoolRemoteBackend *remote, guint peer, PoolWireWriter *message)
{
  PoolDbusBackend *self = cast (remote);

  return self->has_stream && pool_dbus_stream_send (&self->stream, message);
}

static void
pool_dbus_backend_forget (PoolRemoteBackend *remote, guint peer)
{
}

/* What the service says after the start: an agent that it could not start again. */
static void
read_bus (PoolDbusBackend *self)
{
  DBusMessage *message;

  dbus_connection_read_write (self->bus, 0);
  while ((message = dbus_connection_pop_message (self->bus)) != NULL)
    {
      if (dbus_message_get_type (message) == DBUS_MESSAGE_TYPE_ERROR)
        g_debug ("no agent: %s", dbus_message_get_error_name (message));
      dbus_message_unref (message);
    }
}

static void
lose_agents (PoolDbusBackend *self)
{
  PoolRemoteBackend *remote = &self->parent_instance;

  for (guint i = 0; i < remote->agents->len; i++)
    {
      PoolRemoteAgent *agent = remote->agents->pdata[i];

      if (agent != NULL && agent->peer != 0)
        agent->is_unreachable = TRUE;
    }
  pool_remote_backend_wake (remote);
  pool_dbus_stream_clear (&self->stream);
  self->has_stream = FALSE;
  if (!remote->is_stopping)
    ask_again (self);
}

static gboolean
pool_dbus_backend_receive (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);
  gboolean any = FALSE;

  if (self->bus != NULL)
    read_bus (self);
  if (!self->has_stream)
    return FALSE;
  pool_dbus_stream_flush (&self->stream);
  for (guint i = 0; i < RECEIVE_MAX && pool_dbus_stream_receive (&self->stream, self->parts); i++)
    {
      any = TRUE;
      self->n_tries = 0;
      pool_remote_backend_take_message (remote, PEER, (GBytes *const *) self->parts->pdata, self->parts->len);
    }
  g_ptr_array_set_size (self->parts, 0);
  if (self->stream.is_broken && !any)
    lose_agents (self);
  return any;
}

static gboolean
pool_dbus_backend_has_message (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);

  return self->has_stream && pool_dbus_stream_has_message (&self->stream);
}

static void
pool_dbus_backend_close (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);

  if (self->has_stream)
    pool_dbus_stream_clear (&self->stream);
  self->has_stream = FALSE;
  if (self->bus != NULL)
    {
      dbus_connection_close (self->bus);
      dbus_connection_unref (g_steal_pointer (&self->bus));
    }
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  self->epoll_fd = -1;
}

static void
pool_dbus_backend_finalize (GObject *object)
{
  pool_dbus_backend_close (POOL_REMOTE_BACKEND (object));
  g_ptr_array_unref (cast (object)->parts);
  G_OBJECT_CLASS (pool_dbus_backend_parent_class)->finalize (object);
}

static void
pool_dbus_backend_class_init (PoolDbusBackendClass *klass)
{
  POOL_BACKEND_CLASS (klass)->start = pool_dbus_backend_start;
  POOL_BACKEND_CLASS (klass)->worker_main = pool_dbus_agent_main;
  G_OBJECT_CLASS (klass)->finalize = pool_dbus_backend_finalize;
  klass->open = pool_dbus_backend_open;
  klass->get_command = pool_dbus_backend_get_command;
  klass->send = pool_dbus_backend_send;
  klass->forget = pool_dbus_backend_forget;
  klass->receive = pool_dbus_backend_receive;
  klass->has_message = pool_dbus_backend_has_message;
  klass->close = pool_dbus_backend_close;
}

static void
pool_dbus_backend_init (PoolDbusBackend *self)
{
  self->epoll_fd = -1;
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "dbus",
  .description = "processes of the service on the bus, which it starts",
  .get_type = pool_dbus_backend_get_type,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
