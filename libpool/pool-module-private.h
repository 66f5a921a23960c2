/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

#include <gmodule.h>

G_BEGIN_DECLS

/*
 * Opens shared objects by name, only the one that is asked for. GIO's extension points are not used: they open every
 * module of a point, so that asking for one backend would load the libraries of all.
 */

/* Makes the backend @name, or says why not. */
POOL_EXPORT
PoolBackend *pool_module_new_backend (const char *name, GError **error);
/* What the module @name says of itself. */
POOL_EXPORT
const PoolBackendModule *pool_module_query_backend (const char *name, GError **error);

/* Names of the files PREFIXname.so in the directories of @variable and in @directory. */
char **pool_module_list (const char *variable, const char *directory, const char *prefix);
/* Opens PREFIXname.so, resident and with all symbols bound. @what: for messages. */
GModule *pool_module_open (const char *variable, const char *directory, const char *prefix,
                           const char *name, const char *what, PoolError not_found, GError **error);

G_END_DECLS
