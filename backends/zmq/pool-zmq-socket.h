/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-wire-private.h"

#include <errno.h>
#include <zmq.h>

G_BEGIN_DECLS

/* Messages (pool-wire-private.h) as multipart messages of ZeroMQ, without a copy of long parts. */

/* Older ones let strangers in, or write where they must not: CVE-2019-13132, CVE-2019-6250. */
#define POOL_ZMQ_OLDEST ZMQ_MAKE_VERSION (4, 3, 2)

/*
 * A call of ZeroMQ, again for as long as a signal interrupts it. Any of them may be, also with ZMQ_DONTWAIT; and a message
 * of which a part was not sent for that would run into the next one.
 */
#define POOL_ZMQ_RETRY(call)                                                                       \
  (__extension__({                                                                                 \
    int result_;                                                                                   \
    do                                                                                             \
      result_ = (call);                                                                            \
    while (result_ < 0 && errno == EINTR);                                                         \
    result_;                                                                                       \
  }))

gboolean pool_zmq_check (GError **error);
/* NULL: there are too few descriptors, of which ZeroMQ would end the program later. */
void *pool_zmq_context_new (GError **error);
/* When its sockets are closed. */
void pool_zmq_context_free (void *context);
/* @type: ZMQ_ROUTER or ZMQ_DEALER; with the settings that both sides have. */
void *pool_zmq_socket_new (void *context, int type, GError **error);
int pool_zmq_get_fd (void *socket);
gboolean pool_zmq_has_message (void *socket);

/* @to: a peer of a router, or NULL. FALSE: it cannot be sent now, or that peer is gone. */
gboolean pool_zmq_send (void *socket, GBytes *to, PoolWireWriter *message);
/* A message of any number of parts, the sender first where the socket is a router's; FALSE: there is none. */
gboolean pool_zmq_receive (void *socket, GPtrArray *parts);

G_END_DECLS
