/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A task module: functions that every program and every worker can run by their names once the
 * module lies in a directory of POOL_TASK_PATH. Built out of tree, with pkg-config only: see
 * Makefile or meson.build.
 */

#include <libpool.h>
#include <string.h>

static gboolean
is_prime (guint64 n)
{
  if (n < 4)
    return n >= 2;
  if (n % 2 == 0)
    return FALSE;
  for (guint64 d = 3; d <= n / d; d += 2)
    if (n % d == 0)
      return FALSE;
  return TRUE;
}

/* primes.count (tt) → t: how many primes lie in [from, to). Arguments come from anybody: check
 * their type. */
static GVariant *
count (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  guint64 from, to, n = 0;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE ("(tt)")))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "primes.count takes two numbers (tt), not %s", g_variant_get_type_string (args));
      return NULL;
    }

  g_variant_get (args, "(tt)", &from, &to);
  for (guint64 i = from; i < to; i++)
    {
      if (g_cancellable_set_error_if_cancelled (pool_task_get_cancellable (task), error))
        return NULL;
      if (is_prime (i))
        n++;
    }
  return g_variant_new_uint64 (n);
}

/* primes.filter: 32-bit numbers in, those of them that are prime out; bytes, so that no GVariant is
 * made. */
static gboolean
filter (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  for (gsize i = 0; i + sizeof (guint32) <= size; i += sizeof (guint32))
    {
      guint32 n;

      memcpy (&n, data + i, sizeof n);
      if (is_prime (n))
        pool_task_reply (task, data + i, sizeof n);
    }
  return TRUE;
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "count", "the number of primes in a range", count);
  pool_task_module_add_bytes (module, "filter", "those of some 32-bit numbers that are prime",
                              filter);
}
