/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * pool-bench: measures one figure of one backend; see README.md.
 */

#include "bench-pool.h"

#include <unistd.h>

#define MIB (1 << 20)

static const BenchFigure figures[] = {
  { "throughput-a", "map of packed bytes, automatic chunks", bench_throughput_map, 1, 0, 0 },
  { "throughput-a1", "map of packed bytes, one item per task", bench_throughput_map, 1, 1, 0 },
  { "throughput-a-batch", "map, function of batches", bench_throughput_batch, 1, 0, 0 },
  { "throughput-b", "one call and result object per task, bytes", bench_throughput_bytes, 1, 0, 0 },
  { "throughput-c", "the same with GVariants", bench_throughput_variant, 1, 0, 0 },
  { "rtt-a", "round trip of a map of one packed item", bench_rtt_packed, 1, 0, 0 },
  { "rtt-b", "round trip of a call with bytes", bench_rtt_bytes, 1, 0, 0 },
  { "rtt-c", "round trip of a call with GVariants", bench_rtt_variant, 1, 0, 0 },
  { "rtt-cold", "round trip when the worker sleeps", bench_rtt_cold, 1, 2000, 0 },
  { "rtt-idle", "round trip after 200 ms without a call", bench_rtt_cold, 1, 200000, 0 },
  { "payload-1m-copied", "1 MiB there and back, private memory", bench_payload_copied, 1, MIB, 0 },
  { "payload-1m-inplace", "1 MiB there and back, in place", bench_payload_in_place, 1, MIB, 0 },
  { "payload-64m-copied", "64 MiB, private memory", bench_payload_copied, 1, 64 * MIB, 0 },
  { "payload-64m-inplace", "64 MiB, in place", bench_payload_in_place, 1, 64 * MIB, 0 },
  { "start-2", "a new pool to its first result, 2 workers", bench_start, 9, 2, 0 },
  { "start-16", "the same, 16 workers", bench_start, 5, 16, 0 },
  { "start-64", "the same, 64 workers", bench_start, 5, 64, 0 },
  { "start-1000", "until 1000 workers are up, and their memory", bench_start_all, 1, 1000, 0 },
  { "pss-2", "memory of an idle worker of 2", bench_pss, 1, 2, 0 },
  { "pss-16", "memory of an idle worker of 16", bench_pss, 1, 16, 0 },
  { "pss-64", "memory of an idle worker of 64", bench_pss, 1, 64, 0 },
  { "kill-error", "a worker's death to its task's error", bench_kill_error, 7, 0, 0 },
  { "kill-strength", "a worker's death to full strength", bench_kill_strength, 7, 0, 0 },
  { "limit-error", "a hard time limit to its task's error", bench_limit_error, 7, 0, 0 },
  { "limit-error-deaf", "the same, the task ignores signals and has a child", bench_limit_error, 7, 0, 1 },
  { "shutdown", "terminate and join of a busy pool", bench_shutdown, 7, 0, 0 },
  { "idle-cpu", "CPU time and wake-ups of an idle pool", bench_idle, 1, 0, 0 },
  { "linear", "time of a map of 10 n items, n = 1", bench_linear_map, 1, 100000, 0 },
  { "linear-a1", "the same, one item per task", bench_linear_map, 1, 100000, 1 },
  { "linear-b", "time of 10 n queued calls, n = 1", bench_linear_queue, 1, 30000, 0 },
};

guint
bench_pool_workers (BenchRun *run, guint workers)
{
  return run->workers > 0 ? run->workers : workers;
}

/* A text as the value of a property: a number, a name of an enumeration, TRUE. */
static void
apply_setting (PoolManager *pool, const char *setting)
{
  g_auto (GStrv) words = g_strsplit (setting, "=", 2);
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (pool), words[0]);
  g_auto (GValue) number = G_VALUE_INIT, value = G_VALUE_INIT;

  if (pspec == NULL || words[1] == NULL)
    g_error ("%s: no such property, or no value", setting);
  g_value_init (&value, pspec->value_type);
  if (G_IS_PARAM_SPEC_ENUM (pspec))
    {
      GEnumValue *found = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, words[1]);

      if (found == NULL)
        g_error ("%s: no such value", setting);
      g_value_set_enum (&value, found->value);
    }
  else
    {
      g_value_init (&number, G_TYPE_DOUBLE);
      g_value_set_double (&number, g_ascii_strtod (words[1], NULL));
      if (G_VALUE_HOLDS_BOOLEAN (&value))
        g_value_set_boolean (&value, g_value_get_double (&number) != 0);
      else
        g_value_transform (&number, &value);
    }
  g_object_set_property (G_OBJECT (pool), words[0], &value);
}

PoolManager *
bench_pool_new (BenchRun *run, guint workers)
{
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "backend", run->backend, "processes",
                                    bench_pool_workers (run, workers), NULL);

  if (g_str_equal (run->backend, "zmq") || (g_str_equal (run->backend, "mpi") && pool_count_ranks () == 1))
    {
      const char *command[] = { NULL, "worker", run->figure->name, NULL };
      g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);

      command[0] = program;
      g_object_set (pool, "worker-command", command, NULL);
    }
  for (guint i = 0; run->settings != NULL && run->settings[i] != NULL; i++)
    apply_setting (pool, run->settings[i]);
  return pool;
}

static guint
count_up (PoolManager *pool)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (pool);
  guint n = 0;

  for (guint i = 0; i < workers->len; i++)
    {
      PoolWorkerState state = pool_worker_info_get_state (g_ptr_array_index (workers, i));

      n += state == POOL_WORKER_STATE_IDLE || state == POOL_WORKER_STATE_BUSY;
    }
  return n;
}

gboolean
bench_pool_await_workers (PoolManager *pool, guint n, GError **error)
{
  gint64 start = bench_now ();
  guint up;

  /* looking costs time that the workers need: not too often */
  while ((up = count_up (pool)) < n)
    {
      if (bench_now () - start > 60 * G_GINT64_CONSTANT (1000000000))
        return bench_fail (error, "After a minute %u of %u workers are up", up, n);
      g_usleep (5000);
    }
  return TRUE;
}

static gboolean
pin_workers (PoolManager *pool, guint which, GError **error)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (pool);

  for (guint i = 0; i < workers->len; i++)
    {
      pid_t pid = (pid_t) pool_worker_info_get_pid (g_ptr_array_index (workers, i));

      if (pid == getpid ())
        return bench_fail (error, "The workers of this backend cannot be placed");
      if (!bench_pin_process (pid, which, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
bench_pool_start (BenchRun *run, PoolManager *pool, GError **error)
{
  guint n;

  /* on one CPU the pool has to know: it must not spin */
  if (run->placement == BENCH_PLACEMENT_SAME && !bench_pin_process (getpid (), 0, error))
    return FALSE;
  if (!pool_manager_start (pool, error))
    return FALSE;
  if (run->placement != BENCH_PLACEMENT_CROSS)
    return TRUE;

  g_object_get (pool, "processes", &n, NULL);
  return bench_pool_await_workers (pool, n, error) && bench_pin_process (getpid (), 0, error) &&
         pin_workers (pool, 1, error);
}

gboolean
bench_pool_end (PoolManager *pool, GError **error)
{
  return pool_manager_terminate (pool, error) && pool_manager_join (pool, 60, error);
}

/* Is run by agents: argv: worker FIGURE, then what the library says. */
static int
run_worker (char **argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new ("fork");
  g_autoptr (GError) error = NULL;
  int status = -1;

  if (bench_double_register (pool, &error) && bench_latency_register (pool, &error) &&
      bench_payload_register (pool, argv[2], &error))
    status = pool_manager_run_worker (pool, (const char *const *) argv + 3, &error);
  if (status != 0)
    g_printerr ("%s\n", error->message);
  return status != 0;
}

int
main (int argc, char **argv)
{
  if (argc > 3 && g_str_equal (argv[1], "worker"))
    return run_worker (argv);
  /* of several ranks the first goes on */
  if (pool_count_ranks () > 1 && !pool_init (NULL))
    return 1;
  return bench_main (argc, argv, "fork", figures, G_N_ELEMENTS (figures));
}
