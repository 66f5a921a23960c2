/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

POOL_AVAILABLE_IN_ALL
gboolean pool_init (GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_join_ranks (GError **error);
POOL_AVAILABLE_IN_ALL
guint pool_count_ranks (void);
POOL_AVAILABLE_IN_ALL
guint pool_cpu_count (void);
POOL_AVAILABLE_IN_ALL
char **pool_list_backends (void);
POOL_AVAILABLE_IN_ALL
char *pool_describe_backend (const char *name, GError **error);
POOL_AVAILABLE_IN_ALL
int pool_run_worker (void);

G_END_DECLS
