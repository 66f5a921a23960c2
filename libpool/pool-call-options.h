/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/**
 * PoolAcceptFunc:
 * @result: the call
 * @worker: the worker that has started it
 * @time: when, monotonic time in microseconds
 * @user_data: what was given with the function
 *
 * Told when a worker has started a call; see [method@CallOptions.set_accept_callback].
 *
 * Since: 1.0
 */
typedef void (*PoolAcceptFunc) (PoolAsyncResult *result, PoolWorkerInfo *worker, gint64 time,
                                gpointer user_data);

/**
 * PoolTimeoutFunc:
 * @result: the call
 * @soft: whether it was the soft limit
 * @limit: the limit in seconds
 * @user_data: what was given with the function
 *
 * Told when a call has run over a time limit; see [method@CallOptions.set_timeout_callback].
 *
 * Since: 1.0
 */
typedef void (*PoolTimeoutFunc) (PoolAsyncResult *result, gboolean soft, double limit, gpointer user_data);

#define POOL_TYPE_CALL_OPTIONS (pool_call_options_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (PoolCallOptions, pool_call_options, POOL, CALL_OPTIONS, GObject)

POOL_AVAILABLE_IN_ALL
PoolCallOptions *pool_call_options_new (void);
POOL_AVAILABLE_IN_ALL
const char *pool_call_options_get_correlation_id (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_correlation_id (PoolCallOptions *self, const char *correlation_id);
POOL_AVAILABLE_IN_ALL
int pool_call_options_get_max_retries (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_max_retries (PoolCallOptions *self, int max_retries);
POOL_AVAILABLE_IN_ALL
int pool_call_options_get_capture_output (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_capture_output (PoolCallOptions *self, int capture_output);

POOL_AVAILABLE_IN_ALL
double pool_call_options_get_timeout (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_timeout (PoolCallOptions *self, double timeout);
POOL_AVAILABLE_IN_ALL
double pool_call_options_get_soft_timeout (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_soft_timeout (PoolCallOptions *self, double soft_timeout);
POOL_AVAILABLE_IN_ALL
int pool_call_options_get_priority (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_priority (PoolCallOptions *self, int priority);
POOL_AVAILABLE_IN_ALL
gboolean pool_call_options_get_wait_for_slot (PoolCallOptions *self);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_wait_for_slot (PoolCallOptions *self, gboolean wait_for_slot);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_accept_callback (PoolCallOptions *self, PoolAcceptFunc func,
                                            gpointer user_data, GDestroyNotify destroy);
POOL_AVAILABLE_IN_ALL
void pool_call_options_set_timeout_callback (PoolCallOptions *self, PoolTimeoutFunc func,
                                             gpointer user_data, GDestroyNotify destroy);

G_END_DECLS
