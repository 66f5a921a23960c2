/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-socket.h"

#include "libpool/pool-descriptors-private.h"
#include "libpool/pool-error.h"

#include <unistd.h>

/* What a context and a socket open, with room for some connections. */
#define DESCRIPTORS 24

/* A peer that does not say who it is within this time is cut off, ms. */
#define HANDSHAKE_MS 3000
#define RECONNECT_MS 50
#define RECONNECT_MAX_MS 1000

gboolean
pool_zmq_check (GError **error)
{
  int major, minor, patch;

  zmq_version (&major, &minor, &patch);
  if (ZMQ_MAKE_VERSION (major, minor, patch) >= POOL_ZMQ_OLDEST)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
               "The library libzmq is of version %d.%d.%d, in which peers can do harm: 4.3.2 is needed", major, minor,
               patch);
  return FALSE;
}

void *
pool_zmq_context_new (GError **error)
{
  void *context;

  /* ZeroMQ ends the program when it cannot have one */
  if (!pool_zmq_check (error) || !pool_descriptors_check (DESCRIPTORS, "A pool of this backend", error))
    return NULL;
  context = zmq_ctx_new ();
  if (context == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "ZeroMQ does not start: %s", zmq_strerror (errno));
      return NULL;
    }
  zmq_ctx_set (context, ZMQ_BLOCKY, 0);
  zmq_ctx_set (context, ZMQ_MAX_SOCKETS, 16);
  return context;
}

void
pool_zmq_context_free (void *context)
{
  POOL_ZMQ_RETRY (zmq_ctx_term (context));
}

static void
set_int (void *socket, int option, int value)
{
  zmq_setsockopt (socket, option, &value, sizeof value);
}

void *
pool_zmq_socket_new (void *context, int type, GError **error)
{
  gint64 largest = (gint64) sysconf (_SC_PHYS_PAGES) * sysconf (_SC_PAGESIZE);
  void *socket = zmq_socket (context, type);

  if (socket == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "ZeroMQ has no socket: %s", zmq_strerror (errno));
      return NULL;
    }
  /* a frame that this machine could not hold; before it is known who sends it, there are 3 s for it */
  zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
  set_int (socket, ZMQ_LINGER, 0);
  /* how much is on its way is bounded by the tasks that agents are given */
  set_int (socket, ZMQ_SNDHWM, 0);
  set_int (socket, ZMQ_RCVHWM, 0);
  set_int (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
  set_int (socket, ZMQ_TCP_KEEPALIVE, 1);
  if (type == ZMQ_ROUTER)
    {
      set_int (socket, ZMQ_ROUTER_MANDATORY, 1);
      set_int (socket, ZMQ_BACKLOG, 1024);
    }
  else
    {
      /* a name may lead to either; a pool that listens says which it means */
      set_int (socket, ZMQ_IPV6, 1);
      /* what nobody would get is not kept for later */
      set_int (socket, ZMQ_IMMEDIATE, 1);
      set_int (socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
      set_int (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    }
  return socket;
}

int
pool_zmq_get_fd (void *socket)
{
  int fd = -1;
  size_t size = sizeof fd;

  zmq_getsockopt (socket, ZMQ_FD, &fd, &size);
  return fd;
}

gboolean
pool_zmq_has_message (void *socket)
{
  int events = 0;
  size_t size = sizeof events;

  POOL_ZMQ_RETRY (zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size));
  return (events & ZMQ_POLLIN) != 0;
}

/* --- sending --- */

/* Called by a thread of ZeroMQ's. */
static void
let_go (void *data, void *bytes)
{
  g_bytes_unref (bytes);
}

static gboolean
send_bytes (void *socket, GBytes *bytes, int flags)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  zmq_msg_t part;

  if (zmq_msg_init_data (&part, (void *) data, size, let_go, g_bytes_ref (bytes)) != 0)
    {
      g_bytes_unref (bytes);
      return FALSE;
    }
  if (POOL_ZMQ_RETRY (zmq_msg_send (&part, socket, flags | ZMQ_DONTWAIT)) >= 0)
    return TRUE;
  zmq_msg_close (&part);
  return FALSE;
}

gboolean
pool_zmq_send (void *socket, GBytes *to, PoolWireWriter *message)
{
  guint n = message->parts->len;

  if (to != NULL &&
      POOL_ZMQ_RETRY (zmq_send (socket, g_bytes_get_data (to, NULL), g_bytes_get_size (to),
                                ZMQ_SNDMORE | ZMQ_DONTWAIT)) < 0)
    return FALSE;
  if (POOL_ZMQ_RETRY (zmq_send (socket, message->head.data, message->head.len,
                                (n > 0 ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT)) < 0)
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!send_bytes (socket, message->parts->pdata[i], i + 1 < n ? ZMQ_SNDMORE : 0))
      return FALSE;
  return TRUE;
}

/* --- receiving --- */

static void
free_message (gpointer data)
{
  zmq_msg_close (data);
  g_free (data);
}

static GBytes *
wrap (zmq_msg_t *part)
{
  zmq_msg_t *kept = g_new (zmq_msg_t, 1);

  zmq_msg_init (kept);
  zmq_msg_move (kept, part);
  return g_bytes_new_with_free_func (zmq_msg_data (kept), zmq_msg_size (kept), free_message, kept);
}

gboolean
pool_zmq_receive (void *socket, GPtrArray *parts)
{
  gboolean more = TRUE;

  g_ptr_array_set_size (parts, 0);
  while (more)
    {
      zmq_msg_t part;

      zmq_msg_init (&part);
      if (POOL_ZMQ_RETRY (zmq_msg_recv (&part, socket, ZMQ_DONTWAIT)) < 0)
        {
          zmq_msg_close (&part);
          /* parts of a message come together */
          return FALSE;
        }
      more = zmq_msg_more (&part);
      /* one that has too many is refused for it later */
      if (parts->len < POOL_WIRE_PARTS_MAX + 3)
        g_ptr_array_add (parts, wrap (&part));
      zmq_msg_close (&part);
    }
  return TRUE;
}
