/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-bell.h"

#include "pool-mpi-fd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t
set_address (struct sockaddr_un *address, guint64 name)
{
  *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  /* an abstract one, which leaves nothing behind */
  return offsetof (struct sockaddr_un, sun_path) + 1 +
         g_snprintf (address->sun_path + 1, sizeof address->sun_path - 1, "libpool-bell-%016" G_GINT64_MODIFIER "x", name);
}

void
pool_mpi_bell_open (PoolMpiBell *self)
{
  const int on = 1;
  struct sockaddr_un address;
  socklen_t size;

  self->handed = -1;
  self->name = (guint64) getpid () << 32 | MAX (g_random_int (), 1);
  self->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  size = set_address (&address, self->name);
  if (self->fd < 0 || setsockopt (self->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      bind (self->fd, (struct sockaddr *) &address, size) != 0)
    pool_mpi_bell_close (self);
}

void
pool_mpi_bell_close (PoolMpiBell *self)
{
  if (self->fd >= 0)
    close (self->fd);
  if (self->handed >= 0)
    close (self->handed);
  self->fd = self->handed = -1;
  self->name = 0;
}

void
pool_mpi_bell_ring (const PoolMpiBell *self, guint64 name)
{
  struct sockaddr_un address;

  /* where it has been rung so often already that there is no more room, that is enough */
  if (self->fd >= 0 && name != 0)
    sendto (self->fd, &self->name, sizeof self->name, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &address,
            set_address (&address, name));
}

gboolean
pool_mpi_bell_hand (const PoolMpiBell *self, guint64 name, int fd)
{
  struct sockaddr_un address;
  struct iovec block = { (void *) &self->name, sizeof self->name };

  return self->fd >= 0 && name != 0 &&
         pool_mpi_send_fd (self->fd, &block, (struct sockaddr *) &address, set_address (&address, name), fd) > 0;
}

guint64
pool_mpi_bell_take (PoolMpiBell *self)
{
  guint64 name;
  struct iovec block = { &name, sizeof name };
  int fd;

  if (self->fd < 0 || pool_mpi_receive_fd (self->fd, &block, &fd) != sizeof name)
    return 0;
  if (fd >= 0)
    {
      if (self->handed >= 0)
        close (self->handed);
      self->handed = fd;
    }
  return name;
}
