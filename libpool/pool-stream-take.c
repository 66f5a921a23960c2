/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-stream-private.h"

#include "pool-error.h"
#include "pool-packed-private.h"

/* How results of a stream are waited for and taken. */

/* Above this a result is not copied into the batch that take() gives. */
#define LARGE_RESULT (64 * 1024)

/* What the words before each item say. */
enum
{
  KIND_RESULT,
  KIND_LARGE,
  KIND_FAILED,
};

#define ITEM_HEADER 16

/* --- waiting --- */

/* Would take() give something, or is nothing to come? */
static gboolean
can_take (gpointer data)
{
  const PoolStreamTaker *taker = data;
  const PoolStream *self = taker->stream;
  const GList *head = self->order.head;

  return head == NULL || (taker->ordered ? ((PoolStreamCall *) head->data)->has_ended : self->ended.length > 0);
}

static void
free_taker (PoolStreamTaker *taker)
{
  g_object_unref (taker->wait);
  g_free (taker);
}

static void
return_taker (gpointer data)
{
  PoolStreamTaker *taker = data;

  pool_wait_return (taker->wait, NULL, NULL);
  free_taker (taker);
}

/* Something can be taken now, or nothing any more: tells who waits for it. */
void
pool_stream_tell_locked (PoolStream *self)
{
  if (self->engine->waiters != NULL || self->engine->pump != NULL)
    pool_engine_wake_locked (self->engine, &self->job);
  for (GSList **p = &self->takers; *p != NULL;)
    {
      GSList *link = *p;

      if (!can_take (link->data))
        {
          p = &link->next;
          continue;
        }
      *p = link->next;
      pool_engine_defer_locked (self->engine, return_taker, link->data);
      g_slist_free_1 (link);
    }
}

/* --- taking --- */

static guint64
get_kind (const PoolStreamCall *call)
{
  if (call->error != NULL)
    return KIND_FAILED;
  return call->size > LARGE_RESULT ? KIND_LARGE : KIND_RESULT;
}

/* What a batch has of a call, beside its number and kind. */
static gsize
get_size (const PoolStreamCall *call)
{
  return get_kind (call) == KIND_RESULT ? call->size : 0;
}

/* The first call to be taken, or the next one. */
static PoolStreamCall *
get_next (PoolStream *self, gboolean ordered, PoolStreamCall *call)
{
  GList *link;

  if (!ordered)
    link = call == NULL ? self->ended.head : call->ended.next;
  else
    link = call == NULL ? self->order.head : call->order.next;
  return link != NULL && ((PoolStreamCall *) link->data)->has_ended ? link->data : NULL;
}

static void
keep_leftover (PoolStream *self, PoolStreamCall *call)
{
  PoolStreamLeftover *leftover = g_new (PoolStreamLeftover, 1);

  *leftover = (PoolStreamLeftover){ call->record.first, g_steal_pointer (&call->bytes), call->error };
  g_hash_table_replace (self->leftovers, &leftover->number, leftover);
}

/* They are the caller's now, by record.next. */
static PoolStreamCall *
detach_locked (PoolStream *self, gboolean ordered)
{
  PoolStreamCall *calls = NULL, *last = NULL, *call;

  while ((call = get_next (self, ordered, NULL)) != NULL)
    {
      g_queue_unlink (&self->order, &call->order);
      g_queue_unlink (&self->ended, &call->ended);
      call->record.next = NULL;
      if (last == NULL)
        calls = call;
      else
        last->record.next = (PoolRecord *) call;
      last = call;
      if (get_kind (call) != KIND_RESULT)
        keep_leftover (self, call);
    }
  if (self->order.length == 0)
    pool_stream_tell_locked (self);
  return calls;
}

static void
pack (const PoolStreamCall *calls, guint64 n, guint8 *out)
{
  guint8 *data = out + POOL_PACKED_HEADER (n), *place = data;

  pool_packed_write (out, n);
  for (const PoolStreamCall *call = calls; call != NULL; call = (const PoolStreamCall *) call->record.next)
    {
      gsize size = get_size (call);

      pool_packed_write (place, call->record.first);
      pool_packed_write (place + 8, get_kind (call));
      place += ITEM_HEADER;
      if (size > 0)
        memcpy (place, call->bytes != NULL ? g_bytes_get_data (call->bytes, NULL) : call->record.bytes, size);
      place += size;
      out += 8;
      pool_packed_write (out, place - data);
    }
}

/* All that can be taken, of which there is some. The lock is given up meanwhile. */
static GBytes *
take_locked (PoolStream *self, gboolean ordered, GError **error)
{
  gsize size = POOL_PACKED_HEADER (0);
  guint64 n = 0;
  guint8 *out;
  PoolStreamCall *calls;

  for (PoolStreamCall *call = get_next (self, ordered, NULL); call != NULL; call = get_next (self, ordered, call))
    {
      size += 8 + ITEM_HEADER + get_size (call);
      n++;
    }
  out = g_try_malloc (size);
  if (out == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "There is no memory for a batch of %" G_GUINT64_FORMAT " results, of %" G_GSIZE_FORMAT " bytes", n,
                   size);
      return NULL;
    }
  calls = detach_locked (self, ordered);
  pool_engine_unlock (self->engine);
  pack (calls, n, out);
  pool_engine_lock (self->engine);
  /* what is said of a failed call is a leftover's by now */
  for (PoolStreamCall *call = calls; call != NULL; call = (PoolStreamCall *) call->record.next)
    call->error = NULL;
  pool_stream_free_calls_locked (self, calls);
  return g_bytes_new_take (out, size);
}

static void
explain_wait (double timeout, gboolean interrupted, GError **error)
{
  if (interrupted)
    pool_engine_explain_interruption (error);
  else if (timeout < 0)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                         "Results of this pool cannot be waited for here: in a process that was forked from the pool's, or in a "
                         "task of a pool that may have no more workers (max-processes)");
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT, "No result came within %g s", timeout);
}

/**
 * pool_stream_take:
 * @self: a stream
 * @ordered: take the results that come next in the order of the numbers; else all that are there, in the order in which they came
 * @timeout: seconds to wait; 0: not at all; negative: for ever
 * @error: return location for a #GError
 *
 * Waits until there is something to take, and takes all there is. The results come as one packed batch, see
 * [func@packed_check]. Each item begins with two little-endian 64-bit numbers: that of the call, and what follows:
 *
 * - 0: the bytes of the result;
 * - 1: nothing; the result is larger than 64 KiB, and [method@Stream.steal_large] gives it without a copy;
 * - 2: nothing; the call failed, and [method@Stream.check] gives its error.
 *
 * Returns: (transfer full) (nullable): the batch; %NULL without an error if every call has been taken; %NULL with
 *   %POOL_ERROR_WAIT_TIMED_OUT, %POOL_ERROR_OUT_OF_MEMORY (and nothing is taken), %POOL_ERROR_STATE or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
GBytes *
pool_stream_take (PoolStream *self, gboolean ordered, double timeout, GError **error)
{
  PoolStreamTaker taker = { self, ordered, NULL };
  gboolean ready, interrupted;
  GBytes *batch = NULL;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), NULL);

  pool_engine_lock (self->engine);
  ready = pool_engine_wait_interruptibly_locked (self->engine, &self->job, can_take, &taker,
                                                 pool_engine_deadline (timeout), &interrupted);
  if (ready && self->order.length > 0)
    batch = take_locked (self, ordered, error);
  pool_engine_unlock_and_call_back (self->engine);
  if (!ready)
    explain_wait (timeout, interrupted, error);
  return batch;
}

/**
 * pool_stream_steal_large:
 * @self: a stream
 * @number: of a call that was taken and has a large result
 * @error: return location for a #GError
 *
 * Gives the result of a call that was too large for its batch, once. It is not copied: the bytes lie where the worker wrote them.
 *
 * Returns: (transfer full): the bytes; %NULL with %POOL_ERROR_INVALID_ARGUMENT if there are none of that number
 *
 * Since: 1.0
 */
GBytes *
pool_stream_steal_large (PoolStream *self, guint64 number, GError **error)
{
  PoolStreamLeftover *leftover;
  GBytes *bytes = NULL;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), NULL);

  pool_engine_lock (self->engine);
  leftover = g_hash_table_lookup (self->leftovers, &number);
  if (leftover != NULL && leftover->bytes != NULL)
    {
      bytes = g_steal_pointer (&leftover->bytes);
      g_hash_table_remove (self->leftovers, &number);
    }
  pool_engine_unlock (self->engine);
  if (bytes == NULL)
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "There is no large result of call %" G_GUINT64_FORMAT " that was not fetched yet", number);
  return bytes;
}

/**
 * pool_stream_check:
 * @self: a stream
 * @number: of a call that was taken
 * @error: return location for a #GError
 *
 * Tells why a call failed, once; it is forgotten then.
 *
 * Returns: %FALSE with the error of the call; %TRUE if there is none
 *
 * Since: 1.0
 */
gboolean
pool_stream_check (PoolStream *self, guint64 number, GError **error)
{
  PoolStreamLeftover *leftover;
  GError *found = NULL;

  g_return_val_if_fail (POOL_STREAM_IS_OPEN (self), FALSE);

  pool_engine_lock (self->engine);
  leftover = g_hash_table_lookup (self->leftovers, &number);
  if (leftover != NULL && leftover->error != NULL)
    {
      found = g_steal_pointer (&leftover->error);
      g_hash_table_remove (self->leftovers, &number);
    }
  pool_engine_unlock (self->engine);
  if (found == NULL)
    return TRUE;
  g_propagate_error (error, found);
  return FALSE;
}

/* Those whose wait was cancelled keep the stream for nothing. The list of them, to be freed without the lock. */
static GSList *
sort_out_locked (PoolStream *self)
{
  GSList *returned = NULL;

  for (GSList **p = &self->takers; *p != NULL;)
    {
      GSList *link = *p;

      if (!pool_wait_has_returned (((PoolStreamTaker *) link->data)->wait))
        {
          p = &link->next;
          continue;
        }
      *p = link->next;
      link->next = returned;
      returned = link;
    }
  return returned;
}

/**
 * pool_stream_wait_async:
 * @self: a stream
 * @ordered: as for [method@Stream.take]
 * @cancellable: (nullable): ends the wait, not the calls
 * @callback: (scope async): called when there is something to take, or when all has been taken
 * @user_data: for @callback
 *
 * Waits without blocking until [method@Stream.take] need not wait.
 *
 * Since: 1.0
 */
void
pool_stream_wait_async (PoolStream *self, gboolean ordered, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  GSList *returned;
  PoolStreamTaker *taker;
  gboolean ready;

  g_return_if_fail (POOL_STREAM_IS_OPEN (self));

  taker = g_new (PoolStreamTaker, 1);
  *taker = (PoolStreamTaker){ self, ordered, pool_wait_new (self->engine, self, cancellable, callback, user_data) };
  pool_engine_lock (self->engine);
  returned = sort_out_locked (self);
  ready = can_take (taker);
  if (!ready)
    self->takers = g_slist_prepend (self->takers, taker);
  pool_engine_unlock (self->engine);
  if (ready)
    return_taker (taker);
  g_slist_free_full (returned, (GDestroyNotify) free_taker);
}

/**
 * pool_stream_wait_finish:
 * @self: a stream
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends [method@Stream.wait_async].
 *
 * Returns: %TRUE if [method@Stream.take] need not wait, unless somebody else was faster; %FALSE with an error if the wait was
 *   cancelled
 *
 * Since: 1.0
 */
gboolean
pool_stream_wait_finish (PoolStream *self, GAsyncResult *result, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  g_return_val_if_fail (pool_wait_is_valid (result, self), FALSE);

  pool_wait_propagate (POOL_WAIT (result), &local_error);
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
