/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-report.h"

#include "libpool/pool-pass-fds-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* As much as the system allows, so that a burst of records finds room. */
#define SEND_BUFFER (1024 * 1024)

gboolean
pool_report_open (int *fds)
{
  const int size = SEND_BUFFER, on = 1;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return FALSE;
  setsockopt (fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  setsockopt (fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  return TRUE;
}

static gboolean
wait_for_room (int fd, int timeout)
{
  struct pollfd poll_fd = { fd, POLLOUT, 0 };
  int n;

  do
    n = poll (&poll_fd, 1, timeout);
  while (n < 0 && errno == EINTR && timeout < 0);
  if (n > 0)
    return TRUE;
  errno = EAGAIN;
  return FALSE;
}

gboolean
pool_report_send (int fd, const PoolReportHeader *header, gconstpointer data, gsize size,
                  const int *fds, int timeout)
{
  struct iovec io[2] = { { (gpointer) header, sizeof *header }, { (gpointer) data, size } };
  struct msghdr message = { .msg_iov = io, .msg_iovlen = 2 };

  for (;;)
    {
      if (pool_pass_fds_send (fd, &message, fds, fds != NULL ? POOL_REPORT_FDS : 0, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return TRUE;
      if ((errno != EAGAIN && errno != EWOULDBLOCK) || timeout == 0 || !wait_for_room (fd, timeout))
        return FALSE;
      /* others want the room too: somebody may have been faster */
      if (timeout > 0)
        timeout /= 2;
    }
}

/* Whatever descriptors came are closed or handed on: a worker must not fill the program's table. */
static void
take_origin (const PoolPassedFds *passed, PoolReportOrigin *origin)
{
  origin->pid = passed->has_sender ? passed->sender.pid : 0;
  for (guint i = 0; i < POOL_REPORT_FDS; i++)
    origin->fds[i] = i < passed->n_fds ? passed->fds[i] : -1;
  for (guint i = POOL_REPORT_FDS; i < passed->n_fds; i++)
    close (passed->fds[i]);
}

gssize
pool_report_receive (int fd, PoolReportHeader *header, guint8 *data, gsize size,
                     PoolReportOrigin *origin)
{
  struct iovec io[2] = { { header, sizeof *header }, { data, size } };
  struct msghdr message = { .msg_iov = io, .msg_iovlen = 2 };
  PoolPassedFds passed;
  gssize n = pool_pass_fds_receive (fd, &message, &passed, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (n < 0)
    return -1;

  take_origin (&passed, origin);
  if (n < (gssize) sizeof *header || (message.msg_flags & MSG_TRUNC))
    return -2;
  return n - sizeof *header;
}
