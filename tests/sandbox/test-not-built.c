/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>
#include <string.h>

/* A build without libseccomp: it says so, and does not run anything unprotected. */

static void
test_refuses (void)
{
  static const PoolSandbox modes[] = { POOL_SANDBOX_BASIC, POOL_SANDBOX_STRICT };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (PoolManager) pool = g_object_new (POOL_TYPE_MANAGER, "sandbox", modes[i], NULL);
      g_autoptr (GError) error = NULL;

      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
      g_assert_nonnull (strstr (error->message, "built without libseccomp"));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sandbox/not-built", test_refuses);
  return g_test_run ();
}
