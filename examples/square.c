/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A function of the program, run in worker processes: one call, many calls, and what an error of a
 * call looks like. `square threads` runs the same in threads.
 */

#include <libpool.h>
#include <math.h>

static GVariant *
square (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

static GVariant *
square_root (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double x;

  g_variant_get (args, "(d)", &x);
  if (x < 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%g has no square root", x);
      return NULL;
    }
  return g_variant_new_double (sqrt (x));
}

static gboolean
one_call (PoolManager *pool, GError **error)
{
  g_autoptr (GVariant) result =
      pool_manager_apply (pool, "square", g_variant_new ("(x)", G_GINT64_CONSTANT (7)), NULL, NULL,
                          error);

  if (result == NULL)
    return FALSE;

  g_print ("square of 7: %" G_GINT64_FORMAT "\n", g_variant_get_int64 (result));
  return TRUE;
}

/* map() calls the function once for each item of an array; the results come in its order. */
static gboolean
many_calls (PoolManager *pool, GError **error)
{
  GVariantBuilder items = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("ax"));
  g_autoptr (GVariant) results = NULL;
  GVariantIter iter;
  GVariant *value;

  for (gint64 i = 1; i <= 5; i++)
    g_variant_builder_add (&items, "x", i);

  results = pool_manager_map (pool, "square", g_variant_builder_end (&items), 0, NULL, error);
  if (results == NULL)
    return FALSE;

  g_print ("squares of 1 to 5:");
  g_variant_iter_init (&iter, results);
  while (g_variant_iter_loop (&iter, "v", &value))
    g_print (" %" G_GINT64_FORMAT, g_variant_get_int64 (value));
  g_print ("\n");
  return TRUE;
}

/* A GError that is set in a worker arrives with its domain, code and message. */
static gboolean
failing_call (PoolManager *pool, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GVariant) result =
      pool_manager_apply (pool, "square-root", g_variant_new ("(d)", -4.0), NULL, NULL,
                          &local_error);

  if (result != NULL || !g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "The call did not fail as it should");
      return FALSE;
    }

  g_print ("square root of -4: %s\n", local_error->message);
  return TRUE;
}

static gboolean
run (PoolManager *pool, GError **error)
{
  return pool_manager_register (pool, "square", square, NULL, NULL, error) &&
         pool_manager_register (pool, "square-root", square_root, NULL, NULL, error) &&
         pool_manager_start (pool, error) && one_call (pool, error) && many_calls (pool, error) &&
         failing_call (pool, error) && pool_manager_close (pool, error) &&
         pool_manager_join (pool, -1, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new (argc > 1 ? argv[1] : "fork");
  g_autoptr (GError) error = NULL;

  if (run (pool, &error))
    return 0;

  g_printerr ("%s\n", error->message);
  return 1;
}
