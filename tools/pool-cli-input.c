/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-input.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Where the inputs come from: the words of the command line, or the lines of a file or pipe, read
 * as they are asked for. Of a file only the block is held that the next items lie in, and a read
 * never blocks: the main loop has results to take and signals to hear while a slow writer thinks.
 */

#define READ_SIZE (64 * 1024)
/*
 * One item must fit in memory many times over, and a stream without separators must not take all of
 * it.
 */
#define ITEM_MAX (16 * 1024 * 1024)

struct _PoolCliInput
{
  char **words; /* NULL: a file */
  gsize n_words;
  gsize next_word;

  int fd;
  char *name;
  char separator;
  GByteArray *buffer;
  gsize start;   /* of what has not been taken yet */
  gsize scanned; /* up to here there is no separator */
  gboolean at_end;
};

PoolCliInput *
pool_cli_input_new_for_words (char **words)
{
  PoolCliInput *self = g_new0 (PoolCliInput, 1);

  self->fd = -1;
  self->words = g_strdupv (words);
  self->n_words = g_strv_length (words);
  return self;
}

static void
set_errno_error (const char *name, int saved_errno, GError **error)
{
  g_autofree char *display = g_filename_display_name (name);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", display,
               g_strerror (saved_errno));
}

/* @name: NULL or “-” for the standard input */
PoolCliInput *
pool_cli_input_new_for_file (const char *name, char separator, GError **error)
{
  g_autoptr (PoolCliInput) self = g_new0 (PoolCliInput, 1);
  gboolean is_stdin = name == NULL || g_str_equal (name, "-");
  struct stat st;

  self->name = g_strdup (is_stdin ? "standard input" : name);
  self->separator = separator;
  self->buffer = g_byte_array_new ();
  self->fd = is_stdin ? STDIN_FILENO : g_open (name, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
  if (self->fd < 0 || fstat (self->fd, &st) < 0)
    {
      set_errno_error (self->name, errno, error);
      return NULL;
    }
  if (S_ISDIR (st.st_mode))
    {
      set_errno_error (self->name, EISDIR, error);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
pool_cli_input_free (PoolCliInput *self)
{
  g_strfreev (self->words);
  if (self->fd > STDIN_FILENO)
    close (self->fd);
  g_free (self->name);
  g_clear_pointer (&self->buffer, g_byte_array_unref);
  g_free (self);
}

/* Returns: how many inputs there are in all, -1 if that is not known */
gint64
pool_cli_input_get_total (PoolCliInput *self)
{
  return self->words != NULL ? (gint64) self->n_words : -1;
}

/* A source that is ready when pool_cli_input_next() is worth another try after WAIT. */
GSource *
pool_cli_input_create_source (PoolCliInput *self)
{
  return g_unix_fd_source_new (self->fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
}

static GBytes *
take (PoolCliInput *self, gsize end)
{
  GBytes *item = g_bytes_new (self->buffer->data + self->start, end - self->start);

  self->start = self->scanned = MIN (end + 1, self->buffer->len);
  return item;
}

static PoolCliInputStatus
fill (PoolCliInput *self, GError **error)
{
  struct pollfd pollfd = { .fd = self->fd, .events = POLLIN };
  guint length;
  gssize n;

  if (poll (&pollfd, 1, 0) == 0)
    return POOL_CLI_INPUT_WAIT;

  g_byte_array_remove_range (self->buffer, 0, (guint) self->start);
  self->scanned -= self->start;
  self->start = 0;
  length = self->buffer->len;
  if (length > ITEM_MAX)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                   "%s: an input is longer than %d MiB: is the separator right?", self->name,
                   ITEM_MAX >> 20);
      return POOL_CLI_INPUT_ERROR;
    }
  g_byte_array_set_size (self->buffer, length + READ_SIZE);
  n = read (self->fd, self->buffer->data + length, READ_SIZE);
  g_byte_array_set_size (self->buffer, length + (guint) MAX (n, 0));
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return POOL_CLI_INPUT_WAIT;
  if (n < 0)
    {
      set_errno_error (self->name, errno, error);
      return POOL_CLI_INPUT_ERROR;
    }
  self->at_end = n == 0;
  return POOL_CLI_INPUT_ITEM;
}

static PoolCliInputStatus
next_line (PoolCliInput *self, GBytes **item, GError **error)
{
  for (;;)
    {
      PoolCliInputStatus status;
      guint8 *found = NULL;

      if (self->scanned < self->buffer->len)
        found = memchr (self->buffer->data + self->scanned, self->separator,
                        self->buffer->len - self->scanned);
      if (found != NULL)
        {
          *item = take (self, (gsize) (found - self->buffer->data));
          return POOL_CLI_INPUT_ITEM;
        }
      self->scanned = self->buffer->len;
      if (self->at_end && self->start == self->buffer->len)
        return POOL_CLI_INPUT_END;
      if (self->at_end)
        {
          /* the last line may lack its end */
          *item = take (self, self->buffer->len);
          return POOL_CLI_INPUT_ITEM;
        }
      status = fill (self, error);
      if (status != POOL_CLI_INPUT_ITEM)
        return status;
    }
}

PoolCliInputStatus
pool_cli_input_next (PoolCliInput *self, GBytes **item, GError **error)
{
  const char *word;

  if (self->words == NULL)
    return next_line (self, item, error);
  word = self->words[self->next_word];
  if (word == NULL)
    return POOL_CLI_INPUT_END;
  self->next_word++;
  *item = g_bytes_new (word, strlen (word));
  return POOL_CLI_INPUT_ITEM;
}
