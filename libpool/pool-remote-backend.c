/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-remote-backend-private.h"

#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-ranks-private.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How long agents may take to end when they are to end at once, µs. */
#define STOP_US (2 * 1000 * 1000)
/* The same for the processes of a launcher, when all is over, seconds. */
#define FINISH_GRACE 2.0

G_DEFINE_ABSTRACT_TYPE (PoolRemoteBackend, pool_remote_backend, POOL_TYPE_BACKEND)

/* --- start --- */

gboolean
pool_remote_backend_watch_fd (PoolRemoteBackend *self, int fd)
{
  struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void
pool_remote_backend_add_refused (PoolRemoteBackend *self, guint n)
{
  self->config->remote->n_refused += n;
}

static gboolean
open_fds (PoolRemoteBackend *self, GError **error)
{
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (self->epoll_fd >= 0 && self->wake_fd >= 0 && self->kick_fd >= 0 && self->timer_fd >= 0 &&
      pool_remote_backend_watch_fd (self, self->wake_fd) && pool_remote_backend_watch_fd (self, self->timer_fd))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No descriptors for a pool: %s", g_strerror (errno));
  return FALSE;
}

static void
add (GVariantBuilder *builder, const char *key, GVariant *value)
{
  g_variant_builder_add (builder, "{sv}", key, value);
}

/* What an agent has to know of how its workers are started; read in pool-agent-session.c. */
static GVariant *
describe_config (PoolRemoteBackend *self)
{
  const PoolBackendConfig *config = self->config;
  PoolFunctionTable *functions = POOL_BACKEND (self)->engine->functions;
  GVariantBuilder builder;
  guint number;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add (&builder, "heartbeat", g_variant_new_int64 (self->heartbeat));
  add (&builder, "max-processes", g_variant_new_uint32 (config->max_processes));
  add (&builder, "max-tasks-per-child", g_variant_new_uint32 (config->max_tasks_per_child));
  add (&builder, "max-memory-per-child", g_variant_new_uint64 (config->max_memory_per_child));
  add (&builder, "memory-limit", g_variant_new_uint64 (config->memory_limit));
  add (&builder, "start-method", g_variant_new_uint32 (config->start_method));
  add (&builder, "sandbox", g_variant_new_uint32 (config->sandbox));
  add (&builder, "chaos", g_variant_new ("(dddt)", config->chaos.kill, config->chaos.stop, config->chaos.delay,
                                         config->chaos.seed));
  if (config->static_args != NULL)
    add (&builder, "static-args", config->static_args);
  if (config->initializer != NULL &&
      pool_function_table_lookup (functions, config->initializer, &number, NULL))
    {
      add (&builder, "initializer", g_variant_new_string (config->initializer));
      add (&builder, "initializer-kind", g_variant_new_uint32 (pool_function_table_get (functions, number)->kind));
      add (&builder, "initargs", config->initargs);
    }
  if (config->log_domains != NULL)
    add (&builder, "log-domains", g_variant_new_strv (config->log_domains, -1));
  if (config->worker_command != NULL)
    add (&builder, "worker-command", g_variant_new_strv (config->worker_command, -1));
  if (self->heap != NULL)
    {
      PoolBackendMemory memory;

      pool_share_heap_get_memory (self->heap, &memory);
      add (&builder, "share", pool_share_offer (&memory));
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* Where every agent is this program, the code is the same; data are not. */
static gboolean
check_addresses (PoolRemoteBackend *self, GError **error)
{
  PoolFunctionTable *functions = POOL_BACKEND (self)->engine->functions;

  for (guint i = 0; i < pool_function_table_get_size (functions); i++)
    {
      const PoolFunction *function = pool_function_table_get (functions, i);
      g_autofree char *place = function->from_module || function->kind == POOL_FUNCTION_PROCESS || function->user_data != NULL
                                   ? NULL
                                   : pool_program_describe (function->func.address);

      if (function->from_module || place != NULL)
        continue;
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
                   "Other ranks of this program do not have \"%s\": register a plain function of the program, without user "
                   "data, and give it static arguments; or put it into a task module",
                   function->name);
      return FALSE;
    }
  return TRUE;
}

/* Functions of this program are not elsewhere; another program that workers run may have them. */
static gboolean
check_functions (PoolRemoteBackend *self, GError **error)
{
  const PoolFunction *closure = pool_function_table_get_closure (POOL_BACKEND (self)->engine->functions);

  if (closure == NULL || self->config->worker_command != NULL)
    return TRUE;
  if (self->agents_have_program)
    return check_addresses (self, error);
  g_set_error (error, POOL_ERROR, POOL_ERROR_STATE,
               "Workers on other machines do not have \"%s\", which was registered in this program: put it into a task "
               "module, or give worker-command a program that has it",
               closure->name);
  return FALSE;
}

static gboolean
pool_remote_backend_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  self->config = config;
  self->heap = pool_share_heap_new ();
  self->heartbeat = config->remote->heartbeat * G_USEC_PER_SEC;
  if (!open_fds (self, error) || !pool_remote_backend_open_launcher (self, error) ||
      !POOL_REMOTE_BACKEND_GET_CLASS (self)->open (self, !pool_remote_backend_launches_here (self), error) ||
      !check_functions (self, error))
    return FALSE;
  self->welcome = describe_config (self);
  if (!pool_remote_backend_launches (self))
    return TRUE;
  self->n_planned += config->processes;
  return pool_remote_backend_launch (self, error);
}

static PoolBackendFlags
pool_remote_backend_get_flags (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  PoolBackendFlags flags = POOL_BACKEND_GET_CLASS (backend)->flags;

  if (self->config->worker_command != NULL || self->agents_have_program)
    flags |= POOL_BACKEND_TAKES_CLOSURES;
  /* those that come by themselves come when they like */
  return pool_remote_backend_launches (self) ? flags : flags & ~POOL_BACKEND_CAN_GROW;
}

/* --- workers --- */

static guint
pool_remote_backend_count_workers (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  guint n = self->n_planned;

  for (guint i = 0; i < self->agents->len; i++)
    {
      const PoolRemoteAgent *agent = self->agents->pdata[i];

      /* those of one that drains have been replaced; at the end of the pool they are waited for all the same */
      if (agent != NULL && (!agent->is_draining || !agent->is_launched || self->is_stopping))
        n += agent->n_workers;
    }
  return n;
}

static guint
ask_agent (PoolRemoteAgent *agent, guint n)
{
  if (n == 0)
    return 0;
  agent->n_workers += n;
  agent->n_lost -= MIN (n, agent->n_lost);
  pool_remote_agent_say (agent, &(PoolWireRecord){ .type = POOL_WIRE_ADD, .n_items = n }, NULL, 0, NULL);
  return n;
}

static gboolean
may_be_asked (const PoolRemoteAgent *agent)
{
  return agent != NULL && agent->session != 0 && !agent->is_draining && !agent->is_unreachable;
}

static PoolRemoteAgent *
find_smallest (PoolRemoteBackend *self)
{
  PoolRemoteAgent *smallest = NULL;

  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (may_be_asked (agent) && (smallest == NULL || agent->n_workers < smallest->n_workers))
        smallest = agent;
    }
  return smallest;
}

guint
pool_remote_backend_ask_agents (PoolRemoteBackend *self, guint n, gboolean more)
{
  PoolRemoteAgent *agent;

  for (guint i = 0; i < self->agents->len && n > 0; i++)
    if (may_be_asked (self->agents->pdata[i]))
      n -= ask_agent (self->agents->pdata[i], MIN (n, ((PoolRemoteAgent *) self->agents->pdata[i])->n_lost));
  for (; more && n > 0 && (agent = find_smallest (self)) != NULL; n--)
    ask_agent (agent, 1);
  pool_remote_backend_flush (self);
  return n;
}

/* An agent that has lost workers makes them again; one on this machine can make more; else another agent is started. */
static void
pool_remote_backend_add_workers (PoolBackend *backend, guint n)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  gboolean grows = pool_remote_backend_launches_here (self) && self->config->remote->processes_per_agent == 0;

  n = pool_remote_backend_ask_agents (self, n, grows);
  if (n > 0 && pool_remote_backend_launches (self))
    pool_remote_backend_plan (self, n);
}

static PoolRemoteWorker *
get_worker (PoolBackend *backend, guint id)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  return id < self->workers->len ? self->workers->pdata[id] : NULL;
}

/* An order to a worker, if it is still there. */
static void
tell_worker (PoolBackend *backend, guint id, PoolWireRecord *record)
{
  PoolRemoteWorker *worker = get_worker (backend, id);

  if (worker == NULL)
    return;
  record->worker = worker->number;
  pool_remote_agent_say (worker->agent, record, NULL, 0, NULL);
  pool_remote_backend_flush (worker->agent->backend);
}

static void
pool_remote_backend_retire_worker (PoolBackend *backend, guint worker)
{
  tell_worker (backend, worker, &(PoolWireRecord){ .type = POOL_WIRE_RETIRE });
}

static void
pool_remote_backend_kill_worker (PoolBackend *backend, guint worker, int signum)
{
  tell_worker (backend, worker, &(PoolWireRecord){ .type = POOL_WIRE_KILL, .kind = signum });
}

static void
pool_remote_backend_notify (PoolBackend *backend, guint worker, guint64 handle, guint item, guint notice)
{
  tell_worker (backend, worker,
               &(PoolWireRecord){ .type = POOL_WIRE_NOTIFY, .handle = handle, .item = item, .kind = notice });
}

static void
pool_remote_backend_answer (PoolBackend *backend, guint worker, guint64 handle, gboolean go)
{
  tell_worker (backend, worker, &(PoolWireRecord){ .type = POOL_WIRE_ANSWER, .handle = handle, .kind = go });
}

static void
pool_remote_backend_get_worker (PoolBackend *backend, guint id, PoolBackendWorker *info)
{
  const PoolRemoteWorker *worker = get_worker (backend, id);

  *info = (PoolBackendWorker){ 0 };
  if (worker == NULL)
    return;
  info->done = worker->done;
  if (worker->is_doomed)
    return;
  info->handle = worker->handle;
  info->item = worker->item;
  info->since = worker->since;
}

/*
 * What is known is a little old: the worker may have come to its end with that task meanwhile. Then its result is dropped, and the
 * worker is replaced after what it is in now, which nobody wants ended: see the agent.
 */
static guint
pool_remote_backend_doom (PoolBackend *backend, guint id, guint64 handle, gint64 item)
{
  PoolRemoteWorker *worker = get_worker (backend, id);

  if (worker == NULL || worker->is_doomed || worker->handle != handle || handle == 0 ||
      (item >= 0 && worker->item != item))
    return 0;
  worker->is_doomed = TRUE;
  tell_worker (backend, id, &(PoolWireRecord){ .type = POOL_WIRE_DOOM, .handle = handle });
  return worker->item + 1;
}

static void
pool_remote_backend_take_output (PoolBackend *backend, guint64 handle)
{
  PoolRemoteTask *task = g_hash_table_lookup (POOL_REMOTE_BACKEND (backend)->tasks, &handle);

  if (task == NULL)
    return;
  pool_remote_agent_say (task->agent, &(PoolWireRecord){ .type = POOL_WIRE_TAKE_OUTPUT, .handle = handle }, NULL, 0,
                         NULL);
  pool_remote_backend_flush (task->agent->backend);
}

/* --- waiting --- */

static void
raise_fd (int fd)
{
  const guint64 one = 1;

  while (write (fd, &one, sizeof one) < 0 && errno == EINTR)
    ;
}

static void
lower_fd (int fd)
{
  guint64 count;

  while (read (fd, &count, sizeof count) < 0 && errno == EINTR)
    ;
}

/*
 * Two threads may wait: one in wait(), one for the descriptor of get_fd(). So nothing is taken from a descriptor but by
 * dispatch(), after which nobody need have been woken; and a kick, which is for wait() only, has one of its own.
 */
void
pool_remote_backend_wake (PoolRemoteBackend *self)
{
  atomic_store (&self->is_woken, TRUE);
  raise_fd (self->wake_fd);
}

/* Has an agent's process something to say? */
static void
note_events (PoolRemoteBackend *self)
{
  struct epoll_event events[8];
  int n = epoll_wait (self->epoll_fd, events, G_N_ELEMENTS (events), 0);

  for (int i = 0; i < n; i++)
    if (self->launcher != NULL && events[i].data.fd == pool_launcher_get_fd (self->launcher))
      atomic_store (&self->launcher_ready, TRUE);
}

static int
pool_remote_backend_get_fd (PoolBackend *backend)
{
  return POOL_REMOTE_BACKEND (backend)->epoll_fd;
}

static void
pool_remote_backend_acknowledge (PoolBackend *backend)
{
  note_events (POOL_REMOTE_BACKEND (backend));
}

static gboolean
pool_remote_backend_arm (PoolBackend *backend, gboolean on)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  return on && POOL_REMOTE_BACKEND_GET_CLASS (self)->has_message (self);
}

static void
pool_remote_backend_wait (PoolBackend *backend, guint kicks, gint64 timeout)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  const struct timespec left = { timeout / 1000000000, timeout % 1000000000 };
  struct pollfd fds[] = { { self->epoll_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };

  if (atomic_load (&self->kicks) != kicks)
    return;
  if (ppoll (fds, G_N_ELEMENTS (fds), timeout < 0 ? NULL : &left, NULL) <= 0)
    return;
  if (fds[0].revents != 0)
    note_events (self);
  if (fds[1].revents != 0)
    lower_fd (self->kick_fd);
}

static guint
pool_remote_backend_get_kicks (PoolBackend *backend)
{
  return atomic_load (&POOL_REMOTE_BACKEND (backend)->kicks);
}

static void
pool_remote_backend_kick (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  atomic_fetch_add (&self->kicks, 1);
  raise_fd (self->kick_fd);
}

static gboolean
drop_unreachable (PoolRemoteBackend *self)
{
  gboolean any = FALSE;

  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent == NULL || !agent->is_unreachable)
        continue;
      pool_remote_agent_lose (agent, "the connection is gone");
      any = TRUE;
    }
  return any;
}

/* The pool was to end at once, and somebody has not. */
static gboolean
give_up (PoolRemoteBackend *self)
{
  self->give_up_at = 0;
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent == NULL)
        continue;
      if (agent->is_launched)
        pool_remote_backend_signal_agent (self, agent->number, SIGKILL);
      pool_remote_agent_lose (agent, "it did not end in time");
    }
  return TRUE;
}

static gboolean
pool_remote_backend_dispatch (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  gboolean any;

  if (self->welcome == NULL)
    return FALSE;
  if (atomic_exchange (&self->is_woken, FALSE))
    lower_fd (self->wake_fd);
  /* what could be handed out was, and yet somebody is idle */
  if (g_hash_table_size (self->tasks) > 0)
    pool_remote_backend_rebalance (self);
  any = POOL_REMOTE_BACKEND_GET_CLASS (self)->receive (self);
  any |= drop_unreachable (self);
  if (atomic_exchange (&self->launcher_ready, FALSE))
    {
      pool_launcher_dispatch (self->launcher);
      any = TRUE;
    }
  if (self->timer_at != 0 && g_get_monotonic_time () >= self->timer_at)
    {
      gint64 now = g_get_monotonic_time ();

      self->timer_at = -1; /* it is to be set anew in any case */
      pool_remote_backend_beat (self, now);
      pool_remote_backend_launch_in_time (self, now);
      if (self->give_up_at != 0 && now >= self->give_up_at)
        any |= give_up (self);
    }
  pool_remote_backend_set_timer (self);
  pool_remote_backend_flush_needed (self);
  return any;
}

/* --- the end --- */

/* Agents that have not come yet need not come. */
static void
drop_expected (PoolRemoteBackend *self)
{
  self->n_planned = 0;
  self->launch_at = 0;
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent == NULL || agent->session != 0)
        continue;
      pool_remote_backend_signal_agent (self, agent->number, SIGTERM);
      pool_remote_agent_free (agent);
    }
}

static void
pool_remote_backend_stop (PoolBackend *backend, gboolean now)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  self->is_stopping = TRUE;
  drop_expected (self);
  for (guint i = 0; i < self->agents->len; i++)
    if (self->agents->pdata[i] != NULL)
      pool_remote_agent_say (self->agents->pdata[i], &(PoolWireRecord){ .type = POOL_WIRE_STOP, .kind = now }, NULL, 0,
                             NULL);
  if (now)
    self->give_up_at = g_get_monotonic_time () + STOP_US;
  pool_remote_backend_set_timer (self);
  pool_remote_backend_flush (self);
}

static void
pool_remote_backend_finish (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);

  if (self->welcome == NULL)
    return;
  pool_remote_backend_stop (backend, TRUE);
  POOL_REMOTE_BACKEND_GET_CLASS (self)->close (self);
  if (self->launcher != NULL)
    pool_launcher_free (g_steal_pointer (&self->launcher), FINISH_GRACE);
  for (guint i = 0; i < self->agents->len; i++)
    if (self->agents->pdata[i] != NULL)
      pool_remote_agent_free (self->agents->pdata[i]);
  g_clear_pointer (&self->welcome, g_variant_unref);
}

static void
pool_remote_backend_finalize (GObject *object)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (object);
  int *fds[] = { &self->epoll_fd, &self->wake_fd, &self->kick_fd, &self->timer_fd };

  /* a start that failed */
  if (self->launcher != NULL)
    pool_launcher_free (self->launcher, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    if (*fds[i] >= 0)
      close (*fds[i]);
  g_clear_pointer (&self->welcome, g_variant_unref);
  g_ptr_array_unref (self->agents);
  g_ptr_array_unref (self->workers);
  g_hash_table_unref (self->tasks);
  g_hash_table_unref (self->payloads);
  g_clear_pointer (&self->heap, pool_share_heap_unref);
  G_OBJECT_CLASS (pool_remote_backend_parent_class)->finalize (object);
}

static void
pool_remote_backend_class_init (PoolRemoteBackendClass *klass)
{
  PoolBackendClass *backend_class = POOL_BACKEND_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = pool_remote_backend_finalize;
  backend_class->flags = POOL_BACKEND_ISOLATES | POOL_BACKEND_REMOTE | POOL_BACKEND_CAN_KILL | POOL_BACKEND_CAN_GROW |
                         POOL_BACKEND_SANDBOXES | POOL_BACKEND_TAKES_CHAOS | POOL_BACKEND_CAN_CAPTURE;
  backend_class->get_flags = pool_remote_backend_get_flags;
  backend_class->start = pool_remote_backend_start;
  backend_class->add_workers = pool_remote_backend_add_workers;
  backend_class->count_workers = pool_remote_backend_count_workers;
  backend_class->retire_worker = pool_remote_backend_retire_worker;
  backend_class->kill_worker = pool_remote_backend_kill_worker;
  backend_class->alloc_payload = pool_remote_backend_alloc_payload;
  backend_class->free_payload = pool_remote_backend_free_payload;
  backend_class->wrap_payload = pool_remote_backend_wrap_payload;
  backend_class->adopt_payload = pool_remote_backend_adopt_payload;
  backend_class->get_room = pool_remote_backend_get_room;
  backend_class->submit = pool_remote_backend_submit;
  backend_class->cancel = pool_remote_backend_cancel;
  backend_class->split = pool_remote_backend_split;
  backend_class->get_worker = pool_remote_backend_get_worker;
  backend_class->doom = pool_remote_backend_doom;
  backend_class->notify = pool_remote_backend_notify;
  backend_class->answer = pool_remote_backend_answer;
  backend_class->take_output = pool_remote_backend_take_output;
  backend_class->dispatch = pool_remote_backend_dispatch;
  backend_class->get_fd = pool_remote_backend_get_fd;
  backend_class->acknowledge = pool_remote_backend_acknowledge;
  backend_class->arm = pool_remote_backend_arm;
  backend_class->wait = pool_remote_backend_wait;
  backend_class->get_kicks = pool_remote_backend_get_kicks;
  backend_class->kick = pool_remote_backend_kick;
  backend_class->stop = pool_remote_backend_stop;
  backend_class->finish = pool_remote_backend_finish;
}

static void
pool_remote_backend_init (PoolRemoteBackend *self)
{
  self->epoll_fd = self->wake_fd = self->kick_fd = self->timer_fd = -1;
  /* another pool at the same place has other sessions */
  self->next_session = (guint64) g_random_int () << 32;
  self->agents = g_ptr_array_new ();
  self->workers = g_ptr_array_new ();
  self->tasks = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  self->payloads = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_bytes_unref);
}
