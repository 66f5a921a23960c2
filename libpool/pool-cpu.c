/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-init.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static guint
affinity_count (void)
{
  /* the kernel may know more CPUs than a cpu_set_t holds */
  for (gsize n = 1024; n <= 1024 * 1024; n *= 4)
    {
      cpu_set_t *set = CPU_ALLOC (n);
      int count = 0;

      if (set == NULL)
        break;
      if (sched_getaffinity (0, CPU_ALLOC_SIZE (n), set) == 0)
        count = CPU_COUNT_S (CPU_ALLOC_SIZE (n), set);
      CPU_FREE (set);
      if (count > 0)
        return count;
    }

  return MAX (sysconf (_SC_NPROCESSORS_ONLN), 1);
}

static char *
cgroup_path (const char *controller)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return NULL;

  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) fields = g_strsplit (*line, ":", 3);
      g_auto (GStrv) controllers = NULL;

      if (g_strv_length (fields) != 3)
        continue;
      controllers = g_strsplit (fields[1], ",", -1);
      if (*controller == '\0' ? fields[1][0] == '\0'
                              : g_strv_contains ((const char *const *) controllers, controller))
        return g_steal_pointer (&fields[2]);
    }
  return NULL;
}

static double
read_number (const char *directory, const char *file, double fallback)
{
  g_autofree char *path = g_build_filename (directory, file, NULL);
  g_autofree char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? g_ascii_strtod (text, NULL) : fallback;
}

/* CPUs of the tightest quota on the way from our cgroup to the root; a parent's quota holds for its children too. */
static double
quota_v2 (const char *path)
{
  g_autofree char *directory = g_build_filename ("/sys/fs/cgroup", path, NULL);
  double best = G_MAXDOUBLE;

  while (g_str_has_prefix (directory, "/sys/fs/cgroup"))
    {
      g_autofree char *file = g_build_filename (directory, "cpu.max", NULL);
      g_autofree char *text = NULL;
      char *parent;

      if (g_file_get_contents (file, &text, NULL, NULL) && g_ascii_isdigit (*text))
        {
          char *rest;
          double quota = g_ascii_strtod (text, &rest);
          double period = g_ascii_strtod (rest, NULL);

          if (quota > 0 && period > 0)
            best = MIN (best, quota / period);
        }
      parent = g_path_get_dirname (directory);
      g_free (directory);
      directory = parent;
    }
  return best;
}

static double
quota_v1 (const char *path)
{
  g_autofree char *directory = g_build_filename ("/sys/fs/cgroup/cpu", path, NULL);
  double quota = read_number (directory, "cpu.cfs_quota_us", -1);
  double period = read_number (directory, "cpu.cfs_period_us", -1);

  return quota > 0 && period > 0 ? quota / period : G_MAXDOUBLE;
}

/**
 * pool_cpu_count:
 *
 * Counts the CPUs that this process may use: those of its affinity mask, or fewer when its control group (version 1
 * or 2) has a quota. It is the default number of workers. The environment variable `POOL_CPUS` overrides it.
 *
 * Returns: the number of CPUs, at least 1
 *
 * Since: 1.0
 */
guint
pool_cpu_count (void)
{
  const char *given = g_getenv ("POOL_CPUS");
  guint count = affinity_count ();
  g_autofree char *v2 = cgroup_path ("");
  g_autofree char *v1 = cgroup_path ("cpu");
  double quota = G_MAXDOUBLE;

  if (given != NULL && atoi (given) > 0)
    return atoi (given);

  if (v2 != NULL)
    quota = MIN (quota, quota_v2 (v2));
  if (v1 != NULL)
    quota = MIN (quota, quota_v1 (v1));
  if (quota < count)
    count = MAX (1, (guint) (quota + 0.999)); /* a quota of 1.5 keeps two busy */
  return count;
}
