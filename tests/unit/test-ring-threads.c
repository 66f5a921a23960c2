/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "ring-common.h"

#include <poll.h>
#include <sched.h>

/*
 * One manager and several workers, which are threads: whatever they do at the same time, each task is run once and
 * each result is seen once, and nobody sleeps while there is something to do.
 */

#define MAX_WORKERS 8

typedef struct _Pool Pool;

typedef struct
{
  Pool *pool;
  PoolRingWorker ring;
  GThread *thread;
  guint64 random;
  _Atomic guint n_blocked; /* how often its results found no room */
  _Atomic gboolean ended;
} Worker;

typedef void (*RunFunc) (Worker *worker, guint64 handle);

struct _Pool
{
  RingFixture fixture;
  Worker workers[MAX_WORKERS];
  guint32 incarnation;
  guint64 n_tasks;
  _Atomic guint8 *runs; /* how often, by handle */
  guint8 *results;      /* the manager's */
  guint64 n_results;
  RunFunc run;
  _Atomic gboolean gate; /* for tasks that are to last */
  _Atomic guint n_met;   /* tasks that wait for others */
  guint n_meeting;
  guint64 random;
};

/* --- workers --- */

static gpointer
worker_thread (gpointer data)
{
  Worker *self = data;
  Pool *pool = self->pool;
  PoolRingSlot *slot;

  ring_say_started (&self->ring);
  while ((slot = pool_ring_claim (&self->ring)) != NULL)
    {
      g_assert_cmpuint (slot->handle, <, pool->n_tasks);
      atomic_fetch_add (&pool->runs[slot->handle], 1);
      if (pool->run != NULL)
        pool->run (self, slot->handle);
      if (self->ring.position - atomic_load (&self->ring.words->consumed) >=
          pool->fixture.ring.header->n_results)
        atomic_fetch_add (&self->n_blocked, 1);
      ring_reply (&self->ring, slot);
    }
  atomic_store (&self->ended, TRUE);
  return NULL;
}

static void
start_worker (Pool *self, guint index)
{
  Worker *worker = &self->workers[index];

  pool_ring_worker_add (&self->fixture.ring, index, ++self->incarnation);
  worker->pool = self;
  worker->random = unit_random_seed ();
  atomic_store (&worker->ended, FALSE);
  pool_ring_worker_attach (&worker->ring, self->fixture.memory, index, self->fixture.event_fd);
  worker->thread = g_thread_new ("worker", worker_thread, worker);
}

static void
wait_at_gate (Worker *worker, guint64 handle)
{
  while (!atomic_load (&worker->pool->gate))
    g_usleep (100);
}

static void
first_waits_at_gate (Worker *worker, guint64 handle)
{
  if (handle == 0)
    wait_at_gate (worker, handle);
}

static void
sometimes_slow (Worker *worker, guint64 handle)
{
  if (unit_random (&worker->random) % 64 == 0)
    g_usleep (unit_random (&worker->random) % 200);
}

/* --- the manager --- */

static void
pool_init_ring (Pool *self, guint n_slots, guint n_results, guint64 n_tasks, RunFunc run)
{
  unit_watchdog (100);
  memset (self, 0, sizeof *self);
  ring_fixture_init (&self->fixture, n_slots, n_results, MAX_WORKERS, FALSE);
  self->n_tasks = n_tasks;
  self->runs = g_new0 (_Atomic guint8, n_tasks);
  self->results = g_new0 (guint8, n_tasks);
  self->run = run;
  self->random = unit_random_seed ();
}

static void
start_workers (Pool *self, guint n)
{
  for (guint i = 0; i < n; i++)
    start_worker (self, i);
}

static guint
drain_worker (Pool *self, guint worker)
{
  PoolRing *ring = &self->fixture.ring;
  PoolRingResult result;
  guint n = 0;

  while (pool_ring_next_result (ring, worker, &result))
    {
      n++;
      if (result.kind & POOL_RING_MESSAGE)
        {
          pool_ring_worker_up (ring, worker);
          continue;
        }
      g_assert_cmpuint (self->results[result.handle]++, ==, 0);
      self->n_results++;
      ring_accept (&self->fixture, &result);
    }
  if (n > 0)
    pool_ring_consumed (ring, worker);
  return n;
}

static guint
drain (Pool *self)
{
  guint n = 0;

  for (guint i = 0; i < atomic_load (&self->fixture.ring.n_workers); i++)
    n += drain_worker (self, i);
  return n;
}

static void
wait_for_result (Pool *self)
{
  guint kicks = atomic_load (&self->fixture.ring.kicks);

  while (drain (self) == 0)
    pool_ring_wait (&self->fixture.ring, kicks, -1);
}

/* Puts tasks [first, end) in as they fit, up to @batch at a time, and takes all results. */
static void
run_tasks (Pool *self, guint64 first, guint64 end, guint batch)
{
  guint64 next = first, wanted = self->n_results + end - first;

  while (self->n_results < wanted)
    {
      guint n = 1 + unit_random (&self->random) % batch;

      while (n > 0 && next < end && ring_put (&self->fixture, next, NULL))
        {
          next++;
          n--;
        }
      pool_ring_publish (&self->fixture.ring);
      if (n > 0)
        wait_for_result (self);
      else if (unit_random (&self->random) % 4 == 0)
        drain (self);
    }
}

/* Is it so within a time in which everybody has long been woken? */
#define await(self, condition)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;                                  \
    while (!(condition) && g_get_monotonic_time () < until)                                        \
      {                                                                                            \
        g_usleep (500);                                                                            \
        drain (self);                                                                              \
      }                                                                                            \
    if (!(condition))                                                                              \
      g_error ("%s: in vain", #condition);                                                         \
  }                                                                                                \
  G_STMT_END

#define status_of(self, index) atomic_load (&(self)->workers[index].ring.words->status)

static void
join_worker (Pool *self, guint index)
{
  await (self, atomic_load (&self->workers[index].ended));
  g_thread_join (g_steal_pointer (&self->workers[index].thread));
  drain_worker (self, index);
  g_assert_cmpint (pool_ring_worker_reap (&self->fixture.ring, index), ==, -1);
}

/* Ends all workers, and finds each task done once. */
static void
pool_finish (Pool *self)
{
  pool_ring_stop (&self->fixture.ring);
  for (guint i = 0; i < MAX_WORKERS; i++)
    if (self->workers[i].thread != NULL)
      join_worker (self, i);
  for (guint64 i = 0; i < self->n_tasks; i++)
    {
      g_assert_cmpuint (self->runs[i], ==, 1);
      g_assert_cmpuint (self->results[i], ==, 1);
    }
  g_assert_cmpuint (pool_ring_room (&self->fixture.ring), ==, self->fixture.ring.header->n_slots);
  ring_fixture_clear (&self->fixture);
  g_free ((gpointer) self->runs);
  g_free (self->results);
  unit_watchdog (0);
}

/* --- all of it --- */

typedef struct
{
  const char *name;
  guint n_slots, n_results, n_workers, n_tasks, batch;
  RunFunc run;
  gboolean blocks; /* results find no room */
} Shape;

static const Shape shapes[] = {
  { "million", 1024, 1024, 3, 1000000, 256, NULL, FALSE },
  { "one-worker", 1024, 1024, 1, 200000, 64, NULL, FALSE },
  { "singles", 1024, 1024, 2, 50000, 1, NULL, FALSE },
  { "uneven", 256, 256, 4, 20000, 64, sometimes_slow, FALSE },
  { "two-slots", 2, 2, 3, 20000, 2, NULL, FALSE },
  { "four-slots", 4, 2, 3, 20000, 4, NULL, FALSE },
  { "two-results", 64, 2, 3, 50000, 64, NULL, TRUE },
  { "two-results-alone", 64, 2, 1, 50000, 64, NULL, TRUE },
  { "many-workers", 16, 4, 8, 20000, 16, NULL, FALSE },
};

static void
test_shape (gconstpointer data)
{
  const Shape *shape = data;
  guint n_tasks = unit_scale (shape->n_tasks), n_blocked = 0;
  Pool pool;

  pool_init_ring (&pool, shape->n_slots, shape->n_results, n_tasks, shape->run);
  start_workers (&pool, shape->n_workers);
  run_tasks (&pool, 0, n_tasks, shape->batch);
  for (guint i = 0; i < shape->n_workers; i++)
    n_blocked += atomic_load (&pool.workers[i].n_blocked);
  g_test_message ("results found no room %u times", n_blocked);
  g_assert_true (!shape->blocks || n_blocked > 0);
  pool_finish (&pool);
}

/* --- tasks that last --- */

static void
test_long_task (void)
{
  const guint n = unit_scale (10000);
  Pool pool;

  pool_init_ring (&pool, 4, 4, n, first_waits_at_gate);
  start_workers (&pool, 2);
  g_assert_true (ring_put (&pool.fixture, 0, NULL));
  pool_ring_publish (&pool.fixture.ring);
  /* the others go round and round it */
  run_tasks (&pool, 1, n, 4);
  g_assert_cmpuint (pool.results[0], ==, 0);
  g_assert_cmpuint (pool.n_results, ==, n - 1);
  atomic_store (&pool.gate, TRUE);
  wait_for_result (&pool);
  pool_finish (&pool);
}

/* A worker sets tasks aside, the first of them lasts: one that has nothing to do runs the others. */
static void
test_set_aside (void)
{
  enum { N = 48 };
  PoolRingWorker slow;
  PoolRingSlot *first;
  Pool pool;

  for (guint asleep = 0; asleep < 2; asleep++)
    {
      pool_init_ring (&pool, 64, 64, N, NULL);
      pool_ring_worker_add (&pool.fixture.ring, 0, ++pool.incarnation);
      pool_ring_worker_attach (&slow, pool.fixture.memory, 0, pool.fixture.event_fd);
      ring_say_started (&slow);
      drain (&pool);
      g_assert_cmpuint (pool.fixture.ring.n_up, ==, 1);
      if (asleep)
        {
          start_worker (&pool, 1);
          await (&pool, status_of (&pool, 1) == POOL_WORKER_SLEEPING);
        }
      for (guint i = 0; i < N; i++)
        g_assert_true (ring_put (&pool.fixture, i, NULL));
      pool_ring_publish (&pool.fixture.ring);
      first = pool_ring_claim (&slow);
      atomic_fetch_add (&pool.runs[first->handle], 1);
      if (!asleep)
        start_worker (&pool, 1);

      await (&pool, pool.n_results == N - 1);
      g_assert_cmpuint (pool.results[first->handle], ==, 0);
      ring_reply (&slow, first);
      wait_for_result (&pool);
      g_assert_cmpuint (pool.n_results, ==, N);
      pool_ring_worker_reap (&pool.fixture.ring, 0);
      pool_finish (&pool);
    }
}

/* --- tasks that are taken back --- */

static void
test_take_back (void)
{
  enum { SLOTS = 32 };
  const guint n = unit_scale (100000) / SLOTS * SLOTS;
  guint n_taken = 0;
  Pool pool;

  pool_init_ring (&pool, SLOTS, SLOTS, n, NULL);
  start_workers (&pool, 3);
  for (guint64 handle = 0; handle < n; handle += SLOTS)
    {
      guint indexes[SLOTS];

      for (guint i = 0; i < SLOTS; i++)
        g_assert_true (ring_put (&pool.fixture, handle + i, &indexes[i]));
      pool_ring_publish (&pool.fixture.ring);
      /* from behind: workers come from the other side */
      for (guint i = SLOTS; i-- > 0;)
        if (unit_random (&pool.random) % 2 && pool_ring_take_back (&pool.fixture.ring, indexes[i]))
          {
            pool_ring_release (&pool.fixture.ring, indexes[i]);
            pool.results[handle + i]++;
            pool.n_results++;
            atomic_fetch_add (&pool.runs[handle + i], 1);
            n_taken++;
          }
      while (pool.n_results < handle + SLOTS)
        wait_for_result (&pool);
    }
  g_test_message ("%u of %u tasks were taken back", n_taken, n);
  g_assert_cmpuint (n_taken, >, 0);
  g_assert_cmpuint (n_taken, <, n);
  pool_finish (&pool);
}

/* --- workers come and go --- */

static void
test_retire (void)
{
  const guint rounds = unit_scale (2000);
  guint64 handle = 0;
  Pool pool;

  pool_init_ring (&pool, 16, 4, 8 * rounds, NULL);
  start_workers (&pool, 3);
  for (guint round = 0; round < rounds; round++)
    {
      guint index = unit_random (&pool.random) % 3;

      /* it may sleep, be about to, or be in a task, or wait for room for its result */
      for (guint i = 0; i < 8; i++)
        g_assert_true (ring_put (&pool.fixture, handle++, NULL));
      if (unit_random (&pool.random) % 2)
        pool_ring_publish (&pool.fixture.ring);
      if (unit_random (&pool.random) % 4 == 0)
        g_usleep (unit_random (&pool.random) % 300);
      pool_ring_retire (&pool.fixture.ring, index);
      pool_ring_publish (&pool.fixture.ring);
      while (!atomic_load (&pool.workers[index].ended))
        {
          drain (&pool);
          sched_yield ();
        }
      join_worker (&pool, index);
      /* what it had set aside is seen to by the others */
      while (pool.n_results < handle)
        wait_for_result (&pool);
      start_worker (&pool, index);
    }
  pool_finish (&pool);
}

static void
test_retire_sleeping (void)
{
  Pool pool;

  pool_init_ring (&pool, 4, 4, 0, NULL);
  start_workers (&pool, 2);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  await (&pool, status_of (&pool, 1) == POOL_WORKER_SLEEPING);
  pool_ring_retire (&pool.fixture.ring, 1);
  join_worker (&pool, 1);
  g_assert_false (atomic_load (&pool.workers[0].ended));
  pool_finish (&pool);
}

/* A worker that is to end while its results find no room: it delivers them first. */
static void
test_retire_blocked (void)
{
  Pool pool;

  pool_init_ring (&pool, 8, 2, 3, NULL);
  start_worker (&pool, 0);
  await (&pool, pool.fixture.ring.taken[0] == 1);
  for (guint i = 0; i < 3; i++)
    g_assert_true (ring_put (&pool.fixture, i, NULL));
  pool_ring_publish (&pool.fixture.ring);
  while (status_of (&pool, 0) != POOL_WORKER_BLOCKED)
    g_usleep (500);
  g_usleep (20000);
  pool_ring_retire (&pool.fixture.ring, 0);
  await (&pool, pool.n_results == 3);
  join_worker (&pool, 0);
  pool_finish (&pool);
}

/* The same when it is taken for one that sleeps, as one that did so a moment ago may be. */
static void
test_wake_blocked (void)
{
  Pool pool;

  pool_init_ring (&pool, 8, 2, 3, NULL);
  start_worker (&pool, 0);
  await (&pool, pool.fixture.ring.taken[0] == 1);
  for (guint i = 0; i < 3; i++)
    g_assert_true (ring_put (&pool.fixture, i, NULL));
  pool_ring_publish (&pool.fixture.ring);
  while (status_of (&pool, 0) != POOL_WORKER_BLOCKED)
    g_usleep (500);
  g_usleep (20000);
  atomic_fetch_or (&pool.fixture.ring.header->sleepers[0], 1);
  pool_ring_wake_all (&pool.fixture.ring);
  await (&pool, pool.n_results == 3);
  pool_finish (&pool);
}

/* All that is there is done before they end, also when there is more than room for its results. */
static void
test_stop (void)
{
  for (guint round = 0; round < unit_scale (200); round++)
    {
      Pool pool;

      pool_init_ring (&pool, 64, round % 2 ? 2 : 64, 64, NULL);
      start_workers (&pool, 1 + round % 3);
      for (guint i = 0; i < 64; i++)
        g_assert_true (ring_put (&pool.fixture, i, NULL));
      pool_ring_publish (&pool.fixture.ring);
      pool_finish (&pool);
    }
}

/* --- who is woken --- */

/* A worker that a signal has stopped is not counted on; when it goes on, what came meanwhile is there for it. */
static void
test_continued (void)
{
  Pool pool;

  pool_init_ring (&pool, 8, 8, 2, NULL);
  start_worker (&pool, 0);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  pool_ring_worker_set_stopped (&pool.fixture.ring, 0, TRUE);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  g_assert_true (ring_put (&pool.fixture, 0, NULL));
  pool_ring_publish (&pool.fixture.ring);
  pool_ring_worker_set_stopped (&pool.fixture.ring, 0, FALSE);
  await (&pool, pool.n_results == 1);
  run_tasks (&pool, 1, 2, 1);
  pool_finish (&pool);
}

/* While it is stopped, another does its work. */
static void
test_stopped (void)
{
  Pool pool;

  pool_init_ring (&pool, 8, 8, 1, NULL);
  start_workers (&pool, 2);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  await (&pool, status_of (&pool, 1) == POOL_WORKER_SLEEPING);
  pool_ring_worker_set_stopped (&pool.fixture.ring, 0, TRUE);
  g_assert_true (ring_put (&pool.fixture, 0, NULL));
  pool_ring_publish (&pool.fixture.ring);
  await (&pool, pool.n_results == 1);
  g_assert_cmpint (status_of (&pool, 0), ==, POOL_WORKER_SLEEPING);
  /* it could not hear that it is to end */
  pool_ring_stop (&pool.fixture.ring);
  pool_ring_worker_set_stopped (&pool.fixture.ring, 0, FALSE);
  pool_finish (&pool);
}

/* A worker that is long about its start does not look for tasks: one that sleeps is to be woken. */
static void
test_starting (void)
{
  Pool pool;

  pool_init_ring (&pool, 8, 8, 2, NULL);
  start_worker (&pool, 0);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  pool_ring_worker_add (&pool.fixture.ring, 1, ++pool.incarnation);
  g_assert_true (ring_put (&pool.fixture, 0, NULL));
  pool_ring_publish (&pool.fixture.ring);
  await (&pool, pool.n_results == 1);

  /* nor does one that died before it was ready */
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  pool_ring_worker_reap (&pool.fixture.ring, 1);
  await (&pool, status_of (&pool, 0) == POOL_WORKER_SLEEPING);
  g_assert_true (ring_put (&pool.fixture, 1, NULL));
  pool_ring_publish (&pool.fixture.ring);
  await (&pool, pool.n_results == 2);
  pool_finish (&pool);
}

/* With tasks that all workers but one are in, that one is woken for each that comes. */
static void
test_all_but_one_busy (void)
{
  Pool pool;

  pool_init_ring (&pool, 16, 16, 8, wait_at_gate);
  start_workers (&pool, 8);
  for (guint i = 0; i < 8; i++)
    await (&pool, status_of (&pool, i) == POOL_WORKER_SLEEPING);
  for (guint i = 0; i < 8; i++)
    {
      g_assert_true (ring_put (&pool.fixture, i, NULL));
      pool_ring_publish (&pool.fixture.ring);
      await (&pool, atomic_load (&pool.runs[i]) == 1);
    }
  atomic_store (&pool.gate, TRUE);
  await (&pool, pool.n_results == 8);
  pool_finish (&pool);
}

/* --- no wake-up is lost --- */

static void
pause_at_random (Pool *self)
{
  guint choice = unit_random (&self->random) % 8;

  if (choice == 0)
    g_usleep (unit_random (&self->random) % 200);
  else if (choice < 4)
    {
      /* about the time after which they stop to look, and go to sleep */
      gint64 end = pool_now_ns () + unit_random (&self->random) % 60000;

      while (pool_now_ns () < end)
        pool_cpu_relax ();
    }
}

/* As a main loop waits: on the event fd. */
static void
poll_for_result (Pool *self)
{
  struct pollfd fd = { self->fixture.event_fd, POLLIN, 0 };
  guint64 count;

  while (drain (self) == 0)
    {
      if (pool_ring_arm (&self->fixture.ring, TRUE))
        continue;
      g_assert_cmpint (poll (&fd, 1, -1), ==, 1);
      g_assert_cmpint (read (fd.fd, &count, sizeof count), ==, sizeof count);
    }
  pool_ring_arm (&self->fixture.ring, FALSE);
}

static void
test_lone_tasks (gconstpointer data)
{
  const guint n_workers = GPOINTER_TO_UINT (data), n = unit_scale (10000);
  Pool pool;

  pool_init_ring (&pool, 8, 4, n, NULL);
  start_workers (&pool, n_workers);
  while (pool.fixture.ring.n_up < n_workers)
    drain (&pool);
  for (guint64 handle = 0; handle < n; handle++)
    {
      pause_at_random (&pool);
      g_assert_true (ring_put (&pool.fixture, handle, NULL));
      pool_ring_publish (&pool.fixture.ring);
      while (pool.n_results <= handle)
        if (handle % 2)
          wait_for_result (&pool);
        else
          poll_for_result (&pool);
    }
  pool_finish (&pool);
}

/* Tasks that come at once and need each other: as many workers have to be there for them at the same time. */
static void
meet_others (Worker *worker, guint64 handle)
{
  Pool *pool = worker->pool;
  guint wanted = (handle / pool->n_meeting + 1) * pool->n_meeting;

  atomic_fetch_add (&pool->n_met, 1);
  while (atomic_load (&pool->n_met) < wanted)
    sched_yield ();
}

static void
test_together (gconstpointer data)
{
  /* not more: beside other programs each meeting takes until the scheduler has let all of them run */
  const guint n_workers = GPOINTER_TO_UINT (data), n = unit_scale (1200) / n_workers * n_workers;
  Pool pool;

  pool_init_ring (&pool, 8, 4, n, meet_others);
  pool.n_meeting = n_workers;
  start_workers (&pool, n_workers);
  while (pool.fixture.ring.n_up < n_workers)
    drain (&pool);
  for (guint64 handle = 0; handle < n; handle += n_workers)
    {
      pause_at_random (&pool);
      for (guint i = 0; i < n_workers; i++)
        {
          g_assert_true (ring_put (&pool.fixture, handle + i, NULL));
          if (unit_random (&pool.random) % 4 == 0)
            pool_ring_publish (&pool.fixture.ring);
        }
      pool_ring_publish (&pool.fixture.ring);
      while (pool.n_results < handle + n_workers)
        wait_for_result (&pool);
    }
  pool_finish (&pool);
}

typedef struct
{
  RingFixture fixture;
  _Atomic guint n_returned;
  _Atomic gboolean over;
} Kicked;

static gpointer
kicked_thread (gpointer data)
{
  Kicked *self = data;

  for (guint kicks = 0; !atomic_load (&self->over);)
    {
      g_assert_false (pool_ring_wait (&self->fixture.ring, kicks, -1));
      /* it may have returned for nothing: then it has nothing to say */
      if (atomic_load (&self->fixture.ring.kicks) != kicks)
        atomic_store (&self->n_returned, ++kicks);
    }
  return NULL;
}

static void
test_kicks (void)
{
  const guint n = unit_scale (10000);
  guint64 random = unit_random_seed ();
  Kicked kicked = { 0 };
  GThread *thread;

  unit_watchdog (100);
  ring_fixture_init (&kicked.fixture, 2, 2, 1, FALSE);
  thread = g_thread_new ("kicked", kicked_thread, &kicked);
  for (guint i = 1; i <= n; i++)
    {
      if (unit_random (&random) % 4 == 0)
        g_usleep (unit_random (&random) % 100);
      if (i == n)
        atomic_store (&kicked.over, TRUE);
      pool_ring_kick (&kicked.fixture.ring);
      while (atomic_load (&kicked.n_returned) < i)
        sched_yield ();
    }
  g_thread_join (thread);
  g_assert_cmpuint (atomic_load (&kicked.n_returned), ==, n);
  ring_fixture_clear (&kicked.fixture);
  unit_watchdog (0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/ring-threads/all/%s", shapes[i].name);

      g_test_add_data_func (path, &shapes[i], test_shape);
    }
  g_test_add_func ("/ring-threads/long-task", test_long_task);
  g_test_add_func ("/ring-threads/set-aside", test_set_aside);
  g_test_add_func ("/ring-threads/take-back", test_take_back);
  g_test_add_func ("/ring-threads/retire/any", test_retire);
  g_test_add_func ("/ring-threads/retire/sleeping", test_retire_sleeping);
  g_test_add_func ("/ring-threads/retire/blocked", test_retire_blocked);
  g_test_add_func ("/ring-threads/stop", test_stop);
  g_test_add_func ("/ring-threads/wake/blocked", test_wake_blocked);
  g_test_add_func ("/ring-threads/wake/continued", test_continued);
  g_test_add_func ("/ring-threads/wake/stopped", test_stopped);
  g_test_add_func ("/ring-threads/wake/starting", test_starting);
  g_test_add_func ("/ring-threads/wake/all-but-one-busy", test_all_but_one_busy);
  g_test_add_data_func ("/ring-threads/lone/one-worker", GUINT_TO_POINTER (1), test_lone_tasks);
  g_test_add_data_func ("/ring-threads/lone/two-workers", GUINT_TO_POINTER (2), test_lone_tasks);
  g_test_add_data_func ("/ring-threads/together/two-workers", GUINT_TO_POINTER (2), test_together);
  g_test_add_data_func ("/ring-threads/together/four-workers", GUINT_TO_POINTER (4), test_together);
  g_test_add_func ("/ring-threads/kicks", test_kicks);
  return g_test_run ();
}
