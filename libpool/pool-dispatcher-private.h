/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Brings callbacks and signals into the main context that was the thread default when the pool was made. Where nobody
 * iterates it, they run in the thread that waits for a result, or, after a while, in the engine's.
 */
typedef struct _PoolDispatcher PoolDispatcher;

typedef void (*PoolDispatchFunc) (gpointer data);

PoolDispatcher *pool_dispatcher_new (void);
PoolDispatcher *pool_dispatcher_ref (PoolDispatcher *self);
void pool_dispatcher_unref (PoolDispatcher *self);
GMainContext *pool_dispatcher_get_context (PoolDispatcher *self);
/* @func owns @data; it is called once, without any lock */
void pool_dispatcher_push (PoolDispatcher *self, PoolDispatchFunc func, gpointer data);
/* @func is called when something is pushed and the thread that did it may not be going to run it; NULL: not any more */
void pool_dispatcher_set_wake (PoolDispatcher *self, PoolDispatchFunc func, gpointer data);
/* this thread will call pool_dispatcher_run() presently: nobody need be woken for what it pushes until then */
void pool_dispatcher_expect_run (PoolDispatcher *self);
gboolean pool_dispatcher_has_pending (PoolDispatcher *self);
/* changes whenever somebody has run what was pending */
guint pool_dispatcher_get_turn (PoolDispatcher *self);
/* how often something was pushed */
guint pool_dispatcher_get_n_pushed (PoolDispatcher *self);
/* runs what is pending in this thread, unless another one iterates the context */
void pool_dispatcher_run (PoolDispatcher *self);
/* the pool is gone: the source goes when the last has run; for what is still pushed there will be another */
void pool_dispatcher_close (PoolDispatcher *self);

typedef gboolean (*PoolDispatchFilter) (gconstpointer data);

/* Takes out what is pending of @func that @filter says nobody waits for, and frees it. */
void pool_dispatcher_drop (PoolDispatcher *self, PoolDispatchFunc func, PoolDispatchFilter filter,
                           GDestroyNotify destroy);

G_END_DECLS
