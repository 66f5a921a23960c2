/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Bytes of which no two pages are alike. */
static inline GBytes *
make_part (gsize size, guint seed)
{
  guint8 *data = g_malloc (MAX (size, 1));

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (i * 31 + (i >> 12) + seed);
  return g_bytes_new_take (data, size);
}

G_END_DECLS
