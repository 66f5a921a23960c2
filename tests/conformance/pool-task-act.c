/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gmodule.h>
#include <libpool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * A task of bytes that does what the first of them says: e: echoes; k: kills its worker; o: kills its first worker; f: fails; n: sleeps
 * for so many ms; l: has a result of so many bytes, each 7; b: does nothing else than wait, until it is told to stop.
 */
static gboolean
act (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  guint64 number = size > 1 ? g_ascii_strtoull (text + 1, NULL, 10) : 0;

  switch (text[0])
    {
    case 'k':
    case 'o':
      if (text[0] == 'k' || pool_task_get_attempt (task) == 1)
        raise (SIGKILL);
      break;
    case 'f':
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_EMPTY, "told to fail: %s", text);
      return FALSE;
    case 'n':
      g_usleep (number * 1000);
      break;
    case 'l':
      memset (pool_task_reserve_reply (task, number), 7, number);
      return TRUE;
    case 'b':
      while (!g_cancellable_set_error_if_cancelled (pool_task_get_cancellable (task), error))
        g_usleep (1000);
      return FALSE;
    default:
      break;
    }
  pool_task_reply (task, data, size);
  return TRUE;
}

POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add_bytes (module, "run", "what it is told", act);
}
