/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "unit-common.h"

#include "libpool/pool-fork-guard-private.h"

#include <stdatomic.h>
#include <sys/wait.h>

/* Threads that are the library's, as that of an engine: they run library code, sleep, and call the program back. */

typedef struct
{
  GThread *thread;
  GFunc callback;
  _Atomic gboolean in_callback, end;
  _Atomic guint n_callbacks;
} Caller;

static gpointer
call_back (gpointer data)
{
  Caller *self = data;

  pool_fork_guard_thread_begin ();
  while (!atomic_load (&self->end))
    {
      pool_fork_guard_enter_program ();
      atomic_store (&self->in_callback, TRUE);
      self->callback (self, NULL);
      atomic_fetch_add (&self->n_callbacks, 1);
      atomic_store (&self->in_callback, FALSE);
      pool_fork_guard_leave_program ();
    }
  pool_fork_guard_thread_end ();
  return NULL;
}

static void
start (Caller *self, GFunc callback)
{
  self->callback = callback;
  pool_fork_guard_thread_announce ();
  self->thread = g_thread_new ("caller", call_back, self);
}

static void
stop (Caller *self)
{
  atomic_store (&self->end, TRUE);
  g_thread_join (self->thread);
}

static void
await_callbacks (Caller *self, guint n)
{
  while (atomic_load (&self->n_callbacks) < n)
    g_usleep (100);
}

/* A child in which any of them was in a callback could inherit a lock that nobody releases: it says so. */
static void
fork_once (Caller *callers, guint n)
{
  guint n_threads = pool_fork_guard_lock ();
  pid_t pid = fork ();
  int status;

  if (pid == 0)
    {
      for (guint i = 0; i < n; i++)
        if (atomic_load (&callers[i].in_callback))
          _exit (1);
      _exit (0);
    }
  pool_fork_guard_unlock ();
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  if (!UNIT_TSAN) /* it has a thread of its own */
    g_assert_cmpuint (n_threads, ==, 1);
}

static void
work (gpointer caller, gpointer unused)
{
  for (guint i = 0; i < 100; i++)
    {
      gpointer block = g_malloc (64);

      g_free (block);
    }
}

static void
test_no_callback_runs (void)
{
  static Caller callers[3];

  unit_watchdog (60);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    start (&callers[i], work);
  for (guint i = 0; i < 200; i++)
    {
      guint before = atomic_load (&callers[i % G_N_ELEMENTS (callers)].n_callbacks);

      fork_once (callers, G_N_ELEMENTS (callers));
      /* and they go on */
      await_callbacks (&callers[i % G_N_ELEMENTS (callers)], before + 1);
    }
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    stop (&callers[i]);
  unit_watchdog (0);
}

static void
wait_for_end (gpointer caller, gpointer unused)
{
  while (!atomic_load (&((Caller *) caller)->end))
    g_usleep (1000);
}

/* It may wait for whoever is about to fork. */
static void
test_one_that_does_not_end (void)
{
  static Caller caller;
  guint n_threads;

  unit_watchdog (60);
  start (&caller, wait_for_end);
  while (!atomic_load (&caller.in_callback))
    g_usleep (100);
  n_threads = pool_fork_guard_lock ();
  pool_fork_guard_unlock ();
  g_assert_cmpuint (n_threads, >=, 2);
  stop (&caller);
  unit_watchdog (0);
}

static void
lock_and_unlock (gpointer caller, gpointer unused)
{
  pool_fork_guard_lock ();
  pool_fork_guard_unlock ();
}

/* None of those waits for the other, or for itself. */
static void
test_callbacks_that_fork (void)
{
  static Caller callers[2];
  const gint64 begin = g_get_monotonic_time ();

  unit_watchdog (60);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    start (&callers[i], lock_and_unlock);
  for (guint i = 0; i < 50; i++)
    {
      pool_fork_guard_lock ();
      pool_fork_guard_unlock ();
    }
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    await_callbacks (&callers[i], 50);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 30 * G_USEC_PER_SEC);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    stop (&callers[i]);
  unit_watchdog (0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fork-guard/no-callback-runs", test_no_callback_runs);
  g_test_add_func ("/fork-guard/one-that-does-not-end", test_one_that_does_not_end);
  g_test_add_func ("/fork-guard/callbacks-that-fork", test_callbacks_that_fork);
  return g_test_run ();
}
