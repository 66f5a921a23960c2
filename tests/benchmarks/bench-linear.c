/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether cost grows as the number of items does: ten times of them in eleven times the time. */

#include "bench-pool.h"

#include <malloc.h>

#define ROUNDS_MIN 5

/* Memory that was touched once stays: what is measured is the pool, not that malloc() keeps small
 * blocks and the kernel has to find pages for large ones each time. */
static void
keep_memory (void)
{
  mallopt (M_MMAP_THRESHOLD, 32 << 20);
  mallopt (M_TRIM_THRESHOLD, G_MAXINT);
}

/* The time of a map of n items in ns, or -1. */
static gint64
time_map (PoolManager *pool, gsize n, guint chunksize, GError **error)
{
  gsize size;
  g_autofree guint8 *block = bench_packed_new (n, &size);
  gint64 start = bench_now (), elapsed;
  g_autoptr (GBytes) results =
      pool_manager_map_packed (pool, "double", block, size, chunksize, NULL, error);

  elapsed = bench_now () - start;
  return results != NULL && bench_packed_check (results, n, error) ? elapsed : -1;
}

static gint64
time_queue (PoolManager *pool, gsize n, guint chunksize, GError **error)
{
  BenchTally tally = { 0 };

  return bench_window_bytes (pool, n, n, 0, &tally, error) ? tally.ns : -1;
}

typedef gint64 (*TimeFunc) (PoolManager *pool, gsize n, guint chunksize, GError **error);

/* The two sizes turn by turn; the first round warms up. The shortest times count: whatever else
 * runs on the machine only adds to them. */
static gboolean
measure (BenchRun *run, TimeFunc func, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  gsize n = run->items > 0 ? run->items : run->figure->n;
  guint chunksize = (guint) run->figure->variant;
  gint64 small = G_MAXINT64, large = G_MAXINT64, end;

  keep_memory ();
  if (!bench_double_register (pool, error) || !bench_pool_start (run, pool, error))
    return FALSE;
  end = bench_now () + (gint64) (run->seconds * 1e9);
  for (int i = -1; i < ROUNDS_MIN || bench_now () < end; i++)
    {
      gint64 one = func (pool, n, chunksize, error);
      gint64 ten = one < 0 ? -1 : func (pool, 10 * n, chunksize, error);

      if (ten < 0)
        return FALSE;
      if (i >= 0)
        {
          small = MIN (small, one);
          large = MIN (large, ten);
        }
    }

  bench_record (run, NULL, (double) large / (double) small, "x");
  return bench_pool_end (pool, error);
}

gboolean
bench_linear_map (BenchRun *run, GError **error)
{
  return measure (run, time_map, error);
}

/* All calls are outstanding before the first result is taken. */
gboolean
bench_linear_queue (BenchRun *run, GError **error)
{
  return measure (run, time_queue, error);
}
