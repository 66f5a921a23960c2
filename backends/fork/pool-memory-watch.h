/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The manager's look at the memory that a worker process has resident. */
typedef struct
{
  int statm_fd;    /* -1: not opened yet */
  guint64 seen;    /* KiB resident, when it was last looked at */
  guint64 foreign; /* KiB of those at most that are not its own */
  gint64 rest;     /* monotonic µs: not to be looked at closely before */
} PoolMemoryWatch;

void pool_memory_watch_init (PoolMemoryWatch *self);
void pool_memory_watch_clear (PoolMemoryWatch *self);
/*
 * KiB of its own that the process has resident: neither pages of files nor what it shares with a pool. Exact if that is more than
 * @limit; else any number up to @limit. 0: it has ended.
 */
guint64 pool_memory_watch_read (PoolMemoryWatch *self, gint64 pid, guint64 limit);

G_END_DECLS
