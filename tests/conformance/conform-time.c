/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Time limits. The naps are short: a thread that was given up still has to end before the test does. */

#define NAP 0.6

static void
still_works (PoolManager *pool)
{
  conform_assert_value (pool_manager_apply (pool, "conform.square",
                                            g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL),
                        "9");
}

/* Threads that were given up end by themselves, sooner or later. */
static void
end (PoolManager *pool)
{
  conform_await (pool, "n-abandoned", 0);
  conform_end (pool);
}

static void
assert_times_out (PoolManager *pool, PoolCallOptions *options)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  g_assert_null (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", NAP), options, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
  g_assert_nonnull (strstr (error->message, "conform.nap"));
  g_assert_nonnull (strstr (error->message, "0.05 s"));
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 50000);
}

typedef struct
{
  guint n_down, n_exit, n_timed_out, n_soft, n_hard;
  guint64 task;
} Seen;

static void
on_down (PoolManager *pool, PoolWorkerInfo *info, Seen *seen)
{
  seen->n_down++;
  seen->n_timed_out += pool_worker_info_get_reason (info) == POOL_DOWN_REASON_TIMED_OUT;
  seen->task = pool_worker_info_get_current_task (info);
}

static void
on_process_exit (PoolManager *pool, PoolWorkerInfo *info, Seen *seen)
{
  seen->n_exit++;
}

static void
on_timeout (PoolManager *pool, PoolAsyncResult *result, gboolean soft, double limit, Seen *seen)
{
  g_assert_cmpfloat_with_epsilon (limit, 0.05, 1e-6);
  seen->n_soft += soft;
  seen->n_hard += !soft;
}

static void
watch (PoolManager *pool, Seen *seen)
{
  g_signal_connect (pool, "process-down", G_CALLBACK (on_down), seen);
  g_signal_connect (pool, "process-exit", G_CALLBACK (on_process_exit), seen);
  g_signal_connect (pool, "timeout", G_CALLBACK (on_timeout), seen);
}

static void
run_main_loop (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
test_hard (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 0.05, NULL);
  Seen seen = { 0 };

  watch (pool, &seen);
  assert_times_out (pool, NULL);
  while (seen.n_down == 0)
    g_main_context_iteration (NULL, TRUE);
  conform_await (pool, "n-workers", 2);
  still_works (pool);
  run_main_loop ();
  g_assert_cmpuint (seen.n_hard, ==, 1);
  g_assert_cmpuint (seen.n_soft, ==, 0);
  g_assert_cmpuint (seen.n_down, ==, 1);
  g_assert_cmpuint (seen.n_timed_out, ==, 1);
  g_assert_cmpuint (seen.task, !=, 0);
  end (pool);
}

static PoolCallOptions *
new_options (double soft, double hard)
{
  PoolCallOptions *options = pool_call_options_new ();

  pool_call_options_set_soft_timeout (options, soft);
  pool_call_options_set_timeout (options, hard);
  return options;
}

static void
test_hard_of_call (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolCallOptions) options = new_options (-1, 0.05);

  assert_times_out (pool, options);
  still_works (pool);
  end (pool);
}

/* A call's own limit counts more than the pool's, and 0 is none. */
static void
test_call_over_pool (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 0.05, NULL);
  g_autoptr (PoolCallOptions) none = new_options (-1, 0);
  g_autoptr (PoolCallOptions) more = new_options (-1, 30);

  conform_assert_value (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.15), none, NULL, NULL),
                        "0.14999999999999999");
  conform_assert_value (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.15), more, NULL, NULL),
                        "0.14999999999999999");
  conform_end (pool);
}

static void
test_disabled (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 0.01, "soft-timeout", 0.01, "enable-timeouts", FALSE, NULL);

  conform_assert_value (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.125), NULL, NULL, NULL),
                        "0.125");
  conform_end (pool);
}

/* Each is short enough; what they wait for each other does not count. */
static void
test_queued (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 1.0, NULL);
  PoolApplyResult *results[12];

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.25), NULL, NULL, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (results[i]), -1, NULL), "0.25");
      g_object_unref (results[i]);
    }
  conform_end (pool);
}

/* One item of a map takes too long: that one fails, whatever it travelled with. */
static void
test_item (Fixture *fixture, gconstpointer data)
{
  static const guint chunksizes[] = { 0, 1, 5, 100 };
  PoolManager *pool = conform_started_with ("timeout", 0.1, NULL);

  for (guint c = 0; c < G_N_ELEMENTS (chunksizes); c++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (PoolMapResult) result = NULL;
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE ("ad"));
      for (guint i = 0; i < 20; i++)
        g_variant_builder_add (&builder, "d", i == 7 ? NAP : 0.0);
      result = pool_manager_map_async (pool, "conform.nap", g_variant_builder_end (&builder), chunksizes[c], NULL,
                                       NULL, NULL);
      g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), -1, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
      for (guint i = 0; i < 20; i++)
        {
          g_autoptr (GError) item_error = NULL;
          g_autoptr (GVariant) value = pool_map_result_get_item (result, i, &item_error);

          if (i == 7)
            g_assert_error (item_error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
          else
            g_assert_nonnull (value);
        }
    }
  still_works (pool);
  end (pool);
}

static void
test_soft (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("soft-timeout", 0.05, NULL);
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  watch (pool, &seen);
  g_assert_null (pool_manager_apply (pool, "conform.patient", g_variant_new ("(d)", 20.0), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_SOFT_TIMED_OUT);
  g_assert_nonnull (strstr (error->message, "conform.patient"));
  g_assert_nonnull (strstr (error->message, "0.05 s"));

  conform_assert_value (pool_manager_apply (pool, "conform.polite", g_variant_new ("(d)", 20.0), NULL, NULL, NULL),
                        "true");
  conform_assert_value (pool_manager_apply (pool, "conform.polite", g_variant_new ("(d)", 0.001), NULL, NULL, NULL),
                        "false");
  if (conform_isolates)
    conform_assert_value (pool_manager_apply (pool, "conform.interrupted", g_variant_new ("(d)", 20.0), NULL, NULL,
                                              NULL),
                          "true");
  run_main_loop ();
  g_assert_cmpuint (seen.n_soft, ==, conform_isolates ? 3 : 2);
  g_assert_cmpuint (seen.n_hard, ==, 0);
  g_assert_cmpuint (seen.n_down, ==, 0);
  conform_end (pool);
}

/* In a chunk each item has its own time, and is told for itself. */
static void
test_soft_items (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("soft-timeout", 0.2, NULL);

  conform_assert_value (pool_manager_map (pool, "conform.polite", g_variant_new_parsed ("[0.0, 20, 0.001, 20, 0]"), 5,
                                          NULL, NULL),
                        "[<false>, <true>, <false>, <true>, <false>]");
  conform_end (pool);
}

/* Whatever the soft limit, the hard one counts; also for a task that does not listen. */
static void
test_both (Fixture *fixture, gconstpointer data)
{
  static const double softs[] = { 0, 0.01, 0.05, 0.3 };
  PoolManager *pool = conform_started ();

  for (guint i = 0; i < G_N_ELEMENTS (softs); i++)
    {
      g_autoptr (PoolCallOptions) options = new_options (softs[i], 0.05);

      assert_times_out (pool, options);
    }
  still_works (pool);
  end (pool);
}

static void
test_deadline (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 100.0, NULL);
  g_autoptr (PoolCallOptions) soft = new_options (50, -1);
  g_autoptr (PoolCallOptions) none = new_options (0, 0);
  g_autoptr (GVariant) first = pool_manager_apply (pool, "conform.deadline", NULL, NULL, NULL, NULL);
  g_autoptr (GVariant) second = pool_manager_apply (pool, "conform.deadline", NULL, soft, NULL, NULL);

  g_assert_cmpfloat (g_variant_get_double (first), >, 80);
  g_assert_cmpfloat (g_variant_get_double (first), <=, 100);
  g_assert_cmpfloat (g_variant_get_double (second), >, 30);
  g_assert_cmpfloat (g_variant_get_double (second), <=, 50);
  conform_assert_value (pool_manager_apply (pool, "conform.deadline", NULL, none, NULL, NULL), "0.0");
  conform_end (pool);
}

static gboolean
gone (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  char *p;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (p = strrchr (text, ')')) == NULL)
    return TRUE;
  return p[2] == 'Z' || p[2] == 'X';
}

/* A task that ignores SIGTERM and has left a process behind in a session of its own. */
static void
test_subtree (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool;
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  int fd, pid;

  fd = g_file_open_tmp ("pool-deaf-XXXXXX", &path, NULL);
  close (fd);
  pool = conform_started_with ("timeout", 1.0, NULL);
  g_assert_null (pool_manager_apply (pool, "conform.deaf", g_variant_new ("(s)", path), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  pid = atoi (text);
  g_assert_cmpint (pid, >, 0);
  for (guint i = 0; i < 5000 && !gone (pid); i++)
    g_usleep (1000);
  g_assert_true (gone (pid));
  g_unlink (path);
  still_works (pool);
  conform_end (pool);
}

typedef struct
{
  guint n_accepted, n_soft, n_hard, n_freed;
  gint64 time;
} Told;

static void
accepted (PoolAsyncResult *result, PoolWorkerInfo *worker, gint64 time, gpointer user_data)
{
  Told *told = user_data;

  told->n_accepted++;
  told->time = time;
  g_assert_nonnull (worker);
}

static void
timed_out (PoolAsyncResult *result, gboolean soft, double limit, gpointer user_data)
{
  Told *told = user_data;

  told->n_soft += soft;
  told->n_hard += !soft;
  g_assert_cmpfloat_with_epsilon (limit, soft ? 0.03 : 0.1, 1e-6);
}

static void
freed (gpointer data)
{
  ((Told *) data)->n_freed++;
}

static void
test_callbacks (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolCallOptions *options = new_options (0.03, 0.1);
  gint64 start = g_get_monotonic_time ();
  Told told = { 0 };
  g_autoptr (GError) error = NULL;

  pool_call_options_set_accept_callback (options, accepted, &told, freed);
  pool_call_options_set_timeout_callback (options, timed_out, &told, freed);
  g_assert_null (pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", NAP), options, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
  run_main_loop ();
  g_assert_cmpuint (told.n_accepted, ==, 1);
  g_assert_cmpuint (told.n_soft, ==, 1);
  g_assert_cmpuint (told.n_hard, ==, 1);
  g_assert_cmpint (told.time, >=, start);
  g_assert_cmpint (told.time, <=, g_get_monotonic_time ());
  g_object_unref (options);
  end (pool);
  g_assert_cmpuint (told.n_freed, ==, 2);
}

void
conform_add_time (void)
{
  conform_add ("time/hard", test_hard);
  conform_add ("time/hard-of-call", test_hard_of_call);
  conform_add ("time/call-over-pool", test_call_over_pool);
  conform_add ("time/disabled", test_disabled);
  conform_add ("time/queued", test_queued);
  conform_add ("time/item", test_item);
  conform_add ("time/soft", test_soft);
  conform_add ("time/soft-items", test_soft_items);
  conform_add ("time/both", test_both);
  conform_add ("time/deadline", test_deadline);
  if (conform_isolates)
    conform_add ("time/subtree", test_subtree);
  conform_add ("time/callbacks", test_callbacks);
}
