/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-statistics-private.h"

#include <math.h>

/* Written out: a bound that was computed may miss the number that people write. */
static const double bounds[POOL_HISTOGRAM_BOUNDS] = {
  1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2,
  5e-2, 0.1,  0.2,  0.5,  1,    2,    5,    10,   20,   50,   100,  200,  500,  1000,
};

double
pool_histogram_get_bound (guint bucket)
{
  return bucket < POOL_HISTOGRAM_BOUNDS ? bounds[bucket] : INFINITY;
}

void
pool_histogram_add (PoolHistogram *self, double seconds)
{
  guint low = 0, high = POOL_HISTOGRAM_BOUNDS;

  if (!isfinite (seconds) || seconds < 0)
    return;
  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (seconds <= bounds[middle])
        high = middle;
      else
        low = middle + 1;
    }
  self->counts[low]++;
  self->count++;
  self->sum += seconds;
}

GVariant *
pool_histogram_to_variant (const PoolHistogram *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("(a(dt)dt)"));
  g_variant_builder_open (&builder, G_VARIANT_TYPE ("a(dt)"));
  for (guint i = 0; i <= POOL_HISTOGRAM_BOUNDS; i++)
    g_variant_builder_add (&builder, "(dt)", pool_histogram_get_bound (i), self->counts[i]);
  g_variant_builder_close (&builder);
  g_variant_builder_add (&builder, "d", self->sum);
  g_variant_builder_add (&builder, "t", self->count);
  return g_variant_builder_end (&builder);
}
