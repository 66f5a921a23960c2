/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-guard-private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

static GRWLock guard;
static _Atomic guint n_still; /* our threads that hold, or wait for, the guard: not the program's */
static _Atomic guint n_announced, n_begun; /* our threads that were made, and that hold the guard since */
static _Atomic gint64 last_end;            /* monotonic µs: when one of ours ended */
static _Atomic guint generation;

/* The kernel lists a thread for a moment after it has ended, and after it was joined. */
#define ENDING_US (50 * 1000)

static void
count_fork (void)
{
  atomic_fetch_add (&generation, 1);
}

guint
pool_fork_generation (void)
{
  static gsize once;

  if (g_once_init_enter (&once))
    {
      pthread_atfork (NULL, NULL, count_fork);
      g_once_init_leave (&once, 1);
    }
  return atomic_load_explicit (&generation, memory_order_relaxed);
}

void
pool_fork_guard_enter (void)
{
  g_rw_lock_reader_lock (&guard);
}

void
pool_fork_guard_leave (void)
{
  g_rw_lock_reader_unlock (&guard);
}

void
pool_fork_guard_thread_announce (void)
{
  atomic_fetch_add (&n_announced, 1);
}

void
pool_fork_guard_thread_withdraw (void)
{
  atomic_fetch_sub (&n_announced, 1);
}

void
pool_fork_guard_thread_begin (void)
{
  pool_fork_guard_enter ();
  atomic_fetch_add (&n_still, 1);
  atomic_fetch_add (&n_begun, 1);
}

void
pool_fork_guard_thread_end (void)
{
  atomic_fetch_sub (&n_still, 1);
  pool_fork_guard_leave ();
  pool_fork_guard_note_end ();
}

void
pool_fork_guard_note_end (void)
{
  atomic_store (&last_end, g_get_monotonic_time ());
}

void
pool_fork_guard_enter_program (void)
{
  atomic_fetch_sub (&n_still, 1);
  pool_fork_guard_leave ();
}

void
pool_fork_guard_leave_program (void)
{
  pool_fork_guard_enter ();
  atomic_fetch_add (&n_still, 1);
}

static guint
count_threads (void)
{
  struct stat st;

  /* the kernel counts a thread as a link; without /proc nothing is known: assume the worst */
  return stat ("/proc/self/task", &st) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : G_MAXUINT16;
}

guint
pool_fork_guard_lock (void)
{
  guint n, ours;

  /* one that was made a moment ago has not got there yet */
  while (atomic_load (&n_begun) != atomic_load (&n_announced))
    g_thread_yield ();
  g_rw_lock_writer_lock (&guard);
  ours = atomic_load (&n_still);
  while ((n = count_threads ()) > ours + 1 &&
         g_get_monotonic_time () - atomic_load (&last_end) < ENDING_US)
    g_usleep (100);
  return n > ours ? n - ours : 1;
}

void
pool_fork_guard_unlock (void)
{
  g_rw_lock_writer_unlock (&guard);
}

/* Only the forking thread exists in the child. It holds the lock, and others of the parent may stand in its queue. */
void
pool_fork_guard_reset_in_child (void)
{
  g_rw_lock_init (&guard);
  atomic_store (&n_still, 0);
  atomic_store (&n_begun, atomic_load (&n_announced));
}
