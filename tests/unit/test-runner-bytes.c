/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "runner-fixture.h"
#include "unit-common.h"

/* --- functions --- */

/* Replies with its argument, where that lies. */
static gboolean
memory_echo (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, GSIZE_TO_POINTER (address), size);
  return TRUE;
}

/* Replies with parts of its argument: offset, size, offset, size … */
static gboolean
bytes_parts (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  for (const gsize *part = user_data; part[1] != G_MAXSIZE; part += 2)
    pool_task_reply (task, data + part[0], part[1]);
  return TRUE;
}

static gboolean
bytes_refer_and_fail (PoolTask *task, const guint8 *data, gsize size, gpointer user_data,
                      GError **error)
{
  pool_task_reply (task, data, size);
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  return FALSE;
}

/* --- functions on bytes --- */

static void
check_lone (PoolFunctionKind kind, gpointer func)
{
  Fixture fixture;

  fixture_init (&fixture, kind, func, NULL, NULL);
  run_bytes (&fixture, "drawer");
  assert_text (&fixture, "reward");
  run_bytes (&fixture, "");
  assert_text (&fixture, "");
  run_bytes (&fixture, "!x");
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  run_bytes (&fixture, "ab");
  assert_text (&fixture, "ba");

  g_free (run_value (&fixture, bytes_tuple ("drawer", 6)));
  assert_value (&fixture, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "reward", 6, 1));
  g_free (run_value (&fixture, bytes_tuple (NULL, 0)));
  assert_value (&fixture, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, NULL, 0, 1));
  g_free (run_value (&fixture, g_variant_new ("(s)", "drawer")));
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                "Task 17 (the-task) works on bytes: its argument must be of type (ay)");
  g_free (run_value (&fixture, g_variant_new ("()")));
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "type (ay)");
  fixture_clear (&fixture);
}

static void
check_items (PoolFunctionKind kind, gpointer func)
{
  GVariant *values[] = { g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "ab", 2, 1),
                         g_variant_new_int64 (1) };
  g_autoptr (GBytes) batch = pack_values (values, 2);
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", "!first", "", "!second", "cde", NULL });
  g_autoptr (GBytes) results = NULL, of_values = NULL;
  Fixture fixture;

  fixture_init (&fixture, kind, func, NULL, NULL);
  run_packed (&fixture, 0, texts);
  results = reply_batch (&fixture, POOL_RESULT_PACKED, 5);
  assert_item (results, 0, "ba", 2);
  assert_item_error (results, 1, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  assert_item (results, 2, "", 0);
  assert_item_error (results, 3, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  assert_item (results, 4, "edc", 3);

  run_packed (&fixture, POOL_CALL_VALUE, batch);
  of_values = reply_batch (&fixture, POOL_RESULT_PACKED_VALUES, 2);
  assert_item_value (of_values, 0, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "ba", 2, 1));
  assert_item_error (of_values, 1, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "type (ay)");
  fixture_clear (&fixture);
}

static void
check_silent (PoolFunctionKind kind, gpointer func)
{
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "a", "b", NULL });
  g_autoptr (GBytes) results = NULL;
  Fixture fixture;

  fixture_init (&fixture, kind, func, NULL, NULL);
  run_bytes (&fixture, "x");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_ENCODING,
                "Task 17 (the-task) failed and set no error");
  run_packed (&fixture, 0, texts);
  results = reply_batch (&fixture, POOL_RESULT_PACKED, 2);
  assert_item_error (results, 1, POOL_ERROR, POOL_ERROR_ENCODING, "set no error");
  fixture_clear (&fixture);
}

static guint8 *
give_place (gpointer data, gsize size)
{
  return data;
}

static void
test_bytes (void)
{
  check_lone (POOL_FUNCTION_BYTES, bytes_reverse);
  check_items (POOL_FUNCTION_BYTES, bytes_reverse);
  check_silent (POOL_FUNCTION_BYTES, bytes_silent);
}

static void
test_memory (void)
{
  check_lone (POOL_FUNCTION_MEMORY, memory_reverse);
  check_items (POOL_FUNCTION_MEMORY, memory_reverse);
  check_silent (POOL_FUNCTION_MEMORY, memory_silent);
}

/* A reply is where it would be if the argument were given in another way. */
static void
test_memory_replies (void)
{
  g_autofree guint8 *argument = g_malloc0 (2 * POOL_TASK_LARGE_MIN);
  g_autofree guint8 *place = g_malloc (2 * POOL_TASK_LARGE_MIN);
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_MEMORY, memory_echo, NULL, NULL);
  run (&fixture, 0, 1, argument, 2 * POOL_TASK_LARGE_MIN, NULL);
  g_assert_true (fixture.reply.is_reference);
  g_assert_true (fixture.reply.data == argument);
  g_assert_cmpuint (fixture.reply.size, ==, 2 * POOL_TASK_LARGE_MIN);

  fixture.function->func.memory = memory_reverse;
  fixture.runner.task->reserve = give_place;
  fixture.runner.task->reserve_data = place;
  argument[1] = 7;
  run (&fixture, 0, 1, argument, 2 * POOL_TASK_LARGE_MIN, NULL);
  g_assert_true (fixture.reply.is_placed);
  g_assert_true (fixture.reply.data == place);
  g_assert_cmpint (place[2 * POOL_TASK_LARGE_MIN - 2], ==, 7);
  fixture_clear (&fixture);
}

static gboolean
memory_greedy (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  return pool_task_reserve_reply_address (task, G_MAXSIZE / 2) == 0;
}

static void
test_memory_refused (void)
{
  Fixture fixture;

  if (UNIT_SANITIZED)
    {
      g_test_skip ("a sanitizer's allocator does not refuse");
      return;
    }
  fixture_init (&fixture, POOL_FUNCTION_MEMORY, memory_greedy, NULL, NULL);
  run_bytes (&fixture, "x");
  assert_error (&fixture, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "no memory for a result");
  fixture.function->func.memory = memory_reverse;
  run_bytes (&fixture, "ab");
  assert_text (&fixture, "ba");
  fixture_clear (&fixture);
}

/* --- replies that lie within the argument --- */

enum
{
  LARGE = 4 * POOL_TASK_REFERENCE_MIN
};

static guint8 *
large_argument (void)
{
  guint8 *data = g_malloc (LARGE);

  for (guint i = 0; i < LARGE; i++)
    data[i] = i % 251;
  return data;
}

static void
assert_parts (const gsize *parts, gboolean is_reference)
{
  g_autofree guint8 *argument = large_argument ();
  g_autofree guint8 *of_value = NULL;
  g_autoptr (GByteArray) expected = g_byte_array_new ();
  Fixture fixture;

  for (const gsize *part = parts; part[1] != G_MAXSIZE; part += 2)
    g_byte_array_append (expected, argument + part[0], part[1]);

  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_parts, (gpointer) parts, NULL);
  run (&fixture, 0, 1, argument, LARGE, NULL);
  g_assert_cmpint (fixture.reply.kind, ==, POOL_RESULT_BYTES);
  g_assert_cmpint (fixture.reply.is_reference, ==, is_reference);
  g_assert_cmpmem (fixture.reply.data, fixture.reply.size, expected->data, expected->len);
  if (is_reference)
    g_assert_true (fixture.reply.data == argument + parts[0]);

  /* the next call knows nothing of it */
  fixture.function->func.bytes = bytes_reverse;
  run_bytes (&fixture, "ab");
  assert_text (&fixture, "ba");

  /* a value ends in its type, so its bytes are copied */
  fixture.function->func.bytes = bytes_parts;
  of_value = run_value (&fixture, bytes_tuple (argument, LARGE));
  g_assert_false (fixture.reply.is_reference);
  assert_value (&fixture, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, expected->data,
                                                     expected->len, 1));
  fixture_clear (&fixture);
}

static void
test_references (void)
{
  const gsize min = POOL_TASK_REFERENCE_MIN, end = G_MAXSIZE;
  const gsize whole[] = { 0, LARGE, 0, end }, part[] = { 5, min, 0, end }, tail[] = { LARGE - min, min, 0, end };
  const gsize none[] = { 0, end }, small[] = { 5, min - 1, 0, end };
  const gsize two[] = { 0, min, min, min, 0, end }, small_first[] = { 0, 3, 3, min, 0, end };
  const gsize small_last[] = { 3, min, 0, 3, 0, end }, three[] = { 9, min, 0, 1, 1, min, 0, end };

  assert_parts (whole, TRUE);
  assert_parts (part, TRUE);
  assert_parts (tail, TRUE);
  assert_parts (none, FALSE);
  assert_parts (small, FALSE);
  assert_parts (two, FALSE);
  assert_parts (small_first, FALSE);
  assert_parts (small_last, FALSE);
  assert_parts (three, FALSE);
}

static void
test_no_references (void)
{
  const gsize whole[] = { 0, LARGE, 0, G_MAXSIZE };
  g_autofree guint8 *argument = large_argument ();
  g_autoptr (GBytes) item = g_bytes_new (argument, LARGE);
  GBytes *items[] = { item, item };
  g_autoptr (GBytes) batch = pool_packed_new (items, 2);
  g_autoptr (GBytes) results = NULL;
  Fixture fixture;

  /* items of a batch are copied into the batch of results */
  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_parts, (gpointer) whole, NULL);
  run_packed (&fixture, 0, batch);
  g_assert_false (fixture.reply.is_reference);
  results = reply_batch (&fixture, POOL_RESULT_PACKED, 2);
  assert_item (results, 0, argument, LARGE);
  assert_item (results, 1, argument, LARGE);
  fixture_clear (&fixture);

  /* a call that fails has no reply, nor does it leave one for the next */
  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_refer_and_fail, NULL, NULL);
  run (&fixture, 0, 1, argument, LARGE, NULL);
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  fixture.function->func.bytes = bytes_reverse;
  run_bytes (&fixture, "ab");
  assert_text (&fixture, "ba");
  fixture_clear (&fixture);
}

/* --- replies that are written where the caller finds them --- */

static guint8 place[LARGE * 16];

static guint8 *
reserve_place (gpointer data, gsize size)
{
  ++*(guint *) data;
  return size <= sizeof place ? place : NULL;
}

/* Sizes of the parts of a reply, 0 at its end; negative: and then fail. */
static gboolean
bytes_sized (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  const int *part;

  for (part = user_data; *part > 0; part++)
    memset (pool_task_reserve_reply (task, *part), 'a' + (part - (const int *) user_data), *part);
  if (*part < 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
  return *part == 0;
}

static void
assert_placed (const int *sizes, guint n_reserved, gboolean is_placed)
{
  g_autoptr (GByteArray) expected = g_byte_array_new ();
  guint n_calls = 0;
  Fixture fixture;

  for (guint i = 0; sizes[i] > 0; i++)
    {
      g_byte_array_set_size (expected, expected->len + sizes[i]);
      memset (expected->data + expected->len - sizes[i], 'a' + i, sizes[i]);
    }
  memset (place, 0, sizeof place);
  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_sized, (gpointer) sizes, NULL);
  fixture.runner.task->reserve = reserve_place;
  fixture.runner.task->reserve_data = &n_calls;
  run_bytes (&fixture, "x");
  g_assert_cmpuint (n_calls, ==, n_reserved);
  g_assert_cmpint (fixture.reply.is_placed, ==, is_placed);
  g_assert_cmpint (fixture.reply.kind, ==, POOL_RESULT_BYTES);
  g_assert_true (!is_placed || fixture.reply.data == place);
  g_assert_cmpmem (fixture.reply.data, fixture.reply.size, expected->data, expected->len);

  /* in a value there is the type after it */
  g_free (run_value (&fixture, bytes_tuple ("x", 1)));
  g_assert_false (fixture.reply.is_placed);
  assert_value (&fixture, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, expected->data,
                                                     expected->len, 1));
  fixture_clear (&fixture);
}

static void
test_placed (void)
{
  const int min = POOL_TASK_LARGE_MIN + 1;

  assert_placed ((const int[]){ min, 0 }, 1, TRUE);
  assert_placed ((const int[]){ 2 * min, 0 }, 1, TRUE);
  assert_placed ((const int[]){ min - 1, 0 }, 0, FALSE);
  assert_placed ((const int[]){ min, 1, 0 }, 1, FALSE);
  assert_placed ((const int[]){ 1, min, 0 }, 0, FALSE);
  assert_placed ((const int[]){ min, min, 0 }, 1, FALSE);
  /* there may be no room */
  assert_placed ((const int[]){ (int) sizeof place + 1, 0 }, 1, FALSE);
}

static void
test_not_placed (void)
{
  static const int sizes[] = { POOL_TASK_LARGE_MIN + 1, 0 }, fails[] = { POOL_TASK_LARGE_MIN + 1, -1 };
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", "c", NULL });
  g_autoptr (GBytes) results = NULL;
  guint n_calls = 0;
  Fixture fixture;

  fixture_init (&fixture, POOL_FUNCTION_BYTES, bytes_sized, (gpointer) fails, NULL);
  fixture.runner.task->reserve = reserve_place;
  fixture.runner.task->reserve_data = &n_calls;
  run_bytes (&fixture, "x");
  g_assert_cmpuint (n_calls, ==, 1);
  g_assert_false (fixture.reply.is_placed);
  assert_error (&fixture, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");

  /* the next call knows nothing of it, and an item has no place of its own */
  fixture.function->func.bytes = bytes_reverse;
  run_bytes (&fixture, "ab");
  g_assert_false (fixture.reply.is_placed);
  assert_text (&fixture, "ba");
  fixture.function->func.bytes = bytes_sized;
  fixture.function->user_data = (gpointer) sizes;
  run_packed (&fixture, 0, texts);
  g_assert_cmpuint (n_calls, ==, 1);
  g_assert_false (fixture.reply.is_placed);
  results = reply_batch (&fixture, POOL_RESULT_PACKED, 2);
  g_assert_cmpuint (g_bytes_get_size (results), ==, POOL_PACKED_HEADER (2) + 2 * sizes[0]);
  fixture_clear (&fixture);
}

/* --- where an argument lies --- */

typedef struct
{
  const guint8 *args;
  gboolean found;
  int fd;
  guint64 offset;
} Located;

static gboolean
find_at (gpointer data, const guint8 *args, int *fd, guint64 *offset)
{
  Located *located = data;

  located->args = args;
  if (*args == '!')
    return FALSE;
  *fd = 5;
  *offset = 7;
  return TRUE;
}

static gboolean
memory_locate (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  Located *located = user_data;

  pool_task_locate_argument (task, NULL, NULL);
  located->found = pool_task_locate_argument (task, &located->fd, &located->offset);
  return TRUE;
}

static void
test_locate (void)
{
  static const char text[] = "text", not_there[] = "!";
  g_autoptr (GBytes) texts = pack_texts ((const char *const[]){ "ab", NULL });
  Located located = { NULL, TRUE, 0, 1 };
  Fixture fixture;

  /* a worker that knows of no such place */
  fixture_init (&fixture, POOL_FUNCTION_MEMORY, memory_locate, &located, NULL);
  run_bytes (&fixture, text);
  g_assert_false (located.found);
  g_assert_cmpint (located.fd, ==, -1);
  g_assert_cmpuint (located.offset, ==, 0);

  fixture.runner.task->locate = find_at;
  fixture.runner.task->locate_data = &located;
  run_bytes (&fixture, text);
  g_assert_true (located.found);
  g_assert_true (located.args == (const guint8 *) text);
  g_assert_cmpint (located.fd, ==, 5);
  g_assert_cmpuint (located.offset, ==, 7);
  run_bytes (&fixture, not_there);
  g_assert_false (located.found);
  g_assert_cmpint (located.fd, ==, -1);

  /* an item has no place of its own */
  located.found = TRUE;
  run_packed (&fixture, 0, texts);
  g_assert_false (located.found);
  fixture_clear (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/runner-bytes/plain", test_bytes);
  g_test_add_func ("/runner-bytes/memory/all", test_memory);
  g_test_add_func ("/runner-bytes/memory/replies", test_memory_replies);
  g_test_add_func ("/runner-bytes/memory/refused", test_memory_refused);
  g_test_add_func ("/runner-bytes/references", test_references);
  g_test_add_func ("/runner-bytes/no-references", test_no_references);
  g_test_add_func ("/runner-bytes/placed", test_placed);
  g_test_add_func ("/runner-bytes/not-placed", test_not_placed);
  g_test_add_func ("/runner-bytes/locate", test_locate);
  return g_test_run ();
}
