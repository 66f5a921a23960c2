/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <signal.h>
#include <string.h>

/*
 * The workload that tests/benchmarks/nemesis-peers.py gives to other pools, too: calls of five milliseconds, of which
 * every hundredth kills its worker each time it is run, while somebody kills a random worker now and then. One line of
 * JSON says what became of it.
 */

#define N_TASKS 2000
#define DEADLY_EACH 100
#define KILL_EACH_US 100000

typedef struct
{
  PoolManager *pool;
  guint processes;
  _Atomic gboolean over;
  GRand *rand;
  GArray *recoveries; /* ms */
  guint n_kills;
} Killer;

static guint
count_up (Killer *self, gint64 but)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (self->pool);
  guint n = 0;

  for (guint i = 0; i < workers->len; i++)
    n += pool_worker_info_get_pid (workers->pdata[i]) != but;
  return n;
}

static gpointer
kill_now_and_then (gpointer data)
{
  Killer *self = data;

  while (!self->over)
    {
      g_autoptr (GPtrArray) workers = NULL;
      gint64 start, pid;
      double ms;

      g_usleep (KILL_EACH_US);
      workers = pool_manager_get_workers (self->pool);
      if (workers->len == 0 || self->over)
        continue;
      pid = pool_worker_info_get_pid (workers->pdata[g_rand_int_range (self->rand, 0, workers->len)]);
      start = g_get_monotonic_time ();
      if (kill (pid, SIGKILL) != 0)
        continue;
      self->n_kills++;
      while (count_up (self, pid) < self->processes && g_get_monotonic_time () - start < 5 * G_USEC_PER_SEC)
        g_usleep (200);
      ms = (g_get_monotonic_time () - start) / 1e3;
      g_array_append_val (self->recoveries, ms);
    }
  return NULL;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

typedef struct
{
  guint n_right, n_wrong, n_failed, n_named, n_lost, n_twice;
} Ends;

static void
count_callback (PoolAsyncResult *result, guint *n_ends)
{
  (*n_ends)++;
}

static void
look_at (PoolAsyncResult *result, gint64 number, gint64 deadline, Ends *ends)
{
  double left = MAX (0, deadline - g_get_monotonic_time ()) / 1e6;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_async_result_get (result, left, &error);

  if (value != NULL)
    {
      ends->n_right += g_variant_get_int64 (value) == 3 * number + 1;
      ends->n_wrong += g_variant_get_int64 (value) != 3 * number + 1;
    }
  else if (g_error_matches (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT))
    ends->n_lost++;
  else
    {
      ends->n_failed++;
      ends->n_named += strstr (error->message, "signal 9") != NULL;
    }
}

/* Does it still run anything? */
static gboolean
probe (PoolManager *pool)
{
  g_autoptr (PoolApplyResult) result =
      pool_manager_apply_async (pool, "nemesis.work", g_variant_new ("(xb)", (gint64) 1, FALSE), NULL, NULL, NULL, NULL);
  g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (result), 5, NULL);

  return value != NULL;
}

int
nemesis_workload_run (void)
{
  guint processes = nemesis_options.processes > 0 ? nemesis_options.processes : 4;
  g_autoptr (PoolManager) pool = g_object_new (POOL_TYPE_MANAGER, "backend", nemesis_options.backend, "processes",
                                               processes, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree PoolAsyncResult **results = g_new (PoolAsyncResult *, N_TASKS);
  g_autofree guint *n_ends = g_new0 (guint, N_TASKS);
  Killer killer = { pool, processes, FALSE, g_rand_new_with_seed (nemesis_options.seed),
                    g_array_new (FALSE, FALSE, sizeof (double)), 0 };
  Ends ends = { 0 };
  GThread *thread;
  gint64 start, deadline;
  gboolean usable;
  double took;

  if (!pool_manager_start (pool, &error))
    {
      g_printerr ("nemesis: %s\n", error->message);
      return 1;
    }
  thread = g_thread_new ("killer", kill_now_and_then, &killer);
  start = g_get_monotonic_time ();
  deadline = start + nemesis_options.seconds * G_USEC_PER_SEC;
  for (gint64 i = 0; i < N_TASKS; i++)
    {
      results[i] = POOL_ASYNC_RESULT (pool_manager_apply_async (
          pool, "nemesis.work", g_variant_new ("(xb)", i, i % DEADLY_EACH == DEADLY_EACH / 2), NULL, NULL, NULL, NULL));
      g_signal_connect (results[i], "completed", G_CALLBACK (count_callback), &n_ends[i]);
    }
  for (gint64 i = 0; i < N_TASKS; i++)
    look_at (results[i], i, deadline, &ends);
  took = (g_get_monotonic_time () - start) / 1e6;
  killer.over = TRUE;
  g_thread_join (thread);
  usable = probe (pool);
  pool_manager_close (pool, NULL);
  if (!pool_manager_join (pool, 10, NULL))
    pool_manager_terminate (pool, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  for (guint i = 0; i < N_TASKS; i++)
    {
      ends.n_twice += n_ends[i] > 1;
      g_object_unref (results[i]);
    }
  g_array_sort (killer.recoveries, compare_doubles);
  g_print ("{\"library\": \"libpool\", \"tasks\": %d, \"right\": %u, \"wrong\": %u, \"lost\": %u, \"twice\": %u, "
           "\"failed\": %u, \"named\": %u, \"kills\": %u, \"recovery_ms\": %.2f, \"seconds\": %.2f, "
           "\"usable\": %s}\n",
           N_TASKS, ends.n_right, ends.n_wrong, ends.n_lost, ends.n_twice, ends.n_failed, ends.n_named, killer.n_kills,
           killer.recoveries->len > 0 ? g_array_index (killer.recoveries, double, killer.recoveries->len / 2) : -1.0, took,
           usable ? "true" : "false");
  g_array_unref (killer.recoveries);
  g_rand_free (killer.rand);
  return 0;
}
