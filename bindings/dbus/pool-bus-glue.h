/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dbus/dbus.h>
#include <glib.h>

G_BEGIN_DECLS

/* Lets a main context drive a connection of libdbus, until that is freed. FALSE: there is no memory */
gboolean pool_bus_glue_attach (DBusConnection *connection, GMainContext *context);

G_END_DECLS
