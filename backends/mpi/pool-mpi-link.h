/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-share-private.h"
#include "libpool/pool-wire-private.h"

G_BEGIN_DECLS

/*
 * What a pool and its process of the MPI (pool-mpi-bridge.c) say to each other, over a pair of stream sockets; and a pool and an agent
 * on its machine, which have a pair of their own and say nothing but messages. Neither side ever waits for the other: what does not
 * go out is kept.
 */
typedef enum
{
  POOL_MPI_FRAME_NONE,

  /* the process to its pool */
  POOL_MPI_READY,   /* value: how many ranks there are for agents; 0: they are spawned */
  POOL_MPI_FAILED,  /* part: why, for people; it goes away */
  POOL_MPI_PLACES,  /* value: how many more agents there can be */
  POOL_MPI_ENDED,   /* value: number of an agent that is gone or never came; part: how */
  POOL_MPI_MOVING,  /* peer: something long is on its way, and comes along */
  POOL_MPI_DIRECT,  /* peer, and a descriptor: from now on it is talked to by that */

  /* a pool to the process */
  POOL_MPI_OPEN,    /* a pool begins */
  POOL_MPI_START,   /* peer: number of the agent, value: of its workers */
  POOL_MPI_END,     /* value: number of an agent */
  POOL_MPI_FORGET,  /* peer: it is no agent any more */
  POOL_MPI_CLOSE,   /* the pool has ended */

  POOL_MPI_MESSAGE, /* either way: peer; parts */
} PoolMpiFrameKind;

typedef struct
{
  guint32 kind;
  guint32 peer;
  guint32 value;
  guint32 n_parts;
} PoolMpiFrame;

typedef struct
{
  int fd; /* owned */
  gboolean is_broken;

  GQueue out; /* GBytes */
  gsize out_done; /* of the first */

  guint8 *buffer; /* what was read and not taken */
  gsize start, end;
  gboolean is_short; /* what is there is not all of a frame */
  PoolMpiFrame frame; /* that is being received; kind 0: none */
  GArray *sizes; /* guint64: of its parts */
  GPtrArray *parts; /* GBytes: those that are there, the last one maybe not whole */
  gsize part_done;
  PoolShareHeap *heap; /* where long parts are received; NULL: each has memory of its own */
  GQueue fds; /* 1 + descriptors that have come, and were not taken */
  guint32 watched; /* events, by an epoll; 0: it is not */
} PoolMpiLink;

void pool_mpi_link_init (PoolMpiLink *self, int fd);
void pool_mpi_link_clear (PoolMpiLink *self);
/* FALSE: there is nobody any more. */
gboolean pool_mpi_link_send (PoolMpiLink *self, PoolMpiFrameKind kind, guint peer, guint value, const char *text);
/* The message's head is copied where it cannot be sent at once; its parts are kept. */
gboolean pool_mpi_link_send_message (PoolMpiLink *self, guint peer, PoolWireWriter *message);
gboolean pool_mpi_link_send_parts (PoolMpiLink *self, guint peer, GBytes *const *parts, guint n_parts);
/* A frame without parts. FALSE: it has not been sent, and is not kept. */
gboolean pool_mpi_link_send_fd (PoolMpiLink *self, PoolMpiFrameKind kind, guint peer, int fd);
/* The next one that has come; -1: there is none. */
int pool_mpi_link_take_fd (PoolMpiLink *self);
/* Sends what is kept, as far as it goes. */
gboolean pool_mpi_link_flush (PoolMpiLink *self);
static inline gboolean
pool_mpi_link_has_output (const PoolMpiLink *self)
{
  return self->out.length > 0;
}
/* Is there part of something long, either way? */
static inline gboolean
pool_mpi_link_is_moving (const PoolMpiLink *self)
{
  return self->out.length > 0 || self->frame.kind != POOL_MPI_FRAME_NONE;
}
/* Makes @epoll_fd, which knows it by its address, readable if there is something to be received, or what is kept can go out. */
void pool_mpi_link_watch (PoolMpiLink *self, int epoll_fd);
/* Has receive() left something that needs no more of the other side? */
gboolean pool_mpi_link_has_frame (PoolMpiLink *self);
/* A whole frame, with parts that may be taken from the array; FALSE: there is none. */
gboolean pool_mpi_link_receive (PoolMpiLink *self, PoolMpiFrame *frame, GPtrArray *parts);

G_END_DECLS
