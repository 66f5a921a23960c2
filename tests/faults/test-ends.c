/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../count-things.h"
#include "faults-common.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* How pools end, whatever they are at; and what does not end them. POOL_TEST_START_METHOD as in test-faults. */

#define GRACE 0.2

/* --- ends in random states --- */

static char *pid_file; /* of what a deaf task leaves behind; replaced by each */

static void
keep_busy (PoolManager *pool)
{
  static const char *const tasks[] = { "conform.nap", "conform.patient", "conform.deaf" };
  guint n = g_test_rand_int_range (0, 20);

  for (guint i = 0; i < n; i++)
    {
      const char *task = tasks[g_test_rand_int_range (0, g_test_rand_int_range (0, 8) == 0 ? 3 : 2)];
      GVariant *args = g_str_equal (task, "conform.deaf")
                           ? g_variant_new ("(s)", pid_file)
                           : g_variant_new ("(d)", g_test_rand_double_range (0, 0.02));

      g_object_unref (pool_manager_apply_async (pool, task, args, NULL, NULL, NULL, NULL));
    }
  if (g_test_rand_int_range (0, 3) == 0)
    kill (faults_nth_worker (pool, g_test_rand_int ()), g_test_rand_bit () ? SIGKILL : SIGSTOP);
  if (g_test_rand_int_range (0, 3) == 0)
    g_usleep (g_test_rand_int_range (0, 20000));
}

static void
end_somehow (PoolManager *pool)
{
  switch (g_test_rand_int_range (0, 3))
    {
    case 0:
      g_assert_true (pool_manager_terminate (pool, NULL));
      g_assert_true (pool_manager_join (pool, 60, NULL));
      break;
    case 1:
      /* what never ends by itself is ended after a while */
      g_assert_true (pool_manager_close (pool, NULL));
      if (!pool_manager_join (pool, GRACE, NULL))
        {
          g_assert_true (pool_manager_terminate (pool, NULL));
          g_assert_true (pool_manager_join (pool, 60, NULL));
        }
      break;
    default:
      break;
    }
  g_object_unref (pool);
}

/* Also what a task that was killed had begun to write. */
static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      unlink (file);
    }
  g_assert_cmpint (rmdir (path), ==, 0);
}

/* However a pool is ended, and whatever its workers are at: it is over within a second more than the time it was given. */
static void
test_ends (void)
{
  const guint n = g_test_slow () ? 1000 : 150;
  guint n_fds, n_children;
  g_autofree char *dir = g_dir_make_tmp ("pool-ends-XXXXXX", NULL);
  gint64 longest = 0;
  PoolManager *pool;

  pid_file = g_build_filename (dir, "pid", NULL);

  /* what the first pool of a program opens stays open */
  pool = faults_new_pool (1);
  faults_start (pool);
  faults_end (pool);
  n_fds = count_fds ();
  n_children = count_children ();
  for (guint i = 0; i < n; i++)
    {
      gint64 start;

      pool = faults_new_pool (g_test_rand_int_range (1, 4));
      g_object_set (pool, "grace", GRACE, "daemon", TRUE, NULL);
      faults_start (pool);
      keep_busy (pool);
      start = g_get_monotonic_time ();
      end_somehow (pool);
      longest = MAX (longest, g_get_monotonic_time () - start);
    }
  remove_all (dir);
  g_clear_pointer (&pid_file, g_free);
  g_test_message ("the longest of %u ends took %.0f ms", n, longest / 1e3);
  /* a machine under load gets more */
  g_assert_cmpint (longest, <, (GRACE + 10) * G_USEC_PER_SEC);
  g_assert_cmpuint (count_fds (), ==, n_fds);
  g_assert_cmpuint (count_children (), ==, n_children);
}

/* --- what does not end a pool --- */

static gpointer
start_in_thread (gpointer data)
{
  faults_start (data);
  return NULL;
}

/* The thread that started the pool ends; its workers stay. */
static void
test_starting_thread (void)
{
  PoolManager *pool = faults_new_pool (2);
  int pid;

  g_object_set (pool, "start-method",
                g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "spawn") == 0 ? POOL_START_METHOD_SPAWN
                                                                              : POOL_START_METHOD_FORKSERVER,
                NULL);
  g_thread_join (g_thread_new ("starter", start_in_thread, pool));
  faults_wait_for_workers (pool, 2);
  pid = faults_nth_worker (pool, 0);
  g_usleep (500000);
  g_assert_cmpint (faults_process_state (pid), !=, 0);
  faults_assert_square (pool, 7);
  g_assert_cmpint (faults_nth_worker (pool, 0), ==, pid);
  faults_end (pool);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ends/any", test_ends);
  g_test_add_func ("/ends/starting-thread", test_starting_thread);
  return g_test_run ();
}
