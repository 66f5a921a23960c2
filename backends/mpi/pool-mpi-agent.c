/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-agent.h"

#include "pool-mpi-backoff.h"
#include "pool-mpi-link.h"
#include "pool-mpi-messages.h"
#include "pool-mpi-start.h"

#include "libpool/pool-agent-private.h"
#include "libpool/pool-copy-private.h"
#include "libpool/pool-init.h"

#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* The agent's side: a rank, or a process that was spawned. It does nothing of its own until it is wanted. */

#define RECEIVE_MAX 256
/* How long what is said last may take to go out, µs. */
#define LINGER_US (2 * G_USEC_PER_SEC)
/* How often one that is no agent any more looks whether the job has ended, µs. */
#define END_POLL_US 10000
/* How often the MPI is asked while messages come by a link, µs. */
#define ASK_US 500

typedef struct
{
  PoolAgentTransport transport;
  PoolAgentSettings settings;
  PoolMpiMessages messages;
  PoolMpiBackoff backoff;
  PoolMpiPeer *pool; /* the pool's process */
  PoolMpiLink link;  /* to the pool, if that is on this machine; without a buffer: there is none */
  gboolean is_cut;   /* the pool has closed it */
  gint64 asked_at;   /* monotonic µs: when the MPI was asked last */
  GPtrArray *parts;
  guint n_workers;   /* that the user has asked for; 0: as many as the pool does */
  gboolean is_spawned;
  gboolean has_pool;
  gboolean is_over, is_in_order;
} PoolMpiAgent;

static PoolMpiAgent *
cast (PoolAgentTransport *transport)
{
  return (PoolMpiAgent *) transport;
}

static void
tell (PoolMpiAgent *self, PoolMpiEnvelopeKind kind)
{
  const PoolMpiEnvelope envelope = { .kind = kind, .pid = getpid (), .bell = self->messages.bell.name,
                                     .machine = pool_mpi_get_machine () };

  pool_mpi_messages_send (&self->messages, self->pool, &envelope, NULL, 0, NULL, 0);
}

/* --- on one machine --- */

static gboolean
has_link (const PoolMpiAgent *self)
{
  return self->link.buffer != NULL;
}

static gboolean
send_by_link (PoolMpiAgent *self, PoolWireWriter *message)
{
  gboolean ok = pool_mpi_link_send_message (&self->link, 0, message);

  pool_mpi_link_watch (&self->link, self->backoff.epoll_fd);
  return ok;
}

static gboolean
receive_by_link (PoolMpiAgent *self, PoolAgent *agent)
{
  gboolean any = FALSE;
  PoolMpiFrame frame;

  for (guint i = 0; i < RECEIVE_MAX && has_link (self) && pool_mpi_link_receive (&self->link, &frame, self->parts); i++)
    {
      any = TRUE;
      if (self->has_pool)
        pool_agent_take_message (agent, (GBytes *const *) self->parts->pdata, self->parts->len);
    }
  g_ptr_array_set_size (self->parts, 0);
  if (!has_link (self))
    return any;
  if (pool_mpi_link_has_output (&self->link))
    pool_mpi_link_flush (&self->link);
  if (pool_mpi_link_is_moving (&self->link))
    pool_agent_hear (agent);
  pool_mpi_link_watch (&self->link, self->backoff.epoll_fd);
  self->is_cut = self->link.is_broken;
  /* it would be readable for ever; what became of the pool is told by the MPI */
  if (self->is_cut)
    pool_mpi_link_clear (&self->link);
  return any;
}

/* What was said last is still to go out, if there is somebody who takes it. */
static void
close_link (PoolMpiAgent *self)
{
  gint64 until = g_get_monotonic_time () + LINGER_US;

  if (!has_link (self))
    return;
  while (pool_mpi_link_flush (&self->link) && pool_mpi_link_has_output (&self->link) && g_get_monotonic_time () < until)
    {
      struct pollfd fd = { self->link.fd, POLLOUT, 0 };

      poll (&fd, 1, LINGER_US / 1000);
    }
  pool_mpi_link_clear (&self->link);
}

static void
open_link (PoolMpiAgent *self, gboolean is_direct)
{
  close_link (self);
  self->is_cut = FALSE;
  if (!is_direct)
    return;
  pool_mpi_messages_take_bells (&self->messages);
  if (self->messages.bell.handed < 0)
    return;
  pool_mpi_link_init (&self->link, self->messages.bell.handed);
  self->messages.bell.handed = -1;
  pool_mpi_link_watch (&self->link, self->backoff.epoll_fd);
  /* there may be no message for long by which each side hears that the other one rings */
  self->pool->has_rung = self->pool->bell != 0;
  pool_mpi_bell_ring (&self->messages.bell, self->pool->bell);
}

/* --- the transport --- */

static gboolean
transport_send (PoolAgentTransport *transport, PoolWireWriter *message)
{
  PoolMpiAgent *self = cast (transport);

  if (!self->has_pool || self->is_cut)
    return FALSE;
  if (has_link (self))
    return send_by_link (self, message);
  pool_mpi_messages_send (&self->messages, self->pool, &(PoolMpiEnvelope){ .kind = POOL_MPI_ENVELOPE_MESSAGE },
                          message->head.data, message->head.len, (GBytes *const *) message->parts->pdata,
                          message->parts->len);
  pool_mpi_backoff_reset (&self->backoff);
  return !self->pool->is_gone;
}

static gboolean
transport_has_pool (PoolAgentTransport *transport)
{
  return cast (transport)->has_pool;
}

static void
forget_pool (PoolAgentTransport *transport)
{
  PoolMpiAgent *self = cast (transport);

  if (!self->has_pool)
    return;
  self->has_pool = FALSE;
  close_link (self);
  tell (self, POOL_MPI_ENVELOPE_FREE);
}

static void
begin (PoolMpiAgent *self, const PoolMpiEnvelope *envelope)
{
  self->has_pool = TRUE;
  self->settings.number = envelope->number;
  self->settings.n_workers = CLAMP (self->n_workers > 0 ? self->n_workers : envelope->n_workers, 1, 4000);
  self->pool->bell = envelope->machine == pool_mpi_get_machine () ? envelope->bell : 0;
  open_link (self, envelope->is_direct != 0);
  self->settings.streams =
      envelope->machine == pool_mpi_get_machine () && envelope->machine != 0 ? (pid_t) envelope->pid : 0;
}

static void
take_envelope (PoolMpiAgent *self, PoolAgent *agent, const PoolMpiEnvelope *envelope)
{
  switch (envelope->kind)
    {
    case POOL_MPI_ENVELOPE_MESSAGE:
      if (self->has_pool)
        pool_agent_take_message (agent, (GBytes *const *) self->parts->pdata, self->parts->len);
      return;
    case POOL_MPI_ENVELOPE_BEGIN:
      begin (self, envelope);
      return;
    case POOL_MPI_ENVELOPE_DROP:
      if (self->has_pool)
        pool_agent_leave (agent, self->is_spawned);
      return;
    case POOL_MPI_ENVELOPE_OVER:
      self->is_over = TRUE;
      self->is_in_order = envelope->n_workers != 0;
      pool_agent_leave (agent, TRUE);
      return;
    default:
      return;
    }
}

static gboolean
receive_by_mpi (PoolMpiAgent *self, PoolAgent *agent)
{
  PoolMpiEnvelope envelope;
  gboolean any = pool_mpi_messages_progress (&self->messages);

  if (pool_mpi_messages_take_bells (&self->messages))
    pool_mpi_backoff_reset (&self->backoff);
  for (guint i = 0; i < RECEIVE_MAX && !self->is_over &&
                    pool_mpi_messages_receive (&self->messages, &envelope, self->parts) != NULL;
       i++)
    {
      take_envelope (self, agent, &envelope);
      any = TRUE;
    }
  g_ptr_array_set_size (self->parts, 0);
  if (self->pool->is_gone && !self->is_over)
    {
      self->is_over = TRUE;
      pool_agent_leave (agent, TRUE);
    }
  if (pool_mpi_messages_is_moving (&self->messages))
    pool_agent_hear (agent);
  if (any)
    pool_mpi_backoff_reset (&self->backoff);
  return any;
}

static gboolean
transport_receive (PoolAgentTransport *transport, PoolAgent *agent)
{
  PoolMpiAgent *self = cast (transport);
  gint64 now = has_link (self) ? g_get_monotonic_time () : 0;
  gboolean any = receive_by_link (self, agent);

  /* while all goes by the link the MPI has hardly anything to say; before it is slept for, it is asked in any case */
  if (now == 0 || now - self->asked_at > ASK_US)
    {
      self->asked_at = now;
      any |= receive_by_mpi (self, agent);
    }
  return any;
}

/* How long a sleep is to be is decided here. */
static gboolean
has_message_by_mpi (PoolMpiAgent *self)
{
  if (pool_mpi_messages_take_bells (&self->messages))
    pool_mpi_backoff_reset (&self->backoff);
  if (pool_mpi_messages_has_message (&self->messages))
    return TRUE;
  if (pool_mpi_messages_is_moving (&self->messages))
    {
      pool_mpi_backoff_reset (&self->backoff);
      return TRUE;
    }
  return pool_mpi_backoff_next (&self->backoff, pool_mpi_messages_have_bells (&self->messages));
}

/* Asked before every sleep. */
static gboolean
transport_has_message (PoolAgentTransport *transport)
{
  PoolMpiAgent *self = cast (transport);

  if (has_link (self) && pool_mpi_link_has_frame (&self->link))
    return TRUE;
  if (!has_message_by_mpi (self))
    return FALSE;
  self->asked_at = 0;
  return TRUE;
}

/* --- the program --- */

static void
drain (PoolMpiAgent *self)
{
  gint64 until = g_get_monotonic_time () + LINGER_US;

  while (!pool_mpi_messages_is_idle (&self->messages) && g_get_monotonic_time () < until)
    {
      pool_mpi_messages_progress (&self->messages);
      g_usleep (100);
    }
}

/* It takes no more tasks; but a rank that goes before the others takes the job with it. */
static void
wait_for_end (PoolMpiAgent *self)
{
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGINT);
  sigprocmask (SIG_UNBLOCK, &signals, NULL);
  while (!self->is_over && !self->pool->is_gone)
    {
      PoolMpiEnvelope envelope;

      pool_mpi_messages_progress (&self->messages);
      if (pool_mpi_messages_receive (&self->messages, &envelope, self->parts) == NULL)
        {
          g_usleep (END_POLL_US);
          continue;
        }
      self->is_over = envelope.kind == POOL_MPI_ENVELOPE_OVER;
      self->is_in_order = envelope.n_workers != 0;
    }
}

static void
find_pool (PoolMpiAgent *self)
{
  MPI_Comm parent = MPI_COMM_NULL;

  MPI_Comm_get_parent (&parent);
  self->is_spawned = parent != MPI_COMM_NULL;
  if (self->is_spawned)
    MPI_Comm_set_errhandler (parent, MPI_ERRORS_RETURN);
  self->pool = pool_mpi_messages_add_peer (&self->messages, self->is_spawned ? parent : MPI_COMM_WORLD, 0);
}

static gboolean
check_rank (PoolMpiAgent *self, GError **error)
{
  int rank = 0, size = 1;

  MPI_Comm_rank (MPI_COMM_WORLD, &rank);
  MPI_Comm_size (MPI_COMM_WORLD, &size);
  if (self->is_spawned || (rank > 0 && size > 1))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
               "Rank 0 has the pool, and this is rank %d of %d: start it beside the program, as in “mpirun -n 1 PROGRAM : -n 4 "
               "pool worker --mpi”",
               rank, size);
  return FALSE;
}

static void run (PoolMpiAgent *self) G_GNUC_NORETURN;

static void
run (PoolMpiAgent *self)
{
  g_autoptr (GError) error = NULL;
  int status;

  self->transport = (PoolAgentTransport){ .send = transport_send,
                                          .receive = transport_receive,
                                          .has_message = transport_has_message,
                                          .reconnect = forget_pool,
                                          .has_pool = transport_has_pool,
                                          .forget_pool = forget_pool,
                                          .name = "the pool" };
  self->settings.retry = -1;
  self->settings.accepts_command = TRUE;
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  pool_mpi_set_environment (FALSE);
  pool_mpi_messages_init (&self->messages);
  /* workers come from a process that was made before there was an MPI */
  if (!pool_copy_make (&error) || !pool_mpi_backoff_init (&self->backoff, &error) || !pool_mpi_start (&error))
    {
      g_printerr ("%s: %s\n", g_get_prgname (), error->message);
      _exit (1);
    }
  find_pool (self);
  if (!check_rank (self, &error))
    {
      g_printerr ("%s: %s\n", g_get_prgname (), error->message);
      pool_mpi_exit (2, TRUE);
    }
  self->settings.stays = !self->is_spawned;
  self->transport.fd = pool_mpi_backoff_get_fd (&self->backoff, self->messages.bell.fd);
  tell (self, POOL_MPI_ENVELOPE_HERE);
  status = pool_agent_run (&self->transport, &self->settings);
  drain (self);
  if (!self->is_over && !self->is_spawned)
    wait_for_end (self);
  pool_mpi_exit (self->is_over ? 0 : status, self->is_in_order);
}

void
pool_mpi_agent_be (gboolean has_program)
{
  PoolMpiAgent self = { .settings.has_program = has_program };

  run (&self);
}

int
pool_mpi_agent_main (int argc, char **argv)
{
  PoolMpiAgent self = { 0 };
  int processes = 0;
  gboolean verbose = FALSE;
  g_autofree char *tags = NULL;
  const GOptionEntry entries[] = {
    { "processes", 'j', 0, G_OPTION_ARG_INT, &processes, "workers to run (default: as many as the pool asks for)", "N" },
    { "tag", 0, 0, G_OPTION_ARG_STRING, &tags, "what this machine has, for the pool to see", "TEXT" },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "tell what happens on standard error", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) words = g_strdupv (argv + 2);
  g_autofree char *name = g_path_get_basename (argv[0]);

  setlocale (LC_CTYPE, "");
  g_set_prgname (name);
  g_option_context_set_summary (context, "Runs tasks of a pool in a rank of its job.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse_strv (context, &words, &error) && (processes < 0 || processes > 4000))
    g_set_error (&error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "An agent has 1 to 4000 workers, not %d", processes);
  if (error != NULL)
    {
      g_printerr ("%s: %s\n", name, error->message);
      return 2;
    }
  self.n_workers = processes;
  self.settings.is_verbose = verbose;
  self.settings.tags = tags;
  run (&self);
}
