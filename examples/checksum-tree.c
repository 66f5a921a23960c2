/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The SHA-256 of all files in trees, by functions of the task module "checksum" in worker processes: asynchronous calls from a main
 * loop, which shows how far it is. It prints what sha256sum prints, in the order of the files, and `sha256sum --check` reads it.
 * A file that cannot be read is told to standard error, and makes the exit status 1.
 *
 *   $ cc -o checksum-tree checksum-tree.c walk.c $(pkg-config --cflags --libs libpool-1) && ./checksum-tree .
 */

#include "walk.h"

#include <libpool.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

typedef struct
{
  GMainLoop *loop;
  GPtrArray *files;
  char **digests; /* of those files that are done; "" if it failed */
  guint n_printed;
  guint n_done;
  guint n_failed;
  gint64 shown_at;
} Job;

typedef struct
{
  Job *job;
  guint number;
} Call;

/* sha256sum begins a line with a backslash if the name has characters that are escaped in it. */
static void
print_line (const char *digest, const char *path)
{
  g_autoptr (GString) name = g_string_new (path);
  guint n = g_string_replace (name, "\\", "\\\\", 0);

  n += g_string_replace (name, "\n", "\\n", 0);
  n += g_string_replace (name, "\r", "\\r", 0);
  printf ("%s%s  %s\n", n > 0 ? "\\" : "", digest, name->str);
}

static void
show_progress (Job *job, gboolean at_once)
{
  if (!isatty (STDERR_FILENO) || (!at_once && g_get_monotonic_time () - job->shown_at < G_USEC_PER_SEC / 10))
    return;
  job->shown_at = g_get_monotonic_time ();
  g_printerr ("\r%u of %u files", job->n_done, job->files->len);
}

static void
on_digest (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Call *call = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) digest = pool_manager_apply_finish (POOL_MANAGER (source), result, &error);
  Job *job = call->job;

  if (digest == NULL)
    {
      g_printerr ("%s\n", error->message);
      job->n_failed++;
    }
  job->digests[call->number] = digest != NULL ? g_variant_dup_string (digest, NULL) : g_strdup ("");
  job->n_done++;

  for (; job->n_printed < job->files->len && job->digests[job->n_printed] != NULL; job->n_printed++)
    if (*job->digests[job->n_printed] != '\0')
      print_line (job->digests[job->n_printed], job->files->pdata[job->n_printed]);

  show_progress (job, job->n_done == job->files->len);
  if (job->n_done == job->files->len)
    g_main_loop_quit (job->loop);
}

static void
submit (PoolManager *pool, Job *job, guint number)
{
  g_autoptr (PoolApplyResult) result = NULL;
  Call *call = g_new (Call, 1);

  *call = (Call){ job, number };
  result = pool_manager_apply_async (pool, "checksum.sha256",
                                     g_variant_new ("(@ay)", g_variant_new_bytestring (job->files->pdata[number])), NULL,
                                     NULL, on_digest, call);
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new ("fork");
  g_autoptr (GError) error = NULL;
  Job job = { NULL };

  setlocale (LC_ALL, "");
  if (argc < 2)
    {
      g_printerr ("usage: checksum-tree PATH...\n");
      return 2;
    }
  if (!pool_manager_start (pool, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }

  job.loop = g_main_loop_new (NULL, FALSE);
  job.files = walk_files (argv + 1, &job.n_failed);
  job.digests = g_new0 (char *, job.files->len + 1);
  for (guint i = 0; i < job.files->len; i++)
    submit (pool, &job, i);
  if (job.files->len > 0)
    g_main_loop_run (job.loop);
  if (job.shown_at > 0)
    g_printerr ("\n");

  for (guint i = 0; i < job.files->len; i++)
    g_free (job.digests[i]);
  g_free (job.digests);
  g_ptr_array_unref (job.files);
  g_main_loop_unref (job.loop);
  if (!pool_manager_close (pool, &error) || !pool_manager_join (pool, -1, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  return job.n_failed > 0 ? 1 : 0;
}
