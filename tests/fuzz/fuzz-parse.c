/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "fuzz-parse.h"

#include "libpool/pool-error.h"
#include "libpool/pool-log-private.h"
#include "libpool/pool-packed-private.h"
#include "libpool/pool-value-private.h"
#include "libpool/pool-wire-private.h"

/*
 * Whatever reads bytes that a worker, a peer or a caller can make up: batches, values, errors, log records, messages of agents and of
 * their pools. Nothing but the bytes is read, what is accepted holds what it promises, and what is refused is refused with POOL_ERROR_PROTOCOL.
 */

static void
check_refused (GError *error)
{
  g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
  g_error_free (error);
}

static void
check_error (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = pool_error_decode (data, size);

  g_assert_nonnull (error);
  g_assert_cmpuint (error->domain, !=, 0);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
}

static void
check_value (const guint8 *data, gsize size)
{
  GError *error = NULL;
  g_autoptr (GVariant) value = pool_value_decode_data (data, size, FALSE, NULL, NULL, &error);
  g_autofree guint8 *again = NULL;

  if (value == NULL)
    {
      check_refused (error);
      return;
    }

  /* a value has one form */
  g_assert_no_error (error);
  g_assert_true (g_variant_is_normal_form (value));
  g_assert_cmpuint (pool_value_size (value, FALSE), ==, size);
  again = g_malloc (size);
  pool_value_encode (value, FALSE, again);
  g_assert_cmpmem (again, size, data, size);
  if (size < 256)
    g_free (g_variant_print (value, TRUE));
}

static void
check_items (const PoolPackedView *view, const guint8 *data, gsize size)
{
  gsize sum = 0;

  for (guint64 i = 0; i < view->n_items; i++)
    {
      gsize item_size;
      gboolean is_error;
      const guint8 *item = pool_packed_view_item (view, i, &item_size, &is_error);

      g_assert_true (item >= view->data);
      g_assert_cmpuint (item_size, <=, data + size - item);
      sum += item_size;
      if (is_error)
        check_error (item, item_size);
      else
        check_value (item, item_size);
    }
  g_assert_cmpuint (sum + POOL_PACKED_HEADER (view->n_items), ==, size);
}

static void
check_slice (const PoolPackedView *view, guint64 first, guint64 n)
{
  gsize size = pool_packed_view_slice_size (view, first, n);
  g_autofree guint8 *slice = g_malloc (size);
  PoolPackedView copy;

  pool_packed_view_slice (view, first, n, slice);
  g_assert_true (pool_packed_view_init (&copy, slice, size, TRUE, NULL));
  g_assert_cmpuint (copy.n_items, ==, n);
  check_items (&copy, slice, size);
}

static void
check_packed (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  GError *error = NULL;
  PoolPackedView view;

  if (!pool_packed_view_init (&view, data, size, TRUE, &error))
    {
      check_refused (error);
      g_assert_false (pool_packed_view_init (&view, data, size, FALSE, NULL));
      g_assert_cmpuint (pool_packed_get_n_items (bytes), ==, 0);
      return;
    }

  g_assert_no_error (error);
  check_items (&view, data, size);
  if (view.n_items > 0)
    {
      check_slice (&view, 0, view.n_items);
      check_slice (&view, view.n_items / 2, view.n_items - view.n_items / 2);
    }
  if (pool_packed_view_init (&view, data, size, FALSE, NULL))
    g_assert_cmpuint (pool_packed_get_n_items (bytes), ==, view.n_items);
}

/* The text ends within the record, and so do bytes of a length that is told. */
static void
check_log_text (const char *text, gssize length, const guint8 *data, gsize size)
{
  gsize room = data + size - (const guint8 *) text;

  g_assert_true ((const guint8 *) text > data && (const guint8 *) text < data + size);
  if (length < 0)
    g_assert_cmpuint (strnlen (text, room), <, room);
  else
    g_assert_cmpuint (length, <, room);
}

static void
check_log_record (const guint8 *data, gsize size)
{
  PoolLogRecord record;
  g_autofree guint8 *again = NULL;

  if (!pool_log_record_parse (&record, data, size))
    return;
  check_log_text (record.task_name, -1, data, size);
  g_assert_true (g_utf8_validate (record.task_name, -1, NULL));
  for (guint i = 0; i < record.n_fields; i++)
    {
      check_log_text (record.fields[i].key, -1, data, size);
      g_assert_null (strpbrk (record.fields[i].key, "= \n\r\t"));
      check_log_text (record.fields[i].value, record.fields[i].length, data, size);
    }

  /* nothing in it was overlooked */
  again = g_malloc (MAX (size, 4096));
  g_assert_cmpuint (pool_log_record_encode (&record, again, MAX (size, 4096)), ==, size);
  g_free ((gpointer) record.fields);
}

/* One that has memory of its own, of which a block is lent, and looks into the same. */
static PoolShare *
get_share (void)
{
  static PoolShare share;
  static GBytes *lent;
  PoolBackendMemory memory;
  PoolSharePlace place;
  gboolean is_theirs;

  if (lent != NULL)
    return &share;
  pool_share_init (&share, pool_share_heap_new ());
  pool_share_heap_get_memory (share.heap, &memory);
  share.view = pool_share_view_open (g_variant_take_ref (pool_share_offer (&memory)), NULL, NULL);
  share.is_seen = TRUE;
  lent = pool_share_heap_alloc (share.heap, 2 * POOL_WIRE_PART_MIN);
  g_assert_true (pool_share_lend (&share, g_bytes_get_data (lent, NULL), g_bytes_get_size (lent), lent, &place, &is_theirs));
  return &share;
}

/* Data lie within the head or are a part, or in memory that is shared, and nothing in the head was overlooked. */
static void
check_records (PoolWireReader *reader, GBytes *const *parts, guint n_parts, gboolean from_agent)
{
  gsize size, used = POOL_WIRE_HEAD;
  const guint8 *head = g_bytes_get_data (parts[0], &size), *data;
  guint32 left = reader->n_records;
  PoolWireRecord record;
  GBytes *bytes;

  while (pool_wire_next (reader, &record, &data, &bytes))
    {
      left--;
      used += POOL_WIRE_RECORD;
      g_assert_cmpuint (record.type, !=, POOL_WIRE_NONE);
      g_assert_cmpuint (record.type, <=, POOL_WIRE_LAST);
      g_assert_true (record.type >= POOL_WIRE_PING || (record.type <= POOL_WIRE_BYE) == from_agent);
      if (record.part >= POOL_WIRE_OURS)
        {
          g_assert_cmpuint (record.size, ==, g_bytes_get_size (bytes));
          g_assert_true (data == g_bytes_get_data (bytes, NULL));
          used += sizeof (PoolSharePlace);
          continue;
        }
      g_assert_cmpuint (record.part, <, n_parts);
      g_assert_true (bytes == parts[record.part]);
      if (record.part > 0)
        {
          g_assert_cmpuint (record.size, ==, g_bytes_get_size (bytes));
          continue;
        }
      g_assert_true (data >= head + POOL_WIRE_HEAD + POOL_WIRE_RECORD && data <= head + size);
      g_assert_cmpuint (record.size, <=, head + size - data);
      used += (record.size + 7) & ~(guint64) 7;
    }
  g_assert_cmpuint (left, ==, 0);
  g_assert_cmpuint (used, ==, size);
}

static void
check_message (GBytes *const *parts, guint n_parts, gboolean from_agent)
{
  GError *error = NULL;
  g_auto (PoolWireReader) reader = { 0 };

  if (!pool_wire_parse (&reader, parts, n_parts, from_agent, get_share (), &error))
    {
      check_refused (error);
      return;
    }
  g_assert_no_error (error);
  check_records (&reader, parts, n_parts, from_agent);
}

/* As a head alone; and where it has parts, cut into that many at its end, of the size that its last byte tells. */
static void
check_wire (const guint8 *data, gsize size)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gsize n_parts = size >= POOL_WIRE_HEAD ? data[20] % 8 : 0, each = size > 0 ? data[size - 1] % 64 : 0;

  g_ptr_array_add (parts, g_bytes_new (data, size));
  for (guint from_agent = 0; from_agent < 2; from_agent++)
    check_message ((GBytes *const *) parts->pdata, 1, from_agent);
  if (n_parts == 0 || n_parts * each > size)
    return;
  g_ptr_array_set_size (parts, 0);
  g_ptr_array_add (parts, g_bytes_new (data, size - n_parts * each));
  for (gsize i = n_parts; i > 0; i--)
    g_ptr_array_add (parts, g_bytes_new (data + size - i * each, each));
  for (guint from_agent = 0; from_agent < 2; from_agent++)
    check_message ((GBytes *const *) parts->pdata, parts->len, from_agent);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  check_packed (data, size);
  check_value (data, size);
  check_error (data, size);
  check_log_record (data, size);
  check_wire (data, size);
  return 0;
}
