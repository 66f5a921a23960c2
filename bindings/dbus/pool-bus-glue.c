/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-bus-glue.h"

#include <glib-unix.h>

/* What libdbus wants to be told of, as sources: its watches, its timeouts, and messages that it has read and not yet handed on. */

typedef struct
{
  GMainContext *context;
  GSource *dispatch;
} Glue;

/* --- watches --- */

typedef struct
{
  GSource source;
  DBusWatch *watch;
  gpointer tag;
} WatchSource;

static gboolean
watch_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  WatchSource *self = (WatchSource *) source;
  GIOCondition condition = g_source_query_unix_fd (source, self->tag);
  guint flags = 0;

  flags |= condition & G_IO_IN ? DBUS_WATCH_READABLE : 0;
  flags |= condition & G_IO_OUT ? DBUS_WATCH_WRITABLE : 0;
  flags |= condition & G_IO_ERR ? DBUS_WATCH_ERROR : 0;
  flags |= condition & G_IO_HUP ? DBUS_WATCH_HANGUP : 0;
  if (flags != 0 && self->watch != NULL)
    dbus_watch_handle (self->watch, flags);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs watch_funcs = { .dispatch = watch_dispatch };

static void
drop_watch (void *data)
{
  GSource *source = data;

  if (source == NULL)
    return;
  ((WatchSource *) source)->watch = NULL;
  g_source_destroy (source);
  g_source_unref (source);
}

static dbus_bool_t
add_watch (DBusWatch *watch, void *data)
{
  Glue *glue = data;
  GIOCondition condition = G_IO_ERR | G_IO_HUP;
  GSource *source;
  WatchSource *self;
  guint flags;

  if (!dbus_watch_get_enabled (watch))
    return TRUE;
  flags = dbus_watch_get_flags (watch);
  condition |= flags & DBUS_WATCH_READABLE ? G_IO_IN : 0;
  condition |= flags & DBUS_WATCH_WRITABLE ? G_IO_OUT : 0;
  source = g_source_new (&watch_funcs, sizeof (WatchSource));
  self = (WatchSource *) source;
  self->watch = watch;
  self->tag = g_source_add_unix_fd (source, dbus_watch_get_unix_fd (watch), condition);
  g_source_attach (source, glue->context);
  dbus_watch_set_data (watch, source, drop_watch);
  return TRUE;
}

static void
remove_watch (DBusWatch *watch, void *data)
{
  dbus_watch_set_data (watch, NULL, NULL);
}

static void
toggle_watch (DBusWatch *watch, void *data)
{
  remove_watch (watch, data);
  add_watch (watch, data);
}

/* --- timeouts --- */

static gboolean
handle_timeout (gpointer timeout)
{
  dbus_timeout_handle (timeout);
  return G_SOURCE_CONTINUE;
}

static void
drop_timeout (void *data)
{
  if (data == NULL)
    return;
  g_source_destroy (data);
  g_source_unref (data);
}

static dbus_bool_t
add_timeout (DBusTimeout *timeout, void *data)
{
  Glue *glue = data;
  GSource *source;

  if (!dbus_timeout_get_enabled (timeout))
    return TRUE;
  source = g_timeout_source_new (MAX (dbus_timeout_get_interval (timeout), 0));
  g_source_set_callback (source, handle_timeout, timeout, NULL);
  g_source_attach (source, glue->context);
  dbus_timeout_set_data (timeout, source, drop_timeout);
  return TRUE;
}

static void
remove_timeout (DBusTimeout *timeout, void *data)
{
  dbus_timeout_set_data (timeout, NULL, NULL);
}

static void
toggle_timeout (DBusTimeout *timeout, void *data)
{
  remove_timeout (timeout, data);
  add_timeout (timeout, data);
}

/* --- messages --- */

typedef struct
{
  GSource source;
  DBusConnection *connection;
} DispatchSource;

static gboolean
dispatch_prepare (GSource *source, int *timeout)
{
  *timeout = -1;
  return dbus_connection_get_dispatch_status (((DispatchSource *) source)->connection) == DBUS_DISPATCH_DATA_REMAINS;
}

static gboolean
dispatch_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  DBusConnection *connection = dbus_connection_ref (((DispatchSource *) source)->connection);

  dbus_connection_dispatch (connection);
  dbus_connection_unref (connection);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs dispatch_funcs = { .prepare = dispatch_prepare, .dispatch = dispatch_dispatch };

static void
wake_up (void *data)
{
  GMainContext *context = ((Glue *) data)->context;

  /* the thread that runs it looks before it sleeps; to wake it would cost a turn for each message */
  if (!g_main_context_is_owner (context))
    g_main_context_wakeup (context);
}

static void
free_glue (void *data)
{
  Glue *glue = data;

  g_source_destroy (glue->dispatch);
  g_source_unref (glue->dispatch);
  g_main_context_unref (glue->context);
  g_free (glue);
}

gboolean
pool_bus_glue_attach (DBusConnection *connection, GMainContext *context)
{
  static dbus_int32_t slot = -1;
  Glue *glue;

  if (!dbus_connection_allocate_data_slot (&slot))
    return FALSE;
  glue = g_new0 (Glue, 1);
  glue->context = g_main_context_ref (context != NULL ? context : g_main_context_default ());
  glue->dispatch = g_source_new (&dispatch_funcs, sizeof (DispatchSource));
  /* no reference: the connection has the glue */
  ((DispatchSource *) glue->dispatch)->connection = connection;
  g_source_attach (glue->dispatch, glue->context);
  if (!dbus_connection_set_data (connection, slot, glue, free_glue))
    {
      free_glue (glue);
      return FALSE;
    }
  dbus_connection_set_wakeup_main_function (connection, wake_up, glue, NULL);
  return dbus_connection_set_watch_functions (connection, add_watch, remove_watch, toggle_watch, glue, NULL) &&
         dbus_connection_set_timeout_functions (connection, add_timeout, remove_timeout, toggle_timeout, glue, NULL);
}
