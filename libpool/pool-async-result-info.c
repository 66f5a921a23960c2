/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-async-result-private.h"

/* What a result tells of its call beside the value, and how a call is ended. */

/**
 * pool_async_result_get_id:
 * @self: a result
 *
 * Gets the number that the pool gave to the call; messages name it by this.
 *
 * Returns: the number, from 1; 0 for a call that was refused
 *
 * Since: 1.0
 */
guint64
pool_async_result_get_id (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  return self->job.id;
}

/**
 * pool_async_result_get_correlation_id:
 * @self: a result
 *
 * Gets what the caller named the call with [method@CallOptions.set_correlation_id].
 *
 * Returns: (nullable): the name
 *
 * Since: 1.0
 */
const char *
pool_async_result_get_correlation_id (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), NULL);

  return self->correlation_id;
}

/**
 * pool_async_result_get_attempts:
 * @self: a result
 *
 * Tells how often the call was started: more than once when workers died that ran it.
 *
 * Returns: the number of attempts; 0 as long as the call has not ended
 *
 * Since: 1.0
 */
guint
pool_async_result_get_attempts (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  return pool_job_is_done (&self->job) ? self->attempts : 0;
}

/**
 * pool_async_result_get_worker:
 * @self: a result
 *
 * Gets the number of the worker that ran the call last.
 *
 * Returns: the number, as in [method@WorkerInfo.get_id]
 *
 * Since: 1.0
 */
guint
pool_async_result_get_worker (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  return pool_job_is_done (&self->job) ? self->worker : 0;
}

/**
 * pool_async_result_get_run_time:
 * @self: a result
 *
 * Tells how long the function ran, measured in the worker; it is not measured for calls with bytes.
 *
 * Returns: seconds, or 0 if it is not known
 *
 * Since: 1.0
 */
double
pool_async_result_get_run_time (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  return pool_job_is_done (&self->job) ? self->run_time : 0;
}

/**
 * pool_async_result_get_progress: (get-property progress)
 * @self: a result
 *
 * Gets [property@AsyncResult:progress].
 *
 * Returns: from 0 to 1
 *
 * Since: 1.0
 */
double
pool_async_result_get_progress (PoolAsyncResult *self)
{
  guint64 bits;
  double fraction;

  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  bits = atomic_load (&self->progress);
  memcpy (&fraction, &bits, sizeof fraction);
  return fraction;
}

/**
 * pool_async_result_terminate:
 * @self: a result
 * @signum: the signal for the worker that runs it, such as `SIGTERM`
 *
 * Ends the call: if no worker has started it, it never runs; the worker that runs it is sent the signal, killed if it is
 * still there after [property@Manager:grace], and replaced. Only the call itself is hit, never the next one of that worker. The
 * call fails with %POOL_ERROR_TERMINATED at once. Of a map, everything that has not ended is. A thread cannot be
 * ended: it is given up, as for a time limit.
 *
 * Returns: %TRUE; %FALSE if the call has ended already
 *
 * Since: 1.0
 */
gboolean
pool_async_result_terminate (PoolAsyncResult *self, int signum)
{
  gboolean any = FALSE;

  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), FALSE);
  g_return_val_if_fail (signum > 0 && signum < 65, FALSE);

  pool_engine_lock (self->engine);
  if (!pool_job_is_done (&self->job) && !self->engine->orphan)
    any = pool_engine_terminate_job_locked (self->engine, &self->job, signum);
  pool_engine_unlock (self->engine);
  return any;
}

static GBytes *
get_stream (PoolAsyncResult *self, guint stream)
{
  if (!pool_job_is_done (&self->job) || self->output == NULL)
    return NULL;
  return pool_output_get (self->output, stream);
}

/**
 * pool_async_result_get_output:
 * @self: a result
 *
 * Gets what the call, and whatever it started, wrote to standard output while it ran, if that is captured; see
 * [property@Manager:capture-output]. It is there for a call that failed and for one that took its worker down, too. Of a
 * call that was run again it is what the last attempt wrote; of a map what all items wrote, in their order.
 *
 * Returns: (transfer full) (nullable): the bytes, which may be none; %NULL if they were not captured, as long as the
 *   call has not ended, or if there is no memory for them
 *
 * Since: 1.0
 */
GBytes *
pool_async_result_get_output (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), NULL);

  return get_stream (self, 0);
}

/**
 * pool_async_result_get_error_output:
 * @self: a result
 *
 * As [method@AsyncResult.get_output], of standard error.
 *
 * Returns: (transfer full) (nullable): the bytes, or %NULL
 *
 * Since: 1.0
 */
GBytes *
pool_async_result_get_error_output (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), NULL);

  return get_stream (self, 1);
}

/**
 * pool_async_result_get_lost_output:
 * @self: a result
 *
 * Tells how much of what the call wrote is missing at the end of [method@AsyncResult.get_output] and
 * [method@AsyncResult.get_error_output], of each of which 64 MiB are kept.
 *
 * Returns: bytes
 *
 * Since: 1.0
 */
guint64
pool_async_result_get_lost_output (PoolAsyncResult *self)
{
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (self), 0);

  if (!pool_job_is_done (&self->job) || self->output == NULL)
    return 0;
  return pool_output_get_lost (self->output);
}
