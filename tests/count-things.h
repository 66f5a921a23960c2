/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <string.h>
#include <unistd.h>

G_BEGIN_DECLS

/* What a process has, to be compared before and after. */

static inline guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static inline guint
count_fds (void)
{
  return count_entries ("/proc/self/fd");
}

static inline guint
count_threads (void)
{
  return count_entries ("/proc/self/task");
}

/* Children of any thread; those that nobody has waited for count. */
static inline guint
count_children (void)
{
  g_autoptr (GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  const char *thread;
  guint n = 0;

  while (threads != NULL && (thread = g_dir_read_name (threads)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", thread, "children", NULL);
      g_autofree char *text = NULL;

      if (g_file_get_contents (path, &text, NULL, NULL))
        for (const char *p = text; *p != '\0'; p++)
          n += *p == ' ';
    }
  return n;
}

G_END_DECLS
