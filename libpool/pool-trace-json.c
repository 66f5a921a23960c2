/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-trace-private.h"

#include <errno.h>
#include <unistd.h>

/*
 * The trace event format of Chrome, which Perfetto and chrome://tracing read: an array of objects. A reader takes it without the closing
 * bracket, too, so what a program that crashed has written is of use.
 */

typedef struct
{
  PoolTraceSink sink;
  int fd;
  char *label;
  GString *out;
  gboolean any;
} Json;

static void
append_string (GString *out, const char *text)
{
  g_string_append_c (out, '"');
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (out, "\\u%04x", (guchar) *p);
    else
      g_string_append_c (out, *p);
  g_string_append_c (out, '"');
}

/* The format's times are microseconds, with as many decimals as one likes. */
static void
append_time (GString *out, const char *name, gint64 ns)
{
  g_string_append_printf (out, ",\"%s\":%" G_GINT64_FORMAT ".%03d", name, ns / 1000, (int) (ns % 1000));
}

static void
begin (Json *self, const PoolTraceEvent *event, const char *phase, const char *name)
{
  g_string_append (self->out, self->any ? ",\n" : "[\n");
  self->any = TRUE;
  g_string_append_printf (self->out, "{\"ph\":\"%s\",\"pid\":%" G_GINT64_FORMAT ",\"tid\":%u,\"name\":", phase,
                          event->pid, event->worker);
  append_string (self->out, name);
}

static void
append_task (Json *self, const PoolTraceEvent *event)
{
  g_string_append_printf (self->out, ",\"args\":{\"id\":%" G_GUINT64_FORMAT ",\"attempt\":%u,\"items\":%u",
                          event->id, event->attempt, event->n_items);
  g_string_append (self->out, event->kind == POOL_TRACE_TASK ? ",\"outcome\":" : ",\"task\":");
  append_string (self->out, event->detail);
  g_string_append (self->out, "}}");
}

static void
begin_instant (Json *self, const PoolTraceEvent *event, const char *name)
{
  begin (self, event, "i", name);
  append_time (self->out, "ts", event->time);
  g_string_append (self->out, ",\"s\":\"t\"");
}

static void
append_name (Json *self, const PoolTraceEvent *event, const char *what, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

static void
append_name (Json *self, const PoolTraceEvent *event, const char *what, const char *format, ...)
{
  g_autofree char *name = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  begin (self, event, "M", what);
  g_string_append (self->out, ",\"args\":{\"name\":");
  append_string (self->out, name);
  g_string_append (self->out, "}}");
}

static void
append_event (Json *self, const PoolTraceEvent *event)
{
  switch (event->kind)
    {
    case POOL_TRACE_TASK:
      begin (self, event, "X", event->name);
      append_time (self->out, "ts", event->time);
      append_time (self->out, "dur", event->duration);
      append_task (self, event);
      break;
    case POOL_TRACE_NOTE:
      begin_instant (self, event, event->name);
      append_task (self, event);
      break;
    case POOL_TRACE_UP:
      begin_instant (self, event, "worker up");
      g_string_append (self->out, "}");
      break;
    case POOL_TRACE_DOWN:
      begin_instant (self, event, "worker down");
      g_string_append (self->out, ",\"args\":{\"reason\":");
      append_string (self->out, event->detail);
      g_string_append (self->out, "}}");
      break;
    case POOL_TRACE_WORKER:
    default:
      append_name (self, event, "process_name", "libpool (%s)", self->label);
      append_name (self, event, "thread_name", "worker %u", event->worker);
      break;
    }
}

static int
flush (Json *self)
{
  gsize done = 0;

  while (done < self->out->len)
    {
      gssize n = write (self->fd, self->out->str + done, self->out->len - done);

      if (n < 0 && errno != EINTR)
        return errno;
      done += MAX (n, 0);
    }
  g_string_truncate (self->out, 0);
  return 0;
}

/* Text is several times as large as what it tells: it goes out in pieces. */
#define PIECE (256 * 1024)

static int
json_write (PoolTraceSink *sink, const PoolTraceEvent *events, guint n)
{
  Json *self = (Json *) sink;
  int failed = 0;

  for (guint i = 0; i < n && failed == 0; i++)
    {
      append_event (self, &events[i]);
      if (self->out->len >= PIECE)
        failed = flush (self);
    }
  return failed != 0 ? failed : flush (self);
}

static int
json_finish (PoolTraceSink *sink, guint64 n_dropped)
{
  Json *self = (Json *) sink;
  const PoolTraceEvent end = { .pid = getpid (), .time = g_get_monotonic_time () * 1000 };

  if (n_dropped > 0)
    {
      begin (self, &end, "i", "events left out");
      append_time (self->out, "ts", end.time);
      g_string_append_printf (self->out, ",\"s\":\"g\",\"args\":{\"count\":%" G_GUINT64_FORMAT "}}", n_dropped);
    }
  g_string_append (self->out, self->any ? "\n]\n" : "[]\n");
  return flush (self);
}

static void
json_free (PoolTraceSink *sink)
{
  Json *self = (Json *) sink;

  close (self->fd);
  g_free (self->label);
  g_string_free (self->out, TRUE);
  g_free (self);
}

PoolTraceSink *
pool_trace_json_new (int fd, const char *label)
{
  Json *self = g_new0 (Json, 1);

  self->sink = (PoolTraceSink){ json_write, json_finish, json_free };
  self->fd = fd;
  self->label = g_strdup (label);
  self->out = g_string_new (NULL);
  return &self->sink;
}
