/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-local-backend-private.h"

#include "pool-error.h"
#include "pool-value-private.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

G_DEFINE_ABSTRACT_TYPE (PoolLocalBackend, pool_local_backend, POOL_TYPE_BACKEND)

void
pool_local_backend_plan (const PoolBackendConfig *config, guint *n_slots, guint *n_results,
                         guint *max_workers)
{
  guint most = MAX (config->processes, config->max_processes);
  guint n = 1024;

  while (n < 4 * config->processes)
    n *= 2;
  *n_slots = n;
  /* as long as the task ring for usual pools: such a result ring can never be full */
  *n_results = config->processes <= 16 ? n : 128;
  /* some are leaving while others take their place */
  *max_workers = CLAMP (MAX (4 * config->processes, most + most / 3), 64, POOL_RING_MAX_WORKERS);
}

gboolean
pool_local_backend_watch_fd (PoolLocalBackend *self, int fd)
{
  struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

gboolean
pool_local_backend_watch_room (PoolLocalBackend *self, int fd, gboolean on)
{
  struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0), .data.fd = fd };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

gboolean
pool_local_backend_open (PoolLocalBackend *self, gpointer memory, const PoolBackendConfig *config,
                         GError **error)
{
  guint n_slots, n_results, max_workers;

  self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->event_fd < 0 || self->epoll_fd < 0 ||
      !pool_local_backend_watch_fd (self, self->event_fd))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No descriptors for a pool: %s",
                   g_strerror (errno));
      return FALSE;
    }

  self->processes = config->processes;
  self->max_tasks = config->max_tasks_per_child;
  pool_local_backend_plan (config, &n_slots, &n_results, &max_workers);
  pool_ring_init (&self->ring, memory, n_slots, n_results, max_workers, self->event_fd);
  self->slots = g_new0 (PoolLocalSlot, n_slots);
  return TRUE;
}

/*
 * The workers that are made together would come to their last task together: the later ones of them leave earlier, so that
 * from then on one is replaced at a time.
 */
void
pool_local_backend_add_worker (PoolLocalBackend *self, guint worker, guint32 incarnation, gboolean first)
{
  pool_ring_worker_add (&self->ring, worker, incarnation);
  if (self->max_tasks == 0)
    return;
  self->ring.words[worker].quota =
      first ? self->max_tasks - (guint) ((guint64) self->max_tasks * worker / self->processes)
            : self->max_tasks;
}

int
pool_local_backend_free_index (PoolLocalBackend *self)
{
  for (guint i = 0; i < self->ring.max_workers; i++)
    if (!self->ring.alive[i])
      return i;
  return -1;
}

/* --- slots --- */

static void
free_adopted (PoolLocalBackend *self, PoolLocalSlot *slot)
{
  if (slot->adopted_is_ours)
    POOL_BACKEND_GET_CLASS (self)->free_payload (POOL_BACKEND (self), slot->adopted);
  else
    g_free (slot->adopted);
  slot->adopted = NULL;
}

static void
release_slot (PoolLocalBackend *self, guint index)
{
  PoolLocalSlot *slot = &self->slots[index];

  if (slot->placed != NULL)
    POOL_LOCAL_BACKEND_GET_CLASS (self)->release_argument (self, slot);
  if (G_UNLIKELY (slot->adopted != NULL))
    free_adopted (self, slot);
  slot->handle = 0;
  pool_ring_release (&self->ring, index);
}

static int
find_slot (PoolLocalBackend *self, guint64 handle)
{
  for (guint i = 0; i < self->ring.n_slots; i++)
    if (self->ring.busy[i] && self->slots[i].handle == handle)
      return i;
  return -1;
}

gboolean
pool_local_backend_has_task (PoolLocalBackend *self, guint64 handle)
{
  return find_slot (self, handle) >= 0;
}

/* Takes everything back that no worker has claimed, without telling anybody. */
void
pool_local_backend_withdraw (PoolLocalBackend *self)
{
  for (guint i = 0; i < self->ring.n_slots; i++)
    if (pool_ring_take_back (&self->ring, i))
      release_slot (self, i);
}

void
pool_local_backend_close (PoolLocalBackend *self)
{
  for (guint i = 0; self->slots != NULL && i < self->ring.n_slots; i++)
    if (self->slots[i].adopted != NULL)
      free_adopted (self, &self->slots[i]);
  pool_ring_clear (&self->ring);
  g_clear_pointer (&self->slots, g_free);
  if (self->event_fd >= 0)
    close (self->event_fd);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  self->event_fd = self->epoll_fd = -1;
}

static void
fail_task (PoolLocalBackend *self, guint64 handle, guint worker, GError *error)
{
  PoolBackendResult result = { .handle = handle, .worker = worker, .kind = POOL_RESULT_ERROR };
  PoolBuffer buffer = { 0 };

  pool_error_encode (error, &buffer);
  g_error_free (error);
  result.data = buffer.data;
  result.size = buffer.len;
  pool_backend_deliver (POOL_BACKEND (self), &result);
  pool_buffer_clear (&buffer);
}

/* --- tasks --- */

static guint
pool_local_backend_get_room (PoolBackend *backend)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);

  return pool_ring_room (&self->ring);
}

static gboolean
fill_slot (PoolLocalBackend *self, PoolRingSlot *ring_slot, PoolLocalSlot *slot,
           const PoolBackendTask *task)
{
  *slot = (PoolLocalSlot){ task->handle, task->n_items, task->data, task->size, NULL, NULL, FALSE };
  pool_local_slot_describe (ring_slot, task);
  if (task->size <= POOL_RING_INLINE)
    {
      ring_slot->flags |= POOL_RING_DATA_INLINE;
      if (task->size > 0)
        memcpy (ring_slot->bytes, task->data, task->size);
      return TRUE;
    }
  return POOL_LOCAL_BACKEND_GET_CLASS (self)->place_argument (self, slot, ring_slot);
}

static void
refuse (PoolLocalBackend *self, const PoolBackendTask *task)
{
  fail_task (self, task->handle, 0,
             g_error_new (POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                          "Task %" G_GUINT64_FORMAT ": there is no memory to send %" G_GSIZE_FORMAT
                          " bytes",
                          task->id, task->size));
}

static guint
pool_local_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  guint accepted;

  for (accepted = 0; accepted < n; accepted++)
    {
      guint index;
      PoolRingSlot *ring_slot = pool_ring_reserve (&self->ring, &index);

      if (ring_slot == NULL)
        break;
      if (G_UNLIKELY (!fill_slot (self, ring_slot, &self->slots[index], &tasks[accepted])))
        {
          /* memory comes back with the tasks that are out; when none is, there will never be enough */
          if (self->ring.n_outstanding > 0)
            break;
          refuse (self, &tasks[accepted]);
          continue;
        }
      pool_ring_commit (&self->ring, index);
    }
  pool_ring_publish (&self->ring);
  return accepted;
}

static void
pool_local_backend_adopt_payload (PoolBackend *backend, guint64 handle, guint8 *payload,
                                  gboolean is_ours)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  int index = find_slot (self, handle);

  g_assert (index >= 0);
  self->slots[index].adopted = payload;
  self->slots[index].adopted_is_ours = is_ours;
}

static gboolean
pool_local_backend_cancel (PoolBackend *backend, guint64 handle)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  int index = find_slot (self, handle);

  if (index < 0 || !pool_ring_take_back (&self->ring, index))
    return FALSE;
  release_slot (self, index);
  return TRUE;
}

static inline guint16
progress_serial (guint64 handle)
{
  return handle >> 32;
}

static guint
pool_local_backend_split (PoolBackend *backend, guint64 handle, guint n_items)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  int index = find_slot (self, handle);

  if (index < 0)
    return 0;

  for (guint i = 0; i < atomic_load (&self->ring.n_workers); i++)
    if (pool_ring_worker_runs (&self->ring, i, index))
      {
        guint first = pool_progress_take_back (&self->ring.words[i].progress,
                                               progress_serial (handle), n_items);

        if (first != 0)
          self->slots[index].n_items = first;
        return first;
      }
  return 0;
}

static guint
pool_local_backend_count_workers (PoolBackend *backend)
{
  return POOL_LOCAL_BACKEND (backend)->ring.n_alive;
}

static void
pool_local_backend_get_worker (PoolBackend *backend, guint worker, PoolBackendWorker *info)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  PoolRingWorkerWords *words;
  guint32 current;

  *info = (PoolBackendWorker){ 0 };
  if (self->slots == NULL || worker >= self->ring.max_workers)
    return;

  words = &self->ring.words[worker];
  info->done = atomic_load (&words->done);
  current = atomic_load (&words->current);
  if (current == 0 || current > self->ring.n_slots ||
      !pool_ring_worker_runs (&self->ring, worker, current - 1))
    return;
  info->handle = self->slots[current - 1].handle;
  pool_ring_words_look (words, progress_serial (info->handle), &info->item, &info->since);
}

static guint
pool_local_backend_doom (PoolBackend *backend, guint worker, guint64 handle, gint64 item)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  guint32 current = atomic_load (&self->ring.words[worker].current);

  if (current == 0 || current > self->ring.n_slots ||
      self->slots[current - 1].handle != handle ||
      !pool_ring_worker_runs (&self->ring, worker, current - 1))
    return 0;
  return pool_progress_doom (&self->ring.words[worker].progress, progress_serial (handle), item);
}

static void
pool_local_backend_answer (PoolBackend *backend, guint worker, guint64 handle, gboolean go)
{
  pool_ring_answer (&POOL_LOCAL_BACKEND (backend)->ring, worker, handle >> 32, go);
}

/* A notice, for those subclasses whose workers look at it themselves. */
static void
pool_local_backend_notify (PoolBackend *backend, guint worker, guint64 handle, guint item, guint notice)
{
  pool_ring_notify (&POOL_LOCAL_BACKEND (backend)->ring, worker, handle >> 32, item, notice);
}

/* --- results --- */

G_STATIC_ASSERT (G_STRUCT_OFFSET (PoolBackendResult, started) ==
                 G_STRUCT_OFFSET (PoolBackendResult, run_time) + sizeof (float));

static gboolean
owns_slot (PoolLocalBackend *self, guint worker, const PoolRingResult *result)
{
  return result->slot < self->ring.n_slots &&
         self->slots[result->slot].handle == result->handle &&
         pool_ring_worker_runs (&self->ring, worker, result->slot);
}

static gboolean
open_result (PoolLocalBackend *self, guint worker, const PoolRingResult *ring_result,
             PoolBackendResult *result)
{
  PoolLocalSlot *slot = &self->slots[ring_result->slot];

  result->handle = ring_result->handle;
  result->worker = worker;
  result->kind = ring_result->kind & POOL_RING_KIND_MASK;
  result->n_items = ring_result->n_items;
  /* both halves of it at once */
  memcpy (&result->run_time, &ring_result->timing, sizeof ring_result->timing);
  result->size = ring_result->size;
  result->bytes = NULL;
  result->is_reference = FALSE;
  if (G_UNLIKELY (result->kind == POOL_RESULT_NONE || result->kind > POOL_RESULT_LAST))
    return FALSE;

  if (G_LIKELY (ring_result->kind & POOL_RING_DATA_INLINE))
    {
      result->data = ring_result->bytes;
      return ring_result->size <= POOL_RING_INLINE;
    }
  if (ring_result->kind & POOL_RING_DATA_REFERENCE)
    {
      result->is_reference = TRUE;
      result->offset = ring_result->data;
      result->data = slot->data + ring_result->data;
      return ring_result->data <= slot->size && ring_result->size <= slot->size - ring_result->data;
    }
  return POOL_LOCAL_BACKEND_GET_CLASS (self)->open_result (self, worker, ring_result, result);
}

/* A worker broke the rules: the task that it answered for fails, if that can be told, and the worker is ended. */
static void
refuse_result (PoolLocalBackend *self, guint worker, const PoolRingResult *result)
{
  guint index = result->slot;

  if (index < self->ring.n_slots && self->ring.busy[index] &&
      (self->slots[index].handle == result->handle ||
       pool_ring_worker_runs (&self->ring, worker, index)) &&
      pool_ring_disown (&self->ring, worker, index))
    {
      fail_task (self, self->slots[index].handle, worker,
                 g_error_new (POOL_ERROR, POOL_ERROR_PROTOCOL,
                              "Worker %u answered with what is no result and was ended", worker));
      release_slot (self, index);
    }
  POOL_LOCAL_BACKEND_GET_CLASS (self)->punish (self, worker);
}

/* What a worker says that the engine wants to know. */
static void
pass_on (PoolLocalBackend *self, guint worker, const PoolRingResult *message)
{
  PoolBackendResult result = { .handle = message->handle, .worker = worker };

  if (message->kind & POOL_RING_LEAVING)
    {
      pool_ring_worker_leaves (&self->ring, worker);
      result.kind = POOL_RESULT_LEAVING;
    }
  else if (owns_slot (self, worker, message))
    result.kind = message->kind & POOL_RING_ACCEPTED ? POOL_RESULT_ACCEPTED : POOL_RESULT_PROGRESS;
  else
    return;
  result.run_time = message->run_time;
  result.since = MIN ((gint64) message->data, pool_now_ns ()) / 1000;
  pool_backend_deliver (POOL_BACKEND (self), &result);
}

static void
take_message (PoolLocalBackend *self, guint worker, const PoolRingResult *message)
{
  if (message->kind & (POOL_RING_OF_TASK | POOL_RING_LEAVING))
    {
      pass_on (self, worker, message);
      return;
    }
  if (message->kind & POOL_RING_STARTED)
    pool_ring_worker_up (&self->ring, worker);
  POOL_LOCAL_BACKEND_GET_CLASS (self)->handle_message (self, worker, message);
}

/* The worker asked, and was told not to start it. */
static void
take_refused (PoolLocalBackend *self, guint worker, const PoolRingResult *ring_result)
{
  const PoolBackendResult result = { .handle = ring_result->handle,
                                     .worker = worker,
                                     .kind = POOL_RESULT_NONE };

  if (POOL_LOCAL_BACKEND_GET_CLASS (self)->take_output != NULL)
    POOL_LOCAL_BACKEND_GET_CLASS (self)->take_output (self, worker, ring_result->handle);
  release_slot (self, ring_result->slot);
  pool_backend_deliver (POOL_BACKEND (self), &result);
}

static void
take_result (PoolLocalBackend *self, guint worker, const PoolRingResult *ring_result)
{
  PoolLocalBackendClass *klass = POOL_LOCAL_BACKEND_GET_CLASS (self);
  PoolBackendResult result = { 0 };

  if (G_UNLIKELY (ring_result->kind & POOL_RING_MESSAGE))
    {
      take_message (self, worker, ring_result);
      return;
    }
  if (G_UNLIKELY (ring_result->kind == (POOL_RESULT_NONE | POOL_RING_DATA_INLINE)) &&
      owns_slot (self, worker, ring_result))
    {
      take_refused (self, worker, ring_result);
      return;
    }
  if (G_UNLIKELY (!owns_slot (self, worker, ring_result) ||
                  !open_result (self, worker, ring_result, &result)))
    {
      refuse_result (self, worker, ring_result);
      return;
    }

  if (G_UNLIKELY (ring_result->kind & POOL_RING_CAPTURED) && klass->take_output != NULL)
    klass->take_output (self, worker, result.handle);
  pool_backend_deliver (POOL_BACKEND (self), &result);
  g_clear_pointer (&result.bytes, g_bytes_unref);
  if (klass->close_result != NULL &&
      !(ring_result->kind & (POOL_RING_DATA_INLINE | POOL_RING_DATA_REFERENCE)))
    klass->close_result (self, worker, ring_result);
  release_slot (self, ring_result->slot);
}

gboolean
pool_local_backend_drain (PoolLocalBackend *self, guint worker)
{
  PoolRingResult result;
  guint n = 0;

  /* never more than a ring of them in one go: a worker that lies must not keep us here */
  while (n < self->ring.n_results && pool_ring_next_result (&self->ring, worker, &result))
    {
      take_result (self, worker, &result);
      n++;
    }
  if (n == 0)
    return FALSE;
  pool_ring_consumed (&self->ring, worker);
  return TRUE;
}

static gboolean
pool_local_backend_dispatch (PoolBackend *backend)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  gboolean any = FALSE;

  if (self->slots == NULL)
    return FALSE;

  if (G_UNLIKELY (self->control_ready))
    {
      self->control_ready = FALSE;
      any = POOL_LOCAL_BACKEND_GET_CLASS (self)->dispatch_control (self);
    }
  for (guint i = 0; i < atomic_load_explicit (&self->ring.n_workers, memory_order_relaxed); i++)
    if (self->ring.alive[i] && pool_local_backend_drain (self, i))
      any = TRUE;
  if (G_UNLIKELY (self->reports_first) && any)
    POOL_LOCAL_BACKEND_GET_CLASS (self)->read_reports (self);
  return any;
}

static void
give_back_orphans (PoolLocalBackend *self)
{
  PoolBackendResult result = { .kind = POOL_RESULT_NONE };
  guint index;

  while (pool_ring_next_orphan (&self->ring, &index))
    {
      result.handle = self->slots[index].handle;
      release_slot (self, index);
      pool_backend_deliver (POOL_BACKEND (self), &result);
    }
}

void
pool_local_backend_worker_gone (PoolLocalBackend *self, PoolBackendExit *exit)
{
  guint64 word = atomic_load (&self->ring.words[exit->worker].progress);
  int index = pool_ring_worker_reap (&self->ring, exit->worker);

  exit->handle = 0;
  exit->item = 0;
  if (index >= 0)
    {
      PoolLocalSlot *slot = &self->slots[index];

      exit->handle = slot->handle;
      if (slot->n_items > 1 && pool_progress_serial (word) == progress_serial (slot->handle) &&
          pool_progress_started (word) > 0)
        exit->item = pool_progress_started (word) - 1;
      if (POOL_LOCAL_BACKEND_GET_CLASS (self)->take_output != NULL)
        POOL_LOCAL_BACKEND_GET_CLASS (self)->take_output (self, exit->worker, exit->handle);
      release_slot (self, index);
    }
  give_back_orphans (self);
  pool_backend_worker_down (POOL_BACKEND (self), exit);
}

void
pool_local_backend_abandon (PoolLocalBackend *self, guint worker)
{
  const PoolBackendExit exit = { .worker = worker,
                                 .reason = POOL_DOWN_REASON_ASKED,
                                 .exit_code = -1,
                                 .abandoned = TRUE };

  pool_ring_worker_abandon (&self->ring, worker);
  give_back_orphans (self);
  pool_backend_worker_down (POOL_BACKEND (self), &exit);
}

/* --- waiting --- */

static int
pool_local_backend_get_fd (PoolBackend *backend)
{
  return POOL_LOCAL_BACKEND (backend)->epoll_fd;
}

static void
pool_local_backend_acknowledge (PoolBackend *backend)
{
  PoolLocalBackend *self = POOL_LOCAL_BACKEND (backend);
  struct epoll_event events[4];
  int n = epoll_wait (self->epoll_fd, events, G_N_ELEMENTS (events), 0);

  for (int i = 0; i < n; i++)
    if (events[i].data.fd == self->event_fd)
      {
        guint64 count;

        while (read (self->event_fd, &count, sizeof count) < 0 && errno == EINTR)
          ;
      }
    else
      self->control_ready = TRUE;
}

static gboolean
pool_local_backend_arm (PoolBackend *backend, gboolean on)
{
  return pool_ring_arm (&POOL_LOCAL_BACKEND (backend)->ring, on);
}

static void
pool_local_backend_wait (PoolBackend *backend, guint kicks, gint64 timeout)
{
  pool_ring_wait (&POOL_LOCAL_BACKEND (backend)->ring, kicks, timeout);
}

static guint
pool_local_backend_get_kicks (PoolBackend *backend)
{
  return atomic_load (&POOL_LOCAL_BACKEND (backend)->ring.kicks);
}

static void
pool_local_backend_kick (PoolBackend *backend)
{
  pool_ring_kick (&POOL_LOCAL_BACKEND (backend)->ring);
}

static void
pool_local_backend_class_init (PoolLocalBackendClass *klass)
{
  PoolBackendClass *backend_class = POOL_BACKEND_CLASS (klass);

  backend_class->adopt_payload = pool_local_backend_adopt_payload;
  backend_class->count_workers = pool_local_backend_count_workers;
  backend_class->get_room = pool_local_backend_get_room;
  backend_class->submit = pool_local_backend_submit;
  backend_class->cancel = pool_local_backend_cancel;
  backend_class->split = pool_local_backend_split;
  backend_class->get_worker = pool_local_backend_get_worker;
  backend_class->doom = pool_local_backend_doom;
  backend_class->answer = pool_local_backend_answer;
  backend_class->notify = pool_local_backend_notify;
  backend_class->dispatch = pool_local_backend_dispatch;
  backend_class->get_fd = pool_local_backend_get_fd;
  backend_class->acknowledge = pool_local_backend_acknowledge;
  backend_class->arm = pool_local_backend_arm;
  backend_class->wait = pool_local_backend_wait;
  backend_class->get_kicks = pool_local_backend_get_kicks;
  backend_class->kick = pool_local_backend_kick;
}

static void
pool_local_backend_init (PoolLocalBackend *self)
{
  self->event_fd = self->epoll_fd = -1;
}
