/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-error.h"
#include "pool-init.h"
#include "pool-module-private.h"

#include <sys/syscall.h>
#include <unistd.h>

/* What is done to a pool while it runs: its size, its workers, the tasks in them. */

static gboolean
check_runs (PoolManager *self, GError **error)
{
  if (self->engine->state == POOL_STATE_RUN && !self->engine->orphan)
    return TRUE;
  return pool_engine_check_submit (self->engine, error);
}

/**
 * pool_manager_grow:
 * @self: a pool that runs
 * @n: how many
 * @error: return location for a #GError
 *
 * Adds workers. Each tells with [signal@Manager::process-up] when it is ready.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT if there would be more than [property@Manager:max-processes],
 *   %POOL_ERROR_NOT_STARTED or %POOL_ERROR_CLOSED
 *
 * Since: 1.0
 */
gboolean
pool_manager_grow (PoolManager *self, guint n, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  ok = check_runs (self, error) && pool_engine_grow_locked (self->engine, n, error);
  pool_engine_unlock (self->engine);
  return ok;
}

/**
 * pool_manager_shrink:
 * @self: a pool that runs
 * @n: how many
 * @error: return location for a #GError
 *
 * Lets workers go: idle ones first. If there are not enough of those, others end after the task that they run. No task is
 * interrupted.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT if no worker would be left, %POOL_ERROR_NOT_STARTED or
 *   %POOL_ERROR_CLOSED
 *
 * Since: 1.0
 */
gboolean
pool_manager_shrink (PoolManager *self, guint n, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  ok = check_runs (self, error) && pool_engine_shrink_locked (self->engine, n, error);
  pool_engine_unlock (self->engine);
  return ok;
}

/**
 * pool_manager_terminate_job:
 * @self: a pool that runs
 * @pid: process id of a worker
 * @signum: the signal for it, such as `SIGTERM`
 * @error: return location for a #GError
 *
 * Ends the task that a worker process runs now, and only that one: see [method@AsyncResult.terminate]. The worker is
 * replaced.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT if the pool has no such worker, or %POOL_ERROR_STATE if it
 *   runs nothing
 *
 * Since: 1.0
 */
gboolean
pool_manager_terminate_job (PoolManager *self, gint64 pid, int signum, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (signum > 0 && signum < 65, FALSE);

  pool_engine_lock (self->engine);
  ok = self->engine->backend != NULL && !self->engine->orphan;
  if (!ok)
    pool_engine_check_submit (self->engine, error);
  else
    ok = pool_engine_terminate_worker_locked (self->engine, pid, signum, error);
  pool_engine_unlock (self->engine);
  return ok;
}

static gboolean
check_restart (PoolManager *self, GError **error)
{
  PoolEngine *engine = self->engine;

  if (!self->allow_restart)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "The pool does not permit it: set allow-restart before the start");
  else if (engine->orphan)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "This pool belongs to the process that this one was forked from");
  else if (engine->restarting)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE, "The pool is being restarted by another thread");
  else if (engine->state == POOL_STATE_NEW || engine->backend == NULL)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_NOT_STARTED, "The pool has not been started");
  else if (pool_engine_is_own_thread_locked (engine))
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "A pool cannot be restarted from a callback in its own thread, or in one that waits for it");
  else
    return TRUE;
  return FALSE;
}

/**
 * pool_manager_restart:
 * @self: a pool that has been started
 * @error: return location for a #GError
 *
 * Gives the pool new workers. A pool that runs replaces its workers one by one, each after the task that it is in, and loses
 * nothing. One that was closed, terminated, joined or broke starts anew; tasks that it still has fail with
 * %POOL_ERROR_TERMINATED.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE if [property@Manager:allow-restart] is not set or another thread is
 *   restarting the pool, %POOL_ERROR_NOT_STARTED, or an error of [method@Manager.start]
 *
 * Since: 1.0
 */
gboolean
pool_manager_restart (PoolManager *self, GError **error)
{
  PoolBackend *fresh;
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  ok = check_restart (self, error);
  pool_engine_unlock (self->engine);
  if (!ok)
    return FALSE;
  fresh = pool_module_new_backend (self->backend, error);
  return fresh != NULL && pool_engine_restart (self->engine, fresh, error);
}

/**
 * pool_manager_did_start_ok:
 * @self: a pool
 *
 * Tells whether the pool runs and no worker has failed or died since it was started.
 *
 * Returns: %TRUE if all is well so far
 *
 * Since: 1.0
 */
gboolean
pool_manager_did_start_ok (PoolManager *self)
{
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  if (self->engine->backend != NULL && !self->engine->orphan && self->engine->state != POOL_STATE_JOINED)
    pool_engine_dispatch_locked (self->engine);
  ok = self->engine->state != POOL_STATE_NEW && self->engine->state != POOL_STATE_BROKEN &&
       self->engine->n_bad_exits == 0;
  pool_engine_unlock (self->engine);
  return ok;
}

/**
 * pool_manager_maintain_pool:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Looks after the pool without waiting: takes results, replaces workers that died. The pool does so by itself; this is for a
 * program that set [property@Manager:threads] to %FALSE and runs no main loop.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_RESTART_FREQ if the pool is broken
 *
 * Since: 1.0
 */
gboolean
pool_manager_maintain_pool (PoolManager *self, GError **error)
{
  PoolEngine *engine;
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  engine = self->engine;
  pool_engine_lock (engine);
  if (engine->backend != NULL && !engine->orphan && engine->state != POOL_STATE_JOINED)
    {
      POOL_BACKEND_GET_CLASS (engine->backend)->acknowledge (engine->backend);
      pool_engine_dispatch_locked (engine);
      pool_engine_check_time_locked (engine);
      pool_engine_watch_locked (engine);
    }
  ok = engine->state != POOL_STATE_BROKEN;
  if (!ok)
    g_propagate_error (error, g_error_copy (engine->broken));
  pool_engine_unlock_and_call_back (engine);
  return ok;
}

/**
 * pool_manager_get_process_sentinels:
 * @self: a pool
 * @n_sentinels: (out): how many there are
 *
 * Opens a descriptor for each worker process that is up, which becomes readable when the process has ended. The caller
 * closes them.
 *
 * Returns: (transfer full) (array length=n_sentinels) (nullable): the descriptors
 *
 * Since: 1.0
 */
int *
pool_manager_get_process_sentinels (PoolManager *self, gsize *n_sentinels)
{
  GArray *fds = g_array_new (FALSE, FALSE, sizeof (int));

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (n_sentinels != NULL, NULL);

  pool_engine_lock (self->engine);
  for (guint i = 0; i < self->engine->workers->len; i++)
    {
      PoolWorker *worker = self->engine->workers->pdata[i];
      int fd = worker != NULL && worker->up && worker->pid > 0
                   ? (int) syscall (SYS_pidfd_open, (pid_t) worker->pid, 0)
                   : -1;

      if (fd >= 0)
        g_array_append_val (fds, fd);
    }
  pool_engine_unlock (self->engine);
  *n_sentinels = fds->len;
  return (int *) (gpointer) g_array_free (fds, FALSE);
}
