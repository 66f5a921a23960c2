/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * One line on a terminal: how much is done, how fast, how long it will take. It is taken away
 * whenever something else is written there, and never shown anywhere but on a terminal.
 */

/* Where nobody asked for it, a run that is over at once shows nothing. */
#define PATIENCE (G_USEC_PER_SEC)
#define BAR_MAX 40

struct _PoolCliProgress
{
  gboolean enabled;
  gint64 started_at;
  gint64 show_from;
  gboolean shown;
};

/*
 * @asked: by an option; else it is shown where nothing else comes out on the terminal. @never: not
 * at all
 */
PoolCliProgress *
pool_cli_progress_new (gboolean asked, gboolean never)
{
  PoolCliProgress *self = g_new0 (PoolCliProgress, 1);

  self->enabled = !never && isatty (STDERR_FILENO) && (asked || !isatty (STDOUT_FILENO));
  self->started_at = g_get_monotonic_time ();
  self->show_from = self->started_at + (asked ? 0 : PATIENCE);
  return self;
}

void
pool_cli_progress_free (PoolCliProgress *self)
{
  g_free (self);
}

gboolean
pool_cli_progress_is_enabled (PoolCliProgress *self)
{
  return self->enabled;
}

static guint
get_columns (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
    return 80;
  return size.ws_col;
}

static char *
format_span (double seconds)
{
  guint64 s = (guint64) CLAMP (seconds, 0, 359999);

  if (s >= 3600)
    return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u:%02u", s / 3600, (guint) (s / 60 % 60),
                            (guint) (s % 60));
  return g_strdup_printf ("%u:%02u", (guint) (s / 60), (guint) (s % 60));
}

static void
append_bar (GString *line, double share, guint width)
{
  guint filled = (guint) (share * width);

  g_string_append_c (line, '[');
  for (guint i = 0; i < width; i++)
    g_string_append_c (line, i < filled ? '#' : '-');
  g_string_append (line, "] ");
}

void
pool_cli_progress_show (PoolCliProgress *self, guint64 done, guint64 failed, gint64 total)
{
  gint64 now = g_get_monotonic_time ();
  double elapsed = (double) (now - self->started_at) / G_USEC_PER_SEC;
  double rate = elapsed > 0 ? (double) done / elapsed : 0;
  guint columns = get_columns ();
  g_autoptr (GString) line = g_string_new (NULL);
  g_autofree char *span = NULL;

  if (!self->enabled || now < self->show_from)
    return;
  if (total > 0)
    {
      double share = MIN ((double) done / (double) total, 1);

      if (columns >= 60)
        append_bar (line, share, MIN (columns / 3, BAR_MAX));
      g_string_append_printf (line, "%3.0f%% %" G_GUINT64_FORMAT "/%" G_GINT64_FORMAT,
                              share * 100, done, total);
    }
  else
    g_string_append_printf (line, "%" G_GUINT64_FORMAT " done", done);
  g_string_append_printf (line, "  %.1f/s", rate);
  span = format_span (total > 0 && rate > 0 ? ((double) total - (double) done) / rate : elapsed);
  if (total > 0 && rate > 0)
    g_string_append_printf (line, "  ETA %s", span);
  else if (total <= 0)
    g_string_append_printf (line, "  %s", span);
  if (failed > 0)
    g_string_append_printf (line, "  %" G_GUINT64_FORMAT " failed", failed);
  /* a line that wraps cannot be taken away again */
  g_string_truncate (line, MIN (line->len, columns - 1));
  g_string_prepend (line, "\r\033[K");
  fputs (line->str, stderr);
  fflush (stderr);
  self->shown = TRUE;
}

void
pool_cli_progress_hide (PoolCliProgress *self)
{
  if (!self->shown)
    return;
  fputs ("\r\033[K", stderr);
  fflush (stderr);
  self->shown = FALSE;
}
