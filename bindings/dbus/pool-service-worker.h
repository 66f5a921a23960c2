/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

/* A worker as the bus sees it: floating, a{sv}. @is_up: without what is known only of one that has ended */
GVariant *pool_service_worker_describe (PoolWorkerInfo *worker, gboolean is_up);

G_END_DECLS
