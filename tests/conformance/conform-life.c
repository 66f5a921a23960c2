/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <malloc.h>

static void
test_states (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_NEW);
  g_assert_null (pool_manager_apply (pool, "conform.echo", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  g_assert_false (pool_manager_close (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  g_assert_false (pool_manager_join (pool, -1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);

  g_assert_true (pool_manager_start (pool, &error));
  g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_RUN);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  g_assert_false (pool_manager_join (pool, -1, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);

  g_assert_true (pool_manager_close (pool, &error));
  g_assert_true (pool_manager_close (pool, &error));
  g_assert_null (pool_manager_apply (pool, "conform.echo", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_true (pool_manager_join (pool, 10, &error));
  g_assert_true (pool_manager_join (pool, 10, &error));
  g_assert_true (pool_manager_terminate (pool, &error));
  g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_JOINED);
  g_object_unref (pool);
}

/* Nobody waits for the workers to go: who asks now and then, as a program with a main loop does, hears of it all the same. */
static void
test_join_by_asking (Fixture *fixture, gconstpointer data)
{
  const guint n = conform_remote ? 2 : 20;

  for (guint i = 0; i < n; i++)
    {
      PoolManager *pool = conform_started ();
      gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
      g_autoptr (GError) error = NULL;
      gboolean joined = FALSE;

      conform_await (pool, "n-workers", 2);
      g_assert_true (i % 2 ? pool_manager_close (pool, &error) : pool_manager_terminate (pool, &error));
      while (!joined && g_get_monotonic_time () < end)
        {
          joined = pool_manager_join (pool, 0, NULL);
          if (!joined)
            g_usleep (1000);
        }
      g_assert_true (joined);
      g_object_unref (pool);
    }
}

static void
test_bad_settings (Fixture *fixture, gconstpointer data)
{
  static const int bad[] = { 0, -1, G_MININT, 1000000 };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (PoolManager) pool =
          g_object_new (POOL_TYPE_MANAGER, "backend", conform_backend, "processes", bad[i], NULL);

      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
    }

  {
    g_autoptr (PoolManager) pool = pool_manager_new ("thraeds");

    g_assert_false (pool_manager_start (pool, &error));
    g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
    g_assert_nonnull (strstr (error->message, "threads"));
    g_clear_error (&error);
  }
  {
    g_autoptr (PoolManager) pool = conform_new ();

    g_object_set (pool, "target", "conform.nothing", NULL);
    g_assert_false (pool_manager_start (pool, &error));
    g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
    g_clear_error (&error);
    /* it can be put right */
    g_object_set (pool, "target", "conform.square", NULL);
    g_assert_true (pool_manager_start (pool, &error));
    conform_assert_value (pool_manager_apply (pool, NULL, g_variant_new ("(x)", G_GINT64_CONSTANT (2)), NULL, NULL, &error),
                          "4");
    conform_end (g_steal_pointer (&pool));
  }
}

static void
test_close_finishes (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolApplyResult *results[50];

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.002), NULL, NULL,
                                           NULL, NULL);
  conform_end (pool);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (results[i]), NULL));
      g_object_unref (results[i]);
    }
}

static void
test_terminate (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolApplyResult *results[50];
  g_autoptr (PoolMapResult) map = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.3), NULL, NULL,
                                           NULL, NULL);
  map = pool_manager_map_async (pool, "conform.nap", g_variant_new_parsed ("[1.0, 2.0, 3.0]"), 1, NULL,
                                NULL, NULL);
  pool_manager_terminate (pool, NULL);
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_async_result_ready (POOL_ASYNC_RESULT (results[49])));
  g_assert_true (pool_manager_join (pool, 5, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (results[i]), 0, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_TERMINATED);
      g_clear_error (&error);
      g_object_unref (results[i]);
    }
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (map), 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TERMINATED);
  g_object_unref (pool);
}

/* A pool that is dropped, at any moment, is gone. */
static void
test_drop (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 12; i++)
    {
      PoolManager *pool = i % 4 == 0 ? conform_new () : conform_started ();
      g_autoptr (PoolApplyResult) result = NULL;
      g_autoptr (GError) error = NULL;

      if (i % 4 == 2)
        conform_assert_value (
            pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (2)), NULL, NULL, NULL), "4");
      if (i % 4 == 3)
        result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.05), NULL, NULL,
                                           NULL, NULL);
      g_object_unref (pool);
      if (result == NULL)
        continue;
      g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 5, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_TERMINATED);
    }
  /* threads end when their task does */
  if (!conform_isolates)
    g_usleep (100000);
}

static void
test_not_daemon (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (PoolApplyResult) result = NULL;

  g_object_set (pool, "daemon", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.05), NULL, NULL, NULL,
                                     NULL);
  g_object_unref (pool);
  g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (result), NULL));
}

/* Everything is driven by the main context, or by who waits. */
static void
test_no_thread (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (PoolApplyResult) result = NULL;
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "threads", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, &error));
  for (gint64 i = 0; i < 200; i++)
    g_variant_unref (
        pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", i), NULL, NULL, &error));
  g_assert_no_error (error);
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.05), NULL, NULL, NULL,
                                     NULL);
  while (!pool_async_result_ready (POOL_ASYNC_RESULT (result)))
    g_main_context_iteration (NULL, TRUE);
  if (conform_isolates)
    {
      g_assert_null (
          pool_manager_apply (pool, "conform.crash", g_variant_new ("(i)", 9), NULL, NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
      g_clear_error (&error);
    }
  conform_end (pool);
}

static void
count_signal (PoolManager *pool, PoolWorkerInfo *info, guint *n)
{
  g_assert_true (POOL_IS_WORKER_INFO (info));
  *n += 1;
}

static void
test_signals (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GPtrArray) workers = NULL;
  guint up = 0, down = 0;

  g_signal_connect (pool, "process-up", G_CALLBACK (count_signal), &up);
  g_signal_connect (pool, "process-down", G_CALLBACK (count_signal), &down);
  g_assert_true (pool_manager_start (pool, NULL));
  while (up < 2)
    g_main_context_iteration (NULL, TRUE);
  workers = pool_manager_get_workers (pool);
  g_assert_cmpuint (workers->len, ==, 2);
  g_assert_cmpint (pool_worker_info_get_state (workers->pdata[0]), ==, POOL_WORKER_STATE_IDLE);
  /* each agent of several has numbers of its own */
  g_assert_cmpuint (pool_worker_info_get_id (workers->pdata[1]), >=, 1);
  if (!conform_alone)
    g_assert_cmpuint (pool_worker_info_get_id (workers->pdata[1]), ==, 1);
  if (conform_isolates)
    {
      g_assert_cmpint (pool_worker_info_get_pid (workers->pdata[0]), >, 1);
      g_assert_cmpuint (pool_worker_info_get_rss (workers->pdata[0]), >, 0);
    }
  g_assert_true (pool_manager_close (pool, NULL));
  g_assert_true (pool_manager_join (pool, 10, NULL));
  g_assert_cmpuint (up, ==, 2);
  g_assert_cmpuint (down, ==, 2);
  g_object_unref (pool);
}

static void
test_several (Fixture *fixture, gconstpointer data)
{
  PoolManager *pools[4];
  PoolApplyResult *results[4];

  for (guint i = 0; i < 4; i++)
    pools[i] = conform_started ();
  for (guint i = 0; i < 4; i++)
    results[i] = pool_manager_apply_async (pools[i], "conform.square", g_variant_new ("(x)", (gint64) i),
                                           NULL, NULL, NULL, NULL);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (results[i]), -1, NULL);

      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
      g_object_unref (results[i]);
    }
  for (guint i = 0; i < 4; i++)
    conform_end (pools[i]);
}

static void
test_nested (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      conform_assert_value (pool_manager_apply (pool, "conform.nested", g_variant_new ("(sx)", "fork", G_GINT64_CONSTANT (3)),
                                                NULL, NULL, &error),
                            "9");
      conform_assert_value (pool_manager_apply (pool, "conform.nested",
                                                g_variant_new ("(sx)", "threads", G_GINT64_CONSTANT (4)), NULL, NULL, &error),
                            "16");
    }
  g_assert_no_error (error);
  conform_end (pool);
}

static void
note_wait (GObject *source, GAsyncResult *result, gpointer user_data)
{
  guint *n = user_data;

  g_assert_true (pool_async_result_wait_finish (POOL_ASYNC_RESULT (source), result, NULL));
  (*n)++;
}

/* A result outlives its pool, and can still be waited for. */
static void
test_wait_after_drop (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result = pool_manager_apply_async (
      pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, NULL, NULL);
  gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
  guint n = 0;

  pool_async_result_wait (POOL_ASYNC_RESULT (result), -1, NULL, NULL);
  conform_end (pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  for (guint i = 0; i < 3; i++)
    {
      pool_async_result_wait_async (POOL_ASYNC_RESULT (result), NULL, note_wait, &n);
      while (n == i && g_get_monotonic_time () < deadline)
        g_main_context_iteration (NULL, FALSE);
      g_assert_cmpuint (n, ==, i + 1);
    }
}

/* A pool that is gone has left nothing in the heap. (A sanitizer's allocator says 0, and looks itself.) */
static void
test_memory (Fixture *fixture, gconstpointer data)
{
  gsize before = 0;

  for (guint i = 0; i < 2000; i++)
    {
      g_object_unref (conform_new ());
      if (i == 500)
        before = mallinfo2 ().uordblks;
    }
  g_assert_cmpuint (mallinfo2 ().uordblks, <, before + 64 * 1024);
}

typedef struct
{
  PoolManager *pools[8];
  _Atomic gboolean over;
} Dropper;

static gpointer
drop_pools (gpointer data)
{
  Dropper *self = data;

  for (guint i = 0; i < G_N_ELEMENTS (self->pools); i++)
    {
      g_object_unref (pool_manager_apply_async (self->pools[i], "conform.square",
                                                g_variant_new ("(x)", (gint64) i), NULL, NULL, NULL, NULL));
      g_object_unref (self->pools[i]);
    }
  self->over = TRUE;
  return NULL;
}

/* A main loop looks after pools, and another thread lets go of them. */
static void
test_drop_beside_loop (Fixture *fixture, gconstpointer data)
{
  for (guint round = 0; round < 6; round++)
    {
      Dropper dropper = { { NULL }, FALSE };
      GThread *thread;

      for (guint i = 0; i < G_N_ELEMENTS (dropper.pools); i++)
        {
          dropper.pools[i] = conform_new ();
          g_object_set (dropper.pools[i], "threads", FALSE, NULL);
          g_assert_true (pool_manager_start (dropper.pools[i], NULL));
        }
      thread = g_thread_new ("dropper", drop_pools, &dropper);
      while (!dropper.over)
        g_main_context_iteration (NULL, FALSE);
      g_thread_join (thread);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      conform_await_fds (fixture);
    }
}

/* Results that nobody takes any more, of tasks that ran when their pool went. */
static void
test_drop_results (Fixture *fixture, gconstpointer data)
{
  gsize before = 0;

  for (guint round = 0; round < 20; round++)
    {
      PoolManager *pool = conform_started ();

      for (guint i = 0; i < 4; i++)
        g_object_unref (pool_manager_apply_bytes_async (pool, "conform.bytes-late", NULL, 0, NULL, NULL, NULL, NULL));
      g_usleep (2000);
      g_object_unref (pool);
      conform_await_fds (fixture);
      if (round == 4)
        before = mallinfo2 ().uordblks + mallinfo2 ().hblkhd;
    }
  g_assert_cmpuint (mallinfo2 ().uordblks + mallinfo2 ().hblkhd, <, before + 500000);
}

void
conform_add_life (void)
{
  conform_add ("life/states", test_states);
  conform_add ("life/bad-settings", test_bad_settings);
  conform_add ("life/close-finishes", test_close_finishes);
  conform_add ("life/terminate", test_terminate);
  conform_add ("life/join-by-asking", test_join_by_asking);
  conform_add ("life/drop", test_drop);
  conform_add ("life/wait-after-drop", test_wait_after_drop);
  if (!conform_alone)
    conform_add ("life/drop-beside-loop", test_drop_beside_loop);
  conform_add ("life/drop-results", test_drop_results);
  conform_add ("life/memory", test_memory);
  conform_add ("life/not-daemon", test_not_daemon);
  conform_add ("life/no-thread", test_no_thread);
  conform_add ("life/signals", test_signals);
  if (!conform_alone)
    conform_add ("life/several", test_several);
  conform_add ("life/nested", test_nested);
}
