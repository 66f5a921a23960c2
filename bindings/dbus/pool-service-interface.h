/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The interfaces as data/dbus/ has them: what may be called and with what, and what there is to be seen. */
#define POOL_SERVICE_PATH "/org/libpool/Service1"
#define POOL_SERVICE_INTERFACE "org.libpool.Service1"
#define POOL_SERVICE_POOL_INTERFACE "org.libpool.Service1.Pool"
#define POOL_SERVICE_JOB_INTERFACE "org.libpool.Service1.Job"
#define POOL_SERVICE_PROPERTIES "org.freedesktop.DBus.Properties"
#define POOL_SERVICE_OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
#define POOL_SERVICE_INTROSPECTABLE "org.freedesktop.DBus.Introspectable"

/* Sets G_DBUS_ERROR_UNKNOWN_METHOD or _INVALID_ARGS. */
gboolean pool_service_interface_check (const char *interface, const char *method, GVariant *args, GError **error);
gboolean pool_service_interface_has_method (const char *interface, const char *method);
gboolean pool_service_interface_has_property (const char *interface, const char *property);
const char *const *pool_service_interface_list_properties (const char *interface);

/* @children: (array zero-terminated=1) (nullable): names of what is below */
char *pool_service_interface_introspect (const char *interface, const char *const *children);

G_END_DECLS
