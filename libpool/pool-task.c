/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-task-private.h"

#include <string.h>

/**
 * PoolTask:
 *
 * The running call, as its function sees it: who asked, which attempt this is, and where the reply goes.
 *
 * A task object belongs to its worker, which uses the same one for call after call: it means nothing outside of the
 * function it was given to and must not be kept or handed to another thread.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (PoolTask, pool_task, G_TYPE_OBJECT)

/* One for all tasks: it is taken only where somebody asks for a cancellable. */
static GMutex cancel_lock;

static void
pool_task_finalize (GObject *object)
{
  PoolTask *self = POOL_TASK (object);

  g_clear_pointer (&self->static_args, g_variant_unref);
  g_clear_object (&self->cancellable);
  pool_buffer_clear (&self->reply);
  G_OBJECT_CLASS (pool_task_parent_class)->finalize (object);
}

static void
pool_task_class_init (PoolTaskClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = pool_task_finalize;
}

static void
pool_task_init (PoolTask *self)
{
}

PoolTask *
pool_task_new (guint worker, GVariant *static_args)
{
  PoolTask *self = g_object_new (POOL_TYPE_TASK, NULL);

  self->worker = worker;
  if (static_args != NULL)
    self->static_args = g_variant_ref (static_args);
  return self;
}

/**
 * pool_task_get_id:
 * @self: a task
 *
 * Gets the number that the pool gave to this call; an item of a map has the number of its map.
 *
 * Returns: the number, from 1
 *
 * Since: 1.0
 */
guint64
pool_task_get_id (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), 0);

  return self->id;
}

/**
 * pool_task_get_name:
 * @self: a task
 *
 * Gets the name that the function was called by.
 *
 * Returns: the name
 *
 * Since: 1.0
 */
const char *
pool_task_get_name (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), NULL);

  return self->name;
}

/**
 * pool_task_get_attempt:
 * @self: a task
 *
 * Tells how often this call has been started: more than once when workers died that ran it.
 *
 * Returns: the attempt, from 1
 *
 * Since: 1.0
 */
guint
pool_task_get_attempt (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), 0);

  return self->attempt;
}

/**
 * pool_task_get_worker:
 * @self: a task
 *
 * Gets the number of the worker that runs the call, as in [method@WorkerInfo.get_id].
 *
 * Returns: the worker's number
 *
 * Since: 1.0
 */
guint
pool_task_get_worker (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), 0);

  return self->worker;
}

/**
 * pool_task_get_static_args:
 * @self: a task
 *
 * Gets the pool's static arguments, which were sent to this worker once.
 *
 * Returns: (transfer none) (nullable): a tuple, or %NULL if the pool has none
 *
 * Since: 1.0
 */
GVariant *
pool_task_get_static_args (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), NULL);

  return self->static_args;
}

/**
 * pool_task_get_cancellable:
 * @self: a task
 *
 * Gets what tells the task to stop early: it is cancelled when the caller cancels the call, or when its soft time limit
 * is over. Give it to whatever takes a cancellable.
 *
 * Returns: (transfer none): a cancellable, owned by the task
 *
 * Since: 1.0
 */
GCancellable *
pool_task_get_cancellable (PoolTask *self)
{
  gboolean is_new = FALSE, is_cancelled = FALSE;

  g_return_val_if_fail (POOL_IS_TASK (self), NULL);

  g_mutex_lock (&cancel_lock);
  if (self->cancellable == NULL)
    {
      self->cancellable = g_cancellable_new ();
      is_new = TRUE;
      is_cancelled = self->cancelled;
    }
  g_mutex_unlock (&cancel_lock);
  if (is_new && self->watch != NULL)
    self->watch (self, self->watch_data);
  /* also what came before there was anybody to tell */
  if (is_new && (is_cancelled || pool_task_get_notice (self) != POOL_NOTICE_NONE))
    g_cancellable_cancel (self->cancellable);
  return self->cancellable;
}

/* What this call, or this item of a batch, has been told, and no other. */
PoolNotice
pool_task_get_notice (PoolTask *self)
{
  guint64 notice;
  PoolNotice kind;
  guint item;

  if (self->ring == NULL)
    return POOL_NOTICE_NONE;
  notice = atomic_load (&self->ring->words->notice);
  kind = (notice >> 32) & 0xff;
  item = notice >> 40;
  if ((guint32) notice != atomic_load_explicit (&self->serial, memory_order_relaxed))
    return POOL_NOTICE_NONE;
  if (kind == POOL_NOTICE_SOFT_TIMEOUT &&
      pool_progress_started (atomic_load (&self->ring->words->progress)) != item + 1)
    return POOL_NOTICE_NONE;
  return kind;
}

void
pool_task_begin (PoolTask *self, PoolRingWorker *ring, const PoolRingSlot *slot)
{
  self->ring = ring;
  self->slot = slot;
  self->limit = slot->limit;
  atomic_store_explicit (&self->serial, (guint32) (slot->handle >> 32), memory_order_relaxed);
}

void
pool_task_notified (PoolTask *self)
{
  g_autoptr (GCancellable) cancellable = NULL;

  g_mutex_lock (&cancel_lock);
  /* a cancellable that is there was made by what runs now, whose notice this is or not */
  if (self->cancellable != NULL && pool_task_get_notice (self) != POOL_NOTICE_NONE)
    cancellable = g_object_ref (self->cancellable);
  g_mutex_unlock (&cancel_lock);
  if (cancellable != NULL)
    g_cancellable_cancel (cancellable);
}

/**
 * pool_task_get_deadline:
 * @self: a task
 *
 * Gets when the first time limit of the call ends: the soft one, or, if it has none, the hard one. In a map each item has
 * its own.
 *
 * Returns: monotonic time in microseconds, as [func@GLib.get_monotonic_time]; 0 if there is no limit
 *
 * Since: 1.0
 */
gint64
pool_task_get_deadline (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), 0);

  if (self->ring == NULL || self->limit <= 0)
    return 0;
  return atomic_load_explicit (&self->ring->words->since, memory_order_relaxed) / 1000 +
         (gint64) (self->limit * G_USEC_PER_SEC);
}

/**
 * pool_task_is_soft_timed_out:
 * @self: a task
 *
 * Tells whether the call has run over its soft limit, and should clean up and return. Its cancellable is cancelled then,
 * too, and in a worker process SIGUSR1 has interrupted the system call that it was in.
 *
 * Returns: %TRUE if it has
 *
 * Since: 1.0
 */
gboolean
pool_task_is_soft_timed_out (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), FALSE);

  return pool_task_get_notice (self) == POOL_NOTICE_SOFT_TIMEOUT;
}

/* Progress is told at most so often, but for the end. */
#define TELL_NS (20 * 1000 * 1000)

/**
 * pool_task_set_progress:
 * @self: a task
 * @fraction: how much is done, from 0 to 1
 *
 * Tells how far the call is; it shows as [property@AsyncResult:progress]. Cheap enough for an inner loop: it is passed
 * on at most every 20 ms. Only for the thread that the function was called in. In a map it counts for nothing, as
 * there the items that have ended do.
 *
 * Since: 1.0
 */
void
pool_task_set_progress (PoolTask *self, double fraction)
{
  gint64 now;

  g_return_if_fail (POOL_IS_TASK (self));

  if (self->ring == NULL || self->slot->flags & POOL_CALL_PACKED)
    return;
  now = pool_now_ns ();
  if (fraction < 1 && now - self->told_at < TELL_NS)
    return;
  self->told_at = now;
  pool_ring_worker_tell (self->ring, POOL_RING_PROGRESS, self->slot, CLAMP (fraction, 0, 1));
}

void
pool_task_cancel (PoolTask *self)
{
  g_autoptr (GCancellable) cancellable = NULL;

  g_mutex_lock (&cancel_lock);
  self->cancelled = TRUE;
  if (self->cancellable != NULL)
    cancellable = g_object_ref (self->cancellable);
  g_mutex_unlock (&cancel_lock);
  if (cancellable != NULL)
    g_cancellable_cancel (cancellable);
}

void
pool_task_forget_cancellable (PoolTask *self)
{
  g_autoptr (GCancellable) cancellable = NULL;

  g_mutex_lock (&cancel_lock);
  cancellable = g_steal_pointer (&self->cancellable);
  g_mutex_unlock (&cancel_lock);
}

static void
refuse (PoolTask *self, gsize size)
{
  self->refused = TRUE;
  self->refused_size = MAX (self->refused_size, self->reply.len + size);
}

/**
 * pool_task_reply:
 * @self: a task
 * @data: (array length=size) (element-type guint8): bytes of the result
 * @size: how many
 *
 * Adds bytes to the result of a [callback@BytesFunc]. The bytes are copied, but for one case: when the only
 * reply of a lone call is 4 KiB or more of its own argument, it is passed on where it lies. If there is no memory for
 * them the call fails with %POOL_ERROR_OUT_OF_MEMORY, whatever the function returns.
 *
 * Since: 1.0
 */
void
pool_task_reply (PoolTask *self, const guint8 *data, gsize size)
{
  if (self->args != NULL && size >= POOL_TASK_REFERENCE_MIN && data >= self->args &&
      data + size <= self->args + self->args_size && self->reply.len == 0 &&
      self->reference == NULL && self->large == NULL)
    {
      self->reference = data;
      self->reference_size = size;
      return;
    }

  if (size > 0)
    {
      guint8 *place = pool_task_reserve_reply (self, size);

      if (place != NULL)
        memcpy (place, data, size);
    }
}

/**
 * pool_task_reserve_reply: (skip)
 * @self: a task
 * @size: number of bytes
 *
 * Adds room to the result, to be written by the caller: saves the copy that [method@Task.reply] makes. The
 * place is valid until the next call on @self.
 *
 * Returns: (transfer none) (nullable): @size bytes to write to; %NULL if there is no memory for them: then the call fails
 *   with %POOL_ERROR_OUT_OF_MEMORY, whatever the function returns
 *
 * Since: 1.0
 */
guint8 *
pool_task_reserve_reply (PoolTask *self, gsize size)
{
  guint8 *place;

  if (size > POOL_TASK_LARGE_MIN && self->args != NULL && self->reserve != NULL &&
      self->reply.len == 0 && self->reference == NULL && self->large == NULL)
    {
      self->large = self->reserve (self->reserve_data, size);
      self->large_size = size;
      if (self->large != NULL)
        return self->large;
    }
  /* there is more: what came before is no longer the whole */
  if (G_UNLIKELY (self->reference != NULL) &&
      !pool_buffer_try_append (&self->reply, g_steal_pointer (&self->reference), self->reference_size))
    refuse (self, self->reference_size);
  if (G_UNLIKELY (self->large != NULL) &&
      !pool_buffer_try_append (&self->reply, g_steal_pointer (&self->large), self->large_size))
    refuse (self, self->large_size);
  place = pool_buffer_try_reserve (&self->reply, size);
  if (G_UNLIKELY (place == NULL))
    refuse (self, size);
  return place;
}

/**
 * pool_task_reserve_reply_address:
 * @self: a task
 * @size: number of bytes
 *
 * As [method@Task.reserve_reply], for a language binding that can write to memory.
 *
 * Returns: the address of @size bytes to write to; 0 if there is no memory for them: then the call fails with
 *   %POOL_ERROR_OUT_OF_MEMORY, whatever the function returns
 *
 * Since: 1.0
 */
guint64
pool_task_reserve_reply_address (PoolTask *self, gsize size)
{
  g_return_val_if_fail (POOL_IS_TASK (self), 0);

  return GPOINTER_TO_SIZE (pool_task_reserve_reply (self, size));
}

/**
 * pool_task_locate_argument:
 * @self: a task
 * @fd: (out) (optional): return location for a descriptor, which remains the pool's and is not to be closed; -1 if
 *   there is none
 * @offset: (out) (optional): return location for the offset of the argument's first byte in what @fd is of, in bytes
 *
 * Tells where the worker can map the argument of this call by itself: with a private mapping of it the argument can be
 * changed in place, of which nobody else sees anything. What is mapped stays readable after the call, yet its contents
 * are the argument's during the call only.
 *
 * That can be told in a worker process which has the pool's memory open, and only for a large argument of a lone
 * call: not in a thread, nor for an item of a map, nor for an argument that is so short that it travels with the call.
 *
 * Returns: %TRUE; %FALSE if there is no such place
 *
 * Since: 1.0
 */
gboolean
pool_task_locate_argument (PoolTask *self, int *fd, guint64 *offset)
{
  int found_fd = -1;
  guint64 found_offset = 0;
  gboolean found;

  g_return_val_if_fail (POOL_IS_TASK (self), FALSE);

  found = self->args != NULL && self->locate != NULL &&
          self->locate (self->locate_data, self->args, &found_fd, &found_offset);
  if (fd != NULL)
    *fd = found_fd;
  if (offset != NULL)
    *offset = found_offset;
  return found;
}
