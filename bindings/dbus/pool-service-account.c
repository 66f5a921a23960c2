/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-account.h"

#include "pool-service-error.h"

struct _PoolServiceAccount
{
  int ref_count;
  char *whose;
  const guint64 *limits;
  guint64 used[POOL_SERVICE_N_LIMITS];
  PoolServiceAccount *parent;
};

const char *
pool_service_limit_get_name (PoolServiceLimit limit)
{
  static const char *const names[] = { "pools", "workers", "tasks", "bytes" };

  G_STATIC_ASSERT (G_N_ELEMENTS (names) == POOL_SERVICE_N_LIMITS);
  return names[limit];
}

PoolServiceAccount *
pool_service_account_new (const char *whose, const guint64 *limits, PoolServiceAccount *parent)
{
  PoolServiceAccount *self = g_new0 (PoolServiceAccount, 1);

  self->ref_count = 1;
  self->whose = g_strdup (whose);
  self->limits = limits;
  self->parent = parent != NULL ? pool_service_account_ref (parent) : NULL;
  return self;
}

PoolServiceAccount *
pool_service_account_ref (PoolServiceAccount *self)
{
  self->ref_count++;
  return self;
}

void
pool_service_account_unref (PoolServiceAccount *self)
{
  if (self == NULL || --self->ref_count > 0)
    return;
  pool_service_account_unref (self->parent);
  g_free (self->whose);
  g_free (self);
}

gboolean
pool_service_account_charge (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n, GError **error)
{
  for (PoolServiceAccount *account = self; account != NULL; account = account->parent)
    if (account->used[limit] > account->limits[limit] || n > account->limits[limit] - account->used[limit])
      {
        g_set_error (error, POOL_SERVICE_ERROR, POOL_SERVICE_ERROR_LIMIT_EXCEEDED,
                     "A %s may have %" G_GUINT64_FORMAT " %s at a time: it has %" G_GUINT64_FORMAT
                     ", and %" G_GUINT64_FORMAT " more were asked for",
                     account->whose, account->limits[limit], pool_service_limit_get_name (limit),
                     account->used[limit], n);
        return FALSE;
      }
  pool_service_account_force (self, limit, n);
  return TRUE;
}

void
pool_service_account_force (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n)
{
  for (; self != NULL; self = self->parent)
    self->used[limit] += n;
}

void
pool_service_account_give_back (PoolServiceAccount *self, PoolServiceLimit limit, guint64 n)
{
  for (; self != NULL; self = self->parent)
    {
      g_assert (self->used[limit] >= n);
      self->used[limit] -= n;
    }
}

guint64
pool_service_account_get (PoolServiceAccount *self, PoolServiceLimit limit)
{
  return self->used[limit];
}
