/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-wire-private.h"

G_BEGIN_DECLS

/*
 * Messages of a pool and its agent over a stream socket. A frame is u32 number of parts, u32 zero, u64 size of each part, and the
 * parts. Nothing here blocks: what does not go out at once is kept.
 */
typedef struct
{
  int fd;       /* of the socket; -1: it is closed */
  int epoll_fd; /* readable when there is something to receive, or room for what is kept */
  gboolean is_broken;
  gboolean waits_for_room;

  GQueue out;       /* GBytes */
  gsize out_offset; /* of what is left of the first */

  PoolBuffer in;  /* that was read, and is not part of a message yet */
  gsize in_offset;
  GPtrArray *parts; /* of the message that comes */
  GArray *sizes;    /* guint64 of its parts; empty: a frame begins */
  guint8 *part;     /* the one that comes; its size is in sizes */
  gsize part_len;
} PoolDbusStream;

/* Takes @fd. FALSE: there are no more descriptors */
gboolean pool_dbus_stream_init (PoolDbusStream *self, int fd);
void pool_dbus_stream_clear (PoolDbusStream *self);

/* FALSE: the other side is gone */
gboolean pool_dbus_stream_send (PoolDbusStream *self, PoolWireWriter *message);
gboolean pool_dbus_stream_flush (PoolDbusStream *self);

/* The next message, if there is a whole one. Sets is_broken when the other side is gone, or talks nonsense. */
gboolean pool_dbus_stream_receive (PoolDbusStream *self, GPtrArray *parts);
/* Is something left that no descriptor tells of? */
gboolean pool_dbus_stream_has_message (const PoolDbusStream *self);

G_END_DECLS
