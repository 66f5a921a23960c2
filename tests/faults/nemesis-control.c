/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <signal.h>
#include <unistd.h>

/* Settings of pools, and what is done to a pool while it runs: its size, its workers, the tasks in them. */

/* --- settings --- */

static gboolean
one_in (GRand *rand, guint n)
{
  return g_rand_int_range (rand, 0, n) == 0;
}

static void
on_task_done (PoolManager *manager, PoolAsyncResult *result, PoolWorkerInfo *worker, gpointer user_data)
{
  if (!pool_async_result_ready (result))
    nemesis_found ("a call is told to have ended and is not ready");
  if (g_object_get_data (G_OBJECT (result), "nemesis-done") != NULL)
    nemesis_found ("task-done came twice for a call");
  g_object_set_data (G_OBJECT (result), "nemesis-done", manager);
}

static void
on_task_accepted (PoolManager *manager, PoolAsyncResult *result, PoolWorkerInfo *worker, gpointer user_data)
{
  if (worker == NULL)
    nemesis_found ("a call was accepted by nobody");
}

static void
on_timeout (PoolManager *manager, PoolAsyncResult *result, gboolean soft, double limit, gpointer user_data)
{
  if (limit <= 0)
    nemesis_found ("a call has run over a limit of %g s", limit);
}

static void
on_worker (PoolManager *manager, PoolWorkerInfo *worker, gpointer user_data)
{
  pool_worker_info_get_state (worker);
  pool_worker_info_get_reason (worker);
}

static void
on_log (PoolManager *manager, guint level, GVariant *fields, gpointer user_data)
{
  const char *domain = NULL;

  if (!g_variant_lookup (fields, "GLIB_DOMAIN", "&s", &domain) || !g_str_equal (domain, "nemesis"))
    nemesis_found ("a log record of the domain %s", domain != NULL ? domain : "of nobody");
}

static void
listen (PoolManager *manager, GRand *rand)
{
  g_signal_connect (manager, "task-done", G_CALLBACK (on_task_done), NULL);
  g_signal_connect (manager, "task-accepted", G_CALLBACK (on_task_accepted), NULL);
  g_signal_connect (manager, "timeout", G_CALLBACK (on_timeout), NULL);
  if (one_in (rand, 2))
    {
      g_signal_connect (manager, "process-up", G_CALLBACK (on_worker), NULL);
      g_signal_connect (manager, "process-down", G_CALLBACK (on_worker), NULL);
      g_signal_connect (manager, "process-exit", G_CALLBACK (on_worker), NULL);
    }
}

static void
choose_limits (NemesisPool *pool, GRand *rand)
{
  if (one_in (rand, 6))
    pool->timeout = g_rand_double_range (rand, 0.005, 0.1);
  if (one_in (rand, 6))
    pool->soft_timeout = g_rand_double_range (rand, 0.001, 0.05);
  g_object_set (pool->manager, "timeout", pool->timeout, "soft-timeout", pool->soft_timeout, "grace",
                one_in (rand, 3) ? 0.0 : g_rand_double_range (rand, 0, 0.1), NULL);
}

static void
choose_size (NemesisPool *pool, GRand *rand)
{
  if (one_in (rand, 4))
    g_object_set (pool->manager, "max-processes", g_rand_int_range (rand, 5, 9), NULL);
  if (one_in (rand, 6))
    g_object_set (pool->manager, "min-processes", 1, "max-processes", g_rand_int_range (rand, 5, 9), "idle-time",
                  g_rand_double_range (rand, 0.001, 0.1), NULL);
}

static void
choose_lives (NemesisPool *pool, GRand *rand)
{
  static const guint limits[] = { 1, 1, 2, 10, 100 };

  if (one_in (rand, 6))
    g_object_set (pool->manager, "max-tasks-per-child", limits[g_rand_int_range (rand, 0, G_N_ELEMENTS (limits))], NULL);
  if (one_in (rand, 10) && nemesis_isolates)
    g_object_set (pool->manager, "max-memory-per-child", (guint64) g_rand_int_range (rand, 1000, 40000), NULL);
}

static void
choose_output (NemesisPool *pool, GRand *rand)
{
  g_autoptr (GError) error = NULL;

  pool->captures = nemesis_isolates && one_in (rand, 6);
  pool->logs = one_in (rand, 6);
  g_object_set (pool->manager, "capture-output", pool->captures, NULL);
  if (!pool->logs)
    return;
  if (!pool_manager_add_logger (pool->manager, "nemesis", &error))
    nemesis_found ("pool %u cannot have a logger: %s", pool->number, error->message);
  g_signal_connect (pool->manager, "log", G_CALLBACK (on_log), NULL);
}

/* Before it starts. */
void
nemesis_control_choose_settings (NemesisPool *pool, GRand *rand)
{
  pool->may_restart = one_in (rand, 2);
  g_object_set (pool->manager, "allow-restart", pool->may_restart, "synack", one_in (rand, 8), "putlocks", one_in (rand, 10),
                "semaphore", g_rand_int_range (rand, 0, 8), NULL);
  choose_limits (pool, rand);
  choose_size (pool, rand);
  choose_lives (pool, rand);
  choose_output (pool, rand);
  if (nemesis_isolates && one_in (rand, 10))
    g_object_set (pool->manager, "sandbox", POOL_SANDBOX_BASIC, NULL);
  if (one_in (rand, 6))
    listen (pool->manager, rand);
}

/* --- while it runs --- */

/* Some of them do nothing to a worker, which is then killed after the grace. */
int
nemesis_control_choose_signal (GRand *rand)
{
  static const int signals[] = { SIGTERM, SIGKILL, SIGINT, SIGUSR2, SIGCONT, SIGSTOP };

  return signals[g_rand_int_range (rand, 0, G_N_ELEMENTS (signals))];
}

static void
check_refusal (NemesisPool *pool, const char *what, const GError *error)
{
  gboolean over = pool->closing || pool->terminating || pool->fragile;

  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT) ||
      g_error_matches (error, POOL_ERROR, POOL_ERROR_STATE) ||
      (g_error_matches (error, POOL_ERROR, POOL_ERROR_CLOSED) && over) ||
      (g_error_matches (error, POOL_ERROR, POOL_ERROR_NOT_STARTED) && over && pool->restarted) ||
      (g_error_matches (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ) && pool->fragile))
    return;
  nemesis_found ("pool %u: to %s must not fail with %s", pool->number, what, error->message);
}

void
nemesis_control_grow (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  guint n_workers, n = g_rand_int_range (self->rand, 0, 3);

  g_object_get (manager, "n-workers", &n_workers, NULL);
  /* the machine is small */
  if (n_workers < 8 && !pool_manager_grow (manager, n, &error))
    check_refusal (pool, "grow", error);
}

void
nemesis_control_shrink (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;

  if (!pool_manager_shrink (manager, g_rand_int_range (self->rand, 0, 4), &error))
    check_refusal (pool, "shrink", error);
}

/* One that runs gets new workers, one that has ended starts anew, where that can be. */
void
nemesis_control_restart (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;

  if (!nemesis_may_start && pool_manager_get_state (manager) != POOL_STATE_RUN)
    return;
  if (pool->may_restart)
    pool->restarted = TRUE;
  nemesis_note (self->number, "pool %u restarts", pool->number);
  if (!pool_manager_restart (manager, &error) && (nemesis_may_start || !pool->closing))
    check_refusal (pool, "restart", error);
}

void
nemesis_control_terminate_job (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (manager);
  g_autoptr (GError) error = NULL;
  gint64 pid;

  if (workers->len == 0)
    return;
  pid = pool_worker_info_get_pid (workers->pdata[g_rand_int_range (self->rand, 0, workers->len)]);
  pool->job_terminated = TRUE;
  if (!pool_manager_terminate_job (manager, pid, nemesis_control_choose_signal (self->rand), &error))
    check_refusal (pool, "terminate a job", error);
}

void
nemesis_control_maintain (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  g_autofree int *sentinels = NULL;
  gsize n = 0;

  if (!pool_manager_maintain_pool (manager, &error))
    check_refusal (pool, "be maintained", error);
  pool_manager_did_start_ok (manager);
  sentinels = pool_manager_get_process_sentinels (manager, &n);
  for (gsize i = 0; i < n; i++)
    close (sentinels[i]);
}
