/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-share-private.h"

#include "pool-arena-private.h"
#include "pool-shared-memory-private.h"

#include <sys/mman.h>
#include <sys/random.h>
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

PoolShareHeap *
pool_share_heap_new (void)
{
  PoolShareHeap *self = g_new0 (PoolShareHeap, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->fd = pool_shared_memory_open ();
  for (guint i = 0; self->fd >= 0 && self->base == NULL && i < G_N_ELEMENTS (sizes); i++)
    {
      self->size = sizes[i];
      self->base = pool_shared_memory_make (self->fd, self->size);
    }
  if (self->base != NULL && getrandom (self->base, POOL_BACKEND_TOKEN, 0) == POOL_BACKEND_TOKEN &&
      pool_arena_init (&self->arena, self->base + PAGE, self->size - PAGE))
    {
      pool_shared_memory_seal (self->fd);
      return self;
    }
  if (self->base != NULL)
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
