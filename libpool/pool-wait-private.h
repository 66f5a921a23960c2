/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-engine-private.h"

G_BEGIN_DECLS

/*
 * One asynchronous wait: the GAsyncResult that its callback gets. A GTask would do, but the first GTask of a program makes
 * GLib start two threads, and a program with threads cannot fork workers.
 */
#define POOL_TYPE_WAIT (pool_wait_get_type ())
G_DECLARE_FINAL_TYPE (PoolWait, pool_wait, POOL, WAIT, GObject)

PoolWait *pool_wait_new (PoolEngine *engine, gpointer source, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data);
/* Once: the callback comes in the pool's context. Takes @value and @error; not with the engine's lock held. */
void pool_wait_return (PoolWait *self, GVariant *value, GError *error);
gboolean pool_wait_has_returned (PoolWait *self);
gboolean pool_wait_is_valid (GAsyncResult *result, gpointer source);
/* (transfer full) */
GVariant *pool_wait_propagate (PoolWait *self, GError **error);

G_END_DECLS
