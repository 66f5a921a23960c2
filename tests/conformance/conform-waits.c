/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <pthread.h>
#include <signal.h>

/* Waits that a signal handler interrupts, and callbacks of a context that nobody iterates. */

static int n_handled; /* atomic */

static void
handle (int signum)
{
  g_atomic_int_inc (&n_handled);
}

static void
install_handler (int flags)
{
  struct sigaction action = { 0 };

  action.sa_handler = handle;
  action.sa_flags = flags;
  g_assert_cmpint (sigaction (SIGUSR2, &action, NULL), ==, 0);
}

typedef struct
{
  pthread_t thread; /* that is sent signals */
  gulong pause;     /* µs */
  int stop;         /* atomic */
} Pest;

static gpointer
pester (gpointer data)
{
  Pest *pest = data;

  while (!g_atomic_int_get (&pest->stop))
    {
      pthread_kill (pest->thread, SIGUSR2);
      g_usleep (pest->pause);
    }
  return NULL;
}

static GThread *
start_pest (Pest *pest, gulong pause)
{
  *pest = (Pest){ pthread_self (), pause, FALSE };
  return g_thread_new ("pest", pester, pest);
}

static void
end_pest (Pest *pest, GThread *thread)
{
  g_atomic_int_set (&pest->stop, TRUE);
  g_thread_join (thread);
}

/* Waits for a call that is interrupted on the way; how often */
static guint
wait_interrupted (PoolAsyncResult *result)
{
  guint n = 0;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_async_result_get (result, -1, &error);

      if (value != NULL)
        return n;
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INTERRUPTED);
      n++;
    }
}

static gpointer
wait_too (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_async_result_get (data, -1, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
  return NULL;
}

static PoolApplyResult *
nap (PoolManager *pool, double seconds)
{
  return pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", seconds), NULL, NULL, NULL, NULL);
}

static void
check_interrupted (gboolean threads, int flags)
{
  PoolManager *pool = conform_started_with ("interruptible", TRUE, "threads", threads, NULL);
  g_autoptr (PoolApplyResult) result = NULL, other = NULL;
  GThread *thread, *waiter;
  Pest pest;

  install_handler (flags);
  thread = start_pest (&pest, 5000);
  /* alone */
  result = nap (pool, 0.3);
  g_assert_cmpuint (wait_interrupted (POOL_ASYNC_RESULT (result)), >, 2);
  /* while another thread waits, of which one is the pump */
  g_clear_object (&result);
  other = nap (pool, 0.6);
  waiter = g_thread_new ("waiter", wait_too, other);
  g_usleep (50000);
  result = nap (pool, 0.3);
  wait_interrupted (POOL_ASYNC_RESULT (result));
  g_thread_join (waiter);
  /* this thread first */
  g_clear_object (&result);
  g_clear_object (&other);
  result = nap (pool, 0.3);
  other = nap (pool, 0.6);
  waiter = g_thread_new ("waiter", wait_too, other);
  g_assert_cmpuint (wait_interrupted (POOL_ASYNC_RESULT (result)), >, 2);
  g_thread_join (waiter);
  /* which submits and waits in one goes on */
  conform_assert_value (
      pool_manager_apply (pool, "conform.nap", g_variant_new ("(d)", 0.1), NULL, NULL, NULL), "0.10000000000000001");
  end_pest (&pest, thread);
  conform_end (pool);
}

static void
test_interrupted (Fixture *fixture, gconstpointer data)
{
  check_interrupted (TRUE, 0);
}

static void
test_restarting (Fixture *fixture, gconstpointer data)
{
  check_interrupted (TRUE, SA_RESTART);
}

static void
test_without_thread (Fixture *fixture, gconstpointer data)
{
  check_interrupted (FALSE, 0);
}

/* The wait of one that is no pump: the other thread is. */
static void
test_waiter_interrupted (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("interruptible", TRUE, NULL);
  g_autoptr (PoolApplyResult) result = nap (pool, 0.3), other = nap (pool, 0.6);
  GThread *thread, *waiter = g_thread_new ("waiter", wait_too, other);
  Pest pest;

  install_handler (0);
  g_usleep (50000);
  thread = start_pest (&pest, 5000);
  g_assert_cmpuint (wait_interrupted (POOL_ASYNC_RESULT (result)), >, 2);
  end_pest (&pest, thread);
  g_thread_join (waiter);
  conform_end (pool);
}

static void
test_not_interruptible (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolApplyResult) result = nap (pool, 0.2);
  GThread *thread;
  Pest pest;

  install_handler (0);
  g_atomic_int_set (&n_handled, 0);
  thread = start_pest (&pest, 5000);
  g_assert_cmpuint (wait_interrupted (POOL_ASYNC_RESULT (result)), ==, 0);
  end_pest (&pest, thread);
  g_assert_cmpint (g_atomic_int_get (&n_handled), >, 2);
  conform_end (pool);
}

static void
expect_interruption (gboolean ok, GError **error)
{
  g_assert_false (ok);
  g_assert_error (*error, POOL_ERROR, POOL_ERROR_INTERRUPTED);
  g_clear_error (error);
}

static void
test_others_interrupted (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("interruptible", TRUE, "target", "conform.nap", NULL);
  g_autoptr (PoolStream) stream = pool_manager_open_stream (pool, "act.run", NULL);
  g_autoptr (PoolApplyResult) result = nap (pool, 0.3);
  const guint8 batch[] = { 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'n', '3', '0', '0' };
  g_autoptr (GBytes) taken = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;
  Pest pest;

  install_handler (0);
  thread = start_pest (&pest, 5000);
  g_assert_true (pool_stream_submit (stream, batch, sizeof batch, NULL));
  expect_interruption (pool_stream_take (stream, TRUE, -1, &error) != NULL, &error);
  expect_interruption (pool_async_result_wait (POOL_ASYNC_RESULT (result), 20, NULL, &error), &error);
  g_assert_true (pool_manager_put (pool, g_variant_new_double (0.3), -1, &error));
  expect_interruption (pool_manager_get (pool, -1, &error) != NULL, &error);
  end_pest (&pest, thread);
  taken = pool_stream_take (stream, TRUE, 20, &error);
  g_assert_no_error (error);
  g_assert_nonnull (taken);
  conform_end (pool);
}

static void
test_join_interrupted (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("interruptible", TRUE, NULL);
  g_autoptr (PoolApplyResult) result = nap (pool, 0.3);
  g_autoptr (GError) error = NULL;
  GThread *thread;
  Pest pest;

  install_handler (0);
  pool_manager_close (pool, NULL);
  thread = start_pest (&pest, 5000);
  expect_interruption (pool_manager_join (pool, 20, &error), &error);
  end_pest (&pest, thread);
  g_assert_true (pool_manager_join (pool, 20, &error));
  g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (result), NULL));
  g_object_unref (pool);
}

/* --- callbacks --- */

typedef struct
{
  GMutex lock;
  GCond cond;
  gboolean called;
} Call;

static void
call_back (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;

  g_mutex_lock (&call->lock);
  call->called = TRUE;
  g_cond_signal (&call->cond);
  g_mutex_unlock (&call->lock);
}

/* Without a wait of the pool, and without anybody who iterates the context; µs, < 0: it did not come */
static gint64
await_callback (Call *call, double timeout)
{
  gint64 start = g_get_monotonic_time ();
  gboolean called = TRUE;

  g_mutex_lock (&call->lock);
  while (!call->called && called)
    called = g_cond_wait_until (&call->cond, &call->lock, start + timeout * G_USEC_PER_SEC);
  called = call->called;
  call->called = FALSE;
  g_mutex_unlock (&call->lock);
  return called ? g_get_monotonic_time () - start : -1;
}

/* A call that is refused: nothing happens that would wake the pool's thread. */
#define STORM_SIZE 200000

/* Whatever call of the system's a signal interrupts: nothing is torn, and nothing is left over. */
static void
test_storm (Fixture *fixture, gconstpointer data)
{
  /* a program with threads cannot fork workers from itself */
  gboolean early = g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") != 0;
  g_autofree guint8 *argument = g_malloc (STORM_SIZE);

  install_handler (0);
  for (guint i = 0; i < STORM_SIZE; i++)
    argument[i] = i * 7 % 251;
  for (guint round = 0; round < 8; round++)
    {
      Pest pest;
      GThread *thread = early ? start_pest (&pest, 0) : NULL;
      PoolManager *pool = conform_started_with ("threads", round % 2 == 0, NULL);

      if (!early)
        thread = start_pest (&pest, 0);
      for (guint i = 0; i < 20; i++)
        {
          gsize size = i % 2 == 0 ? STORM_SIZE : i;
          g_autoptr (GError) error = NULL;
          g_autoptr (GBytes) result =
              pool_manager_apply_bytes (pool, "conform.bytes-copy", argument, size, NULL, NULL, &error);

          g_assert_no_error (error);
          g_assert_cmpmem (g_bytes_get_data (result, NULL), g_bytes_get_size (result), argument, size);
        }
      conform_end (pool);
      end_pest (&pest, thread);
    }
}

static void
test_refused_callback (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  Call call = { 0 };

  /* the thread has nothing to look for any more */
  g_usleep (300000);
  for (guint i = 0; i < 3; i++)
    {
      pool_manager_apply_async (pool, "conform.nonesuch", NULL, NULL, NULL, call_back, &call);
      g_assert_cmpint (await_callback (&call, 5), >=, 0);
      g_usleep (120000);
    }
  conform_end (pool);
}

static void
test_no_grace (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("callback-grace", 0.0, NULL);
  gint64 least = G_MAXINT64;
  double grace;
  Call call = { 0 };

  g_object_get (pool, "callback-grace", &grace, NULL);
  g_assert_cmpfloat (grace, ==, 0);
  for (guint i = 0; i < 20; i++)
    {
      gint64 time;

      pool_manager_apply_async (pool, i % 2 == 0 ? "conform.echo" : "conform.nonesuch", g_variant_new ("(i)", 1), NULL,
                                NULL, call_back, &call);
      time = await_callback (&call, 20);
      g_assert_cmpint (time, >=, 0);
      least = MIN (least, time);
    }
  g_assert_cmpint (least, <, 20000);
  conform_end (pool);
}

static void
test_long_grace (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("callback-grace", 3600.0, NULL);
  Call call = { 0 };

  pool_manager_apply_async (pool, "conform.echo", NULL, NULL, NULL, call_back, &call);
  g_assert_cmpint (await_callback (&call, 0.3), <, 0);
  while (!call.called)
    g_main_context_iteration (NULL, TRUE);
  conform_end (pool);
}

static GThread *caller;

static void
note_caller (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_atomic_pointer_set (&caller, g_thread_self ());
  g_main_loop_quit (user_data);
}

/* The pool's thread may be about to find out that nothing is left to hand out. */
static void
own_main_context (void)
{
  gint64 end = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;

  while (!g_main_context_acquire (NULL))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_usleep (100);
    }
}

/* A main loop owns the context: callbacks come there. */
static void
test_main_loop (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("callback-grace", 0.0, NULL);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  for (guint i = 0; i < 20; i++)
    {
      /* from before the call on: else the pool's thread may be first */
      own_main_context ();
      caller = NULL;
      pool_manager_apply_async (pool, "conform.echo", NULL, NULL, NULL, note_caller, loop);
      g_main_loop_run (loop);
      g_assert_true (g_atomic_pointer_get (&caller) == g_thread_self ());
      g_main_context_release (NULL);
    }
  conform_end (pool);
}

void
conform_add_waits (void)
{
  conform_add ("waits/interrupted", test_interrupted);
  conform_add ("waits/interrupted-restarting", test_restarting);
  conform_add ("waits/interrupted-without-thread", test_without_thread);
  conform_add ("waits/waiter-interrupted", test_waiter_interrupted);
  conform_add ("waits/not-interruptible", test_not_interruptible);
  conform_add ("waits/others-interrupted", test_others_interrupted);
  conform_add ("waits/join-interrupted", test_join_interrupted);
  conform_add ("waits/signal-storm", test_storm);
  conform_add ("callbacks/refused", test_refused_callback);
  conform_add ("callbacks/no-grace", test_no_grace);
  conform_add ("callbacks/long-grace", test_long_grace);
  conform_add ("callbacks/main-loop", test_main_loop);
}
