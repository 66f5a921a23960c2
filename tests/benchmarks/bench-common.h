/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>
#include <time.h>

G_BEGIN_DECLS

/*
 * What the programs of the benchmark bed share: each measures one figure and prints it as a line of
 * JSON. Nothing in here knows libpool, so that the peers are timed by the same code.
 */

/* Which CPUs the two sides of a round trip may use. */
typedef enum
{
  BENCH_PLACEMENT_FREE,
  BENCH_PLACEMENT_CROSS, /* the caller on one CPU, the workers on another */
  BENCH_PLACEMENT_SAME,  /* everything on one CPU */
} BenchPlacement;

typedef struct _BenchRun BenchRun;
typedef gboolean (*BenchFunc) (BenchRun *run, GError **error);

typedef struct
{
  const char *name;
  const char *description;
  BenchFunc func;
  guint repeat;  /* how often to measure when the command line does not say */
  gsize n;       /* what the figure means by it: bytes, workers, a chunk size */
  gsize variant; /* likewise */
} BenchFigure;

struct _BenchRun
{
  const BenchFigure *figure;
  const char *backend;
  guint workers; /* 0: as many as the figure says */
  double seconds;
  guint repeat;
  gsize items; /* 0: as many as the figure says */
  BenchPlacement placement;
  char **settings; /* PROPERTY=VALUE of the pool, or NULL */

  GPtrArray *series;
};

int bench_main (int argc, char **argv, const char *backend, const BenchFigure *figures, gsize n);

/* One sample of the figure or, with a suffix, of something that was seen beside it. */
void bench_record (BenchRun *run, const char *suffix, double value, const char *unit);

gboolean bench_fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);
gboolean bench_fail_errno (GError **error, const char *what);

/* Time in ns; every process of the machine sees the same clock. */
static inline gint64
bench_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The times of single calls. */
typedef struct
{
  guint32 *ns;
  gsize n;
  gsize capacity;
} BenchSamples;

void bench_samples_init (BenchSamples *self);
void bench_samples_clear (BenchSamples *self);
/* Records the median, and the 99th percentile beside it, in µs. */
void bench_samples_record (BenchSamples *self, BenchRun *run);

static inline gboolean
bench_samples_full (const BenchSamples *self)
{
  return self->n == self->capacity;
}

static inline void
bench_samples_add (BenchSamples *self, gint64 ns)
{
  self->ns[self->n++] = (guint32) CLAMP (ns, 0, (gint64) G_MAXUINT32);
}

/* Memory that forked processes share; it starts as zeros. */
gpointer bench_shared_new (gsize size, GError **error);
void bench_shared_free (gpointer memory, gsize size);

void bench_futex_wake (guint32 *word, int n);
/* Returns when the word is no longer @value, or at some time before; FALSE after @timeout ns. */
gboolean bench_futex_wait (guint32 *word, guint32 value, gint64 timeout);

/* Lets a thread (0: this one) use the first (0) or the second (1) of the program's CPUs only. */
gboolean bench_pin (pid_t tid, guint which, GError **error);
gboolean bench_pin_process (pid_t pid, guint which, GError **error);

G_END_DECLS
