/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-async-result-private.h"
#include "pool-worker-info.h"

#include <stdarg.h>

/* What a pool tells: the engine's events, in the pool's context, as signals. */

enum
{
  SIGNAL_PROCESS_UP,
  SIGNAL_PROCESS_DOWN,
  SIGNAL_PROCESS_EXIT,
  SIGNAL_WARNING,
  SIGNAL_TIMEOUT,
  SIGNAL_TIMEOUT_SET,
  SIGNAL_TIMEOUT_CANCEL,
  SIGNAL_TASK_ACCEPTED,
  SIGNAL_TASK_DONE,
  SIGNAL_TASK_LOST,
  SIGNAL_TASK_RETRIED,
  SIGNAL_LOG,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static void
add_signal (guint number, const char *name, guint n_args, ...)
{
  /* which domain's */
  const GSignalFlags flags = number == SIGNAL_LOG ? G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED : G_SIGNAL_RUN_LAST;
  va_list args;

  va_start (args, n_args);
  signals[number] = g_signal_new_valist (name, POOL_TYPE_MANAGER, flags, NULL, NULL, NULL, NULL,
                                         G_TYPE_NONE, n_args, args);
  va_end (args);
}

static void
install_worker_signals (void)
{
  /**
   * PoolManager::process-up:
   * @self: the pool
   * @worker: the worker
   *
   * A worker is ready: its initializer has run.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_PROCESS_UP, "process-up", 1, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::process-down:
   * @self: the pool
   * @worker: the worker: why it ended, its exit status or the signal that ended it, its resource usage, and the task that it ran
   *
   * A worker no longer belongs to the pool: it has ended, or, if it is a thread that could not be ended, was given up.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_PROCESS_DOWN, "process-down", 1, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::process-exit:
   * @self: the pool
   * @worker: as for [signal@Manager::process-down]
   *
   * The process or thread of a worker has come to its end. For most workers that is when they are down; a thread that was given
   * up may end later, or never.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_PROCESS_EXIT, "process-exit", 1, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::warning:
   * @self: the pool
   * @error: what is wrong, %POOL_ERROR_BACKEND
   *
   * The pool goes on, but not as it was meant to: a worker could not be made, for want of processes, descriptors or
   * memory, so it has fewer than [property@Manager:processes]. It tries again when another worker is replaced. A pool
   * that is left without any worker gives no warning: it is %POOL_STATE_BROKEN, and every task fails.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_WARNING, "warning", 1, G_TYPE_ERROR);
}

static void
install_task_signals (void)
{
  /**
   * PoolManager::timeout:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   * @soft: whether it is the soft limit
   * @limit: the limit in seconds
   *
   * A task has run over a time limit. After the hard one it has been ended, and the call fails.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TIMEOUT, "timeout", 3, POOL_TYPE_ASYNC_RESULT, G_TYPE_BOOLEAN, G_TYPE_DOUBLE);

  /**
   * PoolManager::timeout-set:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   * @soft: the soft limit in seconds, or 0
   * @timeout: the hard limit in seconds, or 0
   *
   * A task that has time limits was started, and they run. Emitted if [property@Manager:report-tasks] is set.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TIMEOUT_SET, "timeout-set", 3, POOL_TYPE_ASYNC_RESULT, G_TYPE_DOUBLE, G_TYPE_DOUBLE);

  /**
   * PoolManager::timeout-cancel:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   *
   * A task that has time limits has ended before the hard one was over. Emitted if [property@Manager:report-tasks] is set.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TIMEOUT_CANCEL, "timeout-cancel", 1, POOL_TYPE_ASYNC_RESULT);

  /**
   * PoolManager::task-accepted:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   * @worker: the worker
   *
   * A worker has started a call, or a chunk of a map. Emitted if [property@Manager:report-tasks] is set.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TASK_ACCEPTED, "task-accepted", 2, POOL_TYPE_ASYNC_RESULT, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::task-done:
   * @self: the pool
   * @result: (nullable): the call, which is ready; %NULL if it is one of a [class@Stream]
   * @worker: (nullable): the worker that ended it
   *
   * A call has ended, well or badly. Emitted if [property@Manager:report-tasks] is set.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TASK_DONE, "task-done", 2, POOL_TYPE_ASYNC_RESULT, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::task-lost:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   * @worker: (nullable): the worker, as it is now
   *
   * A worker died over a call, or an item of a map, that will not be tried again: it fails with %POOL_ERROR_WORKER_LOST.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TASK_LOST, "task-lost", 2, POOL_TYPE_ASYNC_RESULT, POOL_TYPE_WORKER_INFO);

  /**
   * PoolManager::task-retried:
   * @self: the pool
   * @result: (nullable): the call; %NULL if it is one of a [class@Stream]
   * @worker: (nullable): the worker, as it is now
   *
   * A worker died over a call, or an item of a map, which is run again.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_TASK_RETRIED, "task-retried", 2, POOL_TYPE_ASYNC_RESULT, POOL_TYPE_WORKER_INFO);
}

static void
install_log_signal (void)
{
  /**
   * PoolManager::log:
   * @self: the pool
   * @level: the record's #GLogLevelFlags
   * @fields: its fields, a dictionary of type `a{sv}`: texts are strings (`s`), everything else is bytes (`ay`)
   *
   * A worker has made a log record of a domain that was named with [method@Manager.add_logger]. GLib's log writer gets
   * it afterwards. The signal's detail is the domain: `log::my-domain`.
   *
   * A record comes before its task is known to have ended, in the main context that was the thread default when the pool was
   * made.
   *
   * Since: 1.0
   */
  add_signal (SIGNAL_LOG, "log", 2, G_TYPE_UINT, G_TYPE_VARIANT);
}

void
pool_manager_install_signals (void)
{
  install_worker_signals ();
  install_task_signals ();
  install_log_signal ();
}

static void
emit (PoolManager *self, const PoolEvent *event)
{
  switch (event->kind)
    {
    case POOL_EVENT_PROCESS_UP:
      g_signal_emit (self, signals[SIGNAL_PROCESS_UP], 0, event->info);
      break;
    case POOL_EVENT_PROCESS_DOWN:
      g_signal_emit (self, signals[SIGNAL_PROCESS_DOWN], 0, event->info);
      break;
    case POOL_EVENT_PROCESS_EXIT:
      g_signal_emit (self, signals[SIGNAL_PROCESS_EXIT], 0, event->info);
      break;
    case POOL_EVENT_WARNING:
      g_signal_emit (self, signals[SIGNAL_WARNING], 0, event->error);
      break;
    case POOL_EVENT_TIMEOUT:
      g_signal_emit (self, signals[SIGNAL_TIMEOUT], 0, event->result, event->is_soft,
                     event->is_soft ? event->soft : event->timeout);
      break;
    case POOL_EVENT_TIMEOUT_SET:
      g_signal_emit (self, signals[SIGNAL_TIMEOUT_SET], 0, event->result, event->soft, event->timeout);
      break;
    case POOL_EVENT_TIMEOUT_CANCEL:
      g_signal_emit (self, signals[SIGNAL_TIMEOUT_CANCEL], 0, event->result);
      break;
    case POOL_EVENT_TASK_ACCEPTED:
      g_signal_emit (self, signals[SIGNAL_TASK_ACCEPTED], 0, event->result, event->info);
      break;
    case POOL_EVENT_TASK_DONE:
      g_signal_emit (self, signals[SIGNAL_TASK_DONE], 0, event->result, event->info);
      break;
    case POOL_EVENT_TASK_LOST:
      g_signal_emit (self, signals[SIGNAL_TASK_LOST], 0, event->result, event->info);
      break;
    case POOL_EVENT_TASK_RETRIED:
      g_signal_emit (self, signals[SIGNAL_TASK_RETRIED], 0, event->result, event->info);
      break;
    case POOL_EVENT_PROGRESS:
    default:
      break;
    }
}

static void
handle_event (const PoolEvent *event, gpointer user_data)
{
  g_autoptr (PoolManager) self = g_weak_ref_get (user_data);

  if (event->result != NULL)
    pool_async_result_handle_event (POOL_ASYNC_RESULT (event->result), event);
  if (self != NULL)
    emit (self, event);
}

static void
free_weak_ref (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

/* Somebody listens for what is only told when it is asked for. */
static gboolean
wants_reports (PoolManager *self)
{
  const guint numbers[] = { SIGNAL_TIMEOUT_SET, SIGNAL_TIMEOUT_CANCEL, SIGNAL_TASK_ACCEPTED,
                            SIGNAL_TASK_DONE };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (g_signal_has_handler_pending (self, signals[numbers[i]], 0, TRUE))
      return TRUE;
  return FALSE;
}

/* Before the start. */
void
pool_manager_connect_events (PoolManager *self)
{
  PoolEngine *engine = self->engine;
  GWeakRef *weak;

  if (wants_reports (self))
    engine->settings.report_tasks = TRUE;
  if (engine->event != NULL)
    return;
  weak = g_new0 (GWeakRef, 1);
  g_weak_ref_init (weak, self);
  engine->event_data = weak;
  engine->event_destroy = free_weak_ref;
  engine->event = handle_event;
}
