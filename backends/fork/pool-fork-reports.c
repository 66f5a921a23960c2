/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"

#include "pool-capture.h"
#include "pool-report.h"

#include "libpool/pool-buffer-private.h"
#include "libpool/pool-engine-private.h"
#include "libpool/pool-log-private.h"
#include "libpool/pool-output-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The manager's side of what workers send beside results: log records, and pipes that captured tasks write to. */

/* More than the socket can hold: what was sent before this began has been read when it ends. */
#define REPORTS_MAX 2048

/* How much is read from a pipe in one go: the pool's lock is held. */
#define READ_MAX (256 * 1024)
#define READ_PIECE (64 * 1024)

/* What is being written by one task. */
struct _PoolForkCapture
{
  PoolForkCapture *next;
  guint64 handle;
  guint worker;
  int fds[2]; /* -1: ended */
  PoolBuffer streams[2];
  guint64 lost;
};

gboolean
pool_fork_backend_open_reports (PoolForkBackend *self, gboolean logs, GError **error)
{
  self->report = g_try_malloc (POOL_LOG_RECORD_MAX);
  if (self->report == NULL)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "No memory for a pool");
      return FALSE;
    }
  if (pool_report_open (self->report_fds) &&
      pool_local_backend_watch_fd (POOL_LOCAL_BACKEND (self), self->report_fds[0]))
    {
      POOL_LOCAL_BACKEND (self)->reports_first = logs;
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No socket for a pool: %s",
               g_strerror (errno));
  return FALSE;
}

/* --- captures --- */

static void
close_stream (PoolForkCapture *capture, guint i)
{
  if (capture->fds[i] >= 0)
    close (capture->fds[i]);
  capture->fds[i] = -1;
}

static void
free_capture (PoolForkCapture *capture)
{
  for (guint i = 0; i < 2; i++)
    {
      close_stream (capture, i);
      pool_buffer_clear (&capture->streams[i]);
    }
  g_free (capture);
}

static PoolForkCapture **
find_capture (PoolForkBackend *self, guint64 handle)
{
  PoolForkCapture **p = &self->captures;

  while (*p != NULL && (*p)->handle != handle)
    p = &(*p)->next;
  return p;
}

static void
drop_captures (PoolForkBackend *self, int worker)
{
  PoolForkCapture **p = &self->captures;

  while (*p != NULL)
    {
      PoolForkCapture *capture = *p;

      if (worker >= 0 && capture->worker != (guint) worker)
        {
          p = &capture->next;
          continue;
        }
      *p = capture->next;
      free_capture (capture);
    }
}

void
pool_fork_backend_drop_captures (PoolForkBackend *self, guint worker)
{
  drop_captures (self, worker);
}

/*
 * The same pipe, opened anew: the worker has the other description still, and could make it block. That it is a pipe
 * at all is asked first; to ask a file system for anything might take its time.
 */
static int
open_pipe (int fd)
{
  char path[32];

  if (fcntl (fd, F_GETPIPE_SZ) < 0)
    return -1;
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void
begin_capture (PoolForkBackend *self, const PoolReportHeader *header, const int *fds)
{
  PoolForkCapture *capture;
  guint n = 0;

  for (capture = self->captures; capture != NULL; capture = capture->next)
    n += capture->worker == header->worker;
  if (n > POOL_CAPTURES_MAX || *find_capture (self, header->handle) != NULL ||
      !pool_local_backend_has_task (POOL_LOCAL_BACKEND (self), header->handle))
    return;

  capture = g_new0 (PoolForkCapture, 1);
  capture->handle = header->handle;
  capture->worker = header->worker;
  for (guint i = 0; i < 2; i++)
    {
      capture->fds[i] = open_pipe (fds[i]);
      if (capture->fds[i] >= 0)
        pool_local_backend_watch_fd (POOL_LOCAL_BACKEND (self), capture->fds[i]);
    }
  capture->next = self->captures;
  self->captures = capture;
}

/* A piece; what there is no memory for is counted. Returns as read(). */
static gssize
read_piece (PoolForkCapture *capture, guint i, gsize size)
{
  PoolBuffer *buffer = &capture->streams[i];
  guint8 *place = buffer->len < POOL_OUTPUT_MAX ? pool_buffer_try_reserve (buffer, size) : NULL;
  guint8 scratch[4096];
  gsize kept;
  gssize n;

  if (place == NULL)
    {
      n = read (capture->fds[i], scratch, MIN (size, sizeof scratch));
      capture->lost += MAX (n, 0);
      return n;
    }
  buffer->len -= size;
  n = read (capture->fds[i], place, size);
  kept = MIN ((gsize) MAX (n, 0), POOL_OUTPUT_MAX - buffer->len);
  buffer->len += kept;
  capture->lost += MAX (n, 0) - kept;
  return n;
}

/* What there is now, but no more than @limit. */
static void
read_stream (PoolForkCapture *capture, guint i, gsize limit)
{
  while (capture->fds[i] >= 0 && limit > 0)
    {
      gssize n = read_piece (capture, i, MIN (limit, READ_PIECE));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return;
      if (n <= 0)
        close_stream (capture, i); /* nobody can write to it any more */
      else
        limit -= n;
    }
}

void
pool_fork_backend_read_captures (PoolForkBackend *self)
{
  for (PoolForkCapture *capture = self->captures; capture != NULL; capture = capture->next)
    for (guint i = 0; i < 2; i++)
      read_stream (capture, i, READ_MAX);
}

static void
finish_stream (PoolForkCapture *capture, guint i, PoolBackendOutput *output)
{
  PoolBuffer *buffer = &capture->streams[i];
  guint8 *data, *shorter;
  gsize size;
  int left = 0;

  /* no more than there is now: something that the task has left behind may go on writing for ever */
  if (capture->fds[i] >= 0 && ioctl (capture->fds[i], FIONREAD, &left) == 0 && left > 0)
    read_stream (capture, i, left);
  if (buffer->len == 0)
    return;
  data = pool_buffer_steal (buffer, &size);
  shorter = g_try_realloc (data, size);
  output->streams[i] = g_bytes_new_take (shorter != NULL ? shorter : data, size);
}

/* @worker: -1: whichever has it */
static void
take_output (PoolForkBackend *self, gint64 worker, guint64 handle)
{
  PoolForkCapture **p = find_capture (self, handle);
  PoolForkCapture *capture;
  PoolBackendOutput output = { 0 };

  if (*p == NULL)
    {
      /* it was sent before the task began */
      pool_fork_backend_read_reports (POOL_LOCAL_BACKEND (self));
      p = find_capture (self, handle);
    }
  capture = *p;
  if (capture == NULL || (worker >= 0 && capture->worker != worker))
    return;

  *p = capture->next;
  for (guint i = 0; i < 2; i++)
    finish_stream (capture, i, &output);
  output.lost = capture->lost;
  pool_backend_output (POOL_BACKEND (self), handle, &output);
  for (guint i = 0; i < 2; i++)
    g_clear_pointer (&output.streams[i], g_bytes_unref);
  free_capture (capture);
}

void
pool_fork_backend_take_output (PoolLocalBackend *local, guint worker, guint64 handle)
{
  take_output (POOL_FORK_BACKEND (local), worker, handle);
}

/* The task goes on, but nobody listens any more. */
void
pool_fork_backend_give_up_output (PoolBackend *backend, guint64 handle)
{
  take_output (POOL_FORK_BACKEND (backend), -1, handle);
}

/* --- reports --- */

/* One worker must not speak for another; in the first moments of a worker its pid is not known. */
static gboolean
is_from_worker (PoolForkBackend *self, const PoolReportHeader *header,
                const PoolReportOrigin *origin)
{
  const PoolForkWorker *info = &self->workers[header->worker];

  return POOL_LOCAL_BACKEND (self)->ring.alive[header->worker] &&
         info->incarnation == header->incarnation && (info->pid == 0 || info->pid == origin->pid);
}

static void
handle_report (PoolForkBackend *self, const PoolReportHeader *header, gsize size,
               const PoolReportOrigin *origin)
{
  if (header->worker >= POOL_LOCAL_BACKEND (self)->ring.max_workers)
    return;
  /* a record may be a child's of the task: it has the worker's number from it */
  if (header->type == POOL_REPORT_LOG)
    pool_backend_log (POOL_BACKEND (self), header->worker, self->report, size);
  else if (header->type == POOL_REPORT_CAPTURE && is_from_worker (self, header, origin))
    begin_capture (self, header, origin->fds);
}

void
pool_fork_backend_read_reports (PoolLocalBackend *local)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);

  if (self->report_fds[0] < 0)
    return;
  for (guint i = 0; i < REPORTS_MAX; i++)
    {
      PoolReportHeader header;
      PoolReportOrigin origin;
      gssize n = pool_report_receive (self->report_fds[0], &header, self->report,
                                      POOL_LOG_RECORD_MAX, &origin);

      if (n == -1)
        break;
      if (n >= 0)
        handle_report (self, &header, n, &origin);
      for (guint j = 0; j < POOL_REPORT_FDS; j++)
        if (origin.fds[j] >= 0)
          close (origin.fds[j]);
    }
}

void
pool_fork_backend_close_reports (PoolForkBackend *self)
{
  drop_captures (self, -1);
  for (guint i = 0; i < 2; i++)
    if (self->report_fds[i] >= 0)
      close (self->report_fds[i]);
  self->report_fds[0] = self->report_fds[1] = -1;
  g_clear_pointer (&self->report, g_free);
}
