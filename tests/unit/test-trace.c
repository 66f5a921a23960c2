/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-trace-private.h"
#include "unit-common.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#ifdef HAVE_SYSPROF
#include <sysprof-capture.h>
#endif

static const PoolTraceEvent events[] = {
  { .kind = POOL_TRACE_WORKER, .worker = 3, .pid = 42, .time = 1000 },
  { .kind = POOL_TRACE_UP, .worker = 3, .pid = 42, .time = 2001 },
  { .kind = POOL_TRACE_TASK, .worker = 3, .pid = 42, .time = 1234567, .duration = 2048, .name = "a.\"b\\\n",
    .detail = "done", .id = 7, .attempt = 2, .n_items = 5 },
  { .kind = POOL_TRACE_NOTE, .worker = 3, .pid = 42, .time = 3000, .name = "retry", .detail = "a.b", .id = 8,
    .attempt = 1, .n_items = 1 },
  { .kind = POOL_TRACE_DOWN, .worker = 3, .pid = 42, .time = 4000, .detail = "crashed" },
};

static const char expected[] =
    "[\n"
    "{\"ph\":\"M\",\"pid\":42,\"tid\":3,\"name\":\"process_name\",\"args\":{\"name\":\"libpool (fork)\"}},\n"
    "{\"ph\":\"M\",\"pid\":42,\"tid\":3,\"name\":\"thread_name\",\"args\":{\"name\":\"worker 3\"}},\n"
    "{\"ph\":\"i\",\"pid\":42,\"tid\":3,\"name\":\"worker up\",\"ts\":2.001,\"s\":\"t\"},\n"
    "{\"ph\":\"X\",\"pid\":42,\"tid\":3,\"name\":\"a.\\\"b\\\\\\u000a\",\"ts\":1234.567,\"dur\":2.048,"
    "\"args\":{\"id\":7,\"attempt\":2,\"items\":5,\"outcome\":\"done\"}},\n"
    "{\"ph\":\"i\",\"pid\":42,\"tid\":3,\"name\":\"retry\",\"ts\":3.000,\"s\":\"t\","
    "\"args\":{\"id\":8,\"attempt\":1,\"items\":1,\"task\":\"a.b\"}},\n"
    "{\"ph\":\"i\",\"pid\":42,\"tid\":3,\"name\":\"worker down\",\"ts\":4.000,\"s\":\"t\","
    "\"args\":{\"reason\":\"crashed\"}}\n"
    "]\n";

typedef struct
{
  char *folder;
  char *path;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer name)
{
  fixture->folder = g_dir_make_tmp ("pool-trace-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
  fixture->path = g_build_filename (fixture->folder, name, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer name)
{
  g_unlink (fixture->path);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->path);
  g_free (fixture->folder);
}

static PoolTrace *
start (const char *path)
{
  g_autoptr (GError) error = NULL;
  PoolTrace *trace = pool_trace_start (path, "fork", &error);

  g_assert_no_error (error);
  return trace;
}

static void
stop (PoolTrace *trace)
{
  g_autoptr (GError) error = NULL;

  pool_trace_stop (trace, &error);
  g_assert_no_error (error);
}

static void
test_json (Fixture *fixture, gconstpointer name)
{
  g_autofree char *text = NULL;
  PoolTrace *trace = start (fixture->path);

  for (guint i = 0; i < G_N_ELEMENTS (events); i++)
    pool_trace_add (trace, &events[i]);
  stop (trace);
  g_assert_true (g_file_get_contents (fixture->path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
}

static void
test_empty (Fixture *fixture, gconstpointer name)
{
  g_autofree char *text = NULL;

  stop (start (fixture->path));
  g_assert_true (g_file_get_contents (fixture->path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "[]\n");
}

static gpointer
read_all (gpointer data)
{
  int fd = open (data, O_RDONLY | O_CLOEXEC);
  GString *text = g_string_new (NULL);
  char buffer[65536];
  gssize n;

  g_assert_cmpint (fd, >=, 0);
  while ((n = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  close (fd);
  return text;
}

/* Nobody reads at first, so the file takes nothing: what is too much for the memory is left out, and counted. */
static void
test_bounded (Fixture *fixture, gconstpointer name)
{
  const guint n = 300000;
  guint64 n_written = 0, n_dropped = 0;
  const char *count;
  PoolTrace *trace;
  GThread *reader;
  GString *text;

  g_assert_cmpint (mkfifo (fixture->path, 0600), ==, 0);
  trace = start (fixture->path);
  for (guint i = 0; i < n; i++)
    pool_trace_add (trace, &events[2]);
  reader = g_thread_new ("reader", read_all, fixture->path);
  stop (trace);
  text = g_thread_join (reader);
  /* by length: a sanitizer looks for the end of a string each time that it is searched */
  for (const char *p = text->str; p != NULL; p = memchr (p + 1, '\n', text->str + text->len - p - 1))
    n_written += strncmp (p, "\n{\"ph\":\"X\"", strlen ("\n{\"ph\":\"X\"")) == 0;
  count = g_strrstr (text->str, "\"count\":");
  g_assert_nonnull (count);
  n_dropped = g_ascii_strtoull (count + strlen ("\"count\":"), NULL, 10);
  g_string_free (text, TRUE);
  g_assert_cmpuint (n_dropped, >, 0);
  g_assert_cmpuint (n_written + n_dropped, ==, n);
}

static void
test_cannot_open (Fixture *fixture, gconstpointer name)
{
  g_autofree char *path = g_build_filename (fixture->path, "not", "there", NULL);
  g_autoptr (GError) error = NULL;
  PoolTrace *trace = pool_trace_start (path, "fork", &error);

  g_assert_null (trace);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, path));
  g_clear_error (&error);
  trace = pool_trace_start (fixture->folder, "fork", &error);
  g_assert_null (trace);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
}

static void
test_disk_full (Fixture *fixture, gconstpointer name)
{
  g_autoptr (GError) error = NULL;
  PoolTrace *trace;

  if (access ("/dev/full", W_OK) != 0)
    {
      g_test_skip ("there is no /dev/full");
      return;
    }
  trace = start ("/dev/full");
  for (guint i = 0; i < 10000; i++)
    pool_trace_add (trace, &events[2]);
  g_assert_false (pool_trace_stop (trace, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "/dev/full"));
}

#ifdef HAVE_SYSPROF
static void
test_sysprof (Fixture *fixture, gconstpointer name)
{
  PoolTrace *trace = start (fixture->path);
  SysprofCaptureFrameType type;
  SysprofCaptureReader *reader;
  guint n_marks = 0, n_processes = 0;

  for (guint i = 0; i < G_N_ELEMENTS (events); i++)
    pool_trace_add (trace, &events[i]);
  stop (trace);
  reader = sysprof_capture_reader_new (fixture->path);
  g_assert_nonnull (reader);
  while (sysprof_capture_reader_peek_type (reader, &type))
    if (type == SYSPROF_CAPTURE_FRAME_MARK)
      {
        const SysprofCaptureMark *mark = sysprof_capture_reader_read_mark (reader);

        g_assert_nonnull (mark);
        g_assert_cmpstr (mark->group, ==, "libpool");
        g_assert_cmpint (mark->frame.pid, ==, 42);
        n_marks++;
        if (mark->duration == 0)
          continue;
        g_assert_cmpstr (mark->name, ==, events[2].name);
        g_assert_cmpint (mark->frame.time, ==, 1234567);
        g_assert_cmpint (mark->duration, ==, 2048);
        g_assert_cmpstr (mark->message, ==, "done; worker 3, task 7, attempt 2, items 5");
      }
    else
      {
        n_processes += type == SYSPROF_CAPTURE_FRAME_PROCESS;
        g_assert_true (sysprof_capture_reader_skip (reader));
      }
  g_assert_cmpuint (n_marks, ==, 4);
  g_assert_cmpuint (n_processes, ==, 1);
  sysprof_capture_reader_unref (reader);
}

static void
test_sysprof_disk_full (Fixture *fixture, gconstpointer name)
{
  g_autoptr (GError) error = NULL;
  PoolTrace *trace;

  /* the kind of file goes by the name */
  g_assert_cmpint (symlink ("/dev/full", fixture->path), ==, 0);
  trace = pool_trace_start (fixture->path, "fork", &error);
  if (trace != NULL)
    {
      for (guint i = 0; i < 10000; i++)
        pool_trace_add (trace, &events[2]);
      g_assert_false (pool_trace_stop (trace, &error));
    }
  g_assert_nonnull (error);
  g_assert_cmpuint (error->domain, ==, G_IO_ERROR);
}
#else
static void
test_no_sysprof (Fixture *fixture, gconstpointer name)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_trace_start (fixture->path, "fork", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/trace/json", Fixture, "a.json", set_up, test_json, tear_down);
  g_test_add ("/trace/empty", Fixture, "a.json", set_up, test_empty, tear_down);
  g_test_add ("/trace/bounded", Fixture, "a.json", set_up, test_bounded, tear_down);
  g_test_add ("/trace/cannot-open", Fixture, "a.json", set_up, test_cannot_open, tear_down);
  g_test_add ("/trace/disk-full", Fixture, "a.json", set_up, test_disk_full, tear_down);
#ifdef HAVE_SYSPROF
  g_test_add ("/trace/sysprof", Fixture, "a.syscap", set_up, test_sysprof, tear_down);
  g_test_add ("/trace/sysprof-disk-full", Fixture, "a.syscap", set_up, test_sysprof_disk_full, tear_down);
#else
  g_test_add ("/trace/no-sysprof", Fixture, "a.syscap", set_up, test_no_sysprof, tear_down);
#endif
  return g_test_run ();
}
