/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-agent-private.h"

#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-init.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* After how long an agent that nobody answers says hello again, µs; twice as long each time, up to the last. */
#define HELLO_US (500 * 1000)
#define HELLO_MAX_US (8 * 1000 * 1000)
/* A pool that was not heard of for so many of its heartbeats is gone. */
#define SILENT_MAX 4

/* So often without a look at signals. */
#define WORK_MAX 256

/* How long to wait for a worker's answer without sleeping; and when not to, any more. */
#define SPIN_US 60
#define SPIN_WON 2
#define SPIN_LOST 8
#define SPIN_CREDIT_MAX 32
#define SPIN_TRY 32

enum
{
  FD_TRANSPORT,
  FD_SIGNAL,
  FD_PARENT,
  FD_LOCAL,
  N_FDS,
};

/* --- what is said --- */

static void
flush (PoolAgent *self)
{
  if (self->session == 0)
    return;
  pool_wire_write_returns (&self->out);
  if (pool_wire_writer_is_empty (&self->out))
    return;
  pool_wire_finish (&self->out, self->session, self->n_sent++);
  /* if that fails the pool sees that something is missing, or hears nothing */
  self->transport->send (self->transport, &self->out);
  pool_wire_writer_reset (&self->out);
}

/* The pool may be busy with so much for as long, and say nothing meanwhile. */
void
pool_agent_announce (PoolAgent *self, guint64 n_bytes)
{
  self->given_until = MAX (self->given_until, g_get_monotonic_time ()) + pool_wire_get_time (n_bytes);
  pool_wire_write (&self->out, &(PoolWireRecord){ .type = POOL_WIRE_PING, .id = n_bytes }, NULL, 0, NULL);
  flush (self);
}

void
pool_agent_say (PoolAgent *self, const PoolWireRecord *record, gconstpointer data, gsize size, GBytes *bytes)
{
  if (size >= POOL_WIRE_LONG)
    pool_agent_announce (self, size);
  pool_wire_write (&self->out, record, data, size, bytes);
  if (pool_wire_writer_is_full (&self->out))
    flush (self);
}

void
pool_agent_note (PoolAgent *self, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  if (!self->settings->is_verbose)
    {
      g_debug ("agent %u: %s", self->settings->number, text);
      return;
    }
  g_printerr ("%s: %s\n", g_get_prgname (), text);
}

static void
greet (PoolAgent *self, gint64 now)
{
  self->is_greeted = pool_agent_say_hello (self);
  self->hello_at = now + self->hello_interval;
  if (self->is_greeted)
    self->hello_interval = MIN (2 * self->hello_interval, HELLO_MAX_US);
}

/* What is said from now on is said to a pool that knows nothing of what was before. */
static void
begin_greeting (PoolAgent *self)
{
  self->state = POOL_AGENT_GREETING;
  self->given_until = 0;
  self->lost_at = g_get_monotonic_time ();
  self->nonce = (guint64) g_random_int () << 32 | g_random_int ();
  self->hello_interval = HELLO_US;
}

/* There is no pool any more: another one is looked for, or the same when it can be reached again. */
static void
lose_touch (PoolAgent *self, const char *why)
{
  pool_agent_note (self, "no touch with %s: %s", self->transport->name, why);
  pool_agent_end (self);
  if (self->state == POOL_AGENT_DRAINING || self->settings->retry == 0)
    {
      self->state = POOL_AGENT_ENDED;
      return;
    }
  begin_greeting (self);
  self->transport->reconnect (self->transport);
  greet (self, self->lost_at);
}

void
pool_agent_hear (PoolAgent *self)
{
  self->heard_at = g_get_monotonic_time ();
}

void
pool_agent_leave (PoolAgent *self, gboolean ends)
{
  pool_agent_end (self);
  if (ends)
    {
      self->state = POOL_AGENT_ENDED;
      return;
    }
  begin_greeting (self);
  self->is_greeted = FALSE;
  self->hello_at = self->lost_at + HELLO_US;
  if (self->transport->forget_pool != NULL)
    self->transport->forget_pool (self->transport);
}

/* --- what is heard --- */

static void
take_welcome (PoolAgent *self, guint64 session, const PoolWireRecord *record, const guint8 *data)
{
  g_autoptr (GVariant) welcome = pool_wire_read_value (data, record->size, "a{sv}", NULL);

  if (welcome == NULL)
    return;
  pool_agent_end (self);
  pool_agent_begin (self, session, record->worker, welcome);
  self->n_received = 1;
  pool_agent_note (self, "works for %s with %u workers", self->transport->name, self->settings->n_workers);
}

static void
take_refusal (PoolAgent *self, const PoolWireRecord *record, const guint8 *data)
{
  g_autofree char *why = g_utf8_make_valid ((const char *) data, record->size);

  if (self->state != POOL_AGENT_GREETING || self->settings->stays)
    return;
  /* one that the pool has started itself is late */
  if (self->settings->number == 0)
    g_printerr ("%s: %s refused this agent: %s\n", g_get_prgname (), self->transport->name, why);
  self->status = 1;
  self->state = POOL_AGENT_ENDED;
}

/* Of no session: what is said to strangers. */
static void
take_first (PoolAgent *self, const PoolWireRecord *record, const guint8 *data)
{
  if (record->type == POOL_WIRE_REFUSED)
    take_refusal (self, record, data);
  else if (record->type == POOL_WIRE_RESET && self->session != 0)
    lose_touch (self, "messages were lost on the way");
}

void
pool_agent_take_message (PoolAgent *self, GBytes *const *parts, guint n_parts)
{
  g_auto (PoolWireReader) reader = { 0 };
  PoolWireRecord record;
  const guint8 *data;
  GBytes *bytes;

  if (!pool_wire_parse (&reader, parts, n_parts, FALSE, self->session != 0 ? &self->share : NULL, NULL))
    return;
  self->heard_at = g_get_monotonic_time ();
  self->n_announced = 0;
  if (reader.session == 0 || (reader.serial == 0 && reader.session != self->session))
    {
      if (!pool_wire_next (&reader, &record, &data, &bytes))
        return;
      if (reader.session == 0)
        {
          take_first (self, &record, data);
          return;
        }
      if (record.type == POOL_WIRE_WELCOME)
        take_welcome (self, reader.session, &record, data);
    }
  else if (reader.session != self->session)
    return;
  else if (reader.serial != self->n_received++)
    {
      lose_touch (self, "messages were lost on the way");
      return;
    }
  while (self->local != NULL && pool_wire_next (&reader, &record, &data, &bytes))
    pool_agent_take_record (self, &record, data, bytes);
}

/* --- time --- */

/* Monotonic µs at which the pool has been silent for too long. */
static gint64
get_silent_at (const PoolAgent *self)
{
  return MAX (self->heard_at + pool_wire_get_time (self->n_announced), self->given_until) + SILENT_MAX * self->heartbeat;
}

/* What came while this was busy with something else has not been listened to yet. */
static gboolean
is_silent (PoolAgent *self, gint64 now)
{
  if (now <= get_silent_at (self))
    return FALSE;
  self->transport->receive (self->transport, self);
  return self->session != 0 && self->state != POOL_AGENT_GREETING && g_get_monotonic_time () > get_silent_at (self);
}

static void
check_touch (PoolAgent *self, gint64 now)
{
  if (self->state == POOL_AGENT_GREETING)
    {
      if (self->settings->retry >= 0 && now - self->lost_at > MAX (self->settings->retry * G_USEC_PER_SEC, HELLO_US))
        {
          g_printerr ("%s: no pool answers at %s\n", g_get_prgname (), self->transport->name);
          self->status = 1;
          self->state = POOL_AGENT_ENDED;
        }
      else if (now >= self->hello_at)
        greet (self, now);
    }
  else if (self->session != 0 && self->heartbeat > 0 && is_silent (self, now))
    lose_touch (self, "nothing is heard of it");
}

static void
check_time (PoolAgent *self)
{
  gint64 now = g_get_monotonic_time ();

  check_touch (self, now);
  if (self->look_at != 0 && now >= self->look_at)
    pool_agent_look (self, now);
  if (self->memory_at != 0 && now >= self->memory_at)
    pool_agent_check_memory (self);
}

/* ms until something is to be done; -1: nothing is */
static int
time_left (PoolAgent *self)
{
  gint64 now = g_get_monotonic_time (), next = G_MAXINT64;

  if (self->state == POOL_AGENT_GREETING)
    next = MIN (next, self->hello_at);
  else if (self->session != 0 && self->heartbeat > 0)
    next = MIN (next, get_silent_at (self));
  if (self->look_at != 0)
    next = MIN (next, self->look_at);
  if (self->memory_at != 0)
    next = MIN (next, self->memory_at);
  if (next == G_MAXINT64)
    return -1;
  return CLAMP ((next - now + 999) / 1000, 0, 60 * 1000);
}

/* --- signals --- */

static void
take_signal (PoolAgent *self, guint32 signum)
{
  switch (self->state)
    {
    case POOL_AGENT_SERVING:
      pool_agent_note (self, "signal %u (%s): ends when what runs has ended", signum, g_strsignal (signum));
      pool_agent_drain (self);
      return;
    case POOL_AGENT_STOPPING:
      /* it ends with the pool, and waits for no other */
      self->state = POOL_AGENT_DRAINING;
      return;
    case POOL_AGENT_DRAINING:
      if (signum == SIGUSR1)
        return;
      pool_agent_end (self);
      break;
    default:
      break;
    }
  self->state = POOL_AGENT_ENDED;
}

/* The first time what runs may end, the second time not. */
static void
take_signals (PoolAgent *self, int fd)
{
  struct signalfd_siginfo info;

  while (read (fd, &info, sizeof info) == sizeof info)
    take_signal (self, info.ssi_signo);
}

static int
open_signals (void)
{
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGHUP);
  sigaddset (&signals, SIGUSR1);
  sigprocmask (SIG_BLOCK, &signals, NULL);
  return signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The process that started this one; a thread of it that ends is not its end. */
static int
open_parent (const PoolAgentSettings *settings)
{
  int fd = settings->parent > 0 ? (int) syscall (SYS_pidfd_open, settings->parent, 0) : -1;

  return settings->parent > 0 && getppid () != settings->parent ? -2 : fd;
}

/* --- the loop --- */

/* The pool has ended, or its agent is to go, and no worker is left. */
static void
finish_session (PoolAgent *self)
{
  gboolean drains = self->state == POOL_AGENT_DRAINING;

  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_BYE }, NULL, 0, NULL);
  flush (self);
  pool_agent_end (self);
  if (self->transport->forget_pool != NULL)
    self->transport->forget_pool (self->transport);
  self->state = POOL_AGENT_ENDED;
  if (drains || !self->settings->stays)
    return;
  begin_greeting (self);
  self->is_greeted = self->transport->has_pool == NULL;
  self->hello_at = self->lost_at + HELLO_US;
}

static gboolean
work (PoolAgent *self)
{
  gboolean any = self->transport->receive (self->transport, self);

  if (self->local == NULL)
    {
      /* it may be connected by now */
      if (self->state == POOL_AGENT_GREETING && !self->is_greeted &&
          (self->transport->has_pool == NULL || self->transport->has_pool (self->transport)))
        greet (self, g_get_monotonic_time ());
      flush (self);
      if (self->state == POOL_AGENT_STOPPING)
        finish_session (self);
      return any;
    }
  if (self->pending.length > 0)
    pool_agent_submit (self);
  any |= POOL_BACKEND_GET_CLASS (self->local)->dispatch (self->local);
  if (any && self->pending.length > 0)
    pool_agent_submit (self);
  check_time (self);
  flush (self);
  if (self->state >= POOL_AGENT_DRAINING && self->state < POOL_AGENT_ENDED && self->local != NULL &&
      POOL_BACKEND_GET_CLASS (self->local)->count_workers (self->local) == 0)
    finish_session (self);
  return any;
}

/*
 * A worker is about to answer: to sleep now and be woken takes longer than to wait for it. Tasks that take longer show soon, and are
 * slept for.
 */
static gboolean
spin (PoolAgent *self)
{
  gint64 until;

  if (self->submitted_at == 0 || !self->may_spin)
    return FALSE;
  until = self->submitted_at + SPIN_US;
  self->submitted_at = 0;
  if (self->spin_credit <= 0 && ++self->n_not_spun % SPIN_TRY != 0)
    return FALSE;
  do
    {
      if (POOL_BACKEND_GET_CLASS (self->local)->dispatch (self->local))
        {
          /* where CPUs are scarce, somebody else had this one meanwhile */
          if (g_get_monotonic_time () < until)
            self->spin_credit = MIN (self->spin_credit + SPIN_WON, SPIN_CREDIT_MAX);
          else
            self->spin_credit = MAX (self->spin_credit - SPIN_LOST, 0);
          flush (self);
          return TRUE;
        }
      sched_yield ();
    }
  while (g_get_monotonic_time () < until);
  self->spin_credit = MAX (self->spin_credit - SPIN_LOST, 0);
  return FALSE;
}

/* FALSE: something has come meanwhile. */
static gboolean
may_sleep (PoolAgent *self)
{
  if (self->local != NULL && POOL_BACKEND_GET_CLASS (self->local)->arm (self->local, TRUE))
    return FALSE;
  return !self->transport->has_message (self->transport);
}

static void
sleep_until_needed (PoolAgent *self, struct pollfd *fds)
{
  PoolBackendClass *klass = self->local != NULL ? POOL_BACKEND_GET_CLASS (self->local) : NULL;

  fds[FD_TRANSPORT].fd = self->transport->fd;
  fds[FD_LOCAL].fd = klass != NULL ? klass->get_fd (self->local) : -1;
  if (poll (fds, N_FDS, may_sleep (self) ? time_left (self) : 0) <= 0)
    return;
  if (fds[FD_LOCAL].revents != 0)
    klass->acknowledge (self->local);
  if (fds[FD_SIGNAL].revents != 0)
    take_signals (self, fds[FD_SIGNAL].fd);
  if (fds[FD_PARENT].revents != 0)
    {
      pool_agent_end (self);
      self->state = POOL_AGENT_ENDED;
    }
}

int
pool_agent_run (PoolAgentTransport *transport, const PoolAgentSettings *settings)
{
  PoolAgent self = { .transport = transport, .settings = settings, .may_spin = pool_cpu_count () > 1 };
  struct pollfd fds[N_FDS] = { { transport->fd, POLLIN, 0 },
                               { open_signals (), POLLIN, 0 },
                               { open_parent (settings), POLLIN, 0 },
                               { -1, POLLIN, 0 } };

  pool_wire_writer_init (&self.out);
  begin_greeting (&self);
  greet (&self, self.lost_at);
  if (fds[FD_PARENT].fd == -2)
    self.state = POOL_AGENT_ENDED;
  while (self.state != POOL_AGENT_ENDED)
    {
      for (guint i = 0; i < WORK_MAX && work (&self) && self.state != POOL_AGENT_ENDED; i++)
        ;
      check_time (&self);
      if (self.local != NULL && spin (&self))
        continue;
      if (self.state != POOL_AGENT_ENDED)
        sleep_until_needed (&self, fds);
    }

  pool_agent_end (&self);
  pool_wire_writer_clear (&self.out);
  for (guint i = FD_SIGNAL; i <= FD_PARENT; i++)
    if (fds[i].fd >= 0)
      close (fds[i].fd);
  return self.status;
}
