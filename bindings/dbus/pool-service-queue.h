/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-pool.h"

G_BEGIN_DECLS

/* What Put and Get of a pool share: results in the order that the pool is to have, and who waits for room or for one. */
typedef struct _PoolServiceQueue PoolServiceQueue;

PoolServiceQueue *pool_service_queue_new (PoolServicePool *pool, const char *target, guint size, gboolean is_ordered);
/* Fails those who wait. */
void pool_service_queue_free (PoolServiceQueue *self);
void pool_service_queue_put (PoolServiceQueue *self, PoolServiceCall *call);
void pool_service_queue_get (PoolServiceQueue *self, PoolServiceCall *call);

G_END_DECLS
