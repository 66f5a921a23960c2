/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dbus/dbus.h>
#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* The arguments of a message as a tuple; handles in it are indices of @fds. */
GVariant *pool_bus_value_read (DBusMessage *message, GUnixFDList **fds, GError **error);

/* Appends the members of a tuple. FALSE: there is no memory, or a type that D-Bus does not have */
gboolean pool_bus_value_append (DBusMessage *message, GVariant *tuple, GUnixFDList *fds);

G_END_DECLS
