/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-bell.h"

#include "libpool/pool-pass-fds-private.h"

#include <stddef.h>
#include <stdio.h>
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
  struct iovec io = { (void *) &self->name, sizeof self->name };
  struct msghdr message = { .msg_name = &address,
                            .msg_namelen = set_address (&address, name),
                            .msg_iov = &io,
                            .msg_iovlen = 1 };

  return self->fd >= 0 && name != 0 &&
         pool_pass_fds_send (self->fd, &message, &fd, 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

guint64
pool_mpi_bell_take (PoolMpiBell *self)
{
  guint64 name = 0;
  struct iovec io = { &name, sizeof name };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
  PoolPassedFds passed;
  gssize n;
  int fd;

  if (self->fd < 0 || (n = pool_pass_fds_receive (self->fd, &message, &passed, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0)
    return 0;
  fd = pool_passed_fds_take_first (&passed);
  if (n != sizeof name || !passed.has_sender || passed.sender.uid != geteuid ())
    {
      if (fd >= 0)
        close (fd);
    }
  else if (fd >= 0)
    {
      if (self->handed >= 0)
        close (self->handed);
      self->handed = fd;
    }
  return n == sizeof name ? name : 0;
}
