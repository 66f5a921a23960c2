/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-control.h"

#include <errno.h>
#include <sys/socket.h>

gboolean
pool_control_send (int fd, const PoolControlMessage *message, gboolean wait)
{
  ssize_t n;

  do
    n = send (fd, message, sizeof *message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
  while (n < 0 && errno == EINTR);
  return n == sizeof *message;
}

int
pool_control_receive (int fd, PoolControlMessage *message, gboolean wait)
{
  ssize_t n;

  do
    n = recv (fd, message, sizeof *message, wait ? 0 : MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return 0;
  return n == sizeof *message ? 1 : -1;
}
