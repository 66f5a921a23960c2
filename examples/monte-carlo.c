/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How large is pi? Points are thrown at a square, and those are counted that lie within a circle: on the CPUs of this machine,
 * or on the ranks of an MPI job. The tasks are functions of this program, which every rank has.
 *
 *   $ cc -o monte-carlo monte-carlo.c $(pkg-config --cflags --libs libpool-1) -lm && ./monte-carlo && mpirun -n 4 ./monte-carlo mpi
 */
#include <libpool.h>

#include <math.h>

#define BATCHES 64
#define POINTS 200000

static GVariant *
throw_points (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 seed, within = 0;
  g_autoptr (GRand) random = NULL;

  g_variant_get (args, "(x)", &seed);
  random = g_rand_new_with_seed ((guint32) seed);
  for (int i = 0; i < POINTS; i++)
    {
      double x = g_rand_double (random), y = g_rand_double (random);

      within += x * x + y * y < 1;
    }
  return g_variant_new_int64 (within);
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = NULL;
  g_autoptr (GVariant) counts = NULL;
  g_autoptr (GError) error = NULL;
  gint64 seeds[BATCHES], within = 0;
  double pi;

  /* of several ranks it returns in the first only: the others do its tasks */
  if (!pool_init (&error))
    g_error ("%s", error->message);
  pool = g_object_new (POOL_TYPE_MANAGER, "backend", argc > 1 ? argv[1] : "fork", NULL);
  if (!pool_manager_register (pool, "throw-points", throw_points, NULL, NULL, &error) ||
      !pool_manager_start (pool, &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }

  for (int i = 0; i < BATCHES; i++)
    seeds[i] = i;
  counts = pool_manager_map (pool, "throw-points",
                             g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, seeds, BATCHES, sizeof *seeds), 0, NULL,
                             &error);
  if (counts == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  for (gsize i = 0; i < g_variant_n_children (counts); i++)
    {
      g_autoptr (GVariant) count = NULL;

      g_variant_get_child (counts, i, "v", &count);
      within += g_variant_get_int64 (count);
    }
  pi = 4.0 * within / ((double) BATCHES * POINTS);
  g_print ("%d points: pi is about %.2f, and that is right: %s\n", BATCHES * POINTS, pi,
           fabs (pi - G_PI) < 0.01 ? "yes" : "no");
  return pool_manager_close (pool, &error) && pool_manager_join (pool, -1, &error) ? 0 : 1;
}
