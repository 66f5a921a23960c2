/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-agent.h"

#include "pool-zmq-monitor.h"
#include "pool-zmq-security.h"
#include "pool-zmq-socket.h"

#include "libpool/pool-agent-private.h"
#include "libpool/pool-error.h"
#include "libpool/pool-init.h"

#include <errno.h>
#include <locale.h>

/* The agent's side: a dealer, connected to the router of its pool. */

#define RECEIVE_MAX 256
#define LINGER_MS 1000
#define RETRY_SECONDS 300
/* Connections that end so early, in a row, until that is taken for a refusal: a pool may as well be about to end. */
#define BROKEN_MAX 3
/* After a refusal ZeroMQ does not try again; but the list of keys may change. */
#define REFUSED_US (2 * G_USEC_PER_SEC)

typedef struct
{
  PoolAgentTransport transport;
  void *context, *socket;
  GPtrArray *parts;
  char *endpoint, *server_key, *key_file;

  void *monitor; /* NULL: the pool does not ask for keys */
  guint n_broken;
  gboolean has_told; /* why it is not let in */
  gint64 retry_at;   /* monotonic µs; 0: ZeroMQ tries by itself */
} PoolZmqAgent;

static gboolean
transport_send (PoolAgentTransport *transport, PoolWireWriter *message)
{
  return pool_zmq_send (((PoolZmqAgent *) transport)->socket, NULL, message);
}

/* The pool does not say why it lets nobody in. */
static void
tell_why (PoolZmqAgent *self, guint16 event)
{
  char key[41] = "";
  size_t size = sizeof key;

  if (self->has_told)
    return;
  self->has_told = TRUE;
  zmq_getsockopt (self->socket, ZMQ_CURVE_PUBLICKEY, key, &size);
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
    g_printerr ("%s: %s refused this agent's key: is its public key, %s, in the pool's allowed-keys?\n",
                g_get_prgname (), self->endpoint, key);
  else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
    g_printerr ("%s: what answers at %s is no pool that asks for keys\n", g_get_prgname (), self->endpoint);
  else
    g_printerr ("%s: %s breaks off each connection: is %s the public key of that pool?\n", g_get_prgname (),
                self->endpoint, self->server_key);
}

static void
take_event (guint16 event, guint32 value, gpointer data)
{
  PoolZmqAgent *self = data;

  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
    self->retry_at = g_get_monotonic_time () + REFUSED_US;
  if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
    {
      self->n_broken = 0;
      self->has_told = FALSE;
    }
  else if (event != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || ++self->n_broken >= BROKEN_MAX)
    tell_why (self, event);
}

static gboolean
transport_has_message (PoolAgentTransport *transport)
{
  return pool_zmq_has_message (((PoolZmqAgent *) transport)->socket);
}

static gboolean
connect_socket (PoolZmqAgent *self, GError **error)
{
  self->socket = pool_zmq_socket_new (self->context, ZMQ_DEALER, error);
  if (self->socket == NULL)
    return FALSE;
  if (g_str_has_prefix (self->endpoint, "tcp:") &&
      !pool_zmq_security_set_up_agent (self->socket, self->server_key, self->key_file, error))
    return FALSE;
  if (g_str_has_prefix (self->endpoint, "tcp:"))
    self->monitor = pool_zmq_monitor_new (self->context, self->socket,
                                          ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
  if (POOL_ZMQ_RETRY (zmq_connect (self->socket, self->endpoint)) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no way to connect to \"%s\": %s",
                   self->endpoint, zmq_strerror (errno));
      return FALSE;
    }
  self->transport.fd = pool_zmq_get_fd (self->socket);
  return TRUE;
}

static void
close_socket (void *socket, void *monitor)
{
  if (monitor != NULL)
    pool_zmq_monitor_free (monitor, socket);
  if (socket != NULL)
    zmq_close (socket);
}

static void
transport_reconnect (PoolAgentTransport *transport)
{
  PoolZmqAgent *self = (PoolZmqAgent *) transport;
  void *socket = g_steal_pointer (&self->socket), *monitor = g_steal_pointer (&self->monitor);
  g_autoptr (GError) error = NULL;

  self->retry_at = 0;
  if (connect_socket (self, &error))
    {
      close_socket (socket, monitor);
      return;
    }
  /* the file of its keys may come back */
  if (!self->has_told)
    g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  self->has_told = TRUE;
  close_socket (self->socket, self->monitor);
  self->socket = socket;
  self->monitor = monitor;
  self->transport.fd = pool_zmq_get_fd (socket);
  self->retry_at = g_get_monotonic_time () + REFUSED_US;
}

static gboolean
transport_receive (PoolAgentTransport *transport, PoolAgent *agent)
{
  PoolZmqAgent *self = (PoolZmqAgent *) transport;
  gboolean any = FALSE;

  for (guint i = 0; i < RECEIVE_MAX && pool_zmq_receive (self->socket, self->parts); i++)
    {
      pool_agent_take_message (agent, (GBytes *const *) self->parts->pdata, self->parts->len);
      any = TRUE;
    }
  g_ptr_array_set_size (self->parts, 0);
  /* while it looks for a pool it comes here twice a second */
  if (self->monitor != NULL)
    pool_zmq_monitor_drain (self->monitor, take_event, self);
  if (self->retry_at != 0 && g_get_monotonic_time () >= self->retry_at)
    transport_reconnect (transport);
  return any;
}

static void
clear (PoolZmqAgent *self)
{
  int linger = LINGER_MS;

  if (self->socket != NULL)
    {
      zmq_setsockopt (self->socket, ZMQ_LINGER, &linger, sizeof linger);
      close_socket (self->socket, self->monitor);
    }
  if (self->context != NULL)
    pool_zmq_context_free (self->context);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_free (self->endpoint);
  g_free (self->server_key);
  g_free (self->key_file);
}

static int
fail (PoolZmqAgent *self, const GError *error, int status)
{
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  clear (self);
  return status;
}

static gboolean
check_options (const PoolZmqAgent *self, int processes, GError **error)
{
  if (self->endpoint == NULL)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "Which pool? Give --connect ENDPOINT, such as tcp://HOST:5555");
  else if (processes < 0 || processes > 4000)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "An agent has 1 to 4000 workers, not %d", processes);
  else
    return TRUE;
  return FALSE;
}

/* "-j4" as the commands have it, which GOption does not know. */
static char **
spell_out (char **argv)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (char **word = argv; *word != NULL; word++)
    {
      g_autofree char *spelt = g_str_has_prefix (*word, "-j") && g_ascii_isdigit ((*word)[2])
                                   ? g_strconcat ("--processes=", *word + 2, NULL)
                                   : g_strdup (*word);

      g_strv_builder_add (builder, spelt);
    }
  return g_strv_builder_end (builder);
}

int
pool_zmq_agent_main (PoolBackend *backend, int argc, char **argv)
{
  PoolZmqAgent self = { .transport = { transport_send, transport_receive, transport_has_message, transport_reconnect } };
  PoolAgentSettings settings = { .retry = RETRY_SECONDS };
  int processes = 0, number = 0, parent = 0;
  gboolean accepts = FALSE, stays = FALSE, verbose = FALSE;
  g_autofree char *tags = NULL;
  g_auto (GStrv) command = NULL;
  const GOptionEntry entries[] = {
    { "connect", 'c', 0, G_OPTION_ARG_STRING, &self.endpoint, "the pool to work for: tcp://HOST:PORT or ipc:///PATH", "ENDPOINT" },
    { "processes", 'j', 0, G_OPTION_ARG_INT, &processes, "workers to run (default: one for each CPU)", "N" },
    { "server-key", 0, 0, G_OPTION_ARG_STRING, &self.server_key, "the pool's public key, or a file that has it", "KEY" },
    { "key-file", 'k', 0, G_OPTION_ARG_FILENAME, &self.key_file, "this agent's keys, as “pool keygen” makes them", "FILE" },
    { "tag", 0, 0, G_OPTION_ARG_STRING, &tags, "what this machine has, for the pool to see", "TEXT" },
    { "retry", 0, 0, G_OPTION_ARG_DOUBLE, &settings.retry, "how long to look for the pool; negative: for ever (default: 300)", "SECONDS" },
    { "stay", 0, 0, G_OPTION_ARG_NONE, &stays, "wait for the next pool after the end of one", NULL },
    { "accept-command", 0, 0, G_OPTION_ARG_NONE, &accepts, "workers may run a program that the pool names", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "tell what happens on standard error", NULL },
    { "agent", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &number, NULL, NULL },
    { "parent", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &parent, NULL, NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &command, NULL, "[COMMAND OF WORKERS…]" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) words = NULL;
  g_autofree char *name = NULL;
  int status;

  if (argc < 3 || !g_str_equal (argv[2], "agent"))
    return 2;
  /* for what it says, not for what its workers do */
  setlocale (LC_CTYPE, "");
  name = g_path_get_basename (argv[0]);
  g_set_prgname (name);
  words = spell_out (argv + 2);
  g_option_context_set_summary (context, "Runs tasks of a pool on this machine.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse_strv (context, &words, &error) || !check_options (&self, processes, &error))
    return fail (&self, error, 2);

  settings.n_workers = processes > 0 ? (guint) processes : pool_cpu_count ();
  settings.number = number;
  settings.parent = parent;
  settings.worker_command = (const char *const *) command;
  settings.accepts_command = accepts;
  settings.stays = stays;
  settings.tags = tags;
  settings.is_verbose = verbose;
  self.transport.name = self.endpoint;
  self.parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self.context = pool_zmq_context_new (&error);
  if (self.context == NULL || !connect_socket (&self, &error))
    return fail (&self, error, 1);
  status = pool_agent_run (&self.transport, &settings);
  clear (&self);
  return status;
}
