/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * peer-mpi: what bare MPI takes between two ranks, for the figures of the mpi backend. To be run by mpirun -n 2.
 */

#include "bench-common.h"

#include <mpi.h>

#define MIB (1024 * 1024)
#define BATCH (64 * 1024)
/* what a task of the one-way figure is: as in peer-zmq.c */
#define ITEM 16
#define TAG_DATA 1
#define TAG_COUNT 2
#define TAG_END 3

/* The other rank: sends back what comes, or one byte for each TAG_COUNT. */
static void
answer (void)
{
  g_autofree guint8 *data = g_malloc (MIB);

  for (;;)
    {
      MPI_Status status;
      int size, tag;

      MPI_Recv (data, MIB, MPI_BYTE, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
      MPI_Get_count (&status, MPI_BYTE, &size);
      tag = status.MPI_TAG;
      if (tag == TAG_END)
        return;
      if (tag == TAG_DATA)
        MPI_Send (data, size, MPI_BYTE, 0, TAG_DATA, MPI_COMM_WORLD);
      else if (size == 1)
        MPI_Send (data, 1, MPI_BYTE, 0, TAG_COUNT, MPI_COMM_WORLD);
    }
}

static gboolean
round_trips (BenchRun *run, GError **error)
{
  int size = (int) run->figure->n;
  g_autofree guint8 *data = g_malloc0 (size);
  BenchSamples samples;
  gint64 start = bench_now (), end = start + (gint64) (run->seconds * 1e9), bytes = 0;

  bench_samples_init (&samples);
  while (!bench_samples_full (&samples) && bench_now () < end)
    {
      gint64 before = bench_now ();

      MPI_Send (data, size, MPI_BYTE, 1, TAG_DATA, MPI_COMM_WORLD);
      MPI_Recv (data, size, MPI_BYTE, 1, TAG_DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      bench_samples_add (&samples, bench_now () - before);
      bytes += size;
    }
  if (size >= MIB)
    bench_record (run, NULL, bytes / (double) MIB / ((bench_now () - start) / 1e9), "MiB/s");
  else
    bench_samples_record (&samples, run);
  bench_samples_clear (&samples);
  return TRUE;
}

/* Messages of a batch of @n bytes, one after the other; each 64th is answered. */
static gboolean
one_way (BenchRun *run, GError **error)
{
  int size = (int) run->figure->n;
  g_autofree guint8 *data = g_malloc0 (size);
  gint64 start = bench_now (), end = start + (gint64) (run->seconds * 1e9);
  guint64 n = 0;

  while (bench_now () < end)
    {
      for (guint i = 0; i < 64; i++, n++)
        MPI_Send (data, size, MPI_BYTE, 1, TAG_COUNT, MPI_COMM_WORLD);
      MPI_Send (data, 1, MPI_BYTE, 1, TAG_COUNT, MPI_COMM_WORLD);
      MPI_Recv (data, 1, MPI_BYTE, 1, TAG_COUNT, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
  bench_record (run, NULL, n * (size / ITEM) / ((bench_now () - start) / 1e9), "task/s");
  return TRUE;
}

static const BenchFigure figures[] = {
  { "rtt", "round trip of 16 bytes", round_trips, 1, 16, 0 },
  { "payload-1m", "1 MiB there and back", round_trips, 1, MIB, 0 },
  { "one-way", "batches of 64 KiB, one way", one_way, 1, BATCH, 0 },
};

int
main (int argc, char **argv)
{
  int rank, status = 0;

  MPI_Init (&argc, &argv);
  MPI_Comm_rank (MPI_COMM_WORLD, &rank);
  if (rank == 1)
    answer ();
  else
    {
      status = bench_main (argc, argv, "raw-mpi", figures, G_N_ELEMENTS (figures));
      MPI_Send (&rank, 1, MPI_BYTE, 1, TAG_END, MPI_COMM_WORLD);
    }
  MPI_Finalize ();
  return status;
}
