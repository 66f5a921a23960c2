/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

static PoolManager *
queue_pool (gboolean ordered, guint size, const char *target)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "target", target, "ordered", ordered, "queue-size", size, NULL);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

static void
test_ordered (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (TRUE, 100, "conform.nap");
  g_autoptr (GError) error = NULL;

  pool_manager_put (pool, g_variant_new ("(d)", 0.1), -1, &error);
  pool_manager_put (pool, g_variant_new ("(d)", 0.0), -1, &error);
  pool_manager_put (pool, g_variant_new_double (0.01), -1, &error);
  g_assert_no_error (error);
  conform_assert_value (pool_manager_get (pool, -1, &error), "0.10000000000000001");
  conform_assert_value (pool_manager_get (pool, -1, &error), "0.0");
  conform_assert_value (pool_manager_get (pool, -1, &error), "0.01");
  g_assert_null (pool_manager_get (pool, -1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT);
  conform_end (pool);
}

static void
test_unordered (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (FALSE, 100, "conform.nap");
  g_autoptr (GError) error = NULL;

  pool_manager_put (pool, g_variant_new ("(d)", 0.3), -1, &error);
  pool_manager_put (pool, g_variant_new ("(d)", 0.0), -1, &error);
  conform_assert_value (pool_manager_get (pool, -1, &error), "0.0");
  g_assert_null (pool_manager_get (pool, 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_QUEUE_EMPTY);
  g_clear_error (&error);
  g_assert_null (pool_manager_get (pool, 0.01, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_QUEUE_EMPTY);
  g_clear_error (&error);
  conform_assert_value (pool_manager_get (pool, -1, &error), "0.29999999999999999");
  conform_end (pool);
}

static void
test_full (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (FALSE, 1, "conform.nap");
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (pool_manager_put (pool, g_variant_new ("(d)", 0.1), 0, &error))
    n++;
  g_assert_error (error, POOL_ERROR, POOL_ERROR_QUEUE_FULL);
  g_clear_error (&error);
  g_assert_cmpuint (n, ==, 3); /* two workers and a queue of one */
  g_assert_false (pool_manager_put (pool, g_variant_new ("(d)", 0.1), 0.001, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_QUEUE_FULL);
  g_clear_error (&error);
  g_assert_true (pool_manager_put (pool, g_variant_new ("(d)", 0.1), -1, &error));
  conform_end (pool);
}

static void
test_get_all (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (TRUE, 100, "conform.even");
  g_autoptr (GError) error = NULL;

  conform_assert_value (pool_manager_get_all (pool, &error), "[]");
  for (gint64 i = 0; i < 4; i++)
    pool_manager_put (pool, g_variant_new ("(x)", i), -1, &error);
  /* two fail: each is told once, and nothing else is lost */
  g_assert_null (pool_manager_get_all (pool, &error));
  g_assert_cmpstr (error->message, ==, "odd: 1");
  g_clear_error (&error);
  g_assert_null (pool_manager_get_all (pool, &error));
  g_assert_cmpstr (error->message, ==, "odd: 3");
  g_clear_error (&error);
  conform_assert_value (pool_manager_get_all (pool, &error), "[<int64 0>, <int64 2>]");
  conform_end (pool);
}

/* What waits goes, what runs does not. */
static void
test_clear (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (TRUE, 100, "conform.nap");
  g_autoptr (GError) error = NULL;
  guint cleared, n = 0;

  for (guint i = 0; i < 20; i++)
    pool_manager_put (pool, g_variant_new ("(d)", 0.05), -1, &error);
  conform_await (pool, "n-running", 2);
  cleared = pool_manager_clear_tasks (pool);
  if (!conform_remote)
    g_assert_cmpuint (cleared, >=, 10);
  for (;;)
    {
      g_autoptr (GVariant) value = pool_manager_get (pool, -1, &error);

      if (value == NULL)
        break;
      n++;
    }
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT);
  /* what ran was not stopped; agents have given back what they had, or not */
  g_assert_cmpuint (n, >=, 2);
  if (conform_remote)
    g_assert_cmpuint (n + cleared, <=, 20);
  else
    g_assert_cmpuint (n + cleared, ==, 20);
  conform_end (pool);
}

static GVariant *
to_a_hundred (gpointer user_data, GError **error)
{
  gint64 *n = user_data;

  return *n < 100 ? g_variant_new_int64 ((*n)++) : NULL;
}

static void
test_put_async (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = queue_pool (TRUE, 4, "conform.square");
  g_autoptr (GError) error = NULL;
  gint64 next = 0;

  g_assert_true (pool_manager_put_async (pool, to_a_hundred, &next, NULL, &error));
  g_assert_false (pool_manager_put_async (pool, to_a_hundred, &next, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  for (gint64 i = 0; i < 50; i++)
    {
      g_autoptr (GVariant) value = pool_manager_get (pool, -1, &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
    }
  g_assert_true (pool_manager_join_async (pool, -1, &error));
  for (gint64 i = 50; i < 100; i++)
    g_variant_unref (pool_manager_get (pool, -1, &error));
  g_assert_null (pool_manager_get (pool, -1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT);
  g_assert_true (pool_manager_is_alive (pool));
  conform_end (pool);
}

static void
test_static_args (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_manager_set_static_args (pool, g_variant_new_int32 (3), &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_true (pool_manager_set_static_args (
      pool, g_variant_new ("(xx)", (gint64) 1000, (gint64) 10000), &error));
  g_object_set (pool, "target", "conform.add", NULL);
  g_assert_true (pool_manager_start (pool, &error));
  conform_assert_value (pool_manager_apply (pool, NULL, g_variant_new ("(x)", (gint64) 1), NULL, NULL,
                                            &error),
                        "11001");
  conform_assert_value (
      pool_manager_map (pool, NULL, g_variant_new_parsed ("[int64 1, 2]"), 0, NULL, &error),
      "[<int64 11001>, <int64 11002>]");
  conform_end (pool);
}

static void
test_initializer (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (
      pool_manager_set_initializer (pool, "conform.initialize", g_variant_new ("(i)", 42), &error));
  g_assert_true (pool_manager_start (pool, &error));
  for (guint i = 0; i < 10; i++)
    conform_assert_value (pool_manager_apply (pool, "conform.initialized", NULL, NULL, NULL, &error), "42");
  conform_end (pool);
}

static void
test_bad_initializer (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_manager_set_initializer (pool, "conform.fail", NULL, &error));
  g_assert_true (pool_manager_start (pool, &error));
  g_assert_null (pool_manager_apply (pool, "conform.initialized", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_assert_nonnull (strstr (error->message, "größer als 7"));
  g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_BROKEN);
  g_clear_error (&error);
  g_assert_null (pool_manager_apply (pool, "conform.initialized", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 10, NULL));
  g_object_unref (pool);
}

/* --- an object with state as the target --- */

#define TEST_TYPE_COUNTER (test_counter_get_type ())
G_DECLARE_FINAL_TYPE (TestCounter, test_counter, TEST, COUNTER, PoolProcess)

struct _TestCounter
{
  PoolProcess parent_instance;
  gint64 sum;
};

G_DEFINE_FINAL_TYPE (TestCounter, test_counter, POOL_TYPE_PROCESS)

static GVariant *
test_counter_run (PoolProcess *process, PoolTask *task, GVariant *args, GError **error)
{
  TestCounter *self = TEST_COUNTER (process);
  GVariant *static_args = pool_process_get_static_args (process);
  gint64 start, x;

  g_variant_get (static_args, "(x)", &start);
  g_variant_get (args, "(x)", &x);
  self->sum += x;
  return g_variant_new_int64 (start + self->sum);
}

static void
test_counter_class_init (TestCounterClass *klass)
{
  POOL_PROCESS_CLASS (klass)->run = test_counter_run;
}

static void
test_counter_init (TestCounter *self)
{
}

static void
test_process (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "target-type", TEST_TYPE_COUNTER, "processes", 1, "static-args",
                g_variant_new ("(x)", (gint64) 100), "ordered", TRUE, NULL);
  if (!conform_closures)
    {
      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
      g_object_unref (pool);
      return;
    }
  g_assert_true (pool_manager_start (pool, &error));
  for (gint64 i = 1; i <= 3; i++)
    pool_manager_put (pool, g_variant_new ("(x)", i), -1, &error);
  conform_assert_value (pool_manager_get_all (pool, &error), "[<int64 101>, <int64 103>, <int64 106>]");
  conform_end (pool);

  pool = conform_new ();
  g_object_set (pool, "target-type", G_TYPE_OBJECT, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_object_unref (pool);
}

void
conform_add_queue (void)
{
  conform_add ("queue/ordered", test_ordered);
  conform_add ("queue/unordered", test_unordered);
  conform_add ("queue/full", test_full);
  conform_add ("queue/get-all", test_get_all);
  conform_add ("queue/clear", test_clear);
  conform_add ("queue/put-async", test_put_async);
  conform_add ("queue/static-args", test_static_args);
  conform_add ("queue/initializer", test_initializer);
  conform_add ("queue/bad-initializer", test_bad_initializer);
  conform_add ("queue/process", test_process);
}
