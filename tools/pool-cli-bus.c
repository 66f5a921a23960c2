/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-bus.h"

#include "bindings/dbus/pool-service-error.h"
#include "bindings/dbus/pool-service-value.h"

GDBusConnection *
pool_cli_bus_open (gboolean system, GError **error)
{
  pool_service_error_register ();
  return g_bus_get_sync (system ? G_BUS_TYPE_SYSTEM : G_BUS_TYPE_SESSION, NULL, error);
}

GVariant *
pool_cli_bus_call (GDBusConnection *bus, const char *path, const char *interface, const char *method, GVariant *values,
                   GUnixFDList **fds, GError **error)
{
  GVariant *reply = g_dbus_connection_call_with_unix_fd_list_sync (bus, POOL_CLI_BUS_INTERFACE, path, interface, method,
                                                                   values, NULL, G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL,
                                                                   fds, NULL, error);

  if (reply == NULL && error != NULL)
    g_dbus_error_strip_remote_error (*error);
  return reply;
}

GVariant *
pool_cli_bus_list (GDBusConnection *bus, GError **error)
{
  g_autoptr (GVariant) reply = pool_cli_bus_call (bus, POOL_CLI_BUS_PATH, "org.freedesktop.DBus.ObjectManager",
                                                  "GetManagedObjects", NULL, NULL, error);

  return reply != NULL ? g_variant_get_child_value (reply, 0) : NULL;
}

static char *
get_path (const char *kind, const char *name)
{
  g_autofree char *path = *name == '/' ? g_strdup (name) : g_strconcat (POOL_CLI_BUS_PATH "/", kind, "/", name, NULL);

  /* what is no path is no job */
  return g_variant_is_object_path (path) ? g_steal_pointer (&path) : g_strdup ("/");
}

char *
pool_cli_bus_job_path (const char *name)
{
  return get_path ("job", name);
}

char *
pool_cli_bus_pool_path (const char *name)
{
  return get_path ("pool", name);
}

const char *
pool_cli_bus_get_number (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? slash + 1 : path;
}

GVariant *
pool_cli_bus_get_result (GDBusConnection *bus, const char *job, double timeout, gboolean keep, GError **error)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (GVariant) variant = NULL;
  GVariantDict options;

  g_variant_dict_init (&options, NULL);
  if (keep)
    g_variant_dict_insert (&options, "keep", "b", TRUE);
  reply = pool_cli_bus_call (bus, job, POOL_CLI_BUS_JOB, "Result",
                             g_variant_new ("(d@a{sv})", timeout, g_variant_dict_end (&options)), &fds, error);
  if (reply == NULL)
    return NULL;
  variant = g_variant_get_child_value (reply, 0);
  return pool_service_value_take (variant, fds, error);
}
