/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Workers that are gone while their results may still come: what "lost-worker-timeout" promises, seen from outside. */

#include <libpool.h>

#include <string.h>

/* Far longer than anything takes, so that a test that stalls says where. */
#define PATIENCE 60
/* So long that only a fault makes anybody wait for it. */
#define FOR_EVER 1e6

typedef struct
{
  const char *name;
  gboolean threads;
} Mode;

static const Mode modes[] = { { "threads", TRUE }, { "context", FALSE } };

static gboolean
not_here (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  g_assert_not_reached ();
}

/* One worker at a time. */
static PoolManager *
start_pool (const Mode *mode, double lost_worker_timeout, gboolean resilient)
{
  PoolManager *pool = pool_manager_new ("remote-fake");
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "processes", 1, "threads", mode->threads, "lost-worker-timeout", lost_worker_timeout, "resilient",
                resilient, NULL);
  pool_manager_register_bytes (pool, "run", not_here, NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

static PoolAsyncResult *
submit (PoolManager *pool, const char *what, PoolCallOptions *options)
{
  PoolApplyResult *result = pool_manager_apply_bytes_async (pool, "run", (const guint8 *) what, strlen (what), options,
                                                            NULL, NULL, NULL);

  g_assert_nonnull (result);
  return POOL_ASYNC_RESULT (result);
}

static void
assert_answer (PoolAsyncResult *result, guint attempt)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = pool_async_result_get_bytes (result, PATIENCE, &error);
  g_autofree char *expected = g_strdup_printf ("%u", attempt);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), expected, strlen (expected));
  g_assert_cmpuint (pool_async_result_get_attempts (result), ==, attempt);
}

static void
assert_fails (PoolAsyncResult *result, int code, const char *says)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_async_result_get_bytes (result, PATIENCE, &error));
  g_assert_error (error, POOL_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, says));
}

static guint64
count (PoolManager *pool, const char *property)
{
  guint64 n;

  g_object_get (pool, property, &n, NULL);
  return n;
}

static void
assert_late (PoolManager *pool, guint n)
{
  g_autofree char *metrics = pool_manager_dump_metrics (pool);
  g_autofree char *expected = g_strdup_printf ("\nlibpool_late_results_total{backend=\"remote-fake\"} %u\n", n);

  g_assert_nonnull (strstr (metrics, expected));
}

static void
assert_joins (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_join (pool, PATIENCE, &error);
  g_assert_no_error (error);
}

/* The worker of what was submitted before is gone by the time that another one answers. */
static void
let_worker_go (PoolManager *pool)
{
  g_autoptr (PoolAsyncResult) other = submit (pool, "answer", NULL);

  assert_answer (other, 1);
}

static void
test_late_answer (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, 5, TRUE);
  g_autoptr (PoolAsyncResult) result = submit (pool, "gone-answers 100", NULL);

  let_worker_go (pool);
  assert_answer (result, 1);
  g_assert_cmpuint (count (pool, "n-retried"), ==, 0);
  g_assert_cmpuint (count (pool, "n-restarts"), ==, 1);
  g_assert_true (pool_manager_close (pool, NULL));
  assert_joins (pool);
  assert_late (pool, 0);
}

static void
test_silent (gconstpointer mode)
{
  static const double timeouts[] = { 0.05, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (timeouts); i++)
    {
      g_autoptr (PoolManager) pool = start_pool (mode, timeouts[i], TRUE);
      gint64 start = g_get_monotonic_time ();
      g_autoptr (PoolAsyncResult) result = submit (pool, "gone-silent", NULL);

      assert_answer (result, 2);
      g_assert_cmpint (g_get_monotonic_time () - start, >=, timeouts[i] * G_USEC_PER_SEC);
      g_assert_cmpuint (count (pool, "n-retried"), ==, 1);
      g_assert_true (pool_manager_terminate (pool, NULL));
      assert_joins (pool);
    }
}

static void
test_not_resilient (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, 0.05, FALSE);
  g_autoptr (PoolAsyncResult) result = submit (pool, "gone-silent", NULL);

  assert_fails (result, POOL_ERROR_WORKER_LOST, "is out of reach");
  g_assert_cmpuint (pool_async_result_get_attempts (result), ==, 1);
  g_assert_cmpuint (count (pool, "n-lost"), ==, 1);
  g_assert_true (pool_manager_terminate (pool, NULL));
  assert_joins (pool);
}

/* The first attempt's result comes during the second one, and after it: it counts neither time. */
static void
test_duplicates (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, 0.05, TRUE);
  g_autoptr (PoolAsyncResult) result = submit (pool, "gone-late", NULL);

  assert_answer (result, 2);
  g_assert_true (pool_manager_close (pool, NULL));
  assert_joins (pool);
  assert_late (pool, 2);
  g_assert_cmpuint (count (pool, "n-done"), ==, 1);
}

static void
test_join (gconstpointer mode)
{
  static const char *const tasks[] = { "gone-answers 100", "gone-silent" };

  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    {
      g_autoptr (PoolManager) pool = start_pool (mode, i == 0 ? 5 : 0.05, TRUE);
      g_autoptr (PoolAsyncResult) result = submit (pool, tasks[i], NULL);

      let_worker_go (pool);
      g_assert_true (pool_manager_close (pool, NULL));
      assert_joins (pool);
      g_assert_true (pool_async_result_ready (result));
      assert_answer (result, 1 + i);
    }
}

static void
count_exit (PoolManager *pool, PoolWorkerInfo *worker, guint *n_exits)
{
  ++*n_exits;
}

/* The last task of a closed pool is given up when a time is over, not when a worker says anything: workers end all the same. */
static void
test_close (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, 0.05, FALSE);
  g_autoptr (PoolAsyncResult) result = NULL;
  guint n_exits = 0;

  g_signal_connect (pool, "process-exit", G_CALLBACK (count_exit), &n_exits);
  result = submit (pool, "gone-silent", NULL);
  let_worker_go (pool);
  g_assert_true (pool_manager_close (pool, NULL));
  while (n_exits < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (pool_async_result_ready (result));
  assert_joins (pool);
}

static void
test_terminate (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, FOR_EVER, TRUE);
  g_autofree char *large = g_strnfill (1000, 'x');
  g_autofree char *with_payload = g_strconcat ("gone-silently ", large, NULL);
  g_autoptr (PoolAsyncResult) result = submit (pool, "gone-silent", NULL);
  g_autoptr (PoolAsyncResult) second = submit (pool, with_payload, NULL);

  let_worker_go (pool);
  g_assert_false (pool_async_result_ready (result));
  g_assert_true (pool_manager_terminate (pool, NULL));
  assert_joins (pool);
  assert_fails (result, POOL_ERROR_TERMINATED, "terminated");
  assert_fails (second, POOL_ERROR_TERMINATED, "terminated");
}

/* There is nobody to be told, and nothing to wait for. */
static void
test_cancel (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, FOR_EVER, TRUE);
  g_autoptr (PoolAsyncResult) cancelled = submit (pool, "gone-silent", NULL);
  g_autoptr (PoolAsyncResult) ended = submit (pool, "gone-silent", NULL);
  g_autoptr (PoolAsyncResult) soon = NULL;

  let_worker_go (pool);
  g_assert_true (pool_async_result_cancel (cancelled));
  assert_fails (cancelled, POOL_ERROR_CANCELLED, "cancelled");
  g_assert_true (pool_async_result_terminate (ended, 15));
  assert_fails (ended, POOL_ERROR_TERMINATED, "terminated");
  /* the worker may not have been found gone yet */
  soon = submit (pool, "gone-silent", NULL);
  g_assert_true (pool_async_result_cancel (soon));
  assert_fails (soon, POOL_ERROR_CANCELLED, "cancelled");
  g_assert_true (pool_manager_close (pool, NULL));
  assert_joins (pool);
}

/* What is awaited takes nobody's turn: with priorities a worker is given only two tasks in advance. */
static void
test_priorities (gconstpointer mode)
{
  g_autoptr (PoolManager) pool = start_pool (mode, FOR_EVER, TRUE);
  g_autoptr (PoolCallOptions) urgent = pool_call_options_new ();
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_object_unref);

  pool_call_options_set_priority (urgent, 1);
  for (guint i = 0; i < 4; i++)
    g_ptr_array_add (lost, submit (pool, "gone-silent", urgent));
  let_worker_go (pool);
  g_assert_true (pool_manager_terminate (pool, NULL));
  assert_joins (pool);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    GTestDataFunc func;
  } tests[] = { { "late-answer", test_late_answer }, { "silent", test_silent }, { "not-resilient", test_not_resilient },
                { "duplicates", test_duplicates },   { "join", test_join },     { "close", test_close },
                { "terminate", test_terminate },     { "cancel", test_cancel }, { "priorities", test_priorities } };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    for (guint j = 0; j < G_N_ELEMENTS (modes); j++)
      {
        g_autofree char *path = g_strdup_printf ("/remote/%s/%s", tests[i].name, modes[j].name);

        g_test_add_data_func (path, &modes[j], tests[i].func);
      }
  return g_test_run ();
}
