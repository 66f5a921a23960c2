/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define POOL_CLI_BUS_PATH "/org/libpool/Service1"
#define POOL_CLI_BUS_INTERFACE "org.libpool.Service1"
#define POOL_CLI_BUS_POOL "org.libpool.Service1.Pool"
#define POOL_CLI_BUS_JOB "org.libpool.Service1.Job"

/* The service on a bus, as a client sees it. */
GDBusConnection *pool_cli_bus_open (gboolean system, GError **error);

/* Without a time limit. Errors of the service are those of libpool. @values: floating; NULL: none. Returns: a tuple */
GVariant *pool_cli_bus_call (GDBusConnection *bus, const char *path, const char *interface, const char *method,
                             GVariant *values, GUnixFDList **fds, GError **error);
/* Of all pools and jobs that the user has: a{oa{sa{sv}}} */
GVariant *pool_cli_bus_list (GDBusConnection *bus, GError **error);

/* A job, or a pool, by its path or number. */
char *pool_cli_bus_job_path (const char *name);
char *pool_cli_bus_pool_path (const char *name);
const char *pool_cli_bus_get_number (const char *path);

/* The result of a job, which then goes unless it is kept; waits for it. */
GVariant *pool_cli_bus_get_result (GDBusConnection *bus, const char *job, double timeout, gboolean keep, GError **error);

G_END_DECLS
