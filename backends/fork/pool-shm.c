/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-shm.h"

#include "libpool.h"
#include "libpool/pool-shared-memory-private.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((gsize) 1024 * 1024)

/* How much address space each arena gets, the first that can be had. No memory is used before it is written to. */
static const gsize windows[] = { (gsize) 64 * 1024 * MIB, (gsize) 16 * 1024 * MIB, 4 * 1024 * MIB,
                                 1024 * MIB, 128 * MIB };

static gsize
align (gsize size, gsize to)
{
  return (size + to - 1) / to * to;
}

static void
lay_out (PoolShmHeader *header, gsize ring_size, guint max_workers, gsize window)
{
  header->ring = 4096;
  header->functions = align (header->ring + ring_size, 4096);
  header->memory = header->functions + POOL_SHM_FUNCTIONS * sizeof (PoolShmFunction);
  header->staging = align (header->memory + max_workers * sizeof (PoolShmMemory), 4096);
  header->arguments = align (header->staging + max_workers * POOL_SHM_STAGING, 2 * MIB);
  header->arguments_size = window;
  header->results = header->arguments + window;
  header->results_size = window;
  header->size = header->results + window;
}

static PoolShm *
shm_alloc (int fd)
{
  PoolShm *self = g_new0 (PoolShm, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->fd = fd;
  return self;
}

PoolShm *
pool_shm_new (gsize ring_size, guint max_workers, GError **error)
{
  PoolShm *self = shm_alloc (pool_shared_memory_open ());
  PoolShmHeader header = { .magic = POOL_SHM_MAGIC };

  for (guint i = 0; self->fd >= 0 && self->base == NULL && i < G_N_ELEMENTS (windows); i++)
    {
      lay_out (&header, ring_size, max_workers, windows[i]);
      self->base = pool_shared_memory_make (self->fd, header.size);
    }
  if (self->base == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "No shared memory for a pool: %s", g_strerror (errno));
      pool_shm_unref (self);
      return NULL;
    }

  /* a worker that was exec'd has the descriptor */
  pool_shared_memory_seal (self->fd);
  self->is_manager = TRUE;
  self->header = (PoolShmHeader *) (gpointer) self->base;
  *self->header = header;
  self->has_token =
      getrandom (self->header->token, POOL_BACKEND_TOKEN, 0) == POOL_BACKEND_TOKEN;
  if (!pool_arena_init (&self->arguments, pool_shm_at (self, header.arguments), header.arguments_size) ||
      !pool_arena_init (&self->results, pool_shm_at (self, header.results), header.results_size))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                           "No address space for a pool's memory");
      pool_shm_unref (self);
      return NULL;
    }
  return self;
}

PoolShm *
pool_shm_open (int fd, GError **error)
{
  PoolShm *self = shm_alloc (fd);
  PoolShmHeader header;
  struct stat st;

  if (fstat (fd, &st) != 0 || pread (fd, &header, sizeof header, 0) != sizeof header ||
      header.magic != POOL_SHM_MAGIC || header.size != (guint64) st.st_size ||
      (self->base = pool_shared_memory_map (fd, header.size, PROT_READ | PROT_WRITE)) == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL, "Descriptor %d is not the memory of a pool",
                   fd);
      pool_shm_unref (self);
      return NULL;
    }
  self->header = (PoolShmHeader *) (gpointer) self->base;
  return self;
}

PoolShm *
pool_shm_ref (PoolShm *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pool_shm_unref (PoolShm *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (self->is_manager)
    {
      pool_arena_clear (&self->arguments);
      pool_arena_clear (&self->results);
    }
  if (self->base != NULL)
    munmap (self->base, self->header->size);
  if (self->fd >= 0)
    close (self->fd);
  g_free (self);
}

void
pool_shm_protect_arguments (PoolShm *self)
{
  mprotect (pool_shm_at (self, self->header->arguments), self->header->arguments_size, PROT_READ);
}

typedef struct
{
  PoolShm *shm;
  PoolArena *arena;
  guint8 *block;
} Wrapped;

static void
wrapped_free (gpointer data)
{
  Wrapped *wrapped = data;

  pool_arena_free (wrapped->arena, wrapped->block);
  pool_shm_unref (wrapped->shm);
  g_free (wrapped);
}

GBytes *
pool_shm_wrap (PoolShm *self, PoolArena *arena, guint8 *block, gsize size)
{
  Wrapped *wrapped = g_new (Wrapped, 1);

  *wrapped = (Wrapped){ pool_shm_ref (self), arena, block };
  return g_bytes_new_with_free_func (block, size, wrapped_free, wrapped);
}
