/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>
#include <omp.h>

/* The threads of all workers together are no more than the CPUs, whoever loaded the library that makes them, unless the user says so. */

static int
ask (PoolStartMethod method, int processes)
{
  g_autoptr (PoolManager) pool = g_object_new (POOL_TYPE_MANAGER, "processes", processes, "start-method", method, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  value = pool_manager_apply (pool, "omp.threads", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_close (pool, NULL);
  pool_manager_join (pool, 20, NULL);
  return g_variant_get_int32 (value);
}

static void
test_shared (void)
{
  static const PoolStartMethod methods[] = { POOL_START_METHOD_FORK, POOL_START_METHOD_FORKSERVER,
                                             POOL_START_METHOD_SPAWN };
  int n_cpus = pool_cpu_count ();

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    for (int processes = 1; processes <= 2 * n_cpus; processes *= 2)
      g_assert_cmpint (ask (methods[i], processes), <=, MAX (n_cpus / processes, 1));
}

static void
test_chosen (void)
{
  g_setenv ("OMP_NUM_THREADS", "3", TRUE);
  omp_set_num_threads (3);
  g_assert_cmpint (ask (POOL_START_METHOD_FORK, 2), ==, 3);
  g_assert_cmpint (ask (POOL_START_METHOD_FORKSERVER, 2), ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu-budget/shared", test_shared);
  g_test_add_func ("/cpu-budget/chosen", test_chosen);
  return g_test_run ();
}
