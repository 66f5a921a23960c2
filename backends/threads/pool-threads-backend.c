/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-chaos-private.h"
#include "libpool/pool-engine-private.h"
#include "libpool/pool-fork-guard-private.h"
#include "libpool/pool-host-private.h"
#include "libpool/pool-local-backend-private.h"
#include "libpool/pool-runner-private.h"
#include "libpool/pool-value-private.h"

#include <sys/mman.h>

#define POOL_TYPE_THREADS_BACKEND (pool_threads_backend_get_type ())
G_DECLARE_FINAL_TYPE (PoolThreadsBackend, pool_threads_backend, POOL, THREADS_BACKEND,
                      PoolLocalBackend)

/* A result larger than this changes hands; a smaller one is copied, so that the worker's buffer stays warm. */
#define STEAL_MIN (64 * 1024)

/* What one worker writes all the time must not share a cache line, or the pair that is fetched with it, with another. */
#define WORKER_ALIGNMENT 128

struct _PoolThreadsBackend
{
  PoolLocalBackend parent_instance;

  gpointer memory;
  gsize memory_size;
  guint32 next_incarnation;
  gboolean stopping;
  GPtrArray *workers; /* Worker, by index; the thread's own once it runs */
  GError **start_errors;

  /* read by threads; written before the first task that names them is published */
  const PoolFunction *functions[POOL_FUNCTIONS_MAX];
  guint n_functions;
  GVariant *static_args;
  GVariant *initargs;
  guint initializer; /* function number + 1 */
  PoolBackendChaos chaos;
};

G_DEFINE_FINAL_TYPE (PoolThreadsBackend, pool_threads_backend, POOL_TYPE_LOCAL_BACKEND)

typedef struct
{
  PoolThreadsBackend *backend; /* lives as long as the engine */
  PoolEngine *engine;          /* a reference */
  PoolRingWorker ring;
  PoolRunner runner;
  PoolChaos *chaos; /* NULL: none */
  GThread *thread;
  PoolTask *task; /* a reference: the manager's, to cancel what runs */
  gboolean entered; /* its function has come to the worker's loop; the thread's, until it ends */
  gboolean up;      /* the manager's */
  gboolean asked;
  _Atomic int end; /* END_… */
} Worker;

enum
{
  END_NOT_YET,
  END_EXPECTED, /* it has been told to */
  END_NOW,      /* it is at it */
};

/* --- a worker's thread --- */

static PoolRingResult *
begin_result (Worker *self, const PoolRingSlot *slot, guint32 kind, guint n_items, gsize size,
              PoolTiming timing)
{
  PoolRingResult *result = pool_ring_result_reserve (&self->ring);

  result->kind = kind;
  result->handle = slot->handle;
  result->slot = slot - self->ring.slots;
  result->n_items = n_items;
  result->size = size;
  result->staging = 0;
  result->timing = timing;
  return result;
}

/* The buffer that holds a whole reply. */
static PoolBuffer *
find_buffer (Worker *self, const PoolRunnerReply *reply)
{
  return reply->data == self->runner.out.data ? &self->runner.out : &self->runner.task->reply;
}

static void
publish (Worker *self, const PoolRingSlot *slot, const guint8 *argument,
         const PoolRunnerReply *reply, PoolTiming timing)
{
  PoolRingResult *result =
      begin_result (self, slot, reply->kind, reply->n_items, reply->size, timing);

  if (reply->is_reference)
    {
      result->kind |= POOL_RING_DATA_REFERENCE;
      result->data = reply->data - argument;
    }
  else if (reply->size <= POOL_RING_INLINE)
    {
      result->kind |= POOL_RING_DATA_INLINE;
      if (reply->size > 0)
        memcpy (result->bytes, reply->data, reply->size);
    }
  else if (reply->size > STEAL_MIN)
    {
      gsize size;

      result->data = GPOINTER_TO_SIZE (pool_buffer_steal (find_buffer (self, reply), &size));
    }
  else
    result->data = GPOINTER_TO_SIZE (g_memdup2 (reply->data, reply->size));
  pool_ring_result_publish (&self->ring);
}

static void
hand_back (Worker *self, const PoolRingSlot *slot)
{
  begin_result (self, slot, POOL_RESULT_NONE | POOL_RING_DATA_INLINE, 0, 0, (PoolTiming){ 0 });
  pool_ring_result_publish (&self->ring);
}

/* FALSE: the manager has given this thread up. */
static gboolean
run_slot (Worker *self, PoolRingSlot *slot)
{
  const guint8 *data =
      slot->flags & POOL_RING_DATA_INLINE ? slot->bytes : GSIZE_TO_POINTER (slot->data);
  PoolRunnerReply reply;
  PoolTiming timing;
  PoolRunnerOutcome outcome;

  pool_chaos_at (self->chaos, POOL_CHAOS_CLAIMED);
  outcome = pool_runner_run_slot (&self->runner, &self->ring, slot,
                                  self->backend->functions[slot->function], data, &reply, &timing);
  if (outcome == POOL_RUNNER_DONE)
    {
      pool_chaos_at (self->chaos, POOL_CHAOS_RUN);
      publish (self, slot, data, &reply, timing);
      pool_chaos_at (self->chaos, POOL_CHAOS_PUBLISHED);
    }
  else if (outcome == POOL_RUNNER_REFUSED)
    hand_back (self, slot);
  return outcome != POOL_RUNNER_DOOMED;
}

static void
send_message (Worker *self, guint32 kind, GError *error)
{
  PoolRingResult *message = pool_ring_result_reserve (&self->ring);

  message->kind = kind;
  message->size = 0;
  message->data = GPOINTER_TO_SIZE (error);
  pool_ring_result_publish (&self->ring);
}

static int
run_worker (gpointer data)
{
  Worker *self = data;
  PoolThreadsBackend *backend = self->backend;
  PoolRingSlot *slot;
  GError *error = NULL;

  self->entered = TRUE;
  if (backend->initializer == 0 ||
      pool_runner_initialize (&self->runner, backend->functions[backend->initializer - 1],
                              backend->initargs, &error))
    {
      send_message (self, POOL_RING_STARTED, NULL);
      while ((slot = pool_ring_claim (&self->ring)) != NULL && run_slot (self, slot))
        ;
    }
  else
    send_message (self, POOL_RING_STARTED_BAD, error);
  return 0;
}

static void
run_by_function (Worker *self, const PoolBackendConfig *config)
{
  if (!pool_host_enter (config->thread_func, config->thread_data, run_worker, self))
    send_message (self, POOL_RING_STARTED_BAD,
                  g_error_new_literal (POOL_ERROR, POOL_ERROR_BACKEND,
                                       "the thread function returned without having called "
                                       "pool_run_worker()"));
}

static gpointer
worker_thread (gpointer data)
{
  Worker *self = data;
  PoolEngine *engine = self->engine;

  pool_engine_set_worker_thread (engine);
  if (engine->settings.backend.thread_func != NULL)
    run_by_function (self, &engine->settings.backend);
  else
    run_worker (self);

  pool_runner_clear (&self->runner);
  pool_fork_guard_note_end (atomic_exchange (&self->end, END_NOW) == END_EXPECTED);
  /* the last that the manager hears; it frees the worker */
  send_message (self, POOL_RING_ENDED, NULL);
  pool_engine_set_worker_thread (NULL);
  pool_engine_unref (engine);
  return NULL;
}

/* --- the manager's side --- */

static void
publish_functions (PoolThreadsBackend *self)
{
  PoolFunctionTable *functions = POOL_BACKEND (self)->engine->functions;

  for (; self->n_functions < pool_function_table_get_size (functions); self->n_functions++)
    self->functions[self->n_functions] = pool_function_table_get (functions, self->n_functions);
}

static guint
pool_threads_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);

  if (G_UNLIKELY (self->n_functions < pool_function_table_get_size (backend->engine->functions)))
    publish_functions (self);
  return POOL_BACKEND_CLASS (pool_threads_backend_parent_class)->submit (backend, tasks, n);
}

static void
start_worker (PoolThreadsBackend *self, guint index, gboolean first)
{
  PoolLocalBackend *local = POOL_LOCAL_BACKEND (self);
  g_autofree char *name = g_strdup_printf ("pool-%u", index);
  Worker *worker = g_aligned_alloc0 (1, sizeof (Worker), WORKER_ALIGNMENT);
  GError *error = NULL;

  self->next_incarnation = (self->next_incarnation + 1) & ((1u << 30) - 1);
  pool_local_backend_add_worker (local, index, self->next_incarnation, first);
  worker->backend = self;
  worker->engine = pool_engine_ref (POOL_BACKEND (self)->engine);
  pool_ring_worker_attach (&worker->ring, self->memory, index, local->event_fd);
  pool_runner_init (&worker->runner, index, self->static_args);
  worker->task = g_object_ref (worker->runner.task);
  worker->chaos = pool_chaos_new (&self->chaos, index, self->next_incarnation);
  self->workers->pdata[index] = worker;
  worker->thread = g_thread_try_new (name, worker_thread, worker, &error);
  if (worker->thread == NULL)
    {
      /* it speaks for the thread that could not */
      send_message (worker, POOL_RING_STARTED_BAD, error);
      pool_runner_clear (&worker->runner);
      send_message (worker, POOL_RING_ENDED, NULL);
      pool_engine_unref (worker->engine);
    }
}

static gboolean
write_config (PoolThreadsBackend *self, const PoolBackendConfig *config, GError **error)
{
  guint number;

  self->chaos = config->chaos;
  if (config->static_args != NULL)
    self->static_args = g_variant_ref (config->static_args);
  if (config->initializer == NULL)
    return TRUE;
  if (!pool_function_table_lookup (POOL_BACKEND (self)->engine->functions, config->initializer,
                                   &number, error))
    return FALSE;
  self->initializer = number + 1;
  self->initargs = g_variant_ref (config->initargs);
  return TRUE;
}

static gboolean
pool_threads_backend_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);
  guint n_slots, n_results, max_workers;

  pool_local_backend_plan (config, &n_slots, &n_results, &max_workers);
  self->memory_size = pool_ring_size (n_slots, n_results, max_workers);
  self->memory = mmap (NULL, self->memory_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (self->memory == MAP_FAILED)
    {
      self->memory = NULL;
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "No memory for a pool: %s",
                   g_strerror (errno));
      return FALSE;
    }
  if (!write_config (self, config, error) ||
      !pool_local_backend_open (POOL_LOCAL_BACKEND (self), self->memory, config, error))
    return FALSE;

  publish_functions (self);
  self->workers = g_ptr_array_new ();
  g_ptr_array_set_size (self->workers, max_workers);
  self->start_errors = g_new0 (GError *, max_workers);
  for (guint i = 0; i < config->processes; i++)
    start_worker (self, i, TRUE);
  return TRUE;
}

static void
pool_threads_backend_add_workers (PoolBackend *backend, guint n)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);
  int index;

  while (n-- > 0 && (index = pool_local_backend_free_index (POOL_LOCAL_BACKEND (self))) >= 0)
    start_worker (self, index, FALSE);
}

static void
expect_end (Worker *worker)
{
  int not_yet = END_NOT_YET;

  if (worker->thread != NULL && atomic_compare_exchange_strong (&worker->end, &not_yet, END_EXPECTED))
    pool_fork_guard_expect_end ();
}

static void
pool_threads_backend_retire_worker (PoolBackend *backend, guint worker)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);

  ((Worker *) self->workers->pdata[worker])->asked = TRUE;
  expect_end (self->workers->pdata[worker]);
  pool_ring_retire (&POOL_LOCAL_BACKEND (self)->ring, worker);
}

/* A thread cannot be ended. Its task was doomed, so it will publish nothing and then end by itself: until then it is let go of. */
static void
pool_threads_backend_kill_worker (PoolBackend *backend, guint worker, int signum)
{
  pool_local_backend_abandon (POOL_LOCAL_BACKEND (backend), worker);
}

static void
notify_task (gpointer data)
{
  g_autoptr (PoolTask) task = data;

  pool_task_notified (task);
}

static void
pool_threads_backend_notify (PoolBackend *backend, guint worker, guint64 handle, guint item, guint notice)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);

  POOL_BACKEND_CLASS (pool_threads_backend_parent_class)->notify (backend, worker, handle, item, notice);
  /* a cancellable calls back */
  pool_engine_defer_locked (backend->engine, notify_task,
                            g_object_ref (((Worker *) self->workers->pdata[worker])->task));
}

static void
pool_threads_backend_punish (PoolLocalBackend *local, guint worker)
{
  g_assert_not_reached (); /* our own code, in our own memory */
}

static void
worker_ended (PoolThreadsBackend *self, guint index)
{
  Worker *worker = self->workers->pdata[index];
  g_autoptr (GError) error = g_steal_pointer (&self->start_errors[index]);
  g_autoptr (GError) explained = NULL;
  PoolBackendExit exit = { .worker = index, .reason = POOL_DOWN_REASON_ASKED };

  if (!worker->up)
    exit.reason = worker->entered ? POOL_DOWN_REASON_INITIALIZER : POOL_DOWN_REASON_NOT_STARTED;
  if (error != NULL)
    exit.error = explained =
        g_error_new (error->domain, error->code, "%s: %s",
                     worker->entered ? "failed in its initializer" : "could not be made",
                     error->message);
  if (worker->thread != NULL)
    g_thread_join (worker->thread);
  g_object_unref (worker->task);
  pool_chaos_free (worker->chaos);
  g_aligned_free (worker);
  self->workers->pdata[index] = NULL;
  pool_local_backend_worker_gone (POOL_LOCAL_BACKEND (self), &exit);
}

static void
pool_threads_backend_handle_message (PoolLocalBackend *local, guint index,
                                     const PoolRingResult *message)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (local);

  if (message->kind & POOL_RING_STARTED)
    {
      ((Worker *) self->workers->pdata[index])->up = TRUE;
      pool_backend_worker_up (POOL_BACKEND (self), index, 0, NULL);
    }
  else if (message->kind & POOL_RING_STARTED_BAD)
    self->start_errors[index] = GSIZE_TO_POINTER (message->data);
  else if (message->kind & POOL_RING_ENDED)
    worker_ended (self, index);
}

static gboolean
pool_threads_backend_place_argument (PoolLocalBackend *local, PoolLocalSlot *slot,
                                     PoolRingSlot *ring_slot)
{
  ring_slot->data = GPOINTER_TO_SIZE (slot->data);
  return TRUE;
}

static gboolean
pool_threads_backend_open_result (PoolLocalBackend *local, guint worker,
                                  const PoolRingResult *ring_result, PoolBackendResult *result)
{
  result->data = GSIZE_TO_POINTER (ring_result->data);
  result->bytes = g_bytes_new_take (GSIZE_TO_POINTER (ring_result->data), ring_result->size);
  return TRUE;
}

static void
cancel_task (gpointer data)
{
  g_autoptr (PoolTask) task = data;

  pool_task_cancel (task);
}

static void
pool_threads_backend_stop (PoolBackend *backend, gboolean now)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (backend);

  self->stopping = TRUE;
  for (guint i = 0; self->workers != NULL && i < self->workers->len; i++)
    if (self->workers->pdata[i] != NULL)
      expect_end (self->workers->pdata[i]);
  /* the tasks that run are told, and come to their end; no other begins */
  if (now)
    {
      pool_local_backend_withdraw (POOL_LOCAL_BACKEND (self));
      for (guint i = 0; self->workers != NULL && i < self->workers->len; i++)
        if (self->workers->pdata[i] != NULL)
          pool_engine_defer_locked (backend->engine, cancel_task,
                                    g_object_ref (((Worker *) self->workers->pdata[i])->task));
    }
  pool_ring_stop (&POOL_LOCAL_BACKEND (self)->ring);
}

static void
pool_threads_backend_finish (PoolBackend *backend)
{
  pool_threads_backend_stop (backend, TRUE);
}

/* What threads said when nobody listened any more. */
static void
free_results (PoolThreadsBackend *self)
{
  PoolRing *ring = &POOL_LOCAL_BACKEND (self)->ring;
  PoolRingResult result;

  for (guint i = 0; self->workers != NULL && i < self->workers->len; i++)
    while (self->workers->pdata[i] != NULL && pool_ring_next_result (ring, i, &result))
      {
        gpointer data = GSIZE_TO_POINTER (result.data);

        if (result.kind & POOL_RING_STARTED_BAD)
          g_clear_error ((GError **) &data);
        else if ((result.kind & (POOL_RING_MESSAGE | POOL_RING_DATA_INLINE | POOL_RING_DATA_REFERENCE)) == 0)
          g_free (data);
      }
}

static void
pool_threads_backend_finalize (GObject *object)
{
  PoolThreadsBackend *self = POOL_THREADS_BACKEND (object);

  free_results (self);
  /* threads that ended after anybody listened; each held a reference to the engine, so all have */
  for (guint i = 0; self->workers != NULL && i < self->workers->len; i++)
    {
      Worker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->thread != NULL)
        g_thread_unref (worker->thread);
      if (worker != NULL)
        {
          g_object_unref (worker->task);
          pool_chaos_free (worker->chaos);
        }
      g_aligned_free (worker);
      g_clear_error (&self->start_errors[i]);
    }
  g_clear_pointer (&self->workers, g_ptr_array_unref);
  g_free (self->start_errors);
  pool_local_backend_close (POOL_LOCAL_BACKEND (self));
  if (self->memory != NULL)
    munmap (self->memory, self->memory_size);
  g_clear_pointer (&self->static_args, g_variant_unref);
  g_clear_pointer (&self->initargs, g_variant_unref);
  G_OBJECT_CLASS (pool_threads_backend_parent_class)->finalize (object);
}

static void
pool_threads_backend_class_init (PoolThreadsBackendClass *klass)
{
  PoolBackendClass *backend_class = POOL_BACKEND_CLASS (klass);
  PoolLocalBackendClass *local_class = POOL_LOCAL_BACKEND_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = pool_threads_backend_finalize;
  backend_class->flags =
      POOL_BACKEND_TAKES_CLOSURES | POOL_BACKEND_CAN_GROW | POOL_BACKEND_TAKES_CHAOS;
  backend_class->start = pool_threads_backend_start;
  backend_class->add_workers = pool_threads_backend_add_workers;
  backend_class->retire_worker = pool_threads_backend_retire_worker;
  backend_class->kill_worker = pool_threads_backend_kill_worker;
  backend_class->notify = pool_threads_backend_notify;
  backend_class->submit = pool_threads_backend_submit;
  backend_class->stop = pool_threads_backend_stop;
  backend_class->finish = pool_threads_backend_finish;
  local_class->place_argument = pool_threads_backend_place_argument;
  local_class->open_result = pool_threads_backend_open_result;
  local_class->handle_message = pool_threads_backend_handle_message;
  local_class->punish = pool_threads_backend_punish;
}

static void
pool_threads_backend_init (PoolThreadsBackend *self)
{
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "threads",
  .description = "threads of this process: the least overhead, no isolation",
  .get_type = pool_threads_backend_get_type,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
