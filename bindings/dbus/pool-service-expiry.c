/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-expiry.h"

typedef struct
{
  gpointer item;
  gint64 at; /* real time, µs */
} Entry;

struct _PoolServiceExpiry
{
  gint64 lifetime; /* µs */
  void (*expire) (gpointer item);
  GSequence *entries; /* Entry, the earliest first */
  guint timer;
};

static int
compare (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const Entry *first = a, *second = b;

  return first->at < second->at ? -1 : first->at > second->at;
}

PoolServiceExpiry *
pool_service_expiry_new (double seconds, void (*expire) (gpointer item))
{
  PoolServiceExpiry *self = g_new0 (PoolServiceExpiry, 1);

  self->lifetime = (gint64) (seconds * G_USEC_PER_SEC);
  self->expire = expire;
  self->entries = g_sequence_new (g_free);
  return self;
}

void
pool_service_expiry_free (PoolServiceExpiry *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  g_sequence_free (self->entries);
  g_free (self);
}

static gboolean expire_due (gpointer user_data);

static void
arm (PoolServiceExpiry *self)
{
  GSequenceIter *first = g_sequence_get_begin_iter (self->entries);
  gint64 left;

  if (self->timer != 0 || g_sequence_iter_is_end (first))
    return;
  left = MAX (((Entry *) g_sequence_get (first))->at - g_get_real_time (), 0);
  /* in whole seconds, which GLib lets fall together with others */
  self->timer = g_timeout_add_seconds ((guint) MIN (left / G_USEC_PER_SEC + 1, 24 * 3600), expire_due, self);
}

static gboolean
expire_due (gpointer user_data)
{
  PoolServiceExpiry *self = user_data;
  gint64 now = g_get_real_time ();

  self->timer = 0;
  for (;;)
    {
      GSequenceIter *first = g_sequence_get_begin_iter (self->entries);

      if (g_sequence_iter_is_end (first) || ((Entry *) g_sequence_get (first))->at > now)
        break;
      /* which removes it */
      self->expire (((Entry *) g_sequence_get (first))->item);
    }
  arm (self);
  return G_SOURCE_REMOVE;
}

gpointer
pool_service_expiry_add (PoolServiceExpiry *self, gpointer item, gint64 since)
{
  Entry *entry = g_new (Entry, 1);
  gpointer handle;

  entry->item = item;
  entry->at = since + self->lifetime;
  handle = g_sequence_insert_sorted (self->entries, entry, compare, NULL);
  arm (self);
  return handle;
}

void
pool_service_expiry_remove (PoolServiceExpiry *self, gpointer handle)
{
  g_sequence_remove (handle);
  if (g_sequence_is_empty (self->entries))
    g_clear_handle_id (&self->timer, g_source_remove);
}
