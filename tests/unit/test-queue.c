/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-queue-private.h"
#include "unit-common.h"

/* Every so many turns, the one that has waited longest goes first. */
#define AGEING_TURNS 16

static PoolRecord *
take (PoolQueue *queue)
{
  PoolRecord *record = pool_queue_peek (queue);

  g_assert_true (pool_queue_peek (queue) == record);
  if (record == NULL)
    return NULL;
  pool_queue_remove (queue, record);
  pool_queue_turn (queue);
  return record;
}

/* Forwards and backwards, all that is in it, and nothing else. */
static void
check_links (PoolQueue *queue)
{
  guint n = 0;

  for (guint level = 0; level < POOL_QUEUE_LEVELS; level++)
    {
      PoolRecord *head = queue->levels[level].head, *last = NULL;

      g_assert_cmpuint ((queue->used >> level) & 1, ==, head != NULL);
      for (PoolRecord *record = head; record != NULL; record = record->next)
        {
          g_assert_true (record->prev == last);
          g_assert_cmpint (record->priority - POOL_PRIORITY_MIN, ==, level);
          last = record;
          n++;
        }
      g_assert_true (queue->levels[level].tail == last);
    }
  g_assert_cmpuint (queue->n, ==, n);
}

static void
test_empty (void)
{
  PoolQueue queue = { 0 };
  PoolRecord record = { 0 };

  for (guint i = 0; i <= AGEING_TURNS; i++)
    {
      g_assert_null (pool_queue_peek (&queue));
      pool_queue_turn (&queue);
    }
  g_assert_null (pool_queue_any (&queue));
  pool_queue_push_tail (&queue, &record);
  g_assert_true (pool_queue_any (&queue) == &record);
  g_assert_true (take (&queue) == &record);
  g_assert_null (pool_queue_peek (&queue));
  check_links (&queue);
}

/* As they came, also in the turns of the oldest. */
static void
test_order (void)
{
  PoolQueue queue = { 0 };
  PoolRecord records[3 * AGEING_TURNS] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    pool_queue_push_tail (&queue, &records[i]);
  check_links (&queue);
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    {
      g_assert_true (take (&queue) == &records[i]);
      g_assert_false (records[i].is_aged);
    }
  g_assert_cmpuint (queue.n, ==, 0);
}

static void
test_priorities (void)
{
  PoolQueue queue = { 0 };
  PoolRecord records[AGEING_TURNS - 1] = { 0 };
  const gint8 priorities[] = { 0, POOL_PRIORITY_MIN, POOL_PRIORITY_MAX, 1, -1, 0, POOL_PRIORITY_MAX };
  const guint order[] = { 2, 6, 3, 0, 5, 4, 1 };

  for (guint i = 0; i < G_N_ELEMENTS (priorities); i++)
    {
      records[i].priority = priorities[i];
      pool_queue_push_tail (&queue, &records[i]);
    }
  check_links (&queue);
  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    g_assert_true (take (&queue) == &records[order[i]]);
  check_links (&queue);
}

/* There is always something more urgent: what is not comes in its turn nevertheless. */
static void
test_ageing (void)
{
  enum { N_LOW = 4, N = 2 * N_LOW * AGEING_TURNS };
  PoolQueue queue = { 0 };
  PoolRecord low[N_LOW] = { 0 };
  g_autofree PoolRecord *urgent = g_new0 (PoolRecord, N);
  guint n_low = 0, n_urgent = 0;

  for (guint i = 0; i < N_LOW; i++)
    {
      low[i].priority = i % 2 ? POOL_PRIORITY_MIN : -1;
      pool_queue_push_tail (&queue, &low[i]);
    }
  for (guint i = 0; i < N; i++)
    {
      urgent[i].priority = POOL_PRIORITY_MAX;
      pool_queue_push_tail (&queue, &urgent[i]);
    }

  for (guint turn = 0; n_low < N_LOW; turn++)
    {
      PoolRecord *record = take (&queue);

      g_assert_cmpuint (turn, <, N);
      if (turn % AGEING_TURNS != AGEING_TURNS - 1)
        {
          g_assert_true (record == &urgent[n_urgent++]);
          g_assert_false (record->is_aged);
          continue;
        }
      /* the oldest of all, whatever its priority is */
      g_assert_true (record == &low[n_low++]);
      g_assert_true (record->is_aged);
    }
  check_links (&queue);
}

/* What is put back is the first again, and as old as it was. */
static void
test_put_back (void)
{
  PoolQueue queue = { 0 };
  PoolRecord records[3] = { 0 }, urgent = { .priority = 1 };
  guint64 order;

  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    pool_queue_push_tail (&queue, &records[i]);
  order = records[0].order;
  g_assert_true (take (&queue) == &records[0]);
  g_assert_true (take (&queue) == &records[1]);
  /* the later one first, so that they stand as before */
  pool_queue_push_head (&queue, &records[1]);
  pool_queue_push_head (&queue, &records[0]);
  g_assert_cmpuint (records[0].order, ==, order);
  check_links (&queue);

  pool_queue_push_tail (&queue, &urgent);
  queue.turn = AGEING_TURNS - 1;
  g_assert_true (take (&queue) == &records[0]);
  g_assert_true (take (&queue) == &urgent);
  g_assert_true (take (&queue) == &records[1]);
  g_assert_true (take (&queue) == &records[2]);

  /* into an empty level */
  pool_queue_push_head (&queue, &records[2]);
  check_links (&queue);
  g_assert_true (take (&queue) == &records[2]);
  g_assert_null (take (&queue));
}

/* From the beginning, the middle and the end, in any order. */
static void
test_remove (void)
{
  enum { N = 200 };
  PoolQueue queue = { 0 };
  g_autofree PoolRecord *records = g_new0 (PoolRecord, N);
  gboolean in[N] = { FALSE };
  guint64 random = unit_random_seed ();

  for (guint i = 0; i < 20 * N; i++)
    {
      guint k = unit_random (&random) % N;

      if (in[k])
        pool_queue_remove (&queue, &records[k]);
      else
        {
          records[k].priority = (gint) (unit_random (&random) % POOL_QUEUE_LEVELS) + POOL_PRIORITY_MIN;
          if (unit_random (&random) % 2)
            pool_queue_push_tail (&queue, &records[k]);
          else
            pool_queue_push_head (&queue, &records[k]);
        }
      in[k] = !in[k];
      check_links (&queue);
    }
  while (pool_queue_any (&queue) != NULL)
    {
      PoolRecord *record = pool_queue_any (&queue);

      g_assert_true (in[record - records]);
      in[record - records] = FALSE;
      pool_queue_remove (&queue, record);
    }
  check_links (&queue);
  for (guint i = 0; i < N; i++)
    g_assert_false (in[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/queue/empty", test_empty);
  g_test_add_func ("/queue/order", test_order);
  g_test_add_func ("/queue/priorities", test_priorities);
  g_test_add_func ("/queue/ageing", test_ageing);
  g_test_add_func ("/queue/put-back", test_put_back);
  g_test_add_func ("/queue/remove", test_remove);
  return g_test_run ();
}
