/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

/* Limits of memory, held while a task runs: whoever wants more fails, and nobody else. Skipped where there is no isolation. */

#define LIMIT_MIB 64
#define HOARD_MIB (10 * LIMIT_MIB)

/* a sanitizer has its own allocator, which ends the process in its own way */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature (x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE (address_sanitizer)
#define OWN_ALLOCATOR 1
#else
#define OWN_ALLOCATOR 0
#endif

static PoolManager *
limited_pool (void)
{
  return conform_started_with ("memory-limit", (guint64) LIMIT_MIB * 1024, NULL);
}

static GVariant *
allocate (const char *how, guint mib)
{
  return g_variant_new ("(su)", how, mib);
}

static void
still_works (PoolManager *pool)
{
  conform_assert_value (pool_manager_apply (pool, "conform.square",
                                            g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL),
                        "9");
}

typedef struct
{
  guint n_down, n_out_of_memory, n_crashed;
  guint64 max_rss;
} Seen;

static void
on_down (PoolManager *pool, PoolWorkerInfo *info, Seen *seen)
{
  seen->n_down++;
  seen->n_out_of_memory += pool_worker_info_get_reason (info) == POOL_DOWN_REASON_OUT_OF_MEMORY;
  seen->n_crashed += pool_worker_info_get_reason (info) == POOL_DOWN_REASON_CRASHED;
  seen->max_rss = pool_worker_info_get_max_rss (info);
}

static void
run_main_loop (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
assert_out_of_memory (const GError *error)
{
  g_autofree char *limit = g_strdup_printf ("%u KiB (memory-limit)", LIMIT_MIB * 1024);

  g_assert_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY);
  g_assert_nonnull (strstr (error->message, "Task "));
  g_assert_nonnull (strstr (error->message, "(conform."));
  g_assert_nonnull (strstr (error->message, "attempt 1"));
  g_assert_nonnull (strstr (error->message, "worker "));
  g_assert_nonnull (strstr (error->message, "pid "));
  g_assert_nonnull (strstr (error->message, limit));
  g_assert_nonnull (strstr (error->message, "KiB resident at its peak"));
}

static void
assert_workers_are_small (PoolManager *pool, guint n)
{
  g_autoptr (GPtrArray) workers = NULL;

  conform_await (pool, "n-workers", n);
  workers = pool_manager_get_workers (pool);
  g_assert_cmpuint (workers->len, ==, n);
  for (guint i = 0; i < workers->len; i++)
    g_assert_cmpuint (pool_worker_info_get_rss (workers->pdata[i]), <, conform_resident () + LIMIT_MIB * 1024);
}

/* However it goes about it, and however it dies of it. */
static void
test_ways_to_die (Fixture *fixture, gconstpointer data)
{
  static const char *const ways[] = { "g-malloc", "g-malloc-small", "malloc",  "malloc-small", "calloc",
                                      "mmap",     "forget-errno",   "recurse", "give-up",      "shared" };
  PoolManager *pool = limited_pool ();
  Seen seen = { 0 };
  guint64 n;

  g_signal_connect (pool, "process-down", G_CALLBACK (on_down), &seen);
  for (guint i = OWN_ALLOCATOR ? G_N_ELEMENTS (ways) - 1 : 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PoolApplyResult) sibling =
          pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL, NULL);
      gint64 start = g_get_monotonic_time ();

      g_test_message ("%s", ways[i]);
      g_assert_null (pool_manager_apply (pool, "conform.allocate", allocate (ways[i], HOARD_MIB), NULL, NULL, &error));
      assert_out_of_memory (error);
      g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_USEC_PER_SEC);
      conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (sibling), 20, NULL), "0.25");
      assert_workers_are_small (pool, 2);
      run_main_loop ();
      g_assert_cmpuint (seen.n_down, ==, seen.n_out_of_memory);
      g_assert_cmpuint (seen.max_rss, >, 0);
    }
  g_assert_cmpuint (seen.n_down, ==, OWN_ALLOCATOR ? 1 : G_N_ELEMENTS (ways));
  g_object_get (pool, "n-retried", &n, NULL);
  g_assert_cmpuint (n, ==, 0);
  still_works (pool);
  conform_end (pool);
}

/* What a task that was refused memory makes of it is its own affair, if it lives on. */
static void
test_own_error (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = limited_pool ();
  Seen seen = { 0 };
  g_autoptr (GError) error = NULL;

  g_signal_connect (pool, "process-down", G_CALLBACK (on_down), &seen);
  g_assert_null (pool_manager_apply (pool, "conform.allocate", allocate ("handle", HOARD_MIB), NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  run_main_loop ();
  g_assert_cmpuint (seen.n_down, ==, 0);
  still_works (pool);
  conform_end (pool);
}

/* A crash that has nothing to do with memory is a crash, also where a task before it was refused some. */
static void
test_other_crash (Fixture *fixture, gconstpointer data)
{
  static const char *const ways[] = { "wild", "abort", "exit" };
  PoolManager *pool = conform_started_with ("memory-limit", (guint64) LIMIT_MIB * 1024, "processes", 1, NULL);
  Seen seen = { 0 };

  g_signal_connect (pool, "process-down", G_CALLBACK (on_down), &seen);
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (GError) error = NULL;

      if (!OWN_ALLOCATOR)
        g_assert_null (
            pool_manager_apply (pool, "conform.allocate", allocate ("handle", HOARD_MIB), NULL, NULL, NULL));
      g_assert_null (pool_manager_apply (pool, "conform.allocate", allocate (ways[i], 1), NULL, NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
    }
  still_works (pool);
  run_main_loop ();
  g_assert_cmpuint (seen.n_down, ==, 3 * G_N_ELEMENTS (ways));
  g_assert_cmpuint (seen.n_out_of_memory, ==, 0);
  g_assert_cmpuint (seen.n_crashed, ==, 3 * 2);
  conform_end (pool);
}

static void
test_below (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = limited_pool ();

  for (guint i = 0; i < 10; i++)
    {
      /* what is freed is kept by a sanitizer */
      if (!OWN_ALLOCATOR)
        conform_assert_value (pool_manager_apply (pool, "conform.allocate", allocate ("malloc", LIMIT_MIB / 2), NULL, NULL, NULL),
                              "true");
      conform_assert_value (pool_manager_apply (pool, "conform.allocate", allocate ("shared", LIMIT_MIB / 2), NULL, NULL, NULL), "true");
    }
  conform_end (pool);
}

/* One item of a map takes too much: that one fails, all others have their results. */
static void
hoard_in_map (const char *function, guint code)
{
  static const guint chunksizes[] = { 1, 10, 1000 };
  PoolManager *pool = limited_pool ();
  gint64 numbers[60];

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    numbers[i] = i;
  for (guint c = 0; c < G_N_ELEMENTS (chunksizes); c++)
    {
      g_autoptr (PoolMapResult) result = pool_manager_map_async (
          pool, function, g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8),
          chunksizes[c], NULL, NULL, NULL);

      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), 60, NULL, NULL));
      for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (GVariant) value = pool_map_result_get_item (result, i, &error);

          if (i == 13)
            assert_out_of_memory (error);
          else
            g_assert_cmpint (g_variant_get_int64 (value), ==, -numbers[i]);
        }
    }
  conform_end (pool);
}

static void
test_map (Fixture *fixture, gconstpointer data)
{
  if (!OWN_ALLOCATOR)
    hoard_in_map ("conform.greedy", HOARD_MIB);
  hoard_in_map ("conform.greedy-shared", HOARD_MIB);
}

/* What the pool itself shares with its workers is not theirs. */
static void
test_arguments (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("memory-limit", (guint64) 24 * 1024, "processes", 1, NULL);
  g_autoptr (GPtrArray) results = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree guint8 *data_block = g_malloc0 (1 << 20);

  for (guint i = 0; i < 100; i++)
    g_ptr_array_add (results, pool_manager_apply_bytes_async (pool, "conform.bytes-touch", data_block, 1 << 20, NULL,
                                                              NULL, NULL, NULL));
  for (guint i = 0; i < results->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = pool_async_result_get_bytes (results->pdata[i], 60, &error);

      g_assert_no_error (error);
      g_assert_nonnull (bytes);
    }
  /* all of it is there at once, and the worker is looked at for a while */
  conform_assert_value (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL), "0.25");
  conform_end (pool);
}

/* What the program had before does not count. */
static void
test_large_program (Fixture *fixture, gconstpointer data)
{
  g_autofree char *large = g_malloc ((gsize) 2 * LIMIT_MIB << 20);
  PoolManager *pool;

  memset (large, 1, (gsize) 2 * LIMIT_MIB << 20);
  pool = limited_pool ();
  conform_assert_value (pool_manager_apply (pool, "conform.allocate", allocate ("malloc", LIMIT_MIB / 2), NULL, NULL, NULL), "true");
  conform_assert_value (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL), "0.25");
  conform_end (pool);
}

/* A worker that may open hardly anything, and that not everybody may look at, is held to its limit all the same. */
static void
test_sandbox (Fixture *fixture, gconstpointer data)
{
  static const char *const ways[] = { "g-malloc", "calloc", "forget-errno", "shared" };
  PoolManager *pool = conform_new ();

  g_object_set (pool, "memory-limit", (guint64) LIMIT_MIB * 1024, "sandbox", POOL_SANDBOX_STRICT, NULL);
  if (!pool_manager_start (pool, NULL))
    {
      g_test_skip ("there is no sandbox");
      g_object_unref (pool);
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (pool_manager_apply (pool, "conform.allocate", allocate (ways[i], HOARD_MIB), NULL, NULL, &error));
      assert_out_of_memory (error);
    }
  still_works (pool);
  conform_end (pool);
}

static void
test_initializer (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PoolManager) pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "memory-limit", (guint64) LIMIT_MIB * 1024, NULL);
  g_assert_true (pool_manager_set_initializer (pool, "conform.allocate", allocate ("malloc", HOARD_MIB), NULL));
  g_assert_true (pool_manager_start (pool, NULL));
  g_assert_null (pool_manager_apply (pool, "conform.null", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_assert_nonnull (strstr (error->message, "memory-limit"));
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
}

/* So little that no worker comes up: the pool says so, and does not try for ever. */
static void
test_tiny (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PoolManager) pool = conform_started_with ("memory-limit", G_GUINT64_CONSTANT (1), NULL);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  /* more than a worker can have from what the program had and freed before it was forked */
  value = pool_manager_apply (pool, "conform.allocate", allocate ("malloc", 1000), NULL, NULL, &error);
  g_assert_null (value);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "memory-limit"));
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
}

/* How often the engine's thread has gone to sleep. */
static guint64
count_sleeps (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  const char *name;
  guint64 n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/status", name);
      g_autofree char *text = NULL;
      const char *p;

      if (g_file_get_contents (path, &text, NULL, NULL) && g_str_has_prefix (text, "Name:\tlibpool\n") &&
          (p = strstr (text, "\nvoluntary_ctxt_switches:")) != NULL)
        n += g_ascii_strtoull (p + strlen ("\nvoluntary_ctxt_switches:"), NULL, 10);
    }
  return n;
}

/* Workers are looked at while they have something to do, and only then. */
static void
test_idle (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = limited_pool ();
  g_autoptr (PoolApplyResult) result = NULL;
  guint64 before;

  still_works (pool);
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 1.0), NULL, NULL, NULL, NULL);
  before = count_sleeps ();
  g_usleep (800000);
  g_assert_cmpuint (count_sleeps () - before, >, 5);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (result), 20, NULL), "1.0");
  g_usleep (200000);
  before = count_sleeps ();
  g_usleep (1000000);
  g_assert_cmpuint (count_sleeps () - before, <, 5);
  conform_end (pool);
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (PoolManager) pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "memory-limit", (guint64) 1000, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "memory-limit"));
}

void
conform_add_memory (void)
{
  if (!conform_isolates)
    {
      conform_add ("memory/threads", test_threads);
      return;
    }
  conform_add ("memory/ways-to-die", test_ways_to_die);
  conform_add ("memory/below", test_below);
  conform_add ("memory/map", test_map);
  conform_add ("memory/arguments", test_arguments);
  conform_add ("memory/idle", test_idle);
  conform_add ("memory/large-program", test_large_program);
  if (OWN_ALLOCATOR)
    return;
  conform_add ("memory/own-error", test_own_error);
  conform_add ("memory/other-crash", test_other_crash);
  conform_add ("memory/sandbox", test_sandbox);
  conform_add ("memory/initializer", test_initializer);
  conform_add ("memory/tiny", test_tiny);
}
