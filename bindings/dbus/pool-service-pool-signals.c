/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-pool-private.h"

#include "libpool/pool-worker-info-private.h"

/* What the bus is told of a pool. */

static const char *const changing[] = { "State", "NWorkers", "NWanted", NULL };

static gboolean
notify (gpointer user_data)
{
  PoolServicePool *self = user_data;

  self->notify_idle = 0;
  /* it may end here */
  pool_service_object_ref (self);
  if (self->object.is_exported)
    pool_service_object_notify (self, changing);
  pool_service_pool_check_end (self);
  pool_service_object_unref (self);
  return G_SOURCE_REMOVE;
}

void
pool_service_pool_queue_notify (PoolServicePool *self)
{
  if (self->notify_idle == 0)
    self->notify_idle = g_idle_add (notify, self);
}

static void
on_worker (PoolServicePool *self, const char *signal, PoolWorkerInfo *worker)
{
  if (self->object.is_exported)
    pool_service_object_emit (self, signal,
                              g_variant_new ("(@a{sv})", pool_worker_info_describe (worker, g_str_equal (signal, "ProcessUp"))));
  pool_service_pool_queue_notify (self);
}

static void
on_process_up (PoolManager *manager, PoolWorkerInfo *worker, PoolServicePool *self)
{
  on_worker (self, "ProcessUp", worker);
}

static void
on_process_down (PoolManager *manager, PoolWorkerInfo *worker, PoolServicePool *self)
{
  on_worker (self, "ProcessDown", worker);
}

static void
on_process_exit (PoolManager *manager, PoolWorkerInfo *worker, PoolServicePool *self)
{
  on_worker (self, "ProcessExit", worker);
}

static const char *
get_job_path (PoolAsyncResult *result)
{
  PoolServiceWork *work = result != NULL ? pool_service_work_find (result) : NULL;

  return work != NULL && work->job_path != NULL ? work->job_path : "/";
}

static void
on_timeout (PoolManager *manager, PoolAsyncResult *result, gboolean is_soft, double limit, PoolServicePool *self)
{
  pool_service_object_emit (self, "Timeout", g_variant_new ("(obd)", get_job_path (result), is_soft, limit));
}

static void
on_task_retried (PoolManager *manager, PoolAsyncResult *result, PoolWorkerInfo *worker, PoolServicePool *self)
{
  GVariant *described = worker != NULL ? pool_worker_info_describe (worker, TRUE)
                                       : g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);

  pool_service_object_emit (self, "TaskRetried", g_variant_new ("(o@a{sv})", get_job_path (result), described));
}

static void
on_log (PoolManager *manager, guint level, GVariant *fields, PoolServicePool *self)
{
  pool_service_object_emit (self, "Log", g_variant_new ("(u@a{sv})", level, fields));
}

void
pool_service_pool_connect_signals (PoolServicePool *self)
{
  g_signal_connect (self->manager, "process-up", G_CALLBACK (on_process_up), self);
  g_signal_connect (self->manager, "process-down", G_CALLBACK (on_process_down), self);
  g_signal_connect (self->manager, "process-exit", G_CALLBACK (on_process_exit), self);
  g_signal_connect (self->manager, "timeout", G_CALLBACK (on_timeout), self);
  g_signal_connect (self->manager, "task-retried", G_CALLBACK (on_task_retried), self);
  g_signal_connect (self->manager, "log", G_CALLBACK (on_log), self);
}
