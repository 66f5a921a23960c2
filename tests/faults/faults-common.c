/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults-common.h"

#include <stdlib.h>
#include <string.h>

PoolManager *
faults_new_pool (int processes)
{
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "backend", "fork", "processes", processes,
                                    "max-restarts", 1000000, "max-retries", 1000, NULL);

  if (method != NULL)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);

      g_object_set (pool, "start-method", g_enum_get_value_by_nick (klass, method)->value, NULL);
    }
  return pool;
}

void
faults_start (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
}

void
faults_end (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_close (pool, NULL);
  pool_manager_join (pool, 30, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

int
faults_nth_worker (PoolManager *pool, guint n)
{
  for (;;)
    {
      g_autoptr (GPtrArray) workers = pool_manager_get_workers (pool);

      if (workers->len > 0)
        return pool_worker_info_get_pid (workers->pdata[n % workers->len]);
      g_usleep (500);
    }
}

void
faults_wait_for_workers (PoolManager *pool, guint n)
{
  guint up = 0;

  for (g_object_get (pool, "n-workers", &up, NULL); up < n; g_object_get (pool, "n-workers", &up, NULL))
    g_usleep (500);
}

int
faults_parent_of (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? atoi (strrchr (text, ')') + 4) : 0;
}

char
faults_process_state (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  char *p;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (p = strrchr (text, ')')) == NULL)
    return 0;
  return p[2] == 'Z' || p[2] == 'X' ? 0 : p[2];
}

gboolean
faults_gone_within (int pid, double seconds)
{
  for (guint i = 0; i < seconds * 100; i++)
    {
      if (faults_process_state (pid) == 0)
        return TRUE;
      g_usleep (10000);
    }
  return FALSE;
}

void
faults_assert_square (PoolManager *pool, gint64 x)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value =
      pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", x), NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, x * x);
}
