/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"

#include "libpool/pool-engine-private.h"

#include <string.h>

/* The manager's side of a limit of memory: what a worker has, and whether it died of wanting more. */

/* A worker is about to be made. */
void
pool_fork_backend_begin_memory (PoolForkBackend *self, guint worker)
{
  pool_memory_watch_init (&self->workers[worker].memory);
  memset (pool_shm_memory (self->shm, worker), 0, sizeof (PoolShmMemory));
}

guint64
pool_fork_backend_get_memory (PoolBackend *backend, guint worker)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);
  PoolForkWorker *info = &self->workers[worker];
  guint64 start = pool_shm_memory (self->shm, worker)->start, now;
  guint64 limit = backend->engine->settings.backend.memory_limit;

  if (info->pid == 0)
    return 0;
  now = pool_memory_watch_read (&info->memory, info->pid, limit < G_MAXUINT64 - start ? start + limit : G_MAXUINT64);
  return now - MIN (start, now);
}

gboolean
pool_fork_backend_ran_out_of_memory (PoolForkBackend *self, const PoolControlMessage *message)
{
  return message->type == POOL_CONTROL_EXITED && (message->signum != 0 || message->status != 0) &&
         atomic_load (&pool_shm_memory (self->shm, message->worker)->ran_out) != 0;
}
