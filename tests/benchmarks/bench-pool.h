/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bench-common.h"

#include <libpool.h>

G_BEGIN_DECLS

/* What the figures of `pool-bench` share: pools, tasks and looking at processes. */

/* bench-throughput.c */
gboolean bench_throughput_map (BenchRun *run, GError **error);
gboolean bench_throughput_batch (BenchRun *run, GError **error);
gboolean bench_throughput_bytes (BenchRun *run, GError **error);
gboolean bench_throughput_variant (BenchRun *run, GError **error);
/* bench-linear.c */
gboolean bench_linear_map (BenchRun *run, GError **error);
gboolean bench_linear_queue (BenchRun *run, GError **error);
/* bench-latency.c */
gboolean bench_rtt_packed (BenchRun *run, GError **error);
gboolean bench_rtt_bytes (BenchRun *run, GError **error);
gboolean bench_rtt_variant (BenchRun *run, GError **error);
gboolean bench_rtt_cold (BenchRun *run, GError **error);
/* bench-payload.c */
gboolean bench_payload_copied (BenchRun *run, GError **error);
gboolean bench_payload_in_place (BenchRun *run, GError **error);
/* bench-start.c */
gboolean bench_start (BenchRun *run, GError **error);
gboolean bench_start_all (BenchRun *run, GError **error);
gboolean bench_pss (BenchRun *run, GError **error);
gboolean bench_idle (BenchRun *run, GError **error);
/* bench-recover.c */
gboolean bench_kill_error (BenchRun *run, GError **error);
gboolean bench_kill_strength (BenchRun *run, GError **error);
gboolean bench_limit_error (BenchRun *run, GError **error);
gboolean bench_shutdown (BenchRun *run, GError **error);

/* Registers what a figure's tasks are made of, for workers that are not made from this process. */
gboolean bench_latency_register (PoolManager *pool, GError **error);
gboolean bench_payload_register (PoolManager *pool, const char *figure, GError **error);

/* A pool that was made and not started. How many workers: the command line, or else @workers. */
PoolManager *bench_pool_new (BenchRun *run, guint workers);
guint bench_pool_workers (BenchRun *run, guint workers);
/* Starts it in the placement that the command line asks for. */
gboolean bench_pool_start (BenchRun *run, PoolManager *pool, GError **error);
/* A pool may be usable before all its workers are there. */
gboolean bench_pool_await_workers (PoolManager *pool, guint n, GError **error);
gboolean bench_pool_end (PoolManager *pool, GError **error);

/* The tasks "double": 2x + 1 of the u64 x; and "double-pair": of 16 bytes, an index before x. */
gboolean bench_double_register (PoolManager *pool, GError **error);
gboolean bench_double_call (PoolManager *pool, guint64 x, GError **error);

/* A block of n items: 0, 1, 2, … as u64; freed with g_free(). */
guint8 *bench_packed_new (gsize n, gsize *size);
/* Whether the block holds 1, 3, 5, … */
gboolean bench_packed_check (GBytes *packed, gsize n, GError **error);

#define BENCH_WINDOW 1024

typedef struct
{
  guint64 calls;
  gint64 ns;
} BenchTally;

/* Keeps @window calls of "double-pair" outstanding until it has made @n of them or, if @n is 0, for
 * @seconds; adds how many and the time they took. */
gboolean bench_window_bytes (PoolManager *pool, gsize window, guint64 n, double seconds,
                             BenchTally *tally, GError **error);

/*
 * A task that ends when so many tasks run at once: it takes one worker for each. Its memory is
 * shared with the workers and has to be made before they start.
 */
typedef struct _BenchMeeting BenchMeeting;

#define BENCH_MEETING_MAX 4096

BenchMeeting *bench_meeting_new (GError **error);
void bench_meeting_free (BenchMeeting *self);
gboolean bench_meeting_register (BenchMeeting *self, PoolManager *pool, GError **error);
/* All @n workers, at the same time, have run a task. */
gboolean bench_meeting_hold (BenchMeeting *self, PoolManager *pool, guint n, GError **error);
/* The worker that ran the task of the last meeting with this index. */
pid_t bench_meeting_get_pid (BenchMeeting *self, guint index);

/* bench-proc.c */
gboolean bench_proc_pss (pid_t pid, double *kib, GError **error);
/* This process and all that descend from it. */
GArray *bench_proc_family (void);
/* CPU time in ns and context switches of all their threads, but for the one that calls. */
gboolean bench_proc_usage (const GArray *pids, guint64 *cpu, guint64 *switches, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchMeeting, bench_meeting_free)

G_END_DECLS
