/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/**
 * PoolHistogramKind:
 * @POOL_HISTOGRAM_RUN_TIME: how long calls, and chunks of maps, ran, by their worker's clock
 * @POOL_HISTOGRAM_WAITING_TIME: how long they waited, from their submission to their start
 * @POOL_HISTOGRAM_RESTART_TIME: how long the pool had fewer workers than it is to have, after one ended
 *
 * Times that a pool keeps account of if [property@Manager:statistics] is set.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_HISTOGRAM_RUN_TIME,
  POOL_HISTOGRAM_WAITING_TIME,
  POOL_HISTOGRAM_RESTART_TIME,
} PoolHistogramKind;

G_END_DECLS
