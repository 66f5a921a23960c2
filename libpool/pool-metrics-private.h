/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-engine-private.h"
#include "pool-statistics-private.h"

G_BEGIN_DECLS

/* All numbers of a pool at one moment. */
typedef struct
{
  PoolEngineCounters counters;
  guint64 n_submitted;
  guint64 n_pending; /* calls and items that have not ended */
  guint64 n_queued;  /* calls and chunks that no worker has started */
  guint64 bytes_in_flight;
  guint n_alive, n_wanted, n_busy, n_abandoned;
  const PoolStatistics *statistics; /* NULL: not kept */
} PoolMetrics;

/* as OpenMetrics text, version 1.0 */
POOL_EXPORT
char *pool_metrics_format (const PoolMetrics *self, const char *backend);

G_END_DECLS
