/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gmodule.h>
#include <libpool.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tasks that every backend can run, whatever its workers are. */

static GVariant *
echo (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_ref (args);
}

static GVariant *
square (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE ("(x)")))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "square of %s",
                   g_variant_get_type_string (args));
      return NULL;
    }
  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

static GVariant *
add (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 sum = 0;

  for (gsize i = 0; i < g_variant_n_children (args); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (args, i);

      sum += g_variant_get_int64 (child);
    }
  return g_variant_new_int64 (sum);
}

static GVariant *
fail (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY, "Fehler: größer als %d", 7);
  return NULL;
}

/* fails for odd numbers */
static GVariant *
even (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x % 2 == 0)
    return g_variant_new_int64 (x);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "odd: %" G_GINT64_FORMAT, x);
  return NULL;
}

static GVariant *
null (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
nap (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  g_usleep (seconds * G_USEC_PER_SEC);
  return g_variant_new_double (seconds);
}

static GVariant *
describe (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new ("(tsuui)", pool_task_get_id (task), pool_task_get_name (task),
                        pool_task_get_attempt (task), pool_task_get_worker (task), (int) getpid ());
}

static GVariant *
crash (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int signum;

  g_variant_get (args, "(i)", &signum);
  signal (signum, SIG_DFL);
  raise (signum);
  return g_variant_new_boolean (FALSE);
}

static GVariant *
quit (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int status;

  g_variant_get (args, "(i)", &status);
  _exit (status);
}

/* takes its worker down the first time, by the attempt */
static GVariant *
once (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  if (pool_task_get_attempt (task) == 1)
    raise (SIGKILL);
  return g_variant_new_uint32 (pool_task_get_attempt (task));
}

/* takes its worker down for one number of a map */
static GVariant *
mine (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x == 13)
    raise (SIGKILL);
  return g_variant_new_int64 (-x);
}

/* 0 takes its worker down the first time, after a while */
static GVariant *
late (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  if (x == 0 && pool_task_get_attempt (task) == 1)
    {
      g_usleep (300000);
      raise (SIGKILL);
    }
  return g_variant_new_int64 (x + 1);
}

static int n_initialized;

static GVariant *
initialize (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_variant_get (args, "(i)", &n_initialized);
  return g_variant_new_tuple (NULL, 0);
}

static GVariant *
initialized (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (n_initialized);
}

static gboolean
bytes_echo (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, data, size);
  return TRUE;
}

/* a copy that does not lie in the argument, in two parts */
static gboolean
bytes_copy (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  gsize parts[2] = { size / 2, size - size / 2 };

  for (guint i = 0; i < 2; i++)
    {
      guint8 *place = pool_task_reserve_reply (task, parts[i]);

      if (place == NULL)
        return FALSE;
      memcpy (place, data + (i == 0 ? 0 : parts[0]), parts[i]);
    }
  return TRUE;
}

static gboolean
bytes_twice (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  gint64 x;

  if (size != sizeof x)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%" G_GSIZE_FORMAT " bytes", size);
      return FALSE;
    }
  memcpy (&x, data, sizeof x);
  x *= 2;
  pool_task_reply (task, (const guint8 *) &x, sizeof x);
  return TRUE;
}

static GBytes *
batch_echo (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return g_bytes_ref (batch);
}

static GBytes *
batch_wrong (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return pool_packed_new (NULL, 0);
}

/* a pool in a task */
static GVariant *
nested (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *backend;
  gint64 x;
  g_autoptr (PoolManager) pool = NULL;
  GVariant *value;

  g_variant_get (args, "(&sx)", &backend, &x);
  pool = g_object_new (POOL_TYPE_MANAGER, "backend", backend, "processes", 2, NULL);
  if (!pool_manager_start (pool, error))
    return NULL;
  value = pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", x), NULL, NULL, error);
  pool_manager_close (pool, NULL);
  pool_manager_join (pool, -1, NULL);
  return value;
}

/* waits for so long, or until it is told to stop */
static GVariant *
patient (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = pool_task_get_cancellable (task);
  GPollFD fd;
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  if (!g_cancellable_make_pollfd (cancellable, &fd))
    return NULL;
  /* a signal that comes with the notice may end the wait before the descriptor does */
  while (!g_cancellable_is_cancelled (cancellable) && g_poll (&fd, 1, seconds * 1000) < 0)
    ;
  g_cancellable_release_fd (cancellable);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  return g_variant_new_double (seconds);
}

/* the same, and cleans up and has a result all the same: whether it was told */
static GVariant *
polite (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GVariant) value = patient (task, args, user_data, NULL);

  return g_variant_new_boolean (value == NULL && pool_task_is_soft_timed_out (task));
}

/* is in a system call when it is told */
static GVariant *
interrupted (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (args, "(d)", &seconds);
  return g_variant_new_boolean (poll (NULL, 0, seconds * 1000) < 0 && pool_task_is_soft_timed_out (task));
}

/* ignores what can be ignored, and leaves a process behind in a session of its own; its pid goes to a file */
static GVariant *
deaf (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *path;
  pid_t pid;

  g_variant_get (args, "(&s)", &path);
  signal (SIGTERM, SIG_IGN);
  signal (SIGINT, SIG_IGN);
  pid = fork ();
  if (pid == 0)
    {
      setsid ();
      if (fork () == 0)
        {
          g_autofree char *text = g_strdup_printf ("%d", (int) getpid ());

          signal (SIGTERM, SIG_IGN);
          g_file_set_contents (path, text, -1, NULL);
          for (;;)
            pause ();
        }
      _exit (0);
    }
  waitpid (pid, NULL, 0);
  for (;;)
    pause ();
  return NULL;
}

static GVariant *
progress (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  int n;

  g_variant_get (args, "(i)", &n);
  for (int i = 1; i <= n; i++)
    {
      pool_task_set_progress (task, (double) i / n);
      g_usleep (1000);
    }
  return g_variant_new_int32 (n);
}

/* has so many MiB for good */
static GVariant *
hoard (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  guint mib;
  char *memory;

  g_variant_get (args, "(u)", &mib);
  memory = g_malloc ((gsize) mib << 20);
  memset (memory, 1, (gsize) mib << 20);
  g_object_set_data (G_OBJECT (task), "hoard", memory);
  return g_variant_new_int32 (getpid ());
}

static GVariant *
deadline (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 time = pool_task_get_deadline (task);

  return g_variant_new_double (time == 0 ? 0 : (time - g_get_monotonic_time ()) / 1e6);
}

static gboolean
bytes_late (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  g_usleep (5000);
  memset (pool_task_reserve_reply (task, 100000), 1, 100000);
  return TRUE;
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "patient", "waits, and stops when it is told", patient);
  pool_task_module_add (module, "polite", "waits, and says whether it was told", polite);
  pool_task_module_add (module, "interrupted", "is interrupted when it is told", interrupted);
  pool_task_module_add (module, "deaf", "never ends, nor does what it starts", deaf);
  pool_task_module_add (module, "progress", "tells it", progress);
  pool_task_module_add (module, "hoard", "keeps memory", hoard);
  pool_task_module_add (module, "deadline", "seconds until its limit", deadline);
  pool_task_module_add (module, "echo", "its arguments", echo);
  pool_task_module_add (module, "square", "of a number", square);
  pool_task_module_add (module, "add", "all arguments", add);
  pool_task_module_add (module, "fail", "an error", fail);
  pool_task_module_add (module, "even", "fails for odd numbers", even);
  pool_task_module_add (module, "null", "nothing", null);
  pool_task_module_add (module, "nap", "sleeps", nap);
  pool_task_module_add (module, "describe", "the running call", describe);
  pool_task_module_add (module, "crash", "by a signal", crash);
  pool_task_module_add (module, "quit", "ends the process", quit);
  pool_task_module_add (module, "once", "kills its first worker", once);
  pool_task_module_add (module, "mine", "kills its worker for 13", mine);
  pool_task_module_add (module, "late", "kills its first worker for 0, late", late);
  pool_task_module_add (module, "initialize", "remembers a number", initialize);
  pool_task_module_add (module, "initialized", "that number", initialized);
  pool_task_module_add (module, "nested", "a pool in a task", nested);
  pool_task_module_add_bytes (module, "bytes-echo", "its argument", bytes_echo);
  pool_task_module_add_bytes (module, "bytes-copy", "a copy of its argument", bytes_copy);
  pool_task_module_add_bytes (module, "bytes-late", "100,000 bytes after 5 ms", bytes_late);
  pool_task_module_add_bytes (module, "bytes-twice", "of a number", bytes_twice);
  pool_task_module_add_batch (module, "batch-echo", "its items", batch_echo);
  pool_task_module_add_batch (module, "batch-wrong", "too few results", batch_wrong);
}
