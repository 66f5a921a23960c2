/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-pool.h"
#include "pool-service-queue.h"

G_BEGIN_DECLS

struct _PoolServicePool
{
  PoolServiceObject object;
  PoolManager *manager;
  char *backend;
  GVariant *options; /* a{sv}, without handles */
  gboolean is_persistent;
  gint64 created_at; /* real time, µs */

  PoolServiceAccount *account; /* of its client, or of its user if it is persistent */
  guint64 n_charged;           /* workers */
  gboolean is_started, is_ending, is_abandoned;
  gboolean is_kept;   /* the store has it */
  gboolean is_closed; /* it was when the service died, and its jobs are there again */
  guint end_timer, notify_idle;
  GHashTable *calls; /* Call: whoever waits for its reply may leave */
  PoolServiceQueue *queue;
};

/* The methods of its interface. */
extern const PoolServiceMethod pool_service_pool_methods[];

/* Its workers, unless it has them already. */
gboolean pool_service_pool_start (PoolServicePool *self, GError **error);
/* Of what is to end nothing may be there again after the service was killed, but its jobs that are to be done. */
gboolean pool_service_pool_keep_closed (PoolServicePool *self, GError **error);
void pool_service_pool_terminate (PoolServicePool *self);
/* Whether it is to end and its workers are gone: then it goes. */
void pool_service_pool_check_end (PoolServicePool *self);

/* Those of the manager become those of the bus. */
void pool_service_pool_connect_signals (PoolServicePool *self);
/* Tells of properties, once for all workers that come and go in a turn of the main loop. */
void pool_service_pool_queue_notify (PoolServicePool *self);

/* Those that a client waits for, which is gone. */
void pool_service_pool_cancel_calls (PoolServicePool *self, PoolServiceClient *client);

G_END_DECLS
