/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-pool-private.h"

#include "pool-service-error.h"
#include "pool-service-interface.h"
#include "pool-service-settings.h"
#include "pool-service.h"

#include "libpool/pool-enum-types.h"

/* How long workers may take to go that were told to. */
#define END_SECONDS 10

/* --- settings --- */

static gboolean
take_initializer (PoolServicePool *self, GError **error)
{
  g_autoptr (GVariant) task = g_variant_lookup_value (self->options, "initializer", G_VARIANT_TYPE_STRING);
  g_autoptr (GVariant) value = g_variant_lookup_value (self->options, "initargs", NULL);
  g_autoptr (GVariant) args = NULL;

  if (task == NULL)
    return TRUE;
  if (!pool_service_allows_task (self->object.service, g_variant_get_string (task, NULL), error))
    return FALSE;
  if (value != NULL && (args = pool_service_work_take_tuple (value, error)) == NULL)
    return FALSE;
  return pool_manager_set_initializer (self->manager, g_variant_get_string (task, NULL), args, error);
}

static gboolean
apply_options (PoolServicePool *self, GError **error)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, self->options);
  while (g_variant_iter_next (&iter, "{&sv}", &name, &value))
    {
      gboolean ok = pool_service_settings_take (self->manager, name, value, &self->is_persistent, error);

      g_variant_unref (value);
      if (!ok)
        return FALSE;
    }
  return take_initializer (self, error);
}

static gboolean
charge (PoolServicePool *self, PoolServiceAccount *account, GError **error)
{
  guint64 n = pool_service_settings_count_workers (self->manager);

  if (!pool_service_account_charge (account, POOL_SERVICE_POOLS, 1, error))
    return FALSE;
  if (!pool_service_account_charge (account, POOL_SERVICE_WORKERS, n, error))
    {
      pool_service_account_give_back (account, POOL_SERVICE_POOLS, 1);
      return FALSE;
    }
  self->account = pool_service_account_ref (account);
  self->n_charged = n;
  return TRUE;
}

static void
give_back (PoolServicePool *self)
{
  if (self->account == NULL)
    return;
  pool_service_account_give_back (self->account, POOL_SERVICE_POOLS, 1);
  pool_service_account_give_back (self->account, POOL_SERVICE_WORKERS, self->n_charged);
  g_clear_pointer (&self->account, pool_service_account_unref);
}

/* --- life --- */

static const PoolServiceObjectClass pool_class;

static PoolServicePool *
new_pool (PoolService *service, guint64 id, const char *backend, GVariant *options)
{
  PoolServicePool *self = g_new0 (PoolServicePool, 1);
  g_autofree char *path = g_strdup_printf (POOL_SERVICE_PATH "/pool/%" G_GUINT64_FORMAT, id);

  pool_service_object_init (&self->object, &pool_class, service, path);
  self->object.id = id;
  self->backend = g_strdup (backend);
  self->options = g_variant_ref (options);
  self->created_at = g_get_real_time ();
  self->calls = g_hash_table_new (NULL, NULL);
  self->manager = pool_manager_new (backend);
  /*
   * No thread beside the service's own, and workers that are executed and not forked: they have nothing of what the service knows
   * of others.
   */
  g_object_set (self->manager, "threads", FALSE, "start-method", POOL_START_METHOD_FORKSERVER, NULL);
  return self;
}

gboolean
pool_service_pool_start (PoolServicePool *self, GError **error)
{
  g_autofree char *target = NULL;
  gboolean is_ordered;
  int processes;
  guint size;

  if (self->is_started)
    return TRUE;
  if (!pool_manager_start (self->manager, error))
    return FALSE;
  self->is_started = TRUE;
  g_object_get (self->manager, "target", &target, "queue-size", &size, "ordered", &is_ordered, "processes", &processes, NULL);
  if (target != NULL && self->queue == NULL)
    self->queue = pool_service_queue_new (self, target, size > 0 ? size : 2 * (guint) processes, is_ordered);
  pool_service_pool_queue_notify (self);
  return TRUE;
}

static gboolean
is_backend_allowed (PoolService *service, const char *backend, GError **error)
{
  if (g_strv_contains ((const char *const *) pool_service_get_config (service)->backends, backend))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND, "There is no backend “%s” here: ListBackends lists them", backend);
  return FALSE;
}

static gboolean
check_target (PoolServicePool *self, GError **error)
{
  g_autofree char *target = NULL;

  g_object_get (self->manager, "target", &target, NULL);
  return target == NULL || pool_service_allows_task (self->object.service, target, error);
}

static gboolean
keep (PoolServicePool *self, GError **error)
{
  PoolServiceStore *store = pool_service_get_store (self->object.service);
  const PoolServiceStoredPool stored = { self->object.id, self->object.uid, self->backend, self->options, self->created_at };

  if (store != NULL)
    return self->is_kept = pool_service_store_add_pool (store, &stored, error);
  g_set_error_literal (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_STORE, "This service keeps nothing");
  return FALSE;
}

gboolean
pool_service_pool_keep_closed (PoolServicePool *self, GError **error)
{
  PoolServiceStore *store = pool_service_get_store (self->object.service);

  return !self->is_kept ||
         (pool_service_store_close_pool (store, self->object.id, error) && pool_service_store_flush (store, error));
}

/* Before its path is told: who has that finds the pool in the next service, however this one ends. */
static gboolean
keep_now (PoolServicePool *self, GError **error)
{
  return keep (self, error) && (self->is_kept = pool_service_store_flush (pool_service_get_store (self->object.service), error));
}

static void
forget (PoolServicePool *self)
{
  if (self->is_kept && pool_service_store_remove_pool (pool_service_get_store (self->object.service), self->object.id, NULL))
    self->is_kept = FALSE;
}

PoolServicePool *
pool_service_pool_new (PoolService *service, PoolServiceClient *client, const char *backend, GVariant *options,
                       GUnixFDList *fds, GError **error)
{
  g_autoptr (GVariant) resolved = NULL;
  PoolServicePool *self;

  if (!is_backend_allowed (service, backend, error) || (resolved = pool_service_settings_resolve (options, fds, error)) == NULL)
    return NULL;
  self = new_pool (service, pool_service_make_id (service), backend, resolved);
  self->object.uid = client->uid;
  if (apply_options (self, error) && check_target (self, error) &&
      charge (self, self->is_persistent ? pool_service_get_user (service, client->uid) : client->account, error))
    {
      if (!self->is_persistent)
        {
          self->object.owner = pool_service_client_ref (client);
          pool_service_hold (service);
        }
      pool_service_pool_connect_signals (self);
      if (pool_service_pool_start (self, error) && (!self->is_persistent || keep_now (self, error)))
        {
          pool_service_export (service, self);
          return self;
        }
      if (!self->is_persistent)
        pool_service_release (service);
    }
  pool_service_object_unref (self);
  return NULL;
}

gboolean
pool_service_pool_restore (const PoolServiceStoredPool *stored, gpointer user_data, GError **error)
{
  PoolService *service = user_data;
  PoolServicePool *self = new_pool (service, stored->id, stored->backend, stored->options);

  self->object.uid = stored->uid;
  self->created_at = stored->created_at;
  /* what was accepted once, and is not any more, is told to who uses it */
  if (!apply_options (self, NULL))
    g_debug ("The options of pool %" G_GUINT64_FORMAT " are not accepted any more", stored->id);
  self->is_persistent = self->is_kept = TRUE;
  self->is_closed = stored->is_closed;
  self->account = pool_service_account_ref (pool_service_get_user (service, stored->uid));
  self->n_charged = pool_service_settings_count_workers (self->manager);
  pool_service_account_force (self->account, POOL_SERVICE_POOLS, 1);
  pool_service_account_force (self->account, POOL_SERVICE_WORKERS, self->n_charged);
  pool_service_pool_connect_signals (self);
  pool_service_export (service, self);
  pool_service_object_unref (self);
  return TRUE;
}

void
pool_service_pool_resume (PoolServicePool *self)
{
  if (!self->is_closed)
    return;
  if (self->is_started && !pool_manager_close (self->manager, NULL))
    g_debug ("A pool could not be closed");
  self->is_ending = TRUE;
  pool_service_pool_queue_notify (self);
}

gboolean
pool_service_pool_make_persistent (PoolServicePool *self, GError **error)
{
  static const char *const names[] = { "Persistent", NULL };
  PoolServiceAccount *user = pool_service_get_user (self->object.service, self->object.uid);

  if (self->is_persistent)
    return TRUE;
  if (!keep (self, error))
    return FALSE;
  self->is_persistent = TRUE;
  /* it was charged to the user through the client, and still is */
  give_back (self);
  pool_service_account_force (user, POOL_SERVICE_POOLS, 1);
  pool_service_account_force (user, POOL_SERVICE_WORKERS, self->n_charged);
  self->account = pool_service_account_ref (user);
  g_clear_pointer (&self->object.owner, pool_service_client_unref);
  pool_service_release (self->object.service);
  pool_service_object_notify (self, names);
  return TRUE;
}

static void
finalize (PoolServiceObject *object)
{
  PoolServicePool *self = (PoolServicePool *) object;

  g_clear_handle_id (&self->notify_idle, g_source_remove);
  g_clear_handle_id (&self->end_timer, g_source_remove);
  g_clear_pointer (&self->queue, pool_service_queue_free);
  give_back (self);
  g_signal_handlers_disconnect_by_data (self->manager, self);
  g_object_unref (self->manager);
  g_hash_table_unref (self->calls);
  g_variant_unref (self->options);
  g_free (self->backend);
}

/* The workers are gone. */
static void
end (PoolServicePool *self)
{
  PoolService *service = self->object.service;

  if (!self->object.is_exported)
    return;
  g_clear_handle_id (&self->end_timer, g_source_remove);
  g_clear_pointer (&self->queue, pool_service_queue_free);
  give_back (self);
  forget (self);
  if (!self->is_persistent)
    pool_service_release (service);
  pool_service_unexport (service, self);
}

void
pool_service_pool_check_end (PoolServicePool *self)
{
  /* it does not wait: each worker that goes leads here */
  if (self->is_ending && (!self->is_started || pool_manager_join (self->manager, 0, NULL)))
    end (self);
}

static gboolean
end_anyway (gpointer user_data)
{
  PoolServicePool *self = user_data;

  self->end_timer = 0;
  end (self);
  return G_SOURCE_REMOVE;
}

void
pool_service_pool_terminate (PoolServicePool *self)
{
  if (!self->is_started)
    {
      self->is_ending = TRUE;
      end (self);
      return;
    }
  forget (self);
  if (!pool_manager_terminate (self->manager, NULL))
    g_debug ("A pool could not be terminated");
  self->is_ending = TRUE;
  if (self->end_timer == 0)
    self->end_timer = g_timeout_add_seconds (END_SECONDS, end_anyway, self);
  pool_service_pool_queue_notify (self);
}

void
pool_service_pool_client_gone (PoolServicePool *self, PoolServiceClient *client)
{
  if (self->object.owner == client)
    pool_service_pool_terminate (self);
  else
    pool_service_pool_cancel_calls (self, client);
}

void
pool_service_pool_abandon (PoolServicePool *self)
{
  self->is_abandoned = TRUE;
  if (self->is_started && !pool_manager_terminate (self->manager, NULL))
    g_debug ("A pool could not be terminated");
}

gboolean
pool_service_pool_is_abandoned (PoolServicePool *self)
{
  return self->is_abandoned;
}

/* --- work --- */

void
pool_service_pool_start_work (PoolServicePool *self, PoolServiceWork *work, PoolServiceWorkFunc func, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  /* one that cannot be started refuses the work, which says why */
  if (!pool_service_pool_start (self, &error))
    g_debug ("A pool cannot be started: %s", error->message);
  pool_service_work_start (work, self->manager, func, user_data);
}

/* --- properties --- */

static GVariant *
get_count (PoolServicePool *self, const char *property)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (self->manager), property);
  g_auto (GValue) value = G_VALUE_INIT;

  g_object_get_property (G_OBJECT (self->manager), property, &value);
  return pspec->value_type == G_TYPE_UINT ? g_variant_new_uint32 (g_value_get_uint (&value))
                                          : g_variant_new_uint64 (g_value_get_uint64 (&value));
}

static GVariant *
get_state (PoolServicePool *self)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_STATE);

  return g_variant_new_string (g_enum_get_value (klass, (int) pool_manager_get_state (self->manager))->value_nick);
}

static GVariant *
get_property (PoolServiceObject *object, const char *name)
{
  static const struct
  {
    const char *name, *property;
  } counts[] = {
    { "NWorkers", "n-workers" }, { "NWanted", "n-wanted" }, { "NPending", "n-pending" },   { "NRunning", "n-running" },
    { "NDone", "n-done" },       { "NFailed", "n-failed" }, { "NRetried", "n-retried" }, { "NRestarts", "n-restarts" },
  };
  PoolServicePool *self = (PoolServicePool *) object;

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    if (g_str_equal (name, counts[i].name))
      return get_count (self, counts[i].property);
  if (g_str_equal (name, "Backend"))
    return g_variant_new_string (self->backend);
  if (g_str_equal (name, "CreatedAt"))
    return g_variant_new_int64 (self->created_at);
  if (g_str_equal (name, "Persistent"))
    return g_variant_new_boolean (self->is_persistent);
  return get_state (self);
}

static const PoolServiceObjectClass pool_class = { POOL_SERVICE_POOL_INTERFACE, pool_service_pool_methods, get_property, finalize };

gboolean
pool_service_pool_is (PoolServiceObject *object)
{
  return object->klass == &pool_class;
}
