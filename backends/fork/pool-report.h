/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/*
 * What workers send beside results, over one socket (SOCK_SEQPACKET) that all workers of a pool share: what is in it
 * arrives whatever becomes of the worker.
 */
typedef enum
{
  POOL_REPORT_LOG,     /* a log record follows */
  POOL_REPORT_CAPTURE, /* with the ends of two pipes that the task `handle` will write to */
} PoolReportType;

typedef struct
{
  guint32 type;
  guint32 worker;
  guint32 incarnation;
  guint32 reserved;
  guint64 handle;
} PoolReportHeader;

#define POOL_REPORT_FDS 2

/* fds[0]: the manager's; fds[1]: the workers' */
gboolean pool_report_open (int *fds);
/* @timeout: ms to wait for room; -1: as long as it takes. FALSE with errno: EAGAIN if there was none */
gboolean pool_report_send (int fd, const PoolReportHeader *header, gconstpointer data, gsize size,
                           const int *fds, int timeout);
/* What the system says of a report. */
typedef struct
{
  pid_t pid;                /* who sent it */
  int fds[POOL_REPORT_FDS]; /* that came with it and are the caller's, or -1 */
} PoolReportOrigin;

/* The length of what follows the header, -1 if nothing is there, or -2 for what is no report. */
gssize pool_report_receive (int fd, PoolReportHeader *header, guint8 *data, gsize size,
                            PoolReportOrigin *origin);

G_END_DECLS
