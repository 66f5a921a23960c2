/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * What outlives the service, in SQLite: pools that are persistent, durable jobs and their results. Changes that come in one turn
 * of the main loop are one transaction; what waits for it is called when that is on the disk. One process at a time may have it.
 */
typedef struct _PoolServiceStore PoolServiceStore;

typedef struct
{
  guint64 id;
  guint32 uid;
  const char *backend;
  GVariant *options; /* a{sv} */
  gint64 created_at;
  gboolean is_closed; /* it ends with its last job */
} PoolServiceStoredPool;

typedef struct
{
  guint64 id;
  guint32 uid;
  guint64 pool;
  guint kind;
  const char *task;
  GVariant *args; /* of any type; not read if it has ended */
  GVariant *options; /* a{sv} */
  gint64 submitted_at;
  guint runs;
  gboolean ended, failed;
  gint64 ended_at;
} PoolServiceStoredJob;

/* stops the walk and fails it by returning FALSE */
typedef gboolean (*PoolServicePoolFunc) (const PoolServiceStoredPool *pool, gpointer user_data, GError **error);
typedef gboolean (*PoolServiceJobFunc) (const PoolServiceStoredJob *job, gpointer user_data, GError **error);
typedef void (*PoolServiceCommitFunc) (const GError *error, gpointer user_data);

/* Waits until no other process has it, for up to @patience seconds. */
PoolServiceStore *pool_service_store_open (const char *directory, double patience, GError **error);
void pool_service_store_close (PoolServiceStore *self);

gboolean pool_service_store_each_pool (PoolServiceStore *self, PoolServicePoolFunc func, gpointer user_data, GError **error);
gboolean pool_service_store_each_job (PoolServiceStore *self, PoolServiceJobFunc func, gpointer user_data, GError **error);

/* Each joins the transaction of this turn. FALSE: nothing was changed. */
gboolean pool_service_store_add_pool (PoolServiceStore *self, const PoolServiceStoredPool *pool, GError **error);
gboolean pool_service_store_close_pool (PoolServiceStore *self, guint64 id, GError **error);
gboolean pool_service_store_remove_pool (PoolServiceStore *self, guint64 id, GError **error);
gboolean pool_service_store_add_job (PoolServiceStore *self, const PoolServiceStoredJob *job, GError **error);
gboolean pool_service_store_begin_job (PoolServiceStore *self, guint64 id, guint runs, GError **error);
/* @value, @failure: one of them is NULL. A job that has ended already stays as it is. */
gboolean pool_service_store_end_job (PoolServiceStore *self, guint64 id, GVariant *value, const GError *failure,
                                     gint64 ended_at, GError **error);
gboolean pool_service_store_remove_job (PoolServiceStore *self, guint64 id, GError **error);

/* The result of a job that has ended: a value, or its failure in @error with @failed set. */
GVariant *pool_service_store_read_result (PoolServiceStore *self, guint64 id, gboolean *failed, GError **error);

/* @func is called when what was changed in this turn is on the disk, or cannot be; at once if nothing was. */
void pool_service_store_when_committed (PoolServiceStore *self, PoolServiceCommitFunc func, gpointer user_data);
/* Commits now what this turn has changed; returns whether it is on the disk. */
gboolean pool_service_store_flush (PoolServiceStore *self, GError **error);

G_END_DECLS
