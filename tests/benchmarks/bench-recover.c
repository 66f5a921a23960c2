/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the death of a worker costs: until its task fails, and until the pool is whole again. */

#include "bench-pool.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Long enough for everybody to sleep. */
#define PAUSE_US 5000

static gboolean
kill_worker (pid_t pid, GError **error)
{
  if (pid == getpid ())
    return bench_fail (error, "The workers of this backend are not processes");
  return kill (pid, SIGKILL) == 0 || bench_fail_errno (error, "kill");
}

/* Says who runs it, in a word that it shares with the program, and never ends. */
static gboolean
sleep_forever (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint32 *word = user_data;

  __atomic_store_n (word, (guint32) getpid (), __ATOMIC_RELEASE);
  bench_futex_wake (word, 1);
  for (;;)
    pause ();
  return TRUE;
}

static gboolean
measure_error (BenchRun *run, PoolManager *pool, guint32 *word, GError **error)
{
  g_autoptr (PoolAsyncResult) result = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) lost = NULL;
  gint64 start;

  result = POOL_ASYNC_RESULT (
      pool_manager_apply_bytes_async (pool, "sleep", NULL, 0, NULL, NULL, NULL, NULL));
  while (__atomic_load_n (word, __ATOMIC_ACQUIRE) == 0)
    if (!bench_futex_wait (word, 0, 10 * G_GINT64_CONSTANT (1000000000)))
      return bench_fail (error, "The task did not begin");
  g_usleep (PAUSE_US);

  start = bench_now ();
  if (!kill_worker ((pid_t) *word, error))
    return FALSE;
  bytes = pool_async_result_get_bytes (result, 30, &lost);
  bench_record (run, NULL, (double) (bench_now () - start) / 1e6, "ms");

  if (bytes != NULL)
    return bench_fail (error, "A task whose worker was killed has a result");
  if (!g_error_matches (lost, POOL_ERROR, POOL_ERROR_WORKER_LOST))
    return bench_fail (error, "Not the error of a lost worker: %s", lost->message);
  return TRUE;
}

gboolean
bench_kill_error (BenchRun *run, GError **error)
{
  guint32 *word = bench_shared_new (sizeof *word, error);
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  gboolean ok;

  if (word == NULL)
    return FALSE;
  g_object_set (pool, "resilient", FALSE, NULL);
  ok = pool_manager_register_bytes (pool, "sleep", sleep_forever, word, NULL, error) &&
       bench_pool_start (run, pool, error) && measure_error (run, pool, word, error) &&
       bench_pool_end (pool, error);
  bench_shared_free (word, sizeof *word);
  return ok;
}

/* All workers, the new one among them and the dead one not. */
static gboolean
check_attendance (BenchMeeting *meeting, guint n, pid_t dead, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      if (bench_meeting_get_pid (meeting, i) == dead)
        return bench_fail (error, "A dead worker has run a task");
      for (guint k = 0; k < i; k++)
        if (bench_meeting_get_pid (meeting, i) == bench_meeting_get_pid (meeting, k))
          return bench_fail (error, "One worker has run two tasks at the same time");
    }
  return TRUE;
}

/* Whole again is a pool when all its workers run a task at the same time. */
gboolean
bench_kill_strength (BenchRun *run, GError **error)
{
  guint n = bench_pool_workers (run, 2);
  g_autoptr (BenchMeeting) meeting = bench_meeting_new (error);
  g_autoptr (PoolManager) pool = bench_pool_new (run, n);
  pid_t victim;
  gint64 start;

  if (meeting == NULL || !bench_meeting_register (meeting, pool, error) ||
      !bench_pool_start (run, pool, error) || !bench_meeting_hold (meeting, pool, n, error))
    return FALSE;
  victim = bench_meeting_get_pid (meeting, 0);
  g_usleep (PAUSE_US);

  start = bench_now ();
  if (!kill_worker (victim, error) || !bench_meeting_hold (meeting, pool, n, error))
    return FALSE;
  bench_record (run, NULL, (double) (bench_now () - start) / 1e6, "ms");

  return check_attendance (meeting, n, victim, error) && bench_pool_end (pool, error);
}

/* --- time limits --- */

#define LIMIT 0.05

/* Turns a CPU for ever. */
static gboolean
turn (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  volatile gsize n = 0;

  for (;;)
    n++;
  return TRUE;
}

/* Ignores what can be ignored, and so does what it starts. */
static gboolean
turn_deaf (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  signal (SIGTERM, SIG_IGN);
  signal (SIGINT, SIG_IGN);
  if (fork () == 0)
    {
      setsid ();
      if (fork () == 0)
        for (;;)
          pause ();
      _exit (0);
    }
  return turn (task, data, size, user_data, error);
}

/* How much later than its limit the error of a task comes. */
gboolean
bench_limit_error (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 2);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) late = NULL;
  gint64 start;

  g_object_set (pool, "timeout", LIMIT, NULL);
  if (!pool_manager_register_bytes (pool, "turn", run->figure->variant ? turn_deaf : turn, NULL, NULL, error) ||
      !bench_double_register (pool, error) || !bench_pool_start (run, pool, error) ||
      !bench_double_call (pool, 1, error))
    return FALSE;
  start = bench_now ();
  bytes = pool_manager_apply_bytes (pool, "turn", NULL, 0, NULL, NULL, &late);
  bench_record (run, NULL, (double) (bench_now () - start) / 1e6 - LIMIT * 1e3, "ms");
  if (!g_error_matches (late, POOL_ERROR, POOL_ERROR_TIMED_OUT))
    return bench_fail (error, "Not the error of a time limit: %s", late != NULL ? late->message : "none");
  return bench_double_call (pool, 2, error) && bench_pool_end (pool, error);
}

/* The end of a pool whose workers are all busy, and have others waiting. */
gboolean
bench_shutdown (BenchRun *run, GError **error)
{
  g_autoptr (PoolManager) pool = bench_pool_new (run, 4);
  gint64 start;

  if (!pool_manager_register_bytes (pool, "turn", turn, NULL, NULL, error) || !bench_pool_start (run, pool, error))
    return FALSE;
  for (guint i = 0; i < 100; i++)
    g_object_unref (pool_manager_apply_bytes_async (pool, "turn", NULL, 0, NULL, NULL, NULL, NULL));
  g_usleep (PAUSE_US);
  start = bench_now ();
  if (!bench_pool_end (pool, error))
    return FALSE;
  bench_record (run, NULL, (double) (bench_now () - start) / 1e6, "ms");
  return TRUE;
}
