/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-map-result-private.h"

#include "pool-error.h"
#include "pool-packed-private.h"
#include "pool-value-private.h"

/**
 * PoolMapResult:
 *
 * The result of one function called on many items: [method@Manager.map_async] and its relatives.
 *
 * The items travel in chunks that are cut as workers take them: large ones first, single items at the end, so that
 * all workers end at about the same time. A worker that has nothing to do is given the later half of a chunk that
 * another one is still in. When a worker dies, only the item that it was in is blamed.
 *
 * If an item fails, the others are still run; then the map fails with the error of the first item that failed.
 *
 * Since: 1.0
 */

/* Chunks of automatic size have at most so many items and bytes. */
#define AUTO_ITEMS_MAX 1024
/* What is sent costs more for each message. */
#define AUTO_ITEMS_REMOTE_MAX 4096
#define AUTO_BYTES_MAX (64 * 1024)

typedef struct
{
  guint64 first;
  guint64 n_items;
  GBytes *results; /* packed; NULL: all its items failed with */
  GError *error;
} Chunk;

struct _PoolMapResult
{
  PoolAsyncResult parent_instance;

  PoolRecord source;
  PoolRecord first; /* the first chunk's: a short map allocates none */
  gboolean first_used;
  PoolItems items;
  PoolPackedView view; /* of items.packed */
  guint64 n_items;
  guint64 next; /* item to be cut next; the engine's lock */
  guint chunksize;
  guint32 function;

  GArray *chunks;      /* Chunk; in the order of their items when the map is done */
  guint64 n_done;      /* items that have ended; the engine's lock */
  guint64 error_index; /* item that the error is of */
  double told;         /* progress */
};

struct _PoolMapResultClass
{
  PoolAsyncResultClass parent_class;
};

G_DEFINE_FINAL_TYPE (PoolMapResult, pool_map_result, POOL_TYPE_ASYNC_RESULT)

static PoolMapResult *
get_self (PoolJob *job)
{
  return (PoolMapResult *) pool_job_get_result (job);
}

/* --- items --- */

GVariant *
pool_items_get_value (GVariant *values, guint64 index)
{
  GVariant *value = g_variant_get_child_value (values, index);
  GVariant *inner;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    return value;
  inner = g_variant_get_variant (value);
  g_variant_unref (value);
  return inner;
}

gboolean
pool_items_check (GVariant *values, gboolean star, GError **error)
{
  const GVariantType *type = g_variant_get_type (values);

  if (!g_variant_type_is_array (type) && !g_variant_type_is_tuple (type))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The items must be an array or a tuple, not %s", g_variant_get_type_string (values));
      return FALSE;
    }
  if (!star || (g_variant_type_is_array (type) &&
                g_variant_type_is_tuple (g_variant_type_element (type))))
    return TRUE;

  for (gsize i = 0, n = g_variant_n_children (values); i < n; i++)
    {
      g_autoptr (GVariant) value = pool_items_get_value (values, i);

      if (g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
        continue;
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Item %" G_GSIZE_FORMAT " must be a tuple of arguments, not %s", i,
                   g_variant_get_type_string (value));
      return FALSE;
    }
  return TRUE;
}

static PoolRecord *
no_memory (PoolMapResult *self, guint64 first, guint n, gsize size, GError **error)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
               "Task %" G_GUINT64_FORMAT ": there is no memory to send items %" G_GUINT64_FORMAT
               " to %" G_GUINT64_FORMAT ", of %" G_GSIZE_FORMAT " bytes",
               self->parent_instance.job.id, first, first + n - 1, size);
  return NULL;
}

/* A record with room for @size bytes; NULL: there is no memory for them. */
static PoolRecord *
new_record (PoolMapResult *self, PoolEngine *engine, guint64 first, guint n, gsize size, GError **error)
{
  PoolRecord *record = self->first_used ? g_new0 (PoolRecord, 1) : &self->first;

  if (G_UNLIKELY (pool_engine_alloc_payload (engine, record, size) == NULL))
    {
      if (record != &self->first)
        g_free (record);
      return no_memory (self, first, n, size, error);
    }
  self->first_used = TRUE;
  record->first = first;
  record->n_items = n;
  record->function = self->function;
  record->flags = POOL_CALL_PACKED | (self->items.values != NULL ? POOL_CALL_VALUE : 0);
  pool_engine_init_record (self->parent_instance.engine, record);
  pool_engine_set_limits (self->parent_instance.engine, record);
  if (self->parent_instance.engine->settings.capture_output)
    record->flags |= POOL_CALL_CAPTURE;
  return record;
}

static void
write_values (PoolMapResult *self, GVariant **values, guint n, guint8 *out)
{
  guint8 *data = out + POOL_PACKED_HEADER (n);
  guint64 end = 0;

  pool_packed_write (out, n);
  for (guint i = 0; i < n; i++)
    {
      pool_value_encode (values[i], self->items.wrap, data + end);
      end += pool_value_size (values[i], self->items.wrap);
      pool_packed_write (out + 8 + 8 * (gsize) i, end);
    }
}

/* A chunk of values: at most @max items, fewer when they are long (@limit: bytes). */
static PoolRecord *
cut_values (PoolMapResult *self, PoolEngine *engine, guint64 first, guint max, gsize limit,
            GError **error)
{
  g_autofree GVariant **values = g_try_new (GVariant *, max);
  PoolRecord *record;
  gsize size = 0, encoded = 0;
  guint n = 0;

  if (values == NULL)
    return no_memory (self, first, max, max * sizeof *values, error);
  while (n < max && (n == 0 || size < limit))
    {
      values[n] = pool_items_get_value (self->items.values, first + n);
      size += g_variant_get_size (values[n]);
      encoded += pool_value_size (values[n], self->items.wrap);
      n++;
    }
  record = new_record (self, engine, first, n, POOL_PACKED_HEADER (n) + encoded, error);
  if (record != NULL)
    write_values (self, values, n, (guint8 *) record->data);
  for (guint i = 0; i < n; i++)
    g_variant_unref (values[i]);
  return record;
}

static PoolRecord *
cut_packed (PoolMapResult *self, PoolEngine *engine, guint64 first, guint max, gsize limit,
            GError **error)
{
  guint64 start = pool_packed_view_start (&self->view, first);
  PoolRecord *record;
  guint n = max;

  /* the ends rise: halve until it is short enough */
  while (n > 1 && pool_packed_view_end (&self->view, first + n - 1) - start > limit)
    n = (n + 1) / 2;
  record = new_record (self, engine, first, n, pool_packed_view_slice_size (&self->view, first, n), error);
  if (record != NULL)
    pool_packed_view_slice (&self->view, first, n, (guint8 *) record->data);
  return record;
}

static PoolRecord *
cut (PoolMapResult *self, PoolEngine *engine, guint64 first, guint max, gsize limit, GError **error)
{
  return self->items.values != NULL ? cut_values (self, engine, first, max, limit, error)
                                    : cut_packed (self, engine, first, max, limit, error);
}

/* --- job --- */

static PoolRecord *
job_cut (PoolJob *job, PoolEngine *engine, guint n_workers, GError **error)
{
  PoolMapResult *self = get_self (job);
  guint64 left = self->n_items - self->next;
  PoolRecord *record;
  guint64 max, most = engine->flags & POOL_BACKEND_REMOTE ? AUTO_ITEMS_REMOTE_MAX : AUTO_ITEMS_MAX;

  if (left == 0)
    return NULL;

  /* a share of what is left: chunks get smaller towards the end */
  max = self->chunksize != 0 ? self->chunksize
                             : CLAMP (left / (2 * (guint64) n_workers), 1, most);
  max = MIN (MIN (max, left), POOL_PROGRESS_MAX_ITEMS);
  record = cut (self, engine, self->next, max, self->chunksize != 0 ? G_MAXSIZE : AUTO_BYTES_MAX, error);
  if (record != NULL)
    self->next += record->n_items;
  return record;
}

static PoolRecord *
job_cut_again (PoolJob *job, PoolEngine *engine, guint64 first, guint n, GError **error)
{
  return cut (get_self (job), engine, first, n, G_MAXSIZE, error);
}

static guint64
job_count_uncut (PoolJob *job)
{
  PoolMapResult *self = get_self (job);

  return self->n_items - self->next;
}

static void
set_item_error (PoolMapResult *self, guint64 index, GError *error)
{
  if (index > self->error_index)
    {
      g_error_free (error);
      return;
    }
  self->error_index = index;
  g_clear_error (&self->parent_instance.error);
  self->parent_instance.error = error;
}

static int
compare_chunks (gconstpointer a, gconstpointer b)
{
  const Chunk *left = a, *right = b;

  return left->first < right->first ? -1 : left->first > right->first;
}

/* Only so often as makes a difference to a bar on a screen. */
#define PROGRESS_STEP 0.01

static void
tell_progress (PoolMapResult *self)
{
  double fraction = self->n_items > 0 ? (double) self->n_done / self->n_items : 1;

  if (fraction < 1 && fraction - self->told < PROGRESS_STEP)
    return;
  self->told = fraction;
  pool_async_result_set_progress_locked (&self->parent_instance, fraction);
}

static void
items_ended (PoolMapResult *self, PoolRecord *record, guint n)
{
  PoolAsyncResult *result = &self->parent_instance;

  self->n_done += n;
  result->attempts = MAX (result->attempts, record->attempt);
  result->worker = record->worker;
  tell_progress (self);
  if (self->n_done < self->n_items || pool_job_is_done (&result->job))
    return;
  if (self->chunks->len > 1)
    g_array_sort (self->chunks, compare_chunks);
  pool_async_result_finished_locked (result);
}

/* Keeps the results; FALSE if they are not what they should be. */
static gboolean
keep_results (PoolMapResult *self, PoolRecord *record, const PoolBackendResult *result,
              GError **error)
{
  Chunk chunk = { record->first, record->n_items, NULL, NULL };
  PoolPackedView view;
  gconstpointer data;
  gsize size;

  /* first make them ours, then check them: a worker may go on writing to its memory */
  chunk.results = pool_engine_take_bytes (self->parent_instance.engine, record, result);
  data = g_bytes_get_data (chunk.results, &size);
  if (!pool_packed_view_init (&view, data, size, TRUE, error))
    {
      g_bytes_unref (chunk.results);
      return FALSE;
    }
  if (view.n_items != record->n_items)
    {
      g_bytes_unref (chunk.results);
      g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                   "Worker %u sent %" G_GUINT64_FORMAT " results for %u items", result->worker,
                   view.n_items, record->n_items);
      return FALSE;
    }

  for (guint i = 0; i < record->n_items; i++)
    if (G_UNLIKELY (pool_packed_read (view.ends + 8 * (gsize) i) & POOL_PACKED_ERROR))
      {
        gsize item_size;
        const guint8 *item = pool_packed_view_item (&view, i, &item_size, NULL);

        set_item_error (self, record->first + i, pool_error_decode (item, item_size));
        break;
      }
  g_array_append_val (self->chunks, chunk);
  return TRUE;
}

static void
fail_items (PoolMapResult *self, guint64 first, guint64 n, const GError *error)
{
  Chunk chunk = { first, n, NULL, g_error_copy (error) };

  g_array_append_val (self->chunks, chunk);
  set_item_error (self, first, g_error_copy (error));
}

static void
job_deliver (PoolJob *job, PoolRecord *record, const PoolBackendResult *result)
{
  PoolMapResult *self = get_self (job);
  g_autoptr (GError) error = NULL;

  if (result->kind == POOL_RESULT_ERROR)
    error = pool_error_decode (result->data, result->size);
  else
    keep_results (self, record, result, &error);
  if (error != NULL)
    fail_items (self, record->first, record->n_items, error);
  items_ended (self, record, record->n_items);
}

static void
job_fail (PoolJob *job, PoolRecord *record, const GError *error)
{
  PoolMapResult *self = get_self (job);
  guint n = record->n_items;

  if (record->is_source)
    {
      /* what has not been cut yet; it ends here */
      n = 0;
      if (self->next == self->n_items)
        return;
      fail_items (self, self->next, self->n_items - self->next, error);
      self->n_done += self->n_items - self->next;
      self->next = self->n_items;
    }
  else
    fail_items (self, record->first, n, error);
  items_ended (self, record, n);
}

static void
job_free_record (PoolJob *job, PoolRecord *record)
{
  if (!record->is_source && record != &get_self (job)->first)
    g_free (record);
}

static const PoolJobClass job_class = {
  .cut = job_cut,
  .cut_again = job_cut_again,
  .count_uncut = job_count_uncut,
  .deliver = job_deliver,
  .fail = job_fail,
  .free_record = job_free_record,
  .notify = pool_async_result_notify,
  .output = pool_async_result_output,
};

/* --- the result --- */

/* All results in one block. */
static GBytes *
pool_map_result_get_bytes (PoolAsyncResult *result, GError **error)
{
  PoolMapResult *self = POOL_MAP_RESULT (result);
  gsize size = POOL_PACKED_HEADER (self->n_items);
  guint8 *out, *ends, *data;
  guint64 end = 0;

  if (self->chunks->len == 1)
    return g_bytes_ref (g_array_index (self->chunks, Chunk, 0).results);

  for (guint i = 0; i < self->chunks->len; i++)
    {
      Chunk *chunk = &g_array_index (self->chunks, Chunk, i);

      size += g_bytes_get_size (chunk->results) - POOL_PACKED_HEADER (chunk->n_items);
    }
  out = g_try_malloc (size);
  if (out == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "Task %" G_GUINT64_FORMAT ": there is no memory for all results in one block, of %" G_GSIZE_FORMAT
                   " bytes; take them one by one",
                   result->job.id, size);
      return NULL;
    }
  pool_packed_write (out, self->n_items);
  ends = out + 8;
  data = ends + 8 * self->n_items;
  for (guint i = 0; i < self->chunks->len; i++)
    {
      Chunk *chunk = &g_array_index (self->chunks, Chunk, i);
      gsize chunk_size;
      const guint8 *p = g_bytes_get_data (chunk->results, &chunk_size);

      for (guint64 j = 0; j < chunk->n_items; j++, ends += 8)
        pool_packed_write (ends, pool_packed_read (p + 8 + 8 * j) + end);
      chunk_size -= POOL_PACKED_HEADER (chunk->n_items);
      memcpy (data + end, p + POOL_PACKED_HEADER (chunk->n_items), chunk_size);
      end += chunk_size;
    }
  return g_bytes_new_take (out, size);
}

static GVariant *
item_value (PoolMapResult *self, Chunk *chunk, guint index, GError **error)
{
  PoolPackedView view;
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data, *item;
  gboolean is_error;
  gsize size;

  if (chunk->results == NULL)
    {
      g_propagate_error (error, g_error_copy (chunk->error));
      return NULL;
    }
  data = g_bytes_get_data (chunk->results, &size);
  /* has been checked when it came */
  view = (PoolPackedView){ data + 8, data + POOL_PACKED_HEADER (chunk->n_items), chunk->n_items, 0 };
  item = pool_packed_view_item (&view, index, &size, &is_error);
  if (is_error)
    {
      g_propagate_error (error, pool_error_decode (item, size));
      return NULL;
    }
  bytes = g_bytes_new_from_bytes (chunk->results, item - data, size);
  if (self->items.values == NULL)
    return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
  return pool_value_decode (bytes, FALSE, error);
}

static GVariant *
pool_map_result_get_value (PoolAsyncResult *result, GError **error)
{
  PoolMapResult *self = POOL_MAP_RESULT (result);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < self->chunks->len; i++)
    {
      Chunk *chunk = &g_array_index (self->chunks, Chunk, i);

      for (guint64 j = 0; j < chunk->n_items; j++)
        {
          g_autoptr (GVariant) value = item_value (self, chunk, j, error);

          if (value == NULL)
            {
              g_variant_builder_clear (&builder);
              return NULL;
            }
          g_variant_builder_add_value (&builder, g_variant_new_variant (value));
        }
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
clear_chunk (gpointer data)
{
  Chunk *chunk = data;

  g_clear_pointer (&chunk->results, g_bytes_unref);
  g_clear_error (&chunk->error);
}

static void
pool_map_result_finalize (GObject *object)
{
  PoolMapResult *self = POOL_MAP_RESULT (object);

  g_array_unref (self->chunks);
  g_clear_pointer (&self->items.values, g_variant_unref);
  g_clear_pointer (&self->items.packed, g_bytes_unref);
  G_OBJECT_CLASS (pool_map_result_parent_class)->finalize (object);
}

static void
pool_map_result_class_init (PoolMapResultClass *klass)
{
  PoolAsyncResultClass *result_class = &klass->parent_class;

  G_OBJECT_CLASS (klass)->finalize = pool_map_result_finalize;
  result_class->get_value = pool_map_result_get_value;
  result_class->get_bytes = pool_map_result_get_bytes;
}

static void
pool_map_result_init (PoolMapResult *self)
{
  self->chunks = g_array_new (FALSE, FALSE, sizeof (Chunk));
  g_array_set_clear_func (self->chunks, clear_chunk);
  self->error_index = G_MAXUINT64;
}

static gboolean
take_items (PoolMapResult *self, const PoolItems *items, GError **error)
{
  gconstpointer data;
  gsize size;

  self->items.wrap = items->wrap;
  if (items->values != NULL)
    {
      if (!pool_items_check (items->values, !items->wrap, error))
        return FALSE;
      self->items.values = g_variant_ref (items->values);
      self->n_items = g_variant_n_children (items->values);
      return TRUE;
    }

  self->items.packed = g_bytes_ref (items->packed);
  data = g_bytes_get_data (items->packed, &size);
  if (!pool_packed_view_init (&self->view, data, size, FALSE, error))
    return FALSE;
  self->n_items = self->view.n_items;
  return TRUE;
}

PoolMapResult *
pool_map_result_submit (PoolEngine *engine, const char *task, const PoolItems *items, guint chunksize,
                        const PoolCallback *callback)
{
  PoolMapResult *self = g_object_new (POOL_TYPE_MAP_RESULT, NULL);
  PoolAsyncResult *result = &self->parent_instance;
  GError *error = NULL;

  pool_async_result_init_call (result, engine, &job_class, callback);
  self->chunksize = chunksize;
  pool_engine_lock (engine);
  if (pool_engine_check_submit (engine, &error) &&
      pool_engine_lookup (engine, task, &self->function, &error) &&
      pool_async_result_check_cancelled (result, &error) && take_items (self, items, &error))
    {
      if (self->n_items > 0)
        {
          engine->n_items += self->n_items;
          engine->n_maps++;
          pool_engine_add_source_locked (engine, &result->job, &self->source);
        }
      else
        pool_async_result_finished_locked (result);
    }
  pool_engine_unlock (engine);

  if (error != NULL)
    {
      /* each of them has failed: whoever takes them one by one must not lose count */
      if (items->values != NULL && g_variant_is_container (items->values))
        self->n_items = g_variant_n_children (items->values);
      pool_async_result_fail_now (result, error);
    }
  else if (self->n_items == 0 && result->job.wants_notify)
    pool_async_result_notify (&result->job);
  else if (result->cancellable != NULL)
    pool_async_result_watch_cancellable (result);
  return self;
}

PoolMapResult *
pool_map_result_refuse (PoolEngine *engine, const PoolCallback *callback, GError *error)
{
  PoolMapResult *self = g_object_new (POOL_TYPE_MAP_RESULT, NULL);

  pool_async_result_init_call (&self->parent_instance, engine, &job_class, callback);
  pool_async_result_fail_now (&self->parent_instance, error);
  return self;
}

/**
 * pool_map_result_get_n_items:
 * @self: a result
 *
 * Counts the items of the map.
 *
 * Returns: the number of items
 *
 * Since: 1.0
 */
guint64
pool_map_result_get_n_items (PoolMapResult *self)
{
  g_return_val_if_fail (POOL_IS_MAP_RESULT (self), 0);

  return self->n_items;
}

/**
 * pool_map_result_get_n_done:
 * @self: a result
 *
 * Counts the items that have ended so far, well or badly; they are counted when the chunk that they are in has ended.
 *
 * Returns: the number of items
 *
 * Since: 1.0
 */
guint64
pool_map_result_get_n_done (PoolMapResult *self)
{
  guint64 n_done;

  g_return_val_if_fail (POOL_IS_MAP_RESULT (self), 0);

  pool_engine_lock (self->parent_instance.engine);
  n_done = self->n_done;
  pool_engine_unlock (self->parent_instance.engine);
  return n_done;
}

static Chunk *
find_chunk (PoolMapResult *self, guint64 index, GError **error)
{
  guint low = 0, high = self->chunks->len;

  if (!pool_job_is_done (&self->parent_instance.job))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "Map %" G_GUINT64_FORMAT " has not ended yet",
                   self->parent_instance.job.id);
      return NULL;
    }
  if (index >= self->n_items)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "There is no item %" G_GUINT64_FORMAT " in a map of %" G_GUINT64_FORMAT, index,
                   self->n_items);
      return NULL;
    }

  while (low < high)
    {
      guint middle = (low + high) / 2;
      Chunk *chunk = &g_array_index (self->chunks, Chunk, middle);

      if (index < chunk->first)
        high = middle;
      else if (index >= chunk->first + chunk->n_items)
        low = middle + 1;
      else
        return chunk;
    }

  /* a call that was refused has no chunks */
  g_propagate_error (error, g_error_copy (self->parent_instance.error));
  return NULL;
}

/**
 * pool_map_result_get_item:
 * @self: a result that is ready
 * @index: which item
 * @error: return location for a #GError
 *
 * Gets the value of one item, also when others have failed.
 *
 * Returns: (transfer full): the value; %NULL with the item's own error, with %POOL_ERROR_STATE if the map has not
 *   ended, or %POOL_ERROR_INVALID_ARGUMENT if it has no such item
 *
 * Since: 1.0
 */
GVariant *
pool_map_result_get_item (PoolMapResult *self, guint64 index, GError **error)
{
  Chunk *chunk;

  g_return_val_if_fail (POOL_IS_MAP_RESULT (self), NULL);

  chunk = find_chunk (self, index, error);
  return chunk != NULL ? item_value (self, chunk, index - chunk->first, error) : NULL;
}

/**
 * pool_map_result_get_item_bytes:
 * @self: a result that is ready
 * @index: which item
 * @error: return location for a #GError
 *
 * As [method@MapResult.get_item], for a map of packed items.
 *
 * Returns: (transfer full): the bytes, or %NULL with an error
 *
 * Since: 1.0
 */
GBytes *
pool_map_result_get_item_bytes (PoolMapResult *self, guint64 index, GError **error)
{
  Chunk *chunk;

  g_return_val_if_fail (POOL_IS_MAP_RESULT (self), NULL);

  chunk = find_chunk (self, index, error);
  if (chunk == NULL)
    return NULL;
  if (chunk->results != NULL)
    return pool_packed_get_item (chunk->results, index - chunk->first, error);
  g_propagate_error (error, g_error_copy (chunk->error));
  return NULL;
}
