/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench-common.h"

#include <errno.h>
#include <gio/gio.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The samples of the figure itself or of something beside it. */
typedef struct
{
  char *suffix;
  const char *unit;
  GArray *values;
} BenchSeries;

static void
bench_series_free (gpointer data)
{
  BenchSeries *self = data;

  g_free (self->suffix);
  g_array_unref (self->values);
  g_free (self);
}

gboolean
bench_fail (GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, message);
  return FALSE;
}

gboolean
bench_fail_errno (GError **error, const char *what)
{
  int saved_errno = errno;

  return bench_fail (error, "%s: %s", what, g_strerror (saved_errno));
}

void
bench_record (BenchRun *run, const char *suffix, double value, const char *unit)
{
  BenchSeries *series = NULL;

  for (guint i = 0; i < run->series->len && series == NULL; i++)
    {
      BenchSeries *candidate = g_ptr_array_index (run->series, i);

      if (g_strcmp0 (candidate->suffix, suffix) == 0)
        series = candidate;
    }

  if (series == NULL)
    {
      series = g_new0 (BenchSeries, 1);
      series->suffix = g_strdup (suffix);
      series->unit = unit;
      series->values = g_array_new (FALSE, FALSE, sizeof (double));
      g_ptr_array_add (run->series, series);
    }
  g_array_append_val (series->values, value);
}

static int
compare_doubles (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* The mean of the two in the middle where there is no middle one. */
static double
median (const double *values, gsize n)
{
  g_autofree double *sorted = g_new (double, n);

  memcpy (sorted, values, n * sizeof *values);
  qsort (sorted, n, sizeof *sorted, compare_doubles);
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

static void
print_series (const BenchRun *run, const BenchSeries *series)
{
  const double *values = (const double *) (gpointer) series->values->data;
  double min = values[0], max = values[0];
  char texts[3][G_ASCII_DTOSTR_BUF_SIZE];

  for (guint i = 1; i < series->values->len; i++)
    {
      min = MIN (min, values[i]);
      max = MAX (max, values[i]);
    }

  g_ascii_formatd (texts[0], sizeof texts[0], "%.6g", median (values, series->values->len));
  g_ascii_formatd (texts[1], sizeof texts[1], "%.6g", min);
  g_ascii_formatd (texts[2], sizeof texts[2], "%.6g", max);
  g_print ("{\"figure\": \"%s%s%s\", \"backend\": \"%s\", \"value\": %s, \"unit\": \"%s\", "
           "\"min\": %s, \"max\": %s, \"samples\": %u}\n",
           run->figure->name, series->suffix == NULL ? "" : ".",
           series->suffix == NULL ? "" : series->suffix, run->backend, texts[0], series->unit,
           texts[1], texts[2], series->values->len);
}

static gboolean
parse_placement (const char *text, BenchPlacement *placement)
{
  static const char *const names[] = { "free", "cross", "same" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (text, names[i]) == 0)
      {
        *placement = (BenchPlacement) i;
        return TRUE;
      }
  return FALSE;
}

static gboolean
parse_options (BenchRun *run, int *argc, char ***argv, GError **error)
{
  static char *backend, *placement;
  int workers = 0, repeat = 0;
  gint64 items = 0;
  g_autoptr (GOptionContext) context = g_option_context_new ("FIGURE");
  const GOptionEntry entries[] = {
    { "backend", 'b', 0, G_OPTION_ARG_STRING, &backend, "what runs the tasks", "NAME" },
    { "workers", 'w', 0, G_OPTION_ARG_INT, &workers, "how many workers", "N" },
    { "seconds", 's', 0, G_OPTION_ARG_DOUBLE, &run->seconds, "how long to measure", "S" },
    { "repeat", 'r', 0, G_OPTION_ARG_INT, &repeat, "how many times; the median counts", "N" },
    { "items", 'n', 0, G_OPTION_ARG_INT64, &items, "how many items a map has", "N" },
    { "placement", 'p', 0, G_OPTION_ARG_STRING, &placement, "free, cross or same CPUs", "WHICH" },
    { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &run->settings, "a property of the pool", "PROPERTY=VALUE" },
    { NULL },
  };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (workers < 0 || repeat < 0 || items < 0 || !(run->seconds > 0))
    return bench_fail (error, "A number is out of its range");
  if (placement != NULL && !parse_placement (placement, &run->placement))
    return bench_fail (error, "There is no placement %s", placement);

  if (backend != NULL)
    run->backend = backend;
  run->workers = (guint) workers;
  run->repeat = (guint) repeat;
  run->items = (gsize) items;
  return TRUE;
}

static const BenchFigure *
find_figure (const char *name, const BenchFigure *figures, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (strcmp (figures[i].name, name) == 0)
      return &figures[i];
  return NULL;
}

static gboolean
measure (BenchRun *run, GError **error)
{
  guint repeat = run->repeat > 0 ? run->repeat : MAX (run->figure->repeat, 1);

  for (guint i = 0; i < repeat; i++)
    if (!run->figure->func (run, error))
      return FALSE;
  return TRUE;
}

int
bench_main (int argc, char **argv, const char *backend, const BenchFigure *figures, gsize n)
{
  BenchRun run = { .backend = backend, .seconds = 1 };
  g_autoptr (GError) error = NULL;

  if (!parse_options (&run, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  if (argc != 2 || (run.figure = find_figure (argv[1], figures, n)) == NULL)
    {
      g_printerr ("Usage: %s FIGURE [--backend NAME] [--workers N] [--seconds S] [--repeat R]\n"
                  "The figures are:\n",
                  argv[0]);
      for (gsize i = 0; i < n; i++)
        g_printerr ("  %-22s %s\n", figures[i].name, figures[i].description);
      return 2;
    }

  run.series = g_ptr_array_new_with_free_func (bench_series_free);
  if (!measure (&run, &error))
    g_printerr ("%s: %s\n", run.figure->name, error->message);
  else
    for (guint i = 0; i < run.series->len; i++)
      print_series (&run, g_ptr_array_index (run.series, i));
  g_ptr_array_unref (run.series);
  return error == NULL ? 0 : 1;
}

/* Room for the fastest calls of several seconds; pages that are not reached cost nothing. */
void
bench_samples_init (BenchSamples *self)
{
  self->n = 0;
  self->capacity = 8 << 20;
  self->ns = g_new (guint32, self->capacity);
}

void
bench_samples_clear (BenchSamples *self)
{
  g_clear_pointer (&self->ns, g_free);
  self->n = self->capacity = 0;
}

static int
compare_samples (const void *a, const void *b)
{
  guint32 x = *(const guint32 *) a, y = *(const guint32 *) b;

  return (x > y) - (x < y);
}

void
bench_samples_record (BenchSamples *self, BenchRun *run)
{
  g_assert (self->n > 0);
  qsort (self->ns, self->n, sizeof *self->ns, compare_samples);
  bench_record (run, NULL, self->ns[self->n / 2] / 1e3, "us");
  bench_record (run, "p99", self->ns[self->n * 99 / 100] / 1e3, "us");
}

gpointer
bench_shared_new (gsize size, GError **error)
{
  gpointer memory =
      mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

  if (memory == MAP_FAILED)
    {
      bench_fail_errno (error, "mmap");
      return NULL;
    }
  return memory;
}

void
bench_shared_free (gpointer memory, gsize size)
{
  munmap (memory, size);
}

void
bench_futex_wake (guint32 *word, int n)
{
  syscall (SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

gboolean
bench_futex_wait (guint32 *word, guint32 value, gint64 timeout)
{
  struct timespec spec = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };

  return syscall (SYS_futex, word, FUTEX_WAIT, value, timeout < 0 ? NULL : &spec, NULL, 0) == 0 ||
         errno != ETIMEDOUT;
}

gboolean
bench_pin (pid_t tid, guint which, GError **error)
{
  /* what the program was started with: later calls would see what earlier ones have left */
  static cpu_set_t allowed;
  static gboolean known;
  cpu_set_t one;

  if (!known && sched_getaffinity (0, sizeof allowed, &allowed) != 0)
    return bench_fail_errno (error, "sched_getaffinity");
  known = TRUE;

  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET (cpu, &allowed) && which-- == 0)
      {
        CPU_ZERO (&one);
        CPU_SET (cpu, &one);
        return sched_setaffinity (tid, sizeof one, &one) == 0 ||
               bench_fail_errno (error, "sched_setaffinity");
      }
  return bench_fail (error, "This placement needs more CPUs than the program may use");
}

/* A process has threads that the caller knows nothing of. */
gboolean
bench_pin_process (pid_t pid, guint which, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int) pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    if (!bench_pin ((pid_t) atoi (name), which, error))
      return FALSE;
  return TRUE;
}
