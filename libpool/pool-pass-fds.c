/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-pass-fds-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef union
{
  struct cmsghdr header;
  guint8 bytes[CMSG_SPACE (sizeof (int) * POOL_PASS_FDS_MAX)];
} Sent;

typedef union
{
  struct cmsghdr header;
  guint8 bytes[CMSG_SPACE (sizeof (int) * POOL_PASS_FDS_MAX) + CMSG_SPACE (sizeof (struct ucred))];
} Received;

gssize
pool_pass_fds_send (int socket, struct msghdr *message, const int *fds, guint n_fds, int flags)
{
  Sent sent = { 0 };
  gssize n;

  g_assert (n_fds <= POOL_PASS_FDS_MAX);
  if (n_fds > 0)
    {
      message->msg_control = &sent;
      message->msg_controllen = CMSG_SPACE (sizeof *fds * n_fds);
      sent.header.cmsg_level = SOL_SOCKET;
      sent.header.cmsg_type = SCM_RIGHTS;
      sent.header.cmsg_len = CMSG_LEN (sizeof *fds * n_fds);
      memcpy (CMSG_DATA (&sent.header), fds, sizeof *fds * n_fds);
    }
  do
    n = sendmsg (socket, message, flags);
  while (n < 0 && errno == EINTR);
  return n;
}

static void
take_fds (PoolPassedFds *self, const struct cmsghdr *header)
{
  gsize n = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);

  for (gsize i = 0; i < n; i++)
    {
      int fd;

      memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
      if (self->n_fds < POOL_PASS_FDS_MAX)
        self->fds[self->n_fds++] = fd;
      else
        close (fd);
    }
}

gssize
pool_pass_fds_receive (int socket, struct msghdr *message, PoolPassedFds *passed, int flags)
{
  Received received;
  gssize n;

  passed->n_fds = 0;
  passed->has_sender = FALSE;
  do
    {
      message->msg_control = &received;
      message->msg_controllen = sizeof received;
      n = recvmsg (socket, message, flags);
    }
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return n;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL; header = CMSG_NXTHDR (message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      take_fds (passed, header);
    else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
      {
        memcpy (&passed->sender, CMSG_DATA (header), sizeof passed->sender);
        passed->has_sender = TRUE;
      }
  return n;
}

int
pool_passed_fds_take_first (PoolPassedFds *self)
{
  int first = self->n_fds > 0 ? self->fds[0] : -1;

  for (guint i = 1; i < self->n_fds; i++)
    close (self->fds[i]);
  self->n_fds = 0;
  return first;
}
