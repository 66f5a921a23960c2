/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-backend.h"

#include "pool-sandbox.h"

#include "libpool/pool-engine-private.h"
#include "libpool/pool-init.h"
#include "libpool/pool-value-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* After so many orders in a row that the system has no memory for, the zygote is given up. */
#define REFUSED_MAX 100

/* Up to this size a worker is granted the place of its next large result in advance, if need be in new memory. */
#define GRANT_NEW_MAX (4 * 1024 * 1024)

G_DEFINE_FINAL_TYPE (PoolForkBackend, pool_fork_backend, POOL_TYPE_LOCAL_BACKEND)

/* --- orders to the zygote --- */

/* FALSE: to be sent again later. A zygote that can be told nothing any more is given up: it will see that, and so will we. */
static gboolean
try_order (PoolForkBackend *self, const PoolControlMessage *message)
{
  if (pool_control_send (self->control_fd, message, FALSE))
    {
      self->n_refused = 0;
      return TRUE;
    }
  if (errno == EAGAIN || ((errno == ENOBUFS || errno == ENOMEM) && ++self->n_refused < REFUSED_MAX))
    return FALSE;
  shutdown (self->control_fd, SHUT_RDWR);
  return TRUE;
}

static void
flush_outbox (PoolForkBackend *self)
{
  PoolControlMessage *message;

  if (G_LIKELY (self->outbox.length == 0))
    return;
  while ((message = g_queue_peek_head (&self->outbox)) != NULL)
    {
      if (!try_order (self, message))
        return;
      g_free (g_queue_pop_head (&self->outbox));
    }
  pool_local_backend_watch_room (POOL_LOCAL_BACKEND (self), self->control_fd, FALSE);
}

/* Never blocks: what the socket does not take now goes when it does. */
static void
order (PoolForkBackend *self, const PoolControlMessage *message)
{
  if (self->control_fd < 0)
    return;
  flush_outbox (self);
  if (self->outbox.length == 0 && try_order (self, message))
    return;
  if (self->outbox.length == 0 &&
      !pool_local_backend_watch_room (POOL_LOCAL_BACKEND (self), self->control_fd, TRUE))
    shutdown (self->control_fd, SHUT_RDWR);
  g_queue_push_tail (&self->outbox, g_memdup2 (message, sizeof *message));
}

/* --- functions --- */

static void
publish_functions (PoolForkBackend *self)
{
  PoolFunctionTable *functions = POOL_BACKEND (self)->engine->functions;

  for (; self->n_functions < pool_function_table_get_size (functions); self->n_functions++)
    {
      const PoolFunction *function = pool_function_table_get (functions, self->n_functions);
      PoolShmFunction *entry = pool_shm_function (self->shm, self->n_functions);

      entry->kind = function->kind;
      /* one that came later: whoever adds it has seen to it that the copy has it */
      if (self->from_copy && !function->from_module)
        entry->address = GPOINTER_TO_SIZE (function->func.address);
      g_strlcpy (entry->name, function->name, sizeof entry->name);
    }
}

static guint
pool_fork_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  if (G_UNLIKELY (self->n_functions < pool_function_table_get_size (backend->engine->functions)))
    publish_functions (self);
  return POOL_BACKEND_CLASS (pool_fork_backend_parent_class)->submit (backend, tasks, n);
}

/* --- start --- */

static gboolean
write_value (PoolForkBackend *self, GVariant *value, guint64 *offset, guint64 *size, GError **error)
{
  guint8 *place;

  if (value == NULL)
    return TRUE;
  *size = pool_value_size (value, FALSE);
  place = pool_arena_alloc (&self->shm->arguments, *size, FALSE);
  if (place == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                   "There is no shared memory for static arguments of %" G_GUINT64_FORMAT " bytes", *size);
      return FALSE;
    }
  pool_value_encode (value, FALSE, place);
  *offset = place - self->shm->base;
  return TRUE;
}

static gboolean
write_config (PoolForkBackend *self, const PoolBackendConfig *config, GError **error)
{
  PoolShmHeader *header = self->shm->header;
  g_autoptr (GVariant) domains = NULL;
  guint number;

  if (config->initializer != NULL)
    {
      if (!pool_function_table_lookup (POOL_BACKEND (self)->engine->functions, config->initializer,
                                       &number, error))
        return FALSE;
      header->initializer = number + 1;
    }
  header->chaos = config->chaos;
  publish_functions (self);
  header->threads = MAX (pool_cpu_count () / config->processes, 1);
  header->first_worker = config->first_worker;
  header->max_memory = config->max_memory_per_child;
  header->memory_limit = config->memory_limit;
  if (config->log_domains != NULL)
    domains = g_variant_ref_sink (g_variant_new_strv (config->log_domains, -1));
  return write_value (self, domains, &header->log_domains, &header->log_domains_size, error) &&
         write_value (self, config->static_args, &header->static_args, &header->static_args_size,
                      error) &&
         write_value (self, config->initargs, &header->initargs, &header->initargs_size, error);
}

static gboolean
make_memory (PoolForkBackend *self, const PoolBackendConfig *config, GError **error)
{
  guint n_slots, n_results, max_workers;

  pool_local_backend_plan (config, &n_slots, &n_results, &max_workers);
  self->shm = pool_shm_new (pool_ring_size (n_slots, n_results, max_workers), max_workers, error);
  if (self->shm == NULL)
    return FALSE;
  self->workers = g_new0 (PoolForkWorker, max_workers);
  self->n_workers = max_workers;
  for (guint i = 0; i < max_workers; i++)
    pool_memory_watch_init (&self->workers[i].memory);
  self->manager_fd = syscall (SYS_pidfd_open, getpid (), 0);
  if (self->manager_fd < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No pidfd for a pool: %s",
                   g_strerror (errno));
      return FALSE;
    }
  return pool_local_backend_open (POOL_LOCAL_BACKEND (self),
                                  pool_shm_at (self->shm, self->shm->header->ring), config, error);
}

static guint32
prepare_worker (PoolForkBackend *self, guint worker, gboolean first)
{
  PoolForkWorker *info = &self->workers[worker];

  *info = (PoolForkWorker){ .incarnation = ++self->next_incarnation };
  pool_fork_backend_begin_memory (self, worker);
  /* 30 bits of it fit into a slot's word */
  self->next_incarnation &= (1u << 30) - 1;
  pool_local_backend_add_worker (POOL_LOCAL_BACKEND (self), worker, info->incarnation, first);
  return info->incarnation;
}

/* Nobody would hear of the end of a zygote that is not watched: then it is not to be. */
static gboolean
watch_zygote (PoolForkBackend *self, GError **error)
{
  if (pool_local_backend_watch_fd (POOL_LOCAL_BACKEND (self), self->control_fd))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The pool cannot watch its zygote: %s",
               g_strerror (errno));
  close (self->control_fd);
  self->control_fd = -1;
  if (self->zygote > 0)
    {
      kill (self->zygote, SIGKILL); /* and its workers with it */
      while (waitpid (self->zygote, NULL, 0) < 0 && errno == EINTR)
        ;
    }
  self->zygote = 0;
  return FALSE;
}

static gboolean
pool_fork_backend_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);
  guint32 first = 0;

  self->sandbox = config->sandbox;
  if (!pool_sandbox_check (self->sandbox, error))
    return FALSE;
  /* once here rather than once in each worker */
  g_type_ensure (POOL_TYPE_TASK);
  if (!make_memory (self, config, error) || !write_config (self, config, error) ||
      !pool_fork_backend_open_reports (self, config->log_domains != NULL, error))
    return FALSE;

  for (guint i = 0; i < config->processes; i++)
    {
      guint32 incarnation = prepare_worker (self, i, TRUE);

      if (i == 0)
        first = incarnation;
    }
  return pool_fork_backend_start_zygote (self, config->start_method, FALSE, config->processes, first,
                                         error) &&
         watch_zygote (self, error);
}

static PoolBackendFlags
pool_fork_backend_get_flags (PoolBackend *backend)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);
  PoolBackendFlags flags = POOL_BACKEND_GET_CLASS (backend)->flags;

  /* a program that the user names has what it is asked for, or says so when it is asked */
  return self->method == POOL_START_METHOD_FORK || pool_fork_backend_get_command (self) != NULL
             ? flags
             : flags & ~POOL_BACKEND_TAKES_CLOSURES;
}

/* --- workers come and go --- */

static void
cannot_start (PoolForkBackend *self, guint worker, const char *why)
{
  g_autoptr (GError) error = g_error_new (POOL_ERROR, POOL_ERROR_BACKEND,
                                          "could not be made: %s", why);
  const PoolBackendExit exit = { .worker = worker,
                                 .reason = POOL_DOWN_REASON_NOT_STARTED,
                                 .exit_code = -1,
                                 .error = error };

  pool_backend_worker_down (POOL_BACKEND (self), &exit);
}

/* A zygote that was forked from the program cannot be made again: by now the program has threads. */
static gboolean
ensure_zygote (PoolForkBackend *self, GError **error)
{
  if (self->control_fd >= 0)
    return TRUE;
  if (self->method == POOL_START_METHOD_FORK && !self->from_copy)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_BACKEND,
                           "the process that workers are forked from has died");
      return FALSE;
    }
  return pool_fork_backend_start_zygote (self, self->method, TRUE, 0, 0, error) &&
         watch_zygote (self, error);
}

static void
pool_fork_backend_add_workers (PoolBackend *backend, guint n)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      int worker = pool_local_backend_free_index (POOL_LOCAL_BACKEND (self));
      PoolControlMessage message = { .type = POOL_CONTROL_SPAWN, .worker = worker, .n = 1 };

      if (worker < 0)
        return;
      if (!ensure_zygote (self, &error))
        {
          cannot_start (self, worker, error->message);
          return;
        }
      message.incarnation = prepare_worker (self, worker, FALSE);
      order (self, &message);
    }
}

static void
pool_fork_backend_retire_worker (PoolBackend *backend, guint worker)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  self->workers[worker].asked = TRUE;
  pool_ring_retire (&POOL_LOCAL_BACKEND (self)->ring, worker);
}

static void
pool_fork_backend_kill_worker (PoolBackend *backend, guint worker, int signum)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);
  const PoolControlMessage message = { .type = POOL_CONTROL_KILL,
                                       .worker = worker,
                                       .incarnation = self->workers[worker].incarnation,
                                       .signum = signum };

  order (self, &message);
}

static void
pool_fork_backend_punish (PoolLocalBackend *local, guint worker)
{
  g_debug ("worker %u broke the protocol and is ended", worker);
  pool_fork_backend_kill_worker (POOL_BACKEND (local), worker, SIGKILL);
}

static gboolean
pool_fork_backend_dispatch_control (PoolLocalBackend *local)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);
  PoolControlMessage message;
  gboolean any = FALSE;
  int n = 0;

  pool_fork_backend_read_reports (local);
  pool_fork_backend_read_captures (self);
  while (self->control_fd >= 0 &&
         (n = pool_control_receive (self->control_fd, &message, FALSE)) > 0)
    {
      pool_fork_backend_handle_report (self, &message);
      any = TRUE;
    }
  if (self->control_fd < 0)
    return any;
  if (n < 0)
    {
      pool_fork_backend_zygote_died (self);
      return TRUE;
    }
  flush_outbox (self);
  return any;
}

/* --- arguments and results --- */

static gboolean
pool_fork_backend_share_memory (PoolBackend *backend, PoolBackendMemory *memory)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  *memory = (PoolBackendMemory){ .fd = self->shm->fd, .base = self->shm->base, .size = self->shm->header->size,
                                 .token = G_STRUCT_OFFSET (PoolShmHeader, token) };
  self->is_shared = self->shm->has_token;
  return self->is_shared;
}

static guint8 *
pool_fork_backend_alloc_payload (PoolBackend *backend, gsize size)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  return pool_arena_alloc (&self->shm->arguments, size, FALSE);
}

static void
pool_fork_backend_free_payload (PoolBackend *backend, guint8 *payload)
{
  pool_arena_free (&POOL_FORK_BACKEND (backend)->shm->arguments, payload);
}

static GBytes *
pool_fork_backend_wrap_payload (PoolBackend *backend, guint8 *payload, gsize size)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  return pool_shm_wrap (self->shm, &self->shm->arguments, payload, size);
}

static gboolean
pool_fork_backend_place_argument (PoolLocalBackend *local, PoolLocalSlot *slot, PoolRingSlot *ring_slot)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);

  if (!pool_arena_contains (&self->shm->arguments, slot->data))
    {
      slot->placed = pool_arena_alloc (&self->shm->arguments, slot->size, FALSE);
      if (slot->placed == NULL)
        return FALSE;
      memcpy (slot->placed, slot->data, slot->size);
      slot->data = slot->placed;
    }
  ring_slot->data = slot->data - self->shm->base;
  return TRUE;
}

static void
pool_fork_backend_release_argument (PoolLocalBackend *local, PoolLocalSlot *slot)
{
  pool_arena_free (&POOL_FORK_BACKEND (local)->shm->arguments, g_steal_pointer (&slot->placed));
}

static void
grant (PoolForkBackend *self, guint worker, gsize size, gboolean recycled)
{
  PoolRingWorkerWords *words = &POOL_LOCAL_BACKEND (self)->ring.words[worker];
  PoolForkWorker *info = &self->workers[worker];

  info->extent = pool_arena_alloc (&self->shm->results, size, recycled);
  if (info->extent == NULL && recycled)
    return;
  words->grant_offset = info->extent != NULL ? info->extent - self->shm->base : 0;
  words->grant_size =
      info->extent != NULL ? pool_arena_get_block_size (&self->shm->results, info->extent) : 0;
  atomic_fetch_add (&words->grant_seq, 1);
}

static void
handle_need (PoolForkBackend *self, guint worker, gsize size)
{
  PoolForkWorker *info = &self->workers[worker];

  /* it may have asked before it saw one that was granted in advance */
  if (info->extent == NULL ||
      pool_arena_get_block_size (&self->shm->results, info->extent) < size)
    {
      if (info->extent != NULL)
        pool_arena_free (&self->shm->results, g_steal_pointer (&info->extent));
      grant (self, worker, size, FALSE);
    }
  pool_futex_wake (&POOL_LOCAL_BACKEND (self)->ring.words[worker].grant_seq, 1);
}

static gboolean
pool_fork_backend_open_result (PoolLocalBackend *local, guint worker,
                               const PoolRingResult *ring_result, PoolBackendResult *result)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);
  PoolForkWorker *info = &self->workers[worker];
  gsize block_size;

  if (!(ring_result->kind & POOL_RING_DATA_EXTENT))
    {
      result->data = pool_shm_staging (self->shm, worker) + ring_result->data;
      return ring_result->data <= POOL_SHM_STAGING &&
             ring_result->size <= POOL_SHM_STAGING - ring_result->data;
    }

  if (info->extent == NULL || ring_result->data != (guint64) (info->extent - self->shm->results.base))
    return FALSE;
  block_size = pool_arena_get_block_size (&self->shm->results, info->extent);
  if (ring_result->size > block_size)
    return FALSE;
  result->data = info->extent;
  result->bytes = pool_shm_wrap (self->shm, &self->shm->results, g_steal_pointer (&info->extent),
                                 ring_result->size);
  return TRUE;
}

static void
pool_fork_backend_close_result (PoolLocalBackend *local, guint worker,
                                const PoolRingResult *ring_result)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);

  if (!(ring_result->kind & POOL_RING_DATA_EXTENT))
    {
      atomic_store (&local->ring.words[worker].staging_tail, ring_result->staging);
      return;
    }
  /* the next result is likely to be as large: have a block ready; a very large one only if it has been used before */
  if (self->workers[worker].extent == NULL && !self->stopping)
    grant (self, worker, ring_result->size, ring_result->size > GRANT_NEW_MAX);
}

static void
keep_start_error (PoolForkBackend *self, guint worker, const PoolRingResult *message)
{
  g_autofree guint8 *copy = NULL;

  if (message->data > POOL_SHM_STAGING || message->size > POOL_SHM_STAGING - message->data)
    return;
  copy = g_memdup2 (pool_shm_staging (self->shm, worker) + message->data, message->size);
  g_clear_error (&self->workers[worker].start_error);
  self->workers[worker].start_error = pool_error_decode (copy, message->size);
  self->workers[worker].no_sandbox = message->n_items != 0;
  atomic_store (&POOL_LOCAL_BACKEND (self)->ring.words[worker].staging_tail, message->staging);
}

static void
pool_fork_backend_handle_message (PoolLocalBackend *local, guint worker,
                                  const PoolRingResult *message)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (local);
  PoolForkWorker *info = &self->workers[worker];
  guint64 started;

  if (message->kind & POOL_RING_NEED_EXTENT)
    handle_need (self, worker, message->size);
  else if (message->kind & POOL_RING_STARTED_BAD)
    keep_start_error (self, worker, message);
  else if (!info->up)
    {
      memcpy (&started, message->bytes, sizeof started);
      info->up = TRUE;
      pool_backend_worker_sandboxed (POOL_BACKEND (self), worker,
                                     POOL_SHM_STARTED_SANDBOX (started) & POOL_SANDBOX_ENFORCEABLE);
      pool_backend_worker_up (POOL_BACKEND (self), worker, POOL_SHM_STARTED_PID (started), NULL);
    }
}

/* The task is told by a word in shared memory; the signal wakes it from a system call. */
static void
pool_fork_backend_notify (PoolBackend *backend, guint worker, guint64 handle, guint item, guint notice)
{
  POOL_BACKEND_CLASS (pool_fork_backend_parent_class)->notify (backend, worker, handle, item, notice);
  pool_fork_backend_kill_worker (backend, worker, SIGUSR1);
}

/* --- the end --- */

static void
pool_fork_backend_stop (PoolBackend *backend, gboolean now)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);
  const PoolControlMessage message = { .type = POOL_CONTROL_QUIT };

  self->stopping = TRUE;
  pool_ring_stop (&POOL_LOCAL_BACKEND (self)->ring);
  if (now)
    order (self, &message);
}

static void
wait_for_zygote (PoolForkBackend *self)
{
  gint64 deadline = g_get_monotonic_time () + QUIT_TIMEOUT_MS * 1000;
  PoolControlMessage message;

  for (;;)
    {
      struct pollfd fd = { self->control_fd, POLLIN, 0 };
      int left = (deadline - g_get_monotonic_time ()) / 1000;

      if (left <= 0)
        break;
      if (poll (&fd, 1, left) > 0 && pool_control_receive (self->control_fd, &message, FALSE) < 0)
        return;
    }
  if (self->zygote > 0)
    kill (self->zygote, SIGKILL);
}

static void
pool_fork_backend_finish (PoolBackend *backend)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (backend);

  if (self->control_fd < 0)
    return;
  pool_fork_backend_stop (backend, TRUE);
  /* if the order did not get through: the end of the connection means the same */
  shutdown (self->control_fd, SHUT_WR);
  wait_for_zygote (self);
  pool_fork_backend_read_reports (POOL_LOCAL_BACKEND (self));
  close (self->control_fd);
  self->control_fd = -1;
  if (self->zygote > 0)
    while (waitpid (self->zygote, NULL, 0) < 0 && errno == EINTR)
      ;
  self->zygote = 0;
  self->shm->results.is_kept = self->is_shared;
}

static void
pool_fork_backend_finalize (GObject *object)
{
  PoolForkBackend *self = POOL_FORK_BACKEND (object);

  if (self->control_fd >= 0)
    close (self->control_fd);
  if (self->manager_fd >= 0)
    close (self->manager_fd);
  g_queue_clear_full (&self->outbox, g_free);
  pool_fork_backend_close_reports (self);
  for (guint i = 0; i < self->n_workers; i++)
    pool_memory_watch_clear (&self->workers[i].memory);
  pool_local_backend_close (POOL_LOCAL_BACKEND (self));
  g_free (self->workers);
  g_clear_pointer (&self->shm, pool_shm_unref);
  G_OBJECT_CLASS (pool_fork_backend_parent_class)->finalize (object);
}

static void
pool_fork_backend_class_init (PoolForkBackendClass *klass)
{
  PoolBackendClass *backend_class = POOL_BACKEND_CLASS (klass);
  PoolLocalBackendClass *local_class = POOL_LOCAL_BACKEND_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = pool_fork_backend_finalize;
  backend_class->flags = POOL_BACKEND_ISOLATES | POOL_BACKEND_TAKES_CLOSURES |
                         POOL_BACKEND_CAN_KILL | POOL_BACKEND_CAN_GROW | POOL_BACKEND_SANDBOXES |
                         POOL_BACKEND_TAKES_CHAOS | POOL_BACKEND_CAN_CAPTURE;
  backend_class->get_flags = pool_fork_backend_get_flags;
  backend_class->start = pool_fork_backend_start;
  backend_class->add_workers = pool_fork_backend_add_workers;
  backend_class->retire_worker = pool_fork_backend_retire_worker;
  backend_class->kill_worker = pool_fork_backend_kill_worker;
  backend_class->notify = pool_fork_backend_notify;
  backend_class->get_memory = pool_fork_backend_get_memory;
  backend_class->share_memory = pool_fork_backend_share_memory;
  backend_class->alloc_payload = pool_fork_backend_alloc_payload;
  backend_class->free_payload = pool_fork_backend_free_payload;
  backend_class->wrap_payload = pool_fork_backend_wrap_payload;
  backend_class->submit = pool_fork_backend_submit;
  backend_class->stop = pool_fork_backend_stop;
  backend_class->finish = pool_fork_backend_finish;
  backend_class->worker_main = pool_fork_backend_worker_main;
  backend_class->take_output = pool_fork_backend_give_up_output;
  local_class->place_argument = pool_fork_backend_place_argument;
  local_class->release_argument = pool_fork_backend_release_argument;
  local_class->open_result = pool_fork_backend_open_result;
  local_class->close_result = pool_fork_backend_close_result;
  local_class->handle_message = pool_fork_backend_handle_message;
  local_class->punish = pool_fork_backend_punish;
  local_class->dispatch_control = pool_fork_backend_dispatch_control;
  local_class->read_reports = pool_fork_backend_read_reports;
  local_class->take_output = pool_fork_backend_take_output;
}

static void
pool_fork_backend_init (PoolForkBackend *self)
{
  self->control_fd = self->manager_fd = -1;
  self->report_fds[0] = self->report_fds[1] = -1;
  g_queue_init (&self->outbox);
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "fork",
  .description = "processes on this machine: a task that crashes takes only itself down",
  .get_type = pool_fork_backend_get_type,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
