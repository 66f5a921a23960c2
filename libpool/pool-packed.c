/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-packed-private.h"

#include "pool-error.h"
#include "pool-value-private.h"

static gboolean
protocol_error (GError **error, const char *what)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL, "Not a packed batch: %s", what);
  return FALSE;
}

/*
 * The one parser of packed batches, for those of callers and those that come back from workers. It reads nothing
 * outside of [data, data + size) and trusts no number in it; ends must rise, so no item can overlap the next.
 */
gboolean
pool_packed_view_init (PoolPackedView *view, const guint8 *data, gsize size, gboolean results,
                       GError **error)
{
  guint64 previous = 0;
  guint64 allowed = results ? ~POOL_PACKED_ERROR : ~G_GUINT64_CONSTANT (0);

  if (size < 8)
    return protocol_error (error, "shorter than its header");

  view->n_items = pool_packed_read (data);
  if (view->n_items > (size - 8) / 8)
    return protocol_error (error, "more items than bytes");

  view->ends = data + 8;
  view->data = view->ends + 8 * view->n_items;
  view->data_size = size - 8 - 8 * view->n_items;

  for (guint64 i = 0; i < view->n_items; i++)
    {
      guint64 end = pool_packed_read (view->ends + 8 * i) & allowed;

      if (end < previous || end > view->data_size)
        return protocol_error (error, "an item ends before it begins or outside of the data");
      previous = end;
    }

  if (previous != view->data_size)
    return protocol_error (error, "bytes after the last item");

  return TRUE;
}

gsize
pool_packed_view_slice_size (const PoolPackedView *view, guint64 first, guint64 n)
{
  return POOL_PACKED_HEADER (n) + pool_packed_view_end (view, first + n - 1) -
         pool_packed_view_start (view, first);
}

void
pool_packed_view_slice (const PoolPackedView *view, guint64 first, guint64 n, guint8 *out)
{
  guint64 start = pool_packed_view_start (view, first);
  guint64 end = pool_packed_view_end (view, first + n - 1);
  const guint8 *ends = view->ends + 8 * first;

  pool_packed_write (out, n);
  out += 8;
  for (guint64 i = 0; i < n; i++)
    pool_packed_write (out + 8 * i, pool_packed_read (ends + 8 * i) - start);
  memcpy (out + 8 * n, view->data + start, end - start);
}

/**
 * pool_packed_new:
 * @items: (array length=n_items): the items
 * @n_items: how many there are
 *
 * Packs items into one block for [method@Manager.map_packed]: a little-endian 64-bit count, the end of each item
 * as a 64-bit offset in bytes from where the data begins, then the data.
 *
 * Returns: (transfer full): the packed batch
 *
 * Since: 1.0
 */
GBytes *
pool_packed_new (GBytes **items, gsize n_items)
{
  gsize size = POOL_PACKED_HEADER (n_items);
  guint64 end = 0;
  guint8 *out;

  for (gsize i = 0; i < n_items; i++)
    size += g_bytes_get_size (items[i]);

  out = g_malloc (size);
  pool_packed_write (out, n_items);
  for (gsize i = 0; i < n_items; i++)
    {
      gsize item_size;
      gconstpointer item = g_bytes_get_data (items[i], &item_size);

      if (item_size > 0)
        memcpy (out + POOL_PACKED_HEADER (n_items) + end, item, item_size);
      end += item_size;
      pool_packed_write (out + 8 + 8 * i, end);
    }

  return g_bytes_new_take (out, size);
}

/**
 * pool_packed_check:
 * @data: (array length=size) (element-type guint8): bytes
 * @size: how many
 * @n_items: (out) (optional): return location for the number of items
 * @error: return location for a #GError
 *
 * Checks that bytes are a well-formed packed batch: a little-endian 64-bit count `n`, then `n` 64-bit ends, each an
 * offset in bytes from where the data begins, none smaller than the one before it, the last one equal to the length
 * of the data; then the data. In a batch of *results* the highest bit of an end marks an item that is an error.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_PROTOCOL
 *
 * Since: 1.0
 */
gboolean
pool_packed_check (const guint8 *data, gsize size, guint64 *n_items, GError **error)
{
  PoolPackedView view;

  if (!pool_packed_view_init (&view, data, size, TRUE, error))
    return FALSE;

  if (n_items != NULL)
    *n_items = view.n_items;
  return TRUE;
}

/**
 * pool_packed_get_n_items:
 * @packed: a packed batch
 *
 * Counts the items of a batch.
 *
 * Returns: the number of items; 0 if @packed is not a batch
 *
 * Since: 1.0
 */
guint64
pool_packed_get_n_items (GBytes *packed)
{
  guint64 n_items = 0;
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);

  return pool_packed_check (data, size, &n_items, NULL) ? n_items : 0;
}

/**
 * pool_packed_get_item:
 * @packed: a packed batch
 * @index: which item
 * @error: return location for a #GError
 *
 * Takes one item out of a batch without copying it. It checks the whole batch each time: a loop over a large
 * batch should read the offsets itself.
 *
 * Returns: (transfer full): the item; %NULL with the task's error if the item is one, %POOL_ERROR_PROTOCOL if
 *   @packed is not a batch, %POOL_ERROR_INVALID_ARGUMENT if it has no such item
 *
 * Since: 1.0
 */
GBytes *
pool_packed_get_item (GBytes *packed, guint64 index, GError **error)
{
  PoolPackedView view;
  gsize size, item_size;
  gboolean is_error;
  const guint8 *data = g_bytes_get_data (packed, &size);
  const guint8 *item;

  if (!pool_packed_view_init (&view, data, size, TRUE, error))
    return NULL;

  if (index >= view.n_items)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "There is no item %" G_GUINT64_FORMAT " in a batch of %" G_GUINT64_FORMAT, index,
                   view.n_items);
      return NULL;
    }

  item = pool_packed_view_item (&view, index, &item_size, &is_error);
  if (is_error)
    {
      g_propagate_error (error, pool_error_decode (item, item_size));
      return NULL;
    }
  return g_bytes_new_from_bytes (packed, item - data, item_size);
}
