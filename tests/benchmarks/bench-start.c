/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How soon pools of several sizes are there, and what they cost while they have nothing to do. */

#include "bench-pool.h"

#include <sys/resource.h>
#include <unistd.h>

/* What is new may still touch memory for a while. */
#define SETTLE_US 200000

gboolean
bench_start (BenchRun *run, GError **error)
{
  gint64 start = bench_now ();
  g_autoptr (PoolManager) pool = bench_pool_new (run, (guint) run->figure->n);

  if (!bench_double_register (pool, error) || !bench_pool_start (run, pool, error) ||
      !bench_double_call (pool, 1, error))
    return FALSE;

  bench_record (run, NULL, (double) (bench_now () - start) / 1e6, "ms");
  return bench_pool_end (pool, error);
}

/* A thousand workers may need more descriptors than a program is given by default. */
static void
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_NOFILE, &limit);
    }
}

/* The memory of everything that the pool brought into the world, and of the program itself. */
static gboolean
record_family_pss (BenchRun *run, GError **error)
{
  g_autoptr (GArray) family = NULL;
  double sum = 0;

  g_usleep (SETTLE_US);
  family = bench_proc_family ();
  for (guint i = 0; i < family->len; i++)
    {
      double kib;

      if (!bench_proc_pss (g_array_index (family, pid_t, i), &kib, error))
        return FALSE;
      sum += kib;
    }
  bench_record (run, "pss", sum / 1024, "MiB");
  return TRUE;
}

gboolean
bench_start_all (BenchRun *run, GError **error)
{
  guint n = bench_pool_workers (run, (guint) run->figure->n);
  g_autoptr (PoolManager) pool = NULL;
  gint64 start;

  raise_descriptor_limit ();
  start = bench_now ();
  pool = bench_pool_new (run, n);
  if (!bench_double_register (pool, error) || !bench_pool_start (run, pool, error) ||
      !bench_pool_await_workers (pool, n, error))
    return FALSE;
  bench_record (run, NULL, (double) (bench_now () - start) / 1e6, "ms");

  return bench_double_call (pool, 1, error) && record_family_pss (run, error) &&
         bench_pool_end (pool, error);
}

static gboolean
record_mean_pss (BenchRun *run, PoolManager *pool, GError **error)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (pool);
  double sum = 0;

  for (guint i = 0; i < workers->len; i++)
    {
      pid_t pid = (pid_t) pool_worker_info_get_pid (g_ptr_array_index (workers, i));
      double kib;

      if (pid == getpid ())
        return bench_fail (error, "The workers of this backend are not processes");
      if (!bench_proc_pss (pid, &kib, error))
        return FALSE;
      sum += kib;
    }
  bench_record (run, NULL, sum / workers->len, "KiB");
  return TRUE;
}

gboolean
bench_pss (BenchRun *run, GError **error)
{
  guint n = bench_pool_workers (run, (guint) run->figure->n);
  g_autoptr (BenchMeeting) meeting = bench_meeting_new (error);
  g_autoptr (PoolManager) pool = bench_pool_new (run, n);

  if (meeting == NULL || !bench_meeting_register (meeting, pool, error) ||
      !bench_pool_start (run, pool, error) || !bench_meeting_hold (meeting, pool, n, error))
    return FALSE;

  g_usleep (SETTLE_US);
  return record_mean_pss (run, pool, error) && bench_pool_end (pool, error);
}

/* The thread that sleeps and looks is the benchmark's and does not count. */
gboolean
bench_idle (BenchRun *run, GError **error)
{
  guint n = bench_pool_workers (run, 2);
  g_autoptr (BenchMeeting) meeting = bench_meeting_new (error);
  g_autoptr (PoolManager) pool = bench_pool_new (run, n);
  g_autoptr (GArray) family = NULL;
  guint64 cpu[2], switches[2];

  if (meeting == NULL || !bench_meeting_register (meeting, pool, error) ||
      !bench_pool_start (run, pool, error) || !bench_meeting_hold (meeting, pool, n, error))
    return FALSE;

  g_usleep (SETTLE_US);
  family = bench_proc_family ();
  if (!bench_proc_usage (family, &cpu[0], &switches[0], error))
    return FALSE;
  g_usleep ((gulong) (run->seconds * 1e6));
  if (!bench_proc_usage (family, &cpu[1], &switches[1], error))
    return FALSE;

  bench_record (run, NULL, (double) (cpu[1] - cpu[0]) / 1e3 / run->seconds, "us/s");
  bench_record (run, "switches", (double) (switches[1] - switches[0]) / run->seconds, "1/s");
  return bench_pool_end (pool, error);
}
