/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * The place where a pool can be looked at by other programs of its user, if it wants that: a socket in the folder of
 * pool_monitor_get_folder(). Who connects is sent a memfd with a value of type POOL_MONITOR_TYPE, and a zero byte, and is let go. The
 * pool's thread answers, beside all else that it waits for, so that a pool at which nobody looks does nothing for it.
 */
typedef struct _PoolMonitor PoolMonitor;

/* Keys are those of the properties of org.libpool.Service1.Pool, and Workers (aa{sv}), Pid (x) and Program (s). */
#define POOL_MONITOR_TYPE "a{sv}"

/* What the environment variable of this name says of pools that do not say themselves. */
#define POOL_MONITOR_VARIABLE "POOL_TOP"

/* Makes the folder if need be; an error if it is not this user's alone. */
PoolMonitor *pool_monitor_new (GError **error);
PoolMonitor *pool_monitor_ref (PoolMonitor *self);
void pool_monitor_unref (PoolMonitor *self);
/* Nobody finds it any more. */
void pool_monitor_withdraw (PoolMonitor *self);
/* Readable when somebody waits for an answer. */
int pool_monitor_get_fd (PoolMonitor *self);
/* Whether there was somebody who may know: a connection that @value is for, to be handed to pool_monitor_send(); or -1 */
int pool_monitor_accept (PoolMonitor *self);
/* Takes both. */
void pool_monitor_send (int connection, GVariant *value);

POOL_EXPORT
char *pool_monitor_get_folder (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolMonitor, pool_monitor_unref)

G_END_DECLS
