/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-error.h"
#include "pool-fork-guard-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * Who does the work?
 *
 * A thread that waits for a result becomes the *pump* if there is none: it dispatches the backend and sleeps in it, so that
 * a round trip costs no hop between threads. Others that wait meanwhile sleep until their result is there or the
 * pump leaves and one of them takes over. When nobody waits, the engine's thread does the same on the backend's fd, or,
 * without that thread, a source in the program's main context.
 *
 * While the program itself is busy submitting and waiting, waking the thread for every result would only take the CPU from
 * the workers, so it then looks after 100 µs instead of at once.
 */
#define BUSY_CALLS 16
#define BUSY_DELAY_MS 0.1
#define BUSY_DELAYS_MAX 10

/* Callbacks whose context has an owner, who does not run them: how long, at least, until the thread looks again. */
#define CALL_BACK_AGAIN (G_USEC_PER_SEC / 20)

/* What is pushed anew has the whole grace, and what waits with it waits longer, but not longer than so many of them. */
#define MAX_GRACES 10

/*
 * Interruptible waits never sleep without a timeout, or the kernel would go on with the sleep after a handler that was
 * installed with SA_RESTART.
 */
#define LONG_SLEEP (G_GINT64_CONSTANT (365) * 24 * 3600)

/* How long wait() spins before it sleeps; a shorter wait does not sleep. */
#define SPIN_NS 20000

struct _PoolWaiter
{
  PoolWaiter *next;
  PoolJob *job; /* NULL: for anything that happens */
  GCond cond;
  gboolean woken;
  GThread *thread;
  gboolean *interrupted; /* where to say that a signal handler ran; NULL: the wait goes on all the same */
};

/* The engine whose tasks a thread runs. */
static GPrivate worker_thread;

void
pool_engine_set_worker_thread (PoolEngine *self)
{
  g_private_set (&worker_thread, self);
}

gboolean
pool_engine_is_worker_thread (PoolEngine *self)
{
  return g_private_get (&worker_thread) == self;
}

/* @timeout: seconds, < 0 for ever */
gint64
pool_engine_deadline (double timeout)
{
  if (timeout < 0 || timeout > 1e9)
    return -1;
  return g_get_monotonic_time () + (gint64) (timeout * G_USEC_PER_SEC);
}

static void
kick_thread (PoolEngine *self)
{
  guint64 one = 1;

  if (self->wake_fd >= 0)
    while (write (self->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
      ;
}

/* Something is to be called back: wakes the thread, unless it looks for such things by itself. */
void
pool_engine_rouse_thread (PoolEngine *self)
{
  if (atomic_exchange (&self->dozing, FALSE))
    kick_thread (self);
}

static void
drain_eventfd (int fd)
{
  guint64 count;

  while (read (fd, &count, sizeof count) < 0 && errno == EINTR)
    ;
}

/* Something happened to @job; NULL: to the pool. */
void
pool_engine_wake_locked (PoolEngine *self, PoolJob *job)
{
  PoolWaiter *pump = self->pump;

  for (PoolWaiter *waiter = self->waiters; waiter != NULL; waiter = waiter->next)
    if (waiter->job == NULL || job == NULL || waiter->job == job)
      {
        waiter->woken = TRUE;
        g_cond_signal (&waiter->cond);
      }

  /* the pump sees for itself what it dispatches; this is for what another thread does meanwhile */
  if (pump != NULL && (pump->job == NULL || job == NULL || pump->job == job))
    {
      POOL_BACKEND_GET_CLASS (self->backend)->kick (self->backend);
      if (self->thread == NULL)
        kick_thread (self);
    }
}

/* Makes sure that results, and the ends of workers, will be looked after when nobody waits for them. */
void
pool_engine_watch_locked (PoolEngine *self)
{
  PoolBackendClass *klass;

  atomic_fetch_add_explicit (&self->activity, 1, memory_order_relaxed);
  if (self->watched || self->pump != NULL || self->backend == NULL ||
      self->state == POOL_STATE_JOINED ||
      (self->ledger.n_records == 0 && self->n_alive >= self->n_wanted && self->n_leaving == 0 &&
       self->n_abandoned == 0 && !self->stopping))
    return;

  klass = POOL_BACKEND_GET_CLASS (self->backend);
  self->watched = TRUE;
  if (klass->arm (self->backend, TRUE) && pool_engine_dispatch_locked (self) &&
      klass->arm (self->backend, TRUE))
    kick_thread (self);
}

static void
append_waiter (PoolEngine *self, PoolWaiter *waiter)
{
  PoolWaiter **p = &self->waiters;

  while (*p != NULL)
    p = &(*p)->next;
  *p = waiter;
  waiter->next = NULL;
}

static void
remove_waiter (PoolEngine *self, PoolWaiter *waiter)
{
  PoolWaiter **p = &self->waiters;

  while (*p != waiter)
    p = &(*p)->next;
  *p = waiter->next;
}

/*
 * Without the engine's thread nobody but the pump hears of workers that die: after a short spin it sleeps on the fds.
 * As wait() of the backend it leaves EINTR in errno if a signal handler ended its sleep.
 */
static void
sleep_on_fds (PoolEngine *self, PoolBackendClass *klass, guint kicks, gint64 timeout)
{
  struct pollfd fds[3] = { { self->wake_fd, POLLIN, 0 },
                           { klass->get_fd (self->backend), POLLIN, 0 },
                           { self->timer_fd, POLLIN, 0 } };
  struct timespec ts = { timeout / 1000000000, timeout % 1000000000 };
  gboolean ready;

  klass->wait (self->backend, kicks, timeout < 0 ? SPIN_NS : MIN (timeout, SPIN_NS));
  if (klass->get_kicks (self->backend) != kicks)
    return;
  g_mutex_lock (&self->lock);
  ready = klass->arm (self->backend, TRUE);
  g_mutex_unlock (&self->lock);
  if (ready)
    return;
  errno = 0;
  if (ppoll (fds, G_N_ELEMENTS (fds), timeout < 0 ? NULL : &ts, NULL) > 0)
    {
      if (fds[0].revents != 0)
        drain_eventfd (self->wake_fd);
      if (fds[1].revents != 0)
        klass->acknowledge (self->backend);
      if (fds[2].revents != 0)
        {
          drain_eventfd (self->timer_fd);
          self->timer_fired = TRUE;
        }
    }
}

/* One round as the pump. The lock is given up while it sleeps. */
static void
pump (PoolEngine *self, PoolWaiter *waiter, gint64 deadline)
{
  PoolBackendClass *klass = POOL_BACKEND_GET_CLASS (self->backend);
  gint64 timeout = -1;
  guint kicks;

  if (pool_engine_dispatch_locked (self))
    {
      if (self->finished != NULL)
        {
          pool_engine_unlock_and_call_back (self);
          pool_engine_lock (self);
        }
      return;
    }

  if (deadline >= 0)
    {
      /* not within MAX(), which asks twice, and the second time it may be over: a wait without an end */
      timeout = (deadline - g_get_monotonic_time ()) * 1000;
      timeout = MAX (timeout, 0);
    }
  else if (waiter->interrupted != NULL)
    timeout = LONG_SLEEP * 1000000000;
  kicks = klass->get_kicks (self->backend);
  self->pump = waiter;
  pool_engine_unlock_and_call_back (self);
  errno = 0;
  if (self->settings.threads)
    klass->wait (self->backend, kicks, timeout);
  else
    sleep_on_fds (self, klass, kicks, timeout);
  if (G_UNLIKELY (errno == EINTR) && waiter->interrupted != NULL)
    *waiter->interrupted = TRUE;
  pool_engine_lock (self);
  self->pump = NULL;
  if (G_UNLIKELY (self->restarting))
    g_cond_broadcast (&self->settled);
  if (G_UNLIKELY (self->timer_fired))
    pool_engine_check_time_locked (self);
  self->timer_fired = FALSE;
}

static void
wait_for_pump (PoolEngine *self, PoolWaiter *waiter, gint64 deadline)
{
  if (waiter->interrupted != NULL && deadline < 0)
    deadline = g_get_monotonic_time () + LONG_SLEEP * G_USEC_PER_SEC;
  append_waiter (self, waiter);
  while (!waiter->woken)
    {
      if (deadline < 0)
        g_cond_wait (&waiter->cond, &self->lock);
      else if (!g_cond_wait_until (&waiter->cond, &self->lock, deadline))
        break;
      /* a handler is what ends GLib's one sleep without anybody having woken it */
      if (waiter->interrupted != NULL && !waiter->woken)
        {
          *waiter->interrupted = TRUE;
          break;
        }
    }
  remove_waiter (self, waiter);
  waiter->woken = FALSE;
}

/* The pump leaves: somebody else takes over, or the fd is watched. */
static void
hand_over_pump (PoolEngine *self)
{
  if (self->waiters != NULL && self->pump == NULL)
    {
      self->waiters->woken = TRUE;
      g_cond_signal (&self->waiters->cond);
    }
  else
    pool_engine_watch_locked (self);
}

/*
 * Waits until @ready says so, with the lock held, or until @deadline (monotonic µs; < 0: for ever). The lock is given up
 * meanwhile. Returns what @ready said last. @interrupted: a wait of an interruptible pool may end with this set instead.
 */
static gboolean
wait_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready, gpointer data, gint64 deadline,
             gboolean *interrupted)
{
  PoolWaiter waiter = { NULL, job, { 0 }, FALSE, g_thread_self (), interrupted };
  gboolean pumped = FALSE, in_task, result;

  if (ready (data))
    return TRUE;
  if (self->orphan)
    return FALSE;
  /* a task that waits for another one must not keep that from being run */
  in_task = pool_engine_is_worker_thread (self);
  if (in_task && !pool_engine_stand_in_locked (self))
    return FALSE;

  g_cond_init (&waiter.cond);
  while (!(result = ready (data)))
    {
      if (deadline >= 0 && g_get_monotonic_time () >= deadline)
        break;
      if (interrupted != NULL && *interrupted)
        break;
      if (self->pump == NULL && self->backend != NULL && self->state != POOL_STATE_JOINED)
        {
          if (self->watched)
            POOL_BACKEND_GET_CLASS (self->backend)->arm (self->backend, FALSE);
          self->watched = FALSE;
          pumped = TRUE;
          pump (self, &waiter, deadline);
        }
      else
        wait_for_pump (self, &waiter, deadline);
    }
  /* also if it was only asked to take over, and found its own result there */
  if (pumped || self->pump == NULL)
    hand_over_pump (self);
  g_cond_clear (&waiter.cond);
  if (in_task)
    pool_engine_end_stand_in_locked (self);
  return result;
}

gboolean
pool_engine_wait_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready, gpointer data,
                         gint64 deadline)
{
  return wait_locked (self, job, ready, data, deadline, NULL);
}

gboolean
pool_engine_wait_interruptibly_locked (PoolEngine *self, PoolJob *job, PoolReadyFunc ready,
                                       gpointer data, gint64 deadline, gboolean *interrupted)
{
  gboolean result;

  *interrupted = FALSE;
  result = wait_locked (self, job, ready, data, deadline,
                        self->settings.interruptible ? interrupted : NULL);
  /* what has come counts more */
  if (result)
    *interrupted = FALSE;
  return result;
}

void
pool_engine_explain_interruption (GError **error)
{
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INTERRUPTED,
                       "A signal handler ran during the wait (interruptible is on); wait again");
}

/* --- the engine's thread --- */

/* The program is submitting at full speed: let it, for a while. */
static void
wait_while_busy (PoolEngine *self, guint *last_activity)
{
  for (guint i = 0; i < BUSY_DELAYS_MAX; i++)
    {
      guint activity = atomic_load_explicit (&self->activity, memory_order_relaxed);
      gboolean busy = activity - *last_activity > BUSY_CALLS;
      const struct timespec delay = { 0, BUSY_DELAY_MS * 1000000 };

      *last_activity = activity;
      if (!busy)
        return;
      nanosleep (&delay, NULL);
    }
}

static gboolean
look_after (PoolEngine *self, gboolean fd_ready, gboolean timer_fired)
{
  gboolean quit;

  pool_engine_lock (self);
  quit = self->thread != g_thread_self ();
  if (self->backend != NULL && self->state != POOL_STATE_JOINED)
    {
      if (fd_ready)
        POOL_BACKEND_GET_CLASS (self->backend)->acknowledge (self->backend);
      self->watched = FALSE;
      /* first what has come: a task that ended in time is not late because nobody looked */
      pool_engine_dispatch_locked (self);
      if (timer_fired)
        pool_engine_check_time_locked (self);
      /* a pump on the same fds may sleep on: what was read here armed them for it */
      if (self->pump != NULL && self->thread == NULL)
        kick_thread (self);
      pool_engine_watch_locked (self);
    }
  pool_engine_unlock (self);
  return quit;
}

/* Is nothing to be called back? Then whoever pushes something wakes the thread. */
static gboolean
may_doze (PoolEngine *self)
{
  if (pool_dispatcher_has_pending (self->dispatcher))
    return FALSE;
  atomic_store (&self->dozing, TRUE);
  if (!pool_dispatcher_has_pending (self->dispatcher))
    return TRUE;
  atomic_store (&self->dozing, FALSE);
  return FALSE;
}

typedef struct
{
  guint turn, n_pushed; /* of the dispatcher, when callbacks were found last */
  gint64 since;         /* when the first of them were, monotonic µs */
  gint64 due;           /* when they are to be called here; < 0: there are none */
} Callbacks;

static void
set_due (PoolEngine *self, Callbacks *callbacks, gint64 now, gint64 grace)
{
  guint turn = pool_dispatcher_get_turn (self->dispatcher);
  guint n_pushed = pool_dispatcher_get_n_pushed (self->dispatcher);

  if (callbacks->due < 0 || callbacks->turn != turn)
    {
      callbacks->since = now;
      callbacks->due = now + grace;
    }
  else if (callbacks->n_pushed != n_pushed)
    callbacks->due = MIN (now + grace, callbacks->since + MAX_GRACES * grace);
  callbacks->turn = turn;
  callbacks->n_pushed = n_pushed;
}

/* Calls back what its context has had the chance to, and did not. */
static void
call_back (PoolEngine *self, Callbacks *callbacks)
{
  const gint64 grace = self->settings.callback_grace * G_USEC_PER_SEC;
  gboolean called = FALSE;

  while (!may_doze (self))
    {
      gint64 now = g_get_monotonic_time ();

      set_due (self, callbacks, now, grace);
      if (called)
        callbacks->due = now + MAX (grace, CALL_BACK_AGAIN);
      if (now < callbacks->due)
        return;
      pool_fork_guard_enter_program ();
      pool_dispatcher_run (self->dispatcher);
      pool_fork_guard_leave_program ();
      called = TRUE;
    }
  callbacks->due = -1;
}

/* For poll(): until @due. */
static int
get_timeout (gint64 due)
{
  if (due < 0)
    return -1;
  return (MAX (due - g_get_monotonic_time (), 0) + 999) / 1000;
}

static gpointer
engine_thread (gpointer data)
{
  PoolEngine *self = data;
  g_autoptr (PoolMonitor) monitor = NULL;
  guint last_activity = 0;
  struct pollfd fds[4];
  Callbacks callbacks = { .due = -1 };

  pool_fork_guard_thread_begin ();
  fds[0] = (struct pollfd){ self->wake_fd, POLLIN, 0 };
  pool_engine_lock (self);
  fds[1] = (struct pollfd){ POOL_BACKEND_GET_CLASS (self->backend)->get_fd (self->backend), POLLIN, 0 };
  fds[2] = (struct pollfd){ self->timer_fd, POLLIN, 0 };
  if (self->monitor != NULL)
    monitor = pool_monitor_ref (self->monitor);
  fds[3] = (struct pollfd){ monitor != NULL ? pool_monitor_get_fd (monitor) : -1, POLLIN, 0 };
  pool_engine_unlock (self);

  for (;;)
    {
      int n;

      call_back (self, &callbacks);
      pool_fork_guard_leave ();
      n = poll (fds, G_N_ELEMENTS (fds), get_timeout (callbacks.due));
      if (n > 0 && fds[2].revents == 0)
        wait_while_busy (self, &last_activity);
      pool_fork_guard_enter ();
      atomic_store (&self->dozing, FALSE);

      if (fds[0].revents != 0)
        drain_eventfd (self->wake_fd);
      if (fds[2].revents != 0)
        drain_eventfd (self->timer_fd);
      if (fds[3].revents != 0)
        pool_engine_answer_monitor (self, monitor);
      if (look_after (self, fds[1].revents != 0, fds[2].revents != 0))
        break;
    }

  pool_fork_guard_thread_end ();
  pool_engine_unref (self);
  return NULL;
}

static gboolean
source_ready (gint fd, GIOCondition condition, gpointer user_data)
{
  look_after (user_data, TRUE, FALSE);
  return G_SOURCE_CONTINUE;
}

static gboolean
timer_ready (gint fd, GIOCondition condition, gpointer user_data)
{
  drain_eventfd (fd);
  look_after (user_data, FALSE, TRUE);
  return G_SOURCE_CONTINUE;
}

static gboolean
monitor_ready (gint fd, GIOCondition condition, gpointer user_data)
{
  PoolEngine *self = user_data;
  g_autoptr (PoolMonitor) monitor = NULL;

  pool_engine_lock (self);
  if (self->monitor != NULL)
    monitor = pool_monitor_ref (self->monitor);
  pool_engine_unlock (self);
  if (monitor != NULL)
    pool_engine_answer_monitor (self, monitor);
  return G_SOURCE_CONTINUE;
}

/* A program whose user wants to see its pools works as well without that. */
static gboolean
open_monitor (PoolEngine *self, GError **error)
{
  g_autoptr (GError) reason = NULL;
  gboolean is_asked_for = g_strcmp0 (g_getenv (POOL_MONITOR_VARIABLE), "1") == 0;

  if (self->monitor != NULL || !(self->settings.visible || is_asked_for))
    return TRUE;
  self->monitor = pool_monitor_new (&reason);
  if (self->monitor != NULL)
    return TRUE;
  if (self->settings.visible)
    {
      g_propagate_error (error, g_steal_pointer (&reason));
      return FALSE;
    }
  g_message ("%s", reason->message);
  return TRUE;
}

/* Before the start; they stay if that fails. */
gboolean
pool_engine_open_fds (PoolEngine *self, GError **error)
{
  if (!open_monitor (self, error))
    return FALSE;
  if (self->wake_fd < 0)
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->wake_fd >= 0 && self->timer_fd < 0)
    self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (self->wake_fd >= 0 && self->timer_fd >= 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No descriptors for a pool: %s", g_strerror (errno));
  return FALSE;
}

static gboolean
start_thread (PoolEngine *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  pool_fork_guard_thread_announce ();
  self->thread = g_thread_try_new ("libpool", engine_thread, pool_engine_ref (self), &local_error);
  if (self->thread != NULL)
    return TRUE;
  pool_fork_guard_thread_withdraw ();
  pool_engine_unref (self);
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No thread for a pool: %s", local_error->message);
  return FALSE;
}

static GSource *
add_source (PoolEngine *self, int fd, GUnixFDSourceFunc func)
{
  GSource *source = g_unix_fd_source_new (fd, G_IO_IN);

  /* it may be at work in one thread while another drops the pool */
  g_source_set_callback (source, (GSourceFunc) (gpointer) func, pool_engine_ref (self), (GDestroyNotify) pool_engine_unref);
  g_source_attach (source, pool_dispatcher_get_context (self->dispatcher));
  return source;
}

static void
drop_source (GSource *source)
{
  if (source == NULL)
    return;
  g_source_destroy (source);
  g_source_unref (source);
}

/* Called with the lock held, after the backend has started. */
gboolean
pool_engine_start_thread (PoolEngine *self, GError **error)
{
  if (self->settings.threads)
    return start_thread (self, error);

  self->source = add_source (self, POOL_BACKEND_GET_CLASS (self->backend)->get_fd (self->backend), source_ready);
  self->timer_source = add_source (self, self->timer_fd, timer_ready);
  if (self->monitor != NULL)
    self->monitor_source = add_source (self, pool_monitor_get_fd (self->monitor), monitor_ready);
  return TRUE;
}

/* Called with the lock held, and gives it up meanwhile: by then the pool may have started anew, with another thread. */
void
pool_engine_stop_thread_locked (PoolEngine *self)
{
  GThread *thread = g_steal_pointer (&self->thread);
  GSource *source = g_steal_pointer (&self->source);
  GSource *timer_source = g_steal_pointer (&self->timer_source);
  GSource *monitor_source = g_steal_pointer (&self->monitor_source);
  g_autoptr (PoolMonitor) monitor = g_steal_pointer (&self->monitor);

  /* a pool that has ended is not shown */
  if (monitor != NULL)
    pool_monitor_withdraw (monitor);
  if (thread == NULL && source == NULL)
    return;
  self->n_ending++;
  kick_thread (self);
  pool_engine_unlock (self);

  drop_source (source);
  drop_source (timer_source);
  drop_source (monitor_source);
  if (thread == g_thread_self ())
    g_thread_unref (thread); /* a callback in it let go of the pool: it ends by itself */
  else if (thread != NULL)
    pool_fork_guard_join (thread);

  pool_engine_lock (self);
  self->n_ending--;
  g_cond_broadcast (&self->settled);
}

/* Is this a callback in the engine's thread, or in one that does its work? */
gboolean
pool_engine_is_own_thread_locked (PoolEngine *self)
{
  return self->thread == g_thread_self () ||
         (self->pump != NULL && self->pump->thread == g_thread_self ());
}

/* Waits, for a restart, until no thread is in the old backend any more. */
void
pool_engine_settle_locked (PoolEngine *self)
{
  while (self->pump != NULL || self->n_ending > 0)
    g_cond_wait (&self->settled, &self->lock);
}
