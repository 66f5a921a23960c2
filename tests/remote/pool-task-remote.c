/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>

#include <fcntl.h>
#include <gmodule.h>
#include <string.h>
#include <unistd.h>

/* The tasks of drive.c; each tells its number in its result. */

/* Appends a line to a file, in one go, so that lines of several processes do not mix. */
static gboolean
note (const char *path, gint64 number, GError **error)
{
  g_autofree char *line = g_strdup_printf ("%" G_GINT64_FORMAT " %d\n", number, (int) getpid ());
  int fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  gboolean written = fd >= 0 && write (fd, line, strlen (line)) == (gssize) strlen (line);

  if (fd >= 0)
    close (fd);
  if (!written)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no note of %" G_GINT64_FORMAT " in %s", number, path);
  return written;
}

/* Number, for how long, µs, and where that it was begun is noted; nowhere if that is empty. */
static GVariant *
on_work (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *path;
  gint64 number;
  guint32 us;

  g_variant_get (args, "(xu&s)", &number, &us, &path);
  if (*path != '\0' && !note (path, number, error))
    return NULL;
  if (us > 0)
    g_usleep (us);
  return g_variant_new_int64 (3 * number + 1);
}

/* Each byte and one. */
static gboolean
on_bytes (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint8 *reply = pool_task_reserve_reply (task, size);

  for (gsize i = 0; i < size; i++)
    reply[i] = data[i] + 1;
  return TRUE;
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "work", "sleeps, and multiplies its number", on_work);
  pool_task_module_add_bytes (module, "bytes", "adds one to each byte", on_bytes);
}
