/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_WORKER_INFO (pool_worker_info_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolWorkerInfo, pool_worker_info, POOL, WORKER_INFO, GObject)

POOL_AVAILABLE_IN_ALL
guint pool_worker_info_get_id (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
gint64 pool_worker_info_get_pid (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
const char *pool_worker_info_get_host (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
PoolWorkerState pool_worker_info_get_state (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_worker_info_get_current_task (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_worker_info_get_tasks_done (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_worker_info_get_rss (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
gint64 pool_worker_info_get_started_at (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
PoolDownReason pool_worker_info_get_reason (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
int pool_worker_info_get_exit_code (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
int pool_worker_info_get_signal (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
guint64 pool_worker_info_get_max_rss (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
double pool_worker_info_get_cpu_time (PoolWorkerInfo *self);
POOL_AVAILABLE_IN_ALL
PoolSandboxFlags pool_worker_info_get_sandbox (PoolWorkerInfo *self);

G_END_DECLS
