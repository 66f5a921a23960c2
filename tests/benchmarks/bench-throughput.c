/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How many tasks a second, layer by layer; every result is checked. */

#include "bench-pool.h"

#include <string.h>

#define MAP_ITEMS 1000000

/* A map of the block and whether its results are right. The check is the benchmark's own and is not
 * timed; letting go of the results is a part of using them. */
static gboolean
timed_map (PoolManager *pool, const char *task, const guint8 *block, gsize size, gsize n_items,
           guint chunksize, BenchTally *tally, GError **error)
{
  gint64 start = bench_now (), elapsed;
  GBytes *results = pool_manager_map_packed (pool, task, block, size, chunksize, NULL, error);
  gboolean ok;

  elapsed = bench_now () - start;
  ok = results != NULL && bench_packed_check (results, n_items, error);

  start = bench_now ();
  g_clear_pointer (&results, g_bytes_unref);
  tally->ns += elapsed + bench_now () - start;
  tally->calls += n_items;
  return ok;
}

static gboolean
measure_maps (BenchRun *run, PoolManager *pool, const char *task, GError **error)
{
  gsize size, n_items = run->items > 0 ? run->items : MAP_ITEMS;
  g_autofree guint8 *block = bench_packed_new (n_items, &size);
  BenchTally warm_up = { 0 }, tally = { 0 };
  guint chunksize = (guint) run->figure->n;

  if (!timed_map (pool, task, block, size, n_items, chunksize, &warm_up, error))
    return FALSE;
  while (tally.ns < run->seconds * 1e9)
    if (!timed_map (pool, task, block, size, n_items, chunksize, &tally, error))
      return FALSE;

  bench_record (run, NULL, (double) tally.calls * 1e9 / (double) tally.ns, "task/s");
  return bench_pool_end (pool, error);
}

gboolean
bench_throughput_map (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_double_register (pool, error) && bench_pool_start (run, pool, error) &&
         measure_maps (run, pool, "double", error);
}

static GBytes *
double_batch (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  gsize size;
  const guint8 *in = g_bytes_get_data (batch, &size);
  guint64 n, value;
  guint8 *out;

  memcpy (&n, in, sizeof n);
  n = GUINT64_FROM_LE (n);
  if (size != 8 + 16 * n)
    {
      bench_fail (error, "Not a batch of integers");
      return NULL;
    }

  /* as many results as arguments and of the same sizes: the head is the same, too */
  out = g_malloc (size);
  memcpy (out, in, 8 + 8 * n);
  for (gsize at = 8 + 8 * n; at < size; at += 8)
    {
      memcpy (&value, in + at, sizeof value);
      value = GUINT64_TO_LE (2 * GUINT64_FROM_LE (value) + 1);
      memcpy (out + at, &value, sizeof value);
    }
  return g_bytes_new_take (out, size);
}

gboolean
bench_throughput_batch (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return pool_manager_register_batch (pool, "double", double_batch, NULL, NULL, error) &&
         bench_pool_start (run, pool, error) && measure_maps (run, pool, "double", error);
}

gboolean
bench_throughput_bytes (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  BenchTally warm_up = { 0 }, tally = { 0 };

  if (!bench_double_register (pool, error) || !bench_pool_start (run, pool, error) ||
      !bench_window_bytes (pool, BENCH_WINDOW, 4 * BENCH_WINDOW, 0, &warm_up, error) ||
      !bench_window_bytes (pool, BENCH_WINDOW, 0, run->seconds, &tally, error))
    return FALSE;

  bench_record (run, NULL, (double) tally.calls * 1e9 / (double) tally.ns, "task/s");
  return bench_pool_end (pool, error);
}

static GVariant *
double_variant (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint32 index;
  gint64 x;

  g_variant_get (args, "(ix)", &index, &x);
  return g_variant_new ("(ix)", index, 2 * x + 1);
}

static PoolAsyncResult *
submit_variant (PoolManager *pool, guint64 index)
{
  GVariant *args = g_variant_new ("(ix)", (gint32) (index % 1000), (gint64) index);

  return POOL_ASYNC_RESULT (
      pool_manager_apply_async (pool, "double-variant", args, NULL, NULL, NULL, NULL));
}

static gboolean
take_variant (PoolAsyncResult **slot, guint64 index, GError **error)
{
  g_autoptr (PoolAsyncResult) result = g_steal_pointer (slot);
  g_autoptr (GVariant) value = pool_async_result_get (result, -1, error);
  gint32 i;
  gint64 x;

  if (value == NULL)
    return FALSE;
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("(ix)")))
    return bench_fail (error, "A result of type %s", g_variant_get_type_string (value));
  g_variant_get (value, "(ix)", &i, &x);
  if (i != (gint32) (index % 1000) || x != 2 * (gint64) index + 1)
    return bench_fail (error, "The result of call %" G_GUINT64_FORMAT " is wrong", index);
  return TRUE;
}

/* As bench_window_bytes(), for the time given. */
static gboolean
window_variant (PoolManager *pool, double seconds, BenchTally *tally, GError **error)
{
  PoolAsyncResult *ring[BENCH_WINDOW] = { NULL };
  gint64 start = bench_now ();
  gint64 end = start + (gint64) (seconds * 1e9);
  guint64 submitted = 0, taken = 0;
  gboolean ok = TRUE;

  while (ok && (submitted % BENCH_WINDOW != 0 || bench_now () < end))
    {
      PoolAsyncResult **slot = &ring[submitted % BENCH_WINDOW];

      if (*slot != NULL)
        ok = take_variant (slot, taken++, error);
      if (ok)
        *slot = submit_variant (pool, submitted++);
    }
  for (; ok && taken < submitted; taken++)
    ok = take_variant (&ring[taken % BENCH_WINDOW], taken, error);
  tally->calls += taken;
  tally->ns += bench_now () - start;

  for (gsize i = 0; i < BENCH_WINDOW; i++)
    g_clear_object (&ring[i]);
  return ok;
}

gboolean
bench_throughput_variant (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  BenchTally warm_up = { 0 }, tally = { 0 };

  if (!pool_manager_register (pool, "double-variant", double_variant, NULL, NULL, error) ||
      !bench_pool_start (run, pool, error) ||
      !window_variant (pool, run->seconds / 10, &warm_up, error) ||
      !window_variant (pool, run->seconds, &tally, error))
    return FALSE;

  bench_record (run, NULL, (double) tally.calls * 1e9 / (double) tally.ns, "task/s");
  return bench_pool_end (pool, error);
}
