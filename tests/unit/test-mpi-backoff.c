/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-mpi-backoff.h"
#include "unit-common.h"

#include <poll.h>
#include <sys/timerfd.h>

static PoolMpiBackoff backoff;

static void
set_up (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_mpi_backoff_init (&backoff, &error));
  g_assert_no_error (error);
  unit_watchdog (60);
}

static void
tear_down (void)
{
  pool_mpi_backoff_clear (&backoff);
  unit_watchdog (0);
}

/* For how long somebody would sleep, µs, as if he did: the clock of a busy machine says nothing. */
static gint64
get_interval (void)
{
  return backoff.due_at - g_get_monotonic_time ();
}

static void
wait_until_due (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  g_assert_cmpint (poll (&poll_fd, 1, -1), ==, 1);
}

/* Without bells: first without a pause, then in intervals that grow with the time in which nothing has happened. */
static void
test_growth (void)
{
  set_up ();
  pool_mpi_backoff_reset (&backoff);
  while (pool_mpi_backoff_next (&backoff, FALSE))
    ;
  g_assert_cmpint (get_interval (), <=, 2000);
  wait_until_due (backoff.timer_fd);
  /* as if nothing had happened for long */
  backoff.active_at -= G_USEC_PER_SEC;
  g_assert_false (pool_mpi_backoff_next (&backoff, FALSE));
  g_assert_cmpint (get_interval (), <=, 2000);
  wait_until_due (backoff.timer_fd);
  g_assert_cmpint (get_interval (), <=, 0);
  tear_down ();
}

static void
test_one_cpu (void)
{
  set_up ();
  backoff.may_spin = FALSE;
  pool_mpi_backoff_reset (&backoff);
  g_assert_false (pool_mpi_backoff_next (&backoff, FALSE));
  wait_until_due (backoff.timer_fd);
  tear_down ();
}

/* With bells: once more at once, as a message may come behind its bell; then ever more rarely. */
static void
test_bells (void)
{
  const gint64 most[] = { 100, 1000, 10000, 10000, 50000, 50000 };

  set_up ();
  pool_mpi_backoff_reset (&backoff);
  g_assert_true (pool_mpi_backoff_next (&backoff, TRUE));
  for (guint i = 0; i < G_N_ELEMENTS (most); i++)
    {
      g_assert_false (pool_mpi_backoff_next (&backoff, TRUE));
      g_assert_cmpint (get_interval (), <=, most[i]);
      wait_until_due (backoff.timer_fd);
      g_assert_cmpint (get_interval (), <=, 0);
    }
  pool_mpi_backoff_reset (&backoff);
  g_assert_true (pool_mpi_backoff_next (&backoff, TRUE));
  tear_down ();
}

/* Who is woken by something else before the time has come does not wait anew from then on; who is rung for waits less. */
static void
test_woken_early (void)
{
  gint64 due_at;

  set_up ();
  backoff.n_asked = 10;
  g_assert_false (pool_mpi_backoff_next (&backoff, TRUE));
  /* that it is far away, however slow the machine */
  due_at = backoff.due_at = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
  backoff.n_asked = 0;
  g_assert_true (pool_mpi_backoff_next (&backoff, TRUE));
  g_assert_false (pool_mpi_backoff_next (&backoff, TRUE));
  g_assert_cmpint (backoff.due_at, <, due_at);

  due_at = backoff.due_at = g_get_monotonic_time () + 5000;
  backoff.n_asked = 10;
  if (!pool_mpi_backoff_next (&backoff, TRUE) && g_get_monotonic_time () < due_at)
    g_assert_cmpint (backoff.due_at, ==, due_at);
  tear_down ();
}

static void
test_descriptor (void)
{
  int pipes[2], fd;
  struct itimerspec never = { 0 };

  set_up ();
  g_assert_cmpint (pipe (pipes), ==, 0);
  fd = pool_mpi_backoff_get_fd (&backoff, pipes[0]);
  g_assert_cmpint (fd, ==, backoff.epoll_fd);
  g_assert_cmpint (write (pipes[1], "x", 1), ==, 1);
  wait_until_due (fd);
  close (pipes[1]);
  close (pipes[0]);
  g_assert_cmpint (timerfd_settime (backoff.timer_fd, 0, &never, NULL), ==, 0);
  backoff.may_spin = FALSE;
  g_assert_false (pool_mpi_backoff_next (&backoff, FALSE));
  wait_until_due (fd);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mpi-backoff/growth", test_growth);
  g_test_add_func ("/mpi-backoff/one-cpu", test_one_cpu);
  g_test_add_func ("/mpi-backoff/bells", test_bells);
  g_test_add_func ("/mpi-backoff/woken-early", test_woken_early);
  g_test_add_func ("/mpi-backoff/descriptor", test_descriptor);
  return g_test_run ();
}
