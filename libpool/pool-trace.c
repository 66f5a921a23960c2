/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-trace-private.h"

#include "pool-fork-guard-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <unistd.h>

/* Events that are kept while the file cannot take them; there are two buffers of so many. */
#define MAX_EVENTS 65536
/* The thread is woken when so many have come together. */
#define MANY_EVENTS 4096

struct _PoolTrace
{
  char *path;
  PoolTraceSink *sink;
  GThread *thread;
  int failed; /* errno; the thread's until it is joined */

  GMutex lock; /* of the rest; never held while anything is written */
  GCond cond;
  PoolTraceEvent *events; /* that come in */
  guint n_events;
  guint64 n_dropped;
  gboolean stopping;
};

/* Waits for events, and takes them in exchange for an empty buffer. FALSE: these are the last. */
static gboolean
next_events (PoolTrace *self, PoolTraceEvent **events, guint *n)
{
  PoolTraceEvent *full;
  gboolean more;

  g_mutex_lock (&self->lock);
  while (self->n_events < MANY_EVENTS && !self->stopping)
    g_cond_wait (&self->cond, &self->lock);
  full = self->events;
  self->events = *events;
  *events = full;
  *n = self->n_events;
  self->n_events = 0;
  more = !self->stopping;
  g_mutex_unlock (&self->lock);
  return more;
}

/*
 * It holds the fork guard only for its first and last steps: a file that is slow must not keep the program from forking, and a child
 * has no use for anything that this thread may hold.
 */
static gpointer
write_events (gpointer data)
{
  PoolTrace *self = data;
  g_autofree PoolTraceEvent *events = g_new (PoolTraceEvent, MAX_EVENTS);
  gboolean more;
  guint n;

  pool_fork_guard_thread_begin ();
  pool_fork_guard_leave ();
  do
    {
      more = next_events (self, &events, &n);
      if (self->failed == 0 && n > 0)
        self->failed = self->sink->write (self->sink, events, n);
    }
  while (more);
  if (self->failed == 0)
    self->failed = self->sink->finish (self->sink, self->n_dropped);
  pool_fork_guard_enter ();
  pool_fork_guard_thread_end ();
  return NULL;
}

static PoolTraceSink *
open_sink (const char *path, const char *label, GError **error)
{
  gboolean is_capture = g_str_has_suffix (path, ".syscap");
  PoolTraceSink *sink = NULL;
  int fd;

#ifndef HAVE_SYSPROF
  if (is_capture)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "%s: this libpool was built without Sysprof; a name that does not end in .syscap gets a file for "
                   "Perfetto",
                   path);
      return NULL;
    }
#endif
  fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd >= 0 && !is_capture)
    sink = pool_trace_json_new (fd, label);
#ifdef HAVE_SYSPROF
  else if (fd >= 0)
    sink = pool_trace_sysprof_new (fd, label);
#endif
  if (sink == NULL)
    {
      int code = errno != 0 ? errno : EIO;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "A trace cannot be written to %s: %s", path,
                   g_strerror (code));
    }
  return sink;
}

PoolTrace *
pool_trace_start (const char *path, const char *label, GError **error)
{
  PoolTraceSink *sink = open_sink (path, label, error);
  PoolTrace *self;

  if (sink == NULL)
    return NULL;
  self = g_new0 (PoolTrace, 1);
  self->path = g_strdup (path);
  self->sink = sink;
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->events = g_new (PoolTraceEvent, MAX_EVENTS);
  pool_fork_guard_thread_announce ();
  self->thread = g_thread_new ("libpool-trace", write_events, self);
  return self;
}

void
pool_trace_add (PoolTrace *self, const PoolTraceEvent *event)
{
  g_mutex_lock (&self->lock);
  if (self->n_events == MAX_EVENTS)
    self->n_dropped++;
  else
    self->events[self->n_events++] = *event;
  if (self->n_events == MANY_EVENTS)
    g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

gboolean
pool_trace_stop (PoolTrace *self, GError **error)
{
  int failed;

  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  pool_fork_guard_join (self->thread);

  failed = self->failed;
  if (failed != 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (failed), "The trace %s is not complete: %s", self->path,
                 g_strerror (failed));
  self->sink->free (self->sink);
  g_cond_clear (&self->cond);
  g_mutex_clear (&self->lock);
  g_free (self->events);
  g_free (self->path);
  g_free (self);
  return failed == 0;
}
