/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-object.h"
#include "pool-service-store.h"
#include "pool-service-work.h"

G_BEGIN_DECLS

/* A pool of a client, or of a user. */
typedef struct _PoolServicePool PoolServicePool;

/* @options: a{sv}; @fds: of its handles */
PoolServicePool *pool_service_pool_new (PoolService *service, PoolServiceClient *client, const char *backend,
                                        GVariant *options, GUnixFDList *fds, GError **error);
/* For pool_service_store_each_pool(), with the service. */
gboolean pool_service_pool_restore (const PoolServiceStoredPool *stored, gpointer service, GError **error);
/* To be called when its jobs have been restored, too: one that was closed ends with them. */
void pool_service_pool_resume (PoolServicePool *self);
gboolean pool_service_pool_is (PoolServiceObject *object);

/* A durable job must not end with its client: the pool becomes its user's. */
gboolean pool_service_pool_make_persistent (PoolServicePool *self, GError **error);

/* Gives it work. @func is called once, later. */
void pool_service_pool_start_work (PoolServicePool *self, PoolServiceWork *work, PoolServiceWorkFunc func, gpointer user_data);

void pool_service_pool_client_gone (PoolServicePool *self, PoolServiceClient *client);
/* The service leaves: what is durable stays as it is. */
void pool_service_pool_abandon (PoolServicePool *self);
gboolean pool_service_pool_is_abandoned (PoolServicePool *self);

G_END_DECLS
