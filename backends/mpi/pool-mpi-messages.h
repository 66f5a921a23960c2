/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-share-private.h"
#include "libpool/pool-wire-private.h"

#include "pool-mpi-bell.h"

#include <mpi.h>

G_BEGIN_DECLS

/*
 * Messages between ranks: an envelope, with the message's head within it, and the long parts behind it, each in pieces that an MPI
 * can count. Nothing waits: an MPI that does not notice that a rank is gone would wait for ever.
 */
typedef enum
{
  POOL_MPI_ENVELOPE_NONE,
  POOL_MPI_ENVELOPE_MESSAGE, /* of pool-wire-private.h */

  /* an agent to the pool's process */
  POOL_MPI_ENVELOPE_HERE, /* pid, machine: it is there, and free */
  POOL_MPI_ENVELOPE_FREE, /* it is free again */

  /* and back */
  POOL_MPI_ENVELOPE_BEGIN, /* number, n_workers, pid: of the program, machine: that it is on, is_direct: a pool wants it */
  POOL_MPI_ENVELOPE_DROP,  /* no pool wants it any more */
  POOL_MPI_ENVELOPE_OVER,  /* n_workers: 1 if in order: the job ends */
} PoolMpiEnvelopeKind;

typedef struct
{
  guint32 kind;
  guint32 n_parts; /* the first is the head */
  guint32 number;
  guint32 n_workers;
  guint64 pid;
  guint64 bell;    /* of the sender: see pool-mpi-bell.h */
  guint64 machine; /* processes of the same one can be waited for; see pool_mpi_get_machine() */
  guint64 is_direct; /* the descriptor that was handed in before is a link to the program: messages go that way */
} PoolMpiEnvelope;

/* Another rank. */
typedef struct
{
  guint id; /* from 1 */
  MPI_Comm comm;
  int rank;
  gboolean is_gone; /* nothing is sent to it, nor expected of it */
  GQueue out, in;   /* transfers */
  gint64 moved_at;  /* monotonic µs: when one of them came along */

  /* what the pool's process knows of it */
  guint state;      /* PoolMpiPeerState */
  guint number;     /* of the agent that it is, or is to be; 0: of none */
  guint n_workers;
  gint64 asked_at;  /* monotonic µs: when it was to begin; 0: it has */
  guint64 bell;     /* to be rung when something was sent to it; 0: it has none */
  gboolean has_rung; /* it rings ours */
  pid_t pid;
  int pidfd;        /* -1: it is on another machine */
} PoolMpiPeer;

typedef struct
{
  GPtrArray *peers;  /* PoolMpiPeer, owned; the one of id N at N - 1 */
  PoolShareHeap *heap; /* NULL: there is no such memory */
  PoolMpiBell bell;
  guint next; /* to be looked at first, so that each gets its turn */
  gsize piece; /* what one call sends at most; the same everywhere */
} PoolMpiMessages;

void pool_mpi_messages_init (PoolMpiMessages *self);
PoolMpiPeer *pool_mpi_messages_add_peer (PoolMpiMessages *self, MPI_Comm comm, int rank);
PoolMpiPeer *pool_mpi_messages_get_peer (PoolMpiMessages *self, guint id);
void pool_mpi_messages_send (PoolMpiMessages *self, PoolMpiPeer *peer, const PoolMpiEnvelope *envelope,
                             gconstpointer head, gsize head_size, GBytes *const *parts, guint n_parts);
/* Lets what was sent come along; TRUE if something did. */
gboolean pool_mpi_messages_progress (PoolMpiMessages *self);
/* Has all gone out that was sent to those that are there? */
gboolean pool_mpi_messages_is_idle (PoolMpiMessages *self);
/* Takes one message, its parts in @parts; NULL: there is none. */
PoolMpiPeer *pool_mpi_messages_receive (PoolMpiMessages *self, PoolMpiEnvelope *envelope, GPtrArray *parts);
/* Has something of one begun to come? */
gboolean pool_mpi_messages_has_message (PoolMpiMessages *self);

gboolean pool_mpi_messages_is_peer_moving (const PoolMpiPeer *peer, gint64 now);
/* Is a long one on its way, either way? Then it is worth it to look all the time. */
gboolean pool_mpi_messages_is_moving (PoolMpiMessages *self);

/* Takes what has rung our bell; TRUE if somebody has. */
gboolean pool_mpi_messages_take_bells (PoolMpiMessages *self);
/* Do all that may say something ring when they have? */
gboolean pool_mpi_messages_have_bells (PoolMpiMessages *self);

/* A number that processes have in common that can see each other's pids. */
guint64 pool_mpi_get_machine (void);

G_END_DECLS
