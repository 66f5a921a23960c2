/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>
#include <string.h>

/* Pools under POOL_CHAOS. POOL_TEST_BACKEND and POOL_TEST_START_METHOD say what kind. */

#define N_ITEMS 10000

static const char *backend = "fork";

static PoolManager *
new_pool (const char *chaos, int processes)
{
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "backend", backend, "processes", processes,
                                    "max-restarts", 1000000, "max-retries", 1000, NULL);

  if (method != NULL)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);

      g_object_set (pool, "start-method", g_enum_get_value_by_nick (klass, method)->value, NULL);
    }
  g_setenv ("POOL_CHAOS", chaos, TRUE);
  return pool;
}

static PoolManager *
started (const char *chaos, int processes)
{
  PoolManager *pool = new_pool (chaos, processes);
  g_autoptr (GError) error = NULL;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  g_unsetenv ("POOL_CHAOS"); /* it is read at the start, and not again */
  return pool;
}

static void
end (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_close (pool, NULL);
  pool_manager_join (pool, 60, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

static void
check_map (PoolManager *pool, guint n)
{
  g_autofree gint64 *numbers = g_new (gint64, n);
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    numbers[i] = i;
  values = pool_manager_map (pool, "conform.square",
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, n, sizeof *numbers),
                             1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (values), ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (values, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpint (g_variant_get_int64 (value), ==, (gint64) i * i);
    }
}

/* One task in twenty kills its worker, and nothing is missing. */
static void
test_kill (void)
{
  PoolManager *pool = started ("kill:0.05,seed=42", 4);
  guint64 n_restarts, n_retried, n_done;

  check_map (pool, N_ITEMS);
  g_object_get (pool, "n-restarts", &n_restarts, "n-retried", &n_retried, "n-done", &n_done, NULL);
  g_assert_cmpuint (n_done, ==, N_ITEMS);
  /* two thirds of the deaths come before the result is seen, and cost an attempt */
  g_assert_cmpuint (n_restarts, >, N_ITEMS / 40);
  g_assert_cmpuint (n_restarts, <, N_ITEMS / 10);
  g_assert_cmpuint (n_retried, >, N_ITEMS / 60);
  g_assert_cmpuint (n_retried, <, n_restarts);
  end (pool);
}

static void
test_stop_and_delay (void)
{
  PoolManager *pool = started ("stop:0.02,delay:0.1,seed=3", 2);
  guint64 n_restarts;

  check_map (pool, 500);
  g_object_get (pool, "n-restarts", &n_restarts, NULL);
  g_assert_cmpuint (n_restarts, ==, 0);
  end (pool);
}

/* A worker whose every task stops it ends its work all the same: somebody continues it. */
static void
test_always_stopped (void)
{
  PoolManager *pool = started ("stop:1", 1);

  check_map (pool, 10);
  end (pool);
}

static char *
list_attempts (const char *chaos)
{
  PoolManager *pool = started (chaos, 1);
  g_autoptr (GString) attempts = g_string_new (NULL);

  for (gint64 i = 0; i < 200; i++)
    {
      g_autoptr (PoolApplyResult) result = pool_manager_apply_async (
          pool, "conform.square", g_variant_new ("(x)", i), NULL, NULL, NULL, NULL);
      g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (result), 60, NULL);

      g_assert_nonnull (value);
      g_string_append_printf (attempts, "%u ", pool_async_result_get_attempts (POOL_ASYNC_RESULT (result)));
    }
  end (pool);
  return g_string_free (g_steal_pointer (&attempts), FALSE);
}

static void
test_same_seed (void)
{
  g_autofree char *first = list_attempts ("kill:0.1,seed=5");
  g_autofree char *again = list_attempts ("kill:0.1,seed=5");
  g_autofree char *other = list_attempts ("kill:0.1,seed=6");

  g_assert_cmpstr (first, ==, again);
  g_assert_cmpstr (first, !=, other);
  g_assert_nonnull (strchr (first, '2'));
}

static void
test_off (void)
{
  PoolManager *pool = started ("", 2);
  guint64 n_restarts;

  check_map (pool, 1000);
  g_object_get (pool, "n-restarts", &n_restarts, NULL);
  g_assert_cmpuint (n_restarts, ==, 0);
  end (pool);
}

static void
assert_refused (const char *chaos, const char *what)
{
  PoolManager *pool = new_pool (chaos, 1);
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "POOL_CHAOS"));
  g_assert_nonnull (strstr (error->message, what));

  /* nothing is lost: put right, it starts */
  g_unsetenv ("POOL_CHAOS");
  g_clear_error (&error);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  end (pool);
}

static void
test_refused (void)
{
  assert_refused ("kill:2", "probability");
  assert_refused ("die:0.1", "none of");
  if (g_str_equal (backend, "threads"))
    {
      assert_refused ("kill:0.1", "threads");
      assert_refused ("stop:0.1,delay:0.1", "threads");
    }
}

static void
test_delay (void)
{
  PoolManager *pool = started ("delay:0.2,seed=1", 3);

  check_map (pool, 1000);
  end (pool);
}

int
main (int argc, char **argv)
{
  if (g_getenv ("POOL_TEST_BACKEND") != NULL)
    backend = g_getenv ("POOL_TEST_BACKEND");
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/chaos/off", test_off);
  g_test_add_func ("/chaos/refused", test_refused);
  g_test_add_func ("/chaos/delay", test_delay);
  if (!g_str_equal (backend, "threads"))
    {
      g_test_add_func ("/chaos/kill", test_kill);
      g_test_add_func ("/chaos/same-seed", test_same_seed);
      g_test_add_func ("/chaos/stop-and-delay", test_stop_and_delay);
      g_test_add_func ("/chaos/always-stopped", test_always_stopped);
    }
  return g_test_run ();
}
