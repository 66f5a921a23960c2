/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-fork-guard-private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static GRWLock guard;
static _Atomic guint n_still; /* our threads that hold, or wait for, the guard: not the program's */
static _Atomic guint n_announced, n_begun; /* our threads that were made, and that hold the guard since */
static _Atomic guint generation;
static _Thread_local gboolean holds; /* this thread is about to fork */

/*
 * Our threads that run a callback of the program. Whoever is about to fork waits for them, and none begins one meanwhile: a
 * callback allocates, and a language's runtime takes locks of its own around it.
 */
#define CALLBACKS_US (1000 * 1000)

static GMutex program_lock;
static GCond program_changed;
static guint n_in_program; /* but for those that are about to fork themselves: they stand still as well */
static guint n_forking;    /* threads that are about to fork, or wait until they can */
static _Thread_local gboolean in_program;

/*
 * The kernel lists a thread for a moment after it has ended, and after it was joined; on a busy machine that moment is long. So those of
 * ours that end leave their numbers, and whoever is about to fork waits until they are gone.
 */
#define ENDING_MAX 64
#define ENDING_US (2 * 1000 * 1000)

static GMutex ending_lock;
static pid_t ending[ENDING_MAX];
static guint n_ending;
static guint n_expected; /* told to end, and not among those yet */

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
  pool_fork_guard_note_end (FALSE);
  atomic_fetch_sub (&n_still, 1);
  pool_fork_guard_leave ();
}

void
pool_fork_guard_expect_end (void)
{
  g_mutex_lock (&ending_lock);
  n_expected++;
  g_mutex_unlock (&ending_lock);
}

void
pool_fork_guard_note_end (gboolean expected)
{
  g_mutex_lock (&ending_lock);
  if (expected)
    n_expected--;
  if (n_ending == ENDING_MAX)
    memmove (ending, ending + 1, --n_ending * sizeof *ending);
  ending[n_ending++] = gettid ();
  g_mutex_unlock (&ending_lock);
}

void
pool_fork_guard_enter_program (void)
{
  /* while it waits here it is still counted among those that stand still */
  pool_fork_guard_leave ();
  g_mutex_lock (&program_lock);
  while (n_forking > 0)
    g_cond_wait (&program_changed, &program_lock);
  n_in_program++;
  in_program = TRUE;
  atomic_fetch_sub (&n_still, 1);
  g_mutex_unlock (&program_lock);
}

void
pool_fork_guard_leave_program (void)
{
  pool_fork_guard_enter ();
  atomic_fetch_add (&n_still, 1);
  g_mutex_lock (&program_lock);
  n_in_program--;
  in_program = FALSE;
  g_cond_broadcast (&program_changed);
  g_mutex_unlock (&program_lock);
}

static void
note_forking (gboolean begins)
{
  g_mutex_lock (&program_lock);
  n_forking += begins ? 1 : -1;
  if (in_program)
    n_in_program += begins ? -1 : 1;
  g_cond_broadcast (&program_changed);
  g_mutex_unlock (&program_lock);
}

/*
 * Takes the guard when no callback runs. One that goes on for long, or waits for this thread, is waited for until @end: it
 * counts as a thread of the program then.
 */
static void
lock_beside_no_callback (gint64 end)
{
  note_forking (TRUE);
  g_mutex_lock (&program_lock);
  for (;;)
    {
      while (n_in_program > 0 && g_cond_wait_until (&program_changed, &program_lock, end))
        ;
      g_mutex_unlock (&program_lock);
      g_rw_lock_writer_lock (&guard);
      g_mutex_lock (&program_lock);
      /* another that forked in a callback may have gone on with it */
      if (n_in_program == 0 || g_get_monotonic_time () >= end)
        break;
      g_rw_lock_writer_unlock (&guard);
    }
  g_mutex_unlock (&program_lock);
  holds = TRUE;
}

static guint
count_threads (void)
{
  struct stat st;

  /* the kernel counts a thread as a link; without /proc nothing is known: assume the worst */
  return stat ("/proc/self/task", &st) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : G_MAXUINT16;
}

/* Is any of our threads still listed that has ended, or is about to? */
static gboolean
any_ending (void)
{
  char path[64];
  struct stat st;
  guint n = 0;

  g_mutex_lock (&ending_lock);
  for (guint i = 0; i < n_ending; i++)
    {
      g_snprintf (path, sizeof path, "/proc/self/task/%d", (int) ending[i]);
      if (stat (path, &st) == 0)
        ending[n++] = ending[i];
    }
  n_ending = n;
  n += n_expected;
  g_mutex_unlock (&ending_lock);
  return n > 0;
}

guint
pool_fork_guard_lock (void)
{
  gint64 end = g_get_monotonic_time () + ENDING_US;
  guint n, ours;

  /* one that was made a moment ago has not got there yet */
  while (atomic_load (&n_begun) != atomic_load (&n_announced))
    g_thread_yield ();
  lock_beside_no_callback (g_get_monotonic_time () + CALLBACKS_US);
  ours = atomic_load (&n_still);
  for (;;)
    {
      /* first whether any is about to go, then how many there are: not the other way round, as it may go in between */
      gboolean wait = any_ending ();

      n = count_threads ();
      if (n <= ours + 1 || !wait || g_get_monotonic_time () >= end)
        break;
      g_usleep (100);
    }
  return n > ours ? n - ours : 1;
}

void
pool_fork_guard_unlock (void)
{
  holds = FALSE;
  g_rw_lock_writer_unlock (&guard);
  note_forking (FALSE);
}

void
pool_fork_guard_join (GThread *thread)
{
  gboolean held = holds;

  if (held)
    pool_fork_guard_unlock ();
  g_thread_join (thread);
  if (held)
    lock_beside_no_callback (g_get_monotonic_time ());
}

/* Only the forking thread exists in the child. It holds the lock, and others of the parent may stand in its queue. */
void
pool_fork_guard_reset_in_child (void)
{
  holds = in_program = FALSE;
  g_rw_lock_init (&guard);
  g_mutex_init (&program_lock);
  g_cond_init (&program_changed);
  n_in_program = n_forking = 0;
  g_mutex_init (&ending_lock);
  n_ending = n_expected = 0;
  atomic_store (&n_still, 0);
  atomic_store (&n_begun, atomic_load (&n_announced));
}
