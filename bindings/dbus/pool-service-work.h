/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-service-account.h"
#include "pool-service-object.h"

#include <libpool.h>

G_BEGIN_DECLS

typedef enum
{
  POOL_SERVICE_APPLY,
  POOL_SERVICE_MAP,
} PoolServiceKind;

typedef struct _PoolServiceWork PoolServiceWork;

/* @value, @error: one of them is NULL; both stay the caller's */
typedef void (*PoolServiceWorkFunc) (PoolServiceWork *work, GVariant *value, const GError *error, gpointer user_data);

/* A call, or a map, that a client wants made: checked, charged to its account, and given to a pool. */
struct _PoolServiceWork
{
  int ref_count;
  PoolServiceKind kind;
  char *task;
  GVariant *args;    /* a tuple, or an array of items */
  GVariant *options; /* a{sv}, as given */
  gboolean is_star, is_packed, is_inline, is_durable;
  guint chunksize;
  PoolCallOptions *call_options;

  PoolServiceAccount *account; /* charged with it while this is not NULL */
  guint64 bytes;
  PoolAsyncResult *result;
  char *job_path; /* NULL: the caller waits for it */
  PoolServiceWorkFunc func;
  gpointer user_data;
};

/* @service: NULL: whether the task is allowed was looked at before. @variant: of type “v” */
PoolServiceWork *pool_service_work_new (PoolService *service, PoolServiceKind kind, const char *task, GVariant *variant,
                                        GVariant *options, GUnixFDList *fds, GError **error);
PoolServiceWork *pool_service_work_ref (PoolServiceWork *self);
void pool_service_work_unref (PoolServiceWork *self);

gboolean pool_service_work_charge (PoolServiceWork *self, PoolServiceAccount *account, GError **error);
/* Of what was submitted before: it is not refused. */
void pool_service_work_force_charge (PoolServiceWork *self, PoolServiceAccount *account);

/* What is kept for it now: its arguments are gone, or its result is there. */
void pool_service_work_set_bytes (PoolServiceWork *self, guint64 bytes);
void pool_service_work_drop_args (PoolServiceWork *self);

/* @func is called later, once. */
void pool_service_work_start (PoolServiceWork *self, PoolManager *manager, PoolServiceWorkFunc func, gpointer user_data);
/* Cancels it if it was started; @func is called all the same. */
void pool_service_work_cancel (PoolServiceWork *self);

/* The arguments of a call, as a tuple: @value is one, or “av”. */
GVariant *pool_service_work_take_tuple (GVariant *value, GError **error);

/* The work that a result of a pool is of, or NULL. */
PoolServiceWork *pool_service_work_find (PoolAsyncResult *result);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolServiceWork, pool_service_work_unref)

G_END_DECLS
