/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-apply-result-private.h"
#include "pool-error.h"
#include "pool-manager-private.h"
#include "pool-map-result-private.h"
#include "pool-stream-private.h"
#include "pool-value-private.h"

/* The calls of a pool: each is a result object that is submitted, and waited for in the plain forms. */

static gboolean
check_normal (GVariant *value, GError **error)
{
  if (G_LIKELY (pool_value_is_normal (value)))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_ENCODING,
               "The argument, of type %s, is not in normal form: take g_variant_get_normal_form()",
               g_variant_get_type_string (value));
  return FALSE;
}

static PoolApplyResult *
submit_value (PoolManager *self, const char *task, GVariant *args, PoolCallOptions *options,
              const PoolCallback *callback)
{
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (GError) error = NULL;
  PoolArgument argument = { 0 };
  PoolApplyResult *result;

  sunk = g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  if (!check_normal (sunk, &error))
    return pool_apply_result_refuse (self->engine, callback, g_steal_pointer (&error));

  argument.value = sunk;
  argument.wrap = !g_variant_is_of_type (sunk, G_VARIANT_TYPE_TUPLE);
  result = pool_apply_result_submit (self->engine, pool_manager_get_task (self, task), &argument,
                                     options, callback);
  return result;
}

static PoolApplyResult *
submit_bytes (PoolManager *self, const char *task, const guint8 *data, gsize size,
              PoolCallOptions *options, const PoolCallback *callback)
{
  const PoolArgument argument = { NULL, FALSE, data, size };

  return pool_apply_result_submit (self->engine, pool_manager_get_task (self, task), &argument,
                                   options, callback);
}

gpointer
pool_manager_give (gpointer result, GAsyncReadyCallback callback)
{
  if (callback == NULL)
    return result;
  g_object_unref (result);
  return NULL;
}

/**
 * pool_manager_apply:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @args: (nullable): a tuple with one member for each argument; a value that is not a tuple is the only argument;
 *   %NULL: none. A floating reference is taken
 * @options: (nullable): what this call has of its own
 * @cancellable: (nullable): cancels the call
 * @error: return location for a #GError
 *
 * Runs a task in a worker and waits for its result.
 *
 * ```c
 * g_autoptr (GVariant) sum = pool_manager_apply (pool, "add", g_variant_new ("(ii)", 2, 3), NULL, NULL, &error);
 * ```
 *
 * Returns: (transfer full): what the task returned; %NULL with its error or one of the pool's, see
 *   [method@AsyncResult.get]
 *
 * Since: 1.0
 */
GVariant *
pool_manager_apply (PoolManager *self, const char *task, GVariant *args, PoolCallOptions *options,
                    GCancellable *cancellable, GError **error)
{
  const PoolCallback callback = { self, cancellable, NULL, NULL, NULL, TRUE };
  g_autoptr (PoolApplyResult) result = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  result = submit_value (self, task, args, options, &callback);
  return pool_async_result_get (POOL_ASYNC_RESULT (result), -1, error);
}

/**
 * pool_manager_apply_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @args: (nullable): as for [method@Manager.apply]
 * @options: (nullable): what this call has of its own
 * @cancellable: (nullable): cancels the call
 * @callback: (nullable) (scope async): called when the call has ended, in the pool's main context
 * @user_data: for @callback
 *
 * Submits a call. It never blocks and never fails: a call that cannot be made is a result that has failed.
 *
 * With a @callback, the callback is given the result, for [method@Manager.apply_finish]; without one, the caller is.
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolApplyResult *
pool_manager_apply_async (PoolManager *self, const char *task, GVariant *args,
                          PoolCallOptions *options, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data, pool_manager_apply_async, FALSE };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  return pool_manager_give (submit_value (self, task, args, options, &call), callback);
}

static PoolAsyncResult *
check_finish (PoolManager *self, GAsyncResult *result, gpointer tag)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (POOL_IS_ASYNC_RESULT (result), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, tag), NULL);

  return POOL_ASYNC_RESULT (result);
}

static GVariant *
finish_value (PoolManager *self, GAsyncResult *result, gpointer tag, GError **error)
{
  PoolAsyncResult *checked = check_finish (self, result, tag);

  return checked != NULL ? pool_async_result_get (checked, 0, error) : NULL;
}

GBytes *
pool_manager_finish_bytes (PoolManager *self, GAsyncResult *result, gpointer tag, GError **error)
{
  PoolAsyncResult *checked = check_finish (self, result, tag);

  return checked != NULL ? pool_async_result_get_bytes (checked, 0, error) : NULL;
}

/**
 * pool_manager_apply_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.apply_async].
 *
 * Returns: (transfer full): as for [method@Manager.apply]
 *
 * Since: 1.0
 */
GVariant *
pool_manager_apply_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, pool_manager_apply_async, error);
}

/**
 * pool_manager_apply_bytes:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @data: (array length=size) (element-type guint8): the argument
 * @size: its length in bytes
 * @options: (nullable): what this call has of its own
 * @cancellable: (nullable): cancels the call
 * @error: return location for a #GError
 *
 * As [method@Manager.apply], with bytes for an argument and a result: nothing is encoded.
 *
 * Returns: (transfer full): the result, or %NULL with an error
 *
 * Since: 1.0
 */
GBytes *
pool_manager_apply_bytes (PoolManager *self, const char *task, const guint8 *data, gsize size,
                          PoolCallOptions *options, GCancellable *cancellable, GError **error)
{
  const PoolCallback callback = { self, cancellable, NULL, NULL, NULL, TRUE };
  g_autoptr (PoolApplyResult) result = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  result = submit_bytes (self, task, data, size, options, &callback);
  return pool_async_result_get_bytes (POOL_ASYNC_RESULT (result), -1, error);
}

/**
 * pool_manager_apply_bytes_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @data: (array length=size) (element-type guint8): the argument; copied
 * @size: its length in bytes
 * @options: (nullable): what this call has of its own
 * @cancellable: (nullable): cancels the call
 * @callback: (nullable) (scope async): called when the call has ended, in the pool's main context
 * @user_data: for @callback
 *
 * As [method@Manager.apply_async], with bytes.
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolApplyResult *
pool_manager_apply_bytes_async (PoolManager *self, const char *task, const guint8 *data, gsize size,
                                PoolCallOptions *options, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data,
                              pool_manager_apply_bytes_async, FALSE };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  return pool_manager_give (submit_bytes (self, task, data, size, options, &call), callback);
}

/**
 * pool_manager_apply_bytes_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.apply_bytes_async].
 *
 * Returns: (transfer full): as for [method@Manager.apply_bytes]
 *
 * Since: 1.0
 */
GBytes *
pool_manager_apply_bytes_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return pool_manager_finish_bytes (self, result, pool_manager_apply_bytes_async, error);
}

/* --- maps --- */

static PoolMapResult *
submit_map (PoolManager *self, const char *task, GVariant *items, gboolean star, guint chunksize,
            const PoolCallback *callback)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (items);
  g_autoptr (GError) error = NULL;

  if (!check_normal (sunk, &error))
    return pool_map_result_refuse (self->engine, callback, g_steal_pointer (&error));
  return pool_map_result_submit (self->engine, pool_manager_get_task (self, task),
                                 &(PoolItems){ sunk, !star, NULL }, chunksize, callback);
}

static GVariant *
map (PoolManager *self, const char *task, GVariant *items, gboolean star, guint chunksize,
     GCancellable *cancellable, GError **error)
{
  const PoolCallback callback = { self, cancellable, NULL, NULL, NULL, TRUE };
  g_autoptr (PoolMapResult) result = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (items != NULL, NULL);

  result = submit_map (self, task, items, star, chunksize, &callback);
  return pool_async_result_get (POOL_ASYNC_RESULT (result), -1, error);
}

/**
 * pool_manager_map:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: an array of any type, or a tuple: one call for each of its members. A floating reference is taken
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @error: return location for a #GError
 *
 * Calls a task once for each item, with the item as its only argument, and waits for all of them.
 *
 * Returns: (transfer full): the results, an array of type `av` in the order of @items; %NULL with the error of the
 *   first item that failed, after all have ended
 *
 * Since: 1.0
 */
GVariant *
pool_manager_map (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                  GCancellable *cancellable, GError **error)
{
  return map (self, task, items, FALSE, chunksize, cancellable, error);
}

/**
 * pool_manager_starmap:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: an array or a tuple of tuples, each with the arguments of one call. A floating reference is taken
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @error: return location for a #GError
 *
 * As [method@Manager.map], for a task with several arguments.
 *
 * Returns: (transfer full): as for [method@Manager.map]
 *
 * Since: 1.0
 */
GVariant *
pool_manager_starmap (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                      GCancellable *cancellable, GError **error)
{
  return map (self, task, items, TRUE, chunksize, cancellable, error);
}

/**
 * pool_manager_map_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.map]
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @callback: (nullable) (scope async): called when the map has ended, in the pool's main context
 * @user_data: for @callback
 *
 * Submits a map; see [method@Manager.apply_async].
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolMapResult *
pool_manager_map_async (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                        GCancellable *cancellable, GAsyncReadyCallback callback,
                        gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data, pool_manager_map_async, FALSE };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (items != NULL, NULL);

  return pool_manager_give (submit_map (self, task, items, FALSE, chunksize, &call), callback);
}

/**
 * pool_manager_map_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.map_async].
 *
 * Returns: (transfer full): as for [method@Manager.map]
 *
 * Since: 1.0
 */
GVariant *
pool_manager_map_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, pool_manager_map_async, error);
}

/**
 * pool_manager_starmap_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.starmap]
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @callback: (nullable) (scope async): called when the map has ended, in the pool's main context
 * @user_data: for @callback
 *
 * As [method@Manager.map_async], for a task with several arguments.
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolMapResult *
pool_manager_starmap_async (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                            GCancellable *cancellable, GAsyncReadyCallback callback,
                            gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data, pool_manager_starmap_async,
                              FALSE };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (items != NULL, NULL);

  return pool_manager_give (submit_map (self, task, items, TRUE, chunksize, &call), callback);
}

/**
 * pool_manager_starmap_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.starmap_async].
 *
 * Returns: (transfer full): as for [method@Manager.map]
 *
 * Since: 1.0
 */
GVariant *
pool_manager_starmap_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, pool_manager_starmap_async, error);
}

static PoolMapResult *
submit_packed (PoolManager *self, const char *task, GBytes *packed, guint chunksize,
               const PoolCallback *callback)
{
  return pool_map_result_submit (self->engine, pool_manager_get_task (self, task),
                                 &(PoolItems){ NULL, FALSE, packed }, chunksize, callback);
}

/**
 * pool_manager_map_packed:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @data: (array length=size) (element-type guint8): a packed batch of items, see [func@packed_check]
 * @size: its length in bytes
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @error: return location for a #GError
 *
 * Calls a task on bytes once for each item of a batch: the fastest way through a pool, with no object and no
 * allocation for an item.
 *
 * Returns: (transfer full): the results as a packed batch, in the order of the items; %NULL with the error of the
 *   first item that failed, or %POOL_ERROR_PROTOCOL if @data is not a batch
 *
 * Since: 1.0
 */
GBytes *
pool_manager_map_packed (PoolManager *self, const char *task, const guint8 *data, gsize size,
                         guint chunksize, GCancellable *cancellable, GError **error)
{
  const PoolCallback callback = { self, cancellable, NULL, NULL, NULL, TRUE };
  g_autoptr (PoolMapResult) result = NULL;
  g_autoptr (GBytes) packed = NULL;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  /* the caller's bytes stay where they are until this returns */
  packed = g_bytes_new_static (data, size);
  result = submit_packed (self, task, packed, chunksize, &callback);
  return pool_async_result_get_bytes (POOL_ASYNC_RESULT (result), -1, error);
}

/**
 * pool_manager_map_packed_async:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @packed: a packed batch of items
 * @chunksize: items that travel together; 0: chosen by the pool
 * @cancellable: (nullable): cancels what has not been started
 * @callback: (nullable) (scope async): called when the map has ended, in the pool's main context
 * @user_data: for @callback
 *
 * Submits a map over packed items; see [method@Manager.apply_async].
 *
 * Returns: (transfer full) (nullable): the result; %NULL if there is a @callback
 *
 * Since: 1.0
 */
PoolMapResult *
pool_manager_map_packed_async (PoolManager *self, const char *task, GBytes *packed, guint chunksize,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  const PoolCallback call = { self, cancellable, callback, user_data,
                              pool_manager_map_packed_async, FALSE };

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (packed != NULL, NULL);

  return pool_manager_give (submit_packed (self, task, packed, chunksize, &call), callback);
}

/**
 * pool_manager_map_packed_finish:
 * @self: a pool
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Manager.map_packed_async].
 *
 * Returns: (transfer full): as for [method@Manager.map_packed]
 *
 * Since: 1.0
 */
GBytes *
pool_manager_map_packed_finish (PoolManager *self, GAsyncResult *result, GError **error)
{
  return pool_manager_finish_bytes (self, result, pool_manager_map_packed_async, error);
}

/* --- lazily --- */

typedef struct
{
  GVariant *items;
  gsize next;
  gsize n_items;
} ArraySource;

static GVariant *
array_next (gpointer user_data, GError **error)
{
  ArraySource *source = user_data;

  return source->next < source->n_items ? pool_items_get_value (source->items, source->next++)
                                        : NULL;
}

static void
array_free (gpointer user_data)
{
  ArraySource *source = user_data;

  g_variant_unref (source->items);
  g_free (source);
}

static PoolResultIterator *
imap (PoolManager *self, const char *task, GVariant *items, gboolean star, gboolean ordered,
      guint chunksize, GError **error)
{
  g_autoptr (GVariant) sunk = NULL;
  ArraySource *source;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (items != NULL, NULL);

  sunk = g_variant_ref_sink (items);
  if (!check_normal (sunk, error) || !pool_items_check (sunk, star, error))
    return NULL;

  source = g_new0 (ArraySource, 1);
  source->items = g_variant_ref (sunk);
  source->n_items = g_variant_n_children (sunk);
  return pool_manager_imap_lazy (self, task, star, ordered, chunksize, array_next, source,
                                 array_free, error);
}

/**
 * pool_manager_imap:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.map]
 * @chunksize: items that travel together, at least 1
 * @error: return location for a #GError
 *
 * Calls a task for each item, lazily, with the results in the order of the items.
 *
 * Returns: (transfer full): an iterator over the results; %NULL with %POOL_ERROR_INVALID_ARGUMENT,
 *   %POOL_ERROR_NO_SUCH_TASK, %POOL_ERROR_NOT_STARTED or %POOL_ERROR_CLOSED
 *
 * Since: 1.0
 */
PoolResultIterator *
pool_manager_imap (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                   GError **error)
{
  return imap (self, task, items, FALSE, TRUE, chunksize, error);
}

/**
 * pool_manager_imap_unordered:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.map]
 * @chunksize: items that travel together, at least 1
 * @error: return location for a #GError
 *
 * As [method@Manager.imap], with the results as they come.
 *
 * Returns: (transfer full): an iterator over the results, or %NULL with an error
 *
 * Since: 1.0
 */
PoolResultIterator *
pool_manager_imap_unordered (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                             GError **error)
{
  return imap (self, task, items, FALSE, FALSE, chunksize, error);
}

/**
 * pool_manager_istarmap:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.starmap]
 * @chunksize: items that travel together, at least 1
 * @error: return location for a #GError
 *
 * As [method@Manager.imap], for a task with several arguments.
 *
 * Returns: (transfer full): an iterator over the results, or %NULL with an error
 *
 * Since: 1.0
 */
PoolResultIterator *
pool_manager_istarmap (PoolManager *self, const char *task, GVariant *items, guint chunksize,
                       GError **error)
{
  return imap (self, task, items, TRUE, TRUE, chunksize, error);
}

/**
 * pool_manager_istarmap_unordered:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @items: as for [method@Manager.starmap]
 * @chunksize: items that travel together, at least 1
 * @error: return location for a #GError
 *
 * As [method@Manager.istarmap], with the results as they come.
 *
 * Returns: (transfer full): an iterator over the results, or %NULL with an error
 *
 * Since: 1.0
 */
PoolResultIterator *
pool_manager_istarmap_unordered (PoolManager *self, const char *task, GVariant *items,
                                 guint chunksize, GError **error)
{
  return imap (self, task, items, TRUE, FALSE, chunksize, error);
}

/**
 * pool_manager_imap_lazy:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @star: each item is a tuple of arguments; else the only argument
 * @ordered: results come in the order of the items; else as they are ready
 * @chunksize: items that travel together, at least 1
 * @next: (scope notified) (closure user_data) (destroy destroy): produces the items; called when results are taken
 * @user_data: for @next
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * As [method@Manager.imap], for items that come from a function and may be endless.
 *
 * Returns: (transfer full): an iterator over the results, or %NULL with an error as in [method@Manager.imap]
 *
 * Since: 1.0
 */
PoolResultIterator *
pool_manager_imap_lazy (PoolManager *self, const char *task, gboolean star, gboolean ordered,
                        guint chunksize, PoolNextFunc next, gpointer user_data,
                        GDestroyNotify destroy, GError **error)
{
  guint function;
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);
  g_return_val_if_fail (next != NULL, NULL);

  task = pool_manager_get_task (self, task);
  pool_engine_lock (self->engine);
  ok = pool_engine_check_submit (self->engine, error) &&
       pool_engine_lookup (self->engine, task, &function, error);
  pool_engine_unlock (self->engine);
  if (ok && chunksize < 1)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "The chunk size must be at least 1");
      ok = FALSE;
    }
  if (!ok)
    {
      if (destroy != NULL)
        destroy (user_data);
      return NULL;
    }
  return pool_result_iterator_new (self, task, star, ordered, chunksize, next, user_data, destroy);
}

/**
 * pool_manager_open_stream:
 * @self: a pool that runs
 * @task: (nullable): name of the task; %NULL: the pool's target
 * @error: return location for a #GError
 *
 * Opens a stream of calls of one task, with bytes as in [method@Manager.apply_bytes], that are submitted and taken in batches.
 * [property@Manager:putlocks] does not hold it up, and [property@Manager:capture-output] does not count for it.
 *
 * Returns: (transfer full): a stream; %NULL with %POOL_ERROR_NO_SUCH_TASK, %POOL_ERROR_NOT_STARTED, %POOL_ERROR_CLOSED or
 *   %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
PoolStream *
pool_manager_open_stream (PoolManager *self, const char *task, GError **error)
{
  guint function;
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  task = pool_manager_get_task (self, task);
  pool_engine_lock (self->engine);
  ok = pool_engine_check_submit (self->engine, error) &&
       pool_engine_lookup (self->engine, task, &function, error);
  pool_engine_unlock (self->engine);
  return ok ? pool_stream_new (self->engine, function) : NULL;
}
