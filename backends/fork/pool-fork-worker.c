/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-memory-limit.h"
#include "pool-sandbox.h"
#include "pool-zygote.h"

#include "pool-capture.h"
#include "pool-report.h"

#include "libpool.h"
#include "libpool/pool-chaos-private.h"
#include "libpool/pool-log-private.h"
#include "libpool/pool-ring-private.h"
#include "libpool/pool-runner-private.h"
#include "libpool/pool-value-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How long a task may be kept waiting by a record that the manager has no room for, in ms (twice that when others are
 * faster). While it stays so, the next records do not wait.
 */
#define LOG_WAIT 250

/* A worker process: claims tasks, runs them, and puts the results where the manager finds them. */
typedef struct
{
  PoolShm *shm;
  PoolRingWorker ring;
  PoolRunner runner;
  PoolFunctionTable *functions; /* of the program, or NULL */
  PoolFunctionTable *named;     /* of this program, by their names; or NULL */
  const PoolFunction **known;   /* by number */
  PoolChaos *chaos;             /* NULL: none */

  int report_fd;
  PoolReportHeader report; /* what all reports begin with */
  guint32 captured;        /* POOL_RING_CAPTURED, or 0; goes with every result */
  _Atomic gboolean jammed; /* the last record was lost */

  guint64 staging_head; /* where the next result goes; ever growing */
  guint32 grant_seen;
  guint8 *extent; /* granted, or NULL */
  gsize extent_size;

  gboolean has_shm_fd; /* the descriptor of the memory is open here */
  int statm_fd; /* -1: memory is not looked at */
  gboolean watches; /* the thread that looks for notices is there */
} Worker;

/* In this program, which may be another one, and then in task modules. */
static const PoolFunction *
find_by_name (Worker *self, const char *name, GError **error)
{
  guint number;

  if (self->named == NULL)
    return pool_task_modules_lookup (name, error);
  if (pool_function_table_lookup (self->named, name, &number, error))
    return pool_function_table_get (self->named, number);
  g_prefix_error (error, "In the program of worker-command: ");
  return NULL;
}

static const PoolFunction *
find_function (Worker *self, guint number, GError **error)
{
  PoolShmFunction *entry;
  const PoolFunction *function = NULL;

  if (number >= POOL_SHM_FUNCTIONS)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK, "There is no function %u", number);
      return NULL;
    }
  if (G_LIKELY (self->known[number] != NULL))
    return self->known[number];

  if (self->functions != NULL)
    function = pool_function_table_get (self->functions, number);
  entry = pool_shm_function (self->shm, number);
  if (function == NULL && entry->address != 0)
    function = pool_function_new (entry->name, entry->kind, GSIZE_TO_POINTER (entry->address), NULL,
                                  NULL);
  if (function == NULL)
    function = find_by_name (self, entry->name, error);
  self->known[number] = function;
  return function;
}

/* --- where results go --- */

static void
wait_for_manager (Worker *self)
{
  PoolRingWorkerWords *words = self->ring.words;
  guint32 consumed = atomic_load (&words->consumed);

  atomic_store (&words->status, POOL_WORKER_BLOCKED);
  pool_ring_ring_bell (&self->ring);
  if (atomic_load (&words->staging_tail) != self->staging_head)
    pool_futex_wait (&words->consumed, consumed, -1);
  atomic_store (&words->status, POOL_WORKER_AWAKE);
}

/* A place in the staging buffer, which the manager frees in the order of the results. */
static guint8 *
stage (Worker *self, gsize size)
{
  gsize needed = (size + 15) & ~(gsize) 15;
  guint64 start;

  for (;;)
    {
      guint64 tail = atomic_load (&self->ring.words->staging_tail);

      start = self->staging_head;
      /* empty: begin at the front, whose pages and cache lines were used last */
      if (start == tail || start % POOL_SHM_STAGING + needed > POOL_SHM_STAGING)
        start = (start + POOL_SHM_STAGING - 1) / POOL_SHM_STAGING * POOL_SHM_STAGING;
      if (start + needed - tail <= POOL_SHM_STAGING || self->staging_head == tail)
        break;
      wait_for_manager (self);
    }
  self->staging_head = start + needed;
  return pool_shm_staging (self->shm, self->ring.index) + start % POOL_SHM_STAGING;
}

static void
send_message (Worker *self, guint32 kind, gconstpointer data, gsize size)
{
  PoolRingResult *message = pool_ring_result_reserve (&self->ring);

  message->kind = kind;
  message->handle = 0;
  message->slot = 0;
  message->n_items = 0;
  message->size = size;
  message->staging = self->staging_head;
  message->run_time = 0;
  if (data != NULL)
    memcpy (message->bytes, data, MIN (size, POOL_RING_INLINE));
  pool_ring_result_publish (&self->ring);
}

static void
take_grant (Worker *self)
{
  PoolRingWorkerWords *words = self->ring.words;

  self->grant_seen = atomic_load (&words->grant_seq);
  self->extent_size = words->grant_size;
  self->extent = words->grant_size > 0 ? pool_shm_at (self->shm, words->grant_offset) : NULL;
}

/* An extent for a large result; the manager grants one in advance when it has one to spare. */
static gboolean
ensure_extent (Worker *self, gsize size)
{
  PoolRingWorkerWords *words = self->ring.words;

  if (atomic_load (&words->grant_seq) != self->grant_seen)
    take_grant (self);
  while (self->extent == NULL || self->extent_size < size)
    {
      guint32 seen = self->grant_seen;

      send_message (self, POOL_RING_NEED_EXTENT, NULL, size);
      while (atomic_load (&words->grant_seq) == seen)
        pool_futex_wait (&words->grant_seq, seen, -1);
      take_grant (self);
      if (self->extent_size == 0)
        return FALSE;
    }
  return TRUE;
}

static guint8 *
reserve_extent (gpointer data, gsize size)
{
  Worker *self = data;

  return ensure_extent (self, size) ? self->extent : NULL;
}

/* Whoever makes a worker may have closed it; another file may have its number then. */
static gboolean
has_descriptor (PoolShm *shm)
{
  struct stat st;

  return shm->fd >= 0 && fstat (shm->fd, &st) == 0 && (guint64) st.st_size == shm->header->size;
}

static gboolean
locate_argument (gpointer data, const guint8 *args, int *fd, guint64 *offset)
{
  Worker *self = data;
  PoolShmHeader *header = self->shm->header;
  guint64 found = args - self->shm->base;

  /* a short one lies in its slot, and goes with that */
  if (!self->has_shm_fd || found < header->arguments || found - header->arguments >= header->arguments_size)
    return FALSE;
  *fd = self->shm->fd;
  *offset = found;
  return TRUE;
}

static void
fill_result (Worker *self, PoolRingResult *result, const PoolRingSlot *slot, guint32 kind,
             guint n_items, gsize size, PoolTiming timing)
{
  result->kind = kind | self->captured;
  result->handle = slot->handle;
  result->slot = slot - self->ring.slots;
  result->n_items = n_items;
  result->size = size;
  result->staging = self->staging_head;
  result->timing = timing;
}

static void
publish_error (Worker *self, const PoolRingSlot *slot, GError *error, PoolTiming timing);

static void
publish (Worker *self, const PoolRingSlot *slot, const guint8 *argument,
         const PoolRunnerReply *reply, PoolTiming timing)
{
  guint32 where = 0;
  guint64 offset = 0;
  PoolRingResult *result;

  if (G_LIKELY (reply->size <= POOL_RING_INLINE && !reply->is_reference))
    where = POOL_RING_DATA_INLINE;
  else if (reply->is_reference)
    {
      where = POOL_RING_DATA_REFERENCE;
      offset = reply->data - argument;
    }
  else if (reply->size <= POOL_SHM_STAGED_MAX)
    {
      guint8 *place = stage (self, reply->size);

      memcpy (place, reply->data, reply->size);
      offset = place - pool_shm_staging (self->shm, self->ring.index);
    }
  else
    {
      if (!ensure_extent (self, reply->size))
        {
          publish_error (self, slot,
                         g_error_new (POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                                      "Task %" G_GUINT64_FORMAT
                                      ": there is no shared memory for a result of %" G_GSIZE_FORMAT
                                      " bytes",
                                      slot->id, reply->size),
                         timing);
          return;
        }
      if (!reply->is_placed)
        memcpy (self->extent, reply->data, reply->size);
      where = POOL_RING_DATA_EXTENT;
      offset = self->extent - (guint8 *) pool_shm_at (self->shm, self->shm->header->results);
      self->extent = NULL;
    }

  result = pool_ring_result_reserve (&self->ring);
  fill_result (self, result, slot, reply->kind | where, reply->n_items, reply->size, timing);
  if (where == POOL_RING_DATA_INLINE)
    {
      if (reply->size > 0)
        memcpy (result->bytes, reply->data, reply->size);
    }
  else
    result->data = offset;
  pool_ring_result_publish (&self->ring);
}

static void
publish_error (Worker *self, const PoolRingSlot *slot, GError *error, PoolTiming timing)
{
  PoolBuffer buffer = { 0 };
  PoolRunnerReply reply = { .kind = POOL_RESULT_ERROR, .n_items = slot->n_items };

  pool_error_encode (error, &buffer);
  g_error_free (error);
  reply.data = buffer.data;
  reply.size = buffer.len;
  publish (self, slot, NULL, &reply, timing);
  pool_buffer_clear (&buffer);
}

/* --- what the manager says --- */

/* A task has asked for its cancellable: from now on a thread waits for notices. Other workers stay without threads. */
static gpointer
watch_notices (gpointer data)
{
  Worker *self = data;
  _Atomic guint32 *seq = &self->ring.words->notice_seq;
  guint32 seen = atomic_load (seq);

  for (;;)
    {
      pool_task_notified (self->runner.task);
      while (atomic_load (seq) == seen)
        pool_futex_wait (seq, seen, -1);
      seen = atomic_load (seq);
    }
  return NULL;
}

static void
start_watching (PoolTask *task, gpointer data)
{
  Worker *self = data;
  sigset_t all, old;
  GThread *thread;

  if (self->watches)
    return;
  /* signals are for the task's thread */
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &old);
  thread = g_thread_try_new ("pool-notices", watch_notices, self, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  self->watches = thread != NULL;
  g_clear_pointer (&thread, g_thread_unref);
}

/* It only has to interrupt a system call; what it means is in the words. */
static void
ignore_signal (int signum)
{
}

static void
catch_notices (Worker *self)
{
  const struct sigaction action = { .sa_handler = ignore_signal };

  sigaction (SIGUSR1, &action, NULL);
  self->runner.task->watch = start_watching;
  self->runner.task->watch_data = self;
}

/* The manager has given this worker up: it may have a signal on its way, and gets the last word in any case. */
static void G_GNUC_NORETURN
await_death (void)
{
  sigset_t none;

  for (int i = 1; i < NSIG; i++)
    signal (i, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  for (;;)
    pause ();
}

/* --- reports --- */

static GVariant *
read_value (PoolShm *shm, guint64 offset, guint64 size)
{
  return size > 0 ? pool_value_decode_data (pool_shm_at (shm, offset), size, TRUE, NULL, NULL, NULL)
                  : NULL;
}

static gboolean
send_log (gconstpointer record, gsize size, gpointer user_data)
{
  Worker *self = user_data;
  PoolReportHeader header = self->report;
  gboolean sent;

  header.type = POOL_REPORT_LOG;
  sent = pool_report_send (self->report_fd, &header, record, size, NULL,
                           atomic_load (&self->jammed) ? 0 : LOG_WAIT);
  if (sent || errno != EMSGSIZE)
    atomic_store (&self->jammed, !sent);
  return sent;
}

static void
begin_logging (Worker *self, gboolean writer)
{
  PoolShmHeader *header = self->shm->header;
  g_autoptr (GVariant) domains = read_value (self->shm, header->log_domains, header->log_domains_size);

  pool_log_worker_begin (domains != NULL ? g_variant_dup_strv (domains, NULL) : NULL, writer,
                         self->runner.task, send_log, self);
}

/* --- the loop --- */

/* KiB resident, or 0 */
static guint64
read_rss (Worker *self)
{
  char text[128];
  unsigned long long pages;
  ssize_t n = pread (self->statm_fd, text, sizeof text - 1, 0);

  if (n <= 0)
    return 0;
  text[n] = '\0';
  return sscanf (text, "%*u %llu", &pages) == 1 ? pages * sysconf (_SC_PAGESIZE) / 1024 : 0;
}

static void
watch_memory (Worker *self)
{
  self->statm_fd = -1;
  if (self->shm->header->max_memory != 0)
    self->statm_fd = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

static void
hand_back (Worker *self, const PoolRingSlot *slot)
{
  fill_result (self, pool_ring_result_reserve (&self->ring), slot,
               POOL_RESULT_NONE | POOL_RING_DATA_INLINE, 0, 0, (PoolTiming){ 0 });
  pool_ring_result_publish (&self->ring);
}

/* The manager has a pipe open for each task whose result it has not taken. */
static void
wait_for_captures (Worker *self)
{
  PoolRingWorkerWords *words = self->ring.words;

  for (;;)
    {
      guint32 consumed = atomic_load (&words->consumed);

      if (self->ring.position - consumed < POOL_CAPTURES_MAX)
        return;
      atomic_store (&words->status, POOL_WORKER_BLOCKED);
      pool_ring_ring_bell (&self->ring);
      if (atomic_load (&words->consumed) == consumed)
        pool_futex_wait (&words->consumed, consumed, -1);
      atomic_store (&words->status, POOL_WORKER_AWAKE);
    }
}

static gboolean
begin_capture (Worker *self, const PoolRingSlot *slot, PoolCapture *capture)
{
  PoolReportHeader header = self->report;
  GError *error = NULL;

  wait_for_captures (self);
  header.handle = slot->handle;
  if (pool_capture_begin (capture, self->report_fd, &header, &error))
    return TRUE;
  g_prefix_error (&error, "Task %" G_GUINT64_FORMAT " was not run: ", slot->id);
  publish_error (self, slot, error, (PoolTiming){ 0 });
  return FALSE;
}

static void
run_slot (Worker *self, PoolRingSlot *slot)
{
  const guint8 *data =
      slot->flags & POOL_RING_DATA_INLINE ? slot->bytes : pool_shm_at (self->shm, slot->data);
  PoolRunnerReply reply;
  const PoolFunction *function;
  GError *error = NULL;
  PoolRunnerOutcome outcome;
  PoolCapture capture;
  gboolean captures;
  PoolTiming timing;

  pool_chaos_at (self->chaos, POOL_CHAOS_CLAIMED);
  function = find_function (self, slot->function, &error);
  if (G_UNLIKELY (function == NULL))
    {
      publish_error (self, slot, error, (PoolTiming){ 0 });
      return;
    }
  captures = (slot->flags & POOL_CALL_CAPTURE) != 0;
  if (G_UNLIKELY (captures) && !begin_capture (self, slot, &capture))
    return;
  if (G_UNLIKELY (self->shm->header->memory_limit != 0))
    pool_memory_limit_begin ();
  outcome = pool_runner_run_slot (&self->runner, &self->ring, slot, function, data, &reply, &timing);
  if (G_UNLIKELY (captures))
    pool_capture_end (&capture);
  switch (outcome)
    {
    case POOL_RUNNER_DONE:
      pool_chaos_at (self->chaos, POOL_CHAOS_RUN);
      self->captured = captures ? POOL_RING_CAPTURED : 0;
      publish (self, slot, data, &reply, timing);
      self->captured = 0;
      pool_chaos_at (self->chaos, POOL_CHAOS_PUBLISHED);
      break;
    case POOL_RUNNER_REFUSED:
      hand_back (self, slot);
      break;
    case POOL_RUNNER_DOOMED:
    default:
      await_death ();
    }
  if (G_UNLIKELY (self->statm_fd >= 0) && read_rss (self) > self->shm->header->max_memory)
    pool_ring_worker_leave (&self->ring);
}

static gboolean
initialize (Worker *self, GError **error)
{
  PoolShmHeader *header = self->shm->header;
  g_autoptr (GVariant) initargs = NULL;
  const PoolFunction *function;

  if (header->initializer == 0)
    return TRUE;
  function = find_function (self, header->initializer - 1, error);
  initargs = read_value (self->shm, header->initargs, header->initargs_size);
  return function != NULL && pool_runner_initialize (&self->runner, function, initargs, error);
}

static void G_GNUC_NORETURN
give_up (Worker *self, gboolean in_initializer, GError *error)
{
  PoolBuffer buffer = { 0 };
  PoolRingResult *message;
  guint8 *place;

  pool_error_encode (error, &buffer);
  place = stage (self, MIN (buffer.len, POOL_SHM_STAGED_MAX));
  memcpy (place, buffer.data, MIN (buffer.len, POOL_SHM_STAGED_MAX));
  message = pool_ring_result_reserve (&self->ring);
  message->kind = POOL_RING_STARTED_BAD;
  message->n_items = in_initializer ? 0 : 1;
  message->size = MIN (buffer.len, POOL_SHM_STAGED_MAX);
  message->staging = self->staging_head;
  message->data = place - pool_shm_staging (self->shm, self->ring.index);
  pool_ring_result_publish (&self->ring);
  _exit (1);
}

/*
 * Libraries that compute with as many threads as there are CPUs would do so in each worker. What the user has said about that counts;
 * one that is there already, as the program had it, has read the variables and has to be told.
 */
static void
share_cpus (guint threads)
{
  static const char *const names[] = { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                       "NUMEXPR_NUM_THREADS" };
  void (*set_num_threads) (int);
  char number[16];

  if (g_getenv (names[0]) == NULL)
    {
      *(void **) &set_num_threads = dlsym (RTLD_DEFAULT, "omp_set_num_threads");
      if (set_num_threads != NULL)
        set_num_threads (threads);
    }
  g_snprintf (number, sizeof number, "%u", threads);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_setenv (names[i], number, FALSE);
}

/* Never freed: a thread may look for notices, and the log writer may be called, for as long as the process lives. */
static Worker *
worker_new (const PoolZygote *zygote, guint worker)
{
  PoolShm *shm = zygote->shm;
  Worker *self = g_new0 (Worker, 1);
  g_autoptr (GVariant) static_args = NULL;

  self->shm = shm;
  self->functions = zygote->functions;
  self->named = zygote->named;
  self->report_fd = zygote->report_fd;
  pool_shm_protect_arguments (shm);
  pool_ring_worker_attach (&self->ring, pool_shm_at (shm, shm->header->ring), worker,
                           zygote->event_fd);
  self->report.worker = worker;
  self->report.incarnation = self->ring.incarnation;
  self->staging_head = atomic_load (&self->ring.words->staging_tail);
  self->grant_seen = atomic_load (&self->ring.words->grant_seq);
  self->known = g_new0 (const PoolFunction *, POOL_SHM_FUNCTIONS);
  static_args = read_value (shm, shm->header->static_args, shm->header->static_args_size);
  pool_runner_init (&self->runner, shm->header->first_worker + worker, static_args);
  self->chaos = pool_chaos_new (&shm->header->chaos, worker, self->ring.incarnation);
  self->runner.task->reserve = reserve_extent;
  self->runner.task->reserve_data = self;
  self->has_shm_fd = has_descriptor (shm);
  self->runner.task->locate = locate_argument;
  self->runner.task->locate_data = self;
  return self;
}

int
pool_fork_worker_main (const PoolZygote *zygote, guint worker)
{
  PoolShm *shm = zygote->shm;
  Worker *self = worker_new (zygote, worker);
  PoolSandboxFlags enforced;
  guint64 started;
  PoolRingSlot *slot;
  GError *error = NULL;

  share_cpus (shm->header->threads);
  catch_notices (self);
  watch_memory (self);
  begin_logging (self, !zygote->has_log_writer);
  if (shm->header->memory_limit != 0)
    pool_memory_limit_set (pool_shm_memory (shm, worker), shm->header->memory_limit);

  /* after all that is our own, before anything of the program's */
  if (!pool_sandbox_enter (zygote->sandbox, &enforced, &error))
    give_up (self, FALSE, error);
  if (!initialize (self, &error))
    give_up (self, TRUE, error);
  started = POOL_SHM_STARTED (getpid (), enforced);
  send_message (self, POOL_RING_STARTED, &started, sizeof started);
  while ((slot = pool_ring_claim (&self->ring)) != NULL)
    run_slot (self, slot);
  return 0;
}
