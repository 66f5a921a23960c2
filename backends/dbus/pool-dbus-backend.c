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
 * A pool whose workers the service on a bus has. It is asked over D-Bus to start agents, and handed one end of a pair of sockets for
 * each; all that follows goes over those, and none of it through the bus. The connection to the bus stays, for the service to know how
 * long the pool is there, and to be asked for more agents: when the pool grows, or some are gone.
 */

#define NAME "org.libpool.Service1"
#define RECEIVE_MAX 256
#define ASK_MS 60000

/* The way to an agent; the number of the agent is also that of the peer. */
typedef struct
{
  guint agent;
  dbus_uint32_t serial; /* of the request for it, while there is no answer; or 0 */
  gboolean is_closed; /* it is wanted no more, and freed when nobody looks at it */
  char *how_ended;
  PoolDbusStream stream;
} PoolDbusPeer;

typedef struct
{
  PoolRemoteBackend parent_instance;

  DBusConnection *bus;
  gboolean is_started;
  GPtrArray *peers; /* PoolDbusPeer, owned */
  int epoll_fd; /* of the streams that there are, and of the bus */
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
  GError *found;

  pool_service_error_register ();
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

/* --- the ways to agents --- */

static void
free_peer (gpointer data)
{
  PoolDbusPeer *peer = data;

  pool_dbus_stream_clear (&peer->stream);
  g_free (peer->how_ended);
  g_free (peer);
}

static PoolDbusPeer *
find_peer (PoolDbusBackend *self, guint agent)
{
  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolDbusPeer *peer = self->peers->pdata[i];

      if (peer->agent == agent && !peer->is_closed)
        return peer;
    }
  return NULL;
}

/* Makes the pair of sockets, keeps one, and returns the message that carries the other. */
static DBusMessage *
make_request (PoolDbusPeer *peer, guint n_workers, GError **error)
{
  dbus_uint32_t n = n_workers, number = peer->agent;
  DBusMessage *message;
  int sockets[2];
  gboolean ok;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No sockets for an agent: %s", g_strerror (errno));
      return NULL;
    }
  message = dbus_message_new_method_call (NAME, "/org/libpool/Service1", NAME, "StartAgent");
  ok = message != NULL && dbus_message_append_args (message, DBUS_TYPE_UNIX_FD, &sockets[1], DBUS_TYPE_UINT32, &n,
                                                    DBUS_TYPE_UINT32, &number, DBUS_TYPE_INVALID);
  close (sockets[1]);
  if (pool_dbus_stream_init (&peer->stream, sockets[0]) && ok)
    return message;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "An agent cannot be asked for: there is no memory, or no descriptor");
  if (message != NULL)
    dbus_message_unref (message);
  return NULL;
}

static gboolean
ask_and_wait (PoolDbusBackend *self, DBusMessage *message, GError **error)
{
  DBusError reason = DBUS_ERROR_INIT;
  DBusMessage *reply = dbus_connection_send_with_reply_and_block (self->bus, message, ASK_MS, &reason);

  if (reply == NULL)
    return take_bus_error (&reason, error);
  dbus_message_unref (reply);
  return TRUE;
}

static gboolean
ask (PoolDbusBackend *self, DBusMessage *message, PoolDbusPeer *peer, GError **error)
{
  if (dbus_connection_get_is_connected (self->bus) && dbus_connection_send (self->bus, message, &peer->serial))
    {
      dbus_connection_flush (self->bus);
      return TRUE;
    }
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND, "The bus is gone, and with it the service");
  return FALSE;
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
  /* there the first agents are asked for, and the answer is waited for, since the start fails if there are none */
  if (!POOL_BACKEND_CLASS (pool_dbus_backend_parent_class)->start (backend, config, error))
    return FALSE;
  cast (backend)->is_started = TRUE;
  return TRUE;
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
  remote->agents_are_watched = TRUE;
  return TRUE;
}

static gboolean
pool_dbus_backend_start_agent (PoolRemoteBackend *remote, guint agent, guint n_workers, GError **error)
{
  PoolDbusBackend *self = cast (remote);
  PoolDbusPeer *peer = g_new0 (PoolDbusPeer, 1);
  DBusMessage *message;
  gboolean ok;

  peer->agent = agent;
  message = make_request (peer, n_workers, error);
  ok = message != NULL && (self->is_started ? ask (self, message, peer, error) : ask_and_wait (self, message, error));
  if (message != NULL)
    dbus_message_unref (message);
  if (ok && watch (self, peer->stream.epoll_fd))
    {
      g_ptr_array_add (self->peers, peer);
      return TRUE;
    }
  if (ok)
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "An agent cannot be watched: %s", g_strerror (errno));
  free_peer (peer);
  return FALSE;
}

/* One that has lost its pool ends. It may be what is received from just now. */
static void
close_peer (PoolRemoteBackend *remote, guint agent)
{
  PoolDbusPeer *peer = find_peer (cast (remote), agent);

  if (peer != NULL)
    peer->is_closed = TRUE;
}

static void
free_closed (PoolDbusBackend *self)
{
  for (guint i = self->peers->len; i > 0; i--)
    if (((PoolDbusPeer *) self->peers->pdata[i - 1])->is_closed)
      g_ptr_array_remove_index_fast (self->peers, i - 1);
}

static gboolean
pool_dbus_backend_send (PoolRemoteBackend *remote, guint agent, PoolWireWriter *message)
{
  PoolDbusPeer *peer = find_peer (cast (remote), agent);

  return peer != NULL && pool_dbus_stream_send (&peer->stream, message);
}

static PoolDbusPeer *
find_asked_for (PoolDbusBackend *self, dbus_uint32_t serial)
{
  for (guint i = 0; serial != 0 && i < self->peers->len; i++)
    {
      PoolDbusPeer *peer = self->peers->pdata[i];

      if (peer->serial == serial)
        return peer;
    }
  return NULL;
}

static void
take_answer (PoolDbusBackend *self, DBusMessage *message)
{
  PoolDbusPeer *peer = find_asked_for (self, dbus_message_get_reply_serial (message));
  DBusError reason = DBUS_ERROR_INIT;
  g_autoptr (GError) error = NULL;

  if (peer == NULL)
    return;
  peer->serial = 0;
  if (!dbus_set_error_from_message (&reason, message))
    return;
  take_bus_error (&reason, &error);
  peer->stream.is_broken = TRUE;
  peer->how_ended = g_strdup (error->message);
}

/* What the service says after the start: whether it starts the agents that it was asked for. */
static void
read_bus (PoolDbusBackend *self)
{
  DBusMessage *message;

  dbus_connection_read_write (self->bus, 0);
  while ((message = dbus_connection_pop_message (self->bus)) != NULL)
    {
      take_answer (self, message);
      dbus_message_unref (message);
    }
}

/* A bus may close the socket that it could not hand on before it says why; it answers whatever becomes of the service. */
static gboolean
awaits_reason (PoolDbusBackend *self, PoolDbusPeer *peer)
{
  return peer->stream.is_broken && peer->serial != 0 && dbus_connection_get_is_connected (self->bus);
}

static gboolean
receive_from (PoolDbusBackend *self, PoolDbusPeer *peer)
{
  PoolRemoteBackend *remote = &self->parent_instance;
  gboolean any = FALSE;

  pool_dbus_stream_flush (&peer->stream);
  for (guint i = 0; i < RECEIVE_MAX && !peer->is_closed && pool_dbus_stream_receive (&peer->stream, self->parts); i++)
    {
      any = TRUE;
      peer->serial = 0;
      pool_remote_backend_take_message (remote, peer->agent, (GBytes *const *) self->parts->pdata, self->parts->len);
    }
  g_ptr_array_set_size (self->parts, 0);
  if (awaits_reason (self, peer))
    epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, peer->stream.epoll_fd, NULL);
  else if (peer->stream.is_broken && !any && !peer->is_closed)
    {
      /* closed, it is there until nobody receives any more */
      peer->is_closed = TRUE;
      pool_remote_backend_agent_ended (remote, peer->agent,
                                       peer->how_ended != NULL ? peer->how_ended : "the service has ended it, or is gone");
      any = TRUE;
    }
  return any;
}

static gboolean
pool_dbus_backend_receive (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);
  gboolean any = FALSE;

  if (self->bus == NULL)
    return FALSE;
  read_bus (self);
  /* more of them may be asked for meanwhile; none is freed */
  for (guint i = 0; i < self->peers->len; i++)
    if (!((PoolDbusPeer *) self->peers->pdata[i])->is_closed)
      any |= receive_from (self, self->peers->pdata[i]);
  free_closed (self);
  return any;
}

static gboolean
pool_dbus_backend_has_message (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);

  /* who sends on the bus may have taken in something from it */
  if (self->bus != NULL && dbus_connection_get_dispatch_status (self->bus) == DBUS_DISPATCH_DATA_REMAINS)
    return TRUE;
  for (guint i = 0; i < self->peers->len; i++)
    {
      PoolDbusPeer *peer = self->peers->pdata[i];

      if (!peer->is_closed && !awaits_reason (self, peer) && pool_dbus_stream_has_message (&peer->stream))
        return TRUE;
    }
  return FALSE;
}

static void
pool_dbus_backend_close (PoolRemoteBackend *remote)
{
  PoolDbusBackend *self = cast (remote);

  g_ptr_array_set_size (self->peers, 0);
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
  g_ptr_array_unref (cast (object)->peers);
  G_OBJECT_CLASS (pool_dbus_backend_parent_class)->finalize (object);
}

static void
pool_dbus_backend_class_init (PoolDbusBackendClass *klass)
{
  POOL_BACKEND_CLASS (klass)->start = pool_dbus_backend_start;
  POOL_BACKEND_CLASS (klass)->worker_main = pool_dbus_agent_main;
  G_OBJECT_CLASS (klass)->finalize = pool_dbus_backend_finalize;
  klass->open = pool_dbus_backend_open;
  klass->start_agent = pool_dbus_backend_start_agent;
  klass->end_agent = close_peer;
  klass->send = pool_dbus_backend_send;
  klass->forget = close_peer;
  klass->receive = pool_dbus_backend_receive;
  klass->has_message = pool_dbus_backend_has_message;
  klass->close = pool_dbus_backend_close;
}

static void
pool_dbus_backend_init (PoolDbusBackend *self)
{
  self->epoll_fd = -1;
  self->peers = g_ptr_array_new_with_free_func (free_peer);
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
