/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-enum-types.h"
#include "pool-init.h"

/* What a pool is set up with: its properties. Those that say what it does, or have it say so, are in pool-manager-statistics.c. */

enum
{
  PROP_0,
  PROP_BACKEND,
  PROP_PROCESSES,
  PROP_START_METHOD,
  PROP_WORKER_COMMAND,
  PROP_TARGET,
  PROP_TARGET_TYPE,
  PROP_STATIC_ARGS,
  PROP_RESILIENT,
  PROP_MAX_RETRIES,
  PROP_MAX_RESTARTS,
  PROP_MAX_RESTART_FREQ,
  PROP_QUEUE_SIZE,
  PROP_ORDERED,
  PROP_DAEMON,
  PROP_THREADS,
  PROP_SANDBOX,
  PROP_CAPTURE_OUTPUT,
  PROP_TIMEOUT,
  PROP_SOFT_TIMEOUT,
  PROP_ENABLE_TIMEOUTS,
  PROP_LOST_WORKER_TIMEOUT,
  PROP_GRACE,
  PROP_MAX_TASKS_PER_CHILD,
  PROP_MAX_MEMORY_PER_CHILD,
  PROP_MEMORY_LIMIT,
  PROP_ALLOW_RESTART,
  PROP_SYNACK,
  PROP_PUTLOCKS,
  PROP_SEMAPHORE,
  PROP_MIN_PROCESSES,
  PROP_MAX_PROCESSES,
  PROP_IDLE_TIME,
  PROP_CALLBACK_GRACE,
  PROP_INTERRUPTIBLE,
  PROP_KEEP_DESCRIPTORS,
  PROP_REPLACE_WORKERS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

/* Limits of tasks and workers. */
static void
get_limit (PoolManager *self, guint prop_id, GValue *value)
{
  PoolEngineSettings *settings = &self->engine->settings;

  switch (prop_id)
    {
    case PROP_TIMEOUT:
      g_value_set_double (value, settings->timeout);
      break;
    case PROP_SOFT_TIMEOUT:
      g_value_set_double (value, settings->soft_timeout);
      break;
    case PROP_ENABLE_TIMEOUTS:
      g_value_set_boolean (value, settings->enable_timeouts);
      break;
    case PROP_LOST_WORKER_TIMEOUT:
      g_value_set_double (value, settings->lost_worker_timeout);
      break;
    case PROP_GRACE:
      g_value_set_double (value, settings->grace);
      break;
    case PROP_MAX_TASKS_PER_CHILD:
      g_value_set_uint (value, settings->backend.max_tasks_per_child);
      break;
    case PROP_MAX_MEMORY_PER_CHILD:
      g_value_set_uint64 (value, settings->backend.max_memory_per_child);
      break;
    case PROP_MEMORY_LIMIT:
      g_value_set_uint64 (value, settings->backend.memory_limit);
      break;
    case PROP_ALLOW_RESTART:
      g_value_set_boolean (value, self->allow_restart);
      break;
    case PROP_SYNACK:
      g_value_set_boolean (value, settings->synack);
      break;
    case PROP_PUTLOCKS:
      g_value_set_boolean (value, settings->putlocks);
      break;
    case PROP_SEMAPHORE:
      g_value_set_uint (value, settings->slots);
      break;
    case PROP_MIN_PROCESSES:
      g_value_set_uint (value, settings->min_processes);
      break;
    case PROP_MAX_PROCESSES:
      g_value_set_uint (value, settings->max_processes);
      break;
    case PROP_IDLE_TIME:
      g_value_set_double (value, settings->idle_time);
      break;
    case PROP_SANDBOX:
      g_value_set_enum (value, settings->backend.sandbox);
      break;
    case PROP_CALLBACK_GRACE:
      g_value_set_double (value, settings->callback_grace);
      break;
    case PROP_INTERRUPTIBLE:
      g_value_set_boolean (value, settings->interruptible);
      break;
    case PROP_KEEP_DESCRIPTORS:
      g_value_set_boolean (value, settings->backend.keep_descriptors);
      break;
    case PROP_REPLACE_WORKERS:
      g_value_set_boolean (value, !settings->leave_dead);
      break;
    default:
      break;
    }
}

static gboolean
set_limit (PoolManager *self, guint prop_id, const GValue *value)
{
  PoolEngineSettings *settings = &self->engine->settings;

  switch (prop_id)
    {
    case PROP_TIMEOUT:
      settings->timeout = g_value_get_double (value);
      break;
    case PROP_SOFT_TIMEOUT:
      settings->soft_timeout = g_value_get_double (value);
      break;
    case PROP_ENABLE_TIMEOUTS:
      settings->enable_timeouts = g_value_get_boolean (value);
      break;
    case PROP_LOST_WORKER_TIMEOUT:
      settings->lost_worker_timeout = g_value_get_double (value);
      break;
    case PROP_GRACE:
      settings->grace = g_value_get_double (value);
      break;
    case PROP_MAX_TASKS_PER_CHILD:
      settings->backend.max_tasks_per_child = g_value_get_uint (value);
      break;
    case PROP_MAX_MEMORY_PER_CHILD:
      settings->backend.max_memory_per_child = g_value_get_uint64 (value);
      break;
    case PROP_MEMORY_LIMIT:
      settings->backend.memory_limit = g_value_get_uint64 (value);
      break;
    case PROP_ALLOW_RESTART:
      self->allow_restart = g_value_get_boolean (value);
      break;
    case PROP_SYNACK:
      settings->synack = g_value_get_boolean (value);
      break;
    case PROP_PUTLOCKS:
      settings->putlocks = g_value_get_boolean (value);
      break;
    case PROP_SEMAPHORE:
      settings->slots = g_value_get_uint (value);
      break;
    case PROP_MIN_PROCESSES:
      settings->min_processes = g_value_get_uint (value);
      break;
    case PROP_MAX_PROCESSES:
      settings->max_processes = g_value_get_uint (value);
      break;
    case PROP_IDLE_TIME:
      settings->idle_time = g_value_get_double (value);
      break;
    case PROP_SANDBOX:
      settings->backend.sandbox = g_value_get_enum (value);
      break;
    case PROP_CALLBACK_GRACE:
      settings->callback_grace = g_value_get_double (value);
      break;
    case PROP_INTERRUPTIBLE:
      settings->interruptible = g_value_get_boolean (value);
      break;
    case PROP_KEEP_DESCRIPTORS:
      settings->backend.keep_descriptors = g_value_get_boolean (value);
      break;
    case PROP_REPLACE_WORKERS:
      settings->leave_dead = !g_value_get_boolean (value);
      break;
    default:
      return FALSE;
    }
  return TRUE;
}

void
pool_manager_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  PoolManager *self = POOL_MANAGER (object);
  PoolEngineSettings *settings = &self->engine->settings;

  switch (prop_id)
    {
    case PROP_BACKEND:
      g_value_set_string (value, self->backend);
      break;
    case PROP_PROCESSES:
      g_value_set_int (value, self->processes_set ? self->processes : (int) pool_cpu_count ());
      break;
    case PROP_START_METHOD:
      g_value_set_enum (value, settings->backend.start_method);
      break;
    case PROP_WORKER_COMMAND:
      g_value_set_boxed (value, settings->backend.worker_command);
      break;
    case PROP_TARGET:
      g_value_set_string (value, self->target);
      break;
    case PROP_TARGET_TYPE:
      g_value_set_gtype (value, self->target_type);
      break;
    case PROP_STATIC_ARGS:
      g_value_set_variant (value, settings->backend.static_args);
      break;
    case PROP_RESILIENT:
      g_value_set_boolean (value, settings->resilient);
      break;
    case PROP_MAX_RETRIES:
      g_value_set_uint (value, settings->max_retries);
      break;
    case PROP_MAX_RESTARTS:
      g_value_set_uint (value, settings->max_restarts);
      break;
    case PROP_MAX_RESTART_FREQ:
      g_value_set_double (value, settings->max_restart_freq);
      break;
    case PROP_QUEUE_SIZE:
      g_value_set_uint (value, self->queue.size);
      break;
    case PROP_ORDERED:
      g_value_set_boolean (value, self->queue.ordered);
      break;
    case PROP_DAEMON:
      g_value_set_boolean (value, self->daemon);
      break;
    case PROP_THREADS:
      g_value_set_boolean (value, settings->threads);
      break;
    case PROP_CAPTURE_OUTPUT:
      g_value_set_boolean (value, settings->capture_output);
      break;
    default:
      if (prop_id >= POOL_MANAGER_REMOTE)
        pool_manager_get_remote (self, prop_id, value);
      else if (prop_id >= POOL_MANAGER_STATISTICS)
        pool_manager_get_statistic (self, prop_id, value);
      else
        get_limit (self, prop_id, value);
      break;
    }
}

void
pool_manager_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  PoolManager *self = POOL_MANAGER (object);
  PoolEngineSettings *settings = &self->engine->settings;

  /* what a pool was started with stays: check_settable() in the setters that can fail says so */
  if (self->engine->state != POOL_STATE_NEW)
    {
      g_critical ("Property \"%s\" cannot be changed once the pool has started", pspec->name);
      return;
    }

  switch (prop_id)
    {
    case PROP_BACKEND:
      g_free (self->backend);
      self->backend = g_value_dup_string (value);
      break;
    case PROP_PROCESSES:
      self->processes = g_value_get_int (value);
      self->processes_set = TRUE;
      break;
    case PROP_START_METHOD:
      settings->backend.start_method = g_value_get_enum (value);
      break;
    case PROP_WORKER_COMMAND:
      pool_manager_set_worker_command (self, value);
      break;
    case PROP_TARGET:
      g_free (self->target);
      self->target = g_value_dup_string (value);
      break;
    case PROP_TARGET_TYPE:
      self->target_type = g_value_get_gtype (value);
      break;
    case PROP_STATIC_ARGS:
      g_clear_pointer (&settings->backend.static_args, g_variant_unref);
      settings->backend.static_args = g_value_dup_variant (value);
      break;
    case PROP_RESILIENT:
      settings->resilient = g_value_get_boolean (value);
      break;
    case PROP_MAX_RETRIES:
      settings->max_retries = g_value_get_uint (value);
      break;
    case PROP_MAX_RESTARTS:
      settings->max_restarts = g_value_get_uint (value);
      break;
    case PROP_MAX_RESTART_FREQ:
      settings->max_restart_freq = g_value_get_double (value);
      break;
    case PROP_QUEUE_SIZE:
      self->queue.size = g_value_get_uint (value);
      break;
    case PROP_ORDERED:
      self->queue.ordered = g_value_get_boolean (value);
      break;
    case PROP_DAEMON:
      self->daemon = g_value_get_boolean (value);
      break;
    case PROP_THREADS:
      settings->threads = g_value_get_boolean (value);
      break;
    case PROP_CAPTURE_OUTPUT:
      settings->capture_output = g_value_get_boolean (value);
      break;
    default:
      if (prop_id >= POOL_MANAGER_REMOTE)
        pool_manager_set_remote (self, prop_id, value);
      else if (prop_id >= POOL_MANAGER_STATISTICS)
        pool_manager_set_statistic (self, prop_id, value);
      else if (!set_limit (self, prop_id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
install_settings (void)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:backend:
   *
   * What runs the tasks: `fork`, `threads`, `zmq`, `mpi`, or the name of another module; see [func@list_backends].
   *
   * Since: 1.0
   */
  properties[PROP_BACKEND] = g_param_spec_string ("backend", NULL, NULL, "fork", flags);

  /**
   * PoolManager:processes:
   *
   * The number of workers; the default is [func@cpu_count]. A number below 1 makes [method@Manager.start] fail.
   *
   * Since: 1.0
   */
  properties[PROP_PROCESSES] =
      g_param_spec_int ("processes", NULL, NULL, G_MININT, G_MAXINT, 1, flags);

  /**
   * PoolManager:start-method:
   *
   * How worker processes are made.
   *
   * Since: 1.0
   */
  properties[PROP_START_METHOD] =
      g_param_spec_enum ("start-method", NULL, NULL, POOL_TYPE_START_METHOD,
                         POOL_START_METHOD_AUTO, flags);

  /**
   * PoolManager:worker-command:
   *
   * The program, by its absolute path, and its first arguments, that are run instead of the helper `pool-worker` where workers
   * are not forked from this program: with the start methods `forkserver` and `spawn`, and when `auto` comes down to them.
   * The library's arguments follow. That program registers functions and calls [method@Manager.run_worker]; those of this
   * program are found there by their names. A path that is not absolute makes [method@Manager.start] fail.
   *
   * Since: 1.0
   */
  properties[PROP_WORKER_COMMAND] =
      g_param_spec_boxed ("worker-command", NULL, NULL, G_TYPE_STRV, flags);

  /**
   * PoolManager:target:
   *
   * The task that is meant where none is named: by [method@Manager.put], and by calls with %NULL for a task.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, flags);

  /**
   * PoolManager:target-type:
   *
   * A subclass of [class@Process] whose `run` is the pool's target, instead of a function.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET_TYPE] =
      g_param_spec_gtype ("target-type", NULL, NULL, G_TYPE_NONE, flags);

  /**
   * PoolManager:static-args: (setter set_static_args)
   *
   * A tuple that is sent to each worker once and appended to the arguments of each call; a [class@Process] gets it when it
   * is made instead.
   *
   * Since: 1.0
   */
  properties[PROP_STATIC_ARGS] =
      g_param_spec_variant ("static-args", NULL, NULL, G_VARIANT_TYPE_TUPLE, NULL, flags);

  /**
   * PoolManager:resilient:
   *
   * Run a task again whose worker died. If %FALSE, it fails with %POOL_ERROR_WORKER_LOST, and no task is ever started
   * twice.
   *
   * Since: 1.0
   */
  properties[PROP_RESILIENT] = g_param_spec_boolean ("resilient", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:max-retries:
   *
   * A task that has taken down this many workers fails with %POOL_ERROR_WORKER_LOST.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RETRIES] =
      g_param_spec_uint ("max-retries", NULL, NULL, 0, G_MAXUINT16, 3, flags);

  /**
   * PoolManager:max-restarts:
   *
   * How many workers may be replaced within [property@Manager:max-restart-freq] seconds before the pool gives up and
   * is %POOL_STATE_BROKEN; 0: 100 for each worker.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RESTARTS] =
      g_param_spec_uint ("max-restarts", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * PoolManager:max-restart-freq:
   *
   * The time in seconds within which [property@Manager:max-restarts] are counted.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RESTART_FREQ] =
      g_param_spec_double ("max-restart-freq", NULL, NULL, 0, 1e9, 1, flags);

  /**
   * PoolManager:queue-size:
   *
   * How many items [method@Manager.put] takes, beyond those that workers are busy with, before it waits; 0: two for
   * each worker.
   *
   * Since: 1.0
   */
  properties[PROP_QUEUE_SIZE] = g_param_spec_uint ("queue-size", NULL, NULL, 0, G_MAXINT, 0, flags);

  /**
   * PoolManager:ordered:
   *
   * Whether [method@Manager.get] gives results in the order of [method@Manager.put] rather than as they are ready.
   *
   * Since: 1.0
   */
  properties[PROP_ORDERED] = g_param_spec_boolean ("ordered", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:daemon:
   *
   * Whether dropping the pool ends its workers at once. If %FALSE, it waits until they have done all that was
   * submitted.
   *
   * Since: 1.0
   */
  properties[PROP_DAEMON] = g_param_spec_boolean ("daemon", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:threads:
   *
   * Whether a thread of the pool keeps it going when nobody waits for a result. If %FALSE, the main context of the
   * thread that made the pool does, and calls that wait do.
   *
   * Since: 1.0
   */
  properties[PROP_THREADS] = g_param_spec_boolean ("threads", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:capture-output:
   *
   * Whether what a task and its children write to standard output and error is kept for
   * [method@AsyncResult.get_output] and [method@AsyncResult.get_error_output], rather than going where the program's goes.
   * [property@CallOptions:capture-output] says it for one call. Calls whose result is no object ([method@Manager.put],
   * iterators) are not captured. The `threads` backend cannot capture: starting it fails with
   * %POOL_ERROR_INVALID_ARGUMENT.
   *
   * Since: 1.0
   */
  properties[PROP_CAPTURE_OUTPUT] =
      g_param_spec_boolean ("capture-output", NULL, NULL, FALSE, flags);
}

static void
install_limits (void)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:timeout:
   *
   * The hard time limit of each task, in seconds; 0: none. The time begins when a worker starts the task (in a map: the item). A worker
   * that runs over it is killed with all that it has started, and replaced; the task fails with %POOL_ERROR_TIMED_OUT. A thread
   * cannot be killed: it is abandoned, counted in [property@Manager:n-abandoned], and replaced.
   *
   * Since: 1.0
   */
  properties[PROP_TIMEOUT] = g_param_spec_double ("timeout", NULL, NULL, 0, G_MAXDOUBLE, 0, flags);

  /**
   * PoolManager:soft-timeout:
   *
   * The soft time limit of each task, in seconds; 0: none. A task that runs over it is told, so that it can clean up: its cancellable
   * is cancelled, [method@Task.is_soft_timed_out] is %TRUE, and in a worker process SIGUSR1 interrupts a system call. If it then
   * fails with %G_IO_ERROR_CANCELLED, the call fails with %POOL_ERROR_SOFT_TIMED_OUT; a result counts as usual.
   *
   * Since: 1.0
   */
  properties[PROP_SOFT_TIMEOUT] = g_param_spec_double ("soft-timeout", NULL, NULL, 0, G_MAXDOUBLE, 0, flags);

  /**
   * PoolManager:enable-timeouts:
   *
   * Whether time limits count. If %FALSE, tasks have none, whatever the pool and the calls say.
   *
   * Since: 1.0
   */
  properties[PROP_ENABLE_TIMEOUTS] = g_param_spec_boolean ("enable-timeouts", NULL, NULL, TRUE, flags);

  /**
   * PoolManager:lost-worker-timeout:
   *
   * How long a result may still arrive, in seconds, after its worker is gone. It matters where results travel: those of a worker on this
   * machine have been taken before its end is dealt with.
   *
   * Since: 1.0
   */
  properties[PROP_LOST_WORKER_TIMEOUT] = g_param_spec_double ("lost-worker-timeout", NULL, NULL, 0, 1e9, 10, flags);

  /**
   * PoolManager:grace:
   *
   * The time in seconds that a running task has to stop by itself when it is cancelled, or its worker when it is sent a signal, before
   * the worker is killed.
   *
   * Since: 1.0
   */
  properties[PROP_GRACE] = g_param_spec_double ("grace", NULL, NULL, 0, 1e9, 2, flags);

  /**
   * PoolManager:max-tasks-per-child:
   *
   * After so many tasks (a chunk of a map is one) a worker is replaced by a fresh one; 0: never. It goes when its successor is up, and
   * the workers that are made with the pool have shorter lives, so that they do not all go together.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_TASKS_PER_CHILD] = g_param_spec_uint ("max-tasks-per-child", NULL, NULL, 0, G_MAXINT, 0, flags);

  /**
   * PoolManager:max-memory-per-child:
   *
   * A worker that has more than so many KiB resident after a task is replaced by a fresh one; 0: never. For backends whose workers are
   * processes.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_MEMORY_PER_CHILD] = g_param_spec_uint64 ("max-memory-per-child", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:memory-limit:
   *
   * The memory in KiB that a worker may have beyond what it is made with; 0: any. It holds while a task runs: the task that needs more
   * fails with %POOL_ERROR_OUT_OF_MEMORY and is not run again, its worker is replaced, and no other task is affected. For backends whose
   * workers are processes. What counts is in the chapter [Memory limits](memory-limits.html).
   *
   * Since: 1.0
   */
  properties[PROP_MEMORY_LIMIT] = g_param_spec_uint64 ("memory-limit", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolManager:allow-restart:
   *
   * Whether [method@Manager.restart] is permitted.
   *
   * Since: 1.0
   */
  properties[PROP_ALLOW_RESTART] = g_param_spec_boolean ("allow-restart", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:synack:
   *
   * Whether a worker asks before it starts a task. A call that was cancelled in time never runs in either case; with this,
   * [signal@Manager::task-accepted] is also certain to be on its way before the task starts. It costs a round trip for each task.
   *
   * Since: 1.0
   */
  properties[PROP_SYNACK] = g_param_spec_boolean ("synack", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:putlocks:
   *
   * Whether submitting a call waits while as many calls as there are slots have not ended; see [property@Manager:semaphore]. A call
   * can be excepted by [property@CallOptions:wait-for-slot].
   *
   * Since: 1.0
   */
  properties[PROP_PUTLOCKS] = g_param_spec_boolean ("putlocks", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:semaphore:
   *
   * The number of slots that [property@Manager:putlocks] counts; 0: as many as workers.
   *
   * Since: 1.0
   */
  properties[PROP_SEMAPHORE] = g_param_spec_uint ("semaphore", NULL, NULL, 0, G_MAXINT, 0, flags);

  /**
   * PoolManager:min-processes:
   *
   * The number of workers that stay when there is nothing to do; 0: the number is fixed. See [property@Manager:max-processes].
   *
   * Since: 1.0
   */
  properties[PROP_MIN_PROCESSES] = g_param_spec_uint ("min-processes", NULL, NULL, 0, 4000, 0, flags);

  /**
   * PoolManager:max-processes:
   *
   * The most workers that the pool may have; 0: three times [property@Manager:processes], and at least 48. If [property@Manager:min-processes]
   * is set, workers are made when there are more tasks than workers, and those that were idle for [property@Manager:idle-time] are
   * let go; never one that runs a task.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_PROCESSES] = g_param_spec_uint ("max-processes", NULL, NULL, 0, 4000, 0, flags);

  /**
   * PoolManager:idle-time:
   *
   * After how many seconds without a task a worker beyond [property@Manager:min-processes] is let go.
   *
   * Since: 1.0
   */
  properties[PROP_IDLE_TIME] = g_param_spec_double ("idle-time", NULL, NULL, 0.001, 1e9, 10, flags);

  /**
   * PoolManager:sandbox:
   *
   * What workers are kept from, from before their initializer on. If it cannot be enforced, the pool does not start.
   * [property@WorkerInfo:sandbox] tells what is enforced.
   *
   * Since: 1.0
   */
  properties[PROP_SANDBOX] =
      g_param_spec_enum ("sandbox", NULL, NULL, POOL_TYPE_SANDBOX, POOL_SANDBOX_NONE, flags);
}

static void
install_waiting (void)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  /**
   * PoolManager:callback-grace:
   *
   * How long callbacks and signals wait, in seconds, for their main context to be iterated before the pool's thread calls them; 0:
   * it calls them at once if nobody owns the context. Those of a context that a main loop runs come from there, however long that
   * takes.
   *
   * Since: 1.0
   */
  properties[PROP_CALLBACK_GRACE] = g_param_spec_double ("callback-grace", NULL, NULL, 0, 3600, 0.05, flags);

  /**
   * PoolManager:interruptible:
   *
   * Whether a wait in whose sleep a signal handler ran returns early, with %POOL_ERROR_INTERRUPTED, so that the program can act
   * on the signal and wait again: [method@AsyncResult.wait], [method@AsyncResult.get], [method@AsyncResult.get_bytes],
   * [method@Stream.take], [method@ResultIterator.next], [method@Manager.join], [method@Manager.join_async],
   * [method@Manager.put], [method@Manager.get] and [method@Manager.get_all]. Nothing is lost by that: what is waited for comes to
   * the next wait. Calls that submit and wait in one ([method@Manager.apply], [method@Manager.map]) go on waiting. It may
   * report an interruption that was none; and a signal that comes just before the wait falls asleep does not end it, so who
   * must see every signal waits for a limited time.
   *
   * Since: 1.0
   */
  properties[PROP_INTERRUPTIBLE] = g_param_spec_boolean ("interruptible", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:keep-descriptors:
   *
   * Whether workers that are forked from the program by a function of its language
   * ([method@Manager.set_fork_func]) keep the descriptors that it has open, as such a language's own processes do, and
   * workers that run a program those that are not closed on exec. Others have none but the standard ones.
   *
   * Since: 1.0
   */
  properties[PROP_KEEP_DESCRIPTORS] =
      g_param_spec_boolean ("keep-descriptors", NULL, NULL, FALSE, flags);

  /**
   * PoolManager:replace-workers:
   *
   * Whether a worker that dies is replaced. A pool that replaces none gets smaller with each, and fails with
   * %POOL_ERROR_WORKERS_GONE when there is none left.
   *
   * Since: 1.0
   */
  properties[PROP_REPLACE_WORKERS] = g_param_spec_boolean ("replace-workers", NULL, NULL, TRUE, flags);
}

void
pool_manager_install_properties (GObjectClass *klass)
{
  install_settings ();
  install_limits ();
  install_waiting ();
  g_object_class_install_properties (klass, N_PROPS, properties);
  pool_manager_install_statistics (klass);
  pool_manager_install_remote (klass);
}
