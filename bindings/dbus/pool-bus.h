/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service.h"

G_BEGIN_DECLS

/* The service's connection to a bus. */
typedef struct _PoolBus PoolBus;

#define POOL_BUS_NAME "org.libpool.Service1"

/* @system: the system bus, else that of the session */
PoolBus *pool_bus_open (gboolean system, GError **error);
void pool_bus_close (PoolBus *self);

/* What the service says goes there. */
extern const PoolServiceTransport pool_bus_transport;

/*
 * Hands calls to @service from now on, and takes the name. @done is called when the service is no longer needed or the bus is gone.
 * Returns: FALSE with G_IO_ERROR_EXISTS if another process has the name
 */
gboolean pool_bus_serve (PoolBus *self, PoolService *service, void (*done) (gpointer user_data), gpointer user_data,
                         GError **error);

G_END_DECLS
