/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asynchronous calls from a main loop: hashes files with a function of the task module "checksum",
 * prints each digest when it is there, and goes on when a file cannot be read.
 *
 *   hash-files FILE...
 */

#include <libpool.h>

typedef struct
{
  GMainLoop *loop;
  guint n_pending;
  guint n_failed;
} Job;

typedef struct
{
  Job *job;
  char *path;
} Call;

static void
call_free (Call *call)
{
  g_free (call->path);
  g_free (call);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Call, call_free)

static void
on_digest (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Call) call = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) digest = pool_manager_apply_finish (POOL_MANAGER (source), result, &error);
  Job *job = call->job;

  if (digest != NULL)
    {
      g_print ("%s  %s\n", g_variant_get_string (digest, NULL), call->path);
    }
  else
    {
      g_printerr ("%s: %s\n", call->path, error->message);
      job->n_failed++;
    }

  if (--job->n_pending == 0)
    g_main_loop_quit (job->loop);
}

static void
hash_files (PoolManager *pool, char **paths, int n_paths)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Job job = { loop, n_paths, 0 };

  for (int i = 0; i < n_paths; i++)
    {
      g_autoptr (PoolApplyResult) result = NULL;
      Call *call = g_new0 (Call, 1);

      call->job = &job;
      call->path = g_strdup (paths[i]);
      result =
          pool_manager_apply_async (pool, "checksum.sha256",
                                    g_variant_new ("(@ay)", g_variant_new_bytestring (paths[i])),
                                    NULL, NULL, on_digest, call);
    }

  if (n_paths > 0)
    g_main_loop_run (loop);
  g_print ("%d files, %u failed\n", n_paths, job.n_failed);
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool =
      g_object_new (POOL_TYPE_MANAGER, "backend", "fork", "processes", 2, NULL);
  g_autoptr (GError) error = NULL;

  if (!pool_manager_start (pool, &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }

  hash_files (pool, argv + 1, argc - 1);

  if (!pool_manager_close (pool, &error) || !pool_manager_join (pool, -1, &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  return 0;
}
