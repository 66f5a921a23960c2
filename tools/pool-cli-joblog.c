/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The log of what has been run, in GNU parallel's format, so that its users' scripts read it. A
 * line is written by one write() once the output of its task has been, so that whatever ends the
 * program, what the log calls done is.
 */

#define HEADER "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

/* Of a task that is done no more is kept than it takes to know it again: logs are long. */
typedef struct
{
  guint64 seq;
  guint64 hash;
} Done;

struct _PoolCliJoblog
{
  int fd;
  char *name;
  GArray *done; /* Done, sorted */
};

static gboolean
set_errno_error (const char *name, GError **error)
{
  int saved_errno = errno;
  g_autofree char *display = g_filename_display_name (name);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "%s: %s", display,
               g_strerror (saved_errno));
  return FALSE;
}

/* A line is a record: as GNU parallel does, the ends of lines in a command become zeros. */
static char
escape (char c)
{
  return c == '\n' ? '\0' : c;
}

/* FNV-1a, of the command as it stands in the log. */
static guint64
hash_command (const char *command, gsize size)
{
  guint64 hash = G_GUINT64_CONSTANT (14695981039346656037);

  for (gsize i = 0; i < size; i++)
    hash = (hash ^ (guint8) escape (command[i])) * G_GUINT64_CONSTANT (1099511628211);
  return hash;
}

static int
compare_done (gconstpointer a, gconstpointer b)
{
  const Done *x = a, *y = b;

  if (x->seq != y->seq)
    return x->seq < y->seq ? -1 : 1;
  return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Lines that are none of ours, the header and one that was cut short are no records. */
static gboolean
parse_line (const char *line, gsize length, Done *done)
{
  const char *fields[9];
  const char *end = line + length;
  gsize n = 0;
  char *rest;

  if (length == 0 || line[length - 1] != '\n')
    return FALSE;
  end--;
  for (fields[n++] = line; n < G_N_ELEMENTS (fields); n++)
    {
      const char *tab = memchr (fields[n - 1], '\t', (gsize) (end - fields[n - 1]));

      if (tab == NULL)
        return FALSE;
      fields[n] = tab + 1;
    }
  done->seq = g_ascii_strtoull (fields[0], &rest, 10);
  if (rest == fields[0] || *rest != '\t')
    return FALSE;
  if (strncmp (fields[6], "0\t0\t", 4) != 0)
    return FALSE;
  done->hash = hash_command (fields[8], (gsize) (end - fields[8]));
  return TRUE;
}

static gboolean
read_log (PoolCliJoblog *self, gboolean *torn, GError **error)
{
  FILE *file = fopen (self->name, "re");
  char *line = NULL;
  gsize size = 0;
  gssize n;
  int saved_errno;
  Done done;

  *torn = FALSE;
  if (file == NULL)
    return errno == ENOENT || set_errno_error (self->name, error);
  while ((n = getline (&line, &size, file)) > 0)
    {
      *torn = line[n - 1] != '\n';
      if (parse_line (line, (gsize) n, &done))
        g_array_append_val (self->done, done);
    }
  saved_errno = ferror (file) ? errno : 0;
  free (line);
  fclose (file);
  g_array_sort (self->done, compare_done);
  errno = saved_errno;
  return saved_errno == 0 || set_errno_error (self->name, error);
}

static gboolean
write_all (PoolCliJoblog *self, const char *data, gsize size, GError **error)
{
  while (size > 0)
    {
      gssize n = write (self->fd, data, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return set_errno_error (self->name, error);
      data += n;
      size -= (gsize) n;
    }
  return TRUE;
}

/*
 * @resume: add to the log, and know what it records as done with success; else it begins anew.
 * @dry_run: only read it
 */
PoolCliJoblog *
pool_cli_joblog_open (const char *name, gboolean resume, gboolean dry_run, GError **error)
{
  g_autoptr (PoolCliJoblog) self = g_new0 (PoolCliJoblog, 1);
  gboolean torn = FALSE;
  off_t size;

  self->fd = -1;
  self->name = g_strdup (name);
  self->done = g_array_new (FALSE, FALSE, sizeof (Done));
  if (resume && !read_log (self, &torn, error))
    return NULL;
  if (dry_run)
    return g_steal_pointer (&self);
  self->fd =
      g_open (name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (resume ? 0 : O_TRUNC), 0666);
  if (self->fd < 0)
    {
      set_errno_error (name, error);
      return NULL;
    }
  size = lseek (self->fd, 0, SEEK_END);
  if (size <= 0 && !write_all (self, HEADER, strlen (HEADER), error))
    return NULL;
  if (torn && !write_all (self, "\n", 1, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
pool_cli_joblog_free (PoolCliJoblog *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_array_unref (self->done);
  g_free (self->name);
  g_free (self);
}

gboolean
pool_cli_joblog_is_done (PoolCliJoblog *self, guint64 seq, const char *command)
{
  const Done done = { .seq = seq, .hash = hash_command (command, strlen (command)) };

  return g_array_binary_search (self->done, &done, compare_done, NULL);
}

/* Returns: (transfer full): a line for pool_cli_joblog_write() */
char *
pool_cli_joblog_format (const PoolCliJoblogEntry *entry)
{
  char started_at[64], run_time[64];

  /* not printf: its decimal point is the locale's */
  g_ascii_formatd (started_at, sizeof started_at, "%.3f", entry->started_at);
  g_ascii_formatd (run_time, sizeof run_time, "%.3f", entry->run_time);
  return g_strdup_printf (
      "%" G_GUINT64_FORMAT "\t:\t%s\t%10s\t0\t%" G_GUINT64_FORMAT "\t%d\t%d\t%s", entry->seq,
      started_at, run_time, entry->received, entry->exit_code, entry->exit_signal, entry->command);
}

gboolean
pool_cli_joblog_write (PoolCliJoblog *self, const char *line, GError **error)
{
  gsize size = strlen (line);
  g_autofree char *record = g_malloc (size + 1);

  for (gsize i = 0; i < size; i++)
    record[i] = escape (line[i]);
  record[size] = '\n';
  return write_all (self, record, size + 1, error);
}
