/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-fd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* For one descriptor, and who sent it. */
typedef union
{
  char data[CMSG_SPACE (sizeof (int)) + CMSG_SPACE (sizeof (struct ucred))];
  struct cmsghdr align;
} Control;

gssize
pool_mpi_send_fd (int socket, struct iovec *block, const struct sockaddr *address, socklen_t size, int fd)
{
  Control control = { { 0 } };
  struct msghdr message = { .msg_name = (void *) address,
                            .msg_namelen = size,
                            .msg_iov = block,
                            .msg_iovlen = 1,
                            .msg_control = control.data,
                            .msg_controllen = CMSG_SPACE (sizeof fd) };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  gssize n;

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (sizeof fd);
  memcpy (CMSG_DATA (header), &fd, sizeof fd);
  do
    n = sendmsg (socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n;
}

gssize
pool_mpi_receive_fd (int socket, struct iovec *block, int *fd)
{
  Control control;
  struct msghdr message = { .msg_iov = block, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control };
  struct ucred sender = { .uid = (uid_t) -1 };
  struct cmsghdr *rights = NULL;
  gboolean has_sender = FALSE;
  gssize n;

  *fd = -1;
  do
    n = recvmsg (socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return n;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message); header != NULL; header = CMSG_NXTHDR (&message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
      {
        memcpy (&sender, CMSG_DATA (header), sizeof sender);
        has_sender = TRUE;
      }
    else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      rights = header;
  for (gsize i = 0; rights != NULL && CMSG_LEN ((i + 1) * sizeof *fd) <= rights->cmsg_len; i++)
    {
      int got;

      memcpy (&got, CMSG_DATA (rights) + i * sizeof got, sizeof got);
      if (*fd < 0 && (!has_sender || sender.uid == geteuid ()))
        *fd = got;
      else
        close (got);
    }
  return n;
}
