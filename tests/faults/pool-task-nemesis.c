/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <gmodule.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The tasks of the nemesis; what each is to do is in its argument. */

static void
die (int signum)
{
  signal (signum, SIG_DFL);
  raise (signum);
}

static void
allocate (guint32 kib)
{
  g_autofree volatile guint8 *block = g_malloc (MAX (1, kib) * (gsize) 1024);

  for (gsize i = 0; i < kib * (gsize) 1024; i += 4096)
    block[i] = 1;
}

static gboolean
nap_patiently (PoolTask *task, guint32 us, GError **error)
{
  GCancellable *cancellable = pool_task_get_cancellable (task);
  GPollFD fd;

  /* told already: the descriptor would be readable at once */
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (!g_cancellable_make_pollfd (cancellable, &fd))
    return TRUE;
  g_poll (&fd, 1, us / 1000);
  g_cancellable_release_fd (cancellable);
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* FALSE: it fails; with no error set: it breaks its contract, too */
static gboolean
behave (PoolTask *task, const NemesisItem *item, GError **error)
{
  switch (item->behaviour)
    {
    case NEMESIS_NAP:
      g_usleep (item->amount);
      return TRUE;
    case NEMESIS_RAISE:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY, "raised by %" G_GINT64_FORMAT, item->number);
      return FALSE;
    case NEMESIS_NOTHING:
      return FALSE;
    case NEMESIS_ALLOCATE:
      allocate (item->amount);
      return TRUE;
    case NEMESIS_PATIENT:
      return nap_patiently (task, item->amount, error);
    case NEMESIS_PRINT:
      g_print ("said by %" G_GINT64_FORMAT "\n", item->number);
      return TRUE;
    case NEMESIS_LOG:
      g_log ("nemesis", G_LOG_LEVEL_DEBUG, "said by %" G_GINT64_FORMAT, item->number);
      return TRUE;
    case NEMESIS_OVERRUN:
      g_usleep (item->amount * (gulong) 1000);
      return TRUE;
    case NEMESIS_CRASH_ONCE:
      if (pool_task_get_attempt (task) == 1)
        die (item->amount);
      return TRUE;
    case NEMESIS_EXIT_ONCE:
      if (pool_task_get_attempt (task) == 1)
        _exit (item->amount);
      return TRUE;
    case NEMESIS_CRASH:
      die (item->amount);
      return TRUE;
    default:
      return TRUE;
    }
}

static GVariant *
on_value (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  NemesisItem item;

  g_variant_get (args, "(xuu)", &item.number, &item.behaviour, &item.amount);
  return behave (task, &item, error) ? g_variant_new_int64 (3 * item.number + 1) : NULL;
}

static gboolean
on_bytes (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  NemesisItem item;
  guint8 *reply;

  memcpy (&item, data, sizeof item);
  if (!behave (task, &item, error))
    return FALSE;
  reply = pool_task_reserve_reply (task, item.amount);
  for (guint i = 0; i < item.amount; i++)
    reply[i] = item.number + i;
  return TRUE;
}

/* The workload: a tuple of number and whether to die; takes five milliseconds. */
static GVariant *
on_work (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 number;
  gboolean deadly;

  g_variant_get (args, "(xb)", &number, &deadly);
  g_usleep (5000);
  if (deadly)
    die (SIGKILL);
  return g_variant_new_int64 (3 * number + 1);
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "value", "does what its argument says", on_value);
  pool_task_module_add_bytes (module, "bytes", "the same on bytes", on_bytes);
  pool_task_module_add (module, "work", "the workload that is compared with other pools", on_work);
}
