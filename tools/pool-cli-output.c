/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-output.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * One of the program's output streams, written when it can take more. A plain write() to a pipe
 * that nobody reads would stop the main loop, and with it ^C; making the stream non-blocking would
 * change it for everybody who shares it, the shell too. So: poll, and write no more than what then
 * never blocks.
 *
 * The results that come together are written together. The owner stops making more while it is
 * full.
 */

#define FULL (1024 * 1024)
#define FILE_WRITE_MAX (1024 * 1024)
/* Turns of the main loop are short. */
#define WRITES_PER_TURN 64

struct _PoolCliOutput
{
  int fd;
  gsize write_max;
  gboolean never_blocks;
  PoolCliProgress *progress; /* shown on the same terminal, or NULL */
  PoolCliOutputFunc changed;
  gpointer user_data;

  GByteArray *buffer;
  gsize start; /* of what is not written yet */
  guint64 written;
  GSource *source; /* while there is something to write */
  int saved_errno;
  char last;
};

PoolCliOutput *
pool_cli_output_new (int fd, PoolCliProgress *progress, PoolCliOutputFunc changed,
                     gpointer user_data)
{
  PoolCliOutput *self = g_new0 (PoolCliOutput, 1);
  struct stat st;

  self->fd = fd;
  self->never_blocks = fstat (fd, &st) == 0 && S_ISREG (st.st_mode);
  self->write_max = self->never_blocks ? FILE_WRITE_MAX : PIPE_BUF;
  self->progress = isatty (fd) ? progress : NULL;
  self->changed = changed;
  self->user_data = user_data;
  self->buffer = g_byte_array_new ();
  self->last = '\n';
  return self;
}

static void
stop_writing (PoolCliOutput *self)
{
  if (self->source == NULL)
    return;
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
}

void
pool_cli_output_free (PoolCliOutput *self)
{
  stop_writing (self);
  g_byte_array_unref (self->buffer);
  g_free (self);
}

static gboolean
can_write (PoolCliOutput *self)
{
  struct pollfd pollfd = { .fd = self->fd, .events = POLLOUT };

  return self->never_blocks || poll (&pollfd, 1, 0) > 0;
}

static void
write_some (PoolCliOutput *self)
{
  if (self->progress != NULL)
    pool_cli_progress_hide (self->progress);
  for (guint i = 0; i < WRITES_PER_TURN && self->start < self->buffer->len && can_write (self); i++)
    {
      gsize size = MIN (self->buffer->len - self->start, self->write_max);
      gssize n = write (self->fd, self->buffer->data + self->start, size);

      if (n < 0 && (errno == EINTR || errno == EAGAIN))
        break;
      if (n < 0)
        {
          /* what cannot be written is dropped: the owner decides what that means */
          self->saved_errno = errno;
          self->start = self->buffer->len;
          break;
        }
      self->last = (char) self->buffer->data[self->start + (gsize) n - 1];
      self->start += (gsize) n;
      self->written += (guint64) n;
    }
  /* what is left moves to the start when it is the smaller part: each byte moves once at most */
  if (self->start >= self->buffer->len - self->start)
    {
      g_byte_array_remove_range (self->buffer, 0, (guint) self->start);
      self->start = 0;
    }
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer user_data)
{
  PoolCliOutput *self = user_data;

  write_some (self);
  if (self->buffer->len == 0)
    stop_writing (self);
  self->changed (self, self->user_data);
  return G_SOURCE_CONTINUE;
}

void
pool_cli_output_add_data (PoolCliOutput *self, gconstpointer data, gsize size)
{
  if (self->saved_errno != 0 || size == 0)
    return;
  /* a byte array ends at 4 GiB; only one huge result after another comes near it */
  if (size > G_MAXUINT / 2 - self->buffer->len)
    {
      self->saved_errno = EFBIG;
      return;
    }
  g_byte_array_append (self->buffer, data, (guint) size);
  if (self->source != NULL)
    return;
  self->source = g_unix_fd_source_new (self->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP | G_IO_NVAL);
  g_source_set_callback (self->source, G_SOURCE_FUNC (on_writable), self, NULL);
  g_source_attach (self->source, NULL);
}

void
pool_cli_output_add (PoolCliOutput *self, const char *text)
{
  pool_cli_output_add_data (self, text, strlen (text));
}

/* How much has been added in all; when this much is written, all that was added until now is. */
guint64
pool_cli_output_get_added (PoolCliOutput *self)
{
  return self->written + (self->buffer->len - self->start);
}

guint64
pool_cli_output_get_written (PoolCliOutput *self)
{
  return self->written;
}

gboolean
pool_cli_output_is_full (PoolCliOutput *self)
{
  return self->buffer->len - self->start >= FULL;
}

gboolean
pool_cli_output_is_idle (PoolCliOutput *self)
{
  return self->buffer->len == self->start;
}

/* Whether a progress line can be shown without breaking a line of output. */
gboolean
pool_cli_output_at_line_start (PoolCliOutput *self)
{
  return self->last == '\n';
}

/* The error that ended the stream, or 0. */
int
pool_cli_output_get_errno (PoolCliOutput *self)
{
  return self->saved_errno;
}
