/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As much as the system allows, so that a burst of records finds room. */
#define SEND_BUFFER (1024 * 1024)

typedef union
{
  struct cmsghdr header;
  guint8 bytes[CMSG_SPACE (sizeof (int) * POOL_REPORT_FDS)];
} Ancillary;

typedef union
{
  struct cmsghdr header;
  guint8 bytes[CMSG_SPACE (sizeof (int) * POOL_REPORT_FDS) + CMSG_SPACE (sizeof (struct ucred))];
} ReceivedAncillary;

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
  Ancillary ancillary = { 0 };

  if (fds != NULL)
    {
      message.msg_control = &ancillary;
      message.msg_controllen = sizeof ancillary;
      ancillary.header.cmsg_level = SOL_SOCKET;
      ancillary.header.cmsg_type = SCM_RIGHTS;
      ancillary.header.cmsg_len = CMSG_LEN (sizeof (int) * POOL_REPORT_FDS);
      memcpy (CMSG_DATA (&ancillary.header), fds, sizeof (int) * POOL_REPORT_FDS);
    }

  for (;;)
    {
      if (sendmsg (fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return TRUE;
      if (errno == EINTR)
        continue;
      if ((errno != EAGAIN && errno != EWOULDBLOCK) || timeout == 0 || !wait_for_room (fd, timeout))
        return FALSE;
      /* others want the room too: somebody may have been faster */
      if (timeout > 0)
        timeout /= 2;
    }
}

/* Whatever descriptors came are closed or handed on: a worker must not fill the program's table. */
static void
take_fds (const struct cmsghdr *header, int *fds)
{
  gsize n = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);

  for (gsize i = 0; i < n; i++)
    {
      int fd;

      memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
      if (i < POOL_REPORT_FDS)
        fds[i] = fd;
      else
        close (fd);
    }
}

static void
take_origin (struct msghdr *message, PoolReportOrigin *origin)
{
  origin->pid = 0;
  for (guint i = 0; i < POOL_REPORT_FDS; i++)
    origin->fds[i] = -1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL;
       header = CMSG_NXTHDR (message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      take_fds (header, origin->fds);
    else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
      {
        struct ucred sender;

        memcpy (&sender, CMSG_DATA (header), sizeof sender);
        origin->pid = sender.pid;
      }
}

gssize
pool_report_receive (int fd, PoolReportHeader *header, guint8 *data, gsize size,
                     PoolReportOrigin *origin)
{
  struct iovec io[2] = { { header, sizeof *header }, { data, size } };
  ReceivedAncillary ancillary;
  struct msghdr message = {
    .msg_iov = io, .msg_iovlen = 2, .msg_control = &ancillary, .msg_controllen = sizeof ancillary
  };
  gssize n;

  do
    n = recvmsg (fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -1;

  take_origin (&message, origin);
  if (n < (gssize) sizeof *header || (message.msg_flags & MSG_TRUNC))
    return -2;
  return n - sizeof *header;
}
