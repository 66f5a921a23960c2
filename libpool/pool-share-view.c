/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-share-private.h"

#include "pool-shared-memory-private.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct _PoolShareView
{
  gatomicrefcount ref_count;
  guint8 *base;
  gsize size;

  GMutex lock; /* of the rest */
  GArray *returned; /* guint64: offsets */
  gboolean is_closed; /* nobody asks for them any more */
  void (*wake) (gpointer data);
  gpointer wake_data;
};

typedef struct
{
  PoolShareView *view;
  guint64 offset;
} Borrowed;

GVariant *
pool_share_offer (const PoolBackendMemory *memory)
{
  return g_variant_new ("(xitt@ay)", (gint64) getpid (), memory->fd, (guint64) memory->size,
                        (guint64) memory->token,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, memory->base + memory->token, POOL_BACKEND_TOKEN, 1));
}

/* Whatever the other side names: nothing is opened but memory, of which nobody can cut off a part. */
static int
open_memory (gint64 pid, int fd, guint64 size)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/fd/%d", pid, fd);
  g_autofree char *target = pid > 0 && fd >= 0 ? g_file_read_link (path, NULL) : NULL;
  struct stat st;
  int memory;

  if (target == NULL || !g_str_has_prefix (target, "/memfd:"))
    return -1;
  memory = open (path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (memory >= 0 && fstat (memory, &st) == 0 && S_ISREG (st.st_mode) && (guint64) st.st_size == size &&
      (fcntl (memory, F_GET_SEALS) & F_SEAL_SHRINK) != 0)
    return memory;
  if (memory >= 0)
    close (memory);
  return -1;
}

static guint8 *
map_memory (int fd, guint64 size, guint64 place, const guint8 *token)
{
  guint8 found[POOL_BACKEND_TOKEN];

  if (pread (fd, found, sizeof found, place) != sizeof found || memcmp (found, token, sizeof found) != 0)
    return NULL;
  return pool_shared_memory_map (fd, size, PROT_READ);
}

PoolShareView *
pool_share_view_open (GVariant *offer, void (*wake) (gpointer data), gpointer data)
{
  g_autoptr (GVariant) token = NULL;
  PoolShareView *self;
  const guint8 *bytes;
  guint8 *base = NULL;
  guint64 size, place;
  gsize length;
  gint64 pid;
  gint32 number;
  int fd;

  if (!g_variant_is_of_type (offer, G_VARIANT_TYPE (POOL_SHARE_TYPE)))
    return NULL;
  g_variant_get (offer, "(xitt@ay)", &pid, &number, &size, &place, &token);
  bytes = g_variant_get_fixed_array (token, &length, 1);
  fd = length == POOL_BACKEND_TOKEN && size > 0 && size < G_MAXSSIZE ? open_memory (pid, number, size) : -1;
  if (fd < 0)
    return NULL;
  base = map_memory (fd, size, place, bytes);
  close (fd);
  if (base == NULL)
    return NULL;

  self = g_new (PoolShareView, 1);
  *self = (PoolShareView){ .base = base, .size = size, .wake = wake, .wake_data = data };
  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->returned = g_array_new (FALSE, FALSE, sizeof (guint64));
  return self;
}

static void
view_unref (PoolShareView *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  munmap (self->base, self->size);
  g_mutex_clear (&self->lock);
  g_array_unref (self->returned);
  g_free (self);
}

void
pool_share_view_close (PoolShareView *self)
{
  g_mutex_lock (&self->lock);
  self->is_closed = TRUE;
  g_mutex_unlock (&self->lock);
  view_unref (self);
}

gsize
pool_share_view_get_size (const PoolShareView *self)
{
  return self->size;
}

/* Nobody here needs it any more. */
static void
give_back (gpointer data)
{
  Borrowed *borrowed = data;
  PoolShareView *self = borrowed->view;

  g_mutex_lock (&self->lock);
  if (!self->is_closed)
    {
      g_array_append_val (self->returned, borrowed->offset);
      if (self->returned->len == 1 && self->wake != NULL)
        self->wake (self->wake_data);
    }
  g_mutex_unlock (&self->lock);
  view_unref (self);
  g_free (borrowed);
}

GBytes *
pool_share_view_borrow (PoolShareView *self, guint64 offset, gsize size)
{
  Borrowed *borrowed = g_new (Borrowed, 1);

  *borrowed = (Borrowed){ self, offset };
  g_atomic_ref_count_inc (&self->ref_count);
  return g_bytes_new_with_free_func (self->base + offset, size, give_back, borrowed);
}

gboolean
pool_share_view_find (const PoolShareView *self, gconstpointer data, guint64 *offset)
{
  const guint8 *place = data;

  if (place < self->base || place >= self->base + self->size)
    return FALSE;
  *offset = place - self->base;
  return TRUE;
}

gboolean
pool_share_view_pop_returned (PoolShareView *self, guint64 *offset)
{
  gboolean any;

  g_mutex_lock (&self->lock);
  any = self->returned->len > 0;
  if (any)
    {
      *offset = g_array_index (self->returned, guint64, self->returned->len - 1);
      g_array_set_size (self->returned, self->returned->len - 1);
    }
  g_mutex_unlock (&self->lock);
  return any;
}
