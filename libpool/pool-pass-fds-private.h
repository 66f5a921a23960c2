/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-macros.h"

#include <glib.h>
#include <sys/socket.h>

G_BEGIN_DECLS

/* Descriptors over Unix sockets, beside data. */

#define POOL_PASS_FDS_MAX 8

/* What came with a message. */
typedef struct
{
  int fds[POOL_PASS_FDS_MAX]; /* owned by whoever has received them */
  guint n_fds;
  gboolean has_sender; /* the socket asks for that (SO_PASSCRED) */
  struct ucred sender;
} PoolPassedFds;

/*
 * Both are sendmsg() and recvmsg() with @flags and without EINTR. @message has the data, and the address if there is one; what else is
 * in it is set here.
 */
POOL_EXPORT
gssize pool_pass_fds_send (int socket, struct msghdr *message, const int *fds, guint n_fds, int flags);
/* Those for which there is no room are closed. @passed: valid if it does not fail */
POOL_EXPORT
gssize pool_pass_fds_receive (int socket, struct msghdr *message, PoolPassedFds *passed, int flags);
/* The first of them, for the caller; the others are closed. -1: there is none */
POOL_EXPORT
int pool_passed_fds_take_first (PoolPassedFds *self);

G_END_DECLS
