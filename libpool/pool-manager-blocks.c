/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-apply-result-private.h"
#include "pool-block-private.h"
#include "pool-manager-private.h"

/* Calls whose argument is written where it is to be. */

/**
 * pool_manager_reserve:
 * @self: a pool that runs
 * @size: how many bytes
 * @error: return location for a #GError
 *
 * Makes memory for one argument of [method@Manager.apply_block_async].
 *
 * Returns: (transfer full): a block of @size bytes; %NULL with %POOL_ERROR_OUT_OF_MEMORY, or with the error that a call
 *   would have failed with: %POOL_ERROR_NOT_STARTED, %POOL_ERROR_CLOSED or why the pool is broken
 *
 * Since: 1.0
 */
PoolBlock *
pool_manager_reserve (PoolManager *self, gsize size, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  return pool_block_new (self->engine, size, error);
}

/**
 * pool_manager_apply_block_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @block: what [method@Manager.reserve] made, with the argument written to it
 * @options: (nullable): what this call has of its own
 * @cancellable: (nullable): cancels the call
 * @callback: (nullable) (scope async): called when the call has ended, in the pool's main context
 * @user_data: for @callback
 *
 * As [method@Manager.apply_bytes_async], with an argument that is not copied: the memory of @block is the call's from
 * here on. A call that cannot be made, since there is no such task or the pool is closed, leaves the block as it was.
 *
 * A @block that was used, or is another pool's, is a result that failed with %POOL_ERROR_INVALID_ARGUMENT; one that was
 * reserved before the pool was started anew, with %POOL_ERROR_STATE.
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolApplyResult *
pool_manager_apply_block_async (PoolManager *self, const char *task, PoolBlock *block,
                                PoolCallOptions *options, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data,
                              pool_manager_apply_block_async, FALSE };
  const PoolArgument argument = { .block = block };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (POOL_IS_BLOCK (block), NULL);

  return pool_manager_give (pool_apply_result_submit (self->engine, pool_manager_get_task (self, task),
                                                      &argument, options, &call),
                            callback);
}

/**
 * pool_manager_apply_block_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.apply_block_async].
 *
 * Returns: (transfer full): as for [method@Manager.apply_bytes]
 *
 * Since: 1.0
 */
GBytes *
pool_manager_apply_block_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return pool_manager_finish_bytes (self, result, pool_manager_apply_block_async, error);
}
