/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-error.h"

#define NAME(name) "org.libpool.Service1.Error." name
#define BUS_NAME(name) "org.freedesktop.DBus.Error." name

static const GDBusErrorEntry pool_entries[] = {
  { POOL_ERROR_CLOSED, NAME ("Closed") },
  { POOL_ERROR_NOT_STARTED, NAME ("NotStarted") },
  { POOL_ERROR_STATE, NAME ("State") },
  { POOL_ERROR_INVALID_ARGUMENT, NAME ("InvalidArgument") },
  { POOL_ERROR_NO_SUCH_TASK, NAME ("NoSuchTask") },
  { POOL_ERROR_NO_SUCH_BACKEND, NAME ("NoSuchBackend") },
  { POOL_ERROR_BACKEND, NAME ("Backend") },
  { POOL_ERROR_TIMED_OUT, NAME ("TimedOut") },
  { POOL_ERROR_SOFT_TIMED_OUT, NAME ("SoftTimedOut") },
  { POOL_ERROR_WAIT_TIMED_OUT, NAME ("WaitTimedOut") },
  { POOL_ERROR_WORKER_LOST, NAME ("WorkerLost") },
  { POOL_ERROR_OUT_OF_MEMORY, NAME ("OutOfMemory") },
  { POOL_ERROR_RESTART_FREQ, NAME ("RestartFreq") },
  { POOL_ERROR_TERMINATED, NAME ("Terminated") },
  { POOL_ERROR_CANCELLED, NAME ("Cancelled") },
  { POOL_ERROR_QUEUE_FULL, NAME ("QueueFull") },
  { POOL_ERROR_QUEUE_EMPTY, NAME ("QueueEmpty") },
  { POOL_ERROR_NOTHING_PUT, NAME ("NothingPut") },
  { POOL_ERROR_WORKERS_GONE, NAME ("WorkersGone") },
  { POOL_ERROR_ENCODING, NAME ("Encoding") },
  { POOL_ERROR_REMOTE, NAME ("Remote") },
  { POOL_ERROR_AUTHENTICATION, NAME ("Authentication") },
  { POOL_ERROR_PROTOCOL, NAME ("Protocol") },
  { POOL_ERROR_INTERRUPTED, NAME ("Interrupted") },
};

static const GDBusErrorEntry service_entries[] = {
  { POOL_SERVICE_ERROR_LIMIT_EXCEEDED, NAME ("LimitExceeded") },
  { POOL_SERVICE_ERROR_NOT_ALLOWED, NAME ("NotAllowed") },
  { POOL_SERVICE_ERROR_STORE, NAME ("Store") },
};

/* Those that the service itself says of calls. */
static const GDBusErrorEntry bus_entries[] = {
  { G_DBUS_ERROR_INVALID_ARGS, BUS_NAME ("InvalidArgs") },
  { G_DBUS_ERROR_UNKNOWN_METHOD, BUS_NAME ("UnknownMethod") },
  { G_DBUS_ERROR_UNKNOWN_OBJECT, BUS_NAME ("UnknownObject") },
  { G_DBUS_ERROR_UNKNOWN_INTERFACE, BUS_NAME ("UnknownInterface") },
  { G_DBUS_ERROR_UNKNOWN_PROPERTY, BUS_NAME ("UnknownProperty") },
  { G_DBUS_ERROR_PROPERTY_READ_ONLY, BUS_NAME ("PropertyReadOnly") },
};

G_STATIC_ASSERT (G_N_ELEMENTS (pool_entries) == POOL_ERROR_INTERRUPTED + 1);

G_DEFINE_QUARK (pool-service-error-quark, pool_service_error)

static const char *
find_name (const GDBusErrorEntry *entries, gsize n, int code)
{
  for (gsize i = 0; i < n; i++)
    if (entries[i].error_code == code)
      return entries[i].dbus_error_name;
  return NULL;
}

/* The name that GDBus gives errors that have none, and makes errors of again. */
static char *
make_name (const GError *error)
{
  GString *name = g_string_new ("org.gtk.GDBus.UnmappedGError.Quark._");

  for (const char *at = g_quark_to_string (error->domain); *at != '\0'; at++)
    if (g_ascii_isalnum (*at))
      g_string_append_c (name, *at);
    else
      g_string_append_printf (name, "_%02x", (guint8) *at);
  g_string_append_printf (name, ".Code%d", error->code);
  return g_string_free (name, FALSE);
}

/* Not by g_dbus_error_encode_gerror(), which starts a thread of GLib's. */
char *
pool_service_error_get_name (const GError *error)
{
  const char *name = NULL;

  if (error->domain == POOL_ERROR)
    name = find_name (pool_entries, G_N_ELEMENTS (pool_entries), error->code);
  else if (error->domain == POOL_SERVICE_ERROR)
    name = find_name (service_entries, G_N_ELEMENTS (service_entries), error->code);
  else if (error->domain == G_DBUS_ERROR)
    name = find_name (bus_entries, G_N_ELEMENTS (bus_entries), error->code);
  return name != NULL ? g_strdup (name) : make_name (error);
}

void
pool_service_error_register (void)
{
  static gsize registered;

  if (!g_once_init_enter (&registered))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (pool_entries); i++)
    g_dbus_error_register_error (POOL_ERROR, pool_entries[i].error_code, pool_entries[i].dbus_error_name);
  for (gsize i = 0; i < G_N_ELEMENTS (service_entries); i++)
    g_dbus_error_register_error (POOL_SERVICE_ERROR, service_entries[i].error_code, service_entries[i].dbus_error_name);
  g_once_init_leave (&registered, 1);
}
