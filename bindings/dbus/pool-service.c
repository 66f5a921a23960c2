/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service.h"

#include "pool-service-agent.h"
#include "pool-service-error.h"
#include "pool-service-interface.h"
#include "pool-service-job.h"
#include "pool-service-pool.h"
#include "pool-service-root.h"

struct _PoolService
{
  const PoolServiceConfig *config;
  PoolServiceStore *store;
  const PoolServiceTransport *transport;
  gpointer bus;

  PoolServiceObject *root;
  GPtrArray *agents; /* PoolServiceAgent, owned */
  GHashTable *objects; /* by path, owned */
  GHashTable *clients; /* by name, owned */
  GHashTable *users;   /* accounts by uid, owned */
  PoolServiceExpiry *expiries[2]; /* of results; those of durable jobs are the second */
  guint64 last_id;

  guint n_holds;
  gint64 idle_since; /* monotonic µs */
  GSource *idle_timer;
  void (*idle_func) (gpointer user_data);
  gpointer idle_data;
};

static void
expire (gpointer job)
{
  pool_service_job_release (job);
}

PoolService *
pool_service_new (const PoolServiceConfig *config, PoolServiceStore *store, const PoolServiceTransport *transport,
                  gpointer bus)
{
  PoolService *self = g_new0 (PoolService, 1);

  self->config = config;
  self->store = store;
  self->transport = transport;
  self->bus = bus;
  self->objects = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, pool_service_object_unref);
  self->clients = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) pool_service_client_unref);
  self->users = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) pool_service_account_unref);
  /* so that no path of today is one of yesterday */
  self->last_id = g_get_real_time ();
  self->expiries[0] = pool_service_expiry_new (config->result_lifetime, expire);
  self->expiries[1] = pool_service_expiry_new (config->durable_lifetime, expire);
  self->root = pool_service_root_new (self);
  self->agents = g_ptr_array_new_with_free_func ((GDestroyNotify) pool_service_agent_free);
  self->idle_since = g_get_monotonic_time ();
  return self;
}

void
pool_service_free (PoolService *self)
{
  g_autoptr (GList) objects = g_hash_table_get_values (self->objects);

  if (self->idle_timer != NULL)
    g_source_destroy (self->idle_timer);
  g_clear_pointer (&self->idle_timer, g_source_unref);
  self->idle_func = NULL;
  for (GList *l = objects; l != NULL; l = l->next)
    pool_service_object_ref (l->data);
  for (GList *l = objects; l != NULL; l = l->next)
    {
      PoolServiceObject *object = l->data;

      if (pool_service_pool_is (object))
        pool_service_pool_abandon ((PoolServicePool *) object);
      pool_service_object_unref (object);
    }
  g_ptr_array_unref (self->agents);
  g_hash_table_unref (self->objects);
  pool_service_expiry_free (self->expiries[0]);
  pool_service_expiry_free (self->expiries[1]);
  pool_service_object_unref (self->root);
  g_hash_table_unref (self->clients);
  g_hash_table_unref (self->users);
  g_free (self);
}

gboolean
pool_service_restore (PoolService *self, GError **error)
{
  g_autoptr (GList) objects = NULL;

  if (self->store == NULL)
    return TRUE;
  if (!pool_service_store_each_pool (self->store, pool_service_pool_restore, self, error) ||
      !pool_service_store_each_job (self->store, pool_service_job_restore, self, error))
    return FALSE;
  objects = g_hash_table_get_values (self->objects);
  for (GList *l = objects; l != NULL; l = l->next)
    if (pool_service_pool_is (l->data))
      pool_service_pool_resume (l->data);
  return TRUE;
}

const PoolServiceConfig *
pool_service_get_config (PoolService *self)
{
  return self->config;
}

PoolServiceStore *
pool_service_get_store (PoolService *self)
{
  return self->store;
}

PoolServiceAccount *
pool_service_get_user (PoolService *self, guint32 uid)
{
  PoolServiceAccount *user = g_hash_table_lookup (self->users, GUINT_TO_POINTER (uid));

  if (user == NULL)
    {
      user = pool_service_account_new ("user", self->config->user, NULL);
      g_hash_table_insert (self->users, GUINT_TO_POINTER (uid), user);
    }
  return user;
}

PoolServiceExpiry *
pool_service_get_expiry (PoolService *self, gboolean durable)
{
  return self->expiries[durable ? 1 : 0];
}

guint64
pool_service_make_id (PoolService *self)
{
  return ++self->last_id;
}

gboolean
pool_service_allows_task (PoolService *self, const char *task, GError **error)
{
  if (self->config->allow_exec || !g_str_has_prefix (task, "exec."))
    return TRUE;
  g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_NOT_ALLOWED,
               "The task %s runs commands: an administrator can allow that with AllowExec in service.conf", task);
  return FALSE;
}

/* --- idleness --- */

static gboolean
check_idle (gpointer user_data)
{
  PoolService *self = user_data;
  gint64 due = self->idle_since + (gint64) (self->config->idle_timeout * G_USEC_PER_SEC);

  if (self->n_holds == 0 && g_get_monotonic_time () < due)
    {
      g_source_set_ready_time (self->idle_timer, due);
      return G_SOURCE_CONTINUE;
    }
  /* armed anew when the last hold is released */
  g_source_set_ready_time (self->idle_timer, -1);
  if (self->n_holds == 0 && self->idle_func != NULL)
    self->idle_func (self->idle_data);
  return G_SOURCE_CONTINUE;
}

static gboolean
dispatch_timer (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { .dispatch = dispatch_timer };

void
pool_service_set_idle_func (PoolService *self, void (*func) (gpointer user_data), gpointer user_data)
{
  self->idle_func = func;
  self->idle_data = user_data;
  if (self->idle_timer == NULL)
    {
      self->idle_timer = g_source_new (&timer_funcs, sizeof (GSource));
      g_source_set_callback (self->idle_timer, check_idle, self, NULL);
      g_source_attach (self->idle_timer, NULL);
    }
  pool_service_retry_idle (self);
}

void
pool_service_retry_idle (PoolService *self)
{
  self->idle_since = g_get_monotonic_time ();
  if (self->n_holds == 0 && self->idle_timer != NULL)
    g_source_set_ready_time (self->idle_timer,
                             self->idle_since + (gint64) (self->config->idle_timeout * G_USEC_PER_SEC));
}

void
pool_service_hold (PoolService *self)
{
  self->n_holds++;
}

void
pool_service_release (PoolService *self)
{
  g_assert (self->n_holds > 0);
  if (--self->n_holds > 0)
    return;
  self->idle_since = g_get_monotonic_time ();
  /* one that is set looks at the time when it is due */
  if (self->idle_timer != NULL && g_source_get_ready_time (self->idle_timer) < 0)
    pool_service_retry_idle (self);
}

gboolean
pool_service_is_idle (PoolService *self)
{
  return self->n_holds == 0;
}

/* --- clients --- */

PoolServiceClient *
pool_service_add_client (PoolService *self, const char *name, guint32 uid)
{
  PoolServiceClient *client =
      pool_service_client_new (name, uid, self->config->client, pool_service_get_user (self, uid));

  g_hash_table_insert (self->clients, client->name, client);
  return client;
}

void
pool_service_remove_client (PoolService *self, PoolServiceClient *client)
{
  g_autoptr (GList) objects = g_hash_table_get_values (self->objects);

  client->gone = TRUE;
  for (guint i = 0; i < self->agents->len; i++)
    if (pool_service_agent_is_of (self->agents->pdata[i], client))
      pool_service_agent_kill (self->agents->pdata[i]);
  for (GList *l = objects; l != NULL; l = l->next)
    pool_service_object_ref (l->data);
  for (GList *l = objects; l != NULL; l = l->next)
    {
      PoolServiceObject *object = l->data;

      if (pool_service_pool_is (object))
        pool_service_pool_client_gone ((PoolServicePool *) object, client);
      else if (object->owner == client)
        pool_service_job_release ((PoolServiceJob *) object);
      pool_service_object_unref (object);
    }
  g_hash_table_remove (self->clients, client->name);
}

/* --- objects --- */

static gboolean
may_see (PoolServiceObject *object, PoolServiceClient *client)
{
  return object->owner != NULL ? object->owner == client : object->uid == client->uid;
}

gpointer
pool_service_lookup (PoolService *self, const char *path)
{
  return g_hash_table_lookup (self->objects, path);
}

void
pool_service_emit (PoolService *self, PoolServiceObject *object, const char *path, const char *interface,
                   const char *signal, GVariant *values)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (values);
  GHashTableIter iter;
  gpointer client;

  if (object->owner != NULL)
    {
      if (!object->owner->gone)
        self->transport->emit (self->bus, object->owner->name, path, interface, signal, sunk);
      return;
    }
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, NULL, &client))
    if (may_see (object, client))
      self->transport->emit (self->bus, ((PoolServiceClient *) client)->name, path, interface, signal, sunk);
}

void
pool_service_export (PoolService *self, gpointer exported)
{
  PoolServiceObject *object = exported;

  g_hash_table_insert (self->objects, object->path, pool_service_object_ref (object));
  object->is_exported = TRUE;
  pool_service_emit (self, object, POOL_SERVICE_PATH, POOL_SERVICE_OBJECT_MANAGER, "InterfacesAdded",
                     g_variant_new_parsed ("(%o, {%s: %@a{sv}})", object->path, object->klass->interface,
                                           pool_service_object_get_properties (object)));
}

void
pool_service_unexport (PoolService *self, gpointer exported)
{
  PoolServiceObject *object = exported;
  const char *const interfaces[] = { object->klass->interface, NULL };

  if (!object->is_exported)
    return;
  object->is_exported = FALSE;
  pool_service_emit (self, object, POOL_SERVICE_PATH, POOL_SERVICE_OBJECT_MANAGER, "InterfacesRemoved",
                     g_variant_new ("(o^as)", object->path, interfaces));
  g_hash_table_remove (self->objects, object->path);
}

/* --- agents --- */

static void
on_agent_ended (PoolServiceAgent *agent, gpointer user_data)
{
  PoolService *self = user_data;

  g_ptr_array_remove_fast (self->agents, agent);
}

gboolean
pool_service_start_agent (PoolService *self, PoolServiceClient *client, int fd, guint n_workers, guint number, GError **error)
{
  PoolServiceAgent *agent = pool_service_agent_new (self, client, fd, n_workers, number, on_agent_ended, self, error);

  if (agent != NULL)
    g_ptr_array_add (self->agents, agent);
  return agent != NULL;
}

/* --- calls --- */

/* The name of what is just below @path on the way to @object, or NULL. */
static char *
get_child (const char *path, const char *object)
{
  gsize length = g_str_equal (path, "/") ? 0 : strlen (path);

  if (strncmp (object, path, length) != 0 || object[length] != '/' || object[length + 1] == '\0')
    return NULL;
  object += length + 1;
  return g_strndup (object, strcspn (object, "/"));
}

static char **
list_children (PoolService *self, const char *path, PoolServiceClient *client)
{
  g_autoptr (GHashTable) children = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autoptr (GList) names = NULL;
  GHashTableIter iter;
  gpointer object;
  char *child = get_child (path, POOL_SERVICE_PATH);

  if (child != NULL)
    g_hash_table_add (children, child);
  g_hash_table_iter_init (&iter, self->objects);
  while (g_hash_table_iter_next (&iter, NULL, &object))
    if (may_see (object, client) && (child = get_child (path, ((PoolServiceObject *) object)->path)) != NULL)
      g_hash_table_add (children, child);
  names = g_list_sort (g_hash_table_get_keys (children), (GCompareFunc) strcmp);
  for (GList *l = names; l != NULL; l = l->next)
    g_strv_builder_add (builder, l->data);
  return g_strv_builder_end (builder);
}

static gboolean
introspect (PoolService *self, PoolServiceObject *object, PoolServiceCall *call)
{
  g_auto (GStrv) children = list_children (self, call->path, call->client);
  g_autofree char *xml = NULL;

  if (object == NULL && children[0] == NULL)
    return FALSE;
  xml = pool_service_interface_introspect (object != NULL ? object->klass->interface : NULL,
                                           (const char *const *) children);
  pool_service_call_reply (call, g_variant_new ("(s)", xml), NULL);
  return TRUE;
}

static void
get_managed_objects (PoolService *self, PoolServiceCall *call)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{oa{sa{sv}}}"));
  g_hash_table_iter_init (&iter, self->objects);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      PoolServiceObject *object = value;

      if (may_see (object, call->client))
        g_variant_builder_add_parsed (&builder, "{%o, {%s: %@a{sv}}}", object->path, object->klass->interface,
                                      pool_service_object_get_properties (object));
    }
  pool_service_call_reply (call, g_variant_new ("(a{oa{sa{sv}}})", &builder), NULL);
}

/* The interface that a call without one means, or that of the call if the object has it; NULL: none */
static const char *
find_interface (PoolServiceObject *object, PoolServiceCall *call)
{
  const char *const interfaces[] = { object->klass->interface, POOL_SERVICE_PROPERTIES, POOL_SERVICE_INTROSPECTABLE,
                                     POOL_SERVICE_OBJECT_MANAGER };
  gsize n = G_N_ELEMENTS (interfaces) - (g_str_equal (object->path, POOL_SERVICE_PATH) ? 0 : 1);

  for (gsize i = 0; i < n; i++)
    if (call->interface != NULL ? g_str_equal (interfaces[i], call->interface)
                                : pool_service_interface_has_method (interfaces[i], call->method))
      return interfaces[i];
  return NULL;
}

static void
handle_for (PoolService *self, PoolServiceObject *object, PoolServiceCall *call)
{
  const char *interface = find_interface (object, call);
  GError *error = NULL;

  if (interface == NULL)
    pool_service_call_take_error (call, g_error_new (G_DBUS_ERROR, call->interface != NULL ? G_DBUS_ERROR_UNKNOWN_INTERFACE
                                                                                          : G_DBUS_ERROR_UNKNOWN_METHOD,
                                                     "%s has no %s", call->path,
                                                     call->interface != NULL ? call->interface : call->method));
  else if (!pool_service_interface_check (interface, call->method, call->args, &error))
    pool_service_call_take_error (call, error);
  else if (g_str_equal (interface, POOL_SERVICE_INTROSPECTABLE))
    introspect (self, object, call);
  else if (g_str_equal (interface, POOL_SERVICE_OBJECT_MANAGER))
    get_managed_objects (self, call);
  else
    {
      call->interface = interface;
      /* it may let go of itself */
      pool_service_object_ref (object);
      pool_service_object_handle (object, call);
      pool_service_object_unref (object);
    }
}

void
pool_service_handle (PoolService *self, PoolServiceCall *call)
{
  PoolServiceObject *object;

  if (g_str_equal (call->path, POOL_SERVICE_PATH))
    object = self->root;
  else
    object = g_hash_table_lookup (self->objects, call->path);
  /* somebody else's is as if it were not there */
  if (object != NULL && object != self->root && !may_see (object, call->client))
    object = NULL;

  if (object != NULL)
    handle_for (self, object, call);
  else if (!g_str_equal (call->method, "Introspect") || !introspect (self, NULL, call))
    pool_service_call_take_error (call, g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT,
                                                     "You have no pool or job %s", call->path));
}
