/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-monitor-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-pass-fds-private.h"
#include "pool-shared-memory-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

struct _PoolMonitor
{
  gatomicrefcount ref_count;
  guint generation; /* pool_fork_generation() when it was made: the name is not that of a copy of the program */
  int fd;
  int folder_fd;
  char *name; /* in the folder; NULL: it has none any more */
};

char *
pool_monitor_get_folder (void)
{
  return g_build_filename (g_get_user_runtime_dir (), "libpool", NULL);
}

static int
open_folder (GError **error)
{
  g_autofree char *folder = pool_monitor_get_folder ();
  struct stat info;
  int fd;

  if (g_mkdir_with_parents (folder, 0700) != 0 || (fd = open (folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "The pool cannot be shown: there is no folder %s: %s", folder,
                   g_strerror (errno));
      return -1;
    }
  if (fstat (fd, &info) == 0 && info.st_uid == geteuid () && (info.st_mode & 077) == 0)
    return fd;
  close (fd);
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
               "The pool cannot be shown: the folder %s is to be this user's, and nobody else's (mode 0700)", folder);
  return -1;
}

/* By way of the folder that is open, however long its name is. */
static struct sockaddr_un
get_address (const PoolMonitor *self)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  g_snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", self->folder_fd, self->name);
  return address;
}

/* What a program left that had this one's number, and was killed. */
static gboolean
is_stale (const PoolMonitor *self)
{
  const struct sockaddr_un address = get_address (self);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  gboolean stale = fd >= 0 && connect (fd, (const struct sockaddr *) &address, sizeof address) != 0 && errno == ECONNREFUSED;

  if (fd >= 0)
    close (fd);
  return stale;
}

static gboolean
bind_name (PoolMonitor *self)
{
  static _Atomic guint last;

  for (guint tries = 0; tries < 1000; tries++)
    {
      struct sockaddr_un address;

      g_free (self->name);
      self->name = g_strdup_printf ("%d-%u", (int) getpid (), atomic_fetch_add (&last, 1) + 1);
      address = get_address (self);
      if (bind (self->fd, (const struct sockaddr *) &address, sizeof address) == 0)
        return TRUE;
      if (errno != EADDRINUSE)
        break;
      if (is_stale (self) && unlinkat (self->folder_fd, self->name, 0) == 0 &&
          bind (self->fd, (const struct sockaddr *) &address, sizeof address) == 0)
        return TRUE;
    }
  g_clear_pointer (&self->name, g_free);
  return FALSE;
}

PoolMonitor *
pool_monitor_new (GError **error)
{
  g_autoptr (PoolMonitor) self = g_new0 (PoolMonitor, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->generation = pool_fork_generation ();
  self->fd = -1;
  self->folder_fd = open_folder (error);
  if (self->folder_fd < 0)
    return NULL;
  self->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (self->fd >= 0 && fchmod (self->fd, 0600) == 0 && bind_name (self) && listen (self->fd, BACKLOG) == 0)
    return g_steal_pointer (&self);
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "The pool cannot be shown: %s", g_strerror (errno));
  return NULL;
}

PoolMonitor *
pool_monitor_ref (PoolMonitor *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pool_monitor_unref (PoolMonitor *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  pool_monitor_withdraw (self);
  if (self->fd >= 0)
    close (self->fd);
  if (self->folder_fd >= 0)
    close (self->folder_fd);
  g_free (self->name);
  g_free (self);
}

void
pool_monitor_withdraw (PoolMonitor *self)
{
  if (self->name == NULL || self->generation != pool_fork_generation ())
    return;
  unlinkat (self->folder_fd, self->name, 0);
  g_clear_pointer (&self->name, g_free);
}

int
pool_monitor_get_fd (PoolMonitor *self)
{
  return self->fd;
}

int
pool_monitor_accept (PoolMonitor *self)
{
  struct ucred peer;
  socklen_t size = sizeof peer;
  int fd = accept4 (self->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (fd < 0)
    return -1;
  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid () || peer.uid == 0))
    return fd;
  close (fd);
  return -1;
}

/* A sealed memfd with it, in its serialised form; or -1 */
static int
save (GVariant *value)
{
  int fd = pool_shared_memory_open ();
  const char *data = g_variant_get_data (value);
  gsize left = g_variant_get_size (value);

  while (fd >= 0 && left > 0)
    {
      gssize n = write (fd, data, left);

      if (n <= 0)
        {
          close (fd);
          return -1;
        }
      data += n;
      left -= n;
    }
  if (fd >= 0)
    fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return fd;
}

/* All of it goes with one byte, so that nobody who does not read can keep the pool waiting. */
void
pool_monitor_send (int connection, GVariant *value)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (value);
  int fd = save (sunk);
  char byte = 0;
  struct iovec io = { &byte, 1 };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };

  if (fd >= 0)
    {
      /* who asked may have gone, and asks again if not */
      pool_pass_fds_send (connection, &message, &fd, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      close (fd);
    }
  close (connection);
}
