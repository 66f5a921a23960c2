/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What ZeroMQ tells of a socket's connections. It never waits for who reads this. */
typedef void (*PoolZmqMonitorFunc) (guint16 event, guint32 value, gpointer data);

/* The socket to read from; NULL with errno. */
void *pool_zmq_monitor_new (void *context, void *socket, int events);
void pool_zmq_monitor_drain (void *monitor, PoolZmqMonitorFunc func, gpointer data);
/* While @socket is still there. */
void pool_zmq_monitor_free (void *monitor, void *socket);

G_END_DECLS
