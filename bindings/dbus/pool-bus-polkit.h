/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dbus/dbus.h>
#include <glib.h>

G_BEGIN_DECLS

#define POOL_BUS_POLKIT_CREATE "org.libpool.Service1.create-pool"

/* @why: for people, if it is not allowed. */
typedef void (*PoolBusPolkitFunc) (gboolean is_allowed, const char *why, gpointer user_data);

/* Asks polkit whether @sender, a name on the same bus, may do that; the user may be asked for a password meanwhile. */
void pool_bus_polkit_check (DBusConnection *connection, const char *sender, const char *action, PoolBusPolkitFunc func,
                            gpointer user_data);

G_END_DECLS
