/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a client or a user may have at a time. */
typedef enum
{
  POOL_SERVICE_POOLS,
  POOL_SERVICE_WORKERS,
  POOL_SERVICE_TASKS, /* queued or running, and jobs that were not fetched */
  POOL_SERVICE_BYTES, /* of arguments and results that are kept for them */
  POOL_SERVICE_N_LIMITS
} PoolServiceLimit;

const char *pool_service_limit_get_name (PoolServiceLimit limit);

/*
 * What one has, and may have. That of a client is within that of its user: what is charged to one is charged to both, or to
 * none.
 */
typedef struct _PoolServiceAccount PoolServiceAccount;

/* @limits: POOL_SERVICE_N_LIMITS numbers, which must stay */
PoolServiceAccount *pool_service_account_new (const char *whose, const guint64 *limits, PoolServiceAccount *parent);
PoolServiceAccount *pool_service_account_ref (PoolServiceAccount *self);
void pool_service_account_unref (PoolServiceAccount *self);

gboolean pool_service_account_charge (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n, GError **error);
/* For what is there already, such as a result: it may go over the limit, and then nothing more is taken. */
void pool_service_account_force (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n);
void pool_service_account_give_back (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n);
guint64 pool_service_account_get (PoolServiceAccount *self, PoolServiceLimit limit);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolServiceAccount, pool_service_account_unref)

G_END_DECLS
