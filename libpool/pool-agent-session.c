/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-agent-private.h"

#include "pool-copy-private.h"
#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-futex-private.h"
#include "pool-init.h"
#include "pool-module-private.h"
#include "pool-value-private.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The backend that makes an agent's workers. */
#define LOCAL_BACKEND "fork"

/* What lasts longer than this, µs, the pool is told of; and how often that is looked at, when nothing happens. */
#define LASTS_US 5000
#define LOOK_MAX_US (100 * 1000)

static PoolAgent *
get_agent (const PoolBackendSink *sink)
{
  return (PoolAgent *) sink;
}

static PoolAgentWorker *
get_worker (PoolAgent *self, guint index)
{
  if (index >= self->workers->len)
    g_array_set_size (self->workers, index + 1);
  return &g_array_index (self->workers, PoolAgentWorker, index);
}

/* --- what happens here, on its way up --- */

/* µs since the moment of which this is the low half, in units of 1024 ns; 0: unknown */
static gint64
age_of (guint32 started)
{
  return started != 0 ? MAX ((gint64) (guint32) (pool_now_ns () / 1024 - started) * 1024 / 1000, 1) : 0;
}

static void
deliver (const PoolBackendSink *sink, const PoolBackendResult *result)
{
  PoolAgent *self = get_agent (sink);
  PoolAgentTask *task = pool_agent_find_task (self, result->handle);
  PoolWireRecord record = { .type = POOL_WIRE_RESULT,
                            .worker = get_worker (self, result->worker)->number,
                            .handle = result->handle,
                            .kind = result->kind,
                            .n_items = result->n_items,
                            .id = (guint64) (result->run_time * 1e9),
                            .time = age_of (result->started) };

  if (task == NULL && result->kind != POOL_RESULT_LEAVING)
    return;
  if (result->kind == POOL_RESULT_ACCEPTED)
    record.time = MAX (g_get_monotonic_time () - result->since, 0);
  if (result->is_reference)
    pool_agent_say (self, &record, task->task.data + result->offset, result->size, task->bytes);
  else
    pool_agent_say (self, &record, result->data, result->size, result->bytes);
  if (result->kind <= POOL_RESULT_LAST)
    pool_agent_forget_task (self, task);
}

static void
worker_sandboxed (const PoolBackendSink *sink, guint index, PoolSandboxFlags enforced)
{
  get_worker (get_agent (sink), index)->sandbox = enforced;
}

static void
worker_up (const PoolBackendSink *sink, guint index, gint64 pid)
{
  PoolAgent *self = get_agent (sink);
  PoolAgentWorker *worker = get_worker (self, index);

  *worker = (PoolAgentWorker){ .number = ++self->next_number, .sandbox = worker->sandbox };
  g_hash_table_insert (self->indexes, GUINT_TO_POINTER (worker->number), GINT_TO_POINTER (index + 1));
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_UP, .worker = worker->number, .id = pid, .item = index,
                                           .flags = worker->sandbox }, NULL, 0, NULL);
}

static void
say_down (PoolAgent *self, guint number, const PoolBackendExit *exit, PoolDownReason reason)
{
  PoolBuffer message = { 0 };
  GVariant *bytes;

  if (exit->error != NULL)
    pool_error_encode (exit->error, &message);
  bytes = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, message.len > 0 ? message.data : (const guint8 *) "",
                                     message.len, 1);
  pool_wire_write_value (&self->out,
                         &(PoolWireRecord){ .type = POOL_WIRE_DOWN, .worker = number, .handle = exit->handle,
                                            .item = exit->item },
                         g_variant_new ("(uiittd@ay)", reason, exit->exit_code, exit->signum, exit->max_rss,
                                        exit->start_memory, exit->cpu_time, bytes));
  pool_buffer_clear (&message);
}

static void
worker_down (const PoolBackendSink *sink, const PoolBackendExit *exit)
{
  PoolAgent *self = get_agent (sink);
  PoolAgentWorker *worker = get_worker (self, exit->worker);
  PoolAgentTask *task = exit->handle != 0 ? pool_agent_find_task (self, exit->handle) : NULL;
  PoolDownReason reason = exit->reason;

  if (worker->ran_out_of_memory)
    reason = POOL_DOWN_REASON_OUT_OF_MEMORY;
  else if (self->state > POOL_AGENT_SERVING && exit->signum == 0 && exit->exit_code == 0)
    reason = POOL_DOWN_REASON_ASKED;
  self->n_down++;
  say_down (self, worker->number, exit, reason);
  if (task != NULL)
    pool_agent_forget_task (self, task);
  g_hash_table_remove (self->indexes, GUINT_TO_POINTER (worker->number));
  *worker = (PoolAgentWorker){ 0 };
}

static void
pass_log (const PoolBackendSink *sink, guint index, const guint8 *record, gsize size)
{
  PoolAgent *self = get_agent (sink);

  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_LOG, .worker = get_worker (self, index)->number },
                  record, size, NULL);
}

/* One after the other; what there is of one only is not copied. */
static GBytes *
join_streams (GBytes *const *streams)
{
  gsize first = streams[0] != NULL ? g_bytes_get_size (streams[0]) : 0;
  gsize second = streams[1] != NULL ? g_bytes_get_size (streams[1]) : 0;
  guint8 *both;

  if (second == 0)
    return streams[0] != NULL ? g_bytes_ref (streams[0]) : g_bytes_new (NULL, 0);
  if (first == 0)
    return g_bytes_ref (streams[1]);
  both = g_malloc (first + second);
  memcpy (both, g_bytes_get_data (streams[0], NULL), first);
  memcpy (both + first, g_bytes_get_data (streams[1], NULL), second);
  return g_bytes_new_take (both, first + second);
}

static void
pass_output (const PoolBackendSink *sink, guint64 handle, const PoolBackendOutput *output)
{
  PoolAgent *self = get_agent (sink);
  PoolWireRecord record = { .type = POOL_WIRE_OUTPUT, .handle = handle, .id = output->lost };
  g_autoptr (GBytes) both = join_streams (output->streams);

  for (guint i = 0; i < 2; i++)
    if (output->streams[i] != NULL)
      record.n_items |= 1 << i;
  if (output->streams[0] != NULL)
    record.time = (gint64) g_bytes_get_size (output->streams[0]);
  pool_agent_say (self, &record, g_bytes_get_data (both, NULL), g_bytes_get_size (both), both);
}

/* --- a pool --- */

gboolean
pool_agent_say_hello (PoolAgent *self)
{
  GVariantBuilder builder;
  PoolWireWriter writer;
  gboolean sent;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "host", g_variant_new_string (g_get_host_name ()));
  g_variant_builder_add (&builder, "{sv}", "pid", g_variant_new_int64 (getpid ()));
  g_variant_builder_add (&builder, "{sv}", "agent", g_variant_new_uint32 (self->settings->number));
  g_variant_builder_add (&builder, "{sv}", "nonce", g_variant_new_uint64 (self->nonce));
  g_variant_builder_add (&builder, "{sv}", "cores", g_variant_new_uint32 (pool_cpu_count ()));
  g_variant_builder_add (&builder, "{sv}", "memory",
                         g_variant_new_uint64 ((guint64) sysconf (_SC_PHYS_PAGES) * (sysconf (_SC_PAGESIZE) / 1024)));
  if (self->settings->tags != NULL)
    g_variant_builder_add (&builder, "{sv}", "tags", g_variant_new_string (self->settings->tags));
  pool_wire_writer_init (&writer);
  pool_wire_write_value (&writer, &(PoolWireRecord){ .type = POOL_WIRE_HELLO, .worker = self->settings->n_workers },
                         g_variant_builder_end (&builder));
  pool_wire_finish (&writer, 0, 0);
  sent = self->transport->send (self->transport, &writer);
  pool_wire_writer_clear (&writer);
  return sent;
}

static guint32
get_uint (GVariant *welcome, const char *key)
{
  guint32 value = 0;

  g_variant_lookup (welcome, key, "u", &value);
  return value;
}

static guint64
get_uint64 (GVariant *welcome, const char *key)
{
  guint64 value = 0;

  g_variant_lookup (welcome, key, "t", &value);
  return value;
}

static GVariant *
get_tuple (GVariant *welcome, const char *key)
{
  return g_variant_lookup_value (welcome, key, G_VARIANT_TYPE_TUPLE);
}

static gboolean
take_command (PoolAgent *self, GVariant *welcome, PoolBackendConfig *config, GError **error)
{
  g_auto (GStrv) command = NULL;

  /* the engine frees it, at the end of each pool */
  config->worker_command = (const char *const *) g_strdupv ((char **) self->settings->worker_command);
  if (config->worker_command != NULL || !g_variant_lookup (welcome, "worker-command", "^as", &command))
    return TRUE;
  if (self->settings->accepts_command && g_strv_length (command) > 0)
    {
      config->worker_command = (const char *const *) g_steal_pointer (&command);
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
               "could not be made: the pool's workers run a program of its own (%s), and this agent runs none that others "
               "name: give it a command for its workers, or --accept-command",
               command[0] != NULL ? command[0] : "");
  return FALSE;
}

static gboolean
take_initializer (PoolAgent *self, GVariant *welcome, PoolBackendConfig *config, GError **error)
{
  g_autofree char *name = NULL;
  guint number, kind = get_uint (welcome, "initializer-kind");

  if (!g_variant_lookup (welcome, "initializer", "s", &name))
    return TRUE;
  if (!pool_function_table_lookup (self->engine->functions, name, &number, error))
    {
      if (config->worker_command == NULL || kind == POOL_FUNCTION_NONE || kind > POOL_FUNCTION_PROCESS)
        return FALSE;
      g_clear_error (error);
      if (!pool_function_table_add (self->engine->functions, pool_function_new (name, kind, NULL, NULL, NULL), error))
        return FALSE;
    }
  config->initializer = g_steal_pointer (&name);
  config->initargs = get_tuple (welcome, "initargs");
  if (config->initargs == NULL)
    config->initargs = g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
  return TRUE;
}

/* As PoolEngineSettings has it, so that the engine frees what is in it. */
static gboolean
read_config (PoolAgent *self, GVariant *welcome, guint first_worker, GError **error)
{
  PoolBackendConfig *config = &self->engine->settings.backend;

  self->heartbeat = 0;
  /* where the pool is the program that started this one, its end shows by itself */
  if (self->settings->parent == 0)
    g_variant_lookup (welcome, "heartbeat", "x", &self->heartbeat);
  self->memory_limit = get_uint64 (welcome, "memory-limit");
  *config = (PoolBackendConfig){ .processes = self->settings->n_workers,
                                 .max_processes = CLAMP (get_uint (welcome, "max-processes"),
                                                         self->settings->n_workers, 4000),
                                 .max_tasks_per_child = get_uint (welcome, "max-tasks-per-child"),
                                 .max_memory_per_child = get_uint64 (welcome, "max-memory-per-child"),
                                 .memory_limit = self->memory_limit,
                                 .start_method = get_uint (welcome, "start-method"),
                                 .sandbox = get_uint (welcome, "sandbox"),
                                 .first_worker = first_worker };
  /* by the copy that was made first thing, where there is one */
  if (config->start_method != POOL_START_METHOD_SPAWN)
    config->start_method = pool_copy_exists () ? POOL_START_METHOD_AUTO : POOL_START_METHOD_FORKSERVER;
  config->needs_copy = TRUE;
  if (config->sandbox > POOL_SANDBOX_STRICT)
    config->sandbox = POOL_SANDBOX_STRICT;
  g_variant_lookup (welcome, "chaos", "(dddt)", &config->chaos.kill, &config->chaos.stop, &config->chaos.delay,
                    &config->chaos.seed);
  config->static_args = get_tuple (welcome, "static-args");
  g_variant_lookup (welcome, "log-domains", "^as", &config->log_domains);
  return take_command (self, welcome, config, error) && take_initializer (self, welcome, config, error);
}

static gboolean
start_local (PoolAgent *self, GVariant *welcome, guint first_worker, GError **error)
{
  if (!read_config (self, welcome, first_worker, error))
    return FALSE;
  self->local = pool_module_new_backend (LOCAL_BACKEND, error);
  if (self->local == NULL)
    return FALSE;
  self->local->engine = self->engine;
  self->local->sink = &self->sink;
  if (POOL_BACKEND_GET_CLASS (self->local)->start (self->local, &self->engine->settings.backend, error))
    return TRUE;
  g_clear_object (&self->local);
  return FALSE;
}

/* Long values need not be sent between processes of one machine. */
static void
share_memory (PoolAgent *self, GVariant *welcome)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->local);
  g_autoptr (GVariant) offer = g_variant_lookup_value (welcome, "share", G_VARIANT_TYPE (POOL_SHARE_TYPE));
  PoolBackendMemory own;
  PoolWireRecord record = { .type = POOL_WIRE_SHARE };

  /* a pool that has no memory to share looks into nobody else's */
  if (offer == NULL)
    return;
  self->share.view = pool_share_view_open (offer, NULL, NULL);
  if (self->share.view == NULL)
    return;
  record.kind = 1;
  if (klass->share_memory == NULL || !klass->share_memory (self->local, &own))
    {
      pool_agent_say (self, &record, NULL, 0, NULL);
      return;
    }
  pool_share_set_own (&self->share, &own);
  pool_wire_write_value (&self->out, &record, pool_share_offer (&own));
}

static void
free_task (gpointer data)
{
  PoolAgentTask *task = data;

  g_bytes_unref (task->bytes);
  g_free (task);
}

/*
 * What tasks print comes out where the program's own output does, as with workers that are its children. Until now what this agent had to
 * say was for who started it.
 */
static void
take_standard_streams (pid_t parent)
{
  int pidfd = (int) syscall (SYS_pidfd_open, parent, 0);

  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/fd/%d", (int) parent, fd);
      int theirs = pidfd >= 0 ? (int) syscall (SYS_pidfd_getfd, pidfd, fd, 0) : -1;

      /* that may be forbidden, where to open it once more is not */
      if (theirs < 0)
        theirs = open (path, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
      if (theirs < 0)
        continue;
      dup2 (theirs, fd);
      close (theirs);
    }
  if (pidfd >= 0)
    close (pidfd);
}

void
pool_agent_begin (PoolAgent *self, guint64 session, guint first_worker, GVariant *welcome)
{
  g_autoptr (GError) error = NULL;

  self->sink = (PoolBackendSink){ deliver, worker_up, worker_sandboxed, worker_down, pass_log, pass_output };
  self->session = session;
  self->n_sent = 0;
  self->next_number = 0;
  self->state = POOL_AGENT_SERVING;
  self->engine = pool_engine_new ();
  self->workers = g_array_new (FALSE, TRUE, sizeof (PoolAgentWorker));
  self->indexes = g_hash_table_new (NULL, NULL);
  self->tasks = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_task);
  self->functions = g_array_new (FALSE, TRUE, sizeof (gint64));
  self->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_queue_init (&self->pending);
  pool_wire_writer_reset (&self->out);
  pool_share_init (&self->share, NULL);
  self->out.share = &self->share;
  if (self->settings->parent > 0 || self->settings->streams > 0)
    take_standard_streams (self->settings->parent > 0 ? self->settings->parent : self->settings->streams);
  if (start_local (self, welcome, first_worker, &error))
    {
      share_memory (self, welcome);
      return;
    }

  pool_agent_note (self, "no workers: %s", error->message);
  /* whom nobody has started somebody watches, who can do something about it */
  if (self->settings->number == 0 && !self->settings->is_verbose)
    g_printerr ("%s: no workers for %s: %s\n", g_get_prgname (), self->transport->name, error->message);
  if (!self->settings->stays)
    self->status = 1;
  for (guint i = 0; i < self->settings->n_workers; i++)
    say_down (self, 0,
              &(PoolBackendExit){ .exit_code = -1, .error = error }, POOL_DOWN_REASON_NOT_STARTED);
  self->state = POOL_AGENT_STOPPING;
}

/* Whatever the pool, or the way to it, was: nothing of it is left. */
void
pool_agent_end (PoolAgent *self)
{
  if (self->session == 0)
    return;
  self->session = 0;
  if (self->local != NULL)
    {
      POOL_BACKEND_GET_CLASS (self->local)->stop (self->local, TRUE);
      POOL_BACKEND_GET_CLASS (self->local)->finish (self->local);
    }
  pool_share_clear (&self->share);
  g_clear_object (&self->local);
  g_clear_pointer (&self->engine, pool_engine_unref);
  g_clear_pointer (&self->workers, g_array_unref);
  g_clear_pointer (&self->indexes, g_hash_table_unref);
  g_clear_pointer (&self->tasks, g_hash_table_unref);
  g_clear_pointer (&self->functions, g_array_unref);
  g_clear_pointer (&self->errors, g_ptr_array_unref);
  g_queue_init (&self->pending);
  self->look_at = self->memory_at = 0;
}

/* What nobody has started goes back; what runs comes to its end. */
void
pool_agent_drain (PoolAgent *self)
{
  g_autoptr (GList) tasks = NULL;

  if (self->state != POOL_AGENT_SERVING)
    return;
  self->state = POOL_AGENT_DRAINING;
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_DRAINING }, NULL, 0, NULL);
  tasks = g_hash_table_get_values (self->tasks);
  for (GList *link = tasks; link != NULL; link = link->next)
    {
      PoolAgentTask *task = link->data;

      if (!task->is_submitted ||
          POOL_BACKEND_GET_CLASS (self->local)->cancel (self->local, task->task.handle))
        pool_agent_hand_back (self, task);
    }
  POOL_BACKEND_GET_CLASS (self->local)->stop (self->local, FALSE);
}

/* --- what lasts --- */

void
pool_agent_look_soon (PoolAgent *self, gint64 delay)
{
  gint64 at = g_get_monotonic_time () + (delay > 0 ? delay : LASTS_US);

  self->look_interval = LASTS_US;
  if (self->look_at == 0 || at < self->look_at)
    self->look_at = at;
  if (self->memory_limit > 0 && self->memory_at == 0)
    self->memory_at = at;
}

static void
say_state (PoolAgent *self, PoolAgentWorker *worker, const PoolBackendWorker *now, gint64 time)
{
  worker->told_handle = now->handle;
  worker->told_item = now->item;
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_STATE, .worker = worker->number, .handle = now->handle,
                                           .item = now->item, .id = now->done,
                                           .time = now->since > 0 ? MAX (time - now->since, 1) : 0 },
                  NULL, 0, NULL);
}

static gboolean
is_told (const PoolAgentWorker *worker, const PoolBackendWorker *now, const PoolAgentTask *task)
{
  return now->handle == worker->told_handle &&
         (now->item == worker->told_item || !(task->task.flags & POOL_CALL_LIMITED));
}

/* When it was started is known of tasks with a limit only; another one lasts if it is seen twice. */
static gboolean
lasts (const PoolAgentWorker *worker, const PoolBackendWorker *now, const PoolAgentTask *task, gint64 time)
{
  if (task->task.flags & POOL_CALL_LIMITED)
    return now->since > 0 && time - now->since >= LASTS_US;
  return now->handle == worker->seen_handle;
}

/*
 * The pool's time limits, and whom to end, need to know what workers are in. Tasks that are short are over before that could
 * be told; so it is told of what lasts.
 */
void
pool_agent_look (PoolAgent *self, gint64 time)
{
  gboolean any = FALSE;

  self->look_at = 0;
  if (self->local == NULL || g_hash_table_size (self->tasks) == 0)
    return;
  for (guint i = 0; i < self->workers->len; i++)
    {
      PoolAgentWorker *worker = &g_array_index (self->workers, PoolAgentWorker, i);
      PoolBackendWorker now;
      PoolAgentTask *task;

      if (worker->number == 0)
        continue;
      POOL_BACKEND_GET_CLASS (self->local)->get_worker (self->local, i, &now);
      task = now.handle != 0 ? pool_agent_find_task (self, now.handle) : NULL;
      if (task == NULL || (is_told (worker, &now, task) && !task->is_asked_for))
        continue;
      any = TRUE;
      if (lasts (worker, &now, task, time) || task->is_asked_for)
        {
          task->is_asked_for = FALSE;
          say_state (self, worker, &now, time);
          /* its time has not begun: that has to be told yet */
          if (now.since == 0 && (task->task.flags & POOL_CALL_LIMITED))
            worker->told_handle = 0;
        }
      worker->seen_handle = now.handle;
    }
  self->look_interval = any ? LASTS_US : MIN (2 * self->look_interval, LOOK_MAX_US);
  self->look_at = time + self->look_interval;
}

void
pool_agent_check_memory (PoolAgent *self)
{
  PoolBackendClass *klass;

  self->memory_at = 0;
  if (self->local == NULL || g_hash_table_size (self->tasks) == 0)
    return;
  klass = POOL_BACKEND_GET_CLASS (self->local);
  for (guint i = 0; klass->get_memory != NULL && i < self->workers->len; i++)
    {
      PoolAgentWorker *worker = &g_array_index (self->workers, PoolAgentWorker, i);
      PoolBackendWorker now;

      if (worker->number == 0 || worker->ran_out_of_memory)
        continue;
      klass->get_worker (self->local, i, &now);
      if (now.handle == 0 || klass->get_memory (self->local, i) <= self->memory_limit ||
          klass->doom (self->local, i, now.handle, -1) == 0)
        continue;
      worker->ran_out_of_memory = TRUE;
      klass->kill_worker (self->local, i, SIGKILL);
    }
  self->memory_at = g_get_monotonic_time () + POOL_MEMORY_CHECK_US;
}
