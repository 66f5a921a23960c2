/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../count-things.h"
#include "faults-common.h"

#include <libpool.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Deaths at any moment, by real signals. */

/* --- output --- */

#define N_WRITERS 100
#define N_WRITTEN (1024 * 1024)

static void
assert_written (GBytes *bytes, guint task, guint stream)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  g_assert_cmpuint (size, ==, N_WRITTEN);
  for (gsize i = 0; i < size; i++)
    if (data[i] != 'a' + (char) ((i + i / 1000 * 7 + task * 13 + stream * 5) % 26))
      g_error ("task %u, stream %u: byte %" G_GSIZE_FORMAT " is wrong", task, stream, i);
  g_bytes_unref (bytes);
}

/* A task's output is its own, whole to the last byte, however it ends and whoever writes beside it. */
static void
test_output (void)
{
  static const char *const ends[] = { "return", "segv", "fail", "kill", "exit" };
  PoolManager *pool = faults_new_pool (4);
  PoolApplyResult *results[N_WRITERS];

  g_object_set (pool, "capture-output", TRUE, "max-retries", 2, NULL);
  faults_start (pool);
  for (guint i = 0; i < N_WRITERS; i++)
    results[i] = pool_manager_apply_async (
        pool, "conform.write", g_variant_new ("(ssu)", "pattern", ends[i % G_N_ELEMENTS (ends)], i),
        NULL, NULL, NULL, NULL);
  for (guint i = 0; i < N_WRITERS; i++)
    {
      PoolAsyncResult *result = POOL_ASYNC_RESULT (results[i]);

      g_assert_true (pool_async_result_wait (result, 120, NULL, NULL));
      g_assert_cmpint (pool_async_result_successful (result, NULL), ==, i % G_N_ELEMENTS (ends) == 0);
      g_assert_cmpuint (pool_async_result_get_lost_output (result), ==, 0);
      assert_written (pool_async_result_get_output (result), i, 0);
      assert_written (pool_async_result_get_error_output (result), i, 1);
      g_object_unref (result);
    }
  faults_end (pool);
}

/* --- killed at random --- */

#define N_KILLED 100000
#define KILL_WINDOW 500

typedef struct
{
  PoolManager *pool;
  _Atomic gboolean quit;
  guint n_kills;
} Killer;

static gpointer
kill_at_random (gpointer data)
{
  Killer *killer = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (4711);

  while (!killer->quit)
    {
      g_autoptr (GPtrArray) workers = pool_manager_get_workers (killer->pool);

      if (workers->len > 0)
        {
          PoolWorkerInfo *info = workers->pdata[g_rand_int_range (rand, 0, workers->len)];

          killer->n_kills += kill (pool_worker_info_get_pid (info), SIGKILL) == 0;
        }
      g_usleep (g_rand_int_range (rand, 100, 4000));
    }
  return NULL;
}

static gboolean
twice (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  gint64 x;

  memcpy (&x, data, sizeof x);
  x *= 2;
  pool_task_reply (task, (const guint8 *) &x, sizeof x);
  return TRUE;
}

static void
check_result (PoolApplyResult *result, gint64 x)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (result), 60, &error);

  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, x * x);
  g_object_unref (result);
}

static void
run_killed_calls (PoolManager *pool)
{
  PoolApplyResult *window[KILL_WINDOW] = { NULL };

  for (gint64 i = 0; i < N_KILLED + KILL_WINDOW; i++)
    {
      PoolApplyResult **place = &window[i % KILL_WINDOW];

      if (i >= KILL_WINDOW)
        check_result (g_steal_pointer (place), i - KILL_WINDOW);
      if (i < N_KILLED)
        *place = pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", i), NULL, NULL,
                                           NULL, NULL);
    }
}

static void
run_killed_map (PoolManager *pool)
{
  g_autofree gint64 *numbers = g_new (gint64, N_KILLED);
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GError) error = NULL;

  for (gint64 i = 0; i < N_KILLED; i++)
    numbers[i] = i;
  values = pool_manager_map (
      pool, "conform.square",
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, N_KILLED, sizeof *numbers), 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (values), ==, N_KILLED);
  for (gint64 i = 0; i < N_KILLED; i += 7)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (values, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
    }
}

static void
test_killed (void)
{
  PoolManager *pool = faults_new_pool (4);
  guint n_fds = count_fds ();
  Killer killer = { pool, FALSE, 0 };
  GThread *thread;
  guint64 n_done, n_pending, n_restarts;

  faults_start (pool);
  thread = g_thread_new ("killer", kill_at_random, &killer);
  run_killed_calls (pool);
  run_killed_map (pool);
  killer.quit = TRUE;
  g_thread_join (thread);
  g_object_get (pool, "n-done", &n_done, "n-pending", &n_pending, "n-restarts", &n_restarts, NULL);
  g_test_message ("%u kills, %" G_GUINT64_FORMAT " restarts", killer.n_kills, n_restarts);
  g_assert_cmpuint (killer.n_kills, >, 50);
  g_assert_cmpuint (n_done, ==, 2 * N_KILLED);
  g_assert_cmpuint (n_pending, ==, 0);
  faults_end (pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

/* Every hundredth task takes its worker down, once: each has one result, and the right one. In slow mode a million of them. */
static void
test_deadly (void)
{
  const gint64 n = g_test_slow () ? 1000000 : 10000;
  PoolManager *pool = faults_new_pool (4);
  PoolApplyResult *window[KILL_WINDOW] = { NULL };
  guint64 n_done, n_failed, n_retried;

  faults_start (pool);
  for (gint64 i = 0; i < n + KILL_WINDOW; i++)
    {
      PoolApplyResult **place = &window[i % KILL_WINDOW];

      if (i >= KILL_WINDOW)
        check_result (g_steal_pointer (place), i - KILL_WINDOW);
      if (i < n)
        *place =
            pool_manager_apply_async (pool, "conform.deadly", g_variant_new ("(x)", i), NULL, NULL, NULL, NULL);
    }
  g_object_get (pool, "n-done", &n_done, "n-failed", &n_failed, "n-retried", &n_retried, NULL);
  g_test_message ("%" G_GINT64_FORMAT " tasks, %" G_GUINT64_FORMAT " of them run again", n, n_retried);
  g_assert_cmpuint (n_done, ==, n);
  g_assert_cmpuint (n_failed, ==, 0);
  g_assert_cmpuint (n_retried, ==, n / 100);
  faults_end (pool);
}

/* --- all at once, and the zygote --- */

static void
test_all_killed (void)
{
  PoolManager *pool = faults_new_pool (3);

  faults_start (pool);
  for (guint i = 0; i < 20; i++)
    {
      for (guint n = 0; n < 3; n++)
        kill (faults_nth_worker (pool, n), SIGKILL);
      check_result (pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", (gint64) i),
                                              NULL, NULL, NULL, NULL),
                    i);
    }
  faults_end (pool);
}

/* The process that workers come from dies: another is made where that can be done, or all is told. */
static void
test_zygote_killed (void)
{
  PoolManager *pool = faults_new_pool (2);
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  g_autoptr (PoolApplyResult) result = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  faults_start (pool);
  result = pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 0.3), NULL, NULL, NULL,
                                     NULL);
  kill (faults_parent_of (faults_nth_worker (pool, 0)), SIGKILL);
  value = pool_async_result_get (POOL_ASYNC_RESULT (result), 10, &error);
  if (g_strcmp0 (method, "fork") == 0)
    g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  else
    g_assert_no_error (error);
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 10, NULL));
  g_object_unref (pool);
}

/* --- stopped, not dead --- */

static void
test_stopped (void)
{
  PoolManager *pool = faults_new_pool (2);
  int pid;

  faults_start (pool);
  check_result (pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", (gint64) 1), NULL,
                                          NULL, NULL, NULL),
                1);
  pid = faults_nth_worker (pool, 0);
  for (guint round = 0; round < 20; round++)
    {
      kill (pid, SIGSTOP);
      for (gint64 i = 0; i < 50; i++)
        check_result (pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", i), NULL, NULL,
                                                NULL, NULL),
                      i);
      kill (pid, SIGCONT);
    }
  faults_end (pool);
}

/* --- the manager dies --- */

static int
run_victim (gboolean busy, int *pids, guint n)
{
  int channel[2];
  int victim;

  g_assert_cmpint (pipe (channel), ==, 0);
  victim = fork ();
  if (victim == 0)
    {
      PoolManager *pool = faults_new_pool (n);
      guint up = 0;

      if (!pool_manager_start (pool, NULL))
        _exit (1);
      while (up < n)
        {
          g_object_get (pool, "n-workers", &up, NULL);
          g_usleep (1000);
        }
      for (guint i = 0; i < n; i++)
        {
          int pid = faults_nth_worker (pool, i);

          if (busy)
            g_object_unref (pool_manager_apply_async (pool, "conform.nap", g_variant_new ("(d)", 60.0), NULL,
                                                      NULL, NULL, NULL));
          if (write (channel[1], &pid, sizeof pid) < 0)
            _exit (1);
        }
      pause ();
      _exit (0);
    }
  close (channel[1]);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint (read (channel[0], &pids[i], sizeof *pids), ==, sizeof *pids);
  close (channel[0]);
  return victim;
}

static void
test_manager_killed (void)
{
  for (guint round = 0; round < 6; round++)
    {
      int pids[4];
      int victim = run_victim (round % 2, pids, G_N_ELEMENTS (pids));
      int zygote = faults_parent_of (pids[0]);

      g_usleep (round * 3000);
      kill (victim, SIGKILL);
      waitpid (victim, NULL, 0);
      for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
        g_assert_true (faults_gone_within (pids[i], 5));
      g_assert_true (faults_gone_within (zygote, 5));
    }
}

/* --- what a task leaves behind --- */

static GVariant *
leave_child (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int pid = fork ();

  if (pid == 0)
    {
      if (fork () == 0)
        for (;;)
          sleep (1000);
      for (;;)
        sleep (1000);
    }
  return g_variant_new_int32 (pid);
}

static void
test_children (void)
{
  PoolManager *pool = faults_new_pool (1);
  g_autoptr (GVariant) child = NULL;
  g_autoptr (GError) error = NULL;

  if (g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") != 0)
    {
      g_object_unref (pool);
      return;
    }
  pool_manager_register (pool, "leave-child", leave_child, NULL, NULL, NULL);
  faults_start (pool);
  child = pool_manager_apply (pool, "leave-child", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (faults_process_state (g_variant_get_int32 (child)), !=, 0);
  kill (faults_nth_worker (pool, 0), SIGKILL);
  g_assert_true (faults_gone_within (g_variant_get_int32 (child), 5));
  faults_end (pool);
}

/* --- a long task among short ones --- */

static GVariant *
nap_until (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  g_usleep (seconds * G_USEC_PER_SEC);
  return g_variant_new_int64 (g_get_monotonic_time ());
}

static void
test_balance (void)
{
  PoolManager *pool = faults_new_pool (2);
  double naps[101];
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GError) error = NULL;
  gint64 long_end = 0;

  if (g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") != 0)
    {
      g_object_unref (pool);
      return;
    }
  pool_manager_register (pool, "nap-until", nap_until, NULL, NULL, NULL);
  faults_start (pool);
  for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
    naps[i] = i == 0 ? 2.0 : 0.005;
  values = pool_manager_map (
      pool, "nap-until",
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, naps, G_N_ELEMENTS (naps), sizeof *naps), 0, NULL,
      &error);
  g_assert_no_error (error);
  /* every short one ended on the other worker while the long one ran; none was stuck behind it */
  for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (values, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      if (i == 0)
        long_end = g_variant_get_int64 (value);
      g_assert_cmpint (g_variant_get_int64 (value), <=, long_end);
    }
  faults_end (pool);
}

/* --- large --- */

#define LARGE ((gsize) 2 * 1024 * 1024 * 1024 + 12345)

static gboolean
make_large (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint8 *place = pool_task_reserve_reply (task, LARGE);

  memset (place, 7, LARGE);
  place[LARGE - 1] = 8;
  return TRUE;
}

static void
test_large (void)
{
  PoolManager *pool = faults_new_pool (1);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  const guint8 *data;

  if (g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") != 0)
    {
      g_object_unref (pool);
      return;
    }
  pool_manager_register_bytes (pool, "make-large", make_large, NULL, NULL, NULL);
  pool_manager_register_bytes (pool, "twice", twice, NULL, NULL, NULL);
  faults_start (pool);
  bytes = pool_manager_apply_bytes (pool, "make-large", NULL, 0, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, LARGE);
  data = g_bytes_get_data (bytes, NULL);
  g_assert_cmpuint (data[0], ==, 7);
  g_assert_cmpuint (data[LARGE / 2], ==, 7);
  g_assert_cmpuint (data[LARGE - 1], ==, 8);
  faults_end (pool);
}

/* --- a program whose threads are busy where a fork could catch them with a lock --- */

static _Atomic gboolean noise_ends;

static gpointer
make_noise (gpointer data)
{
  while (!noise_ends)
    {
      g_autoptr (GObject) object = g_object_new (G_TYPE_SIMPLE_ACTION, "name", "a", NULL);
      g_autofree char *text = g_strdup_printf ("%p", (void *) object);

      g_quark_from_string (text);
      g_log ("noise", G_LOG_LEVEL_DEBUG, "%s", text);
    }
  return NULL;
}

static void
swallow (const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void
test_busy_threads (void)
{
  GThread *threads[3];
  guint n_starts = 0, n_replaced = 0;

  g_log_set_handler ("noise", G_LOG_LEVEL_DEBUG, swallow, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("noise", make_noise, NULL);
  /* 10 × (20 + 80) workers are made while they are at it */
  for (guint round = 0; round < 10; round++)
    {
      PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "backend", "fork", "processes", 20,
                                        "max-restarts", 1000000, "max-retries", 1000, NULL);

      faults_start (pool);
      n_starts += 20;
      for (guint i = 0; i < 80; i++)
        {
          kill (faults_nth_worker (pool, i), SIGKILL);
          n_replaced++;
          check_result (pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", (gint64) i),
                                                  NULL, NULL, NULL, NULL),
                        i);
        }
      faults_end (pool);
    }
  noise_ends = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (n_starts + n_replaced, ==, 1000);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (g_getenv ("POOL_TEST_COPY") != NULL)
    {
      pool_init (&error);
      g_assert_no_error (error);
    }
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("POOL_TEST_BUSY") != NULL)
    {
      g_test_add_func ("/faults/busy-threads", test_busy_threads);
      return g_test_run ();
    }
  g_test_add_func ("/faults/all-killed", test_all_killed);
  g_test_add_func ("/faults/stopped", test_stopped);
  g_test_add_func ("/faults/manager-killed", test_manager_killed);
  g_test_add_func ("/faults/children", test_children);
  g_test_add_func ("/faults/balance", test_balance);
  g_test_add_func ("/faults/output", test_output);
  g_test_add_func ("/faults/large", test_large);
  g_test_add_func ("/faults/zygote-killed", test_zygote_killed);
  g_test_add_func ("/faults/deadly", test_deadly);
  g_test_add_func ("/faults/killed", test_killed);
  return g_test_run ();
}
