/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <glib/gstdio.h>
#include <math.h>

/* Numbers of a pool after work that is known. */

static guint64
number (PoolManager *pool, const char *property)
{
  GValue value = G_VALUE_INIT;

  g_value_init (&value, G_TYPE_UINT64);
  g_object_get_property (G_OBJECT (pool), property, &value);
  return g_value_get_uint64 (&value);
}

static void
call (PoolManager *pool, const char *task, GVariant *args)
{
  GVariant *value = pool_manager_apply (pool, task, args, NULL, NULL, NULL);

  g_clear_pointer (&value, g_variant_unref);
}

/* Returns: how many times were counted. */
static guint64
check_histogram (PoolManager *pool, PoolHistogramKind kind, double *sum)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_get_histogram (pool, kind, &error);
  g_autoptr (GVariantIter) buckets = NULL;
  double bound, last = 0, ignored;
  guint64 count, in_bucket, total = 0;

  g_assert_no_error (error);
  g_variant_get (value, "(a(dt)dt)", &buckets, sum != NULL ? sum : &ignored, &count);
  while (g_variant_iter_next (buckets, "(dt)", &bound, &in_bucket))
    {
      g_assert_cmpfloat (bound, >, last);
      last = bound;
      total += in_bucket;
    }
  g_assert_true (isinf (last));
  g_assert_cmpuint (total, ==, count);
  return count;
}

static void
test_counters (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolResultIterator) iterator = NULL;
  g_autoptr (GVariant) squares = NULL;
  g_autoptr (GVariant) next = NULL;

  for (guint i = 0; i < 10; i++)
    call (pool, "conform.square", g_variant_new ("(x)", (gint64) i));
  call (pool, "conform.fail", NULL);
  squares = pool_manager_map (pool, "conform.square", g_variant_new_parsed ("@ax [1, 2, 3, 4, 5, 6, 7]"), 2, NULL, NULL);
  g_assert_nonnull (squares);
  iterator = pool_manager_imap (pool, "conform.square", g_variant_new_parsed ("@ax [1, 2, 3]"), 2, NULL);
  while ((next = pool_result_iterator_next (iterator, -1, NULL)) != NULL)
    g_clear_pointer (&next, g_variant_unref);

  g_assert_cmpuint (number (pool, "n-submitted"), ==, 21);
  g_assert_cmpuint (number (pool, "n-done"), ==, 20);
  g_assert_cmpuint (number (pool, "n-failed"), ==, 1);
  g_assert_cmpuint (number (pool, "n-lost"), ==, 0);
  g_assert_cmpuint (number (pool, "n-cancelled"), ==, 0);
  g_assert_cmpuint (number (pool, "n-pending"), ==, 0);
  g_assert_cmpuint (number (pool, "n-queued"), ==, 0);
  g_assert_cmpuint (number (pool, "bytes-in-flight"), ==, 0);
  conform_await (pool, "n-workers", number (pool, "n-wanted"));
  pool_manager_close (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_assert_cmpuint (pool_manager_get_n_exits (pool, POOL_DOWN_REASON_ASKED) +
                        pool_manager_get_n_exits (pool, POOL_DOWN_REASON_EXITED), ==, number (pool, "n-wanted"));
  g_object_unref (pool);
}

/*
 * What was cancelled or terminated counts as failed, also what a map had not cut into chunks yet. There are calls beside the map: a
 * backend may take no more than it can start, and then nothing else counts as queued.
 */
static void
test_given_up (Fixture *fixture, gconstpointer data)
{
  enum { N_ITEMS = 5000, N_CALLS = 100, N = N_ITEMS + N_CALLS };
  PoolManager *pool = conform_started ();
  g_autoptr (PoolMapResult) map = NULL;
  g_autoptr (PoolApplyResult) queued = NULL;
  PoolApplyResult *calls[N_CALLS];
  GVariantBuilder builder;
  guint64 cancelled;

  conform_await (pool, "n-workers", 2);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ad"));
  for (guint i = 0; i < N_ITEMS; i++)
    g_variant_builder_add (&builder, "d", 0.01);
  map = pool_manager_map_async (pool, "conform.nap", g_variant_builder_end (&builder), 1, NULL, NULL, NULL);
  for (guint i = 0; i < N_CALLS; i++)
    calls[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.01), NULL, NULL, NULL, NULL);
  g_assert_cmpuint (number (pool, "n-submitted"), ==, N);
  g_assert_cmpuint (number (pool, "n-queued"), >, 0);
  g_assert_cmpuint (number (pool, "bytes-in-flight"), >, 0);
  pool_async_result_cancel (POOL_ASYNC_RESULT (map));
  for (guint i = 0; i < N_CALLS; i++)
    {
      pool_async_result_cancel (POOL_ASYNC_RESULT (calls[i]));
      g_object_unref (calls[i]);
    }
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (map), 20, NULL, NULL));
  conform_await (pool, "n-pending", 0);
  g_assert_cmpuint (number (pool, "n-done") + number (pool, "n-failed"), ==, N);
  cancelled = number (pool, "n-cancelled");
  g_assert_cmpuint (cancelled, >, N / 2);
  g_assert_cmpuint (cancelled, ==, number (pool, "n-failed"));

  queued = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.3), NULL, NULL, NULL, NULL);
  g_assert_true (pool_manager_terminate (pool, NULL));
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_assert_cmpuint (number (pool, "n-submitted"), ==, N + 1);
  g_assert_cmpuint (number (pool, "n-done") + number (pool, "n-failed"), ==, N + 1);
  g_assert_cmpuint (number (pool, "n-cancelled"), ==, cancelled + 1);
  g_object_unref (pool);
}

static void
test_timeouts (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 0.1, "statistics", TRUE, NULL);
  g_autoptr (PoolCallOptions) soft = pool_call_options_new ();
  double sum;

  pool_call_options_set_timeout (soft, 0);
  pool_call_options_set_soft_timeout (soft, 0.05);
  for (guint i = 0; i < 2; i++)
    call (pool, "conform.nap", g_variant_new ("(d)", 0.6));
  g_assert_null (pool_manager_apply (pool, "conform.patient", g_variant_new ("(d)", 20.0), soft, NULL, NULL));
  conform_await (pool, "n-workers", 2);
  g_assert_cmpuint (number (pool, "n-timed-out"), ==, 2);
  g_assert_cmpuint (number (pool, "n-soft-timed-out"), ==, 1);
  g_assert_cmpuint (number (pool, "n-submitted"), ==, 3);
  g_assert_cmpuint (number (pool, "n-failed"), ==, 3);
  g_assert_cmpuint (number (pool, "n-lost"), ==, 0);
  g_assert_cmpuint (pool_manager_get_n_exits (pool, POOL_DOWN_REASON_TIMED_OUT), ==, 2);
  /* a task that was ended has no result that would say how long it ran */
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RUN_TIME, &sum), ==, 1);
  g_assert_cmpfloat (sum, >=, 0.05);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RESTART_TIME, NULL), >=, 1);
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

static void
test_histograms (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("statistics", TRUE, NULL);
  const guint8 bytes[8] = { 0 };
  double sum;

  for (guint i = 0; i < 30; i++)
    call (pool, "conform.square", g_variant_new ("(x)", (gint64) i));
  for (guint i = 0; i < 20; i++)
    g_bytes_unref (pool_manager_apply_bytes (pool, "conform.bytes-twice", bytes, sizeof bytes, NULL, NULL, NULL));
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RUN_TIME, NULL), ==, 50);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_WAITING_TIME, NULL), ==, 50);
  call (pool, "conform.fail", NULL);
  call (pool, "conform.nap", g_variant_new ("(d)", 0.1));
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RUN_TIME, &sum), ==, 52);
  g_assert_cmpfloat (sum, >=, 0.1);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RESTART_TIME, NULL), ==, 0);
  conform_end (pool);
}

/* What waits behind others waits for as long as they run: there are as many naps as make each worker do three, one after the other. */
static void
test_waiting (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("statistics", TRUE, NULL);
  guint n = 3 * number (pool, "n-wanted");
  GVariantBuilder builder;
  double sum;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ad"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "d", 0.1);
  g_variant_unref (pool_manager_map (pool, "conform.nap", g_variant_builder_end (&builder), 1, NULL, NULL));
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_WAITING_TIME, &sum), ==, n);
  /* 0, 0.1 and 0.2 s for each worker, in the best case */
  g_assert_cmpfloat (sum, >=, 0.299 * (n / 3));
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RUN_TIME, &sum), ==, n);
  g_assert_cmpfloat (sum, >=, 0.099 * n);
  conform_end (pool);
}

static void
test_losses (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("statistics", TRUE, NULL);
  g_autoptr (GVariant) values = NULL;

  call (pool, "conform.crash", g_variant_new ("(i)", 9)); /* three times */
  call (pool, "conform.quit", g_variant_new ("(i)", 7));  /* three times */
  call (pool, "conform.once", NULL);                       /* one retry */
  conform_await (pool, "n-workers", 2);
  g_assert_cmpuint (number (pool, "n-submitted"), ==, 3);
  g_assert_cmpuint (number (pool, "n-done"), ==, 1);
  g_assert_cmpuint (number (pool, "n-failed"), ==, 2);
  g_assert_cmpuint (number (pool, "n-lost"), ==, 2);
  g_assert_cmpuint (number (pool, "n-retried"), ==, 5);
  g_assert_cmpuint (pool_manager_get_n_exits (pool, POOL_DOWN_REASON_CRASHED), ==, 4);
  g_assert_cmpuint (pool_manager_get_n_exits (pool, POOL_DOWN_REASON_EXITED), ==, 3);
  g_assert_cmpuint (number (pool, "n-restarts"), ==, 7);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RUN_TIME, NULL), ==, 1);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_WAITING_TIME, NULL), ==, 1);
  g_assert_cmpuint (check_histogram (pool, POOL_HISTOGRAM_RESTART_TIME, NULL), >, 0);

  /* item 13 fails alone */
  values = pool_manager_map (pool, "conform.mine",
                             g_variant_new_parsed ("@ax [1, 2, 3, 4, 13, 6, 7, 8, 9, 10]"), 5, NULL, NULL);
  g_assert_null (values);
  g_assert_cmpuint (number (pool, "n-submitted"), ==, 13);
  g_assert_cmpuint (number (pool, "n-done"), ==, 10);
  g_assert_cmpuint (number (pool, "n-failed"), ==, 3);
  g_assert_cmpuint (number (pool, "n-lost"), ==, 3);
  conform_end (pool);
}

static void
test_off (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;
  g_autofree char *metrics = NULL;

  call (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)));
  g_assert_null (pool_manager_get_histogram (pool, POOL_HISTOGRAM_RUN_TIME, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  g_assert_null (pool_manager_get_histogram (pool, 3, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  metrics = pool_manager_dump_metrics (pool);
  g_assert_nonnull (strstr (metrics, "libpool_tasks_done_total{"));
  g_assert_null (strstr (metrics, "histogram"));
  conform_end (pool);
}

/* --- the time line --- */

static guint
count (const char *text, const char *what)
{
  guint n = 0;

  for (const char *p = text; (p = strstr (p, what)) != NULL; p += strlen (what))
    n++;
  return n;
}

static char *
read_trace (const char *path)
{
  g_autoptr (GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (text, "[\n"));
  g_assert_true (g_str_has_suffix (text, "\n]\n"));
  return text;
}

static void
trace_some (PoolManager *pool, const char *path, guint n)
{
  const guint8 bytes[8] = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  pool_manager_start_trace (pool, path, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    g_bytes_unref (pool_manager_apply_bytes (pool, "conform.bytes-twice", bytes, sizeof bytes, NULL, NULL, NULL));
  pool_manager_stop_trace (pool, &error);
  g_assert_no_error (error);
  text = read_trace (path);
  g_assert_cmpuint (count (text, "\"ph\":\"X\""), ==, n);
  g_assert_cmpuint (count (text, "\"name\":\"conform.bytes-twice\""), ==, n);
}

/* On and off while it runs; what ran in between is not there. */
static void
test_trace (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_dir_make_tmp ("pool-trace-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "trace.json", NULL);
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_manager_stop_trace (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  call (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)));
  trace_some (pool, path, 10);
  call (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)));
  trace_some (pool, path, 5);
  /* times were kept for the trace alone */
  g_assert_null (pool_manager_get_histogram (pool, POOL_HISTOGRAM_RUN_TIME, NULL));
  conform_end (pool);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_trace_errors (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_dir_make_tmp ("pool-trace-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "trace.json", NULL);
  g_autofree char *wrong = g_build_filename (folder, "not", "there", NULL);
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_false (pool_manager_start_trace (pool, wrong, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (pool_manager_start_trace (pool, "/dev/full", &error));
  call (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)));
  g_assert_false (pool_manager_stop_trace (pool, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  g_assert_true (pool_manager_start_trace (pool, path, &error));
  g_assert_false (pool_manager_start_trace (pool, path, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  call (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)));
  /* a pool that is dropped closes its file; how its workers ended is in it */
  conform_end (pool);
  text = read_trace (path);
  g_assert_cmpuint (count (text, "\"ph\":\"X\""), ==, 1);
  g_assert_cmpuint (count (text, "\"worker down\""), >, 0);
  g_unlink (path);
  g_rmdir (folder);
}

/* A trace may be started before its pool is. */
static void
test_trace_from_the_start (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_dir_make_tmp ("pool-trace-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "trace.json", NULL);
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  guint n = 0;

  /* from before the start: the first workers, too */
  g_assert_true (pool_manager_start_trace (pool, path, &error));
  g_assert_true (pool_manager_start (pool, &error));
  g_variant_unref (pool_manager_map (pool, "conform.square", g_variant_new_parsed ("@ax [1, 2, 3, 4, 5, 6]"), 2, NULL,
                                     NULL));
  conform_await (pool, "n-workers", 2);
  n = number (pool, "n-wanted");
  g_assert_true (pool_manager_stop_trace (pool, &error));
  text = read_trace (path);
  g_assert_cmpuint (count (text, "\"worker up\""), ==, n);
  g_assert_cmpuint (count (text, "\"thread_name\""), ==, n);
  g_assert_cmpuint (count (text, "\"ph\":\"X\""), >=, 3);
  conform_end (pool);
  g_unlink (path);
  g_rmdir (folder);
}

void
conform_add_statistics (void)
{
  conform_add ("statistics/counters", test_counters);
  conform_add ("statistics/given-up", test_given_up);
  conform_add ("statistics/timeouts", test_timeouts);
  conform_add ("statistics/histograms", test_histograms);
  conform_add ("statistics/waiting", test_waiting);
  if (conform_isolates)
    conform_add ("statistics/losses", test_losses);
  conform_add ("statistics/off", test_off);
  conform_add ("statistics/trace", test_trace);
  conform_add ("statistics/trace-errors", test_trace_errors);
  conform_add ("statistics/trace-from-the-start", test_trace_from_the_start);
}
