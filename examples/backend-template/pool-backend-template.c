/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A backend to begin one from: each worker is a thread with a mailbox for one task; all answer into one outbox. It uses the
 * public headers only and keeps the whole contract of <libpool-backend.h>, in the easy way: see README.md.
 *
 *   submit() ── mailbox of an idle worker ──► thread ── function
 *   dispatch() ◄── outbox, eventfd ◄──────────┘
 *
 * What is yours to replace is the mailbox and the outbox: what carries a task to where it is run, and its result back. To make
 * it yours, rename `template` everywhere, the files included: a module must be called what it says it is.
 */

#include <libpool-backend.h>

#include <errno.h>
#include <gmodule.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TEMPLATE_TYPE_BACKEND (template_backend_get_type ())
G_DECLARE_FINAL_TYPE (TemplateBackend, template_backend, TEMPLATE, BACKEND, PoolBackend)

struct _TemplateBackend
{
  PoolBackend parent_instance;

  guint max_tasks;    /* after which a worker says that it leaves; 0: never */
  GPtrArray *workers; /* Worker by number; NULL: the number is free */

  int event_fd; /* readable: there is something in the outbox */
  int kick_fd;  /* ends wait() */
  guint kicks;  /* atomic */

  GMutex lock;   /* of the outbox; held for a moment only, and never with a mailbox's */
  GQueue outbox; /* Message */
};

G_DEFINE_FINAL_TYPE (TemplateBackend, template_backend, POOL_TYPE_BACKEND)

typedef struct
{
  TemplateBackend *backend;
  guint number;
  PoolBackendRunner *runner;
  GThread *thread;

  /* the manager's, under the pool's lock */
  guint64 handle;        /* of the task that it has, or 0 */
  guint8 *adopted;       /* the argument of a task that has ended for the pool while it runs here */
  guint n_taken;         /* tasks */
  gboolean is_up;        /* it can take tasks */
  gboolean is_leaving;   /* it will take no more */
  gboolean is_abandoned; /* the pool was told that it is gone, and it is not yet */

  GMutex lock; /* of the mailbox */
  GCond cond;
  gboolean has_mail; /* the runner was given a task */
  gboolean must_end;
} Worker;

typedef enum
{
  MESSAGE_UP,
  MESSAGE_TOLD,   /* by a task that goes on */
  MESSAGE_RESULT, /* the data are the runner's, which gets no other task before this is taken */
  MESSAGE_END,    /* the thread touches nothing of the worker any more */
} MessageKind;

typedef struct
{
  Worker *worker;
  MessageKind kind;
  PoolBackendResult result;
  PoolDownReason reason;
  GError *error; /* why it did not come up */
} Message;

static void
message_free (Message *self)
{
  g_clear_error (&self->error);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Message, message_free)

static void
raise_fd (int fd)
{
  guint64 one = 1;

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

/* --- a worker's thread --- */

/* First the message, then the bell: whoever hears it finds something. */
static void
post (Worker *self, const Message *message)
{
  TemplateBackend *backend = self->backend;
  Message *copy = g_memdup2 (message, sizeof *message);

  copy->worker = self;
  g_mutex_lock (&backend->lock);
  g_queue_push_tail (&backend->outbox, copy);
  g_mutex_unlock (&backend->lock);
  raise_fd (backend->event_fd);
}

/* A task has been started, or tells how far it is. */
static void
tell (const PoolBackendResult *message, gpointer user_data)
{
  post (user_data, &(Message){ .kind = MESSAGE_TOLD, .result = *message });
}

static gboolean
wait_for_mail (Worker *self)
{
  gboolean has_mail;

  g_mutex_lock (&self->lock);
  while (!self->has_mail && !self->must_end)
    g_cond_wait (&self->cond, &self->lock);
  has_mail = self->has_mail;
  self->has_mail = FALSE;
  g_mutex_unlock (&self->lock);
  return has_mail;
}

static void
run_tasks (PoolBackendRunner *runner, gpointer user_data)
{
  Worker *self = user_data;
  PoolBackendResult result;

  post (self, &(Message){ .kind = MESSAGE_UP });
  while (wait_for_mail (self) && pool_backend_runner_run (runner, &result))
    post (self, &(Message){ .kind = MESSAGE_RESULT, .result = result });
}

static gpointer
worker_thread (gpointer data)
{
  Worker *self = data;
  PoolBackend *backend = POOL_BACKEND (self->backend);
  Message last = { .kind = MESSAGE_END, .reason = POOL_DOWN_REASON_ASKED };

  pool_backend_runner_enter (self->runner, run_tasks, self, &last.reason, &last.error);
  /* the worker is freed when this is taken, and the backend may go with the hold */
  post (self, &last);
  pool_backend_release (backend);
  return NULL;
}

/* --- workers --- */

static void
worker_free (Worker *self)
{
  pool_backend_runner_free (self->runner);
  g_free (self->adopted);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

static guint
free_number (TemplateBackend *self)
{
  guint number = 0;

  while (number < self->workers->len && self->workers->pdata[number] != NULL)
    number++;
  if (number == self->workers->len)
    g_ptr_array_add (self->workers, NULL);
  return number;
}

/* FALSE only where the runner cannot be made: a thread that cannot be made is a worker that ends at once. */
static gboolean
add_worker (TemplateBackend *self, GError **error)
{
  Worker *worker = g_new0 (Worker, 1);
  GError *thread_error = NULL;

  worker->backend = self;
  worker->number = free_number (self);
  worker->runner = pool_backend_runner_new (POOL_BACKEND (self), worker->number, tell, worker, error);
  if (worker->runner == NULL)
    {
      g_free (worker);
      return FALSE;
    }
  g_mutex_init (&worker->lock);
  g_cond_init (&worker->cond);
  self->workers->pdata[worker->number] = worker;
  pool_backend_hold (POOL_BACKEND (self));
  worker->thread = g_thread_try_new ("pool-template", worker_thread, worker, &thread_error);
  if (worker->thread == NULL)
    {
      g_prefix_error (&thread_error, "could not be made: ");
      post (worker, &(Message){ .kind = MESSAGE_END, .reason = POOL_DOWN_REASON_NOT_STARTED, .error = thread_error });
      pool_backend_release (POOL_BACKEND (self));
    }
  return TRUE;
}

static gboolean
template_backend_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);

  self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->event_fd < 0 || self->kick_fd < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No descriptors for a pool: %s", g_strerror (errno));
      return FALSE;
    }
  self->max_tasks = config->max_tasks_per_child;
  for (guint i = 0; i < config->processes; i++)
    if (!add_worker (self, error))
      return FALSE; /* the first already: there is no such initializer */
  return TRUE;
}

/* The runner could be made at the start, so it can be made now. */
static void
template_backend_add_workers (PoolBackend *backend, guint n)
{
  while (n-- > 0)
    add_worker (TEMPLATE_BACKEND (backend), NULL);
}

static guint
template_backend_count_workers (PoolBackend *backend)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    {
      Worker *worker = self->workers->pdata[i];

      n += worker != NULL && !worker->is_abandoned;
    }
  return n;
}

static void
end_worker (Worker *self, gboolean now)
{
  pool_backend_runner_leave (self->runner, now);
  g_mutex_lock (&self->lock);
  self->must_end = TRUE;
  /* what it has not begun with has ended for the pool */
  if (now)
    self->has_mail = FALSE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
template_backend_retire_worker (PoolBackend *backend, guint number)
{
  Worker *worker = TEMPLATE_BACKEND (backend)->workers->pdata[number];

  worker->is_leaving = TRUE;
  end_worker (worker, FALSE);
}

/* A thread cannot be killed: without POOL_BACKEND_CAN_KILL that means to let go of it. It was doomed, and will end by itself. */
static void
template_backend_kill_worker (PoolBackend *backend, guint number, int signum)
{
  Worker *worker = TEMPLATE_BACKEND (backend)->workers->pdata[number];

  worker->is_abandoned = TRUE;
  pool_backend_worker_down (backend, &(PoolBackendExit){ .worker = number,
                                                         .reason = POOL_DOWN_REASON_ASKED,
                                                         .exit_code = -1,
                                                         .abandoned = TRUE });
}

/* --- tasks --- */

static gboolean
is_idle (const Worker *self)
{
  return self != NULL && self->is_up && !self->is_leaving && !self->is_abandoned && self->handle == 0;
}

static Worker *
find_worker (TemplateBackend *self, guint64 handle)
{
  for (guint i = 0; i < self->workers->len; i++)
    {
      Worker *worker = self->workers->pdata[i];

      if (worker != NULL && worker->handle == handle)
        return worker;
    }
  return NULL;
}

/* What no worker can start now stays with the pool, where it can be cancelled and put in order. */
static guint
template_backend_get_room (PoolBackend *backend)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    n += is_idle (self->workers->pdata[i]);
  return n;
}

static void
give (Worker *self, const PoolBackendTask *task)
{
  self->handle = task->handle;
  self->n_taken++;
  pool_backend_runner_take (self->runner, task);
  g_mutex_lock (&self->lock);
  self->has_mail = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

static guint
template_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  guint taken = 0;

  for (guint i = 0; i < self->workers->len && taken < n; i++)
    if (is_idle (self->workers->pdata[i]))
      give (self->workers->pdata[i], &tasks[taken++]);
  return taken;
}

/* Every task that was taken is a worker's: it may have been started. */
static gboolean
template_backend_cancel (PoolBackend *backend, guint64 handle)
{
  return FALSE;
}

static guint
template_backend_split (PoolBackend *backend, guint64 handle, guint n_items)
{
  Worker *worker = find_worker (TEMPLATE_BACKEND (backend), handle);

  return worker != NULL ? pool_backend_runner_split (worker->runner, handle, n_items) : 0;
}

/* There is no alloc_payload(), so what there is to adopt was made by g_malloc(). */
static void
template_backend_adopt_payload (PoolBackend *backend, guint64 handle, guint8 *payload, gboolean is_backends)
{
  find_worker (TEMPLATE_BACKEND (backend), handle)->adopted = payload;
}

static void
template_backend_get_worker (PoolBackend *backend, guint number, PoolBackendWorker *info)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);

  *info = (PoolBackendWorker){ 0 };
  if (number < self->workers->len && self->workers->pdata[number] != NULL)
    pool_backend_runner_get_info (((Worker *) self->workers->pdata[number])->runner, info);
}

static guint
template_backend_doom (PoolBackend *backend, guint number, guint64 handle, gint64 item)
{
  Worker *worker = TEMPLATE_BACKEND (backend)->workers->pdata[number];

  return pool_backend_runner_doom (worker->runner, handle, item);
}

static void
template_backend_notify (PoolBackend *backend, guint number, guint64 handle, guint item, guint notice)
{
  Worker *worker = TEMPLATE_BACKEND (backend)->workers->pdata[number];

  pool_backend_runner_notify (worker->runner, handle, item, notice);
}

static void
template_backend_answer (PoolBackend *backend, guint number, guint64 handle, gboolean go)
{
  Worker *worker = TEMPLATE_BACKEND (backend)->workers->pdata[number];

  pool_backend_runner_answer (worker->runner, handle, go);
}

/* --- what workers say --- */

/* The worker is free for another task before the pool hears of this one's end. */
static void
take_result (TemplateBackend *self, Worker *worker, const PoolBackendResult *result)
{
  g_autofree guint8 *adopted = g_steal_pointer (&worker->adopted);

  worker->handle = 0;
  pool_backend_runner_drop (worker->runner);
  if (self->max_tasks != 0 && worker->n_taken >= self->max_tasks && !worker->is_leaving)
    {
      worker->is_leaving = TRUE;
      pool_backend_deliver (POOL_BACKEND (self), &(PoolBackendResult){ .worker = worker->number,
                                                                      .kind = POOL_RESULT_LEAVING });
    }
  pool_backend_deliver (POOL_BACKEND (self), result);
}

static void
take_end (TemplateBackend *self, Worker *worker, const Message *message)
{
  const PoolBackendExit exit = { .worker = worker->number,
                                 .reason = message->reason,
                                 .error = message->error,
                                 .handle = worker->handle };

  if (worker->thread != NULL)
    g_thread_join (worker->thread);
  self->workers->pdata[worker->number] = NULL;
  worker_free (worker);
  pool_backend_worker_down (POOL_BACKEND (self), &exit);
}

static void
take_message (TemplateBackend *self, const Message *message)
{
  Worker *worker = message->worker;

  switch (message->kind)
    {
    case MESSAGE_UP:
      worker->is_up = TRUE;
      pool_backend_worker_up (POOL_BACKEND (self), worker->number, 0, NULL);
      break;
    case MESSAGE_TOLD:
      pool_backend_deliver (POOL_BACKEND (self), &message->result);
      break;
    case MESSAGE_RESULT:
      take_result (self, worker, &message->result);
      break;
    case MESSAGE_END:
    default:
      take_end (self, worker, message);
    }
}

static Message *
next_message (TemplateBackend *self)
{
  Message *message;

  g_mutex_lock (&self->lock);
  message = g_queue_pop_head (&self->outbox);
  g_mutex_unlock (&self->lock);
  return message;
}

static gboolean
template_backend_dispatch (PoolBackend *backend)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  gboolean any = FALSE;

  for (;;)
    {
      g_autoptr (Message) message = next_message (self);

      if (message == NULL)
        return any;
      take_message (self, message);
      any = TRUE;
    }
}

/* --- waiting --- */

static int
template_backend_get_fd (PoolBackend *backend)
{
  return TEMPLATE_BACKEND (backend)->event_fd;
}

/* dispatch() comes after it. */
static void
template_backend_acknowledge (PoolBackend *backend)
{
  lower_fd (TEMPLATE_BACKEND (backend)->event_fd);
}

/* The bell is rung for every message, whether somebody wants to hear it or not. */
static gboolean
template_backend_arm (PoolBackend *backend, gboolean on)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  gboolean any;

  g_mutex_lock (&self->lock);
  any = !g_queue_is_empty (&self->outbox);
  g_mutex_unlock (&self->lock);
  return any;
}

/* One system call that a signal handler ends, and nothing after it that sets errno: that makes waits interruptible. */
static void
template_backend_wait (PoolBackend *backend, guint kicks, gint64 timeout)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);
  const struct timespec left = { timeout / 1000000000, timeout % 1000000000 };
  struct pollfd fds[] = { { self->event_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };

  if ((guint) g_atomic_int_get (&self->kicks) != kicks)
    return;
  if (ppoll (fds, G_N_ELEMENTS (fds), timeout < 0 ? NULL : &left, NULL) <= 0)
    return;
  if (fds[0].revents != 0)
    lower_fd (self->event_fd);
  if (fds[1].revents != 0)
    lower_fd (self->kick_fd);
}

static guint
template_backend_get_kicks (PoolBackend *backend)
{
  return g_atomic_int_get (&TEMPLATE_BACKEND (backend)->kicks);
}

static void
template_backend_kick (PoolBackend *backend)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);

  g_atomic_int_inc (&self->kicks);
  raise_fd (self->kick_fd);
}

/* --- the end --- */

static void
template_backend_stop (PoolBackend *backend, gboolean now)
{
  TemplateBackend *self = TEMPLATE_BACKEND (backend);

  for (guint i = 0; i < self->workers->len; i++)
    if (self->workers->pdata[i] != NULL)
      end_worker (self->workers->pdata[i], now);
}

/* Threads may still be in a task: what they need stays until the last of them has given up its hold. */
static void
template_backend_finish (PoolBackend *backend)
{
  template_backend_stop (backend, TRUE);
}

static void
template_backend_finalize (GObject *object)
{
  TemplateBackend *self = TEMPLATE_BACKEND (object);

  /* threads that ended when nobody listened any more; this may be the last of them */
  for (guint i = 0; i < self->workers->len; i++)
    {
      Worker *worker = self->workers->pdata[i];

      if (worker == NULL)
        continue;
      g_clear_pointer (&worker->thread, g_thread_unref);
      worker_free (worker);
    }
  g_ptr_array_unref (self->workers);
  g_queue_clear_full (&self->outbox, (GDestroyNotify) message_free);
  if (self->event_fd >= 0)
    close (self->event_fd);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (template_backend_parent_class)->finalize (object);
}

static void
template_backend_class_init (TemplateBackendClass *klass)
{
  PoolBackendClass *backend_class = POOL_BACKEND_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = template_backend_finalize;
  /* what is not here is left out, and the pool does without or refuses: see README.md */
  backend_class->flags = POOL_BACKEND_TAKES_CLOSURES | POOL_BACKEND_CAN_GROW;
  backend_class->start = template_backend_start;
  backend_class->add_workers = template_backend_add_workers;
  backend_class->count_workers = template_backend_count_workers;
  backend_class->retire_worker = template_backend_retire_worker;
  backend_class->kill_worker = template_backend_kill_worker;
  backend_class->adopt_payload = template_backend_adopt_payload;
  backend_class->get_room = template_backend_get_room;
  backend_class->submit = template_backend_submit;
  backend_class->cancel = template_backend_cancel;
  backend_class->split = template_backend_split;
  backend_class->get_worker = template_backend_get_worker;
  backend_class->doom = template_backend_doom;
  backend_class->notify = template_backend_notify;
  backend_class->answer = template_backend_answer;
  backend_class->dispatch = template_backend_dispatch;
  backend_class->get_fd = template_backend_get_fd;
  backend_class->acknowledge = template_backend_acknowledge;
  backend_class->arm = template_backend_arm;
  backend_class->wait = template_backend_wait;
  backend_class->get_kicks = template_backend_get_kicks;
  backend_class->kick = template_backend_kick;
  backend_class->stop = template_backend_stop;
  backend_class->finish = template_backend_finish;
}

static void
template_backend_init (TemplateBackend *self)
{
  self->workers = g_ptr_array_new ();
  self->event_fd = self->kick_fd = -1;
  g_mutex_init (&self->lock);
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "template",
  .description = "threads of this process, one task at a time: to begin a backend from",
  .get_type = template_backend_get_type,
};

G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_MODULE_EXPORT const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
