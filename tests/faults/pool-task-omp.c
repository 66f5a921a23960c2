/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gmodule.h>
#include <libpool.h>
#include <omp.h>

/* How many threads a parallel region has. */
static GVariant *
threads (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int n = 0;

#pragma omp parallel
#pragma omp single
  n = omp_get_num_threads ();
  return g_variant_new_int32 (n);
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "threads", "of a parallel region", threads);
}
