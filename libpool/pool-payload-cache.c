/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-payload-cache-private.h"

#include <stdlib.h>

#define PAGE 4096
/* So much is kept that nobody uses, in bytes. */
#define KEPT_MAX (64 * 1024 * 1024)

typedef struct
{
  PoolPayloadCache *cache;
  gsize size;
  void *memory;
} Block;

struct _PoolPayloadCache
{
  gatomicrefcount ref_count;
  GMutex lock; /* of the rest */
  GQueue free; /* Block, the one that was used last first */
  gsize n_kept; /* bytes in those */
};

PoolPayloadCache *
pool_payload_cache_new (void)
{
  PoolPayloadCache *self = g_new0 (PoolPayloadCache, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  return self;
}

static void
free_block (Block *block)
{
  free (block->memory);
  g_free (block);
}

void
pool_payload_cache_unref (PoolPayloadCache *self)
{
  Block *block;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  while ((block = g_queue_pop_head (&self->free)) != NULL)
    free_block (block);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* The bytes are nobody's any more. */
static void
give_back (gpointer data)
{
  Block *block = data, *oldest;
  PoolPayloadCache *self = block->cache;
  GQueue surplus = G_QUEUE_INIT;

  g_mutex_lock (&self->lock);
  g_queue_push_head (&self->free, block);
  self->n_kept += block->size;
  while (self->n_kept > KEPT_MAX)
    {
      oldest = g_queue_pop_tail (&self->free);
      self->n_kept -= oldest->size;
      g_queue_push_tail (&surplus, oldest);
    }
  g_mutex_unlock (&self->lock);
  while ((oldest = g_queue_pop_head (&surplus)) != NULL)
    free_block (oldest);
  pool_payload_cache_unref (self);
}

/* One that fits, and is not much too large. */
static Block *
take_kept (PoolPayloadCache *self, gsize size)
{
  Block *block = NULL;

  g_mutex_lock (&self->lock);
  for (GList *link = self->free.head; link != NULL && block == NULL; link = link->next)
    {
      Block *kept = link->data;

      if (kept->size < size || kept->size / 2 > size)
        continue;
      block = kept;
      g_queue_delete_link (&self->free, link);
      self->n_kept -= block->size;
      break;
    }
  g_mutex_unlock (&self->lock);
  return block;
}

GBytes *
pool_payload_cache_alloc (PoolPayloadCache *self, gsize size)
{
  Block *block = take_kept (self, size);
  void *memory;

  if (block == NULL)
    {
      gsize rounded = (size + PAGE - 1) & ~(gsize) (PAGE - 1);

      if (rounded < size || posix_memalign (&memory, PAGE, rounded) != 0)
        return NULL;
      block = g_new (Block, 1);
      *block = (Block){ self, rounded, memory };
    }
  g_atomic_ref_count_inc (&self->ref_count);
  return g_bytes_new_with_free_func (block->memory, size, give_back, block);
}
