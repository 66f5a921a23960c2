/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-shared-memory-private.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int
pool_shared_memory_open (void)
{
  return memfd_create ("libpool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* A file over its limit would be a SIGXFSZ, and so the end of the program. */
static gboolean
fits_file_limit (gsize size)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

guint8 *
pool_shared_memory_make (int fd, gsize size)
{
  if (!fits_file_limit (size) || ftruncate (fd, size) != 0)
    return NULL;
  return pool_shared_memory_map (fd, size, PROT_READ | PROT_WRITE);
}

guint8 *
pool_shared_memory_map (int fd, gsize size, int protection)
{
  guint8 *base = mmap (NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);

  if (base == MAP_FAILED)
    return NULL;
  /* address space by the hundred GiB: a core with it would take minutes */
  madvise (base, size, MADV_DONTDUMP);
  return base;
}

void
pool_shared_memory_seal (int fd)
{
  fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}
