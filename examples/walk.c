/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "walk.h"

#include <errno.h>
#include <fts.h>
#include <string.h>

static int
compare_names (const FTSENT **a, const FTSENT **b)
{
  return strcmp ((*a)->fts_name, (*b)->fts_name);
}

static void
walk_path (char *path, GPtrArray *files, guint *n_failed)
{
  char *paths[] = { path, NULL };
  FTS *tree = fts_open (paths, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
  FTSENT *entry;

  while (tree != NULL && (entry = fts_read (tree)) != NULL)
    {
      if (entry->fts_info == FTS_F)
        {
          g_ptr_array_add (files, g_strdup (entry->fts_path));
        }
      else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
        {
          g_printerr ("%s: %s\n", entry->fts_path, g_strerror (entry->fts_errno));
          ++*n_failed;
        }
    }
  if (tree == NULL || fts_close (tree) < 0)
    {
      g_printerr ("%s: %s\n", path, g_strerror (errno));
      ++*n_failed;
    }
}

GPtrArray *
walk_files (char **paths, guint *n_failed)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);

  for (; *paths != NULL; paths++)
    walk_path (*paths, files, n_failed);
  return files;
}
