/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counts the primes below 100000, ten ranges at a time, with a function of the task module. */

#include <libpool.h>

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new (argc > 1 ? argv[1] : "fork");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) counts = NULL;
  GVariantBuilder ranges = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(tt)"));
  GVariantIter iter;
  GVariant *count;
  guint64 sum = 0;

  for (guint64 from = 0; from < 100000; from += 10000)
    g_variant_builder_add (&ranges, "(tt)", from, from + 10000);

  if (!pool_manager_start (pool, &error) ||
      !(counts = pool_manager_starmap (pool, "primes.count", g_variant_builder_end (&ranges), 1,
                                       NULL, &error)))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }

  g_variant_iter_init (&iter, counts);
  while (g_variant_iter_loop (&iter, "v", &count))
    sum += g_variant_get_uint64 (count);
  g_print ("%" G_GUINT64_FORMAT " primes below 100000\n", sum);
  return sum == 9592 ? 0 : 1;
}
