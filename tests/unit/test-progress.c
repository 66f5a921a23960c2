/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-progress-private.h"
#include "unit-common.h"

#include <sched.h>

static void
test_word (void)
{
  const guint limits[] = { 0, 1, 255, 65536, POOL_PROGRESS_MAX_ITEMS };

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    for (guint j = 0; j < G_N_ELEMENTS (limits); j++)
      for (guint serial = 0; serial <= G_MAXUINT16; serial += 257)
        {
          guint64 word = pool_progress_pack (serial, limits[i], limits[j]);

          g_assert_cmpuint (pool_progress_serial (word), ==, serial);
          g_assert_cmpuint (pool_progress_started (word), ==, limits[i]);
          g_assert_cmpuint (pool_progress_end (word), ==, limits[j]);
        }
}

static void
test_alone (void)
{
  PoolProgress progress;

  pool_progress_begin (&progress, 7, 3);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpuint (pool_progress_started (atomic_load (&progress)), ==, i);
      g_assert_true (pool_progress_next (&progress, 3, i));
    }
  g_assert_false (pool_progress_next (&progress, 3, 3));
  g_assert_cmpuint (atomic_load (&progress), ==, pool_progress_pack (7, 3, 3));

  pool_progress_begin (&progress, 8, 0);
  g_assert_false (pool_progress_next (&progress, 0, 0));

  /* nobody takes anything back from a worker elsewhere */
  g_assert_true (pool_progress_next (NULL, 2, 0));
  g_assert_true (pool_progress_next (NULL, 2, 1));
  g_assert_false (pool_progress_next (NULL, 2, 2));
}

static void
test_most_items (void)
{
  const guint n = POOL_PROGRESS_MAX_ITEMS;
  PoolProgress progress;

  pool_progress_begin (&progress, G_MAXUINT16, n);
  g_assert_true (pool_progress_next (&progress, n, 0));
  g_assert_cmpuint (pool_progress_take_back (&progress, G_MAXUINT16, n), ==, 1 + (n - 1) / 2);

  /* the last item there can be does not run over into the serial number */
  atomic_store (&progress, pool_progress_pack (5, n - 1, n));
  g_assert_true (pool_progress_next (&progress, n, n - 1));
  g_assert_cmpuint (atomic_load (&progress), ==, pool_progress_pack (5, n, n));
  g_assert_false (pool_progress_next (&progress, n, n));
  g_assert_cmpuint (atomic_load (&progress), ==, pool_progress_pack (5, n, n));
}

static void
test_take_back (void)
{
  PoolProgress progress;

  pool_progress_begin (&progress, 1, 10);
  /* the worker may not have begun to look at it */
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 10), ==, 0);
  g_assert_true (pool_progress_next (&progress, 10, 0));

  /* not of this batch, or not of this length any more */
  g_assert_cmpuint (pool_progress_take_back (&progress, 2, 10), ==, 0);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 9), ==, 0);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 11), ==, 0);

  /* 1 is started: of the 9 others the worker keeps 4 */
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 10), ==, 5);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 10), ==, 0);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 5), ==, 3);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 3), ==, 2);
  /* of one that is left the worker keeps none */
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 2), ==, 1);
  g_assert_cmpuint (pool_progress_take_back (&progress, 1, 1), ==, 0);
  g_assert_false (pool_progress_next (&progress, 10, 1));

  pool_progress_begin (&progress, 2, 2);
  g_assert_true (pool_progress_next (&progress, 2, 0));
  g_assert_true (pool_progress_next (&progress, 2, 1));
  g_assert_cmpuint (pool_progress_take_back (&progress, 2, 2), ==, 0);
}

/* --- the end of a batch --- */

static void
test_begin_whole (void)
{
  PoolProgress progress;

  /* a lone call, or a batch that is one piece: nothing of it can be taken back */
  for (guint n = 1; n <= 3; n++)
    {
      pool_progress_begin_whole (&progress, 9, n);
      g_assert_cmpuint (atomic_load (&progress), ==, pool_progress_pack (9, n, n));
      g_assert_cmpuint (pool_progress_take_back (&progress, 9, n), ==, 0);
      g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 9), ==, n);
      g_assert_true (pool_progress_finish (&progress));
      g_assert_cmpuint (pool_progress_take_back (&progress, 9, n), ==, 0);
    }

  pool_progress_begin_whole (&progress, G_MAXUINT16, POOL_PROGRESS_MAX_ITEMS);
  g_assert_cmpuint (pool_progress_doom (&progress, G_MAXUINT16, -1), ==, POOL_PROGRESS_MAX_ITEMS);
  g_assert_false (pool_progress_finish (&progress));
}

static void
test_finish (void)
{
  const guint sizes[] = { 0, 1, 2, POOL_PROGRESS_MAX_ITEMS };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint started = 0; started < 3 && started <= sizes[i]; started++)
      {
        PoolProgress progress;

        /* also a batch that was of a wrong length, or empty, and of which nothing was started, has an end */
        pool_progress_begin (&progress, 4, sizes[i]);
        for (guint next = 0; next < started; next++)
          g_assert_true (pool_progress_next (&progress, sizes[i], next));
        g_assert_true (pool_progress_finish (&progress));
        g_assert_cmpuint (atomic_load (&progress), ==,
                          pool_progress_pack (4, started, POOL_PROGRESS_FINISHED));
        g_assert_cmpuint (pool_progress_doom (&progress, 4, -1), ==, 0);
        g_assert_cmpuint (pool_progress_doom (&progress, 4, (gint64) started - 1), ==, 0);
        g_assert_cmpuint (pool_progress_take_back (&progress, 4, sizes[i]), ==, 0);
        g_assert_cmpuint (atomic_load (&progress), ==,
                          pool_progress_pack (4, started, POOL_PROGRESS_FINISHED));
      }
}

static void
test_doom (void)
{
  PoolProgress progress;

  /* as in the words of a worker that has just come */
  atomic_init (&progress, 0);
  g_assert_cmpuint (pool_progress_doom (&progress, 0, -1), ==, 0);

  pool_progress_begin (&progress, 3, 4);
  g_assert_cmpuint (pool_progress_doom (&progress, 3, -1), ==, 0);
  g_assert_true (pool_progress_next (&progress, 4, 0));
  g_assert_true (pool_progress_next (&progress, 4, 1));
  /* another batch, an item that is over, one that is to come */
  g_assert_cmpuint (pool_progress_doom (&progress, 2, -1), ==, 0);
  g_assert_cmpuint (pool_progress_doom (&progress, 3, 0), ==, 0);
  g_assert_cmpuint (pool_progress_doom (&progress, 3, 2), ==, 0);
  g_assert_cmpuint (atomic_load (&progress), ==, pool_progress_pack (3, 2, 4));

  g_assert_cmpuint (pool_progress_doom (&progress, 3, 1), ==, 2);
  g_assert_false (pool_progress_next (&progress, 4, 2));
  g_assert_cmpuint (pool_progress_take_back (&progress, 3, 4), ==, 0);
  g_assert_cmpuint (pool_progress_take_back (&progress, 3, 0), ==, 0);
  /* once */
  g_assert_cmpuint (pool_progress_doom (&progress, 3, 1), ==, 0);
  g_assert_cmpuint (pool_progress_doom (&progress, 3, -1), ==, 0);
  g_assert_false (pool_progress_finish (&progress));
  g_assert_false (pool_progress_finish (&progress));

  /* what is left when the rest was taken back */
  pool_progress_begin (&progress, 4, 4);
  g_assert_true (pool_progress_next (&progress, 4, 0));
  g_assert_cmpuint (pool_progress_take_back (&progress, 4, 4), ==, 2);
  g_assert_cmpuint (pool_progress_take_back (&progress, 4, 2), ==, 1);
  g_assert_cmpuint (pool_progress_doom (&progress, 4, -1), ==, 1);
  g_assert_false (pool_progress_finish (&progress));
}

static void
test_current (void)
{
  PoolProgress progress;

  atomic_init (&progress, 0);
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 0), ==, 0);
  pool_progress_begin (&progress, 6, 2);
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 6), ==, 0);
  g_assert_true (pool_progress_next (&progress, 2, 0));
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 6), ==, 1);
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 5), ==, 0);
  g_assert_true (pool_progress_next (&progress, 2, 1));
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 6), ==, 2);
  /* the hand-out of 65536 tasks later has this number too, and has not begun */
  g_assert_true (pool_progress_finish (&progress));
  g_assert_cmpuint (pool_progress_current (atomic_load (&progress), 6), ==, 0);
}

/* --- two threads --- */

#define MAX_ITEMS 250

typedef struct
{
  PoolProgress progress;
  guint n_batches;
  _Atomic guint batch; /* that runs; n_batches: the end */
  _Atomic guint seen;  /* the manager looks at it */
  _Atomic guint8 *run; /* how often, by batch and item */
  guint8 *taken;       /* the manager's */
  guint8 *sizes;
  guint n_taken;
  guint64 random;
} Hammer;

static gpointer
worker_thread (gpointer data)
{
  Hammer *self = data;
  guint64 random = self->random;

  for (guint batch = 0; batch < self->n_batches; batch++)
    {
      guint n = self->sizes[batch];

      pool_progress_begin (&self->progress, batch, n);
      atomic_store (&self->batch, batch);
      /* they are to meet */
      while (atomic_load (&self->seen) != batch)
        sched_yield ();
      for (guint i = 0; pool_progress_next (&self->progress, n, i); i++)
        {
          atomic_fetch_add (&self->run[batch * MAX_ITEMS + i], 1);
          /* also where there is one CPU for both */
          if (unit_random (&random) % 32 == 0)
            sched_yield ();
        }
    }
  atomic_store (&self->batch, self->n_batches);
  return NULL;
}

/* Takes back as often as it can, also from a batch that it thinks is still running. */
static void
take_all_back (Hammer *self)
{
  guint64 random = self->random * 3;
  guint batch;

  while ((batch = atomic_load (&self->batch)) < self->n_batches)
    {
      guint n = self->sizes[batch];

      atomic_store (&self->seen, batch);
      while (atomic_load (&self->batch) == batch)
        {
          guint first = pool_progress_take_back (&self->progress, batch, n);

          g_assert_cmpuint (pool_progress_take_back (&self->progress, batch, G_MAXUINT), ==, 0);
          if (first == 0)
            {
              sched_yield ();
              continue;
            }
          g_assert_cmpuint (first, <, n);
          for (guint i = first; i < n; i++)
            self->taken[batch * MAX_ITEMS + i]++;
          self->n_taken += n - first;
          n = first;
          for (guint pause = unit_random (&random) % 2048; pause > 0; pause--)
            atomic_signal_fence (memory_order_seq_cst);
        }
    }
}

static void
test_hammer (void)
{
  Hammer hammer = { .n_batches = unit_scale (20000), .random = unit_random_seed () };
  GThread *thread;
  guint n_items = 0;

  unit_watchdog (60);
  atomic_store (&hammer.seen, G_MAXUINT);
  hammer.run = g_new0 (_Atomic guint8, hammer.n_batches * MAX_ITEMS);
  hammer.taken = g_new0 (guint8, hammer.n_batches * MAX_ITEMS);
  hammer.sizes = g_new0 (guint8, hammer.n_batches);
  for (guint i = 0; i < hammer.n_batches; i++)
    n_items += hammer.sizes[i] = 1 + g_test_rand_int_range (0, MAX_ITEMS);

  thread = g_thread_new ("worker", worker_thread, &hammer);
  take_all_back (&hammer);
  g_thread_join (thread);

  for (guint i = 0; i < hammer.n_batches * MAX_ITEMS; i++)
    {
      guint expected = i % MAX_ITEMS < hammer.sizes[i / MAX_ITEMS] ? 1 : 0;

      g_assert_cmpuint (hammer.run[i] + hammer.taken[i], ==, expected);
    }
  g_test_message ("%u of %u items were taken back", hammer.n_taken, n_items);
  g_assert_cmpuint (hammer.n_taken, >, 0);
  unit_watchdog (0);
  g_free ((gpointer) hammer.run);
  g_free (hammer.taken);
  g_free (hammer.sizes);
}

/* --- two threads, and one of them dooms --- */

typedef struct
{
  PoolProgress progress;
  guint n_batches, n_items;
  _Atomic guint batch;   /* that runs; n_batches: the end */
  _Atomic guint seen;    /* the manager looks at it */
  _Atomic guint item;    /* that runs */
  _Atomic guint ended;   /* batches whose end the worker has told */
  _Atomic gboolean done; /* how the last of them ended */
  _Atomic guint judged;  /* batches that the manager is through with */
  guint64 random;
} Race;

static gpointer
racing_thread (gpointer data)
{
  Race *self = data;
  guint64 random = self->random;

  for (guint batch = 0; batch < self->n_batches; batch++)
    {
      pool_progress_begin (&self->progress, batch, self->n_items);
      atomic_store (&self->batch, batch);
      while (atomic_load (&self->seen) != batch)
        sched_yield ();
      for (guint i = 0; pool_progress_next (&self->progress, self->n_items, i); i++)
        {
          atomic_store (&self->item, i);
          if (unit_random (&random) % 8 == 0)
            sched_yield ();
        }
      atomic_store (&self->done, pool_progress_finish (&self->progress));
      atomic_store (&self->ended, batch + 1);
      /* one that is doomed would wait to be killed */
      while (atomic_load (&self->judged) != batch + 1)
        sched_yield ();
    }
  atomic_store (&self->batch, self->n_batches);
  return NULL;
}

/* Dooms each batch that it still can, at a time of its own: either it does so or the worker comes to the end. */
static void
test_race (void)
{
  Race race = { .n_batches = unit_scale (20000), .n_items = 8, .random = unit_random_seed () };
  guint64 random = race.random * 3;
  guint n_doomed = 0, n_any = 0;
  GThread *thread;

  unit_watchdog (60);
  atomic_store (&race.batch, G_MAXUINT);
  atomic_store (&race.seen, G_MAXUINT);
  thread = g_thread_new ("worker", racing_thread, &race);
  for (guint batch = 0; batch < race.n_batches; batch++)
    {
      gint64 wanted = batch % 2 ? -1 : (gint64) (unit_random (&random) % race.n_items);
      guint doomed = 0, pause;

      while (atomic_load (&race.batch) != batch)
        sched_yield ();
      pause = unit_random (&random) % 1024;
      atomic_store (&race.seen, batch);
      for (; pause > 0; pause--)
        atomic_signal_fence (memory_order_seq_cst);
      while (doomed == 0 && atomic_load (&race.ended) != batch + 1)
        {
          g_assert_cmpuint (pool_progress_doom (&race.progress, batch + 1, -1), ==, 0);
          doomed = pool_progress_doom (&race.progress, batch, wanted);
        }
      while (atomic_load (&race.ended) != batch + 1)
        sched_yield ();

      g_assert_cmpint (atomic_load (&race.done), ==, doomed == 0);
      if (doomed > 0)
        {
          n_doomed++;
          n_any += wanted < 0;
          /* it has started nothing else since */
          g_assert_cmpuint (atomic_load (&race.item), ==, doomed - 1);
          g_assert_true (wanted < 0 || wanted == doomed - 1);
        }
      atomic_store (&race.judged, batch + 1);
    }
  g_thread_join (thread);
  g_test_message ("%u of %u batches were doomed, %u of them in any item", n_doomed, race.n_batches, n_any);
  g_assert_cmpuint (n_doomed, >, 0);
  g_assert_cmpuint (n_any, >, 0);
  unit_watchdog (0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/progress/word", test_word);
  g_test_add_func ("/progress/alone", test_alone);
  g_test_add_func ("/progress/most-items", test_most_items);
  g_test_add_func ("/progress/take-back", test_take_back);
  g_test_add_func ("/progress/begin-whole", test_begin_whole);
  g_test_add_func ("/progress/finish", test_finish);
  g_test_add_func ("/progress/doom", test_doom);
  g_test_add_func ("/progress/current", test_current);
  g_test_add_func ("/progress/hammer", test_hammer);
  g_test_add_func ("/progress/race", test_race);
  return g_test_run ();
}
