/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-bytes.h"

/**
 * pool_bytes_get_address:
 * @bytes: bytes, of a result for example
 *
 * Tells where bytes are, for a language binding that can look at memory: [method@GLib.Bytes.get_data] gives it a copy.
 * The memory is not to be written to, and is there as long as @bytes is.
 *
 * Returns: the address of the first of them; 0 if there are none
 *
 * Since: 1.0
 */
guint64
pool_bytes_get_address (GBytes *bytes)
{
  gsize size;
  gconstpointer data;

  g_return_val_if_fail (bytes != NULL, 0);

  data = g_bytes_get_data (bytes, &size);
  return size > 0 ? GPOINTER_TO_SIZE (data) : 0;
}
