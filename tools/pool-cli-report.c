/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-report.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static gboolean
cannot_write (const char *name, int code, GError **error)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "Cannot write to %s: %s", name,
               g_strerror (code));
  return FALSE;
}

gboolean
pool_cli_report_open (PoolCliReport *self, const PoolCliSettings *settings, PoolManager *pool,
                      GError **error)
{
  if (settings->metrics != NULL)
    {
      int fd = open (settings->metrics, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

      if (fd < 0)
        return cannot_write (settings->metrics, errno, error);
      self->metrics = fd + 1;
      self->metrics_name = settings->metrics;
    }
  if (settings->trace != NULL)
    self->traces = pool_manager_start_trace (pool, settings->trace, error);
  return settings->trace == NULL || self->traces;
}

static gboolean
write_metrics (PoolCliReport *self, PoolManager *pool, GError **error)
{
  g_autofree char *text = pool_manager_dump_metrics (pool);
  gsize size = strlen (text), done = 0;

  while (done < size)
    {
      gssize n = write (self->metrics - 1, text + done, size - done);

      if (n < 0 && errno != EINTR)
        return cannot_write (self->metrics_name, errno, error);
      done += (gsize) MAX (n, 0);
    }
  return TRUE;
}

/* Each is written, whatever becomes of the other. */
gboolean
pool_cli_report_write (PoolCliReport *self, PoolManager *pool, GError **error)
{
  gboolean written = self->metrics == 0 || write_metrics (self, pool, error);
  gboolean traced = !self->traces || pool_manager_stop_trace (pool, written ? error : NULL);

  self->traces = FALSE;
  return written && traced;
}

void
pool_cli_report_clear (PoolCliReport *self)
{
  if (self->metrics > 0)
    close (self->metrics - 1);
  self->metrics = 0;
}
