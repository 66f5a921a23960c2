/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

/*
 * Bytes that grow, are reused, and may be longer than the 4 GiB of a GByteArray. What a program's data fill is asked for
 * with try_reserve() and try_append(), which can fail; the others end the program, as GLib does.
 */
typedef struct
{
  guint8 *data;
  gsize len;
  gsize capacity;
} PoolBuffer;

/* NULL: there is no memory; what the buffer held is still there. */
static inline guint8 *
pool_buffer_try_reserve (PoolBuffer *self, gsize size)
{
  guint8 *place;

  if (G_UNLIKELY (size > self->capacity - self->len || self->data == NULL))
    {
      gsize wanted = self->len + size;
      /* a large value is mostly written at once: no room to spare for it */
      gsize capacity = self->len == 0 ? MAX (wanted, 256) : MAX (wanted, self->capacity * 2);

      place = wanted >= size ? g_try_realloc (self->data, capacity) : NULL;
      if (G_UNLIKELY (place == NULL) && wanted >= size && capacity > wanted)
        place = g_try_realloc (self->data, capacity = wanted);
      if (G_UNLIKELY (place == NULL))
        return NULL;
      self->data = place;
      self->capacity = capacity;
    }
  place = self->data + self->len;
  self->len += size;
  return place;
}

static inline gboolean
pool_buffer_try_append (PoolBuffer *self, gconstpointer data, gsize size)
{
  guint8 *place = pool_buffer_try_reserve (self, size);

  if (place != NULL && size > 0)
    memcpy (place, data, size);
  return place != NULL;
}

static inline guint8 *
pool_buffer_reserve (PoolBuffer *self, gsize size)
{
  guint8 *place = pool_buffer_try_reserve (self, size);

  if (G_UNLIKELY (place == NULL))
    g_error ("failed to allocate %" G_GSIZE_FORMAT " bytes", size);
  return place;
}

static inline void
pool_buffer_append (PoolBuffer *self, gconstpointer data, gsize size)
{
  guint8 *place = pool_buffer_reserve (self, size);

  if (size > 0)
    memcpy (place, data, size);
}

static inline void
pool_buffer_clear (PoolBuffer *self)
{
  g_clear_pointer (&self->data, g_free);
  self->len = self->capacity = 0;
}

/* Empties it for the next use; memory far beyond what was needed last is given back. */
static inline void
pool_buffer_reset (PoolBuffer *self)
{
  if (G_UNLIKELY (self->capacity > 1024 * 1024 && self->len < self->capacity / 8))
    pool_buffer_clear (self);
  self->len = 0;
}

static inline guint8 *
pool_buffer_steal (PoolBuffer *self, gsize *size)
{
  guint8 *data = g_steal_pointer (&self->data);

  *size = self->len;
  self->len = self->capacity = 0;
  return data;
}

G_END_DECLS
