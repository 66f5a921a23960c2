/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

typedef enum
{
  POOL_TRACE_TASK,   /* has run: from time, for duration; detail: how it ended */
  POOL_TRACE_NOTE,   /* something happened to a task; name: what, detail: its function */
  POOL_TRACE_WORKER, /* there is such a worker */
  POOL_TRACE_UP,
  POOL_TRACE_DOWN, /* detail: why */
} PoolTraceKind;

/* The strings belong to others, who keep them until the trace has stopped. */
typedef struct
{
  PoolTraceKind kind;
  guint worker;
  gint64 pid;
  gint64 time;     /* monotonic ns */
  gint64 duration; /* ns */
  const char *name;
  const char *detail;
  guint64 id;
  guint attempt;
  guint n_items;
} PoolTraceEvent;

/*
 * A time line of what workers did, on its way to a file. Events are noted under the engine's lock, which costs a copy; a thread of the
 * trace writes them. When that does not keep up, events are left out and counted, so memory is bounded.
 */
typedef struct _PoolTrace PoolTrace;

/* @label: of the pool; the kind of file goes by the end of its name */
POOL_EXPORT
PoolTrace *pool_trace_start (const char *path, const char *label, GError **error);
POOL_EXPORT
void pool_trace_add (PoolTrace *self, const PoolTraceEvent *event);
/* Writes what is left and frees it; not under a lock. FALSE: the file is not complete. */
POOL_EXPORT
gboolean pool_trace_stop (PoolTrace *self, GError **error);

/* How events become bytes. Nothing here may take a lock of GLib's: the thread is not stopped for a fork. */
typedef struct _PoolTraceSink PoolTraceSink;

struct _PoolTraceSink
{
  /* 0, or an errno */
  int (*write) (PoolTraceSink *self, const PoolTraceEvent *events, guint n);
  int (*finish) (PoolTraceSink *self, guint64 n_dropped);
  void (*free) (PoolTraceSink *self);
};

/* take @fd; NULL, with errno, if nothing can be written to it */
PoolTraceSink *pool_trace_json_new (int fd, const char *label);
#ifdef HAVE_SYSPROF
PoolTraceSink *pool_trace_sysprof_new (int fd, const char *label);
#endif

G_END_DECLS
