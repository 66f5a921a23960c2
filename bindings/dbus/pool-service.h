/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-config.h"
#include "pool-service-expiry.h"
#include "pool-service-object.h"
#include "pool-service-store.h"

G_BEGIN_DECLS

/*
 * The service behind the bus: who has which pools and jobs. It knows no bus: calls come in as PoolServiceCalls, and go out, as signals
 * do, through a PoolServiceTransport.
 *
 *   bus ──► pool_service_handle() ──► object ──► PoolServiceWork ──► PoolManager
 *    ▲                                 (pool, job)                       │
 *    └──── pool_service_call_reply() ◄──────────── callback ◄────────────┘
 */

/* @config, @store: stay the caller's. @store: NULL if nothing can be kept */
PoolService *pool_service_new (const PoolServiceConfig *config, PoolServiceStore *store,
                               const PoolServiceTransport *transport, gpointer bus);
void pool_service_free (PoolService *self);

/* Takes up what was kept: pools that outlive their clients and durable jobs. */
gboolean pool_service_restore (PoolService *self, GError **error);

PoolServiceClient *pool_service_add_client (PoolService *self, const char *name, guint32 uid);
void pool_service_remove_client (PoolService *self, PoolServiceClient *client);
void pool_service_handle (PoolService *self, PoolServiceCall *call);

/* While it is held it is not idle. @func is called when it was idle for as long as the configuration says. */
void pool_service_hold (PoolService *self);
void pool_service_release (PoolService *self);
gboolean pool_service_is_idle (PoolService *self);
void pool_service_set_idle_func (PoolService *self, void (*func) (gpointer user_data), gpointer user_data);
/* Asks once more, when @func could not do what it wanted. */
void pool_service_retry_idle (PoolService *self);

/* for its objects */
const PoolServiceConfig *pool_service_get_config (PoolService *self);
PoolServiceStore *pool_service_get_store (PoolService *self);
PoolServiceAccount *pool_service_get_user (PoolService *self, guint32 uid);
/* Of the results of durable jobs, or of others. */
PoolServiceExpiry *pool_service_get_expiry (PoolService *self, gboolean durable);
guint64 pool_service_make_id (PoolService *self);
gboolean pool_service_allows_task (PoolService *self, const char *task, GError **error);
/* An agent of @client's own pool, at the other end of the socket @fd, which stays the caller's. */
gboolean pool_service_start_agent (PoolService *self, PoolServiceClient *client, int fd, guint n_workers, guint number,
                                   GError **error);
gpointer pool_service_lookup (PoolService *self, const char *path);
void pool_service_export (PoolService *self, gpointer object);
void pool_service_unexport (PoolService *self, gpointer object);
void pool_service_emit (PoolService *self, PoolServiceObject *object, const char *path, const char *interface,
                        const char *signal, GVariant *values);

G_END_DECLS
