/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-account.h"

G_BEGIN_DECLS

/* What the administrator has to say: /etc/libpool/service.conf, read when the service starts. */
typedef struct
{
  guint64 client[POOL_SERVICE_N_LIMITS];
  guint64 user[POOL_SERVICE_N_LIMITS];
  char **backends;
  char **module_directories;
  gboolean allow_exec;
  double idle_timeout;    /* seconds without clients until the service leaves */
  double result_lifetime; /* seconds that the result of a job is kept that nobody fetches */
  double durable_lifetime;
} PoolServiceConfig;

/* @path: must be there; NULL: defaults */
PoolServiceConfig *pool_service_config_new (const char *path, GError **error);
void pool_service_config_free (PoolServiceConfig *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolServiceConfig, pool_service_config_free)

G_END_DECLS
