/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-arena-private.h"

#include <sys/mman.h>

#define UNIT ((gsize) 1024)
#define IDLE_MAX ((gsize) 256 * 1024 * 1024)
#define PAGE ((gsize) 4096)
#define COLD 0x80 /* of a free block, in classes: it has been given back and has no pages */

gboolean
pool_arena_init (PoolArena *self, guint8 *base, gsize size)
{
  g_mutex_init (&self->lock);
  self->base = base;
  self->size = size;
  /* a byte for each unit: address space, until units are used */
  self->classes = mmap (NULL, size / UNIT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (self->classes == MAP_FAILED)
    {
      self->classes = NULL;
      return FALSE;
    }
  madvise (self->classes, size / UNIT, MADV_DONTDUMP);
  return TRUE;
}

void
pool_arena_clear (PoolArena *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->free); i++)
    if (self->free[i] != NULL)
      g_array_unref (self->free[i]);
  if (self->classes != NULL)
    munmap (self->classes, self->size / UNIT);
  g_mutex_clear (&self->lock);
}

static guint
class_of (gsize size)
{
  return size <= UNIT ? 0 : g_bit_storage ((size - 1) / UNIT);
}

static gsize
block_size (guint class)
{
  return UNIT << class;
}

static guint8 *
pop_free (PoolArena *self, guint class)
{
  GArray *blocks = self->free[class];
  gsize offset;

  if (blocks == NULL || blocks->len == 0)
    return NULL;
  offset = g_array_index (blocks, gsize, blocks->len - 1);
  g_array_set_size (blocks, blocks->len - 1);
  if ((self->classes[offset / UNIT] & COLD) == 0)
    self->idle -= block_size (class);
  self->classes[offset / UNIT] &= ~COLD;
  return self->base + offset;
}

static guint8 *
take_new (PoolArena *self, guint class)
{
  /* blocks of a page and more begin at a page, so that they can be given back */
  gsize start = class >= 2 ? (self->top + PAGE - 1) & ~(PAGE - 1) : self->top;

  if (block_size (class) > self->size || start > self->size - block_size (class))
    return NULL;
  self->top = start + block_size (class);
  self->classes[start / UNIT] = class + 1;
  return self->base + start;
}

guint8 *
pool_arena_alloc (PoolArena *self, gsize size, gboolean recycled)
{
  guint class = class_of (size);
  guint8 *block;

  if (size > self->size)
    return NULL;

  g_mutex_lock (&self->lock);
  block = pop_free (self, class);
  if (block == NULL && !recycled)
    block = take_new (self, class);
  /* the window is used up: a larger block will do */
  for (guint c = class + 1; block == NULL && !recycled && c < G_N_ELEMENTS (self->free); c++)
    block = pop_free (self, c);
  g_mutex_unlock (&self->lock);
  return block;
}

void
pool_arena_free (PoolArena *self, guint8 *block)
{
  gsize offset = block - self->base;
  guint class;

  g_mutex_lock (&self->lock);
  g_assert (self->classes[offset / UNIT] != 0);
  class = self->classes[offset / UNIT] - 1;
  if (self->free[class] == NULL)
    self->free[class] = g_array_new (FALSE, FALSE, sizeof (gsize));

  if (class >= 2 && self->idle + block_size (class) > IDLE_MAX && !self->is_kept)
    {
      madvise (block, block_size (class), MADV_REMOVE);
      self->classes[offset / UNIT] |= COLD;
      /* no better than a new one: the last to be used */
      g_array_prepend_val (self->free[class], offset);
    }
  else
    {
      g_array_append_val (self->free[class], offset);
      self->idle += block_size (class);
    }
  g_mutex_unlock (&self->lock);
}

gsize
pool_arena_get_block_size (PoolArena *self, const guint8 *block)
{
  return block_size (self->classes[(block - self->base) / UNIT] - 1);
}
