/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-keys-file-private.h"

#include "pool-error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
file_error (GError **error, const char *path, const char *what, int code)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s %s%s%s", shown, what, code != 0 ? ": " : "",
               code != 0 ? g_strerror (code) : "");
  return FALSE;
}

gboolean
pool_keys_check (const struct stat *status, const char *path, PoolKeysTrust trust, GError **error)
{
  mode_t refused = trust == POOL_KEYS_SECRET ? 077 : 022;
  g_autofree char *shown = g_filename_display_name (path);

  if (trust != POOL_KEYS_PUBLIC && status->st_uid != geteuid () && status->st_uid != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "%s belongs to user %u, who is neither you (%u) nor root: make a copy of your own", shown,
                   status->st_uid, geteuid ());
      return FALSE;
    }
  if ((status->st_mode & refused) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "Others can %s %s (its mode is %04o): run chmod %s %s",
                   trust == POOL_KEYS_SECRET ? "read or change the secret key" : "change", shown,
                   status->st_mode & 07777, trust == POOL_KEYS_SECRET ? "600" : "go-w", shown);
      return FALSE;
    }
  return TRUE;
}

static gboolean
read_all (PoolKeysFile *self, int fd, const char *path, gsize max_size, GError **error)
{
  ssize_t n;

  /* not as long as it says that it is: it may grow. One more than allowed shows that it is too long */
  self->text = g_malloc (max_size + 2);
  while (self->size <= max_size)
    {
      n = read (fd, self->text + self->size, max_size + 1 - self->size);
      if (n == 0)
        break;
      if (n < 0 && errno != EINTR)
        return file_error (error, path, "cannot be read", errno);
      self->size += (gsize) MAX (n, 0);
    }
  self->text[self->size] = '\0';
  self->next = self->text;
  if (self->size > max_size)
    return file_error (error, path, "is too long to hold keys: is it another file?", 0);
  if (strlen (self->text) != self->size)
    return file_error (error, path, "is no text, so it holds no keys: is it another file?", 0);
  return TRUE;
}

gboolean
pool_keys_file_open (PoolKeysFile *self, const char *path, PoolKeysTrust trust, gsize max_size, GError **error)
{
  /* a fifo is not waited for, a terminal does not become ours */
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat status;
  gboolean ok;

  memset (self, 0, sizeof *self);
  if (fd < 0 && errno == ENOENT)
    return file_error (error, path, "does not exist: give another file, or make keys with \"pool keygen\"", 0);
  if (fd < 0)
    return file_error (error, path, "cannot be read", errno);
  if (fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
    ok = file_error (error, path, "is no file with keys: give a regular file", 0);
  else
    ok = pool_keys_check (&status, path, trust, error) && read_all (self, fd, path, max_size, error);
  close (fd);
  if (!ok)
    pool_keys_file_clear (self);
  return ok;
}

void
pool_keys_file_clear (PoolKeysFile *self)
{
  if (self->text != NULL)
    explicit_bzero (self->text, self->size);
  g_clear_pointer (&self->text, g_free);
  self->next = NULL;
}

char *
pool_keys_file_next (PoolKeysFile *self)
{
  while (self->next != NULL && *self->next != '\0')
    {
      char *line = self->next;
      char *end = strchr (line, '\n');

      self->number++;
      self->next = end != NULL ? end + 1 : NULL;
      if (end != NULL)
        *end = '\0';
      /* also what precedes the line's end of other systems */
      g_strstrip (line);
      if (*line != '\0' && *line != '#')
        return line;
    }
  return NULL;
}

char *
pool_keys_get_value (char *line, const char *name)
{
  char *p = line + strlen (name);

  if (!g_str_has_prefix (line, name))
    return NULL;
  p += strspn (p, " \t");
  return *p == '=' ? g_strchug (p + 1) : NULL;
}

static gboolean
write_all (int fd, const char *text, mode_t mode)
{
  gsize size = strlen (text);

  /* whatever the umask */
  if (fchmod (fd, mode) != 0)
    return FALSE;
  while (size > 0)
    {
      ssize_t n = write (fd, text, size);

      if (n < 0 && errno != EINTR)
        return FALSE;
      text += MAX (n, 0);
      size -= (gsize) MAX (n, 0);
    }
  return fsync (fd) == 0;
}

/* The name is to be there after a loss of power, too; not every file system can do that. */
static void
sync_folder (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return;
  if (fsync (fd) != 0)
    g_debug ("%s: %s", folder, g_strerror (errno));
  close (fd);
}

/* A file that is to be put in the place of @path, or @path itself. */
static int
create_file (const char *path, char *temporary, gboolean force, GError **error)
{
  struct stat status;
  int fd;

  if (!force)
    {
      fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
      if (fd < 0 && errno == EEXIST)
        file_error (error, path, "exists: take another name, or replace it with \"pool keygen --force\"", 0);
      else if (fd < 0)
        file_error (error, path, "cannot be made", errno);
      return fd;
    }
  if (lstat (path, &status) == 0 && !S_ISREG (status.st_mode))
    {
      file_error (error, path, S_ISLNK (status.st_mode) ? "is a symbolic link: remove it, or name the file that it leads to"
                                                        : "is no regular file: take another name", 0);
      return -1;
    }
  fd = mkostemp (temporary, O_CLOEXEC);
  if (fd < 0)
    file_error (error, path, "cannot be made", errno);
  return fd;
}

gboolean
pool_keys_file_write (const char *path, const char *text, mode_t mode, gboolean force, GError **error)
{
  g_autofree char *temporary = g_strconcat (path, ".XXXXXX", NULL);
  const char *made = force ? temporary : path;
  int fd = create_file (path, temporary, force, error);
  gboolean ok;
  int code;

  if (fd < 0)
    return FALSE;
  ok = write_all (fd, text, mode);
  code = errno;
  close (fd);
  if (ok && force && rename (temporary, path) != 0)
    {
      ok = FALSE;
      code = errno;
    }
  if (!ok)
    {
      unlink (made);
      return file_error (error, path, "cannot be written", code);
    }
  sync_folder (path);
  return TRUE;
}
