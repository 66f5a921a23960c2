/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <signal.h>
#include <unistd.h>

/* What a worker's death does: nothing, to anybody but the task that it ran. Skipped where there is no isolation. */

static void
test_crash (Fixture *fixture, gconstpointer data)
{
  static const int signals[] = { SIGSEGV, SIGABRT, SIGKILL, SIGBUS };
  PoolManager *pool = conform_started ();

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *number = g_strdup_printf ("signal %d", signals[i]);

      g_assert_null (pool_manager_apply (pool, "conform.crash", g_variant_new ("(i)", signals[i]), NULL,
                                         NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
      g_assert_nonnull (strstr (error->message, number));
      g_assert_nonnull (strstr (error->message, "conform.crash"));
      g_assert_nonnull (strstr (error->message, "pid"));
      g_assert_nonnull (strstr (error->message, "attempt 3"));
    }
  conform_assert_value (
      pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL), "9");
  conform_end (pool);
}

static void
test_exit (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  g_assert_null (
      pool_manager_apply (pool, "conform.quit", g_variant_new ("(i)", 7), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  g_assert_nonnull (strstr (error->message, "status 7"));
  conform_end (pool);
}

static void
test_retry (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result =
      pool_manager_apply_async (pool, "conform.once", NULL, NULL, NULL, NULL, NULL);
  guint64 retried;

  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), -1, NULL), "2");
  g_assert_cmpuint (pool_async_result_get_attempts (POOL_ASYNC_RESULT (result)), ==, 2);
  g_object_get (pool, "n-retried", &retried, NULL);
  g_assert_cmpuint (retried, ==, 1);
  conform_end (pool);
}

static void
test_not_resilient (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "resilient", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  g_assert_null (pool_manager_apply (pool, "conform.once", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  g_assert_nonnull (strstr (error->message, "attempt 1"));
  conform_end (pool);
}

/* One item of a map kills its worker every time: that one fails, all others have their results. */
static void
test_poison (Fixture *fixture, gconstpointer data)
{
  static const guint chunksizes[] = { 0, 1, 10, 1000 };
  PoolManager *pool = conform_started ();
  gint64 numbers[200];

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    numbers[i] = i;
  for (guint c = 0; c < G_N_ELEMENTS (chunksizes); c++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PoolMapResult) result = pool_manager_map_async (
          pool, "conform.mine",
          g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8),
          chunksizes[c], NULL, NULL, NULL);

      g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), -1, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
      for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
        {
          g_autoptr (GError) item_error = NULL;
          g_autoptr (GVariant) value = pool_map_result_get_item (result, i, &item_error);

          if (i == 13)
            g_assert_error (item_error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
          else
            g_assert_cmpint (g_variant_get_int64 (value), ==, -numbers[i]);
        }
    }
  conform_end (pool);
}

/* The second item of a chunk is taken back for an idle worker; then the first takes its own down, and is run again. */
static void
test_taken_back (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolMapResult) result = pool_manager_map_async (
      pool, "conform.late", g_variant_new_parsed ("[int64 0, 1]"), 2, NULL, NULL, NULL);

  g_usleep (100000);
  for (guint i = 0; i < 3; i++)
    conform_assert_value (pool_manager_apply (pool, "conform.square",
                                              g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL),
                          "9");
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), -1, NULL),
                        "[<int64 1>, <int64 2>]");
  conform_end (pool);
}

static void
note_down (PoolManager *pool, PoolWorkerInfo *info, PoolWorkerInfo **last)
{
  g_set_object (last, info);
}

static void
test_down (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolWorkerInfo *info = NULL;
  g_autoptr (GPtrArray) workers = NULL;
  g_autoptr (GPtrArray) after = NULL;

  conform_assert_value (
      pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL), "9");
  g_signal_connect (pool, "process-down", G_CALLBACK (note_down), &info);
  while (workers == NULL || workers->len < 2)
    {
      g_clear_pointer (&workers, g_ptr_array_unref);
      g_main_context_iteration (NULL, FALSE);
      workers = pool_manager_get_workers (pool);
    }
  kill (pool_worker_info_get_pid (workers->pdata[1]), SIGKILL);
  while (info == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (pool_worker_info_get_reason (info), ==, POOL_DOWN_REASON_CRASHED);
  g_assert_cmpint (pool_worker_info_get_signal (info), ==, SIGKILL);
  g_assert_cmpint (pool_worker_info_get_pid (info), ==,
                   pool_worker_info_get_pid (workers->pdata[1]));
  g_assert_cmpuint (pool_worker_info_get_max_rss (info), >, 0);
  /* another takes its place */
  do
    {
      g_clear_pointer (&after, g_ptr_array_unref);
      g_main_context_iteration (NULL, FALSE);
      after = pool_manager_get_workers (pool);
    }
  while (after->len < 2);
  g_assert_cmpint (pool_worker_info_get_pid (after->pdata[1]), !=,
                   pool_worker_info_get_pid (workers->pdata[1]));
  g_signal_handlers_disconnect_by_func (pool, note_down, &info);
  g_object_unref (info);
  conform_end (pool);
}

void
conform_add_faults (void)
{
  if (!conform_isolates)
    return;
  conform_add ("faults/crash", test_crash);
  conform_add ("faults/exit", test_exit);
  conform_add ("faults/retry", test_retry);
  conform_add ("faults/not-resilient", test_not_resilient);
  conform_add ("faults/poison", test_poison);
  conform_add ("faults/taken-back", test_taken_back);
  conform_add ("faults/down", test_down);
}
