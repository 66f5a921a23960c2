/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Messages over the socket (SOCK_SEQPACKET) between a manager and its zygote. */
typedef enum
{
  /* to the zygote */
  POOL_CONTROL_SPAWN, /* workers [worker, worker + n), incarnations from incarnation */
  POOL_CONTROL_KILL,  /* signal to the process group of worker, if it is still that incarnation */
  POOL_CONTROL_QUIT,  /* kill all workers and end */
  /* from the zygote */
  POOL_CONTROL_STARTED,
  POOL_CONTROL_FAILED, /* no process could be made: status is an errno, or 0: nobody knows why */
  POOL_CONTROL_EXITED,
  POOL_CONTROL_STOPPED,
  POOL_CONTROL_CONTINUED,
} PoolControlType;

typedef struct
{
  guint32 type;
  guint32 worker;
  guint32 incarnation;
  guint32 n;
  gint32 pid;
  gint32 signum; /* KILL: to send; EXITED: what ended it, or 0 */
  gint32 status; /* EXITED: exit status, or -1 */
  guint32 reserved;
  guint64 max_rss;  /* KiB */
  double cpu_time;  /* seconds */
} PoolControlMessage;

/* FALSE with errno; EAGAIN if it would block and @wait is not set */
gboolean pool_control_send (int fd, const PoolControlMessage *message, gboolean wait);
/* 1, 0: nothing there, -1: the other side is gone or talks nonsense */
int pool_control_receive (int fd, PoolControlMessage *message, gboolean wait);

G_END_DECLS
