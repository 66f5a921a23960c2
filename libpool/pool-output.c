/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-output-private.h"

#include <string.h>

typedef struct
{
  guint64 first;
  PoolBackendOutput output;
} Piece;

struct _PoolOutput
{
  GTree *pieces; /* by their first item */
  gsize kept[2];
};

static int
compare_firsts (gconstpointer a, gconstpointer b, gpointer user_data)
{
  guint64 left = *(const guint64 *) a, right = *(const guint64 *) b;

  return left < right ? -1 : left > right;
}

static void
free_piece (gpointer data)
{
  Piece *piece = data;

  for (guint i = 0; i < 2; i++)
    g_clear_pointer (&piece->output.streams[i], g_bytes_unref);
  g_free (piece);
}

PoolOutput *
pool_output_new (void)
{
  PoolOutput *self = g_new0 (PoolOutput, 1);

  self->pieces = g_tree_new_full (compare_firsts, NULL, NULL, free_piece);
  return self;
}

void
pool_output_free (PoolOutput *self)
{
  g_tree_unref (self->pieces);
  g_free (self);
}

static gsize
get_size (GBytes *bytes)
{
  return bytes != NULL ? g_bytes_get_size (bytes) : 0;
}

static void
drop_piece (PoolOutput *self, guint64 first)
{
  Piece *old = g_tree_lookup (self->pieces, &first);

  if (old == NULL)
    return;
  for (guint i = 0; i < 2; i++)
    self->kept[i] -= get_size (old->output.streams[i]);
  g_tree_remove (self->pieces, &first);
}

void
pool_output_set (PoolOutput *self, guint64 first, const PoolBackendOutput *output)
{
  Piece *piece = g_new0 (Piece, 1);

  drop_piece (self, first);
  piece->first = first;
  piece->output.lost = output->lost;
  for (guint i = 0; i < 2; i++)
    {
      gsize size = get_size (output->streams[i]);
      gsize n = MIN (size, POOL_OUTPUT_MAX - self->kept[i]);

      if (n == size && n > 0)
        piece->output.streams[i] = g_bytes_ref (output->streams[i]);
      else if (n > 0)
        piece->output.streams[i] = g_bytes_new (g_bytes_get_data (output->streams[i], NULL), n);
      piece->output.lost += size - n;
      self->kept[i] += n;
    }
  g_tree_insert (self->pieces, &piece->first, piece);
}

GBytes *
pool_output_get (PoolOutput *self, guint stream)
{
  gsize size = self->kept[stream];
  guint8 *data, *p;

  if (size == 0)
    return g_bytes_new (NULL, 0);
  if (g_tree_nnodes (self->pieces) == 1)
    return g_bytes_ref (
        ((Piece *) g_tree_node_value (g_tree_node_first (self->pieces)))->output.streams[stream]);

  data = p = g_try_malloc (size);
  if (data == NULL)
    return NULL;
  for (GTreeNode *node = g_tree_node_first (self->pieces); node != NULL;
       node = g_tree_node_next (node))
    {
      GBytes *bytes = ((Piece *) g_tree_node_value (node))->output.streams[stream];
      gsize n = get_size (bytes);

      if (n > 0)
        memcpy (p, g_bytes_get_data (bytes, NULL), n);
      p += n;
    }
  return g_bytes_new_take (data, size);
}

guint64
pool_output_get_lost (PoolOutput *self)
{
  guint64 lost = 0;

  for (GTreeNode *node = g_tree_node_first (self->pieces); node != NULL;
       node = g_tree_node_next (node))
    lost += ((Piece *) g_tree_node_value (node))->output.lost;
  return lost;
}
