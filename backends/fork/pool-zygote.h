/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-shm.h"

G_BEGIN_DECLS

/* What a zygote and its workers are given. */
typedef struct
{
  PoolShm *shm;
  int control_fd;
  int event_fd;
  int manager_fd; /* pidfd of the manager */
  gboolean exec_workers;
  const char *program; /* to exec */
  /* functions of the program that this process is a copy of; NULL: find them by their names */
  PoolFunctionTable *functions;
} PoolZygote;

/* Runs in the new process; never returns. */
void pool_zygote_main (PoolZygote *self) G_GNUC_NORETURN;
/* Runs in a worker's process; never returns. */
void pool_fork_worker_main (PoolShm *shm, guint worker, int event_fd, PoolFunctionTable *functions)
    G_GNUC_NORETURN;

/* Default dispositions, nothing blocked, own process group, dies with its parent. */
void pool_process_become_clean (gboolean new_group);
/* Closes all descriptors but 0–2 and those in @keep, which is sorted. */
void pool_process_close_fds (const int *keep, guint n);

G_END_DECLS
