/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-memory-watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The resident size can be had for a microsecond, but it counts pages of mapped files, which the system takes back when it needs them, and
 * what the worker has touched of the memory that it shares with the manager. To tell those takes milliseconds, 40 for 1 GiB. So that is
 * done only when the resident size, less what was found not to be its own the last time, is above the limit, and for no more than a
 * tenth of the time.
 */
#define REST_FACTOR 10
#define REST_MAX_US (400 * 1000)

void
pool_memory_watch_init (PoolMemoryWatch *self)
{
  *self = (PoolMemoryWatch){ .statm_fd = -1 };
}

void
pool_memory_watch_clear (PoolMemoryWatch *self)
{
  if (self->statm_fd >= 0)
    close (self->statm_fd);
  self->statm_fd = -1;
}

static gboolean
read_file (gint64 pid, const char *name, char **text)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/%s", pid, name);

  return g_file_get_contents (path, text, NULL, NULL);
}

static guint64
read_resident (PoolMemoryWatch *self, gint64 pid)
{
  char text[128];
  unsigned long long pages;
  ssize_t n;

  if (self->statm_fd < 0)
    {
      g_snprintf (text, sizeof text, "/proc/%" G_GINT64_FORMAT "/statm", pid);
      self->statm_fd = open (text, O_RDONLY | O_CLOEXEC);
      if (self->statm_fd < 0)
        return 0;
    }
  n = pread (self->statm_fd, text, sizeof text - 1, 0);
  if (n <= 0)
    return 0;
  text[n] = '\0';
  return sscanf (text, "%*u %llu", &pages) == 1 ? pages * (guint64) sysconf (_SC_PAGESIZE) / 1024 : 0;
}

static guint64
get_field (const char *text, const char *field)
{
  const char *p = strstr (text, field);

  return p != NULL ? g_ascii_strtoull (p + strlen (field), NULL, 10) : 0;
}

/* KiB resident of the memory of pools, by the list of mappings. */
static guint64
count_pool_memory (const char *smaps)
{
  const char *p = smaps;
  guint64 sum = 0;

  while ((p = strstr (p, "/memfd:libpool")) != NULL)
    {
      /* the line after that is the first of this mapping's own */
      sum += get_field (p, "\nRss:");
      p += strlen ("/memfd:libpool");
    }
  return sum;
}

/* KiB, or 0 */
static guint64
count_own (gint64 pid, guint64 limit)
{
  g_autofree char *status = NULL;
  g_autofree char *smaps = NULL;
  guint64 anonymous, shared, pools;

  if (!read_file (pid, "status", &status))
    return 0;
  anonymous = get_field (status, "\nRssAnon:");
  shared = get_field (status, "\nRssShmem:");
  if (anonymous + shared <= limit)
    return anonymous + shared;
  if (!read_file (pid, "smaps", &smaps))
    return anonymous;
  pools = count_pool_memory (smaps);
  return anonymous + shared - MIN (pools, shared);
}

guint64
pool_memory_watch_read (PoolMemoryWatch *self, gint64 pid, guint64 limit)
{
  guint64 resident = read_resident (self, pid), own;
  gint64 start;

  /* what is gone may have been any: rather look too closely than not closely enough */
  if (resident < self->seen)
    self->foreign -= MIN (self->foreign, self->seen - resident);
  self->seen = resident;
  own = resident - MIN (self->foreign, resident);
  if (own <= limit)
    return own;
  start = g_get_monotonic_time ();
  if (start < self->rest)
    return limit;

  own = count_own (pid, limit);
  self->rest = start + MIN (REST_FACTOR * (g_get_monotonic_time () - start), REST_MAX_US);
  /* the descriptor is that of the process; the number may have become another's */
  if (read_resident (self, pid) == 0)
    return 0;
  self->foreign = resident - MIN (own, resident);
  return own;
}
