/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gunixfdlist.h>
#include <libpool.h>

G_BEGIN_DECLS

/* The options that a pool is made with. */

/* Handles become what they hold, so that the options can be kept. Returns: a{sv}, or NULL */
GVariant *pool_service_settings_resolve (GVariant *options, GUnixFDList *fds, GError **error);
/* One of them; the initializer and its arguments are left to the caller. */
gboolean pool_service_settings_take (PoolManager *manager, const char *name, GVariant *value, gboolean *is_persistent,
                                     GError **error);
/* How many workers the pool may have by itself. */
guint64 pool_service_settings_count_workers (PoolManager *manager);

G_END_DECLS
