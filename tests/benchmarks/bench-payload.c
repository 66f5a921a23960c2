/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Large values there and back; what counts is the size of the value, once for each round trip.
 * Copied: both sides work on private memory, so that the value is copied four times. In place: the
 * caller's copy into the pool is the only one, and both sides read where the value lies.
 */

#include "bench-pool.h"

#include <string.h>

/* A worker's own memory, kept from call to call. */
static gboolean
echo_copy (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  static _Thread_local guint8 *own;
  static _Thread_local gsize own_size;

  if (own_size != size)
    {
      g_free (own);
      own = g_malloc (size);
      own_size = size;
    }
  memcpy (own, data, size);
  pool_task_reply (task, own, size);
  return TRUE;
}

static gboolean
echo_in_place (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, data, size);
  return TRUE;
}

/* Each value has a stamp of its own at both ends, so that an older one cannot pass for it. */
static gboolean
round_trip (PoolManager *pool, guint8 *value, gsize size, guint8 *copy, guint8 stamp,
            GError **error)
{
  g_autoptr (GBytes) result = NULL;
  const guint8 *data;
  gsize result_size;

  value[0] = value[size - 1] = stamp;
  result = pool_manager_apply_bytes (pool, "echo", value, size, NULL, NULL, error);
  if (result == NULL)
    return FALSE;

  data = g_bytes_get_data (result, &result_size);
  if (result_size != size)
    return bench_fail (error, "A result of %" G_GSIZE_FORMAT " bytes", result_size);
  if (copy != NULL)
    data = memcpy (copy, data, size);
  if (data[0] != stamp || data[size - 1] != stamp)
    return bench_fail (error, "The result is not that of the call");
  return TRUE;
}

/* The whole value is looked at once, before the clock runs. */
static gboolean
check_whole (PoolManager *pool, const guint8 *value, gsize size, GError **error)
{
  g_autoptr (GBytes) result =
      pool_manager_apply_bytes (pool, "echo", value, size, NULL, NULL, error);

  if (result == NULL)
    return FALSE;
  if (g_bytes_get_size (result) != size ||
      memcmp (g_bytes_get_data (result, NULL), value, size) != 0)
    return bench_fail (error, "The result is not the argument");
  return TRUE;
}

static gboolean
measure (BenchRun *run, PoolManager *pool, gboolean copied, GError **error)
{
  gsize size = run->items > 0 ? run->items : run->figure->n;
  g_autofree guint8 *value = g_malloc (size);
  g_autofree guint8 *copy = copied ? g_malloc0 (size) : NULL;
  gint64 start, now, end;
  guint n = 0;

  for (gsize i = 0; i < size; i++)
    value[i] = (guint8) (i * 7 + i / 251);
  if (!bench_pool_start (run, pool, error))
    return FALSE;
  /* both workers, and every page that will be used again */
  for (guint i = 0; i < 6; i++)
    if (!check_whole (pool, value, size, error))
      return FALSE;

  start = now = bench_now ();
  end = start + (gint64) (run->seconds * 1e9);
  for (; n < 2 || now < end; n++, now = bench_now ())
    if (!round_trip (pool, value, size, copy, (guint8) n, error))
      return FALSE;

  bench_record (run, NULL, (double) size * n / (1 << 20) / ((double) (now - start) / 1e9), "MiB/s");
  return bench_pool_end (pool, error);
}

gboolean
bench_payload_register (PoolManager *pool, const char *figure, GError **error)
{
  return pool_manager_register_bytes (pool, "echo", g_str_has_suffix (figure, "copied") ? echo_copy : echo_in_place,
                                      NULL, NULL, error);
}

gboolean
bench_payload_copied (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_payload_register (pool, run->figure->name, error) &&
         measure (run, pool, TRUE, error);
}

gboolean
bench_payload_in_place (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);

  return bench_payload_register (pool, run->figure->name, error) &&
         measure (run, pool, FALSE, error);
}
