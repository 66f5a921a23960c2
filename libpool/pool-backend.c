/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-backend-private.h"
#include "pool-engine-private.h"

/**
 * PoolBackend: (skip)
 *
 * What runs the tasks of a pool: threads, processes, other machines. Subclass it in a module to add a kind; programs
 * that only use pools never see it.
 *
 * The engine does everything that does not depend on the transport: timeouts, retries, order, restarts, statistics.
 * A backend moves batches of packed bytes, makes and ends workers, and says what happened through
 * pool_backend_deliver(), pool_backend_worker_up() and pool_backend_worker_down().
 *
 * Since: 1.0
 */
G_DEFINE_ABSTRACT_TYPE (PoolBackend, pool_backend, G_TYPE_OBJECT)

static void
pool_backend_class_init (PoolBackendClass *klass)
{
}

static void
pool_backend_init (PoolBackend *self)
{
}

/**
 * pool_backend_deliver: (skip)
 * @self: a backend
 * @result: what came back for a task
 *
 * Hands a result, or a task that was never started, up to the engine. A result whose handle is not that of the last
 * hand-out of its task is dropped.
 *
 * Since: 1.0
 */
void
pool_backend_deliver (PoolBackend *self, const PoolBackendResult *result)
{
  if (G_UNLIKELY (self->sink != NULL))
    self->sink->deliver (self->sink, result);
  else
    pool_engine_deliver (self->engine, result);
}

/**
 * pool_backend_worker_up: (skip)
 * @self: a backend
 * @worker: the worker's number; that of a worker that is gone may be used again
 * @pid: its process id, or 0
 * @host: (nullable): the machine it runs on; %NULL: this one
 *
 * Tells the engine that a worker is ready: its initializer has run.
 *
 * Since: 1.0
 */
void
pool_backend_worker_up (PoolBackend *self, guint worker, gint64 pid, const char *host)
{
  if (self->sink != NULL)
    self->sink->worker_up (self->sink, worker, pid);
  else
    pool_engine_worker_up (self->engine, worker, pid, host != NULL ? host : g_get_host_name ());
}

/**
 * pool_backend_worker_sandboxed: (skip)
 * @self: a backend
 * @worker: the worker's number
 * @enforced: what is enforced on it
 *
 * Tells the engine what a worker is kept from, right before pool_backend_worker_up(). A backend whose workers are in no
 * sandbox need not call it.
 *
 * Since: 1.0
 */
void
pool_backend_worker_sandboxed (PoolBackend *self, guint worker, PoolSandboxFlags enforced)
{
  if (self->sink != NULL)
    self->sink->worker_sandboxed (self->sink, worker, enforced);
  else
    pool_engine_worker_sandboxed (self->engine, worker, enforced);
}

/**
 * pool_backend_worker_down: (skip)
 * @self: a backend
 * @exit: how it ended, and over which task
 *
 * Tells the engine that a worker is gone, after its last results have been delivered. The engine runs its task again
 * or fails it, and asks for another worker where one is wanted.
 *
 * Since: 1.0
 */
void
pool_backend_worker_down (PoolBackend *self, const PoolBackendExit *exit)
{
  if (self->sink != NULL)
    self->sink->worker_down (self->sink, exit);
  else
    pool_engine_worker_down (self->engine, exit);
}

/**
 * pool_backend_log: (skip)
 * @self: a backend
 * @worker: the worker's number
 * @record: a record that it logged, as it came; anything at all does no harm
 * @size: its length
 *
 * Hands a log record up, which comes out of this process's log writer. A record that a task made is told before its
 * result or the end of its worker.
 *
 * Since: 1.0
 */
void
pool_backend_log (PoolBackend *self, guint worker, const guint8 *record, gsize size)
{
  if (self->sink != NULL)
    self->sink->log (self->sink, worker, record, size);
  else
    pool_engine_log (self->engine, worker, record, size);
}

/**
 * pool_backend_output: (skip)
 * @self: a backend
 * @handle: of a task that is to be captured
 * @output: what it wrote; its bytes are referenced
 *
 * Tells what a task wrote to its standard output and error, before its result or the end of its worker.
 *
 * Since: 1.0
 */
void
pool_backend_output (PoolBackend *self, guint64 handle, const PoolBackendOutput *output)
{
  if (self->sink != NULL)
    self->sink->output (self->sink, handle, output);
  else
    pool_engine_output (self->engine, handle, output);
}

/**
 * pool_backend_was_split: (skip)
 * @self: a backend
 * @handle: of a batch that a worker runs
 * @first: the first item that was taken back
 *
 * For a backend that cannot say so when it is asked: split() has returned 0, and now the later part of the batch was
 * taken back. The worker's result is that of the items before @first.
 *
 * Since: 1.0
 */
void
pool_backend_was_split (PoolBackend *self, guint64 handle, guint first)
{
  pool_engine_was_split (self->engine, handle, first);
}

/**
 * pool_backend_worker_changed: (skip)
 * @self: a backend
 * @worker: the worker's number
 *
 * For a backend that hears late of what workers do: get_worker() has something new to tell of this one, which may run over
 * a time limit.
 *
 * Since: 1.0
 */
void
pool_backend_worker_changed (PoolBackend *self, guint worker)
{
  pool_engine_worker_changed (self->engine, worker);
}

/**
 * pool_backend_add_wanted: (skip)
 * @self: a backend
 * @n: how many workers; negative: fewer
 *
 * For workers that come and go by themselves: the pool is to have so many more than it wanted up to now. To be called
 * before they come up, or are told to be gone.
 *
 * Since: 1.0
 */
void
pool_backend_add_wanted (PoolBackend *self, int n)
{
  pool_engine_add_wanted (self->engine, n);
}

/**
 * pool_backend_get_function_name: (skip)
 * @self: a backend
 * @function: number of a function, from a task
 *
 * Gets the name by which a worker elsewhere finds a function.
 *
 * Returns: the name, or %NULL if there is no such function
 *
 * Since: 1.0
 */
const char *
pool_backend_get_function_name (PoolBackend *self, guint function)
{
  const PoolFunction *found = pool_function_table_get (self->engine->functions, function);

  return found != NULL ? found->name : NULL;
}

/**
 * pool_backend_hold: (skip)
 * @self: a backend that is starting or has started
 *
 * Keeps the backend, and all that tasks of its pool need, for a thread that may still be in a task when the program lets go of
 * the pool. To be called before the thread is made.
 *
 * Since: 1.0
 */
void
pool_backend_hold (PoolBackend *self)
{
  pool_engine_ref (self->engine);
}

/**
 * pool_backend_release: (skip)
 * @self: a backend
 *
 * Gives back what pool_backend_hold() kept: the last thing that the thread does, as the backend may go with it.
 *
 * Since: 1.0
 */
void
pool_backend_release (PoolBackend *self)
{
  pool_engine_unref (self->engine);
}
