/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-trace-private.h"

#include <errno.h>
#include <stdio.h>
#include <sysprof-capture.h>

/* A capture of Sysprof with a mark for each event; its clock is the monotonic one, too. */

#define GROUP "libpool"

typedef struct
{
  PoolTraceSink sink;
  SysprofCaptureWriter *writer;
  char *label;
} Capture;

static gboolean
add_task (Capture *self, const PoolTraceEvent *event)
{
  g_autofree char *message =
      g_strdup_printf ("%s; worker %u, task %" G_GUINT64_FORMAT ", attempt %u, items %u", event->detail, event->worker,
                       event->id, event->attempt, event->n_items);

  return sysprof_capture_writer_add_mark (self->writer, event->time, -1, event->pid, event->duration, GROUP,
                                          event->name, message);
}

static gboolean
add_worker (Capture *self, const PoolTraceEvent *event)
{
  g_autofree char *message = g_strdup_printf ("worker %u%s%s", event->worker, event->detail != NULL ? ": " : "",
                                              event->detail != NULL ? event->detail : "");

  return sysprof_capture_writer_add_mark (self->writer, event->time, -1, event->pid, 0, GROUP,
                                          event->kind == POOL_TRACE_UP ? "worker up" : "worker down", message);
}

static gboolean
add_event (Capture *self, const PoolTraceEvent *event)
{
  g_autofree char *name = NULL;

  switch (event->kind)
    {
    case POOL_TRACE_TASK:
    case POOL_TRACE_NOTE:
      return add_task (self, event);
    case POOL_TRACE_UP:
    case POOL_TRACE_DOWN:
      return add_worker (self, event);
    case POOL_TRACE_WORKER:
    default:
      name = g_strdup_printf ("libpool (%s)", self->label);
      return sysprof_capture_writer_add_process (self->writer, event->time, -1, event->pid, name);
    }
}

/* The library does not say why, but for what the system said last. */
static int
get_errno (gboolean ok)
{
  return ok ? 0 : errno != 0 ? errno : EIO;
}

static int
sysprof_write (PoolTraceSink *sink, const PoolTraceEvent *events, guint n)
{
  Capture *self = (Capture *) sink;
  gboolean ok = TRUE;

  errno = 0;
  for (guint i = 0; i < n && ok; i++)
    ok = add_event (self, &events[i]);
  return get_errno (ok);
}

static int
sysprof_finish (PoolTraceSink *sink, guint64 n_dropped)
{
  Capture *self = (Capture *) sink;
  gboolean ok = TRUE;
  char message[64];

  errno = 0;
  if (n_dropped > 0)
    {
      snprintf (message, sizeof message, "%" G_GUINT64_FORMAT " events left out", n_dropped);
      ok = sysprof_capture_writer_add_log (self->writer, SYSPROF_CAPTURE_CURRENT_TIME, -1, 0, 0, GROUP, message);
    }
  return get_errno (ok && sysprof_capture_writer_flush (self->writer));
}

static void
sysprof_free (PoolTraceSink *sink)
{
  Capture *self = (Capture *) sink;

  sysprof_capture_writer_unref (self->writer);
  g_free (self->label);
  g_free (self);
}

PoolTraceSink *
pool_trace_sysprof_new (int fd, const char *label)
{
  SysprofCaptureWriter *writer;
  Capture *self;

  errno = 0;
  writer = sysprof_capture_writer_new_from_fd (fd, 0);
  if (writer == NULL)
    return NULL;
  self = g_new0 (Capture, 1);
  self->sink = (PoolTraceSink){ sysprof_write, sysprof_finish, sysprof_free };
  self->writer = writer;
  self->label = g_strdup (label);
  return &self->sink;
}
