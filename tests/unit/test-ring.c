/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "ring-common.h"

#include <poll.h>

/*
 * The ring step by step: manager and workers take turns in one thread. What they do at the same time is tested by
 * test-ring-threads and test-ring-processes.
 */

static PoolRingWorker
start_worker (RingFixture *fixture, guint index, guint32 incarnation)
{
  PoolRingWorker worker;

  pool_ring_worker_add (&fixture->ring, index, incarnation);
  pool_ring_worker_attach (&worker, fixture->memory, index, fixture->event_fd);
  return worker;
}

/* A worker that finds nothing would wait; one that is to stop says that it found nothing. */
static PoolRingSlot *
claim_or_stop (RingFixture *fixture, PoolRingWorker *worker)
{
  PoolRingSlot *slot;

  atomic_store (&fixture->ring.header->stop, 1);
  slot = pool_ring_claim (worker);
  atomic_store (&fixture->ring.header->stop, 0);
  return slot;
}

static void
put_many (RingFixture *fixture, guint64 first, guint n)
{
  for (guint i = 0; i < n; i++)
    g_assert_true (ring_put (fixture, first + i, NULL));
  pool_ring_publish (&fixture->ring);
}

static void
take_result (RingFixture *fixture, guint worker, guint64 handle)
{
  PoolRingResult result;

  g_assert_true (pool_ring_next_result (&fixture->ring, worker, &result));
  g_assert_cmpuint (result.handle, ==, handle);
  ring_accept (fixture, &result);
  pool_ring_consumed (&fixture->ring, worker);
}

/* Claims all that is there, once; @seen: by handle. */
static guint
run_all (RingFixture *fixture, PoolRingWorker *worker, guint8 *seen)
{
  PoolRingSlot *slot;
  guint n = 0;

  while ((slot = claim_or_stop (fixture, worker)) != NULL)
    {
      guint64 handle = slot->handle;

      g_assert_cmpuint (seen[handle]++, ==, 0);
      ring_reply (worker, slot);
      take_result (fixture, worker->index, handle);
      n++;
    }
  return n;
}

/* --- memory --- */

static void
test_layout (void)
{
  const guint shapes[][3] = { { 2, 2, 1 }, { 4, 2, 3 }, { 64, 128, 64 }, { 1024, 1024, 65 }, { 2, 2, POOL_RING_MAX_WORKERS } };

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      const guint *shape = shapes[i];
      const guint8 *end_of_slots, *end_of_words;
      RingFixture fixture;
      PoolRingWorker last;

      ring_fixture_init (&fixture, shape[0], shape[1], shape[2], FALSE);
      last = start_worker (&fixture, shape[2] - 1, 1);
      end_of_slots = (const guint8 *) (fixture.ring.slots + shape[0]);
      end_of_words = (const guint8 *) (fixture.ring.words + shape[2]);
      g_assert_true ((const guint8 *) (fixture.ring.header + 1) <= (const guint8 *) fixture.ring.slots);
      g_assert_true (end_of_slots <= (const guint8 *) fixture.ring.words);
      g_assert_true (end_of_words <= (const guint8 *) fixture.ring.results);
      g_assert_true (last.results == fixture.ring.results + (gsize) (shape[2] - 1) * shape[1]);
      g_assert_true ((const guint8 *) (last.results + shape[1]) <= fixture.memory + fixture.size);
      g_assert_cmpuint (GPOINTER_TO_SIZE (fixture.ring.slots) % POOL_RING_LINE, ==, 0);
      g_assert_cmpuint (GPOINTER_TO_SIZE (fixture.ring.words) % POOL_RING_LINE, ==, 0);
      g_assert_cmpuint (GPOINTER_TO_SIZE (fixture.ring.results) % POOL_RING_LINE, ==, 0);
      ring_fixture_clear (&fixture);
    }
}

/* --- tasks --- */

static void
test_room (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  guint index;

  ring_fixture_init (&fixture, 4, 4, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  for (guint i = 0; i < 4; i++)
    {
      g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 4 - i);
      g_assert_true (ring_put (&fixture, i, &index));
      g_assert_cmpuint (index, ==, i);
    }
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 0);
  g_assert_false (ring_put (&fixture, 9, &index));
  pool_ring_publish (&fixture.ring);

  ring_reply (&worker, pool_ring_claim (&worker));
  /* the slot is in use until its result has been taken */
  g_assert_false (ring_put (&fixture, 9, &index));
  take_result (&fixture, 0, 0);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 1);
  g_assert_true (ring_put (&fixture, 9, &index));
  g_assert_cmpuint (index, ==, 0);
  /* released twice is released once */
  pool_ring_release (&fixture.ring, 3);
  pool_ring_release (&fixture.ring, 3);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 1);
  ring_fixture_clear (&fixture);
}

static void
test_claim (void)
{
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 32, 32, 3, FALSE);
  worker = start_worker (&fixture, 2, 77);
  put_many (&fixture, 100, 32);
  for (guint i = 0; i < 32; i++)
    {
      PoolRingSlot *slot = pool_ring_claim (&worker);

      g_assert_cmpuint (slot - fixture.ring.slots, ==, i);
      g_assert_cmpuint (slot->handle, ==, 100 + i);
      g_assert_cmpuint (slot->id, ==, 101 + i);
      g_assert_cmphex (atomic_load (&slot->word), ==, POOL_SLOT_RUNNING | 77 << 2);
      g_assert_cmpuint (atomic_load (&worker.words->current), ==, i + 1);
    }
  g_assert_null (claim_or_stop (&fixture, &worker));
  ring_fixture_clear (&fixture);
}

/* Incarnations have 30 bits; none of them looks like a slot that nobody has. */
static void
test_incarnations (void)
{
  const guint32 incarnations[] = { 0, 1, (1u << 29) - 1, 1u << 29, (1u << 30) - 1 };

  for (guint i = 0; i < G_N_ELEMENTS (incarnations); i++)
    {
      RingFixture fixture;
      PoolRingWorker worker;
      guint index;

      ring_fixture_init (&fixture, 2, 2, 1, FALSE);
      worker = start_worker (&fixture, 0, incarnations[i]);
      g_assert_true (ring_put (&fixture, 5, &index));
      pool_ring_publish (&fixture.ring);
      g_assert_nonnull (pool_ring_claim (&worker));
      g_assert_false (pool_ring_take_back (&fixture.ring, index));
      g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 0), ==, (int) index);
      ring_fixture_clear (&fixture);
    }
}

static void
test_publish (void)
{
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  g_assert_true (ring_put (&fixture, 1, NULL));
  g_assert_true (ring_put (&fixture, 2, NULL));
  g_assert_null (claim_or_stop (&fixture, &worker));
  pool_ring_publish (&fixture.ring);
  g_assert_nonnull (claim_or_stop (&fixture, &worker));
  g_assert_nonnull (claim_or_stop (&fixture, &worker));
  g_assert_null (claim_or_stop (&fixture, &worker));
  ring_fixture_clear (&fixture);
}

/* A task that runs for long is stepped over, round after round. */
static void
test_step_over (void)
{
  RingFixture fixture;
  PoolRingWorker slow, quick;
  guint index;

  for (guint n_slow = 1; n_slow < 4; n_slow++)
    {
      ring_fixture_init (&fixture, 4, 4, 2, FALSE);
      slow = start_worker (&fixture, 0, 1);
      quick = start_worker (&fixture, 1, 2);
      for (guint i = 0; i < n_slow; i++)
        {
          put_many (&fixture, i, 1);
          g_assert_nonnull (pool_ring_claim (&slow));
        }
      for (guint64 handle = 100; handle < 140; handle++)
        {
          g_assert_true (ring_put (&fixture, handle, &index));
          g_assert_cmpuint (index, >=, n_slow);
          pool_ring_publish (&fixture.ring);
          ring_reply (&quick, pool_ring_claim (&quick));
          take_result (&fixture, 1, handle);
        }
      g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 4 - n_slow);
      ring_reply (&slow, &fixture.ring.slots[0]);
      take_result (&fixture, 0, 0);
      ring_fixture_clear (&fixture);
    }
}

/* Positions are counted on for ever, and wrap. */
static void
test_positions_wrap (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  g_autofree guint8 *seen = g_new0 (guint8, 1000);

  ring_fixture_init (&fixture, 8, 4, 1, FALSE);
  fixture.ring.next = fixture.ring.head = G_MAXUINT32 - 499;
  atomic_store (&fixture.ring.header->head, fixture.ring.head);
  atomic_store (&fixture.ring.header->cursor, fixture.ring.head);
  fixture.ring.taken[0] = G_MAXUINT32 - 499;
  worker = start_worker (&fixture, 0, 1);
  for (guint i = 0; i < 1000; i += 4)
    {
      put_many (&fixture, i, 4);
      g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 4);
    }
  g_assert_cmpuint (fixture.ring.next, ==, 500);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 8);
  ring_fixture_clear (&fixture);
}

static void
test_take_back (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  g_autofree guint8 *seen = g_new0 (guint8, 16);
  guint indexes[4];

  ring_fixture_init (&fixture, 4, 4, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  g_assert_false (pool_ring_take_back (&fixture.ring, 0));
  for (guint i = 0; i < 4; i++)
    g_assert_true (ring_put (&fixture, i, &indexes[i]));
  pool_ring_publish (&fixture.ring);
  g_assert_cmpuint (pool_ring_claim (&worker)->handle, ==, 0);
  g_assert_false (pool_ring_take_back (&fixture.ring, indexes[0]));
  g_assert_true (pool_ring_take_back (&fixture.ring, indexes[2]));
  g_assert_false (pool_ring_take_back (&fixture.ring, indexes[2]));
  /* it is still the manager's, until it lets go of it */
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 0);
  pool_ring_release (&fixture.ring, indexes[2]);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 1);

  ring_reply (&worker, &fixture.ring.slots[indexes[0]]);
  take_result (&fixture, 0, 0);
  g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 2);
  g_assert_cmpuint (seen[2], ==, 0);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 4);
  /* and the place is good for another */
  put_many (&fixture, 10, 4);
  g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 4);
  ring_fixture_clear (&fixture);
}

/* --- the end of workers --- */

static void
test_retire (void)
{
  RingFixture fixture;
  PoolRingWorker worker, other;

  ring_fixture_init (&fixture, 8, 8, 2, FALSE);
  worker = start_worker (&fixture, 0, 1);
  other = start_worker (&fixture, 1, 2);
  put_many (&fixture, 0, 4);
  g_assert_nonnull (pool_ring_claim (&worker));
  /* the task that it has is its last, whatever waits */
  pool_ring_retire (&fixture.ring, 0);
  g_assert_null (pool_ring_claim (&worker));
  g_assert_nonnull (pool_ring_claim (&other));
  g_assert_nonnull (pool_ring_claim (&other));
  g_assert_nonnull (pool_ring_claim (&other));
  g_assert_null (claim_or_stop (&fixture, &other));
  /* one that comes in its place is not retired */
  pool_ring_worker_reap (&fixture.ring, 0);
  worker = start_worker (&fixture, 0, 3);
  put_many (&fixture, 4, 1);
  g_assert_nonnull (pool_ring_claim (&worker));
  ring_fixture_clear (&fixture);
}

static void
test_stop (void)
{
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  put_many (&fixture, 0, 3);
  pool_ring_stop (&fixture.ring);
  /* what is there is done first */
  for (guint i = 0; i < 3; i++)
    g_assert_nonnull (pool_ring_claim (&worker));
  g_assert_null (pool_ring_claim (&worker));
  ring_fixture_clear (&fixture);
}

static void
test_reap (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  PoolRingResult result;
  guint64 handle;

  ring_fixture_init (&fixture, 8, 8, 2, FALSE);
  worker = start_worker (&fixture, 1, 5);
  /* it had nothing */
  g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 1), ==, -1);

  /* it died in its second task, the result of the first is there */
  worker = start_worker (&fixture, 1, 6);
  put_many (&fixture, 10, 2);
  ring_reply (&worker, pool_ring_claim (&worker));
  handle = pool_ring_claim (&worker)->handle;
  g_assert_cmpuint (handle, ==, 11);
  take_result (&fixture, 1, 10);
  g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 1), ==, 1);
  g_assert_true (fixture.ring.busy[1]);
  pool_ring_release (&fixture.ring, 1);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 8);

  /* it died over a result: all is written but the number that makes it count */
  worker = start_worker (&fixture, 1, 7);
  put_many (&fixture, 20, 1);
  pool_ring_claim (&worker);
  pool_ring_result_reserve (&worker)->kind = POOL_RESULT_BYTES;
  g_assert_false (pool_ring_next_result (&fixture.ring, 1, &result));
  g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 1), ==, 2);
  pool_ring_release (&fixture.ring, 2);

  /* who comes after it writes its results in the same place */
  worker = start_worker (&fixture, 1, 8);
  g_assert_false (pool_ring_has_results (&fixture.ring));
  put_many (&fixture, 30, 1);
  ring_reply (&worker, pool_ring_claim (&worker));
  take_result (&fixture, 1, 30);
  ring_fixture_clear (&fixture);
}

/* A worker takes the cursor further than its task. What it has passed belongs to nobody when it is dead. */
static void
test_orphans (void)
{
  RingFixture fixture;
  PoolRingWorker worker, other;
  g_autofree guint8 *seen = g_new0 (guint8, 64);
  guint index, n_orphans = 0, slot;

  ring_fixture_init (&fixture, 64, 64, 2, FALSE);
  worker = start_worker (&fixture, 0, 1);
  put_many (&fixture, 0, 40);
  g_assert_cmpuint (pool_ring_claim (&worker)->handle, ==, 0);
  g_assert_cmpuint (atomic_load (&fixture.ring.header->cursor), ==, POOL_RING_CLAIM_MAX);

  other = start_worker (&fixture, 1, 2);
  slot = pool_ring_worker_reap (&fixture.ring, 0);
  g_assert_cmpuint (slot, ==, 0);
  while (pool_ring_next_orphan (&fixture.ring, &index))
    {
      g_assert_cmpuint (index, >, 0);
      g_assert_cmpuint (index, <, POOL_RING_CLAIM_MAX);
      g_assert_cmpuint (seen[fixture.ring.slots[index].handle]++, ==, 0);
      pool_ring_release (&fixture.ring, index);
      n_orphans++;
    }
  g_assert_cmpuint (n_orphans, ==, POOL_RING_CLAIM_MAX - 1);

  /* the others are where workers look */
  g_assert_cmpuint (run_all (&fixture, &other, seen), ==, 40 - POOL_RING_CLAIM_MAX);
  pool_ring_release (&fixture.ring, slot);
  g_assert_cmpuint (pool_ring_room (&fixture.ring), ==, 64);
  ring_fixture_clear (&fixture);
}

/* What a worker has set aside, another runs that has nothing else: all of it, and nothing twice. */
static void
test_steal (void)
{
  RingFixture fixture;
  PoolRingWorker slow, quick;
  g_autofree guint8 *seen = g_new0 (guint8, 64);
  PoolRingSlot *first;

  ring_fixture_init (&fixture, 64, 64, 2, FALSE);
  slow = start_worker (&fixture, 0, 1);
  put_many (&fixture, 0, 32);
  first = pool_ring_claim (&slow);
  seen[first->handle]++;
  quick = start_worker (&fixture, 1, 2);
  g_assert_cmpuint (run_all (&fixture, &quick, seen), ==, 31);
  ring_reply (&slow, first);
  take_result (&fixture, 0, 0);
  g_assert_null (claim_or_stop (&fixture, &slow));
  ring_fixture_clear (&fixture);
}

/* --- results --- */

static void
test_result_data (void)
{
  struct
  {
    PoolRingResult copy;
    guint8 after[256];
  } taken;
  const guint64 sizes[] = { 0, 1, 8, POOL_RING_INLINE, POOL_RING_INLINE + 1, 1000, G_GUINT64_CONSTANT (1) << 40,
                            G_MAXUINT64 };
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 2, 2, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      PoolRingResult *result = pool_ring_result_reserve (&worker);
      gsize n = MIN (sizes[i], POOL_RING_INLINE);

      result->kind = POOL_RESULT_BYTES | POOL_RING_DATA_INLINE;
      result->handle = 1000 + i;
      result->slot = 7;
      result->n_items = 3;
      result->size = sizes[i];
      result->run_time = 0.5f;
      memset (result->bytes, 'r', POOL_RING_INLINE);
      memset (&taken, 0xa5, sizeof taken);
      pool_ring_result_publish (&worker);

      g_assert_true (pool_ring_next_result (&fixture.ring, 0, &taken.copy));
      pool_ring_consumed (&fixture.ring, 0);
      g_assert_cmpuint (taken.copy.handle, ==, 1000 + i);
      g_assert_cmpuint (taken.copy.slot, ==, 7);
      g_assert_cmpuint (taken.copy.n_items, ==, 3);
      g_assert_cmpuint (taken.copy.size, ==, sizes[i]);
      g_assert_cmpfloat (taken.copy.run_time, ==, 0.5f);
      g_assert_true (n == 0 || (taken.copy.bytes[0] == 'r' && taken.copy.bytes[n - 1] == 'r'));
      /* however large a worker says that it is */
      for (guint j = 0; j < sizeof taken.after; j++)
        g_assert_cmphex (taken.after[j], ==, 0xa5);
      g_assert_false (pool_ring_next_result (&fixture.ring, 0, &taken.copy));
    }
  ring_fixture_clear (&fixture);
}

static void
test_result_order (void)
{
  RingFixture fixture;
  PoolRingWorker worker;

  ring_fixture_init (&fixture, 8, 4, 2, FALSE);
  worker = start_worker (&fixture, 1, 1);
  for (guint64 handle = 0; handle < 400; handle += 4)
    {
      put_many (&fixture, handle, 4);
      g_assert_false (pool_ring_has_results (&fixture.ring));
      for (guint i = 0; i < 4; i++)
        ring_reply (&worker, pool_ring_claim (&worker));
      g_assert_true (pool_ring_has_results (&fixture.ring));
      for (guint i = 0; i < 4; i++)
        take_result (&fixture, 1, handle + i);
    }
  ring_fixture_clear (&fixture);
}

/* --- waking the manager --- */

static gboolean
is_readable (int fd)
{
  struct pollfd poll_fd = { fd, POLLIN, 0 };

  return poll (&poll_fd, 1, 0) == 1;
}

static void
test_arm (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  guint64 count;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  put_many (&fixture, 0, 5);

  /* nobody asked */
  ring_reply (&worker, pool_ring_claim (&worker));
  g_assert_false (is_readable (fixture.event_fd));
  /* it is too late to ask: there is something */
  g_assert_true (pool_ring_arm (&fixture.ring, TRUE));
  take_result (&fixture, 0, 0);
  g_assert_false (pool_ring_arm (&fixture.ring, FALSE));

  g_assert_false (pool_ring_arm (&fixture.ring, TRUE));
  g_assert_false (pool_ring_arm (&fixture.ring, TRUE));
  ring_reply (&worker, pool_ring_claim (&worker));
  ring_reply (&worker, pool_ring_claim (&worker));
  g_assert_true (is_readable (fixture.event_fd));
  g_assert_cmpint (read (fixture.event_fd, &count, sizeof count), ==, sizeof count);
  /* once for both */
  g_assert_cmpuint (count, ==, 1);
  take_result (&fixture, 0, 1);
  take_result (&fixture, 0, 2);

  g_assert_false (pool_ring_arm (&fixture.ring, TRUE));
  g_assert_false (pool_ring_arm (&fixture.ring, FALSE));
  ring_reply (&worker, pool_ring_claim (&worker));
  g_assert_false (is_readable (fixture.event_fd));
  take_result (&fixture, 0, 3);
  ring_fixture_clear (&fixture);
}

static void
test_wait (void)
{
  RingFixture fixture;
  PoolRingWorker worker;
  gint64 start;

  ring_fixture_init (&fixture, 8, 8, 1, FALSE);
  worker = start_worker (&fixture, 0, 1);
  start = pool_now_ns ();
  g_assert_false (pool_ring_wait (&fixture.ring, 0, 20 * 1000 * 1000));
  g_assert_cmpint (pool_now_ns () - start, >=, 20 * 1000 * 1000);
  g_assert_false (pool_ring_wait (&fixture.ring, 0, 0));
  g_assert_false (pool_ring_wait (&fixture.ring, 0, 1000));

  put_many (&fixture, 0, 1);
  ring_reply (&worker, pool_ring_claim (&worker));
  g_assert_true (pool_ring_wait (&fixture.ring, 0, -1));
  g_assert_true (pool_ring_wait (&fixture.ring, 0, 0) || !fixture.ring.header->spin);
  take_result (&fixture, 0, 0);

  /* a kick since the number was read */
  unit_watchdog (20);
  pool_ring_kick (&fixture.ring);
  g_assert_false (pool_ring_wait (&fixture.ring, 0, -1));
  pool_ring_kick (&fixture.ring);
  g_assert_false (pool_ring_wait (&fixture.ring, 1, -1));
  unit_watchdog (0);
  ring_fixture_clear (&fixture);
}

/* --- words that a worker left wrong --- */

/* The cursor too far back: workers look at positions again, where there is nothing. */
static void
test_cursor_behind (void)
{
  const guint32 distances[] = { 1, 7, 8, 100, 1000000 };

  for (guint i = 0; i < G_N_ELEMENTS (distances); i++)
    {
      g_autofree guint8 *seen = g_new0 (guint8, 32);
      RingFixture fixture;
      PoolRingWorker worker;

      ring_fixture_init (&fixture, 8, 8, 1, FALSE);
      worker = start_worker (&fixture, 0, 1);
      put_many (&fixture, 0, 8);
      g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 8);
      put_many (&fixture, 8, 8);
      atomic_fetch_sub (&fixture.ring.header->cursor, distances[i]);
      g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 8);
      put_many (&fixture, 16, 8);
      g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 8);
      ring_fixture_clear (&fixture);
    }
}

/* Too far ahead, by one that died of what made it write there: others find the tasks all the same. */
static void
test_cursor_ahead (void)
{
  const guint32 distances[] = { 1, 7, 8, 100, G_MAXINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (distances); i++)
    {
      g_autofree guint8 *seen = g_new0 (guint8, 32);
      RingFixture fixture;
      PoolRingWorker other;
      guint index, n = 0;

      ring_fixture_init (&fixture, 8, 8, 2, FALSE);
      start_worker (&fixture, 0, 1);
      other = start_worker (&fixture, 1, 2);
      put_many (&fixture, 0, 4);
      atomic_store (&fixture.ring.header->cursor, fixture.ring.head + distances[i]);
      g_assert_cmpint (pool_ring_worker_reap (&fixture.ring, 0), ==, -1);
      while (pool_ring_next_orphan (&fixture.ring, &index))
        {
          guint64 handle = fixture.ring.slots[index].handle;

          pool_ring_release (&fixture.ring, index);
          g_assert_true (ring_put (&fixture, handle, NULL));
          /* a manager that does so for ever is worse than one that does not */
          g_assert_cmpuint (n++, <, 8);
        }
      pool_ring_publish (&fixture.ring);
      put_many (&fixture, 4, 4);
      g_assert_cmpuint (run_all (&fixture, &other, seen), ==, 8);
      put_many (&fixture, 8, 8);
      g_assert_cmpuint (run_all (&fixture, &other, seen), ==, 8);
      ring_fixture_clear (&fixture);
    }
}

/* Positions that a worker claims to have set aside: whoever steals them finds what is there, or nothing. */
static void
test_blocks_wrong (void)
{
  const guint64 blocks[] = { G_MAXUINT64, G_MAXUINT32, G_GUINT64_CONSTANT (5) << 32,
                             G_GUINT64_CONSTANT (3) << 32 | 9, G_GUINT64_CONSTANT (0xfffffff8) << 32 | 4 };

  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    {
      g_autofree guint8 *seen = g_new0 (guint8, 32);
      RingFixture fixture;
      PoolRingWorker worker;

      ring_fixture_init (&fixture, 8, 8, 2, FALSE);
      start_worker (&fixture, 0, 1);
      worker = start_worker (&fixture, 1, 2);
      atomic_store (&fixture.ring.words[0].block, blocks[i]);
      /* bits of workers that there are not, too */
      atomic_store (&fixture.ring.header->blocks[0], G_MAXUINT64);
      for (guint round = 0; round < 3; round++)
        {
          put_many (&fixture, 8 * round, 8);
          g_assert_cmpuint (run_all (&fixture, &worker, seen), ==, 8);
        }
      ring_fixture_clear (&fixture);
    }
}

/* Bits of sleepers that there are not: nothing is written beyond the words of workers. */
static void
test_sleepers_wrong (void)
{
  RingFixture fixture;
  gsize size;
  guint8 *results;
  g_autofree guint8 *copy = NULL;

  ring_fixture_init (&fixture, 8, 64, 2, FALSE);
  start_worker (&fixture, 0, 1);
  start_worker (&fixture, 1, 2);
  results = (guint8 *) fixture.ring.results;
  size = fixture.memory + fixture.size - results;
  /* results that look like workers that sleep */
  for (gsize i = 0; i < size; i += 4)
    results[i] = POOL_WORKER_SLEEPING;
  copy = g_memdup2 (results, size);
  atomic_store (&fixture.ring.header->sleepers[0], G_MAXUINT64);
  pool_ring_worker_set_stopped (&fixture.ring, 1, TRUE);
  pool_ring_wake_all (&fixture.ring);
  g_assert_cmpmem (results, size, copy, size);
  ring_fixture_clear (&fixture);
}

static void
add_tests (void)
{
  g_test_add_func ("/ring/layout", test_layout);
  g_test_add_func ("/ring/room", test_room);
  g_test_add_func ("/ring/claim", test_claim);
  g_test_add_func ("/ring/incarnations", test_incarnations);
  g_test_add_func ("/ring/publish", test_publish);
  g_test_add_func ("/ring/step-over", test_step_over);
  g_test_add_func ("/ring/positions-wrap", test_positions_wrap);
  g_test_add_func ("/ring/take-back", test_take_back);
  g_test_add_func ("/ring/retire", test_retire);
  g_test_add_func ("/ring/stop", test_stop);
  g_test_add_func ("/ring/reap", test_reap);
  g_test_add_func ("/ring/orphans", test_orphans);
  g_test_add_func ("/ring/steal", test_steal);
  g_test_add_func ("/ring/result-data", test_result_data);
  g_test_add_func ("/ring/result-order", test_result_order);
  g_test_add_func ("/ring/arm", test_arm);
  g_test_add_func ("/ring/wait", test_wait);
  g_test_add_func ("/ring/wrong/cursor-behind", test_cursor_behind);
  g_test_add_func ("/ring/wrong/cursor-ahead", test_cursor_ahead);
  g_test_add_func ("/ring/wrong/blocks", test_blocks_wrong);
  g_test_add_func ("/ring/wrong/sleepers", test_sleepers_wrong);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  unit_watchdog (100);
  add_tests ();
  status = g_test_run ();
  unit_watchdog (0);
  return status;
}
