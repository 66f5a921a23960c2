/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/* Memory of several processes: a memfd with address space by the GiB, of which only what is written to takes memory. */

/* A descriptor; < 0: there is none. */
POOL_EXPORT
int pool_shared_memory_open (void);
/* Gives it a size, and maps it. NULL with errno: not of that size; a smaller one may do. */
POOL_EXPORT
guint8 *pool_shared_memory_make (int fd, gsize size);
/* Of this process or of another one. @protection: of mmap(). NULL with errno */
POOL_EXPORT
guint8 *pool_shared_memory_map (int fd, gsize size, int protection);
/* From now on nobody can cut off a part, which would be a SIGBUS for those who look at it. */
POOL_EXPORT
void pool_shared_memory_seal (int fd);

G_END_DECLS
