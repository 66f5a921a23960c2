/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-worker-info-private.h"

#include "pool-enum-types.h"

#include <stdio.h>
#include <unistd.h>

/**
 * PoolWorkerInfo:
 *
 * What the pool knew of a worker at one moment: who it is, what it was doing and, if it has ended, how. It does
 * not change afterwards.
 *
 * Since: 1.0
 */
struct _PoolWorkerInfo
{
  GObject parent_instance;

  guint id;
  gint64 pid;
  char *host;
  PoolWorkerState state;
  guint64 current_task;
  guint64 tasks_done;
  guint64 rss;
  gint64 started_at;
  PoolDownReason reason;
  int exit_code;
  int signal;
  guint64 max_rss;
  double cpu_time;
  PoolSandboxFlags sandbox;
};

G_DEFINE_FINAL_TYPE (PoolWorkerInfo, pool_worker_info, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_ID,
  PROP_PID,
  PROP_HOST,
  PROP_STATE,
  PROP_CURRENT_TASK,
  PROP_TASKS_DONE,
  PROP_RSS,
  PROP_STARTED_AT,
  PROP_REASON,
  PROP_EXIT_CODE,
  PROP_SIGNAL,
  PROP_MAX_RSS,
  PROP_CPU_TIME,
  PROP_SANDBOX,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void
pool_worker_info_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  PoolWorkerInfo *self = POOL_WORKER_INFO (object);

  switch (prop_id)
    {
    case PROP_ID:
      g_value_set_uint (value, self->id);
      break;
    case PROP_PID:
      g_value_set_int64 (value, self->pid);
      break;
    case PROP_HOST:
      g_value_set_string (value, self->host);
      break;
    case PROP_STATE:
      g_value_set_enum (value, self->state);
      break;
    case PROP_CURRENT_TASK:
      g_value_set_uint64 (value, self->current_task);
      break;
    case PROP_TASKS_DONE:
      g_value_set_uint64 (value, self->tasks_done);
      break;
    case PROP_RSS:
      g_value_set_uint64 (value, self->rss);
      break;
    case PROP_STARTED_AT:
      g_value_set_int64 (value, self->started_at);
      break;
    case PROP_REASON:
      g_value_set_enum (value, self->reason);
      break;
    case PROP_EXIT_CODE:
      g_value_set_int (value, self->exit_code);
      break;
    case PROP_SIGNAL:
      g_value_set_int (value, self->signal);
      break;
    case PROP_MAX_RSS:
      g_value_set_uint64 (value, self->max_rss);
      break;
    case PROP_CPU_TIME:
      g_value_set_double (value, self->cpu_time);
      break;
    case PROP_SANDBOX:
      g_value_set_flags (value, self->sandbox);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
pool_worker_info_finalize (GObject *object)
{
  g_free (POOL_WORKER_INFO (object)->host);
  G_OBJECT_CLASS (pool_worker_info_parent_class)->finalize (object);
}

static void
pool_worker_info_class_init (PoolWorkerInfoClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = pool_worker_info_get_property;
  object_class->finalize = pool_worker_info_finalize;

  /**
   * PoolWorkerInfo:id:
   *
   * The number of the worker, from 0; a worker that replaces one that died has the number of that one.
   *
   * Since: 1.0
   */
  properties[PROP_ID] =
      g_param_spec_uint ("id", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * PoolWorkerInfo:pid:
   *
   * The process id on its host, or 0 for a thread.
   *
   * Since: 1.0
   */
  properties[PROP_PID] =
      g_param_spec_int64 ("pid", NULL, NULL, 0, G_MAXINT64, 0, flags);

  /**
   * PoolWorkerInfo:host:
   *
   * The name of the machine that it runs on.
   *
   * Since: 1.0
   */
  properties[PROP_HOST] =
      g_param_spec_string ("host", NULL, NULL, NULL, flags);

  /**
   * PoolWorkerInfo:state:
   *
   * What it was doing.
   *
   * Since: 1.0
   */
  properties[PROP_STATE] =
      g_param_spec_enum ("state", NULL, NULL, POOL_TYPE_WORKER_STATE, POOL_WORKER_STATE_STARTING, flags);

  /**
   * PoolWorkerInfo:current-task:
   *
   * The number of the task that it was running, or 0; of a worker that has ended: the one that it was in, or was ended for.
   *
   * Since: 1.0
   */
  properties[PROP_CURRENT_TASK] =
      g_param_spec_uint64 ("current-task", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolWorkerInfo:tasks-done:
   *
   * How many tasks (or chunks of a map) it has finished.
   *
   * Since: 1.0
   */
  properties[PROP_TASKS_DONE] =
      g_param_spec_uint64 ("tasks-done", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolWorkerInfo:rss:
   *
   * The memory that it had resident, in KiB; 0 if unknown.
   *
   * Since: 1.0
   */
  properties[PROP_RSS] =
      g_param_spec_uint64 ("rss", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolWorkerInfo:started-at:
   *
   * When it was ready, in microseconds of real time since 1970.
   *
   * Since: 1.0
   */
  properties[PROP_STARTED_AT] =
      g_param_spec_int64 ("started-at", NULL, NULL, 0, G_MAXINT64, 0, flags);

  /**
   * PoolWorkerInfo:reason:
   *
   * Why it ended.
   *
   * Since: 1.0
   */
  properties[PROP_REASON] =
      g_param_spec_enum ("reason", NULL, NULL, POOL_TYPE_DOWN_REASON, POOL_DOWN_REASON_NONE, flags);

  /**
   * PoolWorkerInfo:exit-code:
   *
   * Its exit status, or -1 if it did not exit by itself.
   *
   * Since: 1.0
   */
  properties[PROP_EXIT_CODE] =
      g_param_spec_int ("exit-code", NULL, NULL, -1, G_MAXINT, 0, flags);

  /**
   * PoolWorkerInfo:signal:
   *
   * The signal that ended it, or 0.
   *
   * Since: 1.0
   */
  properties[PROP_SIGNAL] =
      g_param_spec_int ("signal", NULL, NULL, -1, G_MAXINT, 0, flags);

  /**
   * PoolWorkerInfo:max-rss:
   *
   * The most memory that it ever had resident, in KiB; known when it has ended.
   *
   * Since: 1.0
   */
  properties[PROP_MAX_RSS] =
      g_param_spec_uint64 ("max-rss", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * PoolWorkerInfo:cpu-time:
   *
   * The CPU time that it used, in seconds; known when it has ended.
   *
   * Since: 1.0
   */
  properties[PROP_CPU_TIME] =
      g_param_spec_double ("cpu-time", NULL, NULL, 0, G_MAXDOUBLE, 0, flags);

  /**
   * PoolWorkerInfo:sandbox:
   *
   * What is enforced on it of the pool's [property@Manager:sandbox], as it told when it came up.
   *
   * Since: 1.0
   */
  properties[PROP_SANDBOX] = g_param_spec_flags ("sandbox", NULL, NULL, POOL_TYPE_SANDBOX_FLAGS,
                                                 POOL_SANDBOX_FLAGS_NONE, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
pool_worker_info_init (PoolWorkerInfo *self)
{
}

static guint64
read_rss (gint64 pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/statm", pid);
  g_autofree char *text = NULL;
  unsigned long long pages = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL) || sscanf (text, "%*u %llu", &pages) != 1)
    return 0;
  return pages * (guint64) sysconf (_SC_PAGESIZE) / 1024;
}

PoolWorkerInfo *
pool_worker_info_new (const PoolWorker *worker, guint64 current_task, guint64 done,
                      const PoolBackendExit *exit)
{
  PoolWorkerInfo *self = g_object_new (POOL_TYPE_WORKER_INFO, NULL);

  self->id = worker->id;
  self->pid = worker->pid;
  self->host = g_strdup (worker->host != NULL ? worker->host : g_get_host_name ());
  self->started_at = worker->started_at;
  self->tasks_done = done;
  self->sandbox = worker->sandbox;
  self->exit_code = -1;
  self->current_task = current_task;
  if (exit == NULL)
    {
      self->state = current_task != 0 ? POOL_WORKER_STATE_BUSY : POOL_WORKER_STATE_IDLE;
      if (self->pid > 0)
        self->rss = read_rss (self->pid);
      return self;
    }

  self->state = POOL_WORKER_STATE_GONE;
  self->reason = exit->reason;
  self->exit_code = exit->exit_code;
  self->signal = exit->signum;
  self->max_rss = exit->max_rss;
  self->cpu_time = exit->cpu_time;
  return self;
}

static GVariant *
convert (const GValue *value)
{
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value)))
    {
    case G_TYPE_UINT:
      return g_variant_new_uint32 (g_value_get_uint (value));
    case G_TYPE_INT:
      return g_variant_new_int32 (g_value_get_int (value));
    case G_TYPE_INT64:
      return g_variant_new_int64 (g_value_get_int64 (value));
    case G_TYPE_UINT64:
      return g_variant_new_uint64 (g_value_get_uint64 (value));
    case G_TYPE_DOUBLE:
      return g_variant_new_double (g_value_get_double (value));
    case G_TYPE_STRING:
      return g_variant_new_string (g_value_get_string (value) != NULL ? g_value_get_string (value) : "");
    case G_TYPE_ENUM:
    default:
      {
        g_autoptr (GEnumClass) klass = g_type_class_ref (G_VALUE_TYPE (value));

        return g_variant_new_string (g_enum_get_value (klass, g_value_get_enum (value))->value_nick);
      }
    }
}

GVariant *
pool_worker_info_describe (PoolWorkerInfo *self, gboolean is_up)
{
  static const char *const always[] = { "id", "pid", "host", "state", "current-task", "tasks-done", "rss", "started-at" };
  static const char *const ended[] = { "reason", "exit-code", "signal", "max-rss", "cpu-time" };
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (always) + (is_up ? 0 : G_N_ELEMENTS (ended)); i++)
    {
      const char *name = i < G_N_ELEMENTS (always) ? always[i] : ended[i - G_N_ELEMENTS (always)];
      g_auto (GValue) value = G_VALUE_INIT;

      g_object_get_property (G_OBJECT (self), name, &value);
      g_variant_builder_add (&builder, "{sv}", name, convert (&value));
    }
  return g_variant_builder_end (&builder);
}

/**
 * pool_worker_info_get_id:
 * @self: an info
 *
 * Gets the number of the worker, from 0; a worker that replaces one that died has the number of that one.
 *
 * Returns: the id
 *
 * Since: 1.0
 */
guint
pool_worker_info_get_id (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->id;
}

/**
 * pool_worker_info_get_pid:
 * @self: an info
 *
 * Gets the process id on its host, or 0 for a thread.
 *
 * Returns: the pid
 *
 * Since: 1.0
 */
gint64
pool_worker_info_get_pid (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->pid;
}

/**
 * pool_worker_info_get_host:
 * @self: an info
 *
 * Gets the name of the machine that it runs on.
 *
 * Returns: the host's name
 *
 * Since: 1.0
 */
const char *
pool_worker_info_get_host (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), NULL);

  return self->host;
}

/**
 * pool_worker_info_get_state:
 * @self: an info
 *
 * Gets what it was doing.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
PoolWorkerState
pool_worker_info_get_state (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->state;
}

/**
 * pool_worker_info_get_current_task:
 * @self: an info
 *
 * Gets the number of the task that it was running, or 0.
 *
 * Returns: the current task
 *
 * Since: 1.0
 */
guint64
pool_worker_info_get_current_task (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->current_task;
}

/**
 * pool_worker_info_get_tasks_done:
 * @self: an info
 *
 * Gets how many tasks (or chunks of a map) it has finished.
 *
 * Returns: the tasks done
 *
 * Since: 1.0
 */
guint64
pool_worker_info_get_tasks_done (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->tasks_done;
}

/**
 * pool_worker_info_get_rss:
 * @self: an info
 *
 * Gets the memory that it had resident, in KiB; 0 if unknown.
 *
 * Returns: the rss
 *
 * Since: 1.0
 */
guint64
pool_worker_info_get_rss (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->rss;
}

/**
 * pool_worker_info_get_started_at:
 * @self: an info
 *
 * Gets when it was ready, in microseconds of real time since 1970.
 *
 * Returns: the started at
 *
 * Since: 1.0
 */
gint64
pool_worker_info_get_started_at (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->started_at;
}

/**
 * pool_worker_info_get_reason:
 * @self: an info
 *
 * Gets why it ended.
 *
 * Returns: the reason
 *
 * Since: 1.0
 */
PoolDownReason
pool_worker_info_get_reason (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->reason;
}

/**
 * pool_worker_info_get_exit_code:
 * @self: an info
 *
 * Gets its exit status, or -1 if it did not exit by itself.
 *
 * Returns: the exit code
 *
 * Since: 1.0
 */
int
pool_worker_info_get_exit_code (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->exit_code;
}

/**
 * pool_worker_info_get_signal:
 * @self: an info
 *
 * Gets the signal that ended it, or 0.
 *
 * Returns: the signal
 *
 * Since: 1.0
 */
int
pool_worker_info_get_signal (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->signal;
}

/**
 * pool_worker_info_get_max_rss:
 * @self: an info
 *
 * Gets the most memory that it ever had resident, in KiB; known when it has ended.
 *
 * Returns: the max rss
 *
 * Since: 1.0
 */
guint64
pool_worker_info_get_max_rss (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->max_rss;
}

/**
 * pool_worker_info_get_cpu_time:
 * @self: an info
 *
 * Gets the CPU time that it used, in seconds; known when it has ended.
 *
 * Returns: the cpu time
 *
 * Since: 1.0
 */
double
pool_worker_info_get_cpu_time (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), 0);

  return self->cpu_time;
}

/**
 * pool_worker_info_get_sandbox:
 * @self: an info
 *
 * Gets what is enforced on it of the pool's [property@Manager:sandbox], as it told when it came up.
 *
 * Returns: the parts of the sandbox
 *
 * Since: 1.0
 */
PoolSandboxFlags
pool_worker_info_get_sandbox (PoolWorkerInfo *self)
{
  g_return_val_if_fail (POOL_IS_WORKER_INFO (self), POOL_SANDBOX_FLAGS_NONE);

  return self->sandbox;
}
