/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "runner-fixture.h"
#include "unit-common.h"

/* --- functions --- */

static GVariant *
task_double (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE ("(x)")))
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s", g_variant_get_type_string (args));
      return NULL;
    }
  g_variant_get (args, "(x)", &x);
  if (x < 0)
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "%d is negative", (int) x);
      return NULL;
    }
  return g_variant_new_int64 (2 * x);
}

static GVariant *
task_reverse (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) bytes = g_variant_get_child_value (args, 0);
  gsize n;
  const guint8 *data = g_variant_get_fixed_array (bytes, &n, 1);
  g_autofree guint8 *out = g_malloc (n + 1);

  for (gsize i = 0; i < n; i++)
    out[i] = data[n - 1 - i];
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, out, n, 1);
}

static GVariant *
task_echo (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

static GVariant *
task_silent (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
task_both (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_IO, "Never mind");
  return g_variant_new_string ("fine");
}

static GVariant *
task_describe (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gboolean is_cancelled = g_cancellable_is_cancelled (pool_task_get_cancellable (task));

  g_cancellable_cancel (pool_task_get_cancellable (task));
  return g_variant_new ("(tsuub)", pool_task_get_id (task), pool_task_get_name (task),
                        pool_task_get_attempt (task), pool_task_get_worker (task), is_cancelled);
}

static gboolean
bytes_both (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_IO, "Never mind");
  pool_task_reply (task, (const guint8 *) "fine", 4);
  return TRUE;
}

static GBytes *
batch_reverse (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  guint64 n = pool_packed_get_n_items (batch);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  ++*(guint *) user_data;
  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr (GBytes) item = pool_packed_get_item (batch, i, NULL);
      gsize size;
      const guint8 *data = g_bytes_get_data (item, &size);
      guint8 *out = g_malloc (size + 1);

      for (gsize j = 0; j < size; j++)
        out[j] = data[size - 1 - j];
      g_ptr_array_add (items, g_bytes_new_take (out, size));
    }
  return pool_packed_new ((GBytes **) items->pdata, items->len);
}

static GBytes *
batch_given (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return user_data != NULL ? g_bytes_ref (user_data) : NULL;
}

static GBytes *
batch_fail (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  return NULL;
}

/* --- functions on values --- */

static void
test_task_value (void)
{
  Fixture fixture;
  guint8 *args;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_double, NULL, NULL);
  args = run_value (&fixture, g_variant_new ("(x)", G_GINT64_CONSTANT (21)));
  assert_value (&fixture, g_variant_new_int64 (42));
  g_free (args);
  args = run_value (&fixture, g_variant_new ("(x)", G_GINT64_CONSTANT (-1)));
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "-1 is negative");
  g_free (args);
  args = run_value (&fixture, g_variant_new ("(x)", G_GINT64_CONSTANT (1)));
  assert_value (&fixture, g_variant_new_int64 (2));
  g_free (args);
  fixture_clear (&fixture);
}

static void
test_task_bytes (void)
{
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_reverse, NULL, NULL);
  run_bytes (&fixture, "drawer");
  assert_text (&fixture, "reward");
  run_bytes (&fixture, "");
  assert_text (&fixture, "");
  fixture_clear (&fixture);

  /* bytes in, so bytes out */
  fixture_init (&fixture, POOL_FUNCTION_TASK, task_echo, NULL, NULL);
  run_bytes (&fixture, "drawer");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING, "must be of type ay, not (ay)");
  fixture_clear (&fixture);
}

static void
test_task_items (void)
{
  GVariant *values[] = { g_variant_new_int64 (1), g_variant_new_int64 (-2), g_variant_new_string ("x"),
                         g_variant_new_int64 (4) };
  g_autoptr (GBytes) batch = pack_values (values, 4);
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", "", "cde", NULL });
  g_autoptr (GBytes) results = NULL, reversed = NULL;
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_double, NULL, NULL);
  run_packed (&fixture, POOL_CALL_VALUE, batch);
  results = reply_batch (&fixture, POOL_RESULT_PACKED_VALUES, 4);
  assert_item_value (results, 0, g_variant_new_int64 (2));
  assert_item_error (results, 1, G_FILE_ERROR, G_FILE_ERROR_PERM, "-2 is negative");
  assert_item_error (results, 2, G_FILE_ERROR, G_FILE_ERROR_INVAL, "(s)");
  assert_item_value (results, 3, g_variant_new_int64 (8));
  fixture_clear (&fixture);

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_reverse, NULL, NULL);
  run_packed (&fixture, 0, texts);
  reversed = reply_batch (&fixture, POOL_RESULT_PACKED, 3);
  assert_item (reversed, 0, "ba", 2);
  assert_item (reversed, 1, "", 0);
  assert_item (reversed, 2, "edc", 3);
  fixture_clear (&fixture);
}

static void
test_task_silent (void)
{
  GVariant *values[] = { g_variant_new_int64 (1) };
  g_autoptr (GBytes) batch = pack_values (values, 1);
  g_autoptr (GBytes) results = NULL;
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_silent, NULL, NULL);
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING,
                "Task 17 (the-task) returned no value and no error");
  run_bytes (&fixture, "x");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING, "Task 17 (the-task)");
  run_packed (&fixture, POOL_CALL_VALUE, batch);
  results = reply_batch (&fixture, POOL_RESULT_PACKED_VALUES, 1);
  assert_item_error (results, 0, POOL_ERROR, POOL_ERROR_ENCODING, "Task 17 (the-task)");
  fixture_clear (&fixture);
}

/* A result is a result, whatever was said beside it. */
static void
test_both (void)
{
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_both, NULL, NULL);
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_value (&fixture, g_variant_new_string ("fine"));
  fixture_clear (&fixture);

  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_both, NULL, NULL);
  run_bytes (&fixture, "x");
  assert_text (&fixture, "fine");
  fixture_clear (&fixture);
}

static void
test_describe (void)
{
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_describe, NULL, NULL);
  for (guint i = 0; i < 2; i++)
    {
      /* the second call does not see that the first was cancelled */
      g_free (run_value (&fixture, g_variant_new ("()")));
      assert_value (&fixture, g_variant_new ("(tsuub)", (guint64) 17, "the-task", 2, 3, FALSE));
    }
  fixture_clear (&fixture);
}

static void
test_static_args (void)
{
  g_autoptr (GVariant) static_args = g_variant_ref_sink (g_variant_new ("(si)", "static", 5));
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_TASK, task_echo, NULL, static_args);
  g_assert_true (pool_task_get_static_args (fixture.runner.task) == static_args);
  g_free (run_value (&fixture, g_variant_new ("(b)", TRUE)));
  assert_value (&fixture, g_variant_new ("(bsi)", TRUE, "static", 5));
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_value (&fixture, g_variant_new ("(si)", "static", 5));
  fixture_clear (&fixture);

  /* bytes are bytes */
  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_reverse, NULL, static_args);
  run_bytes (&fixture, "ab");
  assert_text (&fixture, "ba");
  fixture_clear (&fixture);
}

/* --- functions on batches --- */

static void
test_batch (void)
{
  GVariant *values[] = { g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "ab", 2, 1),
                         g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "cd", 2, 1) };
  g_autoptr (GBytes) of_values = pack_values (values, 2);
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", "", "cde", NULL });
  g_autoptr (GBytes) none = pool_packed_new (NULL, 0);
  g_autoptr (GBytes) results = NULL, value_results = NULL, no_results = NULL;
  guint n_calls = 0;
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_BATCH, batch_reverse, &n_calls, NULL);
  run_packed (&fixture, 0, texts);
  g_assert_cmpuint (n_calls, ==, 1);
  results = reply_batch (&fixture, POOL_RESULT_PACKED, 3);
  assert_item (results, 0, "ba", 2);
  assert_item (results, 1, "", 0);
  assert_item (results, 2, "edc", 3);

  run_packed (&fixture, 0, none);
  no_results = reply_batch (&fixture, POOL_RESULT_PACKED, 0);

  /* a lone call is a batch of one */
  run_bytes (&fixture, "drawer");
  assert_text (&fixture, "reward");
  g_free (run_value (&fixture, bytes_tuple ("ab", 2)));
  assert_value (&fixture, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "ba", 2, 1));
  g_free (run_value (&fixture, g_variant_new ("(i)", 1)));
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "type (ay)");

  /* and so is each value */
  n_calls = 0;
  run_packed (&fixture, POOL_CALL_VALUE, of_values);
  g_assert_cmpuint (n_calls, ==, 2);
  value_results = reply_batch (&fixture, POOL_RESULT_PACKED_VALUES, 2);
  assert_item_value (value_results, 0, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "ba", 2, 1));
  assert_item_value (value_results, 1, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "dc", 2, 1));
  fixture_clear (&fixture);
}

static GBytes *
batch_of_one_error (void)
{
  g_autoptr (GError) error = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NOENT, "Gone");
  PoolBuffer buffer = { 0 };
  guint8 *data;
  gsize size;

  pool_buffer_reserve (&buffer, POOL_PACKED_HEADER (1));
  pool_error_encode (error, &buffer);
  pool_packed_write (buffer.data, 1);
  pool_packed_write (buffer.data + 8, (buffer.len - POOL_PACKED_HEADER (1)) | POOL_PACKED_ERROR);
  data = pool_buffer_steal (&buffer, &size);
  return g_bytes_new_take (data, size);
}

static void
test_batch_wrong (void)
{
  g_autoptr (GBytes) two = pack_texts ((const char *const[]){ "a", "b", NULL });
  g_autoptr (GBytes) three = pack_texts ((const char *const[]){ "a", "b", "c", NULL });
  g_autoptr (GBytes) garbage = g_bytes_new_static ("garbage and more", 16);
  g_autoptr (GBytes) error_item = batch_of_one_error ();
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_BATCH, batch_given, three, NULL);
  run_packed (&fixture, 0, two);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING,
                "Task 17 (the-task) was given 2 items and returned a batch of another length");
  run_bytes (&fixture, "x");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING, "given 1 items");

  fixture.function->user_data = garbage;
  run_packed (&fixture, 0, two);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING, "returned Not a packed batch");
  run_bytes (&fixture, "x");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING, "returned Not a packed batch");

  fixture.function->user_data = NULL;
  run_packed (&fixture, 0, two);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING,
                "Task 17 (the-task) returned no batch and no error");

  /* an error in place of the one item is the call's error */
  fixture.function->user_data = error_item;
  run_bytes (&fixture, "x");
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_NOENT, "Gone");

  fixture.function->func.batch = batch_fail;
  run_packed (&fixture, 0, two);
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  run_bytes (&fixture, "x");
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  fixture_clear (&fixture);
}

/* --- objects --- */

typedef struct
{
  PoolProcess parent_instance;
  guint n_calls;
} TestCounter;

typedef PoolProcessClass TestCounterClass;

GType test_counter_get_type (void);

G_DEFINE_TYPE (TestCounter, test_counter, POOL_TYPE_PROCESS)

static guint n_counters;

static GVariant *
test_counter_run (PoolProcess *process, PoolTask *task, GVariant *args, GError **error)
{
  GVariant *static_args = pool_process_get_static_args (process);

  return g_variant_new ("(u@*m@*)", ++((TestCounter *) process)->n_calls, args, static_args);
}

static void
test_counter_finalize (GObject *object)
{
  n_counters--;
  G_OBJECT_CLASS (test_counter_parent_class)->finalize (object);
}

static void
test_counter_class_init (TestCounterClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_counter_finalize;
  klass->run = test_counter_run;
}

static void
test_counter_init (TestCounter *self)
{
  n_counters++;
}

static void
test_process (void)
{
  g_autoptr (GVariant) static_args = g_variant_ref_sink (g_variant_new ("(s)", "static"));
  GVariant *values[] = { g_variant_new_int32 (5), g_variant_new_int32 (6) };
  g_autoptr (GBytes) batch = pack_values (values, 2);
  g_autoptr (GBytes) results = NULL;
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_PROCESS, NULL, GSIZE_TO_POINTER (test_counter_get_type ()),
                static_args);
  g_assert_cmpuint (n_counters, ==, 0);
  /* its static arguments are a property, and not arguments of each call */
  g_free (run_value (&fixture, g_variant_new ("(s)", "x")));
  assert_value (&fixture, g_variant_new_parsed ("(uint32 1, ('x',), @m(s) ('static',))"));
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_value (&fixture, g_variant_new_parsed ("(uint32 2, (), @m(s) ('static',))"));
  g_assert_cmpuint (n_counters, ==, 1);

  run_packed (&fixture, POOL_CALL_VALUE, batch);
  results = reply_batch (&fixture, POOL_RESULT_PACKED_VALUES, 2);
  assert_item_value (results, 1, g_variant_new_parsed ("(uint32 4, (6,), @m(s) ('static',))"));
  fixture_clear (&fixture);
  g_assert_cmpuint (n_counters, ==, 0);
}

static void
test_process_without_run (void)
{
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_PROCESS, NULL, GSIZE_TO_POINTER (POOL_TYPE_PROCESS), NULL);
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "PoolProcess does not implement run()");
  fixture_clear (&fixture);
}

/* --- batches --- */

static void
test_bad_batches (void)
{
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", "cde", NULL });
  gsize size;
  const guint8 *data = g_bytes_get_data (texts, &size);
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_reverse, NULL, NULL);
  run (&fixture, POOL_CALL_PACKED, 2, data, size - 1, NULL);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_PROTOCOL, "Not a packed batch");
  run (&fixture, POOL_CALL_PACKED, 3, data, size, NULL);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_PROTOCOL, "A batch of a wrong length");
  run (&fixture, POOL_CALL_PACKED, 1, data, size, NULL);
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_PROTOCOL, "A batch of a wrong length");
  fixture_clear (&fixture);
}

typedef struct
{
  PoolProgress progress;
  guint n_items, n_run, first;
} Split;

/* In the place of a manager that has a worker with nothing to do. */
static gboolean
bytes_split (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  Split *split = user_data;

  if (++split->n_run == 2)
    split->first = pool_progress_take_back (&split->progress, 9, split->n_items);
  pool_task_reply (task, data, size);
  if (size == 1)
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
      return FALSE;
    }
  return TRUE;
}

static void
test_taken_back (void)
{
  for (guint n = 2; n < 20; n++)
    {
      g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
      g_autoptr (GBytes) batch = NULL, results = NULL;
      Split split = { .n_items = n };
      guint n_done;
      gsize size;
      gconstpointer data;
      Fixture fixture;

      for (guint i = 0; i < n; i++)
        g_ptr_array_add (items, g_bytes_new ("abcdefghijklmnopqrst", i));
      batch = pool_packed_new ((GBytes **) items->pdata, n);
      data = g_bytes_get_data (batch, &size);
      fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_split, &split, NULL);
      pool_progress_begin (&split.progress, 9, n);
      run (&fixture, POOL_CALL_PACKED, n, data, size, &split.progress);

      n_done = split.first != 0 ? split.first : n;
      g_assert_cmpuint (split.first, ==, n > 2 ? 2 + (n - 2) / 2 : 0);
      g_assert_cmpuint (split.n_run, ==, n_done);
      results = reply_batch (&fixture, POOL_RESULT_PACKED, n_done);
      for (guint i = 0; i < n_done; i++)
        if (i == 1)
          assert_item_error (results, i, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
        else
          assert_item (results, i, "abcdefghijklmnopqrst", i);
      fixture_clear (&fixture);
    }
}

/* A large result and a small one after it: what is valid, and nothing of the first shows in the second. */
static void
test_many_calls (void)
{
  guint64 random = unit_random_seed ();
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_reverse, NULL, NULL);
  for (guint i = 0; i < 200; i++)
    {
      gsize size = unit_random (&random) % (i % 10 == 0 ? 3000000 : 3000);
      g_autofree guint8 *data = g_malloc (size + 1);
      guint8 first = unit_random (&random) | 0x80, last = unit_random (&random);

      memset (data, 'x', size);
      data[0] = first;
      data[size > 0 ? size - 1 : 0] = size == 1 ? first : last;
      run (&fixture, 0, 1, data, size, NULL);
      g_assert_cmpint (fixture.reply.kind, ==, POOL_RESULT_BYTES);
      g_assert_cmpuint (fixture.reply.size, ==, size);
      if (size > 1)
        {
          g_assert_cmphex (fixture.reply.data[0], ==, last);
          g_assert_cmphex (fixture.reply.data[size - 1], ==, first);
        }
    }
  fixture_clear (&fixture);
}

/* --- initializers --- */

static void
assert_initialize (PoolFunctionKind kind, gpointer func, GVariant *args, int code, const char *message)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (args);
  g_autoptr (GError) error = NULL;
  gboolean ok;
  Fixture fixture;

  fixture_init (&fixture, kind, func, NULL, NULL);
  ok = pool_runner_initialize (&fixture.runner, fixture.function, owned, &error);
  if (message == NULL)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
    }
  else
    {
      g_assert_nonnull (error);
      g_assert_false (ok);
      g_assert_cmpint (error->code, ==, code);
      g_assert_nonnull (strstr (error->message, message));
    }
  fixture_clear (&fixture);
}

static void
test_initializers (void)
{
  assert_initialize (POOL_FUNCTION_TASK, task_double, g_variant_new ("(x)", G_GINT64_CONSTANT (1)), 0, NULL);
  /* it has no result to return */
  assert_initialize (POOL_FUNCTION_TASK, task_silent, g_variant_new ("()"), 0, NULL);
  assert_initialize (POOL_FUNCTION_TASK, task_double, g_variant_new ("(x)", G_GINT64_CONSTANT (-1)),
                     G_FILE_ERROR_PERM, "-1 is negative");
  assert_initialize (POOL_FUNCTION_BYTES, bytes_reverse, bytes_tuple ("ab", 2), 0, NULL);
  assert_initialize (POOL_FUNCTION_BYTES, bytes_reverse, bytes_tuple ("!b", 2), G_FILE_ERROR_PERM, "No");
  assert_initialize (POOL_FUNCTION_MEMORY, memory_reverse, bytes_tuple ("ab", 2), 0, NULL);
  assert_initialize (POOL_FUNCTION_MEMORY, memory_reverse, bytes_tuple ("!b", 2), G_FILE_ERROR_PERM, "No");
  assert_initialize (POOL_FUNCTION_BATCH, batch_fail, bytes_tuple ("ab", 2),
                     POOL_ERROR_INVALID_ARGUMENT, "cannot be an initializer");
  assert_initialize (POOL_FUNCTION_PROCESS, NULL, bytes_tuple ("ab", 2), POOL_ERROR_INVALID_ARGUMENT,
                     "cannot be an initializer");
}

/* FALSE is no success, with or without a reason. */
static void
test_silent_initializer (void)
{
  assert_initialize (POOL_FUNCTION_BYTES, bytes_silent, bytes_tuple ("ab", 2), POOL_ERROR_ENCODING,
                     "the-task");
  assert_initialize (POOL_FUNCTION_MEMORY, memory_silent, bytes_tuple ("ab", 2), POOL_ERROR_ENCODING,
                     "the-task");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/runner/task/value", test_task_value);
  g_test_add_func ("/runner/task/bytes", test_task_bytes);
  g_test_add_func ("/runner/task/items", test_task_items);
  g_test_add_func ("/runner/task/silent", test_task_silent);
  g_test_add_func ("/runner/task/both", test_both);
  g_test_add_func ("/runner/task/describe", test_describe);
  g_test_add_func ("/runner/task/static-args", test_static_args);
  g_test_add_func ("/runner/batch/all", test_batch);
  g_test_add_func ("/runner/batch/wrong", test_batch_wrong);
  g_test_add_func ("/runner/process/run", test_process);
  g_test_add_func ("/runner/process/without-run", test_process_without_run);
  g_test_add_func ("/runner/items/bad-batches", test_bad_batches);
  g_test_add_func ("/runner/items/taken-back", test_taken_back);
  g_test_add_func ("/runner/many-calls", test_many_calls);
  g_test_add_func ("/runner/initializer/all", test_initializers);
  g_test_add_func ("/runner/initializer/silent", test_silent_initializer);
  return g_test_run ();
}
