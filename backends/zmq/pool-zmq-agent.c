/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-zmq-agent.h"

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

typedef struct
{
  PoolAgentTransport transport;
  void *context, *socket;
  GPtrArray *parts;
  char *endpoint, *server_key, *key_file;
} PoolZmqAgent;

static gboolean
transport_send (PoolAgentTransport *transport, PoolWireWriter *message)
{
  return pool_zmq_send (((PoolZmqAgent *) transport)->socket, NULL, message);
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
  return any;
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
  if (zmq_connect (self->socket, self->endpoint) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no way to connect to \"%s\": %s",
                   self->endpoint, zmq_strerror (errno));
      return FALSE;
    }
  self->transport.fd = pool_zmq_get_fd (self->socket);
  return TRUE;
}

static void
transport_reconnect (PoolAgentTransport *transport)
{
  PoolZmqAgent *self = (PoolZmqAgent *) transport;
  g_autoptr (GError) error = NULL;

  zmq_close (g_steal_pointer (&self->socket));
  /* it could be done before */
  if (!connect_socket (self, &error))
    g_error ("%s", error->message);
}

static void
clear (PoolZmqAgent *self)
{
  int linger = LINGER_MS;

  if (self->socket != NULL)
    {
      zmq_setsockopt (self->socket, ZMQ_LINGER, &linger, sizeof linger);
      zmq_close (self->socket);
    }
  if (self->context != NULL)
    zmq_ctx_term (self->context);
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
