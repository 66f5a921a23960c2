/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/socket.h>
#include <sys/uio.h>

G_BEGIN_DECLS

/*
 * Descriptors over Unix sockets. Neither call waits; both return what sendmsg() and recvmsg() do.
 */

/* @address: or NULL, where the socket is connected. */
gssize pool_mpi_send_fd (int socket, struct iovec *block, const struct sockaddr *address, socklen_t size, int fd);
/*
 * @fd: owned, or -1. From a socket that asks for credentials (SO_PASSCRED) none is taken that another user has sent.
 */
gssize pool_mpi_receive_fd (int socket, struct iovec *block, int *fd);

G_END_DECLS
