/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-backend-runner.h"

#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-fork-guard-private.h"
#include "pool-host-private.h"
#include "pool-local-backend-private.h"
#include "pool-runner-private.h"

#include <string.h>

enum
{
  END_NOT_YET,
  END_EXPECTED, /* it has been told to */
  END_NOW,      /* it is at it */
};

/* The words that manager and worker share are those of a ring of one worker, whose tasks come another way. */
struct _PoolBackendRunner
{
  PoolBackend *backend;
  guint worker;
  PoolBackendTellFunc tell;
  gpointer tell_data;

  gpointer memory; /* of the ring */
  PoolRing ring;
  PoolRingWorker self;
  PoolRunner runner;
  PoolTask *task; /* a reference: the manager's, to tell what runs */
  const PoolFunction *initializer; /* or NULL */
  _Atomic int end; /* END_… */

  /* the task that it was given last; the manager's, until the worker is told */
  const PoolFunction *function;
  const guint8 *data;
  gboolean has_task; /* the manager's */

  /* during enter() */
  PoolBackendLoopFunc loop;
  gpointer loop_data;
  gboolean is_entered;
  GError *error;
};

static void
pass_on (guint32 kind, const PoolRingSlot *slot, float number, gpointer data)
{
  PoolBackendRunner *self = data;
  gint64 since = atomic_load_explicit (&self->self.words->since, memory_order_relaxed);
  const PoolBackendResult message = {
    .handle = slot->handle,
    .worker = self->worker,
    .kind = kind == POOL_RING_ACCEPTED ? POOL_RESULT_ACCEPTED : POOL_RESULT_PROGRESS,
    .run_time = number,
    .since = since / 1000,
  };

  self->tell (&message, self->tell_data);
}

/**
 * pool_backend_runner_new: (skip)
 * @backend: a backend that is starting or has started
 * @worker: the worker's number
 * @tell: called when a task has something to say before its end
 * @user_data: for @tell
 * @error: return location for an error
 *
 * Makes what runs tasks in a worker, with the static arguments and the initializer of the pool.
 *
 * Returns: a runner, or %NULL if there is no such initializer
 *
 * Since: 1.0
 */
PoolBackendRunner *
pool_backend_runner_new (PoolBackend *backend, guint worker, PoolBackendTellFunc tell, gpointer user_data, GError **error)
{
  const PoolBackendConfig *config = &backend->engine->settings.backend;
  PoolBackendRunner *self;
  guint number = 0;

  if (config->initializer != NULL &&
      !pool_function_table_lookup (backend->engine->functions, config->initializer, &number, error))
    return NULL;

  self = g_new0 (PoolBackendRunner, 1);
  self->backend = backend;
  self->worker = worker;
  self->tell = tell;
  self->tell_data = user_data;
  if (config->initializer != NULL)
    self->initializer = pool_function_table_get (backend->engine->functions, number);
  self->memory = g_aligned_alloc0 (1, pool_ring_size (2, 2, 1), POOL_RING_LINE);
  pool_ring_init (&self->ring, self->memory, 2, 2, 1, -1);
  pool_ring_worker_add (&self->ring, 0, 1);
  pool_ring_worker_attach (&self->self, self->memory, 0, -1);
  self->self.tell = pass_on;
  self->self.tell_data = self;
  pool_runner_init (&self->runner, config->first_worker + worker, config->static_args);
  self->task = g_object_ref (self->runner.task);
  return self;
}

/**
 * pool_backend_runner_free: (skip)
 * @self: a runner
 *
 * Lets go of a runner whose thread has ended, or was never made.
 *
 * Since: 1.0
 */
void
pool_backend_runner_free (PoolBackendRunner *self)
{
  pool_runner_clear (&self->runner);
  g_object_unref (self->task);
  g_clear_error (&self->error);
  pool_ring_clear (&self->ring);
  g_aligned_free (self->memory);
  g_free (self);
}

/* --- the manager's side --- */

static inline PoolRingSlot *
get_slot (PoolBackendRunner *self)
{
  return &self->ring.slots[0];
}

static inline guint32
get_serial (guint64 handle)
{
  return handle >> 32;
}

static gboolean
has_task (PoolBackendRunner *self, guint64 handle)
{
  return self->has_task && get_slot (self)->handle == handle;
}

/**
 * pool_backend_runner_take: (skip)
 * @self: a runner that has no task
 * @task: its next one, whose data stay valid until it is delivered
 *
 * Notes what the worker is to run. It does not wake the worker: that is the backend's, which then calls
 * pool_backend_runner_run() in its thread.
 *
 * Since: 1.0
 */
void
pool_backend_runner_take (PoolBackendRunner *self, const PoolBackendTask *task)
{
  pool_local_slot_describe (get_slot (self), task);
  self->data = task->data;
  self->function = pool_function_table_get (self->backend->engine->functions, task->function);
  self->has_task = TRUE;
}

/**
 * pool_backend_runner_drop: (skip)
 * @self: a runner
 *
 * Notes that the task has come to its end: before its result is delivered.
 *
 * Since: 1.0
 */
void
pool_backend_runner_drop (PoolBackendRunner *self)
{
  self->has_task = FALSE;
}

/**
 * pool_backend_runner_get_info: (skip)
 * @self: a runner
 * @info: (out): what it is doing, for get_worker()
 *
 * Tells what the worker is in, and since when.
 *
 * Since: 1.0
 */
void
pool_backend_runner_get_info (PoolBackendRunner *self, PoolBackendWorker *info)
{
  *info = (PoolBackendWorker){ .done = atomic_load (&self->self.words->done) };
  if (!self->has_task)
    return;
  info->handle = get_slot (self)->handle;
  pool_ring_words_look (self->self.words, get_serial (info->handle), &info->item, &info->since);
}

/**
 * pool_backend_runner_split: (skip)
 * @self: a runner
 * @handle: of a batch
 * @n_items: how many items it has
 *
 * For split(): takes back the later half of what the worker has not started of a batch.
 *
 * Returns: the first item that was taken back, or 0: there was nothing to take, or the worker has another task
 *
 * Since: 1.0
 */
guint
pool_backend_runner_split (PoolBackendRunner *self, guint64 handle, guint n_items)
{
  if (!has_task (self, handle))
    return 0;
  return pool_progress_take_back (&self->self.words->progress, get_serial (handle), n_items);
}

/**
 * pool_backend_runner_doom: (skip)
 * @self: a runner
 * @handle: of a task
 * @item: the item that it is to be in; negative: any
 *
 * For doom(): gives a task up, if the worker has not come to its end. pool_backend_runner_run() then returns %FALSE, whenever
 * the function does, and the worker's thread is to end.
 *
 * Returns: the item that it is in + 1, or 0: it runs something else, or nothing
 *
 * Since: 1.0
 */
guint
pool_backend_runner_doom (PoolBackendRunner *self, guint64 handle, gint64 item)
{
  if (!has_task (self, handle))
    return 0;
  return pool_progress_doom (&self->self.words->progress, get_serial (handle), item);
}

static void
notify_task (gpointer data)
{
  g_autoptr (PoolTask) task = data;

  pool_task_notified (task);
}

/**
 * pool_backend_runner_notify: (skip)
 * @self: a runner
 * @handle: of a task
 * @item: the item that it is in
 * @notice: a PoolNotice
 *
 * For notify(): tells the task something, if it still runs. Its cancellable is cancelled when the pool's lock has been
 * given up.
 *
 * Since: 1.0
 */
void
pool_backend_runner_notify (PoolBackendRunner *self, guint64 handle, guint item, guint notice)
{
  pool_ring_notify (&self->ring, 0, get_serial (handle), item, notice);
  pool_engine_defer_locked (self->backend->engine, notify_task, g_object_ref (self->task));
}

/**
 * pool_backend_runner_answer: (skip)
 * @self: a runner
 * @handle: of a task that has asked whether it may start
 * @go: whether it may
 *
 * For answer(): the worker waits for it in pool_backend_runner_run().
 *
 * Since: 1.0
 */
void
pool_backend_runner_answer (PoolBackendRunner *self, guint64 handle, gboolean go)
{
  pool_ring_answer (&self->ring, 0, get_serial (handle), go);
}

static void
cancel_task (gpointer data)
{
  g_autoptr (PoolTask) task = data;

  pool_task_cancel (task);
}

/**
 * pool_backend_runner_leave: (skip)
 * @self: a runner
 * @now: whether the task that it is in is to be told to stop, and one that has asked is not to be started
 *
 * To be called when the worker is to end: for retire_worker() and stop(). It does not wake the worker.
 *
 * Since: 1.0
 */
void
pool_backend_runner_leave (PoolBackendRunner *self, gboolean now)
{
  int not_yet = END_NOT_YET;

  if (atomic_compare_exchange_strong (&self->end, &not_yet, END_EXPECTED))
    pool_fork_guard_expect_end ();
  if (!now)
    return;
  pool_ring_stop (&self->ring);
  pool_engine_defer_locked (self->backend->engine, cancel_task, g_object_ref (self->task));
}

/* --- the worker's side --- */

static int
run_loop (gpointer data)
{
  PoolBackendRunner *self = data;
  const PoolBackendConfig *config = &self->backend->engine->settings.backend;

  self->is_entered = TRUE;
  if (self->initializer == NULL ||
      pool_runner_initialize (&self->runner, self->initializer, config->initargs, &self->error))
    self->loop (self, self->loop_data);
  return 0;
}

/**
 * pool_backend_runner_enter: (skip)
 * @self: a runner
 * @loop: waits for tasks and runs them; not called if the initializer fails
 * @user_data: for @loop
 * @reason: (out): return location for what to tell in worker_down() if it fails
 * @error: return location for an error
 *
 * The life of a worker, in its thread: with what the program's language needs around it, if the pool has a thread function,
 * first the initializer and then @loop. Where it returns, no more code of the program will be run by this thread.
 *
 * Returns: %TRUE if @loop was called
 *
 * Since: 1.0
 */
gboolean
pool_backend_runner_enter (PoolBackendRunner *self, PoolBackendLoopFunc loop, gpointer user_data, PoolDownReason *reason,
                           GError **error)
{
  PoolEngine *engine = self->backend->engine;
  const PoolBackendConfig *config = &engine->settings.backend;

  self->loop = loop;
  self->loop_data = user_data;
  pool_engine_set_worker_thread (engine);
  if (config->thread_func == NULL)
    run_loop (self);
  else if (!pool_host_enter (config->thread_func, config->thread_data, run_loop, self))
    g_set_error_literal (&self->error, POOL_ERROR, POOL_ERROR_BACKEND,
                         "the thread function returned without having called pool_run_worker()");
  pool_engine_set_worker_thread (NULL);
  pool_runner_end (&self->runner);
  pool_fork_guard_note_end (atomic_exchange (&self->end, END_NOW) == END_EXPECTED);

  if (self->error == NULL)
    return TRUE;
  *reason = self->is_entered ? POOL_DOWN_REASON_INITIALIZER : POOL_DOWN_REASON_NOT_STARTED;
  g_propagate_prefixed_error (error, g_steal_pointer (&self->error), "%s: ",
                              self->is_entered ? "failed in its initializer" : "could not be made");
  return FALSE;
}

/**
 * pool_backend_runner_run: (skip)
 * @self: a runner that was given a task
 * @result: (out): what came of it; its data are valid until the next task is run, or the runner is freed
 *
 * Runs the task, in the worker's thread, from within the loop.
 *
 * Returns: %FALSE if the manager has given the task up: there is no result, and the thread is to end
 *
 * Since: 1.0
 */
gboolean
pool_backend_runner_run (PoolBackendRunner *self, PoolBackendResult *result)
{
  const PoolRingSlot *slot = get_slot (self);
  PoolRunnerReply reply = { 0 };
  PoolTiming timing;
  PoolRunnerOutcome outcome =
      pool_runner_run_slot (&self->runner, &self->self, slot, self->function, self->data, &reply, &timing);

  *result = (PoolBackendResult){ .handle = slot->handle, .worker = self->worker, .kind = POOL_RESULT_NONE };
  if (outcome != POOL_RUNNER_DONE)
    return outcome == POOL_RUNNER_REFUSED;
  result->kind = reply.kind;
  result->n_items = reply.n_items;
  result->run_time = timing.run_time;
  result->started = timing.started;
  result->data = reply.data;
  result->size = reply.size;
  result->is_reference = reply.is_reference;
  if (reply.is_reference)
    result->offset = reply.data - self->data;
  return TRUE;
}
