/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gmodule.h>
#include <libpool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
  memcpy (pool_task_reserve_reply (task, size / 2), data, size / 2);
  memcpy (pool_task_reserve_reply (task, size - size / 2), data + size / 2, size - size / 2);
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

POOL_DEFINE_TASK_MODULE (module)
{
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
  pool_task_module_add_bytes (module, "bytes-twice", "of a number", bytes_twice);
  pool_task_module_add_batch (module, "batch-echo", "its items", batch_echo);
  pool_task_module_add_batch (module, "batch-wrong", "too few results", batch_wrong);
}
