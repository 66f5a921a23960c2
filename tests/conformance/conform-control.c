/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Ending tasks that wait or run, and what comes first. */

static void
still_works (PoolManager *pool)
{
  conform_assert_value (pool_manager_apply (pool, "conform.square",
                                            g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL),
                        "9");
}

static PoolApplyResult *
submit (PoolManager *pool, const char *task, double seconds)
{
  return pool_manager_apply_async (pool, task, g_variant_new ("(d)", seconds), NULL, NULL, NULL, NULL);
}

static void
await_running (PoolManager *pool, guint n)
{
  conform_await (pool, "n-running", n);
}

static void
assert_ends (PoolApplyResult *result, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, &error));
  g_assert_error (error, POOL_ERROR, code);
  g_object_unref (result);
}

/* A task that listens stops at once, and its worker goes on. */
static void
test_cancel_running (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("grace", 20.0, NULL);
  PoolApplyResult *result = submit (pool, "conform.patient", 60);
  guint64 n_restarts;

  await_running (pool, 1);
  g_assert_true (pool_async_result_cancel (POOL_ASYNC_RESULT (result)));
  assert_ends (result, POOL_ERROR_CANCELLED);
  still_works (pool);
  g_object_get (pool, "n-restarts", &n_restarts, NULL);
  g_assert_cmpuint (n_restarts, ==, 0);
  conform_end (pool);
}

/* One that does not listen is ended after the grace. */
static void
test_cancel_deaf (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("grace", 0.05, NULL);
  PoolApplyResult *result = submit (pool, "conform.nap", 1);

  await_running (pool, 1);
  g_assert_true (pool_async_result_cancel (POOL_ASYNC_RESULT (result)));
  g_object_ref (result);
  assert_ends (result, POOL_ERROR_CANCELLED);
  g_assert_false (pool_async_result_cancel (POOL_ASYNC_RESULT (result)));
  g_object_unref (result);
  still_works (pool);
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

/* n items that each sleep for so long */
static PoolMapResult *
submit_map (PoolManager *pool, const char *task, guint n, double seconds, guint chunksize)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ad"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "d", seconds);
  return pool_manager_map_async (pool, task, g_variant_builder_end (&builder), chunksize, NULL, NULL, NULL);
}

static void
test_cancel_map (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("grace", 20.0, NULL);
  g_autoptr (PoolMapResult) result = submit_map (pool, "conform.patient", 100, 60.0, 10);
  g_autoptr (GError) error = NULL;

  await_running (pool, 2);
  g_assert_true (pool_async_result_cancel (POOL_ASYNC_RESULT (result)));
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
  g_assert_cmpuint (pool_map_result_get_n_done (result), ==, 100);
  still_works (pool);
  conform_end (pool);
}

/*
 * Each task is cancelled at about its end, when the worker may be in the next one. Nothing is run again here, so a blow that hits
 * the wrong task shows as a loss.
 */
static void
test_cancel_race (Fixture *fixture, gconstpointer data)
{
  const guint n = g_test_slow () ? 100000 : 3000;
  PoolManager *pool = conform_started_with ("grace", 0.0, "resilient", FALSE, "max-restarts", 1000000, NULL);
  guint n_cancelled = 0;
  gint64 t;

  for (guint i = 0; i < n; i++)
    {
      double seconds = g_test_rand_double_range (0, 100e-6);
      PoolApplyResult *first = submit (pool, "conform.nap", seconds);
      PoolApplyResult *second = submit (pool, "conform.nap", 0);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = NULL;

      for (t = g_get_monotonic_time () + g_test_rand_int_range (0, 150); g_get_monotonic_time () < t;)
        ;
      pool_async_result_cancel (POOL_ASYNC_RESULT (first));
      value = pool_async_result_get (POOL_ASYNC_RESULT (first), 20, &error);
      if (value == NULL)
        {
          g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
          n_cancelled++;
        }
      g_clear_error (&error);
      g_clear_pointer (&value, g_variant_unref);
      value = pool_async_result_get (POOL_ASYNC_RESULT (second), 20, &error);
      g_assert_no_error (error);
      g_object_unref (first);
      g_object_unref (second);
    }
  g_test_message ("%u of %u were cancelled", n_cancelled, n);
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

static void
test_terminate_result (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("processes", 1, NULL);
  PoolApplyResult *running = submit (pool, "conform.nap", 1), *queued = submit (pool, "conform.nap", 1);
  gint64 start;

  await_running (pool, 1);
  start = g_get_monotonic_time ();
  g_assert_true (pool_async_result_terminate (POOL_ASYNC_RESULT (queued), SIGTERM));
  assert_ends (queued, POOL_ERROR_TERMINATED);
  g_assert_true (pool_async_result_terminate (POOL_ASYNC_RESULT (running), SIGTERM));
  assert_ends (running, POOL_ERROR_TERMINATED);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 900000);
  still_works (pool);
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

/* Of a map nothing is started any more, also not what was not cut into chunks yet. */
static void
test_terminate_map (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("grace", 20.0, NULL);
  g_autoptr (PoolMapResult) result = submit_map (pool, "conform.nap", 5000, 0.05, 1);
  g_autoptr (GError) error = NULL;

  await_running (pool, 2);
  g_assert_true (pool_async_result_terminate (POOL_ASYNC_RESULT (result), SIGTERM));
  /* on two workers all of it would take two minutes */
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TERMINATED);
  g_assert_cmpuint (pool_map_result_get_n_done (result), ==, 5000);
  still_works (pool);
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

/* What ignores the signal is killed after the grace. */
static void
test_terminate_deaf (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("grace", 0.1, NULL);
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "pool-deaf-terminate", NULL);
  g_autofree char *text = NULL;
  PoolApplyResult *result =
      pool_manager_apply_async (pool, "conform.deaf", g_variant_new ("(s)", path), NULL, NULL, NULL, NULL);

  while (!g_file_get_contents (path, &text, NULL, NULL))
    g_usleep (1000);
  g_assert_true (pool_async_result_terminate (POOL_ASYNC_RESULT (result), SIGTERM));
  assert_ends (result, POOL_ERROR_TERMINATED);
  for (guint i = 0; i < 5000 && kill (atoi (text), 0) == 0; i++)
    g_usleep (1000);
  g_assert_cmpint (kill (atoi (text), 0), !=, 0);
  unlink (path);
  still_works (pool);
  conform_end (pool);
}

static void
test_terminate_job (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolApplyResult *result = submit (pool, "conform.nap", 20), *other = NULL;
  g_autoptr (GPtrArray) workers = NULL;
  g_autoptr (GError) error = NULL;
  gint64 busy = 0, idle = 0;

  conform_await (pool, "n-workers", 2);
  await_running (pool, 1);
  workers = pool_manager_get_workers (pool);
  for (guint i = 0; i < workers->len; i++)
    if (pool_worker_info_get_state (workers->pdata[i]) == POOL_WORKER_STATE_BUSY)
      busy = pool_worker_info_get_pid (workers->pdata[i]);
    else
      idle = pool_worker_info_get_pid (workers->pdata[i]);
  g_assert_false (pool_manager_terminate_job (pool, idle, SIGTERM, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  g_assert_false (pool_manager_terminate_job (pool, 1, SIGTERM, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  other = submit (pool, "conform.nap", 0.25);
  g_assert_true (pool_manager_terminate_job (pool, busy, SIGTERM, &error));
  g_assert_no_error (error);
  assert_ends (result, POOL_ERROR_TERMINATED);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (other), 20, NULL), "0.25");
  g_object_unref (other);
  conform_end (pool);
}

/* One item of the queue that is ended says nothing of the workers. */
static void
test_terminate_put (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("target", "conform.nap", "processes", 1, NULL);
  g_autoptr (GPtrArray) workers = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_manager_put (pool, g_variant_new ("(d)", 20.0), -1, NULL));
  await_running (pool, 1);
  workers = pool_manager_get_workers (pool);
  g_assert_true (pool_manager_terminate_job (pool, pool_worker_info_get_pid (workers->pdata[0]), SIGTERM, &error));
  g_assert_null (pool_manager_get (pool, 20, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TERMINATED);
  still_works (pool);
  conform_end (pool);
}

/* --- what comes first --- */

static PoolApplyResult *
submit_urgent (PoolManager *pool, int priority, double seconds)
{
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();

  pool_call_options_set_priority (options, priority);
  return pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", seconds), options, NULL, NULL, NULL);
}

static guint
count_done (PoolApplyResult **results, guint n)
{
  guint done = 0;

  for (guint i = 0; i < n; i++)
    done += pool_async_result_ready (POOL_ASYNC_RESULT (results[i]));
  return done;
}

static void
test_priority (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("processes", 1, NULL);
  PoolApplyResult *results[100], *urgent, *less;

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = submit (pool, "conform.nap", 0.005);
  less = submit_urgent (pool, 3, 0);
  urgent = submit_urgent (pool, 5, 0);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (urgent), 20, NULL, NULL));
  /* those that had begun; a few may have ended since */
  g_assert_cmpuint (count_done (results, G_N_ELEMENTS (results)), <, 30);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (less), 20, NULL, NULL));
  g_assert_cmpuint (count_done (results, G_N_ELEMENTS (results)), <, 40);
  g_object_unref (urgent);
  g_object_unref (less);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (results[i]), 20, NULL, NULL));
      g_object_unref (results[i]);
    }
  conform_end (pool);
}

/* However much is urgent, what is not gets its turn. */
static void
test_ageing (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("processes", 1, NULL);
  PoolApplyResult *low, *first = submit (pool, "conform.nap", 0.05);
  GQueue urgent = G_QUEUE_INIT;
  guint n = 0;

  for (guint i = 0; i < 50; i++)
    g_queue_push_tail (&urgent, submit_urgent (pool, 15, 0.0005));
  low = submit_urgent (pool, -16, 0);
  while (!pool_async_result_ready (POOL_ASYNC_RESULT (low)))
    {
      PoolApplyResult *oldest = g_queue_pop_head (&urgent);

      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (oldest), 20, NULL, NULL));
      g_object_unref (oldest);
      g_queue_push_tail (&urgent, submit_urgent (pool, 15, 0.0005));
      g_assert_cmpuint (++n, <, 5000);
    }
  g_object_unref (low);
  g_object_unref (first);
  pool_manager_close (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_queue_clear_full (&urgent, g_object_unref);
  g_object_unref (pool);
}

/* --- slots and answers --- */

static void
test_putlocks (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("putlocks", TRUE, NULL);
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  PoolApplyResult *results[8];
  guint64 n_pending;

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      results[i] = submit (pool, "conform.nap", 0.02);
      g_object_get (pool, "n-pending", &n_pending, NULL);
      g_assert_cmpuint (n_pending, <=, 2);
    }
  pool_call_options_set_wait_for_slot (options, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_object_unref (results[i]);
      results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.1), options, NULL, NULL, NULL);
    }
  g_object_get (pool, "n-pending", &n_pending, NULL);
  g_assert_cmpuint (n_pending, >, 2);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (results[i]), 20, NULL), "0.10000000000000001");
      g_object_unref (results[i]);
    }
  conform_end (pool);
}

static void
test_semaphore (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("putlocks", TRUE, "semaphore", 5, NULL);
  guint64 n_pending, most = 0;

  for (guint i = 0; i < 20; i++)
    {
      g_object_unref (submit (pool, "conform.nap", 0.01));
      g_object_get (pool, "n-pending", &n_pending, NULL);
      most = MAX (most, n_pending);
    }
  g_assert_cmpuint (most, ==, 5);
  conform_end (pool);
}

typedef struct
{
  guint n_accepted, n_done, n_set, n_cancel;
} Reports;

static void
on_accepted (PoolManager *pool, PoolAsyncResult *result, PoolWorkerInfo *worker, Reports *reports)
{
  g_assert_nonnull (worker);
  reports->n_accepted++;
}

static void
on_done (PoolManager *pool, PoolAsyncResult *result, PoolWorkerInfo *worker, Reports *reports)
{
  g_assert_true (pool_async_result_ready (result));
  g_assert_nonnull (worker);
  reports->n_done++;
}

static void
on_timeout_set (PoolManager *pool, PoolAsyncResult *result, double soft, double hard, Reports *reports)
{
  g_assert_cmpfloat (soft, ==, 10);
  g_assert_cmpfloat (hard, ==, 20);
  reports->n_set++;
}

static void
on_timeout_cancel (PoolManager *pool, PoolAsyncResult *result, Reports *reports)
{
  reports->n_cancel++;
}

static void
test_reports (Fixture *fixture, gconstpointer data)
{
  static const gboolean synack[] = { FALSE, TRUE };

  for (guint s = 0; s < G_N_ELEMENTS (synack); s++)
    {
      PoolManager *pool = conform_new ();
      Reports reports = { 0 };

      g_object_set (pool, "synack", synack[s], "soft-timeout", 10.0, "timeout", 20.0, NULL);
      g_signal_connect (pool, "task-accepted", G_CALLBACK (on_accepted), &reports);
      g_signal_connect (pool, "task-done", G_CALLBACK (on_done), &reports);
      g_signal_connect (pool, "timeout-set", G_CALLBACK (on_timeout_set), &reports);
      g_signal_connect (pool, "timeout-cancel", G_CALLBACK (on_timeout_cancel), &reports);
      g_assert_true (pool_manager_start (pool, NULL));
      for (guint i = 0; i < 100; i++)
        still_works (pool);
      conform_end (pool);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpuint (reports.n_accepted, ==, 100);
      g_assert_cmpuint (reports.n_done, ==, 100);
      g_assert_cmpuint (reports.n_set, ==, 100);
      g_assert_cmpuint (reports.n_cancel, ==, 100);
    }
}

/* With synack, what was cancelled in time never runs, and nothing gets stuck. */
static void
test_synack (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("synack", TRUE, "grace", 20.0, NULL);
  PoolApplyResult *results[200];
  gint64 numbers[1000];
  g_autoptr (GVariant) values = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      results[i] = submit (pool, "conform.patient", 0);
      if (i % 3 == 0)
        pool_async_result_cancel (POOL_ASYNC_RESULT (results[i]));
    }
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (results[i]), 20, NULL, NULL));
      if (i % 3 != 0)
        g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (results[i]), NULL));
      g_object_unref (results[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    numbers[i] = i;
  values = pool_manager_map (pool, "conform.square",
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8), 1,
                             NULL, NULL);
  g_assert_nonnull (values);
  conform_end (pool);
}

static void
on_progress (PoolAsyncResult *result, GParamSpec *pspec, double *last)
{
  double fraction = pool_async_result_get_progress (result);

  g_assert_cmpfloat (fraction, >=, *last);
  *last = fraction;
}

static void
test_progress (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result =
      pool_manager_apply_async (pool, "conform.progress", g_variant_new ("(i)", 100), NULL, NULL, NULL, NULL);
  g_autoptr (PoolMapResult) map = NULL;
  gint64 numbers[500] = { 0 };
  double last = 0, last_of_map = 0;

  g_signal_connect (result, "notify::progress", G_CALLBACK (on_progress), &last);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, NULL), "100");
  map = pool_manager_map_async (pool, "conform.square",
                                g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8), 1,
                                NULL, NULL, NULL);
  g_signal_connect (map, "notify::progress", G_CALLBACK (on_progress), &last_of_map);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (map), 20, NULL, NULL));
  conform_end (pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpfloat (last, ==, 1);
  g_assert_cmpfloat (pool_async_result_get_progress (POOL_ASYNC_RESULT (map)), ==, 1);
}

void
conform_add_control (void)
{
  conform_add ("control/cancel-running", test_cancel_running);
  conform_add ("control/cancel-deaf", test_cancel_deaf);
  conform_add ("control/cancel-map", test_cancel_map);
  conform_add ("control/cancel-race", test_cancel_race);
  conform_add ("control/terminate-result", test_terminate_result);
  conform_add ("control/terminate-map", test_terminate_map);
  if (conform_isolates)
    {
      conform_add ("control/terminate-deaf", test_terminate_deaf);
      conform_add ("control/terminate-job", test_terminate_job);
      conform_add ("control/terminate-put", test_terminate_put);
    }
  conform_add ("control/priority", test_priority);
  conform_add ("control/ageing", test_ageing);
  conform_add ("control/putlocks", test_putlocks);
  conform_add ("control/semaphore", test_semaphore);
  conform_add ("control/reports", test_reports);
  conform_add ("control/synack", test_synack);
  conform_add ("control/progress", test_progress);
}
