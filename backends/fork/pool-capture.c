/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-capture.h"

#include "libpool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <unistd.h>

/* Fewer changes between a task that writes much and the manager. */
#define PIPE_SIZE (256 * 1024)

/* A stream that was unbuffered gives its buffer back to nobody: it gets one of these. */
static char buffers[2][BUFSIZ];

static FILE *
get_stream (guint i)
{
  return i == 0 ? stdout : stderr;
}

static void
close_fds (int *fds)
{
  for (guint i = 0; i < 2; i++)
    if (fds[i] >= 0)
      close (fds[i]);
}

/* Not in the place of a standard stream that is closed. */
static int
move_up (int fd)
{
  int moved;

  if (fd > STDERR_FILENO)
    return fd;
  moved = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close (fd);
  return moved;
}

static gboolean
open_pipes (int *readers, int *writers)
{
  for (guint i = 0; i < 2; i++)
    {
      int ends[2];

      if (pipe2 (ends, O_CLOEXEC) != 0)
        return FALSE;
      readers[i] = move_up (ends[0]);
      writers[i] = move_up (ends[1]);
      if (readers[i] < 0 || writers[i] < 0)
        return FALSE;
      fcntl (writers[i], F_SETPIPE_SZ, PIPE_SIZE);
    }
  return TRUE;
}

/* What a task writes must be out when it crashes, and what was written before it is not the task's. */
static void
unbuffer (PoolCapture *self, guint i)
{
  FILE *stream = get_stream (i);

  fflush (stream);
  self->by_line[i] = __flbf (stream) != 0;
  self->buffer_size[i] = __fbufsize (stream);
  /* stderr has no buffer unless the program gave it one */
  if (i == 0 || self->buffer_size[i] > 1)
    setvbuf (stream, NULL, _IONBF, 0);
}

static void
rebuffer (PoolCapture *self, guint i)
{
  gboolean by_line = self->by_line[i];

  if (self->buffer_size[i] == 1 || (i == 1 && self->buffer_size[i] == 0))
    return; /* it had none before */
  if (self->buffer_size[i] == 0)
    by_line = isatty (STDOUT_FILENO); /* it had not been used */
  setvbuf (get_stream (i), buffers[i], by_line ? _IOLBF : _IOFBF, sizeof buffers[i]);
}

gboolean
pool_capture_begin (PoolCapture *self, int report_fd, PoolReportHeader *header, GError **error)
{
  int readers[2] = { -1, -1 }, writers[2] = { -1, -1 };

  header->type = POOL_REPORT_CAPTURE;
  if (!open_pipes (readers, writers) || !pool_report_send (report_fd, header, NULL, 0, readers, -1))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "its output cannot be captured: %s",
                   g_strerror (errno));
      close_fds (readers);
      close_fds (writers);
      return FALSE;
    }

  close_fds (readers);
  for (guint i = 0; i < 2; i++)
    {
      unbuffer (self, i);
      self->saved[i] = fcntl (STDOUT_FILENO + i, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      dup2 (writers[i], STDOUT_FILENO + i);
    }
  close_fds (writers);
  return TRUE;
}

void
pool_capture_end (PoolCapture *self)
{
  for (guint i = 0; i < 2; i++)
    {
      fflush (get_stream (i));
      if (self->saved[i] >= 0)
        {
          dup2 (self->saved[i], STDOUT_FILENO + i);
          close (self->saved[i]);
        }
      else
        close (STDOUT_FILENO + i);
      rebuffer (self, i);
    }
}
