/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-root.h"

#include "pool-service-interface.h"
#include "pool-service-pool.h"
#include "pool-service.h"

#include <libpool.h>
#include <unistd.h>

static void
list_backends (PoolServiceObject *self, PoolServiceCall *call)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ss)"));
  for (char **name = pool_service_get_config (self->service)->backends; *name != NULL; name++)
    {
      g_autofree char *description = pool_describe_backend (*name, NULL);

      if (description != NULL)
        g_variant_builder_add (&builder, "(ss)", *name, description);
    }
  pool_service_call_reply (call, g_variant_new ("(a(ss))", &builder), NULL);
}

static void
list_tasks (PoolServiceObject *self, PoolServiceCall *call)
{
  g_auto (GStrv) modules = pool_list_task_modules ();
  g_auto (GStrv) tasks = NULL;
  GVariantBuilder builder;

  for (char **module = modules; *module != NULL; module++)
    {
      g_autoptr (GError) error = NULL;

      /* a broken one does not hide the others */
      if (!pool_load_task_module (*module, &error))
        g_debug ("%s", error->message);
    }
  tasks = pool_list_tasks ();
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ss)"));
  for (char **task = tasks; *task != NULL; task++)
    {
      const char *description = pool_describe_task (*task);

      if (pool_service_allows_task (self->service, *task, NULL))
        g_variant_builder_add (&builder, "(ss)", *task, description != NULL ? description : "");
    }
  pool_service_call_reply (call, g_variant_new ("(a(ss))", &builder), NULL);
}

static void
create_pool (PoolServiceObject *self, PoolServiceCall *call)
{
  g_autoptr (GVariant) options = NULL;
  PoolServicePool *pool;
  const char *backend;
  GError *error = NULL;

  g_variant_get (call->args, "(&s@a{sv})", &backend, &options);
  pool = pool_service_pool_new (self->service, call->client, backend, options, call->fds, &error);
  if (pool == NULL)
    {
      pool_service_call_take_error (call, error);
      return;
    }
  pool_service_call_reply (call, g_variant_new ("(o)", ((PoolServiceObject *) pool)->path), NULL);
  pool_service_object_unref (pool);
}

static void
start_agent (PoolServiceObject *self, PoolServiceCall *call)
{
  GError *error = NULL;
  gint32 handle;
  guint n, number;
  int fd = -1;

  g_variant_get (call->args, "(huu)", &handle, &n, &number);
  if (call->fds != NULL)
    fd = g_unix_fd_list_get (call->fds, handle, &error);
  if (fd >= 0 && pool_service_start_agent (self->service, call->client, fd, n, number, &error))
    pool_service_call_reply (call, NULL, NULL);
  else
    pool_service_call_take_error (call, error != NULL ? error : g_error_new_literal (POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                                                                                  "There is no such handle"));
  if (fd >= 0)
    close (fd);
}

static const PoolServiceMethod methods[] = {
  { "ListBackends", list_backends },
  { "ListTasks", list_tasks },
  { "CreatePool", create_pool },
  { "StartAgent", start_agent },
  { NULL },
};

static GVariant *
get_property (PoolServiceObject *self, const char *name)
{
  const PoolServiceConfig *config = pool_service_get_config (self->service);
  GVariantBuilder builder;

  if (g_str_equal (name, "Version"))
    return g_variant_new_string (POOL_VERSION_S);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{st}"));
  for (guint i = 0; i < POOL_SERVICE_N_LIMITS; i++)
    {
      g_autofree char *client = g_strconcat ("client-", pool_service_limit_get_name (i), NULL);
      g_autofree char *user = g_strconcat ("user-", pool_service_limit_get_name (i), NULL);

      g_variant_builder_add (&builder, "{st}", client, config->client[i]);
      g_variant_builder_add (&builder, "{st}", user, config->user[i]);
    }
  return g_variant_builder_end (&builder);
}

static void
finalize (PoolServiceObject *self)
{
}

static const PoolServiceObjectClass root_class = { POOL_SERVICE_INTERFACE, methods, get_property, finalize };

PoolServiceObject *
pool_service_root_new (PoolService *service)
{
  PoolServiceObject *self = g_new0 (PoolServiceObject, 1);

  pool_service_object_init (self, &root_class, service, POOL_SERVICE_PATH);
  return self;
}
