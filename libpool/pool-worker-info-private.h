/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-engine-private.h"
#include "pool-worker-info.h"

G_BEGIN_DECLS

PoolWorkerInfo *pool_worker_info_new (const PoolWorker *worker, guint64 current_task, guint64 done,
                                      const PoolBackendExit *exit);
/* As other programs see it: floating, a{sv}. @is_up: without what is known only of one that has ended */
POOL_EXPORT
GVariant *pool_worker_info_describe (PoolWorkerInfo *self, gboolean is_up);

G_END_DECLS
