/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <signal.h>
#include <unistd.h>

/* Workers come and go: recycled, added, let go, replaced; and the pool is as large as it should be. */

static void
still_works (PoolManager *pool)
{
  conform_assert_value (pool_manager_apply (pool, "conform.square",
                                            g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL),
                        "9");
}

typedef struct
{
  int up, least, most;
  guint n_up, n_recycled, n_asked, n_other;
} Count;

static void
on_up (PoolManager *pool, PoolWorkerInfo *worker, Count *count)
{
  count->n_up++;
  count->up++;
  count->most = MAX (count->most, count->up);
}

static void
on_down (PoolManager *pool, PoolWorkerInfo *worker, Count *count)
{
  PoolDownReason reason = pool_worker_info_get_reason (worker);

  count->up--;
  if (count->n_recycled + count->n_asked + count->n_other == 0)
    count->least = count->up;
  count->least = MIN (count->least, count->up);
  count->n_recycled += reason == POOL_DOWN_REASON_RECYCLED;
  count->n_asked += reason == POOL_DOWN_REASON_ASKED;
  count->n_other += reason != POOL_DOWN_REASON_RECYCLED && reason != POOL_DOWN_REASON_ASKED;
}

static void
count_workers (PoolManager *pool, Count *count)
{
  g_signal_connect (pool, "process-up", G_CALLBACK (on_up), count);
  g_signal_connect (pool, "process-down", G_CALLBACK (on_down), count);
}

static void
run_main_loop (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* --- recycling --- */

static int
run_and_get_pid (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_apply (pool, "conform.describe", NULL, NULL, NULL, &error);
  int pid;

  g_assert_no_error (error);
  g_variant_get (value, "(tsuui)", NULL, NULL, NULL, NULL, &pid);
  return pid;
}

/* No worker runs more tasks than it may, all are done, and the pool never shrinks. */
static void
test_max_tasks (Fixture *fixture, gconstpointer data)
{
  static const guint limits[] = { 1, 2, 7 };

  for (guint l = 0; l < G_N_ELEMENTS (limits); l++)
    {
      PoolManager *pool = conform_new ();
      g_autoptr (GHashTable) runs = g_hash_table_new (NULL, NULL);
      Count count = { 0 };
      GHashTableIter iter;
      gpointer n;

      g_object_set (pool, "max-tasks-per-child", limits[l], NULL);
      count_workers (pool, &count);
      g_assert_true (pool_manager_start (pool, NULL));
      conform_await (pool, "n-workers", 2);
      for (guint i = 0; i < 60; i++)
        {
          gpointer pid = GINT_TO_POINTER (run_and_get_pid (pool));

          n = g_hash_table_lookup (runs, pid);
          g_hash_table_insert (runs, pid, GUINT_TO_POINTER (GPOINTER_TO_UINT (n) + 1));
        }
      while (count.n_recycled < 60 / limits[l] - 4)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (count.least, >=, 2);
      g_assert_cmpuint (count.n_other, ==, 0);
      g_hash_table_iter_init (&iter, runs);
      while (conform_isolates && g_hash_table_iter_next (&iter, NULL, &n))
        g_assert_cmpuint (GPOINTER_TO_UINT (n), <=, limits[l]);
      conform_end (pool);
    }
}

/* Large arguments, a fresh worker for each; and maps whose chunks count as tasks. */
static void
test_max_tasks_large (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("max-tasks-per-child", 1, NULL);
  const gsize size = 1 << 20;
  g_autofree guint8 *bytes = g_malloc (size);
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GError) error = NULL;
  gint64 numbers[1000];

  memset (bytes, 7, size);
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GBytes) echo =
          pool_manager_apply_bytes (pool, "conform.bytes-copy", bytes, size, NULL, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (echo, NULL), g_bytes_get_size (echo), bytes, size);
    }
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    numbers[i] = i;
  values = pool_manager_map (pool, "conform.square",
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8), 20,
                             NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (values), ==, G_N_ELEMENTS (numbers));
  conform_end (pool);
}

/* Workers that are all at their last task when the pool is closed, or have only idle neighbours. */
static void
test_max_tasks_and_end (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 20; i++)
    {
      PoolManager *pool = conform_started_with ("max-tasks-per-child", 1, NULL);

      for (guint j = 0; j < i; j++)
        g_object_unref (pool_manager_apply_async (pool, "conform.square",
                                                  g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL, NULL));
      if (i % 2 == 0)
        pool_manager_close (pool, NULL);
      else
        pool_manager_terminate (pool, NULL);
      g_assert_true (pool_manager_join (pool, 20, NULL));
      g_object_unref (pool);
    }
}

static void
test_max_memory (Fixture *fixture, gconstpointer data)
{
  const guint limit = conform_resident () / 1024 + 100;
  PoolManager *pool =
      conform_started_with ("max-memory-per-child", (guint64) limit * 1024, "processes", 1, NULL);
  g_autoptr (GHashTable) pids = g_hash_table_new (NULL, NULL);

  g_hash_table_add (pids, GINT_TO_POINTER (run_and_get_pid (pool)));
  g_hash_table_add (pids, GINT_TO_POINTER (run_and_get_pid (pool)));
  g_assert_cmpuint (g_hash_table_size (pids), ==, 1);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) pid =
          pool_manager_apply (pool, "conform.hoard", g_variant_new ("(u)", limit + 10), NULL, NULL, &error);

      g_assert_no_error (error);
      g_hash_table_add (pids, GINT_TO_POINTER (g_variant_get_int32 (pid)));
    }
  g_assert_cmpuint (g_hash_table_size (pids), >=, 5);
  conform_end (pool);
}

static void
test_max_memory_of_threads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PoolManager) pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "max-memory-per-child", (guint64) 1000, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
}

/* --- size --- */

static void
test_grow_and_shrink (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;
  PoolApplyResult *results[5];
  Count count = { 0 };

  count_workers (pool, &count);
  g_assert_false (pool_manager_grow (pool, 1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  g_assert_true (pool_manager_start (pool, NULL));
  g_assert_true (pool_manager_grow (pool, 3, NULL));
  conform_await (pool, "n-workers", 5);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL, NULL);
  conform_await (pool, "n-running", 5);

  /* all are busy: some end after their task */
  g_assert_true (pool_manager_shrink (pool, 4, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (results[i]), 20, NULL), "0.25");
      g_object_unref (results[i]);
    }
  conform_await (pool, "n-workers", 1);
  still_works (pool);
  g_assert_false (pool_manager_shrink (pool, 1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (pool_manager_grow (pool, 100000, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_true (pool_manager_grow (pool, 1, NULL));
  conform_await (pool, "n-workers", 2);
  still_works (pool);
  run_main_loop ();
  g_assert_cmpuint (count.n_asked, ==, 4);
  g_assert_cmpuint (count.n_recycled + count.n_other, ==, 0);
  conform_end (pool);
}

/* Idle workers go first: the one that is busy stays, and its task is not touched. */
static void
test_shrink_idle (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("processes", 4, "resilient", FALSE, NULL);
  PoolApplyResult *result;

  conform_await (pool, "n-workers", 4);
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.5), NULL, NULL, NULL, NULL);
  conform_await (pool, "n-running", 1);
  g_assert_true (pool_manager_shrink (pool, 3, NULL));
  conform_await (pool, "n-workers", 1);
  g_assert_false (pool_async_result_ready (POOL_ASYNC_RESULT (result)));
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, NULL), "0.5");
  g_object_unref (result);
  still_works (pool);
  conform_end (pool);
}

static void
test_autoscale (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  guint n_workers;

  g_object_unref (pool);
  pool = g_object_new (POOL_TYPE_MANAGER, "backend", conform_backend, "min-processes", 1, "max-processes", 4,
                       "idle-time", 0.2, "resilient", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  for (guint wave = 0; wave < 3; wave++)
    {
      PoolApplyResult *results[8];

      conform_await (pool, "n-workers", 1);
      for (guint i = 0; i < G_N_ELEMENTS (results); i++)
        results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL, NULL);
      conform_await (pool, "n-workers", 4);
      for (guint i = 0; i < G_N_ELEMENTS (results); i++)
        {
          conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (results[i]), 20, NULL), "0.25");
          g_object_unref (results[i]);
        }
      g_object_get (pool, "n-workers", &n_workers, NULL);
      g_assert_cmpuint (n_workers, <=, 4);
    }
  conform_await (pool, "n-workers", 1);
  still_works (pool);
  conform_end (pool);
}

static void
test_bad_sizes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PoolManager) pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "min-processes", 5, "max-processes", 3, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
}

/* Workers that are still being made when the pool is to be smaller go, too. */
static void
test_shrink_early (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  Count count = { 0 };

  g_object_set (pool, "processes", 4, NULL);
  count_workers (pool, &count);
  g_assert_true (pool_manager_start (pool, NULL));
  g_assert_true (pool_manager_shrink (pool, 3, NULL));
  while (count.n_up < 4 || count.up > 1)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (count.n_asked, ==, 3);
  still_works (pool);
  conform_end (pool);
}

/* --- restart --- */

static void
test_restart (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  PoolApplyResult *result;
  g_autoptr (GError) error = NULL;
  Count count = { 0 };

  count_workers (pool, &count);
  g_object_set (pool, "allow-restart", TRUE, NULL);
  g_assert_false (pool_manager_restart (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  g_assert_true (pool_manager_start (pool, NULL));
  conform_await (pool, "n-workers", 2);

  /* while it runs: all workers are replaced, one by one, and nothing is lost */
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL, NULL);
  conform_await (pool, "n-running", 1);
  g_assert_true (pool_manager_restart (pool, &error));
  g_assert_no_error (error);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, NULL), "0.25");
  g_object_unref (result);
  while (count.n_recycled < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (count.least, >=, 2);
  g_assert_cmpuint (count.n_other, ==, 0);
  still_works (pool);

  /* when it has ended */
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_assert_true (pool_manager_restart (pool, &error));
  g_assert_no_error (error);
  still_works (pool);

  /* in any state in between */
  pool_manager_close (pool, NULL);
  g_assert_true (pool_manager_restart (pool, &error));
  g_assert_no_error (error);
  still_works (pool);
  conform_end (pool);
}

/* What is done to a pool while another thread has it start anew finds an ended pool, or one that runs. */
static gpointer
use_meanwhile (gpointer data)
{
  PoolManager *pool = data;
  const gsize size = 1000000;
  g_autofree guint8 *bytes = g_malloc0 (size);

  for (guint i = 0; i < 30; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GError) call_error = NULL;
      g_autoptr (GBytes) reply = NULL;

      pool_manager_terminate (pool, NULL);
      pool_manager_join (pool, 20, NULL);
      pool_manager_did_start_ok (pool);
      if (pool_manager_start (pool, &error))
        g_assert_not_reached ();
      g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
      g_clear_error (&error);
      if (!pool_manager_restart (pool, &error))
        g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
      reply = pool_manager_apply_bytes (pool, "conform.bytes-echo", bytes, size, NULL, NULL, &call_error);
      g_assert_true (reply != NULL || g_error_matches (call_error, POOL_ERROR, POOL_ERROR_CLOSED) ||
                     g_error_matches (call_error, POOL_ERROR, POOL_ERROR_TERMINATED));
    }
  return NULL;
}

static void
test_restart_meanwhile (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("allow-restart", TRUE, NULL);
  GThread *threads[3];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("meanwhile", use_meanwhile, pool);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  if (pool_manager_get_state (pool) != POOL_STATE_RUN)
    g_assert_true (pool_manager_restart (pool, NULL));
  still_works (pool);
  conform_end (pool);
}

static void
test_restart_forbidden (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_manager_restart (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  conform_end (pool);
}

/* Deaths faster than allowed break the pool, which says why; a restart mends it. */
static void
test_restart_broken (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("max-restarts", 3, "max-restart-freq", 60.0, "max-retries", 1,
                                            "allow-restart", TRUE, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolApplyResult) pending = NULL;

  g_assert_true (pool_manager_did_start_ok (pool));
  for (guint i = 0; i < 3; i++)
    {
      g_assert_null (pool_manager_apply (pool, "conform.crash", g_variant_new ("(i)", SIGSEGV), NULL, NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
      g_clear_error (&error);
    }
  g_assert_false (pool_manager_did_start_ok (pool));
  g_assert_true (pool_manager_maintain_pool (pool, &error));
  pending = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 60.0), NULL, NULL, NULL, NULL);
  conform_await (pool, "n-running", 1);
  g_object_unref (pool_manager_apply_async (pool, "conform.crash", g_variant_new ("(i)", SIGSEGV), NULL, NULL, NULL,
                                            NULL));
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (pending), 20, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_assert_nonnull (strstr (error->message, "signal 11"));
  g_clear_error (&error);
  g_assert_false (pool_manager_maintain_pool (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_clear_error (&error);
  g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_BROKEN);

  g_assert_true (pool_manager_restart (pool, &error));
  g_assert_no_error (error);
  still_works (pool);
  conform_end (pool);
}

static void
test_sentinels (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GPtrArray) workers = NULL;
  g_autofree int *fds = NULL;
  gsize n;
  GPollFD poll_fd = { .events = G_IO_IN };

  conform_await (pool, "n-workers", 2);
  fds = pool_manager_get_process_sentinels (pool, &n);
  g_assert_cmpuint (n, ==, 2);
  workers = pool_manager_get_workers (pool);
  poll_fd.fd = fds[0];
  g_assert_cmpint (g_poll (&poll_fd, 1, 0), ==, 0);
  kill (pool_worker_info_get_pid (workers->pdata[0]), SIGKILL);
  g_assert_cmpint (g_poll (&poll_fd, 1, 20000), ==, 1);
  for (gsize i = 0; i < n; i++)
    close (fds[i]);
  conform_end (pool);
}

/* Workers that end are made again, though perhaps elsewhere than where their tasks are: all are done. */
static void
test_shrunk_and_killed (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  PoolAsyncResult *results[60];

  g_object_set (pool, "processes", 3, "max-retries", 1000, "max-restarts", 1000, NULL);
  if (conform_remote)
    g_object_set (pool, "processes-per-agent", 1, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  conform_await (pool, "n-workers", 3);
  /* the first worker is the idle one */
  for (guint i = 0; i < 3; i++)
    g_object_unref (pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", i == 0 ? 0.01 : 0.5), NULL,
                                              NULL, NULL, NULL));
  g_usleep (200000);
  g_assert_true (pool_manager_shrink (pool, 1, NULL));
  conform_await (pool, "n-workers", 2);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = POOL_ASYNC_RESULT (
        pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.02), NULL, NULL, NULL, NULL));
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GPtrArray) workers = NULL;

      g_assert_true (pool_async_result_wait (results[10 * i + 5], 30, NULL, NULL));
      workers = pool_manager_get_workers (pool);
      for (guint j = 0; j < workers->len; j++)
        kill (pool_worker_info_get_pid (workers->pdata[j]), SIGKILL);
    }
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_assert_true (pool_async_result_wait (results[i], 30, NULL, NULL));
      g_assert_true (pool_async_result_successful (results[i], NULL));
      g_object_unref (results[i]);
    }
  conform_end (pool);
}

void
conform_add_size (void)
{
  conform_add ("size/max-tasks", test_max_tasks);
  conform_add ("size/max-tasks-large", test_max_tasks_large);
  conform_add ("size/max-tasks-and-end", test_max_tasks_and_end);
  conform_add ("size/grow-and-shrink", test_grow_and_shrink);
  conform_add ("size/shrink-idle", test_shrink_idle);
  conform_add ("size/autoscale", test_autoscale);
  conform_add ("size/bad", test_bad_sizes);
  conform_add ("size/shrink-early", test_shrink_early);
  conform_add ("size/restart", test_restart);
  /* a program with threads cannot fork workers from itself */
  if (g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") != 0)
    conform_add ("size/restart-meanwhile", test_restart_meanwhile);
  conform_add ("size/restart-forbidden", test_restart_forbidden);
  if (conform_isolates)
    {
      conform_add ("size/max-memory", test_max_memory);
      conform_add ("size/restart-broken", test_restart_broken);
      conform_add ("size/shrunk-and-killed", test_shrunk_and_killed);
      conform_add ("size/sentinels", test_sentinels);
    }
  else
    conform_add ("size/max-memory-of-threads", test_max_memory_of_threads);
}
