/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-error.h"
#include "libpool/pool-packed-private.h"
#include "libpool/pool-value-private.h"
#include "unit-common.h"

static GBytes *
make_item (guint64 *random, gsize size)
{
  guint8 *data = g_malloc (size + 1);

  for (gsize i = 0; i < size; i++)
    data[i] = unit_random (random);
  return g_bytes_new_take (data, size);
}

static void
assert_round_trip (GPtrArray *items)
{
  g_autoptr (GBytes) packed = pool_packed_new ((GBytes **) items->pdata, items->len);
  g_autoptr (GError) error = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);
  guint64 n_items = G_MAXUINT64;
  PoolPackedView view;

  g_assert_true (pool_packed_check (data, size, &n_items, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_items, ==, items->len);
  g_assert_cmpuint (pool_packed_get_n_items (packed), ==, items->len);
  g_assert_true (pool_packed_view_init (&view, data, size, FALSE, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (view.n_items, ==, items->len);

  for (guint i = 0; i < items->len; i++)
    {
      gsize expected_size, item_size;
      gconstpointer expected = g_bytes_get_data (items->pdata[i], &expected_size);
      gboolean is_error = TRUE;
      const guint8 *item = pool_packed_view_item (&view, i, &item_size, &is_error);

      g_assert_false (is_error);
      g_assert_cmpmem (item, item_size, expected, expected_size);
    }
}

static void
test_empty (void)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new ();
  g_autoptr (GBytes) packed = pool_packed_new (NULL, 0);
  g_autoptr (GError) error = NULL;

  assert_round_trip (items);
  g_assert_cmpuint (g_bytes_get_size (packed), ==, 8);
  g_assert_null (pool_packed_get_item (packed, 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
}

static void
test_round_trips (void)
{
  static const gsize sizes[][6] = {
    { 0 }, { 1 }, { 0, 0, 0, 0, 0, 0 }, { 0, 1, 0, 2, 0, 3 }, { 7, 8, 9, 0, 0, 0 }, { 1 << 20, 0, 1 },
  };
  static const guint counts[] = { 1, 1, 6, 6, 6, 3 };
  guint64 random = unit_random_seed ();

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

      for (guint j = 0; j < counts[i]; j++)
        g_ptr_array_add (items, make_item (&random, sizes[i][j]));
      assert_round_trip (items);
    }
}

static void
test_random_round_trips (void)
{
  guint64 random = unit_random_seed ();

  for (guint round = 0; round < unit_scale (200); round++)
    {
      g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
      guint n = unit_random (&random) % 100;

      for (guint i = 0; i < n; i++)
        g_ptr_array_add (items, make_item (&random, unit_random (&random) % 2 ? 0 : unit_random (&random) % 300));
      assert_round_trip (items);
    }
}

static void
test_many_items (void)
{
  enum { N = 100000 };
  g_autoptr (GBytes) item = g_bytes_new_static ("x", 1);
  g_autofree GBytes **items = g_new (GBytes *, N);
  g_autoptr (GBytes) packed = NULL;
  g_autoptr (GBytes) last = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N; i++)
    items[i] = item;
  packed = pool_packed_new (items, N);
  g_assert_cmpuint (g_bytes_get_size (packed), ==, 8 + 9 * N);
  g_assert_cmpuint (pool_packed_get_n_items (packed), ==, N);
  last = pool_packed_get_item (packed, N - 1, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (last, item));
}

/* The format is written down for other languages: these are its bytes. */
static void
test_layout (void)
{
  static const guint8 expected[] = { 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
                                     5, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd', 'e' };
  g_autoptr (GBytes) abc = g_bytes_new_static ("abc", 3);
  g_autoptr (GBytes) de = g_bytes_new_static ("de", 2);
  GBytes *items[] = { abc, de };
  g_autoptr (GBytes) packed = pool_packed_new (items, 2);
  gsize size;
  gconstpointer data = g_bytes_get_data (packed, &size);

  g_assert_cmpmem (data, size, expected, sizeof expected);
}

/* --- items --- */

static GBytes *
pack_two (void)
{
  g_autoptr (GBytes) first = g_bytes_new_static ("first", 5);
  g_autoptr (GBytes) second = g_bytes_new_static ("second", 6);
  GBytes *items[] = { first, second };

  return pool_packed_new (items, 2);
}

static void
test_get_item (void)
{
  g_autoptr (GBytes) packed = pack_two ();
  g_autoptr (GBytes) item = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);

  item = pool_packed_get_item (packed, 1, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (item, NULL), g_bytes_get_size (item), "second", 6);
  /* not copied */
  g_assert_true (g_bytes_get_data (item, NULL) == data + size - 6);
  /* and it keeps what it lies in */
  g_clear_pointer (&packed, g_bytes_unref);
  g_assert_cmpmem (g_bytes_get_data (item, NULL), 6, "second", 6);
}

static void
test_get_no_item (void)
{
  g_autoptr (GBytes) packed = pack_two ();
  const guint64 indexes[] = { 2, 3, G_MAXUINT32, G_MAXUINT64 };

  for (guint i = 0; i < G_N_ELEMENTS (indexes); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (pool_packed_get_item (packed, indexes[i], &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
    }
}

static GBytes *
pack_with_error (const GError *error)
{
  PoolBuffer buffer = { 0 };
  gsize header = POOL_PACKED_HEADER (3);
  guint8 *out;
  gsize size;

  pool_buffer_reserve (&buffer, header);
  pool_buffer_append (&buffer, "ok", 2);
  pool_error_encode (error, &buffer);
  out = buffer.data;
  pool_packed_write (out, 3);
  pool_packed_write (out + 8, 2);
  pool_packed_write (out + 16, (buffer.len - header) | POOL_PACKED_ERROR);
  pool_buffer_append (&buffer, "end", 3);
  pool_packed_write (buffer.data + 24, buffer.len - header);
  out = pool_buffer_steal (&buffer, &size);
  return g_bytes_new_take (out, size);
}

static void
test_error_items (void)
{
  g_autoptr (GError) sent = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NOENT, "No such thing");
  g_autoptr (GBytes) packed = pack_with_error (sent);
  g_autoptr (GBytes) first = NULL, third = NULL;
  g_autoptr (GError) error = NULL, wrong = NULL;
  PoolPackedView view;
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);

  first = pool_packed_get_item (packed, 0, NULL);
  g_assert_cmpmem (g_bytes_get_data (first, NULL), g_bytes_get_size (first), "ok", 2);
  g_assert_null (pool_packed_get_item (packed, 1, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpstr (error->message, ==, "No such thing");
  third = pool_packed_get_item (packed, 2, NULL);
  g_assert_cmpmem (g_bytes_get_data (third, NULL), g_bytes_get_size (third), "end", 3);

  /* arguments are never errors: there the mark is an offset out of its range */
  g_assert_true (pool_packed_view_init (&view, data, size, TRUE, NULL));
  g_assert_false (pool_packed_view_init (&view, data, size, FALSE, &wrong));
  g_assert_error (wrong, POOL_ERROR, POOL_ERROR_PROTOCOL);
}

/* --- slices --- */

static void
assert_slice (const PoolPackedView *view, guint64 first, guint64 n)
{
  gsize size = pool_packed_view_slice_size (view, first, n);
  g_autofree guint8 *out = g_malloc (size);
  g_autoptr (GError) error = NULL;
  PoolPackedView slice;

  pool_packed_view_slice (view, first, n, out);
  g_assert_true (pool_packed_view_init (&slice, out, size, TRUE, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (slice.n_items, ==, n);
  for (guint64 i = 0; i < n; i++)
    {
      gsize item_size, expected_size;
      gboolean is_error, expected_is_error;
      const guint8 *expected =
          pool_packed_view_item (view, first + i, &expected_size, &expected_is_error);
      const guint8 *item = pool_packed_view_item (&slice, i, &item_size, &is_error);

      g_assert_cmpmem (item, item_size, expected, expected_size);
      g_assert_cmpint (is_error, ==, expected_is_error);
    }
}

static void
test_slices (void)
{
  static const gsize sizes[] = { 3, 0, 0, 17, 1, 0 };
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  guint64 random = unit_random_seed ();
  g_autoptr (GBytes) packed = NULL;
  PoolPackedView view;
  gsize size;
  const guint8 *data;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_ptr_array_add (items, make_item (&random, sizes[i]));
  packed = pool_packed_new ((GBytes **) items->pdata, items->len);
  data = g_bytes_get_data (packed, &size);
  g_assert_true (pool_packed_view_init (&view, data, size, FALSE, NULL));

  for (guint first = 0; first < items->len; first++)
    for (guint n = 1; first + n <= items->len; n++)
      assert_slice (&view, first, n);
  g_assert_cmpuint (pool_packed_view_slice_size (&view, 0, items->len), ==, size);
}

static void
test_slices_of_results (void)
{
  g_autoptr (GError) sent = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NOENT, "No such thing");
  g_autoptr (GBytes) packed = pack_with_error (sent);
  PoolPackedView view;
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);

  g_assert_true (pool_packed_view_init (&view, data, size, TRUE, NULL));
  for (guint first = 0; first < 3; first++)
    for (guint n = 1; first + n <= 3; n++)
      assert_slice (&view, first, n);
}

/* --- what is no batch --- */

/* In memory of exactly that size, so that a read beyond it is seen by a sanitizer or valgrind. */
static void
assert_malformed (const guint8 *data, gsize size, const char *message)
{
  for (guint results = 0; results < 2; results++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr (GBytes) bytes = g_bytes_new (data, size);
      g_autoptr (GError) error = NULL, item_error = NULL;
      PoolPackedView view;

      g_assert_false (pool_packed_view_init (&view, copy, size, results, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
      g_assert_nonnull (strstr (error->message, message));
      g_assert_cmpuint (pool_packed_get_n_items (bytes), ==, 0);
      g_assert_null (pool_packed_get_item (bytes, 0, &item_error));
      g_assert_error (item_error, POOL_ERROR, POOL_ERROR_PROTOCOL);
      /* nobody has to ask why */
      g_assert_false (pool_packed_check (copy, size, NULL, NULL));
    }
}

static void
test_too_short (void)
{
  guint8 data[8] = { 0 };

  for (gsize size = 0; size < 8; size++)
    assert_malformed (data, size, "shorter than its header");
}

static void
test_too_many (void)
{
  const guint64 counts[] = { 1, 2, 3, 1000, G_MAXUINT32, G_GUINT64_CONSTANT (1) << 60, (G_GUINT64_CONSTANT (1) << 61) + 1,
                             G_GUINT64_CONSTANT (1) << 63, G_MAXUINT64 / 8, G_MAXUINT64 };
  guint8 data[8 + 7] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      pool_packed_write (data, counts[i]);
      assert_malformed (data, 8, "more items than bytes");
      assert_malformed (data, sizeof data, "more items than bytes");
    }
}

static void
write_batch (guint8 *data, guint64 first, guint64 second)
{
  pool_packed_write (data, 2);
  pool_packed_write (data + 8, first);
  pool_packed_write (data + 16, second);
}

static void
test_bad_ends (void)
{
  enum { SIZE = 24 + 10 };
  const guint64 high = G_GUINT64_CONSTANT (1) << 62;
  guint8 data[SIZE] = { 0 };

  /* the one that is right */
  write_batch (data, 4, 10);
  g_assert_true (pool_packed_check (data, SIZE, NULL, NULL));

  write_batch (data, 5, 4);
  assert_malformed (data, SIZE, "ends before it begins");
  write_batch (data, 11, 10);
  assert_malformed (data, SIZE, "outside of the data");
  write_batch (data, 4, 11);
  assert_malformed (data, SIZE, "outside of the data");
  write_batch (data, high, high);
  assert_malformed (data, SIZE, "outside of the data");
  write_batch (data, 4, ~POOL_PACKED_ERROR);
  assert_malformed (data, SIZE, "outside of the data");
  write_batch (data, 4, 9);
  assert_malformed (data, SIZE, "bytes after the last item");
  write_batch (data, 0, 0);
  assert_malformed (data, SIZE, "bytes after the last item");
  pool_packed_write (data, 0);
  assert_malformed (data, SIZE, "bytes after the last item");
}

/* Whatever is cut off or added, it is seen. */
static void
test_wrong_size (void)
{
  g_autoptr (GBytes) packed = pack_two ();
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);
  g_autofree guint8 *longer = g_malloc0 (size + 16);

  memcpy (longer, data, size);
  for (gsize n = 0; n < size; n++)
    assert_malformed (data, n, "");
  for (gsize n = size + 1; n <= size + 16; n++)
    assert_malformed (longer, n, "bytes after the last item");
}

/* Any one bit of a header that is wrong, is seen, but for those that move a border between two items. */
static void
test_flipped_bits (void)
{
  g_autoptr (GBytes) packed = pack_two ();
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);
  g_autofree guint8 *copy = g_memdup2 (data, size);
  guint n_accepted = 0;

  for (guint bit = 0; bit < 24 * 8; bit++)
    {
      PoolPackedView view;

      copy[bit / 8] ^= 1 << bit % 8;
      if (pool_packed_view_init (&view, copy, size, FALSE, NULL))
        {
          g_assert_cmpuint (bit / 64, ==, 1);
          n_accepted++;
        }
      copy[bit / 8] ^= 1 << bit % 8;
    }
  /* 5 of 11: 4, 7, 1 are within; 13 is not */
  g_assert_cmpuint (n_accepted, ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/packed/empty", test_empty);
  g_test_add_func ("/packed/round-trips", test_round_trips);
  g_test_add_func ("/packed/random-round-trips", test_random_round_trips);
  g_test_add_func ("/packed/many-items", test_many_items);
  g_test_add_func ("/packed/layout", test_layout);
  g_test_add_func ("/packed/get-item", test_get_item);
  g_test_add_func ("/packed/get-no-item", test_get_no_item);
  g_test_add_func ("/packed/error-items", test_error_items);
  g_test_add_func ("/packed/slices", test_slices);
  g_test_add_func ("/packed/slices-of-results", test_slices_of_results);
  g_test_add_func ("/packed/malformed/too-short", test_too_short);
  g_test_add_func ("/packed/malformed/too-many", test_too_many);
  g_test_add_func ("/packed/malformed/bad-ends", test_bad_ends);
  g_test_add_func ("/packed/malformed/wrong-size", test_wrong_size);
  g_test_add_func ("/packed/malformed/flipped-bits", test_flipped_bits);
  return g_test_run ();
}
