/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-report.h"

G_BEGIN_DECLS

/* So many results of captured tasks may wait for the manager; each keeps two descriptors open there. */
#define POOL_CAPTURES_MAX 16

/*
 * A worker's side of capturing: while a task runs, the standard output and error of the process are pipes whose other ends
 * the manager has. They are new for each task, so that what a task leaves running does not write into the next one's.
 */
typedef struct
{
  int saved[2];         /* -1: was closed */
  gsize buffer_size[2]; /* of stdout and stderr before */
  gboolean by_line[2];
} PoolCapture;

/* FALSE: nothing has changed */
gboolean pool_capture_begin (PoolCapture *self, int report_fd, PoolReportHeader *header,
                             GError **error);
void pool_capture_end (PoolCapture *self);

G_END_DECLS
