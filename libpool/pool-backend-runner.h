/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

G_BEGIN_DECLS

/*
 * For a backend whose workers are threads of this process: the part of a worker that is the same everywhere. It calls the
 * function of a task, on a value, on bytes, or on the items of a batch one by one, and knows what of that has begun, so that it can
 * be told, taken back or given up. What is between the manager and the thread is the backend's.
 *
 * It belongs to one worker, which has one task at a time.
 */
typedef struct _PoolBackendRunner PoolBackendRunner;

/*
 * The task that runs has something to say before its end: a message of kind POOL_RESULT_ACCEPTED or POOL_RESULT_PROGRESS, for
 * pool_backend_deliver(). Called in the worker's thread; without the pool's lock.
 */
typedef void (*PoolBackendTellFunc) (const PoolBackendResult *message, gpointer user_data);
/* Waits for tasks and runs them, until the worker is to end. */
typedef void (*PoolBackendLoopFunc) (PoolBackendRunner *runner, gpointer user_data);

/* Made and freed by the backend, the latter when the thread has ended. */
POOL_AVAILABLE_IN_ALL
PoolBackendRunner *pool_backend_runner_new (PoolBackend *backend, guint worker, PoolBackendTellFunc tell,
                                            gpointer user_data, GError **error);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_free (PoolBackendRunner *self);

/* The manager's side, from within the backend's class functions. */
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_take (PoolBackendRunner *self, const PoolBackendTask *task);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_drop (PoolBackendRunner *self);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_get_info (PoolBackendRunner *self, PoolBackendWorker *info);
POOL_AVAILABLE_IN_ALL
guint pool_backend_runner_split (PoolBackendRunner *self, guint64 handle, guint n_items);
POOL_AVAILABLE_IN_ALL
guint pool_backend_runner_doom (PoolBackendRunner *self, guint64 handle, gint64 item);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_notify (PoolBackendRunner *self, guint64 handle, guint item, guint notice);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_answer (PoolBackendRunner *self, guint64 handle, gboolean go);
POOL_AVAILABLE_IN_ALL
void pool_backend_runner_leave (PoolBackendRunner *self, gboolean now);

/* The worker's side, in its thread. */
POOL_AVAILABLE_IN_ALL
gboolean pool_backend_runner_enter (PoolBackendRunner *self, PoolBackendLoopFunc loop, gpointer user_data,
                                    PoolDownReason *reason, GError **error);
POOL_AVAILABLE_IN_ALL
gboolean pool_backend_runner_run (PoolBackendRunner *self, PoolBackendResult *result);

G_END_DECLS
