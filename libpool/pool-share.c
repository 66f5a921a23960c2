/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-share-private.h"

/* What the other side may be looking at. */
typedef struct
{
  guint64 block;
  GBytes *bytes;
  guint n; /* how often it has been lent */
} Loan;

static void
free_loan (gpointer data)
{
  Loan *loan = data;

  g_bytes_unref (loan->bytes);
  g_free (loan);
}

void
pool_share_init (PoolShare *self, PoolShareHeap *heap)
{
  *self = (PoolShare){ .own = { .fd = -1 },
                       .heap = heap,
                       .loans = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_loan) };
  if (heap != NULL)
    pool_share_heap_get_memory (heap, &self->own);
}

void
pool_share_set_own (PoolShare *self, const PoolBackendMemory *own)
{
  self->own = *own;
}

void
pool_share_clear (PoolShare *self)
{
  g_clear_pointer (&self->view, pool_share_view_close);
  g_clear_pointer (&self->loans, g_hash_table_unref);
  self->is_seen = FALSE;
}

static void
note_loan (PoolShare *self, guint64 block, GBytes *bytes)
{
  Loan *loan = g_hash_table_lookup (self->loans, &block);

  if (loan == NULL)
    {
      loan = g_new (Loan, 1);
      *loan = (Loan){ block, g_bytes_ref (bytes), 0 };
      g_hash_table_insert (self->loans, &loan->block, loan);
    }
  loan->n++;
}

/* A value that came from the other side, or a part of it, goes back: it knows where that is. */
static gboolean
point_back (PoolShare *self, gconstpointer data, GBytes *bytes, PoolSharePlace *place)
{
  guint64 offset;

  if (self->view == NULL || bytes == NULL || !pool_share_view_find (self->view, data, &offset) ||
      !pool_share_view_find (self->view, g_bytes_get_data (bytes, NULL), &place->block))
    return FALSE;
  place->skip = offset - place->block;
  return TRUE;
}

gboolean
pool_share_lend (PoolShare *self, gconstpointer data, gsize size, GBytes *bytes, PoolSharePlace *place,
                 gboolean *is_theirs)
{
  const guint8 *start = data;
  g_autoptr (GBytes) copy = NULL;

  *is_theirs = TRUE;
  if (point_back (self, data, bytes, place))
    return TRUE;
  *is_theirs = FALSE;
  if (!self->is_seen)
    return FALSE;
  if (bytes == NULL || start < self->own.base || start >= self->own.base + self->own.size)
    {
      copy = self->heap != NULL ? pool_share_heap_alloc (self->heap, size) : NULL;
      if (copy == NULL)
        return FALSE;
      bytes = copy;
      start = memcpy ((gpointer) g_bytes_get_data (copy, NULL), data, size);
    }
  place->block = start - self->own.base;
  place->skip = 0;
  note_loan (self, place->block, bytes);
  return TRUE;
}

GBytes *
pool_share_resolve (PoolShare *self, const PoolSharePlace *place, gsize size, gboolean is_ours)
{
  Loan *loan;
  gsize length;

  if (!is_ours)
    {
      length = self->view != NULL ? pool_share_view_get_size (self->view) : 0;
      if (place->skip != 0 || place->block >= length || size > length - place->block)
        return NULL;
      return pool_share_view_borrow (self->view, place->block, size);
    }
  loan = g_hash_table_lookup (self->loans, &place->block);
  length = loan != NULL ? g_bytes_get_size (loan->bytes) : 0;
  if (place->skip >= length || size > length - place->skip)
    return NULL;
  return g_bytes_new_from_bytes (loan->bytes, place->skip, size);
}

gboolean
pool_share_take_back (PoolShare *self, guint64 block)
{
  Loan *loan = g_hash_table_lookup (self->loans, &block);

  if (loan == NULL)
    return FALSE;
  if (--loan->n == 0)
    g_hash_table_remove (self->loans, &block);
  return TRUE;
}
