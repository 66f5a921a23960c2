/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-shm.h"

G_BEGIN_DECLS

/* In a worker's process: from now on it gets no more than @limit KiB beyond what it has; @notes: where it leaves word of that. */
void pool_memory_limit_set (PoolShmMemory *notes, guint64 limit);
/* A task begins: what an earlier one came across is no longer of interest. */
void pool_memory_limit_begin (void);

G_END_DECLS
