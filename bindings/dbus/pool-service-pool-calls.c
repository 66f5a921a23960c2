/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-pool-private.h"

#include "pool-service-job.h"
#include "pool-service-value.h"
#include "pool-service.h"

#include "libpool/pool-worker-info-private.h"

/* What clients call a pool for. */

typedef struct
{
  PoolServicePool *pool;
  PoolServiceCall *call;
  PoolServiceWork *work;
} Call;

/* --- work --- */

static void
on_call_done (PoolServiceWork *work, GVariant *value, const GError *error, gpointer user_data)
{
  Call *call = user_data;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) failure = NULL;
  GVariant *variant;

  if (error != NULL)
    pool_service_call_fail (call->call, error);
  else if (!pool_service_value_give (value, work->is_inline, &variant, &fds, &failure))
    pool_service_call_fail (call->call, failure);
  else
    pool_service_call_reply (call->call, g_variant_new ("(@v)", variant), fds);
  g_hash_table_remove (call->pool->calls, call);
  pool_service_call_unref (call->call);
  pool_service_work_unref (call->work);
  pool_service_object_unref (call->pool);
  g_free (call);
}

static void
submit (PoolServiceObject *object, PoolServiceCall *call, PoolServiceKind kind, gboolean is_async)
{
  PoolServicePool *self = (PoolServicePool *) object;
  g_autoptr (PoolServiceWork) work = NULL;
  g_autoptr (GVariant) variant = NULL;
  GVariant *options;
  const char *task;
  GError *error = NULL;
  Call *waiting;

  g_variant_get (call->args, "(&s@v@a{sv})", &task, &variant, &options);
  work = pool_service_work_new (object->service, kind, task, variant, options, call->fds, &error);
  g_variant_unref (options);
  if (work != NULL && work->is_durable && !is_async)
    g_set_error_literal (&error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "Only jobs are durable: call ApplyAsync or MapAsync");
  if (error != NULL || !pool_service_work_charge (work, call->client->account, &error))
    {
      pool_service_call_take_error (call, error);
      return;
    }
  if (is_async)
    {
      pool_service_job_submit (self, g_steal_pointer (&work), call);
      return;
    }
  waiting = g_new0 (Call, 1);
  waiting->pool = pool_service_object_ref (self);
  waiting->call = pool_service_call_ref (call);
  waiting->work = g_steal_pointer (&work);
  g_hash_table_add (self->calls, waiting);
  pool_service_pool_start_work (self, waiting->work, on_call_done, waiting);
}

void
pool_service_pool_cancel_calls (PoolServicePool *self, PoolServiceClient *client)
{
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->calls);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (((Call *) key)->call->client == client)
      pool_service_work_cancel (((Call *) key)->work);
}

static void
apply (PoolServiceObject *object, PoolServiceCall *call)
{
  submit (object, call, POOL_SERVICE_APPLY, FALSE);
}

static void
apply_async (PoolServiceObject *object, PoolServiceCall *call)
{
  submit (object, call, POOL_SERVICE_APPLY, TRUE);
}

static void
map (PoolServiceObject *object, PoolServiceCall *call)
{
  submit (object, call, POOL_SERVICE_MAP, FALSE);
}

static void
map_async (PoolServiceObject *object, PoolServiceCall *call)
{
  submit (object, call, POOL_SERVICE_MAP, TRUE);
}

static gboolean
check_queue (PoolServicePool *self, PoolServiceCall *call)
{
  GError *error = NULL;

  if (pool_service_pool_start (self, &error) && self->queue == NULL)
    g_set_error_literal (&error, POOL_ERROR, POOL_ERROR_STATE,
                         "Put and Get need the option “target” of CreatePool: the task that they are for");
  if (error == NULL)
    return TRUE;
  pool_service_call_take_error (call, error);
  return FALSE;
}

static void
put (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;

  if (check_queue (self, call))
    pool_service_queue_put (self->queue, call);
}

static void
get (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;

  if (check_queue (self, call))
    pool_service_queue_get (self->queue, call);
}

/* --- control --- */

static void
reply_ok (PoolServiceCall *call, gboolean ok, GError *error)
{
  if (ok)
    pool_service_call_reply (call, NULL, NULL);
  else
    pool_service_call_take_error (call, error);
}

static void
close_pool (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;
  GError *error = NULL;
  gboolean ok = pool_service_pool_keep_closed (self, &error) && (!self->is_started || pool_manager_close (self->manager, &error));

  reply_ok (call, ok, error);
  self->is_ending = self->is_ending || ok;
  pool_service_pool_queue_notify (self);
}

static void
terminate_pool (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServiceStore *store = pool_service_get_store (object->service);

  pool_service_pool_terminate ((PoolServicePool *) object);
  /* once that was answered it is not there again, whatever becomes of the service */
  if (store != NULL)
    pool_service_store_flush (store, NULL);
  pool_service_call_reply (call, NULL, NULL);
}

static void
grow (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;
  GError *error = NULL;
  gboolean ok = FALSE;
  guint n, wanted;

  g_variant_get (call->args, "(u)", &n);
  if (pool_service_pool_start (self, &error))
    {
      guint64 more;

      g_object_get (self->manager, "n-wanted", &wanted, NULL);
      more = (guint64) wanted + n > self->n_charged ? (guint64) wanted + n - self->n_charged : 0;
      ok = pool_service_account_charge (self->account, POOL_SERVICE_WORKERS, more, &error);
      if (ok && (ok = pool_manager_grow (self->manager, n, &error)))
        self->n_charged += more;
      else if (error != NULL && error->domain == POOL_ERROR)
        pool_service_account_give_back (self->account, POOL_SERVICE_WORKERS, more);
    }
  reply_ok (call, ok, error);
  pool_service_pool_queue_notify (self);
}

static void
shrink (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;
  GError *error = NULL;
  gboolean ok;
  guint n;

  g_variant_get (call->args, "(u)", &n);
  ok = pool_service_pool_start (self, &error) && pool_manager_shrink (self->manager, n, &error);
  if (ok)
    {
      guint64 left = MAX (self->n_charged - MIN (n, self->n_charged), 1);

      pool_service_account_give_back (self->account, POOL_SERVICE_WORKERS, self->n_charged - left);
      self->n_charged = left;
    }
  reply_ok (call, ok, error);
  pool_service_pool_queue_notify (self);
}

static void
get_workers (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (self->manager);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < workers->len; i++)
    g_variant_builder_add_value (&builder, pool_worker_info_describe (workers->pdata[i], TRUE));
  pool_service_call_reply (call, g_variant_new ("(aa{sv})", &builder), NULL);
}

static void
restart (PoolServiceObject *object, PoolServiceCall *call)
{
  PoolServicePool *self = (PoolServicePool *) object;
  GError *error = NULL;
  gboolean ok = self->is_started ? pool_manager_restart (self->manager, &error) : pool_service_pool_start (self, &error);

  reply_ok (call, ok, error);
  pool_service_pool_queue_notify (self);
}

const PoolServiceMethod pool_service_pool_methods[] = {
  { "Apply", apply },
  { "ApplyAsync", apply_async },
  { "Map", map },
  { "MapAsync", map_async },
  { "Put", put },
  { "Get", get },
  { "Close", close_pool },
  { "Terminate", terminate_pool },
  { "Grow", grow },
  { "Shrink", shrink },
  { "GetWorkers", get_workers },
  { "Restart", restart },
  { NULL },
};
