/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-monitor.h"

#include "pool-zmq-socket.h"

#include <string.h>
#include <zmq.h>

void *
pool_zmq_monitor_new (void *context, void *socket, int events)
{
  static gint last; /* a name is not free at once when its socket is closed */
  g_autofree char *name = g_strdup_printf ("inproc://libpool-monitor-%d", g_atomic_int_add (&last, 1));
  void *monitor = zmq_socket (context, ZMQ_PAIR);
  int none = 0;

  if (monitor == NULL)
    return NULL;
  zmq_setsockopt (monitor, ZMQ_LINGER, &none, sizeof none);
  /* with a limit ZeroMQ's own thread would wait at it, and all connections with it */
  zmq_setsockopt (monitor, ZMQ_RCVHWM, &none, sizeof none);
  if (zmq_socket_monitor (socket, name, events) == 0)
    {
      if (POOL_ZMQ_RETRY (zmq_connect (monitor, name)) == 0)
        return monitor;
      zmq_socket_monitor (socket, NULL, 0);
    }
  zmq_close (monitor);
  return NULL;
}

void
pool_zmq_monitor_drain (void *monitor, PoolZmqMonitorFunc func, gpointer data)
{
  guint8 frame[16], address[1];
  guint16 event;
  guint32 value;

  while (POOL_ZMQ_RETRY (zmq_recv (monitor, frame, sizeof frame, ZMQ_DONTWAIT)) == sizeof event + sizeof value)
    {
      memcpy (&event, frame, sizeof event);
      memcpy (&value, frame + sizeof event, sizeof value);
      /* the address is cut off */
      POOL_ZMQ_RETRY (zmq_recv (monitor, address, sizeof address, ZMQ_DONTWAIT));
      func (event, value, data);
    }
}

void
pool_zmq_monitor_free (void *monitor, void *socket)
{
  /* in this order: it would wait for a reader that is gone */
  zmq_socket_monitor (socket, NULL, 0);
  zmq_close (monitor);
}
