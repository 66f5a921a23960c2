/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "digest.h"
#include "task-args.h"
#include "task-file.h"

/*
 * checksum.NAME (s or ay file name) → s hex digest. One function for all: a task knows the name it
 * runs under.
 */
static GVariant *
checksum_file (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *dot = strrchr (pool_task_get_name (task), '.');
  g_autofree char *name = task_args_dup_filename (args, 0, error);
  g_autoptr (TaskFile) file = NULL;
  g_autoptr (Digest) digest = NULL;
  const guint8 *data;
  gssize n;

  if (name == NULL)
    return NULL;
  file = task_file_open (name, error);
  if (file == NULL)
    return NULL;
  digest = digest_new (dot != NULL ? dot + 1 : pool_task_get_name (task));
  if (digest == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "This machine's policy does not allow %s", pool_task_get_name (task));
      return NULL;
    }
  while ((n = task_file_read (file, &data, pool_task_get_cancellable (task), error)) > 0)
    digest_update (digest, data, (gsize) n);
  if (n < 0)
    return NULL;
  return g_variant_new_take_string (digest_to_hex (digest));
}

POOL_DEFINE_TASK_MODULE (module)
{
  digest_init ();
  for (const char *const *name = digest_list_names (); *name != NULL; name++)
    {
      g_autofree char *description = g_strdup_printf ("the %s digest of a file, in hex", *name);

      pool_task_module_add (module, *name, description, checksum_file);
    }
}
