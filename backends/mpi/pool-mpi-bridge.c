/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-bridge.h"

#include "pool-mpi-backoff.h"
#include "pool-mpi-link.h"
#include "pool-mpi-messages.h"
#include "pool-mpi-start.h"

#include "libpool/pool-copy-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Messages that are passed on in one go, so that the other direction gets its turn. */
#define PASS_MAX 256
/* A rank that does not say that it is free within this time is not there, µs. */
#define ANSWER_US (10 * G_USEC_PER_SEC)
/* How long agents have to hear that all is over, µs. */
#define OVER_US (2 * G_USEC_PER_SEC)
/* How often it is seen to whether processes of ranks are still there, µs. */
#define LOOK_US (20 * 1000)

typedef enum
{
  PEER_EXPECTED, /* nothing was heard of it */
  PEER_FREE,
  PEER_BUSY,     /* it is, or was told to be, an agent */
  PEER_DROPPED,  /* it was told that it is none any more */
  PEER_LOST,     /* it did not answer, but may yet */
} PeerState;

typedef struct
{
  PoolMpiLink link;
  PoolMpiMessages messages;
  PoolMpiBackoff backoff;
  GPtrArray *parts;
  char **info; /* KEY=VALUE */
  guint64 machine;
  pid_t program;
  gboolean spawns;
  gboolean has_pool;
  gboolean lost_one; /* a rank has gone: the end cannot be in order */
  guint n_places; /* that the pool was told of */
} Bridge;

/* --- what becomes of ranks --- */

static void
tell_peer (Bridge *self, PoolMpiPeer *peer, PoolMpiEnvelopeKind kind, gboolean is_direct)
{
  const PoolMpiEnvelope envelope = { .kind = kind, .number = peer->number, .n_workers = peer->n_workers,
                                     .pid = self->program, .bell = self->messages.bell.name,
                                     .machine = self->machine, .is_direct = is_direct };

  pool_mpi_messages_send (&self->messages, peer, &envelope, NULL, 0, NULL, 0);
}

static guint
count_places (Bridge *self)
{
  guint n = 0;

  for (guint i = 0; i < self->messages.peers->len; i++)
    {
      const PoolMpiPeer *peer = self->messages.peers->pdata[i];

      n += !peer->is_gone && peer->number == 0 && peer->state != PEER_LOST;
    }
  return n;
}

static void
tell_places (Bridge *self)
{
  guint n = count_places (self);

  if (self->spawns || !self->has_pool || n == self->n_places)
    return;
  self->n_places = n;
  pool_mpi_link_send (&self->link, POOL_MPI_PLACES, 0, n, NULL);
}

static void
tell_ended (Bridge *self, guint number, const char *how)
{
  if (self->has_pool)
    pool_mpi_link_send (&self->link, POOL_MPI_ENDED, 0, number, how);
}

/* It is known, or supposed, to be no more. */
static void
lose_peer (Bridge *self, PoolMpiPeer *peer, PeerState state, const char *how)
{
  guint number = peer->number;

  peer->number = 0;
  peer->asked_at = 0;
  peer->state = state;
  if (number != 0)
    tell_ended (self, number, how);
  tell_places (self);
}

static void
bury_peer (Bridge *self, PoolMpiPeer *peer, const char *how)
{
  peer->is_gone = TRUE;
  self->lost_one = TRUE;
  if (peer->pidfd >= 0)
    close (peer->pidfd);
  peer->pidfd = -1;
  lose_peer (self, peer, PEER_LOST, how);
}

/* What cannot be sent to it, or received, is the end of it; so is that of its process. */
static gboolean
look_after_peers (Bridge *self)
{
  gint64 now = g_get_monotonic_time ();
  gboolean any = FALSE;

  for (guint i = 0; i < self->messages.peers->len; i++)
    {
      PoolMpiPeer *peer = self->messages.peers->pdata[i];
      struct pollfd fd = { peer->pidfd, POLLIN, 0 };

      if (peer->is_gone && peer->state == PEER_LOST)
        continue;
      if (self->has_pool && pool_mpi_messages_is_peer_moving (peer, now))
        pool_mpi_link_send (&self->link, POOL_MPI_MOVING, peer->id, 0, NULL);
      if (!peer->is_gone && peer->asked_at != 0 && now - peer->asked_at > ANSWER_US)
        lose_peer (self, peer, PEER_LOST, "its rank does not answer");
      else if (peer->is_gone)
        bury_peer (self, peer, "the MPI has lost its rank");
      else if (peer->pidfd >= 0 && poll (&fd, 1, 0) > 0)
        bury_peer (self, peer, "its process has ended");
      else
        continue;
      any = TRUE;
    }
  return any;
}

/*
 * One on this machine and the program get a link to each other, so that a message need not go through this process and the MPI. The
 * agent has its end before it hears that it is to begin. FALSE: messages go by the MPI.
 */
static gboolean
join_peer (Bridge *self, PoolMpiPeer *peer)
{
  gboolean ok;
  int sockets[2];

  if (peer->bell == 0 || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return FALSE;
  /* if the agent cannot be given its end, the program sees that nobody has it */
  ok = pool_mpi_link_send_fd (&self->link, POOL_MPI_DIRECT, peer->id, sockets[0]) &&
       pool_mpi_bell_hand (&self->messages.bell, peer->bell, sockets[1]);
  close (sockets[0]);
  close (sockets[1]);
  return ok;
}

/* It is free, and somebody may be waiting for that. */
static void
begin_peer (Bridge *self, PoolMpiPeer *peer)
{
  peer->state = PEER_BUSY;
  peer->asked_at = 0;
  tell_peer (self, peer, POOL_MPI_ENVELOPE_BEGIN, join_peer (self, peer));
}

static void
drop_peer (Bridge *self, PoolMpiPeer *peer)
{
  peer->number = 0;
  peer->asked_at = 0;
  if (peer->state == PEER_BUSY)
    {
      tell_peer (self, peer, POOL_MPI_ENVELOPE_DROP, FALSE);
      peer->state = PEER_DROPPED;
    }
}

static PoolMpiPeer *
find_agent (Bridge *self, guint number)
{
  for (guint i = 0; number != 0 && i < self->messages.peers->len; i++)
    {
      PoolMpiPeer *peer = self->messages.peers->pdata[i];

      if (peer->number == number)
        return peer;
    }
  return NULL;
}

/* --- what ranks say --- */

static void
take_here (Bridge *self, PoolMpiPeer *peer, const PoolMpiEnvelope *envelope)
{
  peer->pid = (pid_t) envelope->pid;
  peer->bell = envelope->machine == self->machine ? envelope->bell : 0;
  /* the end of a process of this machine shows at once */
  if (envelope->machine == self->machine && self->machine != 0 && peer->pidfd < 0)
    peer->pidfd = (int) syscall (SYS_pidfd_open, peer->pid, 0);
}

static void
take_envelope (Bridge *self, PoolMpiPeer *peer, const PoolMpiEnvelope *envelope)
{
  switch (envelope->kind)
    {
    case POOL_MPI_ENVELOPE_MESSAGE:
      if (peer->state == PEER_BUSY && peer->number != 0 && self->has_pool)
        pool_mpi_link_send_parts (&self->link, peer->id, (GBytes *const *) self->parts->pdata, self->parts->len);
      return;
    case POOL_MPI_ENVELOPE_HERE:
      take_here (self, peer, envelope);
      G_GNUC_FALLTHROUGH;
    case POOL_MPI_ENVELOPE_FREE:
      /* one that was asked for again since */
      peer->state = PEER_FREE;
      if (peer->number != 0 && peer->asked_at != 0)
        begin_peer (self, peer);
      else
        lose_peer (self, peer, PEER_FREE, "it has ended");
      return;
    default:
      return;
    }
}

static gboolean
pass_up (Bridge *self)
{
  PoolMpiEnvelope envelope;
  PoolMpiPeer *peer;
  gboolean any = FALSE;

  for (guint i = 0; i < PASS_MAX && (peer = pool_mpi_messages_receive (&self->messages, &envelope, self->parts)) != NULL;
       i++)
    {
      take_envelope (self, peer, &envelope);
      any = TRUE;
    }
  g_ptr_array_set_size (self->parts, 0);
  return any;
}

/* --- what the pool says --- */

static MPI_Info
make_info (Bridge *self)
{
  MPI_Info info;

  MPI_Info_create (&info);
  for (char **word = self->info; *word != NULL; word++)
    {
      g_auto (GStrv) pair = g_strsplit (*word, "=", 2);

      if (pair[0] != NULL && pair[1] != NULL)
        MPI_Info_set (info, pair[0], pair[1]);
    }
  return info;
}

/* A new process for each agent; the call waits until that has started. */
static void
spawn_agent (Bridge *self, guint number, guint n_workers)
{
  g_autofree char *program = pool_copy_find_worker_program ();
  char *argv[] = { (char *) "mpi", (char *) "agent", NULL };
  g_autoptr (GError) error = NULL;
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Info info = make_info (self);
  PoolMpiPeer *peer;
  int code, result = MPI_SUCCESS;

  pool_mpi_guard_begin ();
  code = MPI_Comm_spawn (program, argv, 1, info, 0, MPI_COMM_SELF, &comm, &result);
  pool_mpi_guard_end ();
  MPI_Info_free (&info);
  if (code == MPI_SUCCESS && comm != MPI_COMM_NULL)
    {
      MPI_Comm_set_errhandler (comm, MPI_ERRORS_RETURN);
      peer = pool_mpi_messages_add_peer (&self->messages, comm, 0);
      peer->number = number;
      peer->n_workers = n_workers;
      peer->asked_at = g_get_monotonic_time ();
      return;
    }
  pool_mpi_describe_error (code, "this MPI cannot start processes itself; start the program with mpirun -n N, for N - 1 "
                                 "agents", &error);
  tell_ended (self, number, error->message);
}

static void
start_agent (Bridge *self, guint number, guint n_workers)
{
  if (self->spawns)
    {
      spawn_agent (self, number, n_workers);
      return;
    }
  for (guint i = 0; i < self->messages.peers->len; i++)
    {
      PoolMpiPeer *peer = self->messages.peers->pdata[i];

      if (peer->is_gone || peer->number != 0 || peer->state == PEER_LOST)
        continue;
      peer->number = number;
      peer->n_workers = n_workers;
      peer->asked_at = g_get_monotonic_time ();
      if (peer->state == PEER_FREE)
        begin_peer (self, peer);
      self->n_places--;
      return;
    }
  tell_ended (self, number, "no rank is free");
}

static void
close_pool (Bridge *self)
{
  for (guint i = 0; i < self->messages.peers->len; i++)
    drop_peer (self, self->messages.peers->pdata[i]);
  self->has_pool = FALSE;
}

static void
take_message (Bridge *self, guint id)
{
  PoolMpiPeer *peer = pool_mpi_messages_get_peer (&self->messages, id);
  gpointer *parts = self->parts->pdata;
  gsize size;
  gconstpointer head;

  if (peer == NULL || peer->state != PEER_BUSY || self->parts->len == 0)
    return;
  head = g_bytes_get_data (parts[0], &size);
  pool_mpi_messages_send (&self->messages, peer, &(PoolMpiEnvelope){ .kind = POOL_MPI_ENVELOPE_MESSAGE }, head, size,
                          (GBytes *const *) parts + 1, self->parts->len - 1);
}

static void
take_frame (Bridge *self, const PoolMpiFrame *frame)
{
  PoolMpiPeer *peer = NULL;

  switch (frame->kind)
    {
    case POOL_MPI_OPEN:
      self->has_pool = TRUE;
      self->n_places = 0;
      pool_mpi_link_send (&self->link, POOL_MPI_READY, 0, self->spawns ? 0 : count_places (self), NULL);
      self->n_places = count_places (self);
      return;
    case POOL_MPI_START:
      start_agent (self, frame->peer, frame->value);
      return;
    case POOL_MPI_END:
    case POOL_MPI_FORGET:
      peer = frame->kind == POOL_MPI_END ? find_agent (self, frame->value)
                                         : pool_mpi_messages_get_peer (&self->messages, frame->peer);
      if (peer != NULL)
        drop_peer (self, peer);
      tell_places (self);
      return;
    case POOL_MPI_CLOSE:
      close_pool (self);
      return;
    case POOL_MPI_MESSAGE:
      take_message (self, frame->peer);
      return;
    default:
      return;
    }
}

static gboolean
pass_down (Bridge *self)
{
  PoolMpiFrame frame;
  gboolean any = FALSE;

  for (guint i = 0; i < PASS_MAX && pool_mpi_link_receive (&self->link, &frame, self->parts); i++)
    {
      take_frame (self, &frame);
      any = TRUE;
    }
  g_ptr_array_set_size (self->parts, 0);
  return any;
}

/* --- the process --- */

static void
wait_for_something (Bridge *self)
{
  struct pollfd fds[] = { { self->link.fd, POLLIN, 0 },
                          { self->backoff.timer_fd, POLLIN, 0 },
                          { self->messages.bell.fd, POLLIN, 0 } };

  if (pool_mpi_link_has_output (&self->link))
    fds[0].events |= POLLOUT;
  if (pool_mpi_messages_is_moving (&self->messages))
    {
      pool_mpi_backoff_reset (&self->backoff);
      poll (fds, 1, 0);
      return;
    }
  if (!pool_mpi_backoff_next (&self->backoff, pool_mpi_messages_have_bells (&self->messages)))
    poll (fds, G_N_ELEMENTS (fds), -1);
}

static void
serve (Bridge *self)
{
  gint64 look_at = 0;

  while (!self->link.is_broken)
    {
      gboolean any = pool_mpi_messages_take_bells (&self->messages) | pass_down (self);
      gint64 now = g_get_monotonic_time ();

      any |= pass_up (self);
      any |= pool_mpi_messages_progress (&self->messages);
      pool_mpi_link_flush (&self->link);
      if (now >= look_at)
        {
          any |= look_after_peers (self);
          look_at = now + LOOK_US;
        }
      if (any)
        pool_mpi_backoff_reset (&self->backoff);
      else
        wait_for_something (self);
    }
}

/* The program has ended, in whatever way. */
static void
end_all (Bridge *self)
{
  gint64 until = g_get_monotonic_time () + OVER_US;

  self->has_pool = FALSE;
  look_after_peers (self);
  for (guint i = 0; i < self->messages.peers->len; i++)
    {
      PoolMpiPeer *peer = self->messages.peers->pdata[i];

      peer->n_workers = !self->lost_one;
      tell_peer (self, peer, POOL_MPI_ENVELOPE_OVER, FALSE);
    }
  while (!pool_mpi_messages_is_idle (&self->messages) && g_get_monotonic_time () < until)
    {
      pool_mpi_messages_progress (&self->messages);
      look_after_peers (self);
      pass_up (self);
      g_usleep (100);
    }
  if (!pool_mpi_messages_is_idle (&self->messages))
    self->lost_one = TRUE;
}

static void
add_ranks (Bridge *self)
{
  int size = 1, rank = 0;

  MPI_Comm_size (MPI_COMM_WORLD, &size);
  MPI_Comm_rank (MPI_COMM_WORLD, &rank);
  self->spawns = size == 1;
  for (int i = 0; i < size; i++)
    if (i != rank)
      pool_mpi_messages_add_peer (&self->messages, MPI_COMM_WORLD, i);
}

int
pool_mpi_bridge_main (int argc, char **argv)
{
  Bridge self = { 0 };
  g_autoptr (GError) error = NULL;
  int fd;

  if (argc < 5)
    return 2;
  fd = atoi (argv[3]);
  fcntl (fd, F_SETFD, FD_CLOEXEC);
  /* ^C is for the program, whose end is told by the link */
  signal (SIGINT, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  prctl (PR_SET_NAME, "pool-mpi");
  self.program = atoi (argv[4]);
  self.info = argv + 5;
  self.machine = pool_mpi_get_machine ();
  self.parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  pool_mpi_link_init (&self.link, fd);
  self.link.heap = pool_share_heap_new ();
  pool_mpi_messages_init (&self.messages);
  pool_mpi_set_environment (g_getenv ("PMIX_RANK") == NULL && g_getenv ("PMI_RANK") == NULL);
  if (!pool_mpi_backoff_init (&self.backoff, &error) || !pool_mpi_start (&error))
    {
      pool_mpi_link_send (&self.link, POOL_MPI_FAILED, 0, 0, error->message);
      return 1;
    }
  add_ranks (&self);
  serve (&self);
  end_all (&self);
  pool_mpi_exit (0, !self.lost_one && !self.spawns);
}
