/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-statistics.h"

G_BEGIN_DECLS

/* 1, 2 and 5 times each power of ten from a microsecond to a thousand seconds, and the rest */
#define POOL_HISTOGRAM_BOUNDS 28
#define POOL_HISTOGRAM_KINDS 3

/* How often something took how long. A time that equals a bound counts below it. */
typedef struct
{
  guint64 counts[POOL_HISTOGRAM_BOUNDS + 1];
  guint64 count;
  double sum; /* seconds */
} PoolHistogram;

/* What is kept account of only if somebody wants to know. Guarded by the engine's lock. */
typedef struct
{
  PoolHistogram histograms[POOL_HISTOGRAM_KINDS]; /* by PoolHistogramKind */
  gint64 weak_since; /* monotonic µs: when the pool lost its full strength; 0: it has that */
} PoolStatistics;

/* the upper bound of a bucket in seconds; infinity for the last */
POOL_EXPORT
double pool_histogram_get_bound (guint bucket);
/* what is no time (negative, or not finite) is not counted */
POOL_EXPORT
void pool_histogram_add (PoolHistogram *self, double seconds);
/* floating, (a(dt)dt) */
POOL_EXPORT
GVariant *pool_histogram_to_variant (const PoolHistogram *self);

G_END_DECLS
