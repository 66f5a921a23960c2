/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Round trips of one call at a time; every result is checked. */

#include "bench-pool.h"

typedef gboolean (*CallFunc) (PoolManager *pool, guint64 x, GError **error);

static gboolean
call_packed (PoolManager *pool, guint64 x, GError **error)
{
  guint64 block[3] = { GUINT64_TO_LE (1), GUINT64_TO_LE (8), GUINT64_TO_LE (x) };
  g_autoptr (GBytes) results = pool_manager_map_packed (pool, "double", (const guint8 *) block,
                                                        sizeof block, 0, NULL, error);
  const guint64 *out;
  gsize size;

  if (results == NULL)
    return FALSE;
  out = g_bytes_get_data (results, &size);
  if (size != sizeof block || out[0] != block[0] || out[1] != block[1] ||
      GUINT64_FROM_LE (out[2]) != 2 * x + 1)
    return bench_fail (error, "The result of call %" G_GUINT64_FORMAT " is wrong", x);
  return TRUE;
}

static GVariant *
double_variant (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint32 index;
  gint64 x;

  g_variant_get (args, "(ix)", &index, &x);
  return g_variant_new_int64 (2 * x + index);
}

static gboolean
call_variant (PoolManager *pool, guint64 x, GError **error)
{
  g_autoptr (GVariant) value =
      pool_manager_apply (pool, "double-variant",
                          g_variant_new ("(ix)", (gint32) 1, (gint64) x), NULL, NULL, error);

  if (value == NULL)
    return FALSE;
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_INT64) ||
      g_variant_get_int64 (value) != 2 * (gint64) x + 1)
    return bench_fail (error, "The result of call %" G_GUINT64_FORMAT " is wrong", x);
  return TRUE;
}

/* Calls back to back: one look at the clock between two calls is the end of one and the start of
 * the next. The first tenth of the time warms up. */
static gboolean
measure_hot (BenchRun *run, PoolManager *pool, CallFunc call, BenchSamples *samples, GError **error)
{
  gint64 start, now, last;
  guint64 x = 0;

  if (!bench_pool_start (run, pool, error))
    return FALSE;
  start = last = bench_now ();
  while (!bench_samples_full (samples) && last < start + run->seconds * 1.1e9)
    {
      if (!call (pool, x++, error))
        return FALSE;
      now = bench_now ();
      if (now > start + run->seconds * 0.1e9)
        bench_samples_add (samples, now - last);
      last = now;
    }

  bench_samples_record (samples, run);
  return bench_pool_end (pool, error);
}

static gboolean
measure (BenchRun *run, PoolManager *pool, CallFunc call, GError **error)
{
  BenchSamples samples;
  gboolean ok;

  bench_samples_init (&samples);
  ok = measure_hot (run, pool, call, &samples, error);
  bench_samples_clear (&samples);
  return ok;
}

gboolean
bench_rtt_packed (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_double_register (pool, error) && measure (run, pool, call_packed, error);
}

gboolean
bench_rtt_bytes (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_double_register (pool, error) && measure (run, pool, bench_double_call, error);
}

gboolean
bench_latency_register (PoolManager *pool, GError **error)
{
  return pool_manager_register (pool, "double-variant", double_variant, NULL, NULL, error);
}

gboolean
bench_rtt_variant (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_latency_register (pool, error) &&
         measure (run, pool, call_variant, error);
}

/* The pauses are longer than any spin: everybody sleeps when the next call is made. */
static gboolean
measure_cold (BenchRun *run, PoolManager *pool, BenchSamples *samples, GError **error)
{
  gint64 end;
  guint64 x = 0;

  if (!bench_pool_start (run, pool, error))
    return FALSE;
  end = bench_now () + (gint64) (run->seconds * 1e9);
  do
    {
      gint64 start;

      g_usleep (run->figure->n);
      start = bench_now ();
      if (!bench_double_call (pool, x, error))
        return FALSE;
      if (x++ > 0)
        bench_samples_add (samples, bench_now () - start);
    }
  while (samples->n == 0 || bench_now () < end);

  bench_samples_record (samples, run);
  return bench_pool_end (pool, error);
}

gboolean
bench_rtt_cold (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  BenchSamples samples;
  gboolean ok;

  if (!bench_double_register (pool, error))
    return FALSE;
  bench_samples_init (&samples);
  ok = measure_cold (run, pool, &samples, error);
  bench_samples_clear (&samples);
  return ok;
}
