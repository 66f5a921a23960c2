/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A backend as others would write it, on the installed headers alone, for what no local worker does: to be gone while
 * its result is under way. A worker is a few words here, and what happens to it happens at a time; a task says what by its bytes:
 *
 *   answer           the result is the number of the attempt
 *   gone-answers MS  the worker is gone, and the result comes MS milliseconds later
 *   gone-silent      it never comes; the second attempt answers
 *   gone-late        it comes when the second attempt is under way, and again when that has answered
 */

#include <libpool-backend.h>

#include <errno.h>
#include <gmodule.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct
{
  PoolBackend parent_instance;

  GArray *workers; /* Worker, by id; ids are not used again */
  GQueue events;   /* Event, the soonest first */
  guint64 late;    /* the handle whose result is kept back */
  int timer_fd, kick_fd;
  int kicks; /* atomic */
} RemoteFake;

typedef PoolBackendClass RemoteFakeClass;

typedef struct
{
  gboolean exists, is_up, is_leaving;
  guint64 handle; /* that it runs, or 0 */
  guint64 done;
} Worker;

typedef enum
{
  EVENT_UP,
  EVENT_ENDED, /* as it was told to */
  EVENT_GONE,  /* nothing is heard of it any more */
  EVENT_ANSWER,
} EventKind;

typedef struct
{
  EventKind kind;
  gint64 at; /* monotonic µs */
  guint worker, attempt;
  guint64 handle;
} Event;

GType remote_fake_get_type (void);
G_MODULE_EXPORT const PoolBackendModule *pool_backend_module_query (void);

G_DEFINE_FINAL_TYPE (RemoteFake, remote_fake, POOL_TYPE_BACKEND)

static Worker *
get (RemoteFake *self, guint worker)
{
  return &g_array_index (self->workers, Worker, worker);
}

/* --- what will happen --- */

static void
set_timer (RemoteFake *self)
{
  Event *first = g_queue_peek_head (&self->events);
  gint64 at = first != NULL ? first->at : 0;
  const struct itimerspec spec = { .it_value = { at / G_USEC_PER_SEC, at % G_USEC_PER_SEC * 1000 } };

  timerfd_settime (self->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static int
compare_events (gconstpointer a, gconstpointer b, gpointer user_data)
{
  return ((const Event *) a)->at > ((const Event *) b)->at ? 1 : -1;
}

static void
schedule (RemoteFake *self, EventKind kind, guint delay, guint worker, guint64 handle, guint attempt)
{
  const Event event = { kind, g_get_monotonic_time () + delay * 1000, worker, attempt, handle };

  g_queue_insert_sorted (&self->events, g_memdup2 (&event, sizeof event), compare_events, NULL);
  set_timer (self);
}

static void
run_task (RemoteFake *self, guint worker, const PoolBackendTask *task)
{
  g_autofree char *text = g_strndup ((const char *) task->data, task->size);
  guint delay = 0;
  gboolean answers = sscanf (text, "gone-answers %u", &delay) == 1;

  get (self, worker)->handle = task->handle;
  if (task->attempt == 1 && g_str_has_prefix (text, "gone-"))
    schedule (self, EVENT_GONE, 0, worker, task->handle, 1);
  if (task->attempt == 1 && g_str_equal (text, "gone-late"))
    self->late = task->handle;
  else if (g_str_equal (text, "gone-late"))
    {
      schedule (self, EVENT_ANSWER, 0, worker, self->late, 1);
      schedule (self, EVENT_ANSWER, 0, worker, task->handle, task->attempt);
      schedule (self, EVENT_ANSWER, 0, worker, self->late, 1);
      return;
    }
  if (answers || task->attempt > 1 || g_str_equal (text, "answer"))
    schedule (self, EVENT_ANSWER, delay, worker, task->handle, task->attempt);
}

/* --- what happens --- */

static void
answer (RemoteFake *self, const Event *event)
{
  g_autofree char *text = g_strdup_printf ("%u", event->attempt);
  const PoolBackendResult result = { .handle = event->handle, .worker = event->worker, .kind = POOL_RESULT_BYTES,
                                     .n_items = 1, .data = (const guint8 *) text, .size = strlen (text) };
  Worker *worker = get (self, event->worker);

  if (worker->handle == event->handle)
    {
      worker->handle = 0;
      worker->done++;
      if (worker->is_leaving)
        schedule (self, EVENT_ENDED, 0, event->worker, 0, 0);
    }
  pool_backend_deliver (&self->parent_instance, &result);
}

static void
end (RemoteFake *self, const Event *event)
{
  gboolean gone = event->kind == EVENT_GONE;
  g_autoptr (GError) error = g_error_new_literal (POOL_ERROR, POOL_ERROR_BACKEND, "is out of reach");
  Worker *worker = get (self, event->worker);
  const PoolBackendExit exit = { .worker = event->worker,
                                 .reason = gone ? POOL_DOWN_REASON_EXITED : POOL_DOWN_REASON_ASKED,
                                 .error = gone ? error : NULL,
                                 .handle = worker->handle,
                                 .may_deliver = gone };

  if (!worker->exists)
    return;
  *worker = (Worker){ 0 };
  pool_backend_worker_down (&self->parent_instance, &exit);
}

static gboolean
remote_fake_dispatch (PoolBackend *backend)
{
  RemoteFake *self = (RemoteFake *) backend;
  gint64 now = g_get_monotonic_time ();
  gboolean any = FALSE;
  Event *event;

  while ((event = g_queue_peek_head (&self->events)) != NULL && event->at <= now)
    {
      g_queue_pop_head (&self->events);
      any = TRUE;
      if (event->kind == EVENT_UP && get (self, event->worker)->exists)
        {
          get (self, event->worker)->is_up = TRUE;
          pool_backend_worker_up (backend, event->worker, 0, "elsewhere");
        }
      else if (event->kind == EVENT_ANSWER)
        answer (self, event);
      else if (event->kind != EVENT_UP)
        end (self, event);
      g_free (event);
    }
  if (any)
    set_timer (self);
  return any;
}

/* --- what the engine asks for --- */

static void
remote_fake_add_workers (PoolBackend *backend, guint n)
{
  RemoteFake *self = (RemoteFake *) backend;
  const Worker worker = { .exists = TRUE };

  while (n-- > 0)
    {
      g_array_append_val (self->workers, worker);
      schedule (self, EVENT_UP, 0, self->workers->len - 1, 0, 0);
    }
}

static gboolean
remote_fake_start (PoolBackend *backend, const PoolBackendConfig *config, GError **error)
{
  RemoteFake *self = (RemoteFake *) backend;

  self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->timer_fd < 0 || self->kick_fd < 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No descriptors: %s", g_strerror (errno));
      return FALSE;
    }
  remote_fake_add_workers (backend, config->processes);
  return TRUE;
}

static guint
remote_fake_count_workers (PoolBackend *backend)
{
  RemoteFake *self = (RemoteFake *) backend;
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    n += get (self, i)->exists;
  return n;
}

static gboolean
is_idle (const Worker *worker)
{
  return worker->is_up && !worker->is_leaving && worker->handle == 0;
}

static guint
remote_fake_get_room (PoolBackend *backend)
{
  RemoteFake *self = (RemoteFake *) backend;
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    n += is_idle (get (self, i));
  return n;
}

static guint
remote_fake_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  RemoteFake *self = (RemoteFake *) backend;
  guint taken = 0;

  for (guint i = 0; i < self->workers->len && taken < n; i++)
    if (is_idle (get (self, i)))
      run_task (self, i, &tasks[taken++]);
  return taken;
}

static void
remote_fake_retire_worker (PoolBackend *backend, guint worker)
{
  RemoteFake *self = (RemoteFake *) backend;

  if (get (self, worker)->handle == 0)
    schedule (self, EVENT_ENDED, 0, worker, 0, 0);
  get (self, worker)->is_leaving = TRUE;
}

static void
remote_fake_kill_worker (PoolBackend *backend, guint worker, int signum)
{
  schedule ((RemoteFake *) backend, EVENT_ENDED, 0, worker, 0, 0);
}

static void
remote_fake_stop (PoolBackend *backend, gboolean now)
{
  RemoteFake *self = (RemoteFake *) backend;

  for (guint i = 0; i < self->workers->len; i++)
    if (get (self, i)->exists && now)
      remote_fake_kill_worker (backend, i, 0);
    else if (get (self, i)->exists)
      remote_fake_retire_worker (backend, i);
}

static void
remote_fake_finish (PoolBackend *backend)
{
}

static void
remote_fake_get_worker (PoolBackend *backend, guint worker, PoolBackendWorker *info)
{
  Worker *of = get ((RemoteFake *) backend, worker);

  *info = (PoolBackendWorker){ .done = of->done, .handle = of->handle };
}

/* Every task that was taken has begun, and was copied: nothing of it is needed any more. */
static gboolean
remote_fake_cancel (PoolBackend *backend, guint64 handle)
{
  return FALSE;
}

static void
remote_fake_adopt_payload (PoolBackend *backend, guint64 handle, guint8 *payload, gboolean is_backends)
{
  g_free (payload);
}

/* A result that comes all the same is one of an attempt that is over. */
static guint
remote_fake_doom (PoolBackend *backend, guint worker, guint64 handle, gint64 item)
{
  RemoteFake *self = (RemoteFake *) backend;

  if (get (self, worker)->handle != handle)
    return 0;
  get (self, worker)->handle = 0;
  get (self, worker)->is_leaving = TRUE;
  return 1;
}

/* It listens to nobody. */
static void
remote_fake_notify (PoolBackend *backend, guint worker, guint64 handle, guint item, guint notice)
{
}

/* --- waiting --- */

static int
remote_fake_get_fd (PoolBackend *backend)
{
  return ((RemoteFake *) backend)->timer_fd;
}

/* What dispatch() does not find due stays in the timer, and what it does sets it anew. */
static void
remote_fake_acknowledge (PoolBackend *backend)
{
}

static gboolean
remote_fake_arm (PoolBackend *backend, gboolean on)
{
  Event *first = g_queue_peek_head (&((RemoteFake *) backend)->events);

  return on && first != NULL && first->at <= g_get_monotonic_time ();
}

static guint
remote_fake_get_kicks (PoolBackend *backend)
{
  return g_atomic_int_get (&((RemoteFake *) backend)->kicks);
}

static void
remote_fake_kick (PoolBackend *backend)
{
  RemoteFake *self = (RemoteFake *) backend;

  g_atomic_int_inc (&self->kicks);
  eventfd_write (self->kick_fd, 1);
}

static void
remote_fake_wait (PoolBackend *backend, guint kicks, gint64 timeout)
{
  RemoteFake *self = (RemoteFake *) backend;
  struct pollfd fds[2] = { { self->timer_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };
  const struct timespec time = { timeout / 1000000000, timeout % 1000000000 };
  gboolean interrupted = FALSE;
  eventfd_t count;

  if (remote_fake_get_kicks (backend) == kicks)
    interrupted = ppoll (fds, 2, timeout < 0 ? NULL : &time, NULL) < 0 && errno == EINTR;
  eventfd_read (self->kick_fd, &count);
  /* the pump is to know that a handler ran */
  errno = interrupted ? EINTR : 0;
}

/* --- the type --- */

static void
remote_fake_finalize (GObject *object)
{
  RemoteFake *self = (RemoteFake *) object;

  g_queue_clear_full (&self->events, g_free);
  g_array_unref (self->workers);
  if (self->timer_fd >= 0)
    close (self->timer_fd);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  G_OBJECT_CLASS (remote_fake_parent_class)->finalize (object);
}

static void
remote_fake_class_init (RemoteFakeClass *klass)
{
  klass->flags = POOL_BACKEND_ISOLATES | POOL_BACKEND_TAKES_CLOSURES | POOL_BACKEND_REMOTE |
                 POOL_BACKEND_CAN_KILL | POOL_BACKEND_CAN_GROW;
  klass->start = remote_fake_start;
  klass->add_workers = remote_fake_add_workers;
  klass->count_workers = remote_fake_count_workers;
  klass->retire_worker = remote_fake_retire_worker;
  klass->kill_worker = remote_fake_kill_worker;
  klass->adopt_payload = remote_fake_adopt_payload;
  klass->get_room = remote_fake_get_room;
  klass->submit = remote_fake_submit;
  klass->cancel = remote_fake_cancel;
  klass->get_worker = remote_fake_get_worker;
  klass->doom = remote_fake_doom;
  klass->notify = remote_fake_notify;
  klass->dispatch = remote_fake_dispatch;
  klass->get_fd = remote_fake_get_fd;
  klass->acknowledge = remote_fake_acknowledge;
  klass->arm = remote_fake_arm;
  klass->wait = remote_fake_wait;
  klass->get_kicks = remote_fake_get_kicks;
  klass->kick = remote_fake_kick;
  klass->stop = remote_fake_stop;
  klass->finish = remote_fake_finish;
  G_OBJECT_CLASS (klass)->finalize = remote_fake_finalize;
}

static void
remote_fake_init (RemoteFake *self)
{
  self->workers = g_array_new (FALSE, FALSE, sizeof (Worker));
  g_queue_init (&self->events);
  self->timer_fd = self->kick_fd = -1;
}

static const PoolBackendModule module = {
  .abi = POOL_BACKEND_ABI,
  .name = "remote-fake",
  .description = "workers that may be gone while their results are under way",
  .get_type = remote_fake_get_type,
};

const PoolBackendModule *
pool_backend_module_query (void)
{
  return &module;
}
