/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-error.h"
#include "libpool/pool-function-private.h"
#include "unit-common.h"

static GVariant *
nothing (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_tuple (NULL, 0);
}

static void
count_call (gpointer data)
{
  ++*(guint *) data;
}

static PoolFunction *
function_new (const char *name)
{
  return pool_function_new (name, POOL_FUNCTION_TASK, nothing, NULL, NULL);
}

static void
assert_added (PoolFunctionTable *table, const char *name)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_function_table_add (table, function_new (name), &error));
  g_assert_no_error (error);
}

static void
assert_found (PoolFunctionTable *table, const char *name, guint expected)
{
  g_autoptr (GError) error = NULL;
  guint number = G_MAXUINT;

  g_assert_true (pool_function_table_lookup (table, name, &number, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (number, ==, expected);
  g_assert_cmpstr (pool_function_table_get (table, number)->name, ==, name);
}

static void
assert_not_found (PoolFunctionTable *table, const char *name, const char *message)
{
  g_autoptr (GError) error = NULL;
  guint number = 4711;

  g_assert_false (pool_function_table_lookup (table, name, &number, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_assert_cmpuint (number, ==, 4711);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, message));
}

static void
test_numbers (void)
{
  PoolFunctionTable *table = pool_function_table_new ();

  g_assert_cmpuint (pool_function_table_get_size (table), ==, 0);
  g_assert_null (pool_function_table_get (table, 0));
  assert_added (table, "first");
  assert_added (table, "second");
  assert_added (table, "with.dot");
  g_assert_cmpuint (pool_function_table_get_size (table), ==, 3);
  assert_found (table, "second", 1);
  assert_found (table, "first", 0);
  assert_found (table, "with.dot", 2);
  g_assert_null (pool_function_table_get (table, 3));
  g_assert_null (pool_function_table_get (table, G_MAXUINT));
  pool_function_table_free (table);
}

static void
test_destroyed_once (void)
{
  PoolFunctionTable *table = pool_function_table_new ();
  guint n_kept = 0, n_refused = 0;
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_function_table_add (
      table, pool_function_new ("name", POOL_FUNCTION_TASK, nothing, &n_kept, count_call), &error));
  /* what is not taken is freed all the same */
  g_assert_false (pool_function_table_add (
      table, pool_function_new ("name", POOL_FUNCTION_TASK, nothing, &n_refused, count_call), &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "There is a task of the name \"name\" already"));
  g_assert_cmpuint (n_refused, ==, 1);
  g_assert_cmpuint (n_kept, ==, 0);
  g_assert_cmpuint (pool_function_table_get_size (table), ==, 1);
  pool_function_table_free (table);
  g_assert_cmpuint (n_kept, ==, 1);
  g_assert_cmpuint (n_refused, ==, 1);
}

static void
test_names (void)
{
  static const char *const good[] = { "a", "A-b_c 1", "ä", "a/b", "a.b", "%s" };
  PoolFunctionTable *table = pool_function_table_new ();
  g_autofree char *longest = g_strnfill (100, 'x');
  g_autofree char *too_long = g_strnfill (101, 'x');
  const char *const bad[] = { "", "\377\376", "a\300", too_long };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    assert_added (table, good[i]);
  assert_added (table, longest);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (pool_function_table_add (table, function_new (bad[i]), &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      g_assert_nonnull (strstr (error->message, "A task's name is 1 to 100 bytes of UTF-8"));
    }
  g_assert_cmpuint (pool_function_table_get_size (table), ==, G_N_ELEMENTS (good) + 1);
  pool_function_table_free (table);
}

static void
test_limit (void)
{
  PoolFunctionTable *table = pool_function_table_new ();
  g_autoptr (GError) error = NULL, of_module = NULL;
  guint number;

  for (guint i = 0; i < POOL_FUNCTIONS_MAX; i++)
    {
      g_autofree char *name = g_strdup_printf ("task-%u", i);

      assert_added (table, name);
    }
  g_assert_false (pool_function_table_add (table, function_new ("one-more"), &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==, "A pool has at most 1024 tasks");
  g_assert_false (pool_function_table_lookup (table, "fine.twice", &number, &of_module));
  g_assert_error (of_module, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_cmpuint (pool_function_table_get_size (table), ==, POOL_FUNCTIONS_MAX);
  assert_found (table, "task-1023", 1023);
  pool_function_table_free (table);
}

static void
test_suggestions (void)
{
  PoolFunctionTable *table = pool_function_table_new ();
  g_autofree char *endless = g_strnfill (4096, 'q');

  assert_not_found (table, "square", "There is no task \"square\": register it");
  assert_added (table, "square");
  assert_added (table, "square-root");
  assert_added (table, "ab");
  assert_not_found (table, "sqare", "did you mean \"square\"?");
  assert_not_found (table, "squares", "did you mean \"square\"?");
  assert_not_found (table, "square-rot", "did you mean \"square-root\"?");
  assert_not_found (table, "ac", "did you mean \"ab\"?");
  /* too far from anything */
  assert_not_found (table, "xy", "register it before the pool starts");
  assert_not_found (table, "", "register it before the pool starts");
  assert_not_found (table, "cube-of-a-number", "MODULE.TASK");
  assert_not_found (table, endless, "MODULE.TASK");
  assert_not_found (table, "\377\376\375", "MODULE.TASK");
  pool_function_table_free (table);
}

static void
test_modules (void)
{
  PoolFunctionTable *table = pool_function_table_new ();
  PoolFunctionTable *other = pool_function_table_new ();

  assert_added (table, "own");
  assert_found (table, "fine.echo", 1);
  assert_found (table, "fine.twice", 2);
  assert_found (table, "fine.echo", 1);
  g_assert_cmpuint (pool_function_table_get_size (table), ==, 3);
  assert_not_found (table, "fine.twise", "did you mean \"fine.twice\"?");
  assert_not_found (table, "absent.task", "There is no task module \"absent\"");
  assert_not_found (table, "fine", "There is no task \"fine\"");
  assert_not_found (table, ".", "There is no task module \"\"");
  assert_not_found (table, "../fine.echo", "There is no task module");

  /* of two pools each has its own numbers, and the module's functions outlive both */
  assert_found (other, "fine.twice", 0);
  g_assert_true (pool_function_table_get (other, 0) == pool_function_table_get (table, 2));
  pool_function_table_free (table);
  assert_found (other, "fine.twice", 0);
  pool_function_table_free (other);
}

static void
test_closures (void)
{
  PoolFunctionTable *table = pool_function_table_new ();

  g_assert_null (pool_function_table_get_closure (table));
  assert_found (table, "fine.echo", 0);
  g_assert_null (pool_function_table_get_closure (table));
  assert_added (table, "own");
  assert_added (table, "other");
  g_assert_cmpstr (pool_function_table_get_closure (table)->name, ==, "own");
  pool_function_table_free (table);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/function/numbers", test_numbers);
  g_test_add_func ("/function/destroyed-once", test_destroyed_once);
  g_test_add_func ("/function/names", test_names);
  g_test_add_func ("/function/limit", test_limit);
  g_test_add_func ("/function/suggestions", test_suggestions);
  g_test_add_func ("/function/modules", test_modules);
  g_test_add_func ("/function/closures", test_closures);
  return g_test_run ();
}
