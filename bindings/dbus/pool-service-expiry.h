/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Things that are to go after a while, the same for all of them: one timer for however many there are. */
typedef struct _PoolServiceExpiry PoolServiceExpiry;

PoolServiceExpiry *pool_service_expiry_new (double seconds, void (*expire) (gpointer item));
void pool_service_expiry_free (PoolServiceExpiry *self);
/* @since: real time in µs from which its time runs. Returns: to be given to remove(); no more valid when it has expired */
gpointer pool_service_expiry_add (PoolServiceExpiry *self, gpointer item, gint64 since);
void pool_service_expiry_remove (PoolServiceExpiry *self, gpointer handle);

G_END_DECLS
