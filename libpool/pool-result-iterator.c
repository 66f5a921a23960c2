/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-apply-result-private.h"
#include "pool-error.h"
#include "pool-manager-private.h"
#include "pool-map-result-private.h"
#include "pool-result-iterator.h"
#include "pool-wait-private.h"

/**
 * PoolResultIterator:
 *
 * The results of a lazy map, one by one: what [method@Manager.imap] and its relatives give.
 *
 * Only so many items are in work or waiting to be taken as keep the workers busy, so the items may come from an endless
 * source and results never pile up: more are asked for when results are taken. An error in one item does not end the
 * iteration. An iterator is used by one thread at a time.
 *
 * Since: 1.0
 */
struct _PoolResultIterator
{
  GObject parent_instance;

  PoolManager *manager;
  char *task;
  gboolean star;
  gboolean ordered;
  guint chunksize;
  guint window; /* chunks in flight */

  PoolNextFunc next;
  gpointer user_data;
  GDestroyNotify destroy;
  GError *source_error;

  GQueue in_flight; /* PoolAsyncResult: of one item, or a PoolMapResult of a chunk */
  PoolAsyncResult *chunk; /* that items are being taken from */
  guint64 chunk_next;
  guint64 chunk_size;
  PoolWait *pending; /* of next_async() */
};

G_DEFINE_FINAL_TYPE (PoolResultIterator, pool_result_iterator, G_TYPE_OBJECT)

static void
end_source (PoolResultIterator *self)
{
  self->next = NULL;
  if (self->destroy != NULL)
    g_steal_pointer (&self->destroy) (self->user_data);
}

static void
pool_result_iterator_dispose (GObject *object)
{
  PoolResultIterator *self = POOL_RESULT_ITERATOR (object);
  PoolAsyncResult *result;

  end_source (self);
  while ((result = g_queue_pop_head (&self->in_flight)) != NULL)
    {
      pool_async_result_cancel (result);
      g_object_unref (result);
    }
  g_clear_object (&self->chunk);
  g_clear_object (&self->manager);
  G_OBJECT_CLASS (pool_result_iterator_parent_class)->dispose (object);
}

static void
pool_result_iterator_finalize (GObject *object)
{
  PoolResultIterator *self = POOL_RESULT_ITERATOR (object);

  g_free (self->task);
  g_clear_error (&self->source_error);
  G_OBJECT_CLASS (pool_result_iterator_parent_class)->finalize (object);
}

static void
pool_result_iterator_class_init (PoolResultIteratorClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = pool_result_iterator_dispose;
  G_OBJECT_CLASS (klass)->finalize = pool_result_iterator_finalize;
}

static void
pool_result_iterator_init (PoolResultIterator *self)
{
}

PoolResultIterator *
pool_result_iterator_new (PoolManager *manager, const char *task, gboolean star, gboolean ordered,
                          guint chunksize, PoolNextFunc next, gpointer user_data,
                          GDestroyNotify destroy)
{
  PoolResultIterator *self = g_object_new (POOL_TYPE_RESULT_ITERATOR, NULL);

  self->manager = g_object_ref (manager);
  self->task = g_strdup (task);
  self->star = star;
  self->ordered = ordered;
  self->chunksize = chunksize;
  self->window = MAX (16, 4 * manager->engine->settings.backend.processes);
  self->next = next;
  self->user_data = user_data;
  self->destroy = destroy;
  return self;
}

static GVariant *
next_item (PoolResultIterator *self)
{
  GVariant *item;

  if (self->next == NULL)
    return NULL;
  item = self->next (self->user_data, &self->source_error);
  if (item != NULL)
    return g_variant_take_ref (item);
  end_source (self);
  return NULL;
}

static PoolAsyncResult *
submit_item (PoolResultIterator *self, GVariant *item)
{
  PoolArgument argument = { .value = item, .wrap = !self->star };

  return POOL_ASYNC_RESULT (
      pool_apply_result_submit (self->manager->engine, self->task, &argument, NULL, NULL));
}

static PoolAsyncResult *
submit_chunk (PoolResultIterator *self, GVariant *first)
{
  GVariantBuilder builder;
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GVariant) item = g_variant_ref (first);
  guint n = 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  while (item != NULL)
    {
      g_variant_builder_add_value (&builder, g_variant_new_variant (item));
      g_clear_pointer (&item, g_variant_unref);
      if (++n < self->chunksize)
        item = next_item (self);
    }
  values = g_variant_ref_sink (g_variant_builder_end (&builder));
  return POOL_ASYNC_RESULT (pool_map_result_submit (self->manager->engine, self->task,
                                                    &(PoolItems){ values, !self->star, NULL }, n,
                                                    NULL));
}

static void
refill (PoolResultIterator *self)
{
  while (self->next != NULL && self->in_flight.length < self->window)
    {
      g_autoptr (GVariant) item = next_item (self);

      if (item == NULL)
        return;
      g_queue_push_tail (&self->in_flight, self->chunksize > 1 ? submit_chunk (self, item)
                                                               : submit_item (self, item));
    }
}

static GList *
find_ready (PoolResultIterator *self)
{
  for (GList *l = self->in_flight.head; l != NULL; l = self->ordered ? NULL : l->next)
    if (pool_job_is_done (&((PoolAsyncResult *) l->data)->job))
      return l;
  return NULL;
}

static gboolean
is_ready (gpointer data)
{
  return find_ready (data) != NULL;
}

static gboolean
wait_ready (PoolResultIterator *self, double timeout, GError **error)
{
  PoolEngine *engine = self->manager->engine;
  gboolean ready, interrupted;

  if (is_ready (self))
    return TRUE;
  pool_engine_lock (engine);
  ready = pool_engine_wait_interruptibly_locked (engine, NULL, is_ready, self,
                                                 pool_engine_deadline (timeout), &interrupted);
  pool_engine_unlock_and_call_back (engine);
  if (interrupted)
    pool_engine_explain_interruption (error);
  else if (!ready)
    g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT, "No result came within %g s", timeout);
  return ready;
}

static GVariant *
take_from_chunk (PoolResultIterator *self, GError **error)
{
  PoolAsyncResult *chunk = self->chunk;
  GVariant *value;

  /* a chunk that was refused has no items, only the reason */
  if (POOL_IS_MAP_RESULT (chunk) && pool_map_result_get_n_items (POOL_MAP_RESULT (chunk)) > 0)
    value = pool_map_result_get_item (POOL_MAP_RESULT (chunk), self->chunk_next, error);
  else
    value = pool_async_result_get (chunk, 0, error);
  if (++self->chunk_next == self->chunk_size)
    g_clear_object (&self->chunk);
  return value;
}

/* Without waiting: a value; or NULL with an error, at the end (@end), or when nothing is ready. */
static GVariant *
take (PoolResultIterator *self, gboolean *end, GError **error)
{
  GList *link;

  *end = FALSE;
  if (self->chunk != NULL)
    return take_from_chunk (self, error);

  refill (self);
  link = find_ready (self);
  if (link != NULL)
    {
      self->chunk = link->data;
      self->chunk_next = 0;
      self->chunk_size = POOL_IS_MAP_RESULT (self->chunk)
                             ? MAX (1, pool_map_result_get_n_items (POOL_MAP_RESULT (self->chunk)))
                             : 1;
      g_queue_delete_link (&self->in_flight, link);
      refill (self);
      return take_from_chunk (self, error);
    }

  if (self->in_flight.length == 0)
    {
      *end = self->source_error == NULL;
      if (self->source_error != NULL)
        g_propagate_error (error, g_steal_pointer (&self->source_error));
    }
  return NULL;
}

/**
 * pool_result_iterator_next:
 * @self: an iterator
 * @timeout: seconds to wait; negative: for ever
 * @error: return location for a #GError
 *
 * Takes the next result. After an error, other than the end of the pool, the iteration goes on with the next item.
 *
 * Returns: (transfer full) (nullable): the value; %NULL without an error at the end; %NULL with the item's error, the
 *   error of the source of the items, %POOL_ERROR_WAIT_TIMED_OUT, or %POOL_ERROR_INTERRUPTED if the pool is
 *   [property@Manager:interruptible]
 *
 * Since: 1.0
 */
GVariant *
pool_result_iterator_next (PoolResultIterator *self, double timeout, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gboolean end;
  GVariant *value;

  g_return_val_if_fail (POOL_IS_RESULT_ITERATOR (self), NULL);

  value = take (self, &end, &local_error);
  if (value == NULL && local_error == NULL && !end && wait_ready (self, timeout, &local_error))
    value = take (self, &end, &local_error);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return value;
}

/**
 * pool_result_iterator_next_bytes:
 * @self: an iterator
 * @timeout: seconds to wait; negative: for ever
 * @error: return location for a #GError
 *
 * As [method@ResultIterator.next], for tasks whose results are of type `ay`.
 *
 * Returns: (transfer full) (nullable): the bytes; %NULL as in [method@ResultIterator.next], and with
 *   %POOL_ERROR_INVALID_ARGUMENT for a result of another type
 *
 * Since: 1.0
 */
GBytes *
pool_result_iterator_next_bytes (PoolResultIterator *self, double timeout, GError **error)
{
  g_autoptr (GVariant) value = pool_result_iterator_next (self, timeout, error);

  if (value == NULL)
    return NULL;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    return g_variant_get_data_as_bytes (value);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The result is of type %s, not ay",
               g_variant_get_type_string (value));
  return NULL;
}

/**
 * pool_result_iterator_is_done:
 * @self: an iterator
 *
 * Tells whether every result has been taken and no item is left. It may ask the source of the items for another one.
 *
 * Returns: %TRUE at the end
 *
 * Since: 1.0
 */
gboolean
pool_result_iterator_is_done (PoolResultIterator *self)
{
  g_return_val_if_fail (POOL_IS_RESULT_ITERATOR (self), TRUE);

  refill (self);
  return self->chunk == NULL && self->in_flight.length == 0 && self->source_error == NULL;
}

static void try_pending (PoolResultIterator *self);

static void
one_is_ready (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (PoolResultIterator) self = user_data;

  g_object_set_data (object, "pool-iterator", NULL);
  try_pending (self);
}

static void
watch (PoolResultIterator *self)
{
  for (GList *l = self->in_flight.head; l != NULL; l = self->ordered ? NULL : l->next)
    if (g_object_get_data (l->data, "pool-iterator") == NULL)
      {
        g_object_set_data (l->data, "pool-iterator", self);
        pool_async_result_wait_async (l->data, NULL, one_is_ready, g_object_ref (self));
      }
}

static void
try_pending (PoolResultIterator *self)
{
  g_autoptr (PoolWait) wait = NULL;
  GError *error = NULL;
  gboolean end;
  GVariant *value;

  if (self->pending == NULL)
    return;
  /* the wait was cancelled: what comes is for the next one */
  if (pool_wait_has_returned (self->pending))
    {
      g_clear_object (&self->pending);
      return;
    }
  value = take (self, &end, &error);
  if (value == NULL && error == NULL && !end)
    {
      watch (self);
      return;
    }
  wait = g_steal_pointer (&self->pending);
  pool_wait_return (wait, value, error);
}

/**
 * pool_result_iterator_next_async:
 * @self: an iterator
 * @cancellable: (nullable): ends the wait
 * @callback: (scope async): called when there is a result, or at the end
 * @user_data: for @callback
 *
 * Takes the next result without blocking. One such call may be under way at a time.
 *
 * Since: 1.0
 */
void
pool_result_iterator_next_async (PoolResultIterator *self, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data)
{
  PoolWait *wait;

  g_return_if_fail (POOL_IS_RESULT_ITERATOR (self));

  wait = pool_wait_new (self->manager->engine, self, cancellable, callback, user_data);
  if (self->pending != NULL && pool_wait_has_returned (self->pending))
    g_clear_object (&self->pending);
  if (self->pending != NULL)
    {
      pool_wait_return (wait, NULL,
                        g_error_new_literal (POOL_ERROR, POOL_ERROR_STATE,
                                             "The iterator is being asked for a result already"));
      g_object_unref (wait);
      return;
    }
  self->pending = wait;
  try_pending (self);
}

/**
 * pool_result_iterator_next_finish:
 * @self: an iterator
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@ResultIterator.next_async].
 *
 * Returns: (transfer full) (nullable): as [method@ResultIterator.next]
 *
 * Since: 1.0
 */
GVariant *
pool_result_iterator_next_finish (PoolResultIterator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (pool_wait_is_valid (result, self), NULL);

  return pool_wait_propagate (POOL_WAIT (result), error);
}
