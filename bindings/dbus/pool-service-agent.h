/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-object.h"

G_BEGIN_DECLS

/* A process that has workers of a client's own pool; all of a client's together count as a pool. */
typedef struct _PoolServiceAgent PoolServiceAgent;

/* @ended: called when the process has ended; it is to free it */
PoolServiceAgent *pool_service_agent_new (PoolService *service, PoolServiceClient *client, int fd, guint n_workers, guint number,
                                          void (*ended) (PoolServiceAgent *self, gpointer user_data), gpointer user_data,
                                          GError **error);
/* Its end is told by @ended, as any. */
void pool_service_agent_kill (PoolServiceAgent *self);
void pool_service_agent_free (PoolServiceAgent *self);
gboolean pool_service_agent_is_of (PoolServiceAgent *self, PoolServiceClient *client);

G_END_DECLS
