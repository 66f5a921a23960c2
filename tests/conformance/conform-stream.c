/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

/* PoolStream: many calls of one task, in batches. */

static PoolStream *
open_stream (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;
  PoolStream *stream = pool_manager_open_stream (pool, "act.run", &error);

  g_assert_no_error (error);
  return stream;
}

static GBytes *
pack_texts (const char *const *texts)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (; *texts != NULL; texts++)
    g_ptr_array_add (items, g_bytes_new (*texts, strlen (*texts)));
  return pool_packed_new ((GBytes **) items->pdata, items->len);
}

static gboolean
try_submit (PoolStream *stream, const char *const *texts, GError **error)
{
  g_autoptr (GBytes) batch = pack_texts (texts);
  gsize size;
  const guint8 *data = g_bytes_get_data (batch, &size);

  return pool_stream_submit (stream, data, size, error);
}

#define submit(stream, ...)                                                                        \
  g_assert_true (try_submit (stream, (const char *const[]){ __VA_ARGS__, NULL }, NULL))

/* @n calls with the texts e0, e1, … */
static void
submit_echoes (PoolStream *stream, guint64 first, guint n)
{
  g_auto (GStrv) texts = g_new0 (char *, n + 1);

  for (guint i = 0; i < n; i++)
    texts[i] = g_strdup_printf ("e%" G_GUINT64_FORMAT, first + i);
  g_assert_true (try_submit (stream, (const char *const *) texts, NULL));
}

static guint64
read_word (const guint8 *p)
{
  guint64 word;

  memcpy (&word, p, sizeof word);
  return GUINT64_FROM_LE (word);
}

/* One item of what take() gave; @text: of kind 0 */
static void
read_item (GBytes *batch, guint64 index, guint64 *number, guint64 *kind, char **text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) item = pool_packed_get_item (batch, index, &error);
  const guint8 *data;
  gsize size;

  g_assert_no_error (error);
  data = g_bytes_get_data (item, &size);
  g_assert_cmpuint (size, >=, 16);
  *number = read_word (data);
  *kind = read_word (data + 8);
  g_assert_true (*kind == 0 || size == 16);
  if (text != NULL)
    *text = g_strndup ((const char *) data + 16, size - 16);
}

/* Takes, with each number at most once (@seen), and the kinds; how many */
static guint64
take_some (PoolStream *stream, gboolean ordered, GHashTable *seen, guint64 *next)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) batch = pool_stream_take (stream, ordered, 20, &error);
  guint64 n, number, kind;

  g_assert_no_error (error);
  if (batch == NULL)
    return 0;
  n = pool_packed_get_n_items (batch);
  g_assert_cmpuint (n, >, 0);
  for (guint64 i = 0; i < n; i++)
    {
      g_autofree char *text = NULL;
      g_autofree char *expected = NULL;

      read_item (batch, i, &number, &kind, &text);
      expected = g_strdup_printf ("e%" G_GUINT64_FORMAT, number);
      g_assert_cmpuint (kind, ==, 0);
      g_assert_cmpstr (text, ==, expected);
      if (ordered)
        g_assert_cmpuint (number, ==, (*next)++);
      else
        g_assert_true (g_hash_table_add (seen, g_memdup2 (&number, sizeof number)));
    }
  return n;
}

static void
check_take (Fixture *fixture, gboolean ordered)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  guint64 n_taken = 0, next = 0;

  g_assert_null (pool_stream_take (stream, ordered, -1, NULL));
  for (guint i = 0; i < 50; i++)
    submit_echoes (stream, 100 * i, 100);
  g_assert_cmpuint (pool_stream_get_n_pending (stream), ==, 5000);
  while (n_taken < 5000)
    {
      n_taken += take_some (stream, ordered, seen, &next);
      g_assert_cmpuint (pool_stream_get_n_pending (stream), ==, 5000 - n_taken);
    }
  g_assert_cmpuint (pool_stream_get_n_ready (stream), ==, 0);
  g_assert_null (pool_stream_take (stream, ordered, -1, NULL));
  g_assert_cmpuint (ordered ? next : g_hash_table_size (seen), ==, 5000);
  conform_end (pool);
}

static void
test_ordered (Fixture *fixture, gconstpointer data)
{
  check_take (fixture, TRUE);
}

static void
test_unordered (Fixture *fixture, gconstpointer data)
{
  check_take (fixture, FALSE);
}

/* The first is late: only the rest can be taken, if the order does not matter; then both kinds of takes on one stream. */
static void
test_late (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  g_autoptr (GBytes) batch = NULL;
  g_autoptr (GError) error = NULL;
  guint64 number, kind;

  submit (stream, "b", "e1", "e2");
  g_assert_null (pool_stream_take (stream, TRUE, 0.05, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);
  while (pool_stream_get_n_ready (stream) < 2)
    g_usleep (1000);
  g_assert_null (pool_stream_take (stream, TRUE, 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);
  batch = pool_stream_take (stream, FALSE, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pool_packed_get_n_items (batch), ==, 2);
  g_assert_cmpuint (pool_stream_get_n_pending (stream), ==, 1);
  submit (stream, "e3");
  pool_stream_cancel (stream);
  g_clear_pointer (&batch, g_bytes_unref);
  batch = pool_stream_take (stream, TRUE, 20, &error);
  g_assert_no_error (error);
  read_item (batch, 0, &number, &kind, NULL);
  g_assert_cmpuint (number, ==, 0);
  g_assert_cmpuint (kind, ==, 2);
  g_assert_false (pool_stream_check (stream, 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CANCELLED);
  g_assert_true (pool_stream_check (stream, 0, NULL));
  conform_end (pool);
}

static void
test_sizes (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 80, 81, 1000, 65535, 65536, 65537, 3000000 };
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *text = g_strdup_printf ("l%" G_GSIZE_FORMAT, sizes[i]);
      g_autoptr (GBytes) batch = NULL, item = NULL;
      guint64 number, kind;
      const guint8 *bytes;
      gsize size;

      submit (stream, text);
      batch = pool_stream_take (stream, TRUE, 20, &error);
      g_assert_no_error (error);
      read_item (batch, 0, &number, &kind, NULL);
      g_assert_cmpuint (number, ==, i);
      g_assert_cmpuint (kind, ==, sizes[i] > 65536);
      item = kind == 1 ? pool_stream_steal_large (stream, number, &error) : pool_packed_get_item (batch, 0, &error);
      g_assert_no_error (error);
      bytes = g_bytes_get_data (item, &size);
      g_assert_cmpuint (size, ==, sizes[i] + (kind == 1 ? 0 : 16));
      g_assert_true (sizes[i] == 0 || bytes[size - 1] == 7);
      g_assert_null (pool_stream_steal_large (stream, number, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
    }
  conform_end (pool);
}

/* Arguments of all sizes, together more than is written under the lock. */
static void
test_arguments (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 1, 16, 80, 81, 5000, 60000, 200000 };
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  g_autoptr (GError) error = NULL;
  char *texts[G_N_ELEMENTS (sizes) + 1] = { NULL };
  gsize n_taken = 0;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    texts[i] = g_strnfill (sizes[i], 'e');
  g_assert_true (try_submit (stream, (const char *const *) texts, &error));
  while (n_taken < G_N_ELEMENTS (sizes))
    {
      g_autoptr (GBytes) batch = pool_stream_take (stream, TRUE, 20, &error);

      g_assert_no_error (error);
      for (guint64 i = 0, n = pool_packed_get_n_items (batch); i < n; i++, n_taken++)
        {
          g_autofree char *text = NULL;
          guint64 number, kind;

          read_item (batch, i, &number, &kind, &text);
          g_assert_cmpuint (number, ==, n_taken);
          if (kind == 0)
            g_assert_cmpstr (text, ==, texts[n_taken]);
          else
            {
              g_autoptr (GBytes) bytes = pool_stream_steal_large (stream, number, &error);

              g_assert_no_error (error);
              g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), texts[n_taken],
                               sizes[n_taken]);
            }
        }
    }
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_free (texts[i]);
  conform_end (pool);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  static const guint8 odd[] = { 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 'e' };
  PoolManager *pool = conform_new ();
  g_autoptr (PoolStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) batch = NULL;
  const guint8 none[8] = { 0 };
  guint64 number, kind;

  g_assert_null (pool_manager_open_stream (pool, "act.run", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NOT_STARTED);
  g_clear_error (&error);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  g_assert_null (pool_manager_open_stream (pool, "act.nothing", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_clear_error (&error);

  stream = open_stream (pool);
  for (gsize size = 0; size <= sizeof odd; size++)
    {
      g_assert_false (pool_stream_submit (stream, odd, size, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
      g_clear_error (&error);
    }
  g_assert_true (pool_stream_submit (stream, none, sizeof none, &error));
  g_assert_cmpuint (pool_stream_get_n_pending (stream), ==, 0);
  submit (stream, "e0");
  batch = pool_stream_take (stream, FALSE, 20, &error);
  read_item (batch, 0, &number, &kind, NULL);
  g_assert_cmpuint (number, ==, 0);

  submit (stream, "n50");
  pool_manager_close (pool, &error);
  g_assert_no_error (error);
  g_assert_false (try_submit (stream, (const char *const[]){ "e1", NULL }, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_cmpuint (pool_stream_get_n_pending (stream), ==, 1);
  g_clear_pointer (&batch, g_bytes_unref);
  batch = pool_stream_take (stream, FALSE, 20, &error);
  g_assert_no_error (error);
  g_assert_nonnull (batch);
  conform_end (pool);
}

static void
test_dry (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  guint64 next = 0;

  for (guint i = 0; i < 1000; i++)
    {
      submit_echoes (stream, next, 1 + i % 3);
      while (pool_stream_get_n_pending (stream) > 0)
        take_some (stream, TRUE, NULL, &next);
    }
  g_assert_null (pool_stream_take (stream, TRUE, -1, NULL));
  conform_end (pool);
}

static void
check_failed (PoolStream *stream, guint64 expected, GQuark domain, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) batch = pool_stream_take (stream, TRUE, 20, &error);
  guint64 number, kind;

  g_assert_no_error (error);
  g_assert_nonnull (batch);
  for (guint64 i = 0, n = pool_packed_get_n_items (batch); i < n; i++)
    {
      g_clear_error (&error);
      read_item (batch, i, &number, &kind, NULL);
      g_assert_cmpuint (number, ==, expected + i);
      g_assert_cmpuint (kind, ==, 2);
      g_assert_false (pool_stream_check (stream, number, &error));
      g_assert_error (error, domain, code);
      g_assert_true (pool_stream_check (stream, number, NULL));
    }
}

static void
test_failed (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  guint64 n_failed;

  submit (stream, "f");
  check_failed (stream, 0, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY);
  g_object_get (pool, "n-failed", &n_failed, NULL);
  g_assert_cmpuint (n_failed, ==, 1);
  conform_end (pool);
}

static void
test_killed (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  g_autoptr (GBytes) batch = NULL;
  guint64 number, kind, n_retried;

  submit (stream, "o");
  batch = pool_stream_take (stream, TRUE, 20, NULL);
  read_item (batch, 0, &number, &kind, NULL);
  g_assert_cmpuint (kind, ==, 0);
  g_object_get (pool, "n-retried", &n_retried, NULL);
  g_assert_cmpuint (n_retried, ==, 1);
  submit (stream, "k");
  check_failed (stream, 1, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  conform_end (pool);

  pool = conform_started_with ("resilient", FALSE, NULL);
  g_clear_object (&stream);
  stream = open_stream (pool);
  submit (stream, "o");
  check_failed (stream, 0, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  conform_end (pool);
}

static void
test_timed_out (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started_with ("timeout", 0.2, NULL);
  g_autoptr (PoolStream) stream = open_stream (pool);

  submit (stream, "n1000");
  check_failed (stream, 0, POOL_ERROR, POOL_ERROR_TIMED_OUT);
  conform_end (pool);
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  guint64 next = 0;

  for (guint i = 0; i < 100; i++)
    submit (stream, "b");
  g_usleep (20000);
  pool_stream_cancel (stream);
  while ((next = 100 - pool_stream_get_n_pending (stream)) < 100)
    check_failed (stream, next, POOL_ERROR, POOL_ERROR_CANCELLED);
  submit_echoes (stream, 100, 5);
  next = 100;
  while (pool_stream_get_n_pending (stream) > 0)
    take_some (stream, TRUE, NULL, &next);
  conform_end (pool);
}

static void
test_terminated (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  g_autoptr (GError) error = NULL;
  guint64 next;

  for (guint i = 0; i < 100; i++)
    submit (stream, "n20");
  pool_manager_terminate (pool, &error);
  g_assert_no_error (error);
  /* nothing had ended by then, unless this thread was slow */
  while ((next = 100 - pool_stream_get_n_pending (stream)) < 100)
    {
      g_autoptr (GBytes) batch = pool_stream_take (stream, TRUE, 20, &error);
      guint64 number, kind;

      g_assert_no_error (error);
      read_item (batch, pool_packed_get_n_items (batch) - 1, &number, &kind, NULL);
      g_assert_true (kind == 0 || !pool_stream_check (stream, number, &error));
      g_clear_error (&error);
    }
  pool_manager_join (pool, 20, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
  g_assert_false (try_submit (stream, (const char *const[]){ "e", NULL }, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_CLOSED);
}

static void
test_dropped (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  guint64 n_done = 0;

  for (guint i = 0; i < 20; i++)
    {
      PoolStream *stream = open_stream (pool);
      gpointer watch = stream;

      g_object_add_weak_pointer (G_OBJECT (stream), &watch);
      submit (stream, "n1", "l100000", "e2", "l1000", "f");
      if (i % 2 == 0)
        g_usleep (3000);
      g_object_unref (stream);
      g_assert_null (watch);
    }
  conform_end (pool);

  /* they ran, all the same */
  pool = conform_started ();
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (PoolStream) stream = open_stream (pool);

      submit (stream, "e", "e");
    }
  conform_await (pool, "n-done", 40);
  g_object_get (pool, "n-done", &n_done, NULL);
  g_assert_cmpuint (n_done, ==, 40);
  conform_end (pool);
}

typedef struct
{
  PoolStream *stream;
  guint n_called;
  gboolean failed;
} Wait;

static void
called (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  Wait *wait = user_data;

  wait->n_called++;
  wait->failed = !pool_stream_wait_finish (POOL_STREAM (object), result, &error);
  g_assert_true (!wait->failed || g_error_matches (error, POOL_ERROR, POOL_ERROR_CANCELLED));
}

static void
await_calls (const Wait *wait, guint n)
{
  while (wait->n_called < n)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_wait_async (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  PoolStream *stream = open_stream (pool);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Wait wait = { stream, 0, FALSE };
  guint64 next = 0;

  /* nothing is to come */
  pool_stream_wait_async (stream, TRUE, NULL, called, &wait);
  await_calls (&wait, 1);
  for (guint i = 0; i < 100; i++)
    {
      submit_echoes (stream, 2 * i, 2);
      while (pool_stream_get_n_pending (stream) > 0)
        {
          pool_stream_wait_async (stream, TRUE, NULL, called, &wait);
          await_calls (&wait, wait.n_called + 1);
          g_assert_false (wait.failed);
          take_some (stream, TRUE, NULL, &next);
        }
    }
  /* one that is cancelled, one that ends because another thread might have taken the rest */
  submit (stream, "n100");
  wait.n_called = 0;
  pool_stream_wait_async (stream, TRUE, cancellable, called, &wait);
  g_cancellable_cancel (cancellable);
  await_calls (&wait, 1);
  g_assert_true (wait.failed);
  pool_stream_wait_async (stream, FALSE, NULL, called, &wait);
  g_bytes_unref (pool_stream_take (stream, FALSE, 20, NULL));
  await_calls (&wait, 2);
  g_assert_false (wait.failed);
  g_object_unref (stream);
  conform_end (pool);
}

static gpointer
take_all (gpointer data)
{
  PoolStream *stream = data;
  guint64 n_taken = 0;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) batch = pool_stream_take (stream, FALSE, -1, &error);

      g_assert_no_error (error);
      if (batch == NULL)
        return GSIZE_TO_POINTER (n_taken);
      n_taken += pool_packed_get_n_items (batch);
    }
}

static void
test_two_takers (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolStream) stream = open_stream (pool);
  GThread *threads[2];
  gsize n_taken = 0;

  for (guint i = 0; i < 20; i++)
    {
      submit_echoes (stream, 0, 200);
      submit (stream, "n20");
      for (guint j = 0; j < 2; j++)
        threads[j] = g_thread_new ("taker", take_all, stream);
      for (guint j = 0; j < 2; j++)
        n_taken += GPOINTER_TO_SIZE (g_thread_join (threads[j]));
    }
  g_assert_cmpuint (n_taken, ==, 20 * 201);
  conform_end (pool);
}

static void
count_done (PoolManager *pool, PoolAsyncResult *result, PoolWorkerInfo *info, gpointer user_data)
{
  g_assert_null (result);
  (*(guint *) user_data)++;
}

/* Its calls are reported as others are, but for the result object that they do not have. */
static void
test_reported (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (PoolStream) stream = NULL;
  guint n_done = 0;
  guint64 next = 0;

  g_signal_connect (pool, "task-done", G_CALLBACK (count_done), &n_done);
  g_signal_connect (pool, "task-accepted", G_CALLBACK (count_done), &n_done);
  pool_manager_start (pool, NULL);
  stream = open_stream (pool);
  submit_echoes (stream, 0, 50);
  while (pool_stream_get_n_pending (stream) > 0)
    take_some (stream, TRUE, NULL, &next);
  while (n_done < 100)
    g_main_context_iteration (NULL, TRUE);
  conform_end (pool);
  g_assert_cmpuint (n_done, ==, 100);
}

void
conform_add_stream (void)
{
  conform_add ("stream/ordered", test_ordered);
  conform_add ("stream/unordered", test_unordered);
  conform_add ("stream/late", test_late);
  conform_add ("stream/sizes", test_sizes);
  conform_add ("stream/arguments", test_arguments);
  conform_add ("stream/refused", test_refused);
  conform_add ("stream/dry", test_dry);
  conform_add ("stream/failed", test_failed);
  if (conform_isolates)
    {
      conform_add ("stream/killed", test_killed);
      conform_add ("stream/timed-out", test_timed_out);
    }
  conform_add ("stream/cancelled", test_cancelled);
  conform_add ("stream/terminated", test_terminated);
  conform_add ("stream/dropped", test_dropped);
  conform_add ("stream/wait-async", test_wait_async);
  conform_add ("stream/two-takers", test_two_takers);
  conform_add ("stream/reported", test_reported);
}
