/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-control.h"
#include "pool-memory-watch.h"
#include "pool-shm.h"
#include "pool-zygote.h"

#include "libpool/pool-local-backend-private.h"

G_BEGIN_DECLS

/* How long the zygote may take to end, with all it has been told to kill, before it is killed itself. */
#define QUIT_TIMEOUT_MS 2000

#define POOL_TYPE_FORK_BACKEND (pool_fork_backend_get_type ())
G_DECLARE_FINAL_TYPE (PoolForkBackend, pool_fork_backend, POOL, FORK_BACKEND, PoolLocalBackend)

typedef struct _PoolForkCapture PoolForkCapture;

/* What the manager knows of a worker process. */
typedef struct
{
  guint32 incarnation;
  pid_t pid;
  gboolean up;
  gboolean asked; /* to end */
  gboolean no_sandbox; /* why it did not come up: it could not enter its sandbox */
  GError *start_error;
  guint8 *extent; /* granted to it, or NULL */
  PoolMemoryWatch memory;
} PoolForkWorker;

struct _PoolForkBackend
{
  PoolLocalBackend parent_instance;

  PoolShm *shm;
  gboolean is_shared; /* others look at results in it */
  PoolForkWorker *workers; /* as many as the ring has */
  guint n_workers;
  guint32 next_incarnation;
  guint n_functions; /* that workers can find in the shared table */
  PoolStartMethod method; /* that was taken: never AUTO */
  gboolean from_copy;
  PoolSandbox sandbox;
  gboolean stopping;
  char first_workers[48]; /* an argument of the zygote that is being made */

  int control_fd; /* -1: the zygote is gone */
  int manager_fd; /* pidfd of this process */
  pid_t zygote;   /* 0: not our child */
  GQueue outbox;  /* PoolControlMessage: the socket took no more; it is watched for room as long as there are any */
  guint n_refused; /* orders in a row that there was no memory for */

  int report_fds[2]; /* this side's, and the workers' for a zygote that is made again */
  guint8 *report;    /* that is being read */
  PoolForkCapture *captures;
};

/*
 * Makes the zygote, and it the first workers, in the way that is asked for (pool-fork-start.c). @again: another one, in the way that was taken
 * before, which must not be a fork of the program; may be called by any thread.
 */
gboolean pool_fork_backend_start_zygote (PoolForkBackend *self, PoolStartMethod asked, gboolean again,
                                         guint n_workers, guint32 incarnation, GError **error);

/* What is run in place of pool-worker; NULL: nothing */
const char *const *pool_fork_backend_get_command (PoolForkBackend *self);
/* pool-fork-main.c */
int pool_fork_backend_worker_main (PoolBackend *backend, int argc, char **argv);

/* What workers have of memory, where that has a limit (pool-fork-memory.c) */
void pool_fork_backend_begin_memory (PoolForkBackend *self, guint worker);
guint64 pool_fork_backend_get_memory (PoolBackend *backend, guint worker);
gboolean pool_fork_backend_ran_out_of_memory (PoolForkBackend *self, const PoolControlMessage *message);

/* What workers send beside results (pool-fork-reports.c). @logs: there are log records among it */
gboolean pool_fork_backend_open_reports (PoolForkBackend *self, gboolean logs, GError **error);
void pool_fork_backend_close_reports (PoolForkBackend *self);
void pool_fork_backend_read_reports (PoolLocalBackend *local);
void pool_fork_backend_read_captures (PoolForkBackend *self);
void pool_fork_backend_take_output (PoolLocalBackend *local, guint worker, guint64 handle);
void pool_fork_backend_give_up_output (PoolBackend *backend, guint64 handle);
void pool_fork_backend_drop_captures (PoolForkBackend *self, guint worker);

/* pool-fork-deaths.c: what the zygote tells of a worker, and its own end */
void pool_fork_backend_handle_report (PoolForkBackend *self, const PoolControlMessage *message);
void pool_fork_backend_zygote_died (PoolForkBackend *self);

G_END_DECLS
