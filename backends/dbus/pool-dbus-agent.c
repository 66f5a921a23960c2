/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-dbus-agent.h"

#include "pool-dbus-stream.h"

#include "libpool/pool-agent-private.h"

#include <locale.h>

#define RECEIVE_MAX 256

typedef struct
{
  PoolAgentTransport transport;
  PoolDbusStream stream;
  GPtrArray *parts;
} PoolDbusAgent;

static gboolean
transport_send (PoolAgentTransport *transport, PoolWireWriter *message)
{
  return pool_dbus_stream_send (&((PoolDbusAgent *) transport)->stream, message);
}

static gboolean
transport_receive (PoolAgentTransport *transport, PoolAgent *agent)
{
  PoolDbusAgent *self = (PoolDbusAgent *) transport;
  gboolean any = FALSE;

  pool_dbus_stream_flush (&self->stream);
  for (guint i = 0; i < RECEIVE_MAX && pool_dbus_stream_receive (&self->stream, self->parts); i++)
    {
      pool_agent_take_message (agent, (GBytes *const *) self->parts->pdata, self->parts->len);
      any = TRUE;
    }
  g_ptr_array_set_size (self->parts, 0);
  /* its pool is gone, and with it all that there is to do: workers are processes of this one, and go with it */
  if (self->stream.is_broken && !any)
    exit (0);
  return any;
}

static gboolean
transport_has_message (PoolAgentTransport *transport)
{
  return pool_dbus_stream_has_message (&((PoolDbusAgent *) transport)->stream);
}

static void
transport_reconnect (PoolAgentTransport *transport)
{
  /* there is no other way to the pool */
}

int
pool_dbus_agent_main (PoolBackend *backend, int argc, char **argv)
{
  PoolAgentSettings settings = { 0 };
  PoolDbusAgent self = { .transport = { .send = transport_send,
                                        .receive = transport_receive,
                                        .has_message = transport_has_message,
                                        .reconnect = transport_reconnect,
                                        .fd = -1,
                                        .name = "the pool" } };
  gint64 fd, processes, number, parent;
  int status;

  /* agent FD PROCESSES NUMBER PARENT, which the service gives */
  if (argc != 7 || !g_str_equal (argv[2], "agent"))
    return 2;
  fd = g_ascii_strtoll (argv[3], NULL, 10);
  processes = g_ascii_strtoll (argv[4], NULL, 10);
  number = g_ascii_strtoll (argv[5], NULL, 10);
  parent = g_ascii_strtoll (argv[6], NULL, 10);
  if (fd < 0 || fd > G_MAXINT || processes < 1 || processes > 4000 || number < 1 || number > G_MAXUINT)
    return 2;
  setlocale (LC_CTYPE, "");
  g_set_prgname ("pool-service agent");
  settings.n_workers = (guint) processes;
  /* each may have a successor before it has gone; whatever the pool asks for, it gets no more */
  settings.max_workers = 2 * settings.n_workers;
  settings.number = (guint) number;
  settings.parent = (pid_t) parent;
  if (!pool_dbus_stream_init (&self.stream, (int) fd))
    return 1;
  self.transport.fd = self.stream.epoll_fd;
  self.parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  status = pool_agent_run (&self.transport, &settings);
  pool_dbus_stream_clear (&self.stream);
  g_ptr_array_unref (self.parts);
  return status;
}
