/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"
#include "pool-sandbox.h"
#include "libpool/pool-engine-private.h"
#include "libpool/pool-init.h"
#include "libpool/pool-value-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How workers and the zygote end: what the zygote reports, and what is put right afterwards. */

static PoolDownReason
why_down (PoolForkBackend *self, const PoolForkWorker *info, const PoolControlMessage *message)
{
  /* a fork function that fails after the fork has made one that was up for a moment: that counts as a death */
  if (message->type == POOL_CONTROL_FAILED && !info->up)
    return POOL_DOWN_REASON_NOT_STARTED;
  if (info->up && pool_fork_backend_ran_out_of_memory (self, message))
    return POOL_DOWN_REASON_OUT_OF_MEMORY;
  if (self->stopping || info->asked)
    return POOL_DOWN_REASON_ASKED;
  if (!info->up)
    return info->no_sandbox ? POOL_DOWN_REASON_NOT_STARTED : POOL_DOWN_REASON_INITIALIZER;
  return message->signum != 0 ? POOL_DOWN_REASON_CRASHED : POOL_DOWN_REASON_EXITED;
}

/* Why a worker did not come up, as the end of a sentence that begins with it. */
static GError *
explain_bad_start (PoolForkBackend *self, const PoolForkWorker *info, const PoolControlMessage *message)
{
  if (message->type == POOL_CONTROL_FAILED)
    return g_error_new (POOL_ERROR, POOL_ERROR_BACKEND, "could not be forked: %s",
                        message->status != 0 ? g_strerror (message->status)
                                             : "the fork function failed");
  if (info->start_error != NULL)
    return g_error_new (info->start_error->domain, info->start_error->code,
                        info->no_sandbox ? "could not be sandboxed: %s" : "failed in its initializer: %s",
                        info->start_error->message);
  if (pool_fork_backend_ran_out_of_memory (self, message))
    return g_error_new (POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                        "ran out of memory before it was ready: memory-limit is %" G_GUINT64_FORMAT " KiB",
                        POOL_BACKEND (self)->engine->settings.backend.memory_limit);
  if (message->signum != 0)
    return g_error_new (POOL_ERROR, POOL_ERROR_WORKER_LOST,
                        "was killed by signal %d (%s) before it was ready", message->signum,
                        g_strsignal (message->signum));
  return g_error_new (POOL_ERROR, POOL_ERROR_WORKER_LOST,
                      "exited with status %d before it was ready", message->status);
}

/*
 * First what it has still delivered, then what it held, then its task. Whatever it shared with others is put right in
 * this order before another worker takes its place.
 */
static void
worker_ended (PoolForkBackend *self, const PoolControlMessage *message)
{
  PoolLocalBackend *local = POOL_LOCAL_BACKEND (self);
  PoolForkWorker *info = &self->workers[message->worker];
  PoolBackendExit exit = { .worker = message->worker,
                           .exit_code = message->status,
                           .signum = message->signum,
                           .max_rss = message->max_rss,
                           .start_memory = pool_shm_memory (self->shm, message->worker)->start,
                           .cpu_time = message->cpu_time };
  g_autoptr (GError) error = NULL;

  while (pool_local_backend_drain (local, message->worker))
    ;
  pool_fork_backend_read_reports (local);
  exit.reason = why_down (self, info, message);
  if (exit.reason == POOL_DOWN_REASON_INITIALIZER || exit.reason == POOL_DOWN_REASON_NOT_STARTED)
    exit.error = error = explain_bad_start (self, info, message);
  if (message->type == POOL_CONTROL_FAILED)
    exit.exit_code = -1;
  g_clear_error (&info->start_error);
  if (info->extent != NULL)
    pool_arena_free (&self->shm->results, g_steal_pointer (&info->extent));
  info->pid = 0;
  pool_memory_watch_clear (&info->memory);
  pool_local_backend_worker_gone (local, &exit);
  pool_fork_backend_drop_captures (self, message->worker);
}

/*
 * A worker whose zygote has died is ending too, by its parent-death signal: makes sure that it has, so that it does not
 * write to memory that is used anew. It is no child of ours; a pid that is not that of a worker any more is left alone.
 */
static void
await_end (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/comm", (int) pid);
  g_autofree char *name = NULL;
  int fd = syscall (SYS_pidfd_open, pid, 0);
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  if (fd < 0)
    return;
  if (g_file_get_contents (path, &name, NULL, NULL) && g_str_has_prefix (name, "pool-worker"))
    {
      syscall (SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
      poll (&poll_fd, 1, QUIT_TIMEOUT_MS);
    }
  close (fd);
}

/* The zygote is gone, and its workers with it. */
void
pool_fork_backend_zygote_died (PoolForkBackend *self)
{
  PoolRing *ring = &POOL_LOCAL_BACKEND (self)->ring;
  g_autofree gboolean *alive = g_memdup2 (ring->alive, ring->max_workers * sizeof (gboolean));
  guint n = atomic_load (&ring->n_workers);

  close (self->control_fd);
  self->control_fd = -1;
  if (self->zygote > 0)
    while (waitpid (self->zygote, NULL, 0) < 0 && errno == EINTR)
      ;
  self->zygote = 0;
  self->n_refused = 0;
  g_queue_clear_full (&self->outbox, g_free);
  for (guint i = 0; i < n; i++)
    if (alive[i] && self->workers[i].pid > 0)
      await_end (self->workers[i].pid);
  for (guint i = 0; i < n; i++)
    if (alive[i])
      {
        const PoolControlMessage message = { .type = POOL_CONTROL_EXITED,
                                             .worker = i,
                                             .signum = SIGKILL,
                                             .status = -1 };

        worker_ended (self, &message);
      }
}

void
pool_fork_backend_handle_report (PoolForkBackend *self, const PoolControlMessage *message)
{
  PoolRing *ring = &POOL_LOCAL_BACKEND (self)->ring;
  PoolForkWorker *info;

  if (message->worker >= ring->max_workers || !ring->alive[message->worker])
    return;
  info = &self->workers[message->worker];
  if (info->incarnation != message->incarnation)
    return;

  switch (message->type)
    {
    case POOL_CONTROL_STARTED:
      info->pid = message->pid;
      break;
    case POOL_CONTROL_EXITED:
    case POOL_CONTROL_FAILED:
      worker_ended (self, message);
      break;
    case POOL_CONTROL_STOPPED:
    case POOL_CONTROL_CONTINUED:
      pool_ring_worker_set_stopped (ring, message->worker, message->type == POOL_CONTROL_STOPPED);
      break;
    default:
      break;
    }
}
