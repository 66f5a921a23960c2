/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-backoff.h"

#include "libpool/pool-error.h"
#include "libpool/pool-init.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How long it is asked without a pause, µs; others get the CPU in between. */
#define SPIN_US 30
/*
 * The pauses after that, µs: a share of the time in which nothing has happened, so that what takes long is noticed little later than
 * it could be. A process that wakes each ms takes 4.5 % of a CPU of a virtual machine, whatever it does then; each 2 ms, 2.3 %.
 */
#define INTERVAL_MIN 20
#define INTERVAL_MAX 2000
#define SHARE 4

/* The same, µs, where somebody rings: a bell may be heard before what it was rung for is there, or be lost. */
static const guint rung_intervals[] = { 0, 100, 1000, 10000, 10000, 50000 };

gboolean
pool_mpi_backoff_init (PoolMpiBackoff *self, GError **error)
{
  *self = (PoolMpiBackoff){ .epoll_fd = -1,
                            .timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                            .may_spin = pool_cpu_count () > 1 };
  /* else each pause lasts 50 µs longer */
  prctl (PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  if (self->timer_fd >= 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "No timer for a pool: %s", g_strerror (errno));
  return FALSE;
}

void
pool_mpi_backoff_clear (PoolMpiBackoff *self)
{
  if (self->timer_fd >= 0)
    close (self->timer_fd);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  self->timer_fd = self->epoll_fd = -1;
}

int
pool_mpi_backoff_get_fd (PoolMpiBackoff *self, int fd)
{
  struct epoll_event event = { .events = EPOLLIN };

  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0)
    return self->timer_fd;
  epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, self->timer_fd, &event);
  if (fd >= 0)
    epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event);
  return self->epoll_fd;
}

void
pool_mpi_backoff_reset (PoolMpiBackoff *self)
{
  self->active_at = g_get_monotonic_time ();
  self->n_asked = 0;
}

/* Anew makes it unreadable again. */
static void
set_timer (PoolMpiBackoff *self, gint64 now, gint64 interval)
{
  const struct itimerspec spec = { .it_value.tv_nsec = interval * 1000 };

  timerfd_settime (self->timer_fd, 0, &spec, NULL);
  self->due_at = now + interval;
}

gboolean
pool_mpi_backoff_next (PoolMpiBackoff *self, gboolean has_bells)
{
  gint64 now = g_get_monotonic_time (), elapsed = now - self->active_at;

  if (has_bells)
    {
      gint64 interval = rung_intervals[MIN (self->n_asked, G_N_ELEMENTS (rung_intervals) - 1)];

      /* who was woken by something else has not waited for long */
      if (now < self->due_at && now + interval >= self->due_at)
        return FALSE;
      self->n_asked++;
      if (interval > 0)
        set_timer (self, now, interval);
      return interval == 0;
    }
  if (self->may_spin && elapsed < SPIN_US)
    {
      sched_yield ();
      return TRUE;
    }
  set_timer (self, now, CLAMP (elapsed / SHARE, INTERVAL_MIN, INTERVAL_MAX));
  return FALSE;
}
