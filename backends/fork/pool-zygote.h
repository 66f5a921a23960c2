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
  int report_fd;
  guint n_workers;      /* to make at once, from index 0; without waiting for an order */
  guint32 incarnation;  /* of the first of them */
  gboolean exec_workers;
  PoolSandbox sandbox; /* of workers; kept here, as they can write to the memory that they share */
  const char *program; /* to exec */
  const char *const *command; /* to exec instead, with its first arguments; NULL: none */
  gboolean keeps_fds; /* of the program: only what is the pool's own is closed */
  int their_fd;       /* the manager's end of the socket, in a child of the program; else -1 */
  PoolForkFunc fork_func;     /* by which workers are forked; NULL: fork() */
  gpointer fork_data;
  /* functions of the program that this process is a copy of; NULL: find them by their names */
  PoolFunctionTable *functions;
  PoolFunctionTable *named; /* functions of the program that this process runs, to be found by their names; or NULL */
  gboolean has_log_writer; /* the program set one: workers must not */
} PoolZygote;

/* Runs in the new process; never returns. */
void pool_zygote_main (PoolZygote *self) G_GNUC_NORETURN;
/* Runs in a worker's process; returns 0 when it has ended in order. */
int pool_fork_worker_main (const PoolZygote *zygote, guint worker);

G_END_DECLS
