/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A work queue: one function is the pool's target, items are put in and results taken out. The
 * static arguments go to each worker once and follow the arguments of every item. With "ordered"
 * the results come in the order in which the items were put, whoever was faster.
 */

#include <libpool.h>

/* Arguments: the item, then the static argument. */
static GVariant *
greet (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *name, *greeting;

  g_variant_get (args, "(&s&s)", &name, &greeting);
  if (g_str_has_prefix (name, "A"))
    g_usleep (50 * 1000); /* these take longer, and come first all the same */
  return g_variant_new_take_string (g_strdup_printf ("%s, %s!", greeting, name));
}

static gboolean
run (PoolManager *pool, GError **error)
{
  const char *names[] = { "Ada", "Barbara", "Annie", "Grace", "Radia" };

  if (!pool_manager_register (pool, "greet", greet, NULL, NULL, error) ||
      !pool_manager_start (pool, error))
    return FALSE;

  /* waits while the queue is full */
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (!pool_manager_put (pool, g_variant_new ("(s)", names[i]), -1, error))
      return FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GVariant) result = pool_manager_get (pool, -1, error);

      if (result == NULL)
        return FALSE;
      g_print ("%s\n", g_variant_get_string (result, NULL));
    }

  return pool_manager_close (pool, error) && pool_manager_join (pool, -1, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = NULL;
  g_autoptr (GError) error = NULL;

  pool = g_object_new (POOL_TYPE_MANAGER,
                       "backend", argc > 1 ? argv[1] : "fork",
                       "processes", 2,
                       "target", "greet",
                       "static-args", g_variant_new ("(s)", "Hello"),
                       "queue-size", 4,
                       "ordered", TRUE,
                       NULL);

  if (run (pool, &error))
    return 0;

  g_printerr ("%s\n", error->message);
  return 1;
}
