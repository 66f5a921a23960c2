/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

static GVariant *
numbers (gint64 n)
{
  g_autofree gint64 *array = g_new (gint64, n + 1);

  for (gint64 i = 0; i < n; i++)
    array[i] = i;
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, array, n, sizeof *array);
}

static void
check_squares (PoolManager *pool, gint64 n, guint chunksize)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) values =
      pool_manager_map (pool, "conform.square", numbers (n), chunksize, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (values), ==, n);
  for (gint64 i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (values, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
    }
}

static void
test_map (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();

  check_squares (pool, 0, 0);
  check_squares (pool, 1, 0);
  check_squares (pool, 2, 5);
  check_squares (pool, 1000, 0);
  check_squares (pool, 1000, 1);
  check_squares (pool, 1000, 7);
  check_squares (pool, 1000, 5000);
  check_squares (pool, 20000, 0);
  conform_end (pool);
}

static void
test_starmap (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  conform_assert_value (pool_manager_starmap (pool, "conform.add",
                                              g_variant_new_parsed ("[(int64 1, int64 2), (3, 4)]"), 0,
                                              NULL, &error),
                        "[<int64 3>, <int64 7>]");
  /* tuples of different types come in variants, or as a tuple */
  conform_assert_value (
      pool_manager_starmap (pool, "conform.add",
                            g_variant_new_parsed ("[<(int64 1,)>, <(int64 1, int64 1, int64 1)>]"), 0,
                            NULL, &error),
      "[<int64 1>, <int64 3>]");
  conform_assert_value (pool_manager_map (pool, "conform.echo", g_variant_new_parsed ("('a', 7)"), 0, NULL,
                                          &error),
                        "[<('a',)>, <(7,)>]");
  g_assert_no_error (error);
  g_assert_null (pool_manager_starmap (pool, "conform.add", numbers (3), 0, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (pool_manager_map (pool, "conform.add", g_variant_new_int32 (3), 0, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  conform_end (pool);
}

static void
test_map_errors (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolMapResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n_failed = 0;

  result = pool_manager_map_async (pool, "conform.even", numbers (500), 0, NULL, NULL, NULL);
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), -1, &error));
  /* the first, in the order of the items */
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "odd: 1");
  g_assert_cmpuint (pool_map_result_get_n_done (result), ==, 500);
  g_assert_cmpuint (pool_map_result_get_n_items (result), ==, 500);
  for (guint i = 0; i < 500; i++)
    {
      g_autoptr (GError) item_error = NULL;
      g_autoptr (GVariant) value = pool_map_result_get_item (result, i, &item_error);

      if (i % 2 == 0)
        g_assert_cmpint (g_variant_get_int64 (value), ==, i);
      else
        n_failed += g_error_matches (item_error, G_IO_ERROR, G_IO_ERROR_FAILED);
    }
  g_assert_cmpuint (n_failed, ==, 250);
  g_clear_error (&error);
  g_assert_null (pool_map_result_get_item (result, 500, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  conform_end (pool);
}

static GBytes *
pack_numbers (gint64 n)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (gint64 i = 0; i < n; i++)
    g_ptr_array_add (items, g_bytes_new (&i, sizeof i));
  return pool_packed_new ((GBytes **) items->pdata, n);
}

static void
check_packed (PoolManager *pool, const char *task, gint64 n, guint chunksize, gint64 factor)
{
  g_autoptr (GBytes) packed = pack_numbers (n);
  g_autoptr (GBytes) results = NULL;
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gint64 value;
  gsize size;

  results = pool_manager_map_packed (pool, task, g_bytes_get_data (packed, NULL),
                                     g_bytes_get_size (packed), chunksize, NULL, &error);
  g_assert_no_error (error);
  data = g_bytes_get_data (results, &size);
  g_assert_cmpuint (pool_packed_get_n_items (results), ==, n);
  g_assert_cmpuint (size, ==, 8 + 16 * n);
  for (gint64 i = 0; i < n; i++)
    {
      memcpy (&value, data + 8 + 8 * n + 8 * i, sizeof value);
      g_assert_cmpint (value, ==, factor * i);
    }
}

static void
test_packed (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) odd = NULL;
  GBytes *items[2] = { g_bytes_new_static ("12345678", 8), g_bytes_new_static ("123", 3) };

  for (guint i = 0; i < 3; i++)
    {
      const guint chunksizes[] = { 0, 1, 100 };

      check_packed (pool, "conform.bytes-twice", 0, chunksizes[i], 2);
      check_packed (pool, "conform.bytes-twice", 1, chunksizes[i], 2);
      check_packed (pool, "conform.bytes-twice", 5000, chunksizes[i], 2);
      check_packed (pool, "conform.batch-echo", 5000, chunksizes[i], 1);
    }

  g_assert_null (pool_manager_map_packed (pool, "conform.bytes-twice", (const guint8 *) "nonsense?", 9, 0,
                                          NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
  g_clear_error (&error);
  odd = pool_packed_new (items, 2);
  g_assert_null (pool_manager_map_packed (pool, "conform.bytes-twice", g_bytes_get_data (odd, NULL),
                                          g_bytes_get_size (odd), 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  g_assert_null (pool_manager_map_packed (pool, "conform.batch-wrong", g_bytes_get_data (odd, NULL),
                                          g_bytes_get_size (odd), 0, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_ENCODING);
  g_bytes_unref (items[0]);
  g_bytes_unref (items[1]);
  conform_end (pool);
}

/* Items that are larger than what is staged, in one chunk and in many. */
static void
test_packed_large (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autofree guint8 *block = g_malloc (200000);
  GBytes *items[30];
  g_autoptr (GBytes) packed = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      memset (block, i, 200000);
      items[i] = g_bytes_new (block, 200000 - i);
    }
  packed = pool_packed_new (items, G_N_ELEMENTS (items));
  for (guint chunksize = 0; chunksize < 40; chunksize += 13)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) results = pool_manager_map_packed (
          pool, "conform.bytes-copy", g_bytes_get_data (packed, NULL), g_bytes_get_size (packed),
          chunksize, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (results, packed));
    }
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_bytes_unref (items[i]);
  conform_end (pool);
}

static void
on_mapped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  conform_assert_value (pool_manager_map_finish (POOL_MANAGER (source), result, &error),
                        "[<int64 0>, <int64 1>, <int64 4>]");
  g_main_loop_quit (user_data);
}

static void
on_empty (GObject *source, GAsyncResult *result, gpointer user_data)
{
  conform_assert_value (pool_manager_map_finish (POOL_MANAGER (source), result, NULL), "[]");
  g_main_loop_quit (user_data);
}

static void
test_map_async (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  pool_manager_map_async (pool, "conform.square", numbers (3), 0, NULL, on_mapped, loop);
  g_main_loop_run (loop);
  pool_manager_map_async (pool, "conform.square", numbers (0), 0, NULL, on_empty, loop);
  g_main_loop_run (loop);
  conform_end (pool);
}

/* --- lazily --- */

static void
check_imap (PoolManager *pool, gboolean ordered, guint chunksize)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolResultIterator) iterator =
      ordered ? pool_manager_imap (pool, "conform.even", numbers (101), chunksize, &error)
              : pool_manager_imap_unordered (pool, "conform.even", numbers (101), chunksize, &error);
  guint n_values = 0, n_errors = 0;

  g_assert_no_error (error);
  for (guint i = 0;; i++)
    {
      g_autoptr (GVariant) value = pool_result_iterator_next (iterator, -1, &error);

      if (value == NULL && error == NULL)
        break;
      n_values += value != NULL;
      n_errors += error != NULL;
      if (ordered)
        g_assert_true ((i % 2 == 0) == (value != NULL));
      if (ordered && value != NULL)
        g_assert_cmpint (g_variant_get_int64 (value), ==, i);
      g_clear_error (&error);
    }
  g_assert_cmpuint (n_values, ==, 51);
  g_assert_cmpuint (n_errors, ==, 50);
  g_assert_true (pool_result_iterator_is_done (iterator));
}

static void
test_imap (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GError) error = NULL;

  check_imap (pool, TRUE, 1);
  check_imap (pool, TRUE, 8);
  check_imap (pool, FALSE, 1);
  check_imap (pool, FALSE, 8);
  g_assert_null (pool_manager_imap (pool, "conform.even", numbers (3), 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  conform_end (pool);
}

/* The pool ends while results are taken: each item that was not submitted by then says so, in a chunk or alone. */
static void
test_imap_closed (Fixture *fixture, gconstpointer data)
{
  for (guint chunksize = 1; chunksize <= 8; chunksize += 7)
    {
      PoolManager *pool = conform_started ();
      g_autoptr (PoolResultIterator) iterator =
          pool_manager_imap (pool, "conform.square", numbers (10000), chunksize, NULL);
      guint n_closed = 0;

      conform_assert_value (pool_result_iterator_next (iterator, -1, NULL), "0");
      g_assert_true (pool_manager_close (pool, NULL));
      for (gint64 i = 1; i < 10000; i++)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (GVariant) value = pool_result_iterator_next (iterator, -1, &error);

          if (value != NULL)
            g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
          else
            g_assert_error (error, POOL_ERROR, POOL_ERROR_CLOSED);
          n_closed += value == NULL;
        }
      g_assert_cmpuint (n_closed, >, 0);
      g_assert_true (pool_result_iterator_is_done (iterator));
      g_clear_object (&iterator);
      conform_end (pool);
    }
}

static void
test_istarmap (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolResultIterator) iterator = pool_manager_istarmap (
      pool, "conform.add", g_variant_new_parsed ("[(int64 1, int64 2), (3, 4)]"), 1, NULL);
  g_autoptr (PoolResultIterator) unordered = pool_manager_istarmap_unordered (
      pool, "conform.add", g_variant_new_parsed ("[(int64 1, int64 2)]"), 1, NULL);

  conform_assert_value (pool_result_iterator_next (iterator, -1, NULL), "3");
  conform_assert_value (pool_result_iterator_next (iterator, -1, NULL), "7");
  g_assert_null (pool_result_iterator_next (iterator, -1, NULL));
  conform_assert_value (pool_result_iterator_next (unordered, -1, NULL), "3");
  g_clear_object (&iterator);
  g_clear_object (&unordered);
  conform_end (pool);
}

static GVariant *
count_up (gpointer user_data, GError **error)
{
  return g_variant_new_int64 ((*(gint64 *) user_data)++);
}

static GVariant *
three_and_out (gpointer user_data, GError **error)
{
  gint64 *n = user_data;

  if (*n < 3)
    return g_variant_new_int64 ((*n)++);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, "the source is dry");
  return NULL;
}

static void
test_imap_endless (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolResultIterator) iterator = NULL;
  g_autoptr (GError) error = NULL;
  gint64 asked = 0;

  iterator = pool_manager_imap_lazy (pool, "conform.square", FALSE, TRUE, 1, count_up, &asked, NULL,
                                     &error);
  for (gint64 i = 0; i < 3000; i++)
    {
      g_autoptr (GVariant) value = pool_result_iterator_next (iterator, -1, &error);

      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
      /* only as far ahead as keeps the workers busy */
      g_assert_cmpint (asked - i, <, 100);
    }
  g_clear_object (&iterator);

  asked = 0;
  iterator = pool_manager_imap_lazy (pool, "conform.square", FALSE, TRUE, 1, three_and_out, &asked, NULL,
                                     &error);
  for (guint i = 0; i < 3; i++)
    g_variant_unref (pool_result_iterator_next (iterator, -1, &error));
  g_assert_null (pool_result_iterator_next (iterator, -1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
  g_clear_error (&error);
  g_assert_null (pool_result_iterator_next (iterator, -1, &error));
  g_assert_no_error (error);
  g_clear_object (&iterator);
  conform_end (pool);
}

static void
test_imap_timeout (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolResultIterator) iterator =
      pool_manager_imap (pool, "conform.nap", g_variant_new_parsed ("[0.2]"), 1, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_result_iterator_next (iterator, 0.01, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT);
  conform_assert_value (pool_result_iterator_next (iterator, -1, NULL), "0.20000000000000001");
  g_clear_object (&iterator);
  conform_end (pool);
}

typedef struct
{
  GMainLoop *loop;
  guint n;
} Pull;

static void
on_next (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pull *pull = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value =
      pool_result_iterator_next_finish (POOL_RESULT_ITERATOR (source), result, &error);

  g_assert_no_error (error);
  if (value == NULL)
    {
      g_main_loop_quit (pull->loop);
      return;
    }
  pull->n++;
  pool_result_iterator_next_async (POOL_RESULT_ITERATOR (source), NULL, on_next, pull);
}

static void
test_imap_async (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  for (guint ordered = 0; ordered < 2; ordered++)
    {
      Pull pull = { loop, 0 };
      g_autoptr (PoolResultIterator) iterator =
          ordered ? pool_manager_imap (pool, "conform.square", numbers (50), 3, NULL)
                  : pool_manager_imap_unordered (pool, "conform.square", numbers (50), 1, NULL);

      pool_result_iterator_next_async (iterator, NULL, on_next, &pull);
      g_main_loop_run (loop);
      g_assert_cmpuint (pull.n, ==, 50);
    }
  conform_end (pool);
}

static void
test_map_cancel (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (GVariant) naps = NULL;
  g_autoptr (PoolMapResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree double *array = g_new (double, 1000);

  for (guint i = 0; i < 1000; i++)
    array[i] = 0.02;
  naps = g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, array, 1000, sizeof *array));
  result = pool_manager_map_async (pool, "conform.nap", naps, 1, NULL, NULL, NULL);
  g_usleep (50000);
  g_assert_true (pool_async_result_cancel (POOL_ASYNC_RESULT (result)));
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 5, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
  conform_end (pool);
}

void
conform_add_maps (void)
{
  conform_add ("maps/map", test_map);
  conform_add ("maps/starmap", test_starmap);
  conform_add ("maps/errors", test_map_errors);
  conform_add ("maps/packed", test_packed);
  conform_add ("maps/packed-large", test_packed_large);
  conform_add ("maps/async", test_map_async);
  conform_add ("maps/cancel", test_map_cancel);
  conform_add ("maps/imap", test_imap);
  conform_add ("maps/imap-closed", test_imap_closed);
  conform_add ("maps/istarmap", test_istarmap);
  conform_add ("maps/imap-endless", test_imap_endless);
  conform_add ("maps/imap-timeout", test_imap_timeout);
  conform_add ("maps/imap-async", test_imap_async);
}
