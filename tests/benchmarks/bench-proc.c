/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel says of processes: their memory, their descendants, the work they did. */

#include "bench-pool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

gboolean
bench_proc_pss (pid_t pid, double *kib, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", (int) pid);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  line = strstr (text, "\nPss:");
  if (line == NULL)
    return bench_fail (error, "%s has no Pss", path);
  *kib = (double) strtoull (line + strlen ("\nPss:"), NULL, 10);
  return TRUE;
}

/* The parent of a process, or 0 if it is gone. */
static pid_t
parent_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *text = NULL;
  const char *end;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  /* the name may hold anything; then come the state and the parent */
  end = strrchr (text, ')');
  return end != NULL && strlen (end) > 4 ? (pid_t) atoi (end + 4) : 0;
}

static gboolean
has_pid (const GArray *pids, pid_t pid)
{
  for (guint i = 0; i < pids->len; i++)
    if (g_array_index (pids, pid_t, i) == pid)
      return TRUE;
  return FALSE;
}

GArray *
bench_proc_family (void)
{
  GArray *family = g_array_new (FALSE, FALSE, sizeof (pid_t));
  g_autoptr (GHashTable) parents = g_hash_table_new (NULL, NULL);
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  pid_t self = getpid ();
  const char *name;
  GHashTableIter iter;
  gpointer pid, parent;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_ascii_isdigit (name[0]))
      g_hash_table_insert (parents, GINT_TO_POINTER (atoi (name)),
                           GINT_TO_POINTER (parent_of ((pid_t) atoi (name))));

  g_array_append_val (family, self);
  for (guint i = 0; i < family->len; i++)
    {
      g_hash_table_iter_init (&iter, parents);
      while (g_hash_table_iter_next (&iter, &pid, &parent))
        {
          pid_t child = (pid_t) GPOINTER_TO_INT (pid);

          if (GPOINTER_TO_INT (parent) == g_array_index (family, pid_t, i) &&
              !has_pid (family, child))
            g_array_append_val (family, child);
        }
    }
  return family;
}

/* Those that a thread asked for and those that it did not: two lines of its status. */
static gboolean
thread_switches (const char *dir, guint64 *switches, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "status", NULL);
  g_autofree char *text = NULL;
  const char *at;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  for (at = text; (at = strstr (at, "voluntary_ctxt_switches:")) != NULL;)
    {
      at += strlen ("voluntary_ctxt_switches:");
      *switches += strtoull (at, NULL, 10);
    }
  return TRUE;
}

/* schedstat begins with the ns on a CPU; the ticks of stat are too coarse for a wake-up. */
static gboolean
thread_cpu (const char *dir, guint64 *cpu, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "schedstat", NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  *cpu += strtoull (text, NULL, 10);
  return TRUE;
}

gboolean
bench_proc_usage (const GArray *pids, guint64 *cpu, guint64 *switches, GError **error)
{
  *cpu = *switches = 0;
  for (guint i = 0; i < pids->len; i++)
    {
      int pid = (int) g_array_index (pids, pid_t, i);
      g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);
      g_autoptr (GDir) dir = g_dir_open (path, 0, error);
      const char *name;

      if (dir == NULL)
        return FALSE;
      while ((name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *thread = g_build_filename (path, name, NULL);

          if (atoi (name) == gettid ())
            continue;
          if (!thread_cpu (thread, cpu, error) || !thread_switches (thread, switches, error))
            return FALSE;
        }
    }
  return TRUE;
}
