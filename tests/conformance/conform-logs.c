/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <signal.h>
#include <unistd.h>

/* Log records that are made in worker processes, and output of tasks that is captured. */

#define DOMAIN "conform-log"

/* --- records --- */

typedef struct
{
  GPtrArray *fields; /* GVariant */
  GArray *levels;
} Records;

/* One at a time, but perhaps in a thread of the pool. */
static void
on_log (PoolManager *pool, guint level, GVariant *fields, gpointer user_data)
{
  Records *records = user_data;

  g_ptr_array_add (records->fields, g_variant_ref (fields));
  g_array_append_val (records->levels, level);
}

static PoolManager *
logging_pool (Records *records, int processes)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  records->fields = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  records->levels = g_array_new (FALSE, FALSE, sizeof (guint));
  g_object_set (pool, "processes", processes, "max-retries", 1, NULL);
  g_assert_true (pool_manager_add_logger (pool, DOMAIN, &error));
  g_assert_no_error (error);
  g_signal_connect (pool, "log::" DOMAIN, G_CALLBACK (on_log), records);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

static void
clear_records (Records *records)
{
  g_ptr_array_unref (records->fields);
  g_array_unref (records->levels);
}

static const char *
get_text (GVariant *fields, const char *key)
{
  const char *text = NULL;

  g_variant_lookup (fields, key, "&s", &text);
  return text;
}

static gint64
get_number (GVariant *fields, const char *key)
{
  const char *text = get_text (fields, key);

  return text != NULL ? g_ascii_strtoll (text, NULL, 10) : -1;
}

/* Logs from a task: @n records, the first of them @first. */
static PoolApplyResult *
log_async (PoolManager *pool, const char *kind, int first, int n)
{
  return pool_manager_apply_async (pool, "conform.log",
                                   g_variant_new ("(ssii)", DOMAIN, kind, first, n), NULL, NULL,
                                   NULL, NULL);
}

static void
log_and_wait (PoolManager *pool, const char *kind, int first, int n)
{
  g_autoptr (PoolApplyResult) result = log_async (pool, kind, first, n);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (result), 60, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
}

/* Waits for records that nothing else tells of. */
static void
await_records (Records *records, guint n)
{
  for (guint i = 0; i < 3000 && records->fields->len < n; i++)
    {
      g_main_context_iteration (NULL, FALSE);
      g_usleep (10000);
    }
  g_assert_cmpuint (records->fields->len, >=, n);
}

static void
test_loggers (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_manager_add_logger (pool, "a", &error));
  g_assert_true (pool_manager_add_logger (pool, "a", &error));
  g_assert_true (pool_manager_add_logger (pool, "b", &error));
  g_assert_true (pool_manager_remove_logger (pool, "a", &error));
  g_assert_no_error (error);
  g_assert_false (pool_manager_remove_logger (pool, "a", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  g_assert_true (pool_manager_start (pool, NULL));
  g_assert_false (pool_manager_add_logger (pool, "c", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_clear_error (&error);
  g_assert_false (pool_manager_remove_logger (pool, "b", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  conform_end (pool);
}

/* All fields, text and bytes, and those that say where it comes from. */
static void
test_fields (Fixture *fixture, gconstpointer data)
{
  static const guint levels[] = { G_LOG_LEVEL_MESSAGE, G_LOG_LEVEL_INFO, G_LOG_LEVEL_DEBUG };
  Records records;
  PoolManager *pool = logging_pool (&records, 1);
  g_autoptr (PoolApplyResult) result = NULL;

  result = log_async (pool, "fields", 5, 3);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), 60, NULL, NULL));
  await_records (&records, 3);
  for (guint i = 0; i < 3; i++)
    {
      GVariant *fields = records.fields->pdata[i];
      g_autoptr (GVariant) bytes =
          g_variant_lookup_value (fields, "CONFORM_BYTES", G_VARIANT_TYPE_BYTESTRING);
      g_autoptr (GVariant) none =
          g_variant_lookup_value (fields, "CONFORM_NONE", G_VARIANT_TYPE_BYTESTRING);
      g_autofree char *message = g_strdup_printf ("record %u: größer", 5 + i);

      g_assert_cmpuint (g_array_index (records.levels, guint, i), ==, levels[i]);
      g_assert_cmpstr (get_text (fields, "MESSAGE"), ==, message);
      g_assert_cmpstr (get_text (fields, "GLIB_DOMAIN"), ==, DOMAIN);
      g_assert_cmpint (get_number (fields, "CONFORM_INDEX"), ==, 5 + i);
      g_assert_nonnull (bytes);
      g_assert_cmpmem (g_variant_get_data (bytes), g_variant_get_size (bytes), "a\0b\xff\0", 5);
      g_assert_nonnull (none);
      g_assert_cmpuint (g_variant_get_size (none), ==, 0);
      g_assert_cmpint (get_number (fields, "POOL_WORKER"), ==, 0);
      g_assert_cmpint (get_number (fields, "POOL_WORKER_PID"), >, 1);
      g_assert_cmpint (get_number (fields, "POOL_WORKER_PID"), !=, getpid ());
      g_assert_cmpint (get_number (fields, "POOL_TASK"), ==,
                       pool_async_result_get_id (POOL_ASYNC_RESULT (result)));
      g_assert_cmpstr (get_text (fields, "POOL_TASK_NAME"), ==, "conform.log");
      g_assert_cmpint (get_number (fields, "POOL_ATTEMPT"), ==, 1);
      g_assert_null (get_text (fields, "POOL_LOST"));
      g_assert_null (get_text (fields, "POOL_TRUNCATED"));
    }
  conform_end (pool);
  clear_records (&records);
}

/* g_log() and its macros; another domain stays in the worker. */
static void
test_unstructured (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 1);

  log_and_wait (pool, "other", 0, 1);
  log_and_wait (pool, "g-log", 0, 2);
  conform_end (pool);
  g_assert_cmpuint (records.fields->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *message = g_strdup_printf ("old %u", i);

      g_assert_cmpstr (get_text (records.fields->pdata[i], "MESSAGE"), ==, message);
      g_assert_cmpstr (get_text (records.fields->pdata[i], "PRIORITY"), ==, "5");
      g_assert_cmpuint (g_array_index (records.levels, guint, i), ==, G_LOG_LEVEL_MESSAGE);
    }
  clear_records (&records);
}

/* A record comes before the call that made it returns. */
static void
test_before_result (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 2);

  for (guint i = 0; i < 200; i++)
    {
      log_and_wait (pool, "fields", i, 1);
      /* it may be in the hands of the pool's thread still, but of nobody else */
      await_records (&records, i + 1);
      g_assert_cmpint (get_number (records.fields->pdata[i], "CONFORM_INDEX"), ==, i);
    }
  conform_end (pool);
  g_assert_cmpuint (records.fields->len, ==, 200);
  clear_records (&records);
}

/* What ends a worker is no reason for the program to end; g_test_init() made warnings fatal in it, too. */
static void
test_fatal (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 1);
  g_autoptr (PoolApplyResult) warning = NULL;
  g_autoptr (PoolApplyResult) fatal = log_async (pool, "error", 1, 1);
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (fatal), 60, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  warning = log_async (pool, "warning", 2, 1);
  pool_async_result_wait (POOL_ASYNC_RESULT (warning), 60, NULL, NULL);
  conform_end (pool);

  g_assert_cmpuint (records.fields->len, ==, 2);
  g_assert_cmpuint (g_array_index (records.levels, guint, 0), ==, G_LOG_LEVEL_ERROR);
  g_assert_cmpstr (get_text (records.fields->pdata[0], "MESSAGE"), ==, "fatal 1");
  g_assert_cmpstr (get_text (records.fields->pdata[0], "PRIORITY"), ==, "3");
  g_assert_cmpuint (g_array_index (records.levels, guint, 1), ==, G_LOG_LEVEL_WARNING);
  clear_records (&records);
}

/* A worker that sends anything at all does not disturb the others. */
static void
test_junk (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 2);
  g_autoptr (PoolApplyResult) bad = NULL;
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  g_autoptr (PoolApplyResult) captured = NULL;
  g_autoptr (GBytes) output = NULL;

  conform_await (pool, "n-workers", 2);
  log_and_wait (pool, "fields", 0, 10);
  bad = pool_manager_apply_async (pool, "conform.junk", NULL, NULL, NULL, NULL, NULL);
  pool_call_options_set_capture_output (options, 1);
  captured = pool_manager_apply_async (pool, "conform.write",
                                       g_variant_new ("(ssu)", "print", "return", 1), options, NULL,
                                       NULL, NULL);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (captured), 60, NULL, NULL));
  output = pool_async_result_get_output (POOL_ASYNC_RESULT (captured));
  g_assert_cmpmem (g_bytes_get_data (output, NULL), g_bytes_get_size (output), "out 1", 5);
  conform_assert_value (pool_async_result_get (POOL_ASYNC_RESULT (bad), 60, NULL), "1");
  conform_end (pool);
  g_assert_cmpuint (records.fields->len, ==, 10);
  clear_records (&records);
}

#define N_EACH 250
#define N_TASKS 4

static void
test_many (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 4);
  PoolApplyResult *results[N_TASKS];
  int next[N_TASKS] = { 0 };

  for (int i = 0; i < N_TASKS; i++)
    results[i] = log_async (pool, "fields", i * N_EACH, N_EACH);
  for (int i = 0; i < N_TASKS; i++)
    {
      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (results[i]), 60, NULL, NULL));
      g_object_unref (results[i]);
    }
  conform_end (pool);

  g_assert_cmpuint (records.fields->len, ==, N_TASKS * N_EACH);
  for (guint i = 0; i < records.fields->len; i++)
    {
      gint64 index = get_number (records.fields->pdata[i], "CONFORM_INDEX");

      g_assert_cmpint (index, >=, 0);
      g_assert_cmpint (index, <, N_TASKS * N_EACH);
      g_assert_cmpint (index % N_EACH, ==, next[index / N_EACH]++);
      g_assert_null (get_text (records.fields->pdata[i], "POOL_LOST"));
    }
  clear_records (&records);
}

/* Last words: the worker is killed at once. */
static void
test_last_words (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 2);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (PoolApplyResult) result = log_async (pool, "kill", i, 10);

      g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 60, NULL));
    }
  conform_end (pool);
  g_assert_cmpuint (records.fields->len, ==, 20 * 10);
  for (guint i = 0; i < records.fields->len; i++)
    g_assert_cmpint (get_number (records.fields->pdata[i], "CONFORM_INDEX"), ==, i / 10 + i % 10);
  clear_records (&records);
}

/* Longer than a datagram: cut, and it says so; the short fields are whole. */
static void
test_long (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = logging_pool (&records, 1);
  const char *message;
  GVariant *fields;

  log_and_wait (pool, "long", 100000, 1);
  log_and_wait (pool, "long", 3000000, 1);
  conform_end (pool);
  g_assert_cmpuint (records.fields->len, ==, 2);
  g_assert_cmpuint (strlen (get_text (records.fields->pdata[0], "MESSAGE")), ==, 100000);
  g_assert_null (get_text (records.fields->pdata[0], "POOL_TRUNCATED"));

  fields = records.fields->pdata[1];
  message = get_text (fields, "MESSAGE");
  g_assert_cmpuint (strlen (message), >=, 4000);
  g_assert_cmpuint (strspn (message, "x"), ==, strlen (message));
  g_assert_cmpint (get_number (fields, "POOL_TRUNCATED"), ==, 3000000 - (gint64) strlen (message));
  g_assert_cmpstr (get_text (fields, "CONFORM_END"), ==, "end");
  clear_records (&records);
}

/* Nobody reads: tasks end all the same, and what was lost is counted. */
static void
test_not_iterating (Fixture *fixture, gconstpointer data)
{
  Records records;
  PoolManager *pool = conform_new ();
  gint64 n, lost = 0;

  records.fields = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  records.levels = g_array_new (FALSE, FALSE, sizeof (guint));
  g_object_set (pool, "threads", FALSE, "processes", 1, NULL);
  g_assert_true (pool_manager_add_logger (pool, DOMAIN, NULL));
  g_signal_connect (pool, "log", G_CALLBACK (on_log), &records);
  g_assert_true (pool_manager_start (pool, NULL));
  {
    g_autofree char *path = g_dir_make_tmp ("conform-XXXXXX", NULL);
    g_autofree char *file = g_build_filename (path, "ended", NULL);
    g_autoptr (PoolApplyResult) result =
        pool_manager_apply_async (pool, "conform.log",
                                  g_variant_new ("(ssii)", DOMAIN, file, 0, 20000), NULL, NULL,
                                  NULL, NULL);

    /* the task says in another way that it has logged everything */
    for (guint i = 0; i < 6000 && !g_file_test (file, G_FILE_TEST_EXISTS); i++)
      g_usleep (10000);
    g_assert_true (g_file_test (file, G_FILE_TEST_EXISTS));
    g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), 60, NULL, NULL));
    unlink (file);
    rmdir (path);
  }
  /* the first one that gets through again tells of the others */
  log_and_wait (pool, "fields", 20000, 1);
  conform_end (pool);

  n = records.fields->len;
  for (guint i = 0; i < records.fields->len; i++)
    lost += MAX (0, get_number (records.fields->pdata[i], "POOL_LOST"));
  g_assert_cmpint (n, >, 10);
  g_assert_cmpint (lost, >, 0);
  g_assert_cmpint (n + lost, ==, 20001);
  g_assert_cmpint (get_number (records.fields->pdata[n - 1], "CONFORM_INDEX"), ==, 20000);
  clear_records (&records);
}

/* --- output --- */

static PoolManager *
capturing_pool (int processes)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "processes", processes, "capture-output", TRUE, "max-retries", 1, NULL);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

static PoolApplyResult *
write_async (PoolManager *pool, const char *how, const char *end, guint n, PoolCallOptions *options)
{
  PoolApplyResult *result =
      pool_manager_apply_async (pool, "conform.write", g_variant_new ("(ssu)", how, end, n),
                                options, NULL, NULL, NULL);

  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), 60, NULL, NULL));
  return result;
}

static void
assert_bytes (GBytes *bytes, const char *text)
{
  g_assert_nonnull (bytes);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), text, strlen (text));
  g_bytes_unref (bytes);
}

static void
assert_output (PoolApplyResult *result, const char *output, const char *error_output)
{
  assert_bytes (pool_async_result_get_output (POOL_ASYNC_RESULT (result)), output);
  assert_bytes (pool_async_result_get_error_output (POOL_ASYNC_RESULT (result)), error_output);
  g_assert_cmpuint (pool_async_result_get_lost_output (POOL_ASYNC_RESULT (result)), ==, 0);
  g_object_unref (result);
}

static void
test_output (Fixture *fixture, gconstpointer data)
{
  static const char *const ends[] = { "return", "fail", "exit", "segv", "kill" };
  PoolManager *pool = capturing_pool (1);

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      /* printf() without a newline, and a program that the task runs */
      assert_output (write_async (pool, "print", ends[i], 1, NULL), "out 1", "err 1");
      assert_output (write_async (pool, "child", ends[i], 2, NULL), "out 2\nfile 2\n", "err 2\n");
      assert_output (write_async (pool, "nothing", ends[i], 3, NULL), "", "");
    }
  conform_end (pool);
}

static void
test_output_options (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = capturing_pool (1);
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  PoolApplyResult *result;

  pool_call_options_set_capture_output (options, 0);
  result = write_async (pool, "nothing", "return", 1, options);
  g_assert_null (pool_async_result_get_output (POOL_ASYNC_RESULT (result)));
  g_assert_null (pool_async_result_get_error_output (POOL_ASYNC_RESULT (result)));
  g_object_unref (result);
  conform_end (pool);

  pool = conform_started ();
  result = write_async (pool, "nothing", "return", 2, NULL);
  g_assert_null (pool_async_result_get_output (POOL_ASYNC_RESULT (result)));
  g_object_unref (result);
  pool_call_options_set_capture_output (options, 1);
  assert_output (write_async (pool, "print", "return", 3, options), "out 3", "err 3");
  conform_end (pool);
}

/* Of a task that is run again, the last attempt's. */
static void
test_output_again (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  PoolApplyResult *result;

  g_object_set (pool, "capture-output", TRUE, "max-retries", 3, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  result = write_async (pool, "attempt", "once", 1, NULL);
  g_assert_cmpuint (pool_async_result_get_attempts (POOL_ASYNC_RESULT (result)), ==, 2);
  assert_output (result, "attempt 2", "");
  conform_end (pool);
}

/* What it wrote before its time was over. */
static void
test_output_timed_out (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_started ();
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  g_autoptr (GError) error = NULL;
  PoolApplyResult *result;

  pool_call_options_set_capture_output (options, 1);
  pool_call_options_set_timeout (options, 2);
  result = write_async (pool, "print", "hang", 7, options);
  g_assert_null (pool_async_result_get (POOL_ASYNC_RESULT (result), 0, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_TIMED_OUT);
  assert_output (result, "out 7", "err 7");
  conform_end (pool);
}

/* What a task leaves behind does not write into the next one's output, and does not keep it from ending. */
static void
test_output_left_behind (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = capturing_pool (1);

  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (PoolApplyResult) result = write_async (pool, "daemon", "return", i, NULL);
      g_autofree char *out = g_strdup_printf ("out %u", i);
      g_autofree char *err = g_strdup_printf ("err %u", i);

      g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (result), NULL));
      assert_output (write_async (pool, "print", "return", i, NULL), out, err);
    }
  conform_end (pool);
}

/* More than is kept; the task writes on, and memory stays bounded. */
static void
test_output_too_much (Fixture *fixture, gconstpointer data)
{
  const gsize limit = 64 * 1024 * 1024;
  PoolManager *pool = capturing_pool (1);
  g_autoptr (PoolApplyResult) result = write_async (pool, "much", "return", 70, NULL);
  g_autoptr (GBytes) output = pool_async_result_get_output (POOL_ASYNC_RESULT (result));
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  const char *bytes;

  value = pool_async_result_get (POOL_ASYNC_RESULT (result), 0, &error);
  g_assert_no_error (error);
  bytes = g_bytes_get_data (output, NULL);
  g_assert_cmpuint (g_bytes_get_size (output), ==, limit);
  for (gsize i = 0; i < limit; i += 4093)
    g_assert_cmpint (bytes[i], ==, 'a' + (char) (i / (1024 * 1024) % 26));
  g_assert_cmpuint (pool_async_result_get_lost_output (POOL_ASYNC_RESULT (result)), ==,
                    6 * 1024 * 1024);
  conform_end (pool);
}

/* Of a map it is what all items wrote, in their order, also when some had to be run again. */
static void
test_output_map (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autoptr (PoolMapResult) result = NULL;
  GVariantBuilder builder;

  g_object_set (pool, "capture-output", TRUE, "processes", 4, "max-retries", 3, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ssu)"));
  for (guint i = 0; i < 300; i++)
    {
      g_variant_builder_add (&builder, "(ssu)", "line", i % 100 == 50 ? "once" : "return", i);
      g_string_append_printf (expected, "line %u\n", i);
    }
  result = pool_manager_starmap_async (pool, "conform.write", g_variant_builder_end (&builder), 0,
                                       NULL, NULL, NULL);
  g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (result), 60, NULL, NULL));
  g_assert_true (pool_async_result_successful (POOL_ASYNC_RESULT (result), NULL));
  assert_bytes (pool_async_result_get_output (POOL_ASYNC_RESULT (result)), expected->str);
  assert_bytes (pool_async_result_get_error_output (POOL_ASYNC_RESULT (result)), "");
  conform_end (pool);
}

/* Many short ones at once, on a pool that nobody looks after meanwhile. */
static void
test_output_many (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  PoolApplyResult *results[200];

  g_object_set (pool, "capture-output", TRUE, "processes", 2, "threads", FALSE, NULL);
  g_assert_true (pool_manager_start (pool, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.write",
                                           g_variant_new ("(ssu)", "line", "return", i), NULL, NULL,
                                           NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autofree char *line = g_strdup_printf ("line %u\n", i);

      g_assert_true (pool_async_result_wait (POOL_ASYNC_RESULT (results[i]), 60, NULL, NULL));
      assert_output (results[i], line, "");
    }
  conform_end (pool);
}

static void
test_output_refused (Fixture *fixture, gconstpointer data)
{
  PoolManager *pool = conform_new ();
  g_autoptr (PoolCallOptions) options = pool_call_options_new ();
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "capture-output", TRUE, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_object_unref (pool);

  pool = conform_started ();
  pool_call_options_set_capture_output (options, 1);
  g_assert_null (pool_manager_apply (pool, "conform.echo", NULL, options, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  conform_assert_value (pool_manager_apply (pool, "conform.echo", NULL, NULL, NULL, NULL), "()");
  conform_end (pool);
}

void
conform_add_logs (void)
{
  conform_add ("logs/loggers", test_loggers);
  if (!conform_isolates)
    {
      conform_add ("output/refused", test_output_refused);
      return;
    }

  conform_add ("logs/fields", test_fields);
  conform_add ("logs/unstructured", test_unstructured);
  conform_add ("logs/before-result", test_before_result);
  conform_add ("logs/many", test_many);
  conform_add ("logs/last-words", test_last_words);
  conform_add ("logs/long", test_long);
  conform_add ("logs/fatal", test_fatal);
  conform_add ("logs/junk", test_junk);
  /* agents that nobody listens to get no tasks */
  if (!conform_remote)
    conform_add ("logs/not-iterating", test_not_iterating);
  conform_add ("output/ends", test_output);
  conform_add ("output/options", test_output_options);
  conform_add ("output/again", test_output_again);
  /* what it wrote comes too late */
  if (!conform_remote)
    conform_add ("output/timed-out", test_output_timed_out);
  conform_add ("output/left-behind", test_output_left_behind);
  conform_add ("output/too-much", test_output_too_much);
  conform_add ("output/map", test_output_map);
  conform_add ("output/many", test_output_many);
}
