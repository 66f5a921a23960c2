/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

static void
test_apply (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  conform_assert_value (
      pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (12)), NULL, NULL, &error), "144");
  /* a lone argument need not be in a tuple; no arguments are an empty one */
  conform_assert_value (
      pool_manager_apply (pool, "conform.square", g_variant_new_int64 (3), NULL, NULL, &error), "9");
  conform_assert_value (pool_manager_apply (pool, "conform.echo", NULL, NULL, NULL, &error), "()");
  conform_assert_value (
      pool_manager_apply (pool, "conform.echo",
                          g_variant_new ("(sa{sv}mi)", "größe", NULL, FALSE, 0), NULL, NULL, &error),
      "('größe', {}, nothing)");
  g_assert_no_error (error);
  conform_end (pool);
}

static void
test_task (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result = NULL;
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  const char *name;
  guint64 id;
  guint attempt, worker;

  pool_call_options_set_correlation_id (options, "the one");
  result = pool_manager_apply_async (pool, "conform.describe", NULL, options, NULL, NULL, NULL);
  value = pool_async_result_get (POOL_ASYNC_RESULT (result), -1, &error);
  g_assert_no_error (error);
  g_variant_get (value, "(t&suui)", &id, &name, &attempt, &worker, NULL);
  g_assert_cmpuint (id, ==, pool_async_result_get_id (POOL_ASYNC_RESULT (result)));
  g_assert_cmpstr (name, ==, "conform.describe");
  g_assert_cmpuint (attempt, ==, 1);
  g_assert_cmpuint (worker, ==, pool_async_result_get_worker (POOL_ASYNC_RESULT (result)));
  g_assert_cmpuint (pool_async_result_get_attempts (POOL_ASYNC_RESULT (result)), ==, 1);
  g_assert_cmpfloat (pool_async_result_get_run_time (POOL_ASYNC_RESULT (result)), >, 0);
  g_assert_cmpstr (pool_async_result_get_correlation_id (POOL_ASYNC_RESULT (result)), ==, "the one");
  conform_end (pool);
}

static void
test_errors (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_manager_apply (pool, "conform.fail", NULL, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY);
  g_assert_cmpstr (error->message, ==, "Fehler: größer als 7");
  g_clear_error (&error);

  g_assert_null (pool_manager_apply (pool, "conform.null", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_ENCODING);
  g_assert_nonnull (strstr (error->message, "conform.null"));
  g_clear_error (&error);

  g_assert_null (pool_manager_apply (pool, "conform.sqare", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_assert_nonnull (strstr (error->message, "conform.square"));
  g_clear_error (&error);

  g_assert_null (pool_manager_apply (pool, "nothing", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_clear_error (&error);

  g_assert_null (pool_manager_apply (pool, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_clear_error (&error);

  /* the pool is none the worse for any of this */
  conform_assert_value (pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (5)), NULL, NULL,
                                            &error),
                        "25");
  conform_end (pool);
}

static void
test_not_normal (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;
  static const guint8 broken[] = { 'a', 'b', 'c' }; /* a string without its end */
  GVariant *value =
      g_variant_new_from_data (G_VARIANT_TYPE ("(s)"), broken, sizeof broken, FALSE, NULL, NULL);

  g_assert_null (pool_manager_apply (pool, "conform.echo", value, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_ENCODING);
  conform_end (pool);
}

static void
check_bytes (PoolManager *pool, const char *task, gsize size)
{
  g_autofree guint8 *data = g_malloc (size + 1);
  g_autoptr (GBytes) result = NULL;
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < size; i++)
    data[i] = (i * 7 + (i >> 9)) & 0xff;
  result = pool_manager_apply_bytes (pool, task, data, size, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (result, NULL), g_bytes_get_size (result), data, size);
}

static void
test_bytes (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 0,     1,     7,     79,    80,     81,     128,        4095,
                                 4096,  5000,  65535, 65536, 65537,  262144, 1000 * 1000, 5000001,
                                 65536, 80,    1,     0,     9000000 };
  PoolManager *pool = conform_started ();

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      check_bytes (pool, "conform.bytes-echo", sizes[i]);
      check_bytes (pool, "conform.bytes-copy", sizes[i]);
      check_bytes (pool, "conform.batch-echo", sizes[i]);
    }
  conform_end (pool);
}

/* Many large results that are all kept, then all dropped, twice: memory is handed on and comes back. */
static void
test_bytes_kept (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autofree guint8 *block = g_malloc0 (300000);
  PoolApplyResult *results[40];
  GBytes *kept[40];

  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (results); i++)
        {
          memset (block, i, 300000);
          results[i] = pool_manager_apply_bytes_async (
              pool, i % 2 ? "conform.bytes-echo" : "conform.bytes-copy", block, 300000, NULL, NULL,
              NULL, NULL);
        }
      for (guint i = 0; i < G_N_ELEMENTS (results); i++)
        {
          g_autoptr (GError) error = NULL;

          kept[i] = pool_async_result_get_bytes (POOL_ASYNC_RESULT (results[i]), -1, &error);
          g_assert_no_error (error);
          g_object_unref (results[i]);
        }
      for (guint i = 0; i < G_N_ELEMENTS (results); i++)
        {
          memset (block, i, 300000);
          g_assert_cmpmem (block, 300000, g_bytes_get_data (kept[i], NULL), g_bytes_get_size (kept[i]));
          g_bytes_unref (kept[i]);
        }
    }
  conform_end (pool);
}

/* A result outlives its pool. */
static void
test_bytes_after_pool (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autofree guint8 *block = g_malloc0 (300000);
  g_autoptr (GBytes) copied = NULL;
  g_autoptr (GBytes) referenced = NULL;

  block[299999] = 7;
  copied = pool_manager_apply_bytes (pool, "conform.bytes-copy", block, 300000, NULL, NULL, NULL);
  referenced = pool_manager_apply_bytes (pool, "conform.bytes-echo", block, 300000, NULL, NULL, NULL);
  conform_end (pool);
  g_assert_cmpmem (block, 300000, g_bytes_get_data (copied, NULL), 300000);
  g_assert_cmpmem (block, 300000, g_bytes_get_data (referenced, NULL), 300000);
  g_clear_pointer (&copied, g_bytes_unref);
  g_clear_pointer (&referenced, g_bytes_unref);
}

static void
test_kinds (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  /* a function on bytes takes values of type (ay), and only those */
  conform_assert_value (pool_manager_apply (pool, "conform.bytes-echo",
                                            g_variant_new_parsed ("([byte 1, 2, 3],)"), NULL, NULL,
                                            &error),
                        "[0x01, 0x02, 0x03]");
  g_assert_null (pool_manager_apply (pool, "conform.bytes-echo", g_variant_new ("(s)", "x"), NULL, NULL,
                                     &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  /* a function on values that is called with bytes must return bytes */
  g_assert_null (pool_manager_apply_bytes (pool, "conform.echo", (const guint8 *) "x", 1, NULL, NULL,
                                           &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_ENCODING);
  g_clear_error (&error);

  g_assert_null (pool_manager_apply_bytes (pool, "conform.batch-wrong", (const guint8 *) "x", 1, NULL,
                                           NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_ENCODING);
  conform_end (pool);
}

static void
count_call (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_apply_finish (POOL_MANAGER (source), result, &error);
  guint *left = user_data;

  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 49);
  *left -= 1;
}

static void
test_callbacks (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  guint left = 100;

  for (guint i = 0; i < 100; i++)
    g_assert_null (pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (7)), NULL,
                                             NULL, count_call, &left));
  while (left > 0)
    g_main_context_iteration (NULL, TRUE);
  conform_end (pool);
}

/* Nobody iterates the main context: callbacks come from the call that waits, before it returns. */
static void
test_callback_without_loop (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  guint left = 1;

  pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (7)), NULL, NULL, count_call,
                            &left);
  for (guint i = 0; i < 500 && *(volatile guint *) &left > 0; i++)
    {
      g_autoptr (PoolApplyResult) result =
          pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.01), NULL, NULL, NULL,
                                    NULL);

      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), -1, NULL, NULL));
    }
  g_assert_cmpuint (left, ==, 0);
  conform_end (pool);
}

static void
on_waited (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_async_result_wait_finish (POOL_ASYNC_RESULT (source), result, &error));
  g_assert_no_error (error);
  *(guint *) user_data += 1;
}

static void
on_completed (PoolAsyncResult *result, guint *n)
{
  *n += 1;
}

static void
test_wait_async (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result =
      pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.05), NULL, NULL, NULL, NULL);
  guint n = 0, completed = 0;

  g_signal_connect (result, "completed", G_CALLBACK (on_completed), &completed);
  pool_async_result_wait_async (POOL_ASYNC_RESULT (result), NULL, on_waited, &n);
  pool_async_result_wait_async (POOL_ASYNC_RESULT (result), NULL, on_waited, &n);
  while (n < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (completed, ==, 1);
  pool_async_result_wait_async (POOL_ASYNC_RESULT (result), NULL, on_waited, &n);
  while (n < 3)
    g_main_context_iteration (NULL, TRUE);
  conform_end (pool);
}

static void
test_wait (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result =
      pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.3), NULL, NULL, NULL, NULL);
  PoolAsyncResult *base = POOL_ASYNC_RESULT (result);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_async_result_ready (base));
  g_assert_false (pool_async_result_successful (base, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  g_assert_null (pool_async_result_get (base, 0.01, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_false (pool_async_result_wait (base, -1, cancellable, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
  g_clear_error (&error);
  conform_assert_value (pool_async_result_get (base, -1, &error), "0.29999999999999999");
  conform_assert_value (pool_async_result_get (base, 0, &error), "0.29999999999999999");
  g_assert_true (pool_async_result_successful (base, &error));
  conform_end (pool);
}

typedef struct
{
  PoolManager *pool;
  GMainLoop *loop;
  _Atomic guint *n_callers;
  gboolean ok;
} Caller;

static gboolean
quit_loop (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static gpointer
call_and_call (gpointer data)
{
  Caller *self = data;

  self->ok = TRUE;
  for (guint i = 0; self->ok && i < 1000; i++)
    {
      PoolApplyResult *results[3];

      for (guint k = 0; k < G_N_ELEMENTS (results); k++)
        results[k] = pool_manager_apply_async (self->pool, "conform.nap", g_variant_new ("(d)", 0.0001 * k),
                                               NULL, NULL, NULL, NULL);
      for (guint k = 0; k < G_N_ELEMENTS (results); k++)
        {
          g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (results[k]), 20, NULL);

          self->ok &= value != NULL;
          g_object_unref (results[k]);
        }
    }
  if (--*self->n_callers == 0)
    g_idle_add (quit_loop, self->loop);
  return NULL;
}

/* Without a thread of the pool: a main loop and those who wait take results from the same fd, and nobody misses one. */
static void
test_loop_and_waits (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  _Atomic guint n_callers = 2;
  Caller callers[2];
  GThread *threads[2];

  g_object_set (pool, "threads", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      callers[i] = (Caller){ pool, loop, &n_callers, FALSE };
      threads[i] = g_thread_new ("caller", call_and_call, &callers[i]);
    }
  g_main_loop_run (loop);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      g_thread_join (threads[i]);
      g_assert_true (callers[i].ok);
    }
  conform_end (pool);
}

/* A call that is cancelled before it is made does not run, although a worker waits for it. */
static void
test_cancelled_before (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", (gint64) i), NULL,
                                         cancellable, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_null (pool_manager_map (pool, "conform.square", g_variant_new_parsed ("[int64 1]"), 0,
                                       cancellable, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
    }
  conform_end (pool);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PoolApplyResult) last = NULL;
  PoolApplyResult *naps[8];
  guint n_cancelled = 0;

  for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
    naps[i] = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.05), NULL,
                                        cancellable, NULL, NULL);
  last = pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (4)), NULL, NULL, NULL,
                                   NULL);
  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (naps[i]), -1, &error);

      if (value == NULL)
        {
          g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
          n_cancelled++;
        }
      g_object_unref (naps[i]);
    }
  /* two workers can have begun few of them */
  g_assert_cmpuint (n_cancelled, >=, 4);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (last), -1, NULL), "16");
  conform_end (pool);
}

#define N_THREADS 4
#define N_CALLS 300

static gpointer
call_much (gpointer data)
{
  for (guint i = 0; i < N_CALLS; i++)
    conform_assert_value (pool_manager_apply (data, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (9)), NULL, NULL,
                                              NULL),
                          "81");
  return NULL;
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  GThread *threads[N_THREADS];
  guint64 done;

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("caller", call_much, pool);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_object_get (pool, "n-done", &done, NULL);
  g_assert_cmpuint (done, ==, N_THREADS * N_CALLS);
  conform_end (pool);
}

static void
test_many (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  const guint n = 20000; /* more than any ring holds */
  g_autofree PoolApplyResult **results = g_new (PoolApplyResult *, n);

  for (guint i = 0; i < n; i++)
    results[i] = pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", (gint64) i),
                                           NULL, NULL, NULL, NULL);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (results[i]), -1, NULL);

      g_assert_cmpint (g_variant_get_int64 (value), ==, (gint64) i * i);
      g_object_unref (results[i]);
    }
  conform_end (pool);
}

static GVariant *
closure (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int64 (*(gint64 *) user_data);
}

static void
test_closures (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;
  gint64 *secret = g_new (gint64, 1);

  *secret = 4711;
  g_assert_true (pool_manager_register (pool, "closure", closure, secret, g_free, &error));
  g_assert_false (pool_manager_register (pool, "closure", closure, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (pool_manager_register (pool, "", closure, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  if (!conform_closures)
    {
      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
      g_assert_nonnull (strstr (error->message, "closure"));
      g_object_unref (pool);
      return;
    }
  g_assert_true (pool_manager_start (pool, &error));
  g_assert_false (pool_manager_register (pool, "late", closure, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  conform_assert_value (pool_manager_apply (pool, "closure", NULL, NULL, NULL, &error), "4711");
  conform_end (pool);
}

/* Each task waits for the next one: workers stand in, as many as may be; then it is an error, and never a deadlock. */
static GVariant *
chain (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  gint64 n;

  g_variant_get (args, "(x)", &n);
  if (n == 0)
    return g_variant_new_int64 (0);
  value = pool_manager_apply (user_data, "chain", g_variant_new ("(x)", n - 1), NULL, NULL, error);
  return value != NULL ? g_variant_new_int64 (g_variant_get_int64 (value) + 1) : NULL;
}

static void
test_chain (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "processes", 1, "max-processes", 60, NULL);
  g_assert_true (pool_manager_register (pool, "chain", chain, pool, NULL, &error));
  g_assert_true (pool_manager_start (pool, &error));
  conform_assert_value (pool_manager_apply (pool, "chain", g_variant_new ("(x)", G_GINT64_CONSTANT (50)), NULL, NULL,
                                            &error),
                        "50");
  conform_await (pool, "n-workers", 1);
  g_assert_null (
      pool_manager_apply (pool, "chain", g_variant_new ("(x)", G_GINT64_CONSTANT (100)), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_assert_nonnull (strstr (error->message, "max-processes"));
  conform_await (pool, "n-workers", 1);
  conform_end (pool);
}

/* In a process that was forked from the program the pool is only a memory. */
static void
test_chain_of_processes (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_manager_register (pool, "chain", chain, pool, NULL, &error));
  g_assert_true (pool_manager_start (pool, &error));
  g_assert_null (pool_manager_apply (pool, "chain", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  conform_end (pool);
}

void
conform_add_calls (void)
{
  conform_add ("calls/apply", test_apply);
  conform_add ("calls/task", test_task);
  conform_add ("calls/errors", test_errors);
  conform_add ("calls/not-normal", test_not_normal);
  conform_add ("calls/bytes", test_bytes);
  conform_add ("calls/bytes-kept", test_bytes_kept);
  conform_add ("calls/bytes-after-pool", test_bytes_after_pool);
  conform_add ("calls/kinds", test_kinds);
  conform_add ("calls/callbacks", test_callbacks);
  conform_add ("calls/callback-without-loop", test_callback_without_loop);
  conform_add ("calls/wait-async", test_wait_async);
  conform_add ("calls/wait", test_wait);
  conform_add ("calls/cancel", test_cancel);
  if (!conform_isolates)
    conform_add ("calls/chain", test_chain);
  else if (conform_closures)
    conform_add ("calls/chain", test_chain_of_processes);
  conform_add ("calls/loop-and-waits", test_loop_and_waits);
  conform_add ("calls/cancelled-before", test_cancelled_before);
  conform_add ("calls/threads", test_threads);
  conform_add ("calls/many", test_many);
  conform_add ("calls/closures", test_closures);
}
