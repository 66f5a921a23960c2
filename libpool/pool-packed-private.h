/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-packed.h"

#include <string.h>

G_BEGIN_DECLS

/*
 * A packed batch: u64 n, u64 end[n], data; all little-endian. Item i is data[end[i-1] .. end[i]). In a batch of
 * results the highest bit of an end marks an item that is an encoded error (pool-value-private.h).
 */
#define POOL_PACKED_ERROR (G_GUINT64_CONSTANT (1) << 63)
#define POOL_PACKED_HEADER(n) (8 + 8 * (gsize) (n))

/* A checked batch; borrows its bytes. */
typedef struct
{
  const guint8 *ends;
  const guint8 *data;
  guint64 n_items;
  gsize data_size;
} PoolPackedView;

static inline guint64
pool_packed_read (const guint8 *p)
{
  guint64 value;

  memcpy (&value, p, sizeof value);
  return GUINT64_FROM_LE (value);
}

static inline void
pool_packed_write (guint8 *p, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (p, &value, sizeof value);
}

static inline guint64
pool_packed_view_end (const PoolPackedView *view, guint64 index)
{
  return pool_packed_read (view->ends + 8 * index) & ~POOL_PACKED_ERROR;
}

static inline guint64
pool_packed_view_start (const PoolPackedView *view, guint64 index)
{
  return index == 0 ? 0 : pool_packed_view_end (view, index - 1);
}

static inline const guint8 *
pool_packed_view_item (const PoolPackedView *view, guint64 index, gsize *size, gboolean *is_error)
{
  guint64 start = pool_packed_view_start (view, index);
  guint64 end = pool_packed_read (view->ends + 8 * index);

  if (is_error != NULL)
    *is_error = (end & POOL_PACKED_ERROR) != 0;
  *size = (end & ~POOL_PACKED_ERROR) - start;
  return view->data + start;
}

POOL_EXPORT
gboolean pool_packed_view_init (PoolPackedView *view, const guint8 *data, gsize size, gboolean results,
                                GError **error);

/* Bytes that items [first, first + n) take as a batch of their own, and writing them there. */
POOL_EXPORT
gsize pool_packed_view_slice_size (const PoolPackedView *view, guint64 first, guint64 n);
POOL_EXPORT
void pool_packed_view_slice (const PoolPackedView *view, guint64 first, guint64 n, guint8 *out);

G_END_DECLS
