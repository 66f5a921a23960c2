/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-apply-result-private.h"
#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-manager-private.h"

/* put(), get() and their relatives: the pool as a work queue with one target function. */

static guint
queue_limit (PoolManager *self)
{
  guint processes = self->engine->settings.backend.processes;

  return (self->queue.size != 0 ? self->queue.size : 2 * processes) + processes;
}

static gboolean
has_room (gpointer data)
{
  PoolManager *self = data;

  return self->engine->state != POOL_STATE_RUN ||
         self->engine->ledger.n_records < queue_limit (self);
}

/**
 * pool_manager_put:
 * @self: a pool that runs, with a target
 * @args: a tuple of arguments, or one argument that is not a tuple
 * @timeout: seconds to wait for room in the queue; 0: not at all; negative: for ever
 * @error: return location for a #GError
 *
 * Puts work for the pool's target into the queue. Its result comes out of [method@Manager.get].
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_QUEUE_FULL, %POOL_ERROR_NOT_STARTED, %POOL_ERROR_CLOSED,
 *   %POOL_ERROR_NO_SUCH_TASK or, if the pool is [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
gboolean
pool_manager_put (PoolManager *self, GVariant *args, double timeout, GError **error)
{
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (PoolApplyResult) result = NULL;
  PoolAsyncResult *base;
  PoolArgument argument = { 0 };
  guint n_waiting;
  gboolean room, interrupted;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (args != NULL, FALSE);

  sunk = g_variant_ref_sink (args);
  pool_engine_lock (self->engine);
  room = pool_engine_wait_interruptibly_locked (self->engine, NULL, has_room, self,
                                                pool_engine_deadline (timeout), &interrupted);
  n_waiting = self->engine->ledger.n_records;
  pool_engine_unlock (self->engine);
  if (interrupted)
    {
      pool_engine_explain_interruption (error);
      return FALSE;
    }
  if (!room)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_QUEUE_FULL,
                   "The queue is full: %u items wait for %u workers", n_waiting,
                   self->engine->settings.backend.processes);
      return FALSE;
    }

  argument.value = sunk;
  argument.wrap = !g_variant_is_of_type (sunk, G_VARIANT_TYPE_TUPLE);
  result = pool_apply_result_submit (self->engine, pool_manager_get_task (self, NULL), &argument,
                                     NULL, NULL);
  base = POOL_ASYNC_RESULT (result);
  if (base->job.id == 0 && pool_job_is_done (&base->job))
    {
      g_propagate_error (error, g_error_copy (base->error));
      return FALSE;
    }

  pool_engine_lock (self->engine);
  g_queue_push_tail (&self->queue.results, g_steal_pointer (&result));
  pool_engine_wake_locked (self->engine, NULL);
  pool_engine_unlock (self->engine);
  return TRUE;
}

typedef struct
{
  PoolManager *manager; /* a reference */
  PoolNextFunc next;
  gpointer user_data;
  GDestroyNotify destroy;
} Feeder;

/* Whatever signals come to this thread: they are not meant for it. */
static gboolean
put_whole (PoolManager *self, GVariant *item, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  while (!pool_manager_put (self, item, -1, &local_error))
    {
      if (!g_error_matches (local_error, POOL_ERROR, POOL_ERROR_INTERRUPTED))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      g_clear_error (&local_error);
    }
  return TRUE;
}

static gpointer
feed (gpointer data)
{
  Feeder *feeder = data;
  PoolManager *self = feeder->manager;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) item = feeder->next (feeder->user_data, &error);

      if (item != NULL)
        g_variant_take_ref (item);
      if (item == NULL || !put_whole (self, item, &error))
        {
          if (error != NULL)
            g_debug ("put_async ended: %s", error->message);
          break;
        }
    }

  if (feeder->destroy != NULL)
    feeder->destroy (feeder->user_data);
  pool_engine_lock (self->engine);
  self->queue.feeding = FALSE;
  pool_engine_wake_locked (self->engine, NULL);
  pool_engine_unlock (self->engine);
  g_object_unref (self);
  g_free (feeder);
  pool_fork_guard_note_end (FALSE);
  return NULL;
}

/**
 * pool_manager_put_async:
 * @self: a pool that runs, with a target
 * @next: (scope notified) (closure user_data) (destroy destroy): produces the items
 * @user_data: for @next
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * Puts the items of a lazy sequence into the queue, in a thread of its own, as there is room for them. It can be
 * called once in the life of a pool. The thread ends at the end of the sequence, when @next fails, or when the pool is
 * closed.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE if it was called before, %POOL_ERROR_NOT_STARTED,
 *   %POOL_ERROR_CLOSED, or %POOL_ERROR_BACKEND if no thread can be made
 *
 * Since: 1.0
 */
gboolean
pool_manager_put_async (PoolManager *self, PoolNextFunc next, gpointer user_data,
                        GDestroyNotify destroy, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  Feeder *feeder;
  gboolean ok;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (next != NULL, FALSE);

  pool_engine_lock (self->engine);
  ok = pool_engine_check_submit (self->engine, error);
  if (ok && self->queue.fed)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_STATE,
                           "put_async can be called once in the life of a pool");
      ok = FALSE;
    }
  if (ok)
    self->queue.fed = self->queue.feeding = TRUE;
  pool_engine_unlock (self->engine);
  if (!ok)
    {
      if (destroy != NULL)
        destroy (user_data);
      return FALSE;
    }

  feeder = g_new (Feeder, 1);
  *feeder = (Feeder){ g_object_ref (self), next, user_data, destroy };
  self->queue.feeder = g_thread_try_new ("pool-feeder", feed, feeder, &local_error);
  if (self->queue.feeder != NULL)
    return TRUE;

  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No thread to put from: %s", local_error->message);
  pool_engine_lock (self->engine);
  self->queue.fed = self->queue.feeding = FALSE;
  pool_engine_wake_locked (self->engine, NULL);
  pool_engine_unlock (self->engine);
  g_object_unref (self);
  g_free (feeder);
  if (destroy != NULL)
    destroy (user_data);
  return FALSE;
}

static gboolean
feeder_ended (gpointer data)
{
  return !((PoolManager *) data)->queue.feeding;
}

/**
 * pool_manager_join_async:
 * @self: a pool
 * @timeout: seconds; negative: for ever
 * @error: return location for a #GError
 *
 * Waits until [method@Manager.put_async] has put all its items.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_WAIT_TIMED_OUT or, if the pool is [property@Manager:interruptible],
 *   %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
gboolean
pool_manager_join_async (PoolManager *self, double timeout, GError **error)
{
  gboolean ended, interrupted;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  ended = pool_engine_wait_interruptibly_locked (self->engine, NULL, feeder_ended, self,
                                                 pool_engine_deadline (timeout), &interrupted);
  pool_engine_unlock (self->engine);
  if (interrupted)
    pool_engine_explain_interruption (error);
  else if (!ended)
    g_set_error (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT,
                 "Items were still being put after %g s", timeout);
  return ended;
}

static gboolean
is_done (gpointer data)
{
  return pool_job_is_done (&((PoolAsyncResult *) data)->job);
}

/* Those that were cleared while they were far away, and have come back. */
static void
drop_cleared (PoolManager *self)
{
  for (GList *l = self->queue.results.head, *next; l != NULL && self->queue.n_unwanted > 0; l = next)
    {
      PoolAsyncResult *result = l->data;

      next = l->next;
      if (!result->is_unwanted || !is_done (result))
        continue;
      self->queue.n_unwanted--;
      result->is_unwanted = FALSE;
      if (!g_error_matches (result->error, POOL_ERROR, POOL_ERROR_CANCELLED))
        continue;
      g_queue_delete_link (&self->queue.results, l);
      pool_engine_defer_locked (self->engine, g_object_unref, result);
    }
}

/* The link of the next result to take, or NULL: none is ready. */
static GList *
next_ready (PoolManager *self)
{
  drop_cleared (self);
  if (self->queue.ordered)
    return self->queue.results.head != NULL && is_done (self->queue.results.head->data)
               ? self->queue.results.head
               : NULL;

  for (GList *l = self->queue.results.head; l != NULL; l = l->next)
    if (is_done (l->data))
      return l;
  return NULL;
}

static gboolean
can_get (gpointer data)
{
  PoolManager *self = data;

  return next_ready (self) != NULL || (self->queue.results.head == NULL && !self->queue.feeding);
}

static void
explain_nothing (PoolManager *self, gboolean waited, GError **error)
{
  if (self->engine->state == POOL_STATE_NEW)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_NOT_STARTED, "The pool has not been started");
  else if (waited)
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_QUEUE_EMPTY, "No result is ready");
  else
    g_set_error_literal (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT,
                         "There is nothing to get: every result has been taken or was cleared");
}

static GVariant *
open_result (PoolManager *self, PoolAsyncResult *result, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  GVariant *value = pool_async_result_get (result, 0, &local_error);

  if (value != NULL)
    return value;
  /* the worker was not replaced, or the whole pool went, not only this item: say it in the words of a queue */
  if (g_error_matches (local_error, POOL_ERROR, POOL_ERROR_RESTART_FREQ) ||
      (g_error_matches (local_error, POOL_ERROR, POOL_ERROR_TERMINATED) &&
       pool_manager_get_state (self) > POOL_STATE_CLOSE))
    local_error->code = POOL_ERROR_WORKERS_GONE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

/**
 * pool_manager_get:
 * @self: a pool
 * @timeout: seconds to wait; 0: not at all; negative: for ever
 * @error: return location for a #GError
 *
 * Takes the result of an item that was put: of the next one in the order of [method@Manager.put] if
 * [property@Manager:ordered] is set, else of any that has ended.
 *
 * Returns: (transfer full): the value; %NULL with the item's own error, %POOL_ERROR_QUEUE_EMPTY if none was ready in
 *   time, %POOL_ERROR_NOTHING_PUT if none is to come, %POOL_ERROR_WORKERS_GONE if no worker is left, or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
GVariant *
pool_manager_get (PoolManager *self, double timeout, GError **error)
{
  g_autoptr (PoolAsyncResult) result = NULL;
  gboolean interrupted;
  GList *link;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  pool_engine_lock (self->engine);
  pool_engine_wait_interruptibly_locked (self->engine, NULL, can_get, self,
                                         pool_engine_deadline (timeout), &interrupted);
  link = next_ready (self);
  if (link != NULL)
    {
      result = link->data;
      g_queue_delete_link (&self->queue.results, link);
    }
  else if (interrupted)
    pool_engine_explain_interruption (error);
  else
    explain_nothing (self, self->queue.results.head != NULL || self->queue.feeding, error);
  pool_engine_unlock (self->engine);

  return result != NULL ? open_result (self, result, error) : NULL;
}

static gboolean
all_done (gpointer data)
{
  PoolManager *self = data;

  if (self->queue.feeding)
    return FALSE;
  drop_cleared (self);
  /* the last is the likeliest to be missing */
  for (GList *l = self->queue.results.tail; l != NULL; l = l->prev)
    if (!is_done (l->data))
      return FALSE;
  return TRUE;
}

static GList *
find_failed (PoolManager *self)
{
  for (GList *l = self->queue.results.head; l != NULL; l = l->next)
    if (((PoolAsyncResult *) l->data)->error != NULL)
      return l;
  return NULL;
}

/**
 * pool_manager_get_all:
 * @self: a pool
 * @error: return location for a #GError
 *
 * Waits for everything that was put and takes all results, in the order of [method@Manager.put]. If an item failed, its
 * error is given, only that item is taken, and the call can be made again for the others.
 *
 * Returns: (transfer full): an array of type `av`, empty if nothing was put; %NULL with an item's error or, if the pool is
 *   [property@Manager:interruptible], %POOL_ERROR_INTERRUPTED
 *
 * Since: 1.0
 */
GVariant *
pool_manager_get_all (PoolManager *self, GError **error)
{
  g_autoptr (PoolAsyncResult) failed = NULL;
  GQueue results = G_QUEUE_INIT;
  GVariantBuilder builder;
  PoolAsyncResult *result;
  gboolean interrupted;
  GList *link;

  g_return_val_if_fail (POOL_IS_MANAGER (self), NULL);

  pool_engine_lock (self->engine);
  pool_engine_wait_interruptibly_locked (self->engine, NULL, all_done, self, -1, &interrupted);
  link = interrupted ? NULL : find_failed (self);
  if (link != NULL)
    {
      failed = link->data;
      g_queue_delete_link (&self->queue.results, link);
    }
  else if (!interrupted)
    {
      results = self->queue.results;
      g_queue_init (&self->queue.results);
    }
  pool_engine_unlock (self->engine);
  if (failed != NULL)
    return open_result (self, failed, error);
  if (interrupted)
    {
      pool_engine_explain_interruption (error);
      return NULL;
    }

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  while ((result = g_queue_pop_head (&results)) != NULL)
    {
      g_autoptr (GVariant) value = pool_async_result_get (result, 0, error);

      g_object_unref (result);
      if (value == NULL)
        {
          g_queue_clear_full (&results, g_object_unref);
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add_value (&builder, g_variant_new_variant (value));
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/**
 * pool_manager_clear_tasks:
 * @self: a pool
 *
 * Takes everything out of the queue that no worker has started. The results of those items will not come; what runs goes on.
 *
 * Items that are on another machine already are asked back. They come back, and go, if nobody has started them there.
 *
 * Returns: how many items were taken out now
 *
 * Since: 1.0
 */
guint
pool_manager_clear_tasks (PoolManager *self)
{
  g_autoptr (GError) error = NULL;
  GQueue cleared = G_QUEUE_INIT;
  guint n;

  g_return_val_if_fail (POOL_IS_MANAGER (self), 0);

  error = g_error_new_literal (POOL_ERROR, POOL_ERROR_CANCELLED, "The queue was cleared");
  pool_engine_lock (self->engine);
  for (GList *l = self->queue.results.head, *next; l != NULL; l = next)
    {
      PoolAsyncResult *result = l->data;

      next = l->next;
      if (is_done (result) || result->is_unwanted)
        continue;
      if (!pool_engine_cancel_queued_locked (self->engine, &result->job, error))
        {
          result->is_unwanted = TRUE;
          self->queue.n_unwanted++;
          continue;
        }
      g_queue_unlink (&self->queue.results, l);
      g_queue_push_tail_link (&cleared, l);
    }
  pool_engine_wake_locked (self->engine, NULL);
  pool_engine_unlock (self->engine);

  n = cleared.length;
  g_queue_clear_full (&cleared, g_object_unref);
  return n;
}

/**
 * pool_manager_is_alive:
 * @self: a pool
 *
 * Tells whether any worker is alive. The answer is remembered for five seconds.
 *
 * Returns: %TRUE if one is
 *
 * Since: 1.0
 */
gboolean
pool_manager_is_alive (PoolManager *self)
{
  gint64 now = g_get_monotonic_time ();
  gboolean alive;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  pool_engine_lock (self->engine);
  if (self->alive_asked == 0 || now - self->alive_asked > 5 * G_USEC_PER_SEC)
    {
      self->alive = self->engine->n_alive > 0;
      self->alive_asked = now;
    }
  alive = self->alive;
  pool_engine_unlock (self->engine);
  return alive;
}

void
pool_manager_queue_clear (PoolManager *self)
{
  g_queue_clear_full (&self->queue.results, g_object_unref);
  /* it holds a reference to the pool, so it has ended or is this thread */
  if (self->queue.feeder != NULL)
    g_thread_unref (self->queue.feeder);
  self->queue.feeder = NULL;
}
