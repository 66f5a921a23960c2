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
 * Gets what tells the task to stop early. Give it to whatever takes a cancellable.
 *
 * Returns: (transfer none): a cancellable, owned by the task
 *
 * Since: 1.0
 */
GCancellable *
pool_task_get_cancellable (PoolTask *self)
{
  g_return_val_if_fail (POOL_IS_TASK (self), NULL);

  g_mutex_lock (&cancel_lock);
  if (self->cancellable == NULL)
    {
      self->cancellable = g_cancellable_new ();
      if (self->cancelled)
        g_cancellable_cancel (self->cancellable);
    }
  g_mutex_unlock (&cancel_lock);
  return self->cancellable;
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

/**
 * pool_task_reply:
 * @self: a task
 * @data: (array length=size) (element-type guint8): bytes of the result
 * @size: how many
 *
 * Adds bytes to the result of a [callback@BytesFunc]. The bytes are copied, but for one case: when the only
 * reply of a lone call is 4 KiB or more of its own argument, it is passed on where it lies.
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
    memcpy (pool_task_reserve_reply (self, size), data, size);
}

/**
 * pool_task_reserve_reply: (skip)
 * @self: a task
 * @size: number of bytes
 *
 * Adds room to the result, to be written by the caller: saves the copy that [method@Task.reply] makes. The
 * place is valid until the next call on @self.
 *
 * Returns: (transfer none): @size bytes to write to
 *
 * Since: 1.0
 */
guint8 *
pool_task_reserve_reply (PoolTask *self, gsize size)
{
  if (size > POOL_TASK_LARGE_MIN && self->args != NULL && self->reserve != NULL &&
      self->reply.len == 0 && self->reference == NULL && self->large == NULL)
    {
      self->large = self->reserve (self->reserve_data, size);
      self->large_size = size;
      if (self->large != NULL)
        return self->large;
    }
  /* there is more: what came before is no longer the whole */
  if (G_UNLIKELY (self->reference != NULL))
    pool_buffer_append (&self->reply, g_steal_pointer (&self->reference), self->reference_size);
  if (G_UNLIKELY (self->large != NULL))
    pool_buffer_append (&self->reply, g_steal_pointer (&self->large), self->large_size);
  return pool_buffer_reserve (&self->reply, size);
}
