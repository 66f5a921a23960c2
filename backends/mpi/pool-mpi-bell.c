/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-bell.h"

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
  struct sockaddr_un address;
  socklen_t size;

  self->name = (guint64) getpid () << 32 | MAX (g_random_int (), 1);
  self->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  size = set_address (&address, self->name);
  if (self->fd < 0 || bind (self->fd, (struct sockaddr *) &address, size) != 0)
    pool_mpi_bell_close (self);
}

void
pool_mpi_bell_close (PoolMpiBell *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
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

guint64
pool_mpi_bell_take (PoolMpiBell *self)
{
  guint64 name;

  return self->fd >= 0 && recv (self->fd, &name, sizeof name, MSG_DONTWAIT) == sizeof name ? name : 0;
}
