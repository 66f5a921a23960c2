/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-descriptors-private.h"

#include "pool-error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

gboolean
pool_descriptors_check (guint n, const char *what, GError **error)
{
  g_autofree int *fds = g_new (int, n);
  guint n_open = 0;
  int code = 0;

  while (n_open < n && (fds[n_open] = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    n_open++;
  if (n_open < n)
    code = errno;
  for (guint i = 0; i < n_open; i++)
    close (fds[i]);
  if (n_open == n)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
               "%s needs %u descriptors, and the program can have %u more: %s; see RLIMIT_NOFILE", what, n, n_open,
               g_strerror (code));
  return FALSE;
}
