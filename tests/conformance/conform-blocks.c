/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <sys/wait.h>
#include <unistd.h>

/* Large values that are not copied: functions on memory, and arguments that are written where they are to be. */

/* a sanitizer has its own allocator, which keeps what is freed and refuses nothing */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature (x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE (address_sanitizer) || \
    HAS_FEATURE (thread_sanitizer)
#define OWN_ALLOCATOR 1
#else
#define OWN_ALLOCATOR 0
#endif

#define KIB ((gsize) 1024)
#define MIB (1024 * KIB)

static const gsize sizes[] = { 0, 1, 80, 81, 4096, 64 * KIB, 64 * KIB + 1, 3 * MIB };

static void
fill (guint8 *data, gsize size, guint seed)
{
  for (gsize i = 0; i < size; i++)
    data[i] = (i * 7 + (i >> 9) + seed) & 0xff;
}

static void
assert_filled (GBytes *bytes, gsize size, guint seed)
{
  g_autofree guint8 *expected = g_malloc (size + 1);
  g_autofree char *sum = NULL, *expected_sum = NULL;

  g_assert_nonnull (bytes);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, size);
  g_assert_true ((pool_bytes_get_address (bytes) != 0) == (size > 0));
  fill (expected, size, seed);
  sum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes);
  expected_sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, expected, size);
  g_assert_cmpstr (sum, ==, expected_sum);
}

/* --- functions on memory --- */

static gboolean
memory_echo (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, GSIZE_TO_POINTER (address), size);
  return TRUE;
}

static gboolean
memory_copy (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  guint64 place = pool_task_reserve_reply_address (task, size);

  if (place == 0)
    return FALSE;
  memcpy (GSIZE_TO_POINTER (place), GSIZE_TO_POINTER (address), size);
  return TRUE;
}

static gboolean
memory_fail (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "%" G_GSIZE_FORMAT " bytes", size);
  return FALSE;
}

static PoolManager *
memory_pool (void)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  pool_manager_register_memory (pool, "echo", memory_echo, NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_register_memory (pool, "copy", memory_copy, NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_register_memory (pool, "fail", memory_fail, NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

static void
test_memory_lone (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = memory_pool ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 2 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i / 2];
      g_autofree guint8 *argument = g_malloc (size + 1);
      g_autoptr (GBytes) result = NULL;

      fill (argument, size, i);
      result = pool_manager_apply_bytes (pool, i % 2 ? "copy" : "echo", argument, size, NULL, NULL, &error);
      g_assert_no_error (error);
      assert_filled (result, size, i);
    }
  g_assert_null (pool_manager_apply_bytes (pool, "fail", (const guint8 *) "abc", 3, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "3 bytes"));
  conform_end (pool);
}

static void
test_memory_values (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = memory_pool ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 2 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i / 2];
      g_autofree guint8 *argument = g_malloc (size + 1);
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GBytes) result = NULL;

      fill (argument, size, i);
      value = pool_manager_apply (
          pool, i % 2 ? "copy" : "echo",
          g_variant_new ("(@ay)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, argument, size, 1)), NULL, NULL,
          &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING));
      result = g_variant_get_data_as_bytes (value);
      assert_filled (result, size, i);
    }
  g_assert_null (pool_manager_apply (pool, "echo", g_variant_new ("(s)", "abc"), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  conform_end (pool);
}

static void
test_memory_packed (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = memory_pool ();
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr (GBytes) batch = NULL;

  for (guint i = 0; i < 10 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i % G_N_ELEMENTS (sizes)] / 4;
      guint8 *item = g_malloc (size + 1);

      fill (item, size, i);
      g_ptr_array_add (items, g_bytes_new_take (item, size));
    }
  batch = pool_packed_new ((GBytes **) items->pdata, items->len);
  for (guint chunksize = 0; chunksize < 20; chunksize += 3)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) results =
          pool_manager_map_packed (pool, chunksize % 2 ? "copy" : "echo", g_bytes_get_data (batch, NULL),
                                   g_bytes_get_size (batch), chunksize, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (results, batch));
    }
  conform_end (pool);
}

/* Where a worker can map its argument, it finds it there; a thread has no such place, nor has what travels with the call. */
static void
test_locate (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  gboolean has_descriptor = g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "spawn") == 0;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *argument = g_malloc (sizes[i] + 1);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) result = NULL;
      guint8 answer;

      fill (argument, sizes[i], i);
      result = pool_manager_apply_bytes (pool, "conform.bytes-locate", argument, sizes[i], NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (result), ==, 1);
      answer = *(const guint8 *) g_bytes_get_data (result, NULL);
      if (!conform_isolates || sizes[i] <= 80)
        g_assert_cmpint (answer, ==, 'n');
      else if (has_descriptor)
        g_assert_cmpint (answer, ==, 'y');
      else
        g_assert_true (answer == 'y' || answer == 'n');
    }
  conform_end (pool);
}

/* --- blocks --- */

static PoolBlock *
reserve (PoolManager *pool, gsize size, guint seed)
{
  g_autoptr (GError) error = NULL;
  PoolBlock *block = pool_manager_reserve (pool, size, &error);

  g_assert_no_error (error);
  g_assert_nonnull (block);
  g_assert_cmpuint (pool_block_get_size (block), ==, size);
  g_assert_cmpuint (pool_block_get_address (block), !=, 0);
  if (conform_isolates && size >= 4096)
    g_assert_cmpuint (pool_block_get_address (block) % 4096, ==, 0);
  fill (GSIZE_TO_POINTER (pool_block_get_address (block)), size, seed);
  return block;
}

static PoolAsyncResult *
apply (PoolManager *pool, const char *task, PoolBlock *block)
{
  return POOL_ASYNC_RESULT (pool_manager_apply_block_async (pool, task, block, NULL, NULL, NULL, NULL));
}

static void
assert_refused (PoolManager *pool, const char *task, PoolBlock *block, int code)
{
  g_autoptr (PoolAsyncResult) result = apply (pool, task, block);
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_async_result_ready (result));
  g_assert_null (pool_async_result_get_bytes (result, 20, &error));
  g_assert_error (error, POOL_ERROR, code);
}

static void
assert_used (PoolBlock *block)
{
  g_assert_cmpuint (pool_block_get_address (block), ==, 0);
  g_assert_cmpuint (pool_block_get_size (block), ==, 0);
}

static void
test_blocks (Fixture *fixture, gconstpointer data)
{
  static const char *const tasks[] = { "conform.bytes-echo", "conform.bytes-copy", "conform.batch-echo" };
  PoolManager *pool = conform_started ();

  for (guint i = 0; i < G_N_ELEMENTS (tasks) * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i / G_N_ELEMENTS (tasks)];
      g_autoptr (PoolBlock) block = reserve (pool, size, i);
      g_autoptr (PoolAsyncResult) result = apply (pool, tasks[i % G_N_ELEMENTS (tasks)], block);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = NULL;

      assert_used (block);
      bytes = pool_async_result_get_bytes (result, 20, &error);
      g_assert_no_error (error);
      assert_filled (bytes, size, i);
      assert_refused (pool, "conform.bytes-echo", block, POOL_ERROR_INVALID_ARGUMENT);
    }
  conform_end (pool);
}

typedef struct
{
  GBytes *bytes;
  GError *error;
  gboolean done;
} Finished;

static void
finished (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finished *self = user_data;

  self->bytes = pool_manager_apply_block_finish (POOL_MANAGER (source), result, &self->error);
  self->done = TRUE;
}

static void
test_callback (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolBlock) block = reserve (pool, MIB, 3);

  for (guint i = 0; i < 2; i++)
    {
      Finished self = { NULL, NULL, FALSE };

      g_assert_null (pool_manager_apply_block_async (pool, "conform.bytes-echo", block, NULL, NULL, finished, &self));
      while (!self.done)
        g_main_context_iteration (NULL, TRUE);
      if (i == 0)
        assert_filled (self.bytes, MIB, 3);
      else
        g_assert_error (self.error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_clear_pointer (&self.bytes, g_bytes_unref);
      g_clear_error (&self.error);
    }
  conform_end (pool);
}

/* What comes of a block outlives the block and the pool. */
static void
test_kept (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  GBytes *kept[20];

  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      g_autoptr (PoolBlock) block = reserve (pool, 300000, i);
      g_autoptr (PoolAsyncResult) result =
          apply (pool, i % 2 ? "conform.bytes-echo" : "conform.bytes-copy", block);

      kept[i] = pool_async_result_get_bytes (result, 20, NULL);
    }
  conform_end (pool);
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      assert_filled (kept[i], 300000, i);
      g_bytes_unref (kept[i]);
    }
}

static void
test_dropped (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  guint64 before;

  g_object_unref (reserve (pool, MIB, 0));
  before = conform_resident ();
  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (PoolBlock) block = pool_manager_reserve (pool, MIB, NULL);

      memset (GSIZE_TO_POINTER (pool_block_get_address (block)), i, MIB);
    }
  if (!OWN_ALLOCATOR)
    g_assert_cmpuint (conform_resident (), <, before + 16 * 1024);
  conform_end (pool);
}

/* Used, all of them: what the calls had comes back, too. */
static void
test_many (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  guint64 before = 0;

  for (guint i = 0; i < 60; i++)
    {
      g_autoptr (PoolBlock) block = reserve (pool, MIB, i);
      g_autoptr (PoolAsyncResult) result =
          apply (pool, i % 2 ? "conform.bytes-echo" : "conform.bytes-copy", block);
      g_autoptr (GBytes) bytes = pool_async_result_get_bytes (result, 20, NULL);

      assert_filled (bytes, MIB, i);
      if (i == 20)
        before = conform_resident ();
    }
  if (!OWN_ALLOCATOR)
    g_assert_cmpuint (conform_resident (), <, before + 16 * 1024);
  conform_end (pool);
}

/* A call that cannot be made leaves the block as it was. */
static void
test_refused (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started (), *other = conform_started ();
  g_autoptr (PoolBlock) block = reserve (pool, MIB, 1), foreign = reserve (other, MIB, 2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PoolAsyncResult) cancelled = NULL, result = NULL;
  g_autoptr (GBytes) bytes = NULL;

  assert_refused (pool, "conform.bytes-eco", block, POOL_ERROR_NO_SUCH_TASK);
  assert_refused (other, "conform.bytes-echo", block, POOL_ERROR_INVALID_ARGUMENT);
  assert_refused (pool, "conform.bytes-echo", foreign, POOL_ERROR_INVALID_ARGUMENT);
  g_cancellable_cancel (cancellable);
  cancelled = POOL_ASYNC_RESULT (
      pool_manager_apply_block_async (pool, "conform.bytes-echo", block, NULL, cancellable, NULL, NULL));
  g_assert_null (pool_async_result_get_bytes (cancelled, 20, NULL));
  g_assert_cmpuint (pool_block_get_size (block), ==, MIB);
  conform_end (other);

  result = apply (pool, "conform.bytes-copy", block);
  bytes = pool_async_result_get_bytes (result, 20, NULL);
  assert_filled (bytes, MIB, 1);
  conform_end (pool);
}

/* In each state of a pool; and a block may be dropped long after its pool. */
static void
test_states (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (PoolBlock) block = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_manager_reserve (pool, 10, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  g_assert_true (pool_manager_start (pool, NULL));
  if (!OWN_ALLOCATOR)
    {
      g_assert_null (pool_manager_reserve (pool, G_MAXSIZE / 2, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY);
      g_clear_error (&error);
    }
  block = reserve (pool, MIB, 0);
  pool_manager_terminate (pool, NULL);
  g_assert_null (pool_manager_reserve (pool, 10, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CLOSED);
  assert_refused (pool, "conform.bytes-echo", block, POOL_ERROR_CLOSED);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  assert_refused (pool, "conform.bytes-echo", block, POOL_ERROR_CLOSED);
  g_object_unref (pool);
  fill (GSIZE_TO_POINTER (pool_block_get_address (block)), MIB, 1);
}

/* Calls that are given up while a worker may be in them. */
static void
test_terminated (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolAsyncResult *results[20];

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (PoolBlock) block = reserve (pool, 100 * KIB, i);

      results[i] = apply (pool, "conform.bytes-late", block);
    }
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_object_unref (pool);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    g_object_unref (results[i]);
}

static void
test_restarted (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("allow-restart", TRUE, NULL);
  g_autoptr (PoolBlock) old = reserve (pool, MIB, 1), other = reserve (pool, MIB, 2), fresh = NULL;
  g_autoptr (PoolAsyncResult) running = NULL, result = NULL;
  g_autoptr (GBytes) bytes = NULL, later = NULL;

  /* while it runs, only its workers are replaced */
  g_assert_true (pool_manager_restart (pool, NULL));
  running = apply (pool, "conform.bytes-copy", other);
  bytes = pool_async_result_get_bytes (running, 20, NULL);
  assert_filled (bytes, MIB, 2);

  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_assert_true (pool_manager_restart (pool, NULL));
  fresh = reserve (pool, MIB, 3);
  assert_refused (pool, "conform.bytes-copy", old, POOL_ERROR_STATE);
  g_assert_cmpuint (pool_block_get_size (old), ==, MIB);
  g_clear_object (&old);
  result = apply (pool, "conform.bytes-copy", fresh);
  later = pool_async_result_get_bytes (result, 20, NULL);
  assert_filled (later, MIB, 3);
  conform_end (pool);
}

typedef struct
{
  PoolManager *pool;
  PoolBlock *block;
} Contest;

static gpointer
contend (gpointer data)
{
  Contest *contest = data;
  g_autoptr (PoolAsyncResult) result = apply (contest->pool, "conform.bytes-copy", contest->block);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = pool_async_result_get_bytes (result, 20, &error);

  if (bytes == NULL)
    g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  else
    assert_filled (bytes, 64 * KIB, 5);
  return GINT_TO_POINTER (bytes != NULL);
}

/* One of many threads that use a block has it. */
static void
test_contest (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();

  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (PoolBlock) block = reserve (pool, 64 * KIB, 5);
      Contest contest = { pool, block };
      GThread *threads[4];
      guint n = 0;

      for (guint j = 0; j < G_N_ELEMENTS (threads); j++)
        threads[j] = g_thread_new ("contend", contend, &contest);
      for (guint j = 0; j < G_N_ELEMENTS (threads); j++)
        n += GPOINTER_TO_INT (g_thread_join (threads[j]));
      g_assert_cmpuint (n, ==, 1);
    }
  conform_end (pool);
}

/* A child of the program lets go of what is not its own. */
static void
test_child (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolBlock) block = reserve (pool, MIB, 1), other = NULL;
  g_autoptr (PoolAsyncResult) result = NULL;
  g_autoptr (GBytes) bytes = NULL;
  int status;
  pid_t child = fork ();

  if (child == 0)
    {
      g_object_unref (block);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  other = reserve (pool, MIB, 2);
  result = apply (pool, "conform.bytes-copy", block);
  bytes = pool_async_result_get_bytes (result, 20, NULL);
  assert_filled (bytes, MIB, 1);
  conform_end (pool);
}

void
conform_add_blocks (void)
{
  if (conform_closures)
    {
      conform_add ("memory-functions/lone", test_memory_lone);
      conform_add ("memory-functions/values", test_memory_values);
      conform_add ("memory-functions/packed", test_memory_packed);
      conform_add ("blocks/child", test_child);
    }
  conform_add ("memory-functions/locate", test_locate);
  conform_add ("blocks/used", test_blocks);
  conform_add ("blocks/callback", test_callback);
  conform_add ("blocks/kept", test_kept);
  conform_add ("blocks/dropped", test_dropped);
  conform_add ("blocks/many", test_many);
  if (!conform_alone)
    conform_add ("blocks/refused", test_refused);
  conform_add ("blocks/states", test_states);
  conform_add ("blocks/terminated", test_terminated);
  conform_add ("blocks/restarted", test_restarted);
  conform_add ("blocks/contest", test_contest);
}
