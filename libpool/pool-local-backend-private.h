/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"
#include "pool-ring-private.h"

G_BEGIN_DECLS

/*
 * What backends with workers on this machine have in common: tasks and results through a ring (pool-ring-private.h). A
 * subclass makes the memory and the workers, and says where arguments and results lie in that memory.
 */
#define POOL_TYPE_LOCAL_BACKEND (pool_local_backend_get_type ())
#define POOL_LOCAL_BACKEND(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_LOCAL_BACKEND, PoolLocalBackend))
#define POOL_LOCAL_BACKEND_CLASS(k)                                                                \
  (G_TYPE_CHECK_CLASS_CAST ((k), POOL_TYPE_LOCAL_BACKEND, PoolLocalBackendClass))
#define POOL_LOCAL_BACKEND_GET_CLASS(o)                                                            \
  (G_TYPE_INSTANCE_GET_CLASS ((o), POOL_TYPE_LOCAL_BACKEND, PoolLocalBackendClass))

typedef struct _PoolLocalBackend PoolLocalBackend;
typedef struct _PoolLocalBackendClass PoolLocalBackendClass;

/* What a worker is told of a task, but for its data. */
static inline void
pool_local_slot_describe (PoolRingSlot *slot, const PoolBackendTask *task)
{
  slot->function = task->function;
  slot->handle = task->handle;
  slot->id = task->id;
  slot->attempt = task->attempt;
  slot->n_items = task->n_items;
  slot->flags = task->flags;
  slot->limit = task->limit;
  slot->size = task->size;
}

/* The manager's own knowledge of the task in a slot. */
typedef struct
{
  guint64 handle;
  guint n_items;
  const guint8 *data; /* the argument, as the manager sees it */
  gsize size;
  guint8 *placed;  /* a copy that place_argument() made, or NULL */
  guint8 *adopted; /* the argument, of a task that has ended for the engine, or NULL */
  gboolean adopted_is_ours; /* free_payload() frees it, not g_free() */
} PoolLocalSlot;

struct _PoolLocalBackend
{
  PoolBackend parent_instance;

  PoolRing ring;
  PoolLocalSlot *slots;
  int event_fd;
  int epoll_fd;
  gboolean control_ready; /* an fd of the subclass is */
  guint processes;        /* of the start */
  guint max_tasks;        /* until a worker leaves; 0: any number */
  gboolean reports_first; /* read_reports() after results were taken, before anybody is told of them */
};

struct _PoolLocalBackendClass
{
  PoolBackendClass parent_class;

  /* Makes a task's argument (too long for the slot) visible to workers: sets ring_slot->data; FALSE: no memory now. */
  gboolean (*place_argument) (PoolLocalBackend *self, PoolLocalSlot *slot, PoolRingSlot *ring_slot);
  void (*release_argument) (PoolLocalBackend *self, PoolLocalSlot *slot);
  /* Finds a result's bytes (not inline, not a reference) and checks that they lie where the worker may write. */
  gboolean (*open_result) (PoolLocalBackend *self, guint worker, const PoolRingResult *ring_result,
                           PoolBackendResult *result);
  /* Afterwards; the result's bytes have been let go of. May be NULL. */
  void (*close_result) (PoolLocalBackend *self, guint worker, const PoolRingResult *ring_result);
  /* A message of a worker that is not a result. */
  void (*handle_message) (PoolLocalBackend *self, guint worker, const PoolRingResult *message);
  /* A worker broke the rules: end it. */
  void (*punish) (PoolLocalBackend *self, guint worker);
  /* The subclass's own fds, when control_ready was set; TRUE if something happened. */
  gboolean (*dispatch_control) (PoolLocalBackend *self);
  /* What workers have logged up to now. May be NULL. */
  void (*read_reports) (PoolLocalBackend *self);
  /* A task that is captured has ended, or its worker has: tell its output. May be NULL. */
  void (*take_output) (PoolLocalBackend *self, guint worker, guint64 handle);
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolLocalBackend, g_object_unref)

POOL_EXPORT
GType pool_local_backend_get_type (void) G_GNUC_CONST;

/* How large the ring is for so many workers. */
POOL_EXPORT
void pool_local_backend_plan (const PoolBackendConfig *config, guint *n_slots, guint *n_results,
                              guint *max_workers);
/* Before workers are made. Takes nothing: @memory is the subclass's. */
POOL_EXPORT
gboolean pool_local_backend_open (PoolLocalBackend *self, gpointer memory, const PoolBackendConfig *config,
                                  GError **error);
POOL_EXPORT
void pool_local_backend_close (PoolLocalBackend *self);
/* A worker is about to be made. @first: with the pool. */
POOL_EXPORT
void pool_local_backend_add_worker (PoolLocalBackend *self, guint worker, guint32 incarnation,
                                    gboolean first);
/* A free number for a worker; -1: there are as many as can be. */
POOL_EXPORT
int pool_local_backend_free_index (PoolLocalBackend *self);
POOL_EXPORT
gboolean pool_local_backend_watch_fd (PoolLocalBackend *self, int fd);
/* Whether control_ready is to be set also when @fd, which is watched, can be written to. */
POOL_EXPORT
gboolean pool_local_backend_watch_room (PoolLocalBackend *self, int fd, gboolean on);
/* Has a worker got the task @handle, or may one get it? */
POOL_EXPORT
gboolean pool_local_backend_has_task (PoolLocalBackend *self, guint64 handle);
POOL_EXPORT
void pool_local_backend_withdraw (PoolLocalBackend *self);
/* Results of a worker, taken before its death is dealt with; TRUE if there were any. */
POOL_EXPORT
gboolean pool_local_backend_drain (PoolLocalBackend *self, guint worker);
/*
 * The end of a worker whose results have been drained: fills in which task it ran, frees what it held, and tells the
 * engine.
 */
POOL_EXPORT
void pool_local_backend_worker_gone (PoolLocalBackend *self, PoolBackendExit *exit);
/* A worker that cannot be ended is given up: the pool goes on as if it were gone. */
POOL_EXPORT
void pool_local_backend_abandon (PoolLocalBackend *self, guint worker);

G_END_DECLS
