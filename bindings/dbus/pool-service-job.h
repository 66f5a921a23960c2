/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-pool.h"

G_BEGIN_DECLS

/* A call of ApplyAsync or MapAsync, which is there until its result was fetched, or nobody wants it. */
typedef struct _PoolServiceJob PoolServiceJob;

/* Takes @work, which is charged; replies to @call with its path, or with an error, at once or when it is on the disk. */
void pool_service_job_submit (PoolServicePool *pool, PoolServiceWork *work, PoolServiceCall *call);
/* For pool_service_store_each_job(), with the service. */
gboolean pool_service_job_restore (const PoolServiceStoredJob *stored, gpointer service, GError **error);

/* Lets go of it; work that has not ended is cancelled. */
void pool_service_job_release (PoolServiceJob *self);

G_END_DECLS
