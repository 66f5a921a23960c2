/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "ring-common.h"

#include <sched.h>

/*
 * What manager and workers say to each other beside tasks and results: that a worker takes no more of them, is let go of, may
 * start a task, or that its task is to know something.
 */

typedef struct
{
  RingFixture fixture;
  PoolRingWorker worker; /* the thread's */
  GThread *thread;
  _Atomic guint n_run;
  _Atomic gboolean ended;
} Control;

static void
add_worker (RingFixture *fixture, PoolRingWorker *worker, guint index, guint quota)
{
  pool_ring_worker_add (&fixture->ring, index, index + 1);
  fixture->ring.words[index].quota = quota;
  pool_ring_worker_attach (worker, fixture->memory, index, fixture->event_fd);
  pool_ring_worker_up (&fixture->ring, index);
}

static void
put (RingFixture *fixture, guint64 handle)
{
  g_assert_true (ring_put (fixture, handle, NULL));
  pool_ring_publish (&fixture->ring);
}

static void
expect_leaving (RingFixture *fixture, guint worker, guint64 handle)
{
  PoolRingResult message;

  g_assert_true (pool_ring_next_result (&fixture->ring, worker, &message));
  g_assert_cmphex (message.kind, ==, POOL_RING_LEAVING);
  g_assert_cmpuint (message.handle, ==, handle);
  g_assert_cmpuint (message.size, ==, 0);
  pool_ring_consumed (&fixture->ring, worker);
}

static void
take_result (RingFixture *fixture, guint worker)
{
  PoolRingResult result;

  g_assert_true (pool_ring_next_result (&fixture->ring, worker, &result));
  ring_accept (fixture, &result);
  pool_ring_consumed (&fixture->ring, worker);
}

/* --- a worker in a thread --- */

static gpointer
worker_thread (gpointer data)
{
  Control *self = data;
  PoolRingSlot *slot;

  while ((slot = pool_ring_claim (&self->worker)) != NULL)
    {
      atomic_fetch_add (&self->n_run, 1);
      ring_reply (&self->worker, slot);
    }
  atomic_store (&self->ended, TRUE);
  return NULL;
}

static void
start_thread (Control *self, guint index, guint quota)
{
  add_worker (&self->fixture, &self->worker, index, quota);
  atomic_store (&self->n_run, 0);
  atomic_store (&self->ended, FALSE);
  self->thread = g_thread_new ("worker", worker_thread, self);
}

static void
await_sleep (Control *self)
{
  while (atomic_load (&self->worker.words->status) != POOL_WORKER_SLEEPING)
    g_usleep (500);
}

static void
await_results (RingFixture *fixture)
{
  while (!pool_ring_has_results (&fixture->ring))
    pool_ring_wait (&fixture->ring, atomic_load (&fixture->ring.kicks), -1);
}

/* --- the last task --- */

static void
test_quota (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  PoolRingResult result;
  PoolRingSlot *slot;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  add_worker (&fixture, &worker, 0, 2);
  for (guint i = 0; i < 3; i++)
    put (&fixture, 10 + i);

  slot = pool_ring_claim (&worker);
  g_assert_false (pool_ring_next_result (&fixture.ring, 0, &result));
  ring_reply (&worker, slot);
  take_result (&fixture, 0);
  /* it says so before it runs its last one, and once */
  slot = pool_ring_claim (&worker);
  expect_leaving (&fixture, 0, slot->handle);
  ring_reply (&worker, slot);
  take_result (&fixture, 0);
  pool_ring_worker_leave (&worker);
  g_assert_false (pool_ring_next_result (&fixture.ring, 0, &result));
  /* whatever waits */
  pool_ring_retire (&fixture.ring, 0);
  g_assert_null (pool_ring_claim (&worker));
  g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 0), ==, -1);

  /* who comes in its place has a quota of its own, or none */
  add_worker (&fixture, &worker, 0, 0);
  slot = pool_ring_claim (&worker);
  g_assert_cmpuint (slot->handle, ==, 12);
  g_assert_false (pool_ring_next_result (&fixture.ring, 0, &result));
  ring_fixture_clear (&fixture);
}

static void
test_leave (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  PoolRingResult result;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  add_worker (&fixture, &worker, 0, 0);
  put (&fixture, 1);
  put (&fixture, 2);
  ring_reply (&worker, pool_ring_claim (&worker));
  take_result (&fixture, 0);

  pool_ring_worker_leave (&worker);
  expect_leaving (&fixture, 0, 0);
  pool_ring_worker_leave (&worker);
  g_assert_false (pool_ring_next_result (&fixture.ring, 0, &result));
  g_assert_cmpuint (fixture.ring.n_up, ==, 1);
  pool_ring_worker_leaves (&fixture.ring, 0);
  pool_ring_worker_leaves (&fixture.ring, 0);
  g_assert_cmpuint (fixture.ring.n_up, ==, 0);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 1);
  pool_ring_stop (&fixture.ring);
  g_assert_null (pool_ring_claim (&worker));
  pool_ring_worker_reap (&fixture.ring, 0);
  g_assert_cmpuint (fixture.ring.n_up, ==, 0);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 0);
  ring_fixture_clear (&fixture);
}

/* It stays, and takes nothing, until it is told to go; by a stop too. */
static void
test_stays (void)
{
  for (guint stop = 0; stop < 2; stop++)
    {
      Control control = { 0 };
      RingFixture *fixture = &control.fixture;
      const guint n = unit_scale (500);

      unit_watchdog (100);
      ring_fixture_init (fixture, 8, 8, 2, FALSE);
      for (guint i = 0; i < n; i++)
        {
          start_thread (&control, 0, 1);
          put (fixture, 1);
          put (fixture, 2);
          await_results (fixture);
          expect_leaving (fixture, 0, 1);
          pool_ring_worker_leaves (&fixture->ring, 0);
          await_results (fixture);
          take_result (fixture, 0);
          /* it may be on its way to sleep */
          if (i % 2)
            {
              await_sleep (&control);
              /* no sleeper that a task, or a wake-up for all, could wake */
              g_assert_cmphex (atomic_load (&fixture->ring.header->sleepers[0]), ==, 0);
              pool_ring_wake_all (&fixture->ring);
              g_assert_false (atomic_load (&control.ended));
            }
          if (stop)
            pool_ring_stop (&fixture->ring);
          else
            pool_ring_retire (&fixture->ring, 0);
          g_thread_join (control.thread);
          g_assert_cmpuint (atomic_load (&control.n_run), ==, 1);
          pool_ring_worker_reap (&fixture->ring, 0);
          atomic_store (&fixture->ring.header->stop, 0);
          /* the other task is still there, for whoever comes */
          add_worker (fixture, &control.worker, 1, 0);
          g_assert_cmpuint (pool_ring_claim (&control.worker)->handle, ==, 2);
          pool_ring_release (&fixture->ring, pool_ring_worker_reap (&fixture->ring, 1));
          g_assert_cmpuint (pool_ring_room (&fixture->ring), ==, 8);
        }
      ring_fixture_clear (fixture);
      unit_watchdog (0);
    }
}

static void
let_go (PoolRing *ring, guint worker, gboolean abandon)
{
  if (abandon)
    pool_ring_worker_abandon (ring, worker);
  else
    pool_ring_worker_leaves (ring, worker);
}

/* A task relied on one that is let go of, before that was known, or after it: who sleeps comes for it. */
static void
test_not_counted (gconstpointer data)
{
  const gboolean abandon = GPOINTER_TO_UINT (data);
  const guint n = unit_scale (500);
  Control control = { 0 };
  RingFixture *fixture = &control.fixture;
  PoolRingWorker other;

  unit_watchdog (100);
  ring_fixture_init (fixture, 8, 8, 2, FALSE);
  start_thread (&control, 1, 0);
  for (guint i = 0; i < n; i++)
    {
      add_worker (fixture, &other, 0, 0);
      if (i % 4 < 2)
        await_sleep (&control);
      if (i % 2)
        let_go (&fixture->ring, 0, abandon);
      put (fixture, i);
      if (i % 2 == 0)
        let_go (&fixture->ring, 0, abandon);
      await_results (fixture);
      take_result (fixture, 1);
      g_assert_cmpuint (atomic_load (&control.n_run), ==, i + 1);
      g_assert_cmpint (pool_ring_worker_reap (&fixture->ring, 0), ==, -1);
    }
  pool_ring_stop (&fixture->ring);
  g_thread_join (control.thread);
  ring_fixture_clear (fixture);
  unit_watchdog (0);
}

static void
test_abandon (void)
{
  RingFixture fixture;
  PoolRingWorker worker, other;
  guint index;

  ring_fixture_init (&fixture, 8, 8, 2, FALSE);
  add_worker (&fixture, &worker, 0, 0);
  add_worker (&fixture, &other, 1, 0);
  put (&fixture, 1);
  g_assert_nonnull (pool_ring_claim (&worker));

  for (guint i = 0; i < 2; i++)
    {
      pool_ring_worker_abandon (&fixture.ring, 0);
      g_assert_cmpuint (fixture.ring.n_alive, ==, 1);
      g_assert_cmpuint (fixture.ring.n_up, ==, 1);
      g_assert_cmpuint (atomic_load (&fixture.ring.header->n_active), ==, 1);
    }
  /* it still has its task: that is no orphan, nor is it there for others */
  g_assert_true (pool_ring_worker_runs (&fixture.ring, 0, 0));
  g_assert_false (pool_ring_next_orphan (&fixture.ring, &index));
  pool_ring_worker_abandon (&fixture.ring, 1);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 0);
  g_assert_cmpuint (atomic_load (&fixture.ring.header->n_active), ==, 1);

  /* when it ends after all */
  g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 0), ==, 0);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 0);
  g_assert_cmpuint (fixture.ring.n_up, ==, 0);
  pool_ring_release (&fixture.ring, 0);
  add_worker (&fixture, &worker, 0, 0);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 1);
  pool_ring_worker_abandon (&fixture.ring, 0);
  g_assert_cmpuint (fixture.ring.n_alive, ==, 0);
  ring_fixture_clear (&fixture);
}

/* --- notices and verdicts --- */

static void
test_notify (void)
{
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 2, 2, 1, FALSE);
  add_worker (&fixture, &worker, 0, 0);
  g_assert_cmpuint (atomic_load (&worker.words->notice), ==, 0);
  for (guint i = 1; i <= 3; i++)
    {
      guint item = i == 3 ? POOL_PROGRESS_MAX_ITEMS - 1 : i;
      guint64 notice, seq = atomic_load (&worker.words->notice_seq);

      pool_ring_notify (&fixture.ring, 0, G_MAXUINT32 - i, item, POOL_NOTICE_CANCEL);
      notice = atomic_load (&worker.words->notice);
      g_assert_cmpuint ((guint32) notice, ==, G_MAXUINT32 - i);
      g_assert_cmpuint ((notice >> 32) & 0xff, ==, POOL_NOTICE_CANCEL);
      g_assert_cmpuint (notice >> 40, ==, item);
      g_assert_cmpuint (atomic_load (&worker.words->notice_seq), ==, seq + 1);
    }
  /* none of it is for who comes in its place */
  pool_ring_worker_reap (&fixture.ring, 0);
  add_worker (&fixture, &worker, 0, 0);
  g_assert_cmpuint (atomic_load (&worker.words->notice), ==, 0);
  ring_fixture_clear (&fixture);
}

static void
test_answer (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  PoolRingSlot slot = { 0 };

  ring_fixture_init (&fixture, 2, 2, 1, FALSE);
  add_worker (&fixture, &worker, 0, 0);
  for (guint go = 0; go < 2; go++)
    {
      slot.handle = (G_GUINT64_CONSTANT (7) + go) << 32 | 1;
      pool_ring_answer (&fixture.ring, 0, 7 + go, go);
      g_assert_cmpint (pool_ring_worker_ask (&worker, &slot), ==, go);
    }
  /* a stop is an answer, whatever was said before */
  pool_ring_stop (&fixture.ring);
  g_assert_false (pool_ring_worker_ask (&worker, &slot));
  ring_fixture_clear (&fixture);
}

typedef struct
{
  RingFixture fixture;
  PoolRingWorker worker;
  _Atomic guint asking, told; /* the serial number of the task */
  _Atomic gboolean said;
  guint n;
} Asking;

static gpointer
asking_thread (gpointer data)
{
  Asking *self = data;
  PoolRingSlot slot = { 0 };

  for (guint i = 1; i <= self->n; i++)
    {
      slot.handle = (guint64) i << 32;
      atomic_store (&self->asking, i);
      atomic_store (&self->said, pool_ring_worker_ask (&self->worker, &slot));
      atomic_store (&self->told, i);
    }
  return NULL;
}

/* It waits for the answer to its own question; the last one, which is never answered, ends with the stop. */
static void
test_ask (void)
{
  Asking asking = { .n = unit_scale (5000) };
  guint64 random = unit_random_seed ();
  GThread *thread;

  unit_watchdog (100);
  ring_fixture_init (&asking.fixture, 2, 2, 1, FALSE);
  add_worker (&asking.fixture, &asking.worker, 0, 0);
  thread = g_thread_new ("worker", asking_thread, &asking);
  for (guint i = 1; i <= asking.n; i++)
    {
      gboolean go = unit_random (&random) % 2;

      while (atomic_load (&asking.asking) != i)
        sched_yield ();
      if (unit_random (&random) % 4 == 0)
        g_usleep (unit_random (&random) % 200);
      if (i == asking.n)
        break;
      /* about another task: that is no answer */
      if (unit_random (&random) % 4 == 0)
        pool_ring_answer (&asking.fixture.ring, 0, i + 1000, go);
      g_assert_cmpuint (atomic_load (&asking.told), ==, i - 1);
      pool_ring_answer (&asking.fixture.ring, 0, i, go);
      while (atomic_load (&asking.told) != i)
        sched_yield ();
      g_assert_cmpint (atomic_load (&asking.said), ==, go);
    }
  g_assert_cmpuint (atomic_load (&asking.told), ==, asking.n - 1);
  pool_ring_stop (&asking.fixture.ring);
  g_thread_join (thread);
  g_assert_false (atomic_load (&asking.said));
  ring_fixture_clear (&asking.fixture);
  unit_watchdog (0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ring-control/quota", test_quota);
  g_test_add_func ("/ring-control/leave", test_leave);
  g_test_add_func ("/ring-control/stays", test_stays);
  g_test_add_data_func ("/ring-control/not-counted/leaves", GUINT_TO_POINTER (FALSE), test_not_counted);
  g_test_add_data_func ("/ring-control/not-counted/abandoned", GUINT_TO_POINTER (TRUE), test_not_counted);
  g_test_add_func ("/ring-control/abandon", test_abandon);
  g_test_add_func ("/ring-control/notify", test_notify);
  g_test_add_func ("/ring-control/answer", test_answer);
  g_test_add_func ("/ring-control/ask", test_ask);
  return g_test_run ();
}
