/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-share-private.h"

#include "pool-arena-private.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE ((gsize) 4096)
#define MIB ((gsize) 1024 * 1024)

/* How much address space, the first that can be had. No memory is used before it is written to. */
static const gsize sizes[] = { (gsize) 64 * 1024 * MIB, (gsize) 16 * 1024 * MIB, 4 * 1024 * MIB, 1024 * MIB, 128 * MIB };

/* The first page has nothing but the token. */
struct _PoolShareHeap
{
  gatomicrefcount ref_count;
  int fd;
  guint8 *base;
  gsize size;
  PoolArena arena;
};

typedef struct
{
  PoolShareHeap *heap;
  guint8 *block;
} Block;

/* A file over its limit would be a SIGXFSZ. */
static gboolean
resize (int fd, gsize size)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
    return FALSE;
  return ftruncate (fd, size) == 0;
}

PoolShareHeap *
pool_share_heap_new (void)
{
  PoolShareHeap *self = g_new0 (PoolShareHeap, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->base = MAP_FAILED;
  self->fd = memfd_create ("libpool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  for (guint i = 0; self->fd >= 0 && self->base == MAP_FAILED && i < G_N_ELEMENTS (sizes); i++)
    {
      self->size = sizes[i];
      if (resize (self->fd, self->size))
        self->base = mmap (NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, self->fd, 0);
    }
  if (self->base != MAP_FAILED && getrandom (self->base, POOL_BACKEND_TOKEN, 0) == POOL_BACKEND_TOKEN &&
      pool_arena_init (&self->arena, self->base + PAGE, self->size - PAGE))
    {
      fcntl (self->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
      madvise (self->base, self->size, MADV_DONTDUMP);
      return self;
    }
  if (self->base != MAP_FAILED)
    munmap (self->base, self->size);
  if (self->fd >= 0)
    close (self->fd);
  g_free (self);
  return NULL;
}

void
pool_share_heap_unref (PoolShareHeap *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  pool_arena_clear (&self->arena);
  munmap (self->base, self->size);
  close (self->fd);
  g_free (self);
}

static void
free_block (gpointer data)
{
  Block *block = data;

  pool_arena_free (&block->heap->arena, block->block);
  pool_share_heap_unref (block->heap);
  g_free (block);
}

GBytes *
pool_share_heap_alloc (PoolShareHeap *self, gsize size)
{
  guint8 *memory = pool_arena_alloc (&self->arena, size, FALSE);
  Block *block;

  if (memory == NULL)
    return NULL;
  block = g_new (Block, 1);
  *block = (Block){ self, memory };
  g_atomic_ref_count_inc (&self->ref_count);
  return g_bytes_new_with_free_func (memory, size, free_block, block);
}

void
pool_share_heap_get_memory (PoolShareHeap *self, PoolBackendMemory *memory)
{
  *memory = (PoolBackendMemory){ .fd = self->fd, .base = self->base, .size = self->size };
}
