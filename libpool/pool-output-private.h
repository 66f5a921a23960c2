/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

G_BEGIN_DECLS

/* What is kept of each stream of a call, in bytes; a map is one call. */
#define POOL_OUTPUT_MAX ((gsize) 64 * 1024 * 1024)

/* What a call has written, in pieces: one of a lone call, one for each chunk of a map. Guarded by who owns it. */
typedef struct _PoolOutput PoolOutput;

PoolOutput *pool_output_new (void);
void pool_output_free (PoolOutput *self);
/* of the chunk that begins at item @first; in place of what an earlier attempt at it wrote */
void pool_output_set (PoolOutput *self, guint64 first, const PoolBackendOutput *output);
/* in the order of the items; @stream: 0 or 1; NULL: there is no memory */
GBytes *pool_output_get (PoolOutput *self, guint stream);
guint64 pool_output_get_lost (PoolOutput *self);

G_END_DECLS
