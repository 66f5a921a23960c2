/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-statistics.h"
#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_MANAGER (pool_manager_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolManager, pool_manager, POOL, MANAGER, GObject)

POOL_AVAILABLE_IN_ALL
PoolManager *pool_manager_new (const char *backend);

/* functions */
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_register (PoolManager *self, const char *name, PoolTaskFunc func,
                                gpointer user_data, GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_register_bytes (PoolManager *self, const char *name, PoolBytesFunc func,
                                      gpointer user_data, GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_register_memory (PoolManager *self, const char *name, PoolMemoryFunc func,
                                       gpointer user_data, GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_register_batch (PoolManager *self, const char *name, PoolBatchFunc func,
                                      gpointer user_data, GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_set_initializer (PoolManager *self, const char *task, GVariant *initargs,
                                       GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_set_static_args (PoolManager *self, GVariant *static_args, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_add_logger (PoolManager *self, const char *domain, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_remove_logger (PoolManager *self, const char *domain, GError **error);

/* how workers are made, for bindings */
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_set_fork_func (PoolManager *self, PoolForkFunc func, gpointer user_data,
                                     GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_set_thread_func (PoolManager *self, PoolThreadFunc func, gpointer user_data,
                                       GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
int pool_manager_run_worker (PoolManager *self, const char *const *argv, GError **error);

/* life */
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_start (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_close (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_terminate (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_join (PoolManager *self, double timeout, GError **error);

/* one call */
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_apply (PoolManager *self, const char *task, GVariant *args,
                              PoolCallOptions *options, GCancellable *cancellable, GError **error);
POOL_AVAILABLE_IN_ALL
PoolApplyResult *pool_manager_apply_async (PoolManager *self, const char *task, GVariant *args,
                                           PoolCallOptions *options, GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_apply_finish (PoolManager *self, GAsyncResult *result, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_manager_apply_bytes (PoolManager *self, const char *task, const guint8 *data, gsize size,
                                  PoolCallOptions *options, GCancellable *cancellable, GError **error);
POOL_AVAILABLE_IN_ALL
PoolApplyResult *pool_manager_apply_bytes_async (PoolManager *self, const char *task,
                                                 const guint8 *data, gsize size,
                                                 PoolCallOptions *options, GCancellable *cancellable,
                                                 GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GBytes *pool_manager_apply_bytes_finish (PoolManager *self, GAsyncResult *result, GError **error);
POOL_AVAILABLE_IN_ALL
PoolBlock *pool_manager_reserve (PoolManager *self, gsize size, GError **error);
POOL_AVAILABLE_IN_ALL
PoolApplyResult *pool_manager_apply_block_async (PoolManager *self, const char *task, PoolBlock *block,
                                                 PoolCallOptions *options, GCancellable *cancellable,
                                                 GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GBytes *pool_manager_apply_block_finish (PoolManager *self, GAsyncResult *result, GError **error);

/* many calls */
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_map (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                            GCancellable *cancellable, GError **error);
POOL_AVAILABLE_IN_ALL
PoolMapResult *pool_manager_map_async (PoolManager *self, const char *task, GVariant *items,
                                       guint chunksize, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_map_finish (PoolManager *self, GAsyncResult *result, GError **error);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_starmap (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                                GCancellable *cancellable, GError **error);
POOL_AVAILABLE_IN_ALL
PoolMapResult *pool_manager_starmap_async (PoolManager *self, const char *task, GVariant *items,
                                           guint chunksize, GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_starmap_finish (PoolManager *self, GAsyncResult *result, GError **error);
POOL_AVAILABLE_IN_ALL
GBytes *pool_manager_map_packed (PoolManager *self, const char *task, const guint8 *data, gsize size,
                                 guint chunksize, GCancellable *cancellable, GError **error);
POOL_AVAILABLE_IN_ALL
PoolMapResult *pool_manager_map_packed_async (PoolManager *self, const char *task, GBytes *packed,
                                              guint chunksize, GCancellable *cancellable,
                                              GAsyncReadyCallback callback, gpointer user_data);
POOL_AVAILABLE_IN_ALL
GBytes *pool_manager_map_packed_finish (PoolManager *self, GAsyncResult *result, GError **error);

/* lazily */
POOL_AVAILABLE_IN_ALL
PoolResultIterator *pool_manager_imap (PoolManager *self, const char *task, GVariant *items,
                                       guint chunksize, GError **error);
POOL_AVAILABLE_IN_ALL
PoolResultIterator *pool_manager_imap_unordered (PoolManager *self, const char *task, GVariant *items,
                                                 guint chunksize, GError **error);
POOL_AVAILABLE_IN_ALL
PoolResultIterator *pool_manager_istarmap (PoolManager *self, const char *task, GVariant *items,
                                           guint chunksize, GError **error);
POOL_AVAILABLE_IN_ALL
PoolResultIterator *pool_manager_istarmap_unordered (PoolManager *self, const char *task,
                                                     GVariant *items, guint chunksize,
                                                     GError **error);
POOL_AVAILABLE_IN_ALL
PoolResultIterator *pool_manager_imap_lazy (PoolManager *self, const char *task, gboolean star,
                                            gboolean ordered, guint chunksize, PoolNextFunc next,
                                            gpointer user_data, GDestroyNotify destroy,
                                            GError **error);
POOL_AVAILABLE_IN_ALL
PoolStream *pool_manager_open_stream (PoolManager *self, const char *task, GError **error);

/* a work queue with the pool's target */
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_put (PoolManager *self, GVariant *args, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_put_async (PoolManager *self, PoolNextFunc next, gpointer user_data,
                                 GDestroyNotify destroy, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_join_async (PoolManager *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_get (PoolManager *self, double timeout, GError **error);
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_get_all (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
guint pool_manager_clear_tasks (PoolManager *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_is_alive (PoolManager *self);

/* numbers and times */
POOL_AVAILABLE_IN_ALL
GVariant *pool_manager_get_histogram (PoolManager *self, PoolHistogramKind kind, GError **error);
POOL_AVAILABLE_IN_ALL
guint64 pool_manager_get_n_exits (PoolManager *self, PoolDownReason reason);
POOL_AVAILABLE_IN_ALL
char *pool_manager_dump_metrics (PoolManager *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_start_trace (PoolManager *self, const char *path, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_stop_trace (PoolManager *self, GError **error);

/* state */
POOL_AVAILABLE_IN_ALL
PoolState pool_manager_get_state (PoolManager *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_grow (PoolManager *self, guint n, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_shrink (PoolManager *self, guint n, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_terminate_job (PoolManager *self, gint64 pid, int signum, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_restart (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_did_start_ok (PoolManager *self);
POOL_AVAILABLE_IN_ALL
gboolean pool_manager_maintain_pool (PoolManager *self, GError **error);
POOL_AVAILABLE_IN_ALL
int *pool_manager_get_process_sentinels (PoolManager *self, gsize *n_sentinels);
POOL_AVAILABLE_IN_ALL
GPtrArray *pool_manager_get_workers (PoolManager *self);

G_END_DECLS
