/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-engine-private.h"
#include "pool-manager.h"

G_BEGIN_DECLS

/* The work queue of put() and get(); its fields are guarded by the engine's lock. */
typedef struct
{
  GQueue results; /* PoolApplyResult, in the order of put() */
  guint size;     /* 0: twice the processes */
  gboolean ordered;
  GThread *feeder;
  gboolean feeding;
  gboolean fed; /* put_async() was called */
  guint n_unwanted; /* of the results */
} PoolManagerQueue;

struct _PoolManager
{
  GObject parent_instance;

  PoolEngine *engine;
  char *backend;
  int processes;
  gboolean processes_set;
  char *target;
  GType target_type;
  gboolean daemon;
  gboolean allow_restart;
  PoolManagerQueue queue;
  GPtrArray *loggers; /* log domains */
  gint64 alive_asked; /* monotonic µs; is_alive() is cached */
  gboolean alive;
};

/* The task that a call names, or the pool's target. */
const char *pool_manager_get_task (PoolManager *self, const char *task);
/* With a callback the result is the callback's; without, the caller's. */
gpointer pool_manager_give (gpointer result, GAsyncReadyCallback callback);
/* of the method that @tag is, when its callback was called */
GBytes *pool_manager_finish_bytes (PoolManager *self, GAsyncResult *result, gpointer tag, GError **error);
void pool_manager_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec);
void pool_manager_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec);
void pool_manager_install_properties (GObjectClass *klass);
/* what it says of itself: ids from here on */
#define POOL_MANAGER_STATISTICS 1000
void pool_manager_get_statistic (PoolManager *self, guint prop_id, GValue *value);
void pool_manager_set_statistic (PoolManager *self, guint prop_id, const GValue *value);
void pool_manager_install_statistics (GObjectClass *klass);
/* where its workers come from, if that is elsewhere */
#define POOL_MANAGER_REMOTE 2000
void pool_manager_get_remote (PoolManager *self, guint prop_id, GValue *value);
void pool_manager_set_remote (PoolManager *self, guint prop_id, const GValue *value);
void pool_manager_install_remote (GObjectClass *klass);
gboolean pool_manager_check_remote (PoolManager *self, PoolBackendFlags flags, GError **error);
void pool_manager_install_signals (void);
void pool_manager_connect_events (PoolManager *self);
gboolean pool_manager_check_new (PoolManager *self, const char *what, GError **error);
gboolean pool_manager_prepare (PoolManager *self, GError **error);
/* Can this backend do what is asked for? */
gboolean pool_manager_check_backend (PoolManager *self, PoolBackend *backend, GError **error);
void pool_manager_prepare_logs (PoolManager *self);
void pool_manager_set_worker_command (PoolManager *self, const GValue *value);
gboolean pool_manager_check_worker_command (PoolManager *self, GError **error);
/* the task of the target type, if there is one */
gboolean pool_manager_add_target_type (PoolManager *self, GError **error);
void pool_manager_queue_clear (PoolManager *self);

PoolResultIterator *pool_result_iterator_new (PoolManager *manager, const char *task, gboolean star,
                                              gboolean ordered, guint chunksize, PoolNextFunc next,
                                              gpointer user_data, GDestroyNotify destroy);

G_END_DECLS
