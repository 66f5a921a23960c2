/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "ring-common.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * One manager and workers that are processes, each of which is killed at some instruction or other: a timer of its own
 * sends the signal. Each task is delivered once, and nobody waits for what does not come.
 */

#define MAX_WORKERS 4

typedef struct
{
  pid_t pid;
  int pidfd;
} Worker;

typedef struct
{
  RingFixture fixture;
  Worker workers[MAX_WORKERS];
  guint n_workers;
  gboolean mortal;
  guint32 incarnation;
  guint32 serial;
  guint32 n_tasks;
  guint32 next;       /* task that has not been put in yet */
  GArray *again;      /* tasks that are to be put in again */
  guint64 *handles;   /* of the last hand-out, by task */
  guint8 *delivered;  /* by task */
  guint32 n_delivered;
  guint n_deaths, n_lost, n_orphans;
  guint64 random;
} Pool;

/* --- a worker --- */

/* Some come to an end before they have begun, some live long enough for many tasks. */
static void
die_some_time (guint64 *random)
{
  struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
  struct itimerspec when = { .it_value.tv_nsec = 1 + unit_random (random) % 200000 };
  timer_t timer;

  when.it_value.tv_nsec <<= unit_random (random) % 7;
  if (timer_create (CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime (timer, 0, &when, NULL) != 0)
    _exit (3);
}

static void
worker_main (Pool *pool, guint index, guint64 random)
{
  PoolRingWorker worker;
  PoolRingSlot *slot;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (pool->mortal)
    die_some_time (&random);
  pool_ring_worker_attach (&worker, pool->fixture.memory, index, pool->fixture.event_fd);
  ring_say_started (&worker);
  while ((slot = pool_ring_claim (&worker)) != NULL)
    {
      for (guint n = unit_random (&random) % 512; n > 0; n--)
        pool_cpu_relax ();
      ring_reply (&worker, slot);
    }
  _exit (0);
}

static void
start_worker (Pool *self, guint index)
{
  Worker *worker = &self->workers[index];
  guint64 seed = unit_random_seed ();

  pool_ring_worker_add (&self->fixture.ring, index, ++self->incarnation);
  worker->pid = fork ();
  g_assert_cmpint (worker->pid, >=, 0);
  if (worker->pid == 0)
    worker_main (self, index, seed);
  worker->pidfd = syscall (SYS_pidfd_open, worker->pid, 0);
  g_assert_cmpint (worker->pidfd, >=, 0);
}

/* --- the manager --- */

static void
pool_init_ring (Pool *self, guint n_slots, guint n_results, guint n_workers, guint32 n_tasks,
                gboolean mortal)
{
  unit_watchdog (100);
  memset (self, 0, sizeof *self);
  ring_fixture_init (&self->fixture, n_slots, n_results, MAX_WORKERS, TRUE);
  self->n_workers = n_workers;
  self->mortal = mortal;
  self->n_tasks = n_tasks;
  self->again = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->handles = g_new0 (guint64, n_tasks);
  self->delivered = g_new0 (guint8, n_tasks);
  self->random = unit_random_seed ();
  for (guint i = 0; i < n_workers; i++)
    start_worker (self, i);
}

static gboolean
put_task (Pool *self, guint32 task)
{
  guint64 handle = (guint64) (self->serial + 1) << 32 | task;

  if (!ring_put (&self->fixture, handle, NULL))
    return FALSE;
  self->serial++;
  self->handles[task] = handle;
  return TRUE;
}

static void
put_tasks (Pool *self, guint n)
{
  for (; n > 0; n--)
    if (self->again->len > 0)
      {
        if (!put_task (self, g_array_index (self->again, guint32, self->again->len - 1)))
          break;
        g_array_set_size (self->again, self->again->len - 1);
      }
    else if (self->next == self->n_tasks || !put_task (self, self->next))
      break;
    else
      self->next++;
  pool_ring_publish (&self->fixture.ring);
}

static guint
drain_worker (Pool *self, guint index)
{
  PoolRingResult result;
  guint n = 0;

  while (pool_ring_next_result (&self->fixture.ring, index, &result))
    {
      guint32 task = (guint32) result.handle;

      n++;
      if (result.kind & POOL_RING_MESSAGE)
        {
          pool_ring_worker_up (&self->fixture.ring, index);
          continue;
        }
      g_assert_cmpuint (task, <, self->n_tasks);
      g_assert_cmpuint (self->handles[task], ==, result.handle);
      g_assert_cmpuint (self->delivered[task]++, ==, 0);
      self->n_delivered++;
      ring_accept (&self->fixture, &result);
    }
  if (n > 0)
    pool_ring_consumed (&self->fixture.ring, index);
  return n;
}

static guint
drain (Pool *self)
{
  guint n = 0;

  for (guint i = 0; i < self->n_workers; i++)
    n += drain_worker (self, i);
  return n;
}

static void
put_again (Pool *self, guint index)
{
  guint32 task = (guint32) self->fixture.ring.slots[index].handle;

  g_assert_cmpuint (self->delivered[task], ==, 0);
  pool_ring_release (&self->fixture.ring, index);
  g_array_append_val (self->again, task);
}

/* First what it has delivered, then what it was in, then what it had set aside; then another takes its place. */
static void
bury_worker (Pool *self, guint index)
{
  PoolRing *ring = &self->fixture.ring;
  guint orphan;
  int slot;

  self->n_deaths++;
  drain_worker (self, index);
  slot = pool_ring_worker_reap (ring, index);
  if (slot >= 0)
    {
      put_again (self, slot);
      self->n_lost++;
    }
  while (pool_ring_next_orphan (ring, &orphan))
    {
      put_again (self, orphan);
      self->n_orphans++;
    }
  close (self->workers[index].pidfd);
  start_worker (self, index);
}

static gboolean
bury_the_dead (Pool *self)
{
  gboolean any = FALSE;

  for (guint i = 0; i < self->n_workers; i++)
    {
      int status;

      if (waitpid (self->workers[i].pid, &status, WNOHANG) != self->workers[i].pid)
        continue;
      /* not by an assertion, nor otherwise by itself */
      g_assert_true (WIFSIGNALED (status));
      g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
      bury_worker (self, i);
      any = TRUE;
    }
  return any;
}

static void
pool_finish (Pool *self)
{
  PoolRing *ring = &self->fixture.ring;

  g_test_message ("%u deaths, %u tasks lost and done again, %u orphans", self->n_deaths, self->n_lost,
                  self->n_orphans);
  for (guint32 i = 0; i < self->n_tasks; i++)
    g_assert_cmpuint (self->delivered[i], ==, 1);
  g_assert_cmpuint (pool_ring_room (ring), ==, ring->header->n_slots);

  /* whoever lives hears that it is to end */
  pool_ring_stop (ring);
  for (guint i = 0; i < self->n_workers; i++)
    {
      int status;

      g_assert_cmpint (waitpid (self->workers[i].pid, &status, 0), ==, self->workers[i].pid);
      g_assert_true (WIFSIGNALED (status) ? WTERMSIG (status) == SIGKILL : WEXITSTATUS (status) == 0);
      g_assert_true (self->mortal || WIFEXITED (status));
      close (self->workers[i].pidfd);
    }
  ring_fixture_clear (&self->fixture);
  g_array_unref (self->again);
  g_free (self->handles);
  g_free (self->delivered);
  unit_watchdog (0);
}

/* --- waiting --- */

/* As a main loop waits: for the event fd, and for deaths. */
static void
wait_by_poll (Pool *self)
{
  struct pollfd fds[MAX_WORKERS + 1] = { { self->fixture.event_fd, POLLIN, 0 } };
  guint64 count;

  for (guint i = 0; i < self->n_workers; i++)
    fds[i + 1] = (struct pollfd){ self->workers[i].pidfd, POLLIN, 0 };
  if (pool_ring_arm (&self->fixture.ring, TRUE))
    return;
  g_assert_cmpint (poll (fds, self->n_workers + 1, -1), >, 0);
  if (fds[0].revents != 0)
    g_assert_cmpint (read (self->fixture.event_fd, &count, sizeof count), ==, sizeof count);
}

static PoolRing *ring_to_kick;

static void
child_died (int signum)
{
  int saved = errno;

  pool_ring_kick (ring_to_kick);
  errno = saved;
}

/* As a thread waits: on the bell, and a death kicks it. */
static void
wait_by_futex (Pool *self)
{
  guint kicks = atomic_load (&self->fixture.ring.kicks);

  if (!bury_the_dead (self))
    pool_ring_wait (&self->fixture.ring, kicks, -1);
}

typedef struct
{
  const char *name;
  guint n_slots, n_results, n_workers, n_tasks, batch;
  gboolean polls;
} Shape;

static const Shape shapes[] = {
  { "poll", 64, 64, 3, 100000, 64, TRUE },
  { "futex", 64, 64, 3, 100000, 64, FALSE },
  { "poll-no-room", 64, 2, 3, 50000, 64, TRUE },
  { "futex-no-room", 64, 2, 3, 50000, 64, FALSE },
  { "poll-lone", 8, 8, 2, 10000, 1, TRUE },
  { "futex-lone", 8, 8, 2, 10000, 1, FALSE },
  { "two-slots", 2, 2, 3, 10000, 2, TRUE },
  { "one-worker", 64, 64, 1, 20000, 64, TRUE },
};

static void
test_killed (gconstpointer data)
{
  const Shape *shape = data;
  Pool pool;

  pool_init_ring (&pool, shape->n_slots, shape->n_results, shape->n_workers, unit_scale (shape->n_tasks), TRUE);
  if (!shape->polls)
    {
      const struct sigaction action = { .sa_handler = child_died };

      ring_to_kick = &pool.fixture.ring;
      sigaction (SIGCHLD, &action, NULL);
    }

  while (pool.n_delivered < pool.n_tasks)
    {
      put_tasks (&pool, 1 + unit_random (&pool.random) % shape->batch);
      if (unit_random (&pool.random) % 256 == 0)
        g_usleep (unit_random (&pool.random) % 500);
      if (drain (&pool) > 0 && unit_random (&pool.random) % 16 != 0)
        continue;
      if (bury_the_dead (&pool) || pool.n_delivered == pool.n_tasks || pool.again->len > 0)
        continue;
      if (pool.next < pool.n_tasks && pool_ring_room (&pool.fixture.ring) > 0 && shape->batch > 1)
        continue;
      if (shape->polls)
        wait_by_poll (&pool);
      else
        wait_by_futex (&pool);
    }
  signal (SIGCHLD, SIG_DFL);
  g_assert_cmpuint (pool.n_deaths, >, 0);
  pool_finish (&pool);
}

/* --- workers that are stopped by a signal for a while --- */

static void
stop_worker (Pool *self, guint index, gboolean stop)
{
  pid_t pid = self->workers[index].pid;
  int status;

  g_assert_cmpint (kill (pid, stop ? SIGSTOP : SIGCONT), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, stop ? WUNTRACED : WCONTINUED), ==, pid);
  g_assert_true (stop ? WIFSTOPPED (status) : WIFCONTINUED (status));
  pool_ring_worker_set_stopped (&self->fixture.ring, index, stop);
}

static void
test_stopped (void)
{
  const guint rounds = unit_scale (1500);
  Pool pool;

  pool_init_ring (&pool, 16, 8, 2, 4 * rounds, FALSE);
  for (guint round = 0; round < rounds; round++)
    {
      guint index = unit_random (&pool.random) % 2;

      if (unit_random (&pool.random) % 2)
        g_usleep (unit_random (&pool.random) % 100);
      if (unit_random (&pool.random) % 2)
        put_tasks (&pool, 4);
      stop_worker (&pool, index, TRUE);
      if (round % 8 == 0)
        stop_worker (&pool, 1 - index, TRUE);
      put_tasks (&pool, pool.next < 4 * (round + 1) ? 4 : 0);
      if (unit_random (&pool.random) % 2)
        g_usleep (unit_random (&pool.random) % 100);
      drain (&pool);
      stop_worker (&pool, index, FALSE);
      if (round % 8 == 0)
        stop_worker (&pool, 1 - index, FALSE);
      while (pool.n_delivered < 4 * (round + 1))
        if (drain (&pool) == 0)
          wait_by_poll (&pool);
    }
  pool_finish (&pool);
}

/* Of two workers one is stopped: the other does all there is, but for a task that the first is in. */
static void
test_one_stopped (void)
{
  const guint rounds = unit_scale (300);
  guint n_held = 0;
  Pool pool;

  pool_init_ring (&pool, 64, 64, 2, 40 * rounds, FALSE);
  for (guint round = 0; round < rounds; round++)
    {
      gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
      guint32 end = 40 * (round + 1);

      put_tasks (&pool, 40);
      for (guint n = unit_random (&pool.random) % 20000; n > 0; n--)
        pool_cpu_relax ();
      stop_worker (&pool, 0, TRUE);
      while (pool.n_delivered < end - 1 && g_get_monotonic_time () < until)
        if (drain (&pool) == 0)
          g_usleep (100);
      g_assert_cmpuint (pool.n_delivered, >=, end - 1);
      n_held += pool.n_delivered == end - 1;
      stop_worker (&pool, 0, FALSE);
      while (pool.n_delivered < end)
        if (drain (&pool) == 0)
          wait_by_poll (&pool);
    }
  g_test_message ("%u of %u times it was stopped in a task", n_held, rounds);
  pool_finish (&pool);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/ring-processes/killed/%s", shapes[i].name);

      g_test_add_data_func (path, &shapes[i], test_killed);
    }
  g_test_add_func ("/ring-processes/stopped/any", test_stopped);
  g_test_add_func ("/ring-processes/stopped/one", test_one_stopped);
  return g_test_run ();
}
