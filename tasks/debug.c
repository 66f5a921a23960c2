/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "task-args.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * Tasks that do nothing useful, or something bad, on purpose: to try out a pool and how it takes a
 * failure.
 */

static GVariant *
debug_echo (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_n_children (args) == 1 ? g_variant_get_child_value (args, 0)
                                          : g_variant_ref (args);
}

static GVariant *
debug_sleep (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  GCancellable *cancellable = pool_task_get_cancellable (task);
  GPollFD pollfd;
  double seconds;
  gint64 end;

  if (!task_args_get_seconds (args, 0, &seconds, error))
    return NULL;
  end = g_get_monotonic_time () + (gint64) (seconds * G_USEC_PER_SEC);
  if (g_cancellable_make_pollfd (cancellable, &pollfd))
    {
      gint64 left;

      while ((left = end - g_get_monotonic_time ()) > 0 &&
             !g_cancellable_is_cancelled (cancellable))
        g_poll (&pollfd, 1, (int) MIN ((left + 999) / 1000, G_MAXINT));
      g_cancellable_release_fd (cancellable);
    }
  else
    {
      struct timespec until = { .tv_sec = end / G_USEC_PER_SEC,
                                .tv_nsec = end % G_USEC_PER_SEC * 1000 };

      while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
    }
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  return g_variant_new_double (seconds);
}

/*
 * Spends processor time, not wall time, and never looks whether it is cancelled: a task that will
 * not listen.
 */
static GVariant *
debug_spin (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  struct timespec now;
  double seconds, end;

  if (!task_args_get_seconds (args, 0, &seconds, error))
    return NULL;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  end = (double) now.tv_sec + (double) now.tv_nsec / 1e9 + seconds;
  do
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  while ((double) now.tv_sec + (double) now.tv_nsec / 1e9 < end);
  return g_variant_new_double (seconds);
}

static void
die_of_signal (int number)
{
  struct sigaction action = { .sa_handler = SIG_DFL };
  sigset_t set;

  /*
   * The kill comes back to this thread as soon as it is unblocked; SIGKILL and SIGSTOP take no
   * disposition.
   */
  sigemptyset (&action.sa_mask);
  sigaction (number, &action, NULL);
  sigemptyset (&set);
  sigaddset (&set, number);
  pthread_sigmask (SIG_UNBLOCK, &set, NULL);
  raise (number);
}

static GVariant *
debug_crash (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 number;

  if (!task_args_get_integer (args, 0, 1, SIGRTMAX, &number, error))
    return NULL;
  die_of_signal ((int) number);
  /* SIGCHLD, SIGURG and their like do nothing by default. */
  return g_variant_new_int32 ((int) number);
}

static GVariant *
debug_exit (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 code;

  if (!task_args_get_integer (args, 0, 0, 255, &code, error))
    return NULL;
  exit ((int) code);
}

static GVariant *
debug_allocate (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree guint8 *block = NULL;
  gint64 size;

  if (!task_args_get_integer (args, 0, 0, G_MAXINT64, &size, error))
    return NULL;
  block = g_try_malloc (MAX (1, (gsize) size));
  if (block == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "No memory for %" G_GINT64_FORMAT " bytes", size);
      return NULL;
    }
  /*
   * An untouched page is no memory. The volatile write keeps the compiler from dropping the whole
   * block.
   */
  for (gint64 i = 0; i < size; i += 4096)
    *(volatile guint8 *) (block + i) = 1;
  return g_variant_new_uint64 ((guint64) size);
}

static GVariant *
debug_bytes (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  guint8 *block;
  gint64 size;

  if (!task_args_get_integer (args, 0, 0, G_MAXINT64, &size, error))
    return NULL;
  block = g_try_malloc (MAX (1, (gsize) size));
  if (block == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "No memory for %" G_GINT64_FORMAT " bytes", size);
      return NULL;
    }
  /*
   * A pattern whose period divides no power of two: a block that arrives shifted or twice is seen.
   */
  for (gint64 i = 0; i < size; i++)
    block[i] = (guint8) (i % 251);
  bytes = g_bytes_new_take (block, (gsize) size);
  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}

static GVariant *
debug_raise (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *message = task_args_dup_string (args, 0, error);

  if (message != NULL)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, message);
  return NULL;
}

static GVariant *
debug_null (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
debug_pid (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (getpid ());
}

static GVariant *
debug_worker (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_uint32 (pool_task_get_worker (task));
}

static GVariant *
debug_fail_if (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autofree char *text = task_args_dup_string (args, 0, error);

  if (text == NULL)
    return NULL;
  if (g_str_has_prefix (text, "fail"))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Failed as asked: %s", text);
      return NULL;
    }
  return g_variant_new_string (text);
}

/*
 * Takes its worker down until it has been tried more often than asked: what a transient crash looks
 * like.
 */
static GVariant *
debug_flaky (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 deaths;

  if (!task_args_get_integer (args, 0, 0, 1000, &deaths, error))
    return NULL;
  if (pool_task_get_attempt (task) <= deaths)
    die_of_signal (SIGKILL);
  return g_variant_new_uint32 (pool_task_get_attempt (task));
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "echo", "its argument; all of them, if there are several",
                        debug_echo);
  pool_task_module_add (module, "sleep", "waits so many seconds; can be cancelled", debug_sleep);
  pool_task_module_add (module, "spin", "spends so many seconds of processor time", debug_spin);
  pool_task_module_add (module, "crash", "ends its worker by the signal of that number",
                        debug_crash);
  pool_task_module_add (module, "exit", "ends its worker by exit() with that code", debug_exit);
  pool_task_module_add (module, "allocate", "allocates and touches so many bytes", debug_allocate);
  pool_task_module_add (module, "bytes", "so many bytes", debug_bytes);
  pool_task_module_add (module, "raise", "fails with that message", debug_raise);
  pool_task_module_add (module, "null", "returns nothing and sets no error", debug_null);
  pool_task_module_add (module, "pid", "the id of the process it runs in", debug_pid);
  pool_task_module_add (module, "worker", "the number of the worker it runs in", debug_worker);
  pool_task_module_add (module, "fail_if",
                        "fails if its argument starts with “fail”, else returns it", debug_fail_if);
  pool_task_module_add (module, "flaky", "kills its worker in its first so many attempts",
                        debug_flaky);
}
