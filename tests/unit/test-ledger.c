/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-ledger-private.h"
#include "unit-common.h"

static PoolRecord *
record_new (void)
{
  return g_new0 (PoolRecord, 1);
}

/* --- the machine --- */

typedef struct
{
  PoolRecordState from, to;
} Step;

static void
note_step (const PoolRecord *record, PoolRecordState from, PoolRecordState to, gpointer user_data)
{
  const Step step = { from, to };

  g_assert_cmpint (record->state, ==, to);
  g_array_append_val ((GArray *) user_data, step);
}

static void
assert_steps (GArray *steps, const Step *expected, guint n)
{
  g_assert_cmpuint (steps->len, ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpint (g_array_index (steps, Step, i).from, ==, expected[i].from);
      g_assert_cmpint (g_array_index (steps, Step, i).to, ==, expected[i].to);
    }
  g_array_set_size (steps, 0);
}

static void
test_one_life (void)
{
  g_autoptr (GArray) steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_autofree PoolRecord *record = record_new ();
  PoolLedger ledger;
  guint64 handle;

  pool_ledger_init (&ledger);
  ledger.observer = note_step;
  ledger.observer_data = steps;

  pool_ledger_add (&ledger, record, 0);
  g_assert_cmpuint (record->id, ==, 1);
  g_assert_cmpuint (record->attempt, ==, 1);
  g_assert_cmpuint (ledger.n_records, ==, 1);

  handle = pool_ledger_send (&ledger, record);
  g_assert_cmpuint (handle, ==, pool_record_get_handle (record));
  g_assert_cmpuint (handle, !=, 0);
  g_assert_true (pool_ledger_find (&ledger, handle) == record);

  pool_ledger_finish (&ledger, record, POOL_RECORD_DONE);
  g_assert_null (pool_ledger_find (&ledger, handle));
  g_assert_cmpuint (ledger.n_records, ==, 0);

  assert_steps (steps,
                (const Step[]){ { POOL_RECORD_NEW, POOL_RECORD_QUEUED },
                                { POOL_RECORD_QUEUED, POOL_RECORD_SENT },
                                { POOL_RECORD_SENT, POOL_RECORD_DONE } },
                3);
  pool_ledger_clear (&ledger);
}

static void
test_ends (void)
{
  const PoolRecordState states[] = { POOL_RECORD_QUEUED, POOL_RECORD_SENT, POOL_RECORD_RUNNING };
  const PoolRecordState ends[] = { POOL_RECORD_DONE, POOL_RECORD_FAILED, POOL_RECORD_CANCELLED };
  PoolLedger ledger;

  pool_ledger_init (&ledger);
  for (guint i = 0; i < G_N_ELEMENTS (states); i++)
    for (guint j = 0; j < G_N_ELEMENTS (ends); j++)
      {
        g_autofree PoolRecord *record = record_new ();

        /* what nobody has got can only be cancelled */
        if (states[i] == POOL_RECORD_QUEUED && ends[j] != POOL_RECORD_CANCELLED)
          continue;
        pool_ledger_add (&ledger, record, 0);
        if (states[i] != POOL_RECORD_QUEUED)
          pool_ledger_send (&ledger, record);
        record->state = states[i];
        pool_ledger_finish (&ledger, record, ends[j]);
        g_assert_cmpint (record->state, ==, ends[j]);
        g_assert_cmpuint (ledger.n_records, ==, 0);
      }
  pool_ledger_clear (&ledger);
}

static void
test_requeue (void)
{
  g_autoptr (GArray) steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_autofree PoolRecord *record = record_new ();
  PoolLedger ledger;
  guint64 first, second, third;

  pool_ledger_init (&ledger);
  pool_ledger_add (&ledger, record, 0);
  first = pool_ledger_send (&ledger, record);
  ledger.observer = note_step;
  ledger.observer_data = steps;

  pool_ledger_requeue (&ledger, record, FALSE);
  g_assert_cmpuint (record->attempt, ==, 1);
  g_assert_null (pool_ledger_find (&ledger, first));
  g_assert_null (pool_ledger_find (&ledger, pool_record_get_handle (record)));

  second = pool_ledger_send (&ledger, record);
  g_assert_cmpuint (second, !=, first);
  g_assert_null (pool_ledger_find (&ledger, first));
  g_assert_true (pool_ledger_find (&ledger, second) == record);

  record->state = POOL_RECORD_RUNNING;
  pool_ledger_requeue (&ledger, record, TRUE);
  g_assert_cmpuint (record->attempt, ==, 2);
  third = pool_ledger_send (&ledger, record);
  g_assert_null (pool_ledger_find (&ledger, first));
  g_assert_null (pool_ledger_find (&ledger, second));
  g_assert_true (pool_ledger_find (&ledger, third) == record);
  g_assert_cmpuint (record->id, ==, 1);

  assert_steps (steps,
                (const Step[]){ { POOL_RECORD_SENT, POOL_RECORD_QUEUED },
                                { POOL_RECORD_QUEUED, POOL_RECORD_SENT },
                                { POOL_RECORD_RUNNING, POOL_RECORD_QUEUED },
                                { POOL_RECORD_QUEUED, POOL_RECORD_SENT } },
                4);
  ledger.observer = NULL;
  pool_ledger_finish (&ledger, record, POOL_RECORD_FAILED);
  pool_ledger_clear (&ledger);
}

/* --- handles and ids --- */

static void
test_ids (void)
{
  PoolRecord *records[4];
  PoolLedger ledger;

  pool_ledger_init (&ledger);
  for (guint i = 0; i < 4; i++)
    {
      records[i] = record_new ();
      pool_ledger_add (&ledger, records[i], i == 2 ? 1 : 0);
    }
  g_assert_cmpuint (records[0]->id, ==, 1);
  g_assert_cmpuint (records[1]->id, ==, 2);
  /* a piece of the first: the same number, and none is used up */
  g_assert_cmpuint (records[2]->id, ==, 1);
  g_assert_cmpuint (records[3]->id, ==, 3);

  for (guint i = 0; i < 4; i++)
    {
      pool_ledger_finish (&ledger, records[i], POOL_RECORD_CANCELLED);
      g_free (records[i]);
    }
  pool_ledger_clear (&ledger);
}

static void
test_index_reuse (void)
{
  g_autofree PoolRecord *first = record_new ();
  g_autofree PoolRecord *second = record_new ();
  PoolLedger ledger;
  guint64 old, new;

  pool_ledger_init (&ledger);
  pool_ledger_add (&ledger, first, 0);
  old = pool_ledger_send (&ledger, first);
  pool_ledger_finish (&ledger, first, POOL_RECORD_DONE);

  pool_ledger_add (&ledger, second, 0);
  g_assert_cmpuint (second->index, ==, first->index);
  g_assert_null (pool_ledger_find (&ledger, old));
  /* queued: it was never handed out, so no handle can name it */
  g_assert_null (pool_ledger_find (&ledger, pool_record_get_handle (second)));

  new = pool_ledger_send (&ledger, second);
  g_assert_cmpuint (new, !=, old);
  g_assert_null (pool_ledger_find (&ledger, old));
  g_assert_true (pool_ledger_find (&ledger, new) == second);
  pool_ledger_finish (&ledger, second, POOL_RECORD_DONE);
  pool_ledger_clear (&ledger);
}

static void
test_garbage_handles (void)
{
  g_autofree PoolRecord *record = record_new ();
  guint64 random = unit_random_seed ();
  PoolLedger ledger;
  guint64 handle;

  pool_ledger_init (&ledger);
  /* an empty ledger has no table yet */
  g_assert_null (pool_ledger_find (&ledger, 0));
  g_assert_null (pool_ledger_find (&ledger, G_MAXUINT64));
  g_assert_null (pool_ledger_find (&ledger, G_GUINT64_CONSTANT (1) << 32));

  pool_ledger_add (&ledger, record, 0);
  handle = pool_ledger_send (&ledger, record);
  for (guint bit = 0; bit < 64; bit++)
    g_assert_null (pool_ledger_find (&ledger, handle ^ (G_GUINT64_CONSTANT (1) << bit)));
  g_assert_null (pool_ledger_find (&ledger, 0));
  g_assert_null (pool_ledger_find (&ledger, (guint32) handle));
  g_assert_null (pool_ledger_find (&ledger, G_MAXUINT64));
  for (guint i = 0; i < 10000; i++)
    {
      guint64 garbage = (guint64) unit_random (&random) << 32 | unit_random (&random);

      if (garbage != handle)
        g_assert_null (pool_ledger_find (&ledger, garbage));
    }
  g_assert_true (pool_ledger_find (&ledger, handle) == record);
  pool_ledger_finish (&ledger, record, POOL_RECORD_DONE);
  pool_ledger_clear (&ledger);
}

static void
test_growth (void)
{
  enum { N = 5000 };
  g_autofree PoolRecord *records = g_new0 (PoolRecord, N);
  g_autofree guint64 *handles = g_new (guint64, N);
  g_autofree guint8 *used = g_new0 (guint8, N);
  PoolLedger ledger;

  pool_ledger_init (&ledger);
  for (guint i = 0; i < N; i++)
    {
      pool_ledger_add (&ledger, &records[i], 0);
      handles[i] = pool_ledger_send (&ledger, &records[i]);
      /* the lowest are given out first, and each once */
      g_assert_cmpuint (records[i].index, <, N);
      g_assert_cmpuint (used[records[i].index]++, ==, 0);
    }
  g_assert_cmpuint (ledger.n_records, ==, N);
  for (guint i = 0; i < N; i++)
    g_assert_true (pool_ledger_find (&ledger, handles[i]) == &records[i]);
  for (guint i = 0; i < N; i++)
    pool_ledger_finish (&ledger, &records[i], POOL_RECORD_DONE);
  g_assert_cmpuint (ledger.n_records, ==, 0);
  pool_ledger_clear (&ledger);
}

/* The number of a hand-out is never 0, which would make a handle that names nothing, nor the complement of 0. */
static void
test_serial_wraps (void)
{
  g_autofree PoolRecord *record = record_new ();
  PoolLedger ledger;
  guint64 last, first;

  pool_ledger_init (&ledger);
  ledger.next_serial = G_MAXUINT32 - 1;
  pool_ledger_add (&ledger, record, 0);
  last = pool_ledger_send (&ledger, record);
  g_assert_cmpuint (last >> 32, ==, G_MAXUINT32 - 1);
  g_assert_true (pool_ledger_find (&ledger, last) == record);
  pool_ledger_requeue (&ledger, record, FALSE);
  first = pool_ledger_send (&ledger, record);
  g_assert_cmpuint (first >> 32, ==, 1);
  g_assert_null (pool_ledger_find (&ledger, last));
  g_assert_true (pool_ledger_find (&ledger, first) == record);
  pool_ledger_finish (&ledger, record, POOL_RECORD_DONE);
  pool_ledger_clear (&ledger);
}

/* --- a long history --- */

typedef struct
{
  PoolRecord record;
  PoolRecordState state; /* by what the observer was told */
  guint64 handle;        /* of the last hand-out, 0: not out */
  guint64 stale;         /* of one before it */
  guint attempts;
  guint ends;
} Tracked;

typedef struct
{
  PoolLedger ledger;
  guint64 random;
  GPtrArray *all;
  GPtrArray *live;
  guint n_steps;
  guint n_ended;
} History;

/* The machine as the header documents it. */
static gboolean
is_legal (PoolRecordState from, PoolRecordState to)
{
  switch (from)
    {
    case POOL_RECORD_NEW:
      return to == POOL_RECORD_QUEUED;
    case POOL_RECORD_QUEUED:
      return to == POOL_RECORD_SENT || to == POOL_RECORD_CANCELLED;
    case POOL_RECORD_SENT:
    case POOL_RECORD_RUNNING:
      return to == POOL_RECORD_QUEUED || to >= POOL_RECORD_DONE;
    case POOL_RECORD_DONE:
    case POOL_RECORD_FAILED:
    case POOL_RECORD_CANCELLED:
    default:
      return FALSE;
    }
}

static void
check_step (const PoolRecord *record, PoolRecordState from, PoolRecordState to, gpointer user_data)
{
  Tracked *tracked = (Tracked *) record; /* its first member */
  History *self = user_data;

  g_assert_true (is_legal (from, to));
  g_assert_cmpint (tracked->state == POOL_RECORD_SENT && from == POOL_RECORD_RUNNING
                       ? POOL_RECORD_RUNNING
                       : tracked->state,
                   ==, from);
  g_assert_cmpuint (tracked->ends, ==, 0);
  tracked->state = to;
  self->n_steps++;
  if (to >= POOL_RECORD_DONE)
    {
      tracked->ends++;
      self->n_ended++;
    }
}

static void
history_add (History *self)
{
  Tracked *tracked = g_new0 (Tracked, 1);

  pool_ledger_add (&self->ledger, &tracked->record, 0);
  tracked->attempts = 1;
  g_ptr_array_add (self->all, tracked);
  g_ptr_array_add (self->live, tracked);
}

static void
history_leave (History *self, guint i, PoolRecordState end)
{
  Tracked *tracked = self->live->pdata[i];

  pool_ledger_finish (&self->ledger, &tracked->record, end);
  g_assert_null (pool_ledger_find (&self->ledger, tracked->handle));
  g_ptr_array_remove_index_fast (self->live, i);
}

static void
history_check (History *self, Tracked *tracked)
{
  PoolRecord *found = pool_ledger_find (&self->ledger, tracked->handle);

  g_assert_true (found == (tracked->handle != 0 ? &tracked->record : NULL));
  g_assert_null (pool_ledger_find (&self->ledger, tracked->stale));
  g_assert_cmpuint (tracked->record.attempt, ==, tracked->attempts);
}

static void
history_step (History *self)
{
  guint choice = unit_random (&self->random) % 100;
  guint i = self->live->len > 0 ? unit_random (&self->random) % self->live->len : 0;
  Tracked *tracked = self->live->len > 0 ? self->live->pdata[i] : NULL;

  if (tracked == NULL || (choice < 25 && self->live->len < 1000))
    {
      history_add (self);
      return;
    }

  history_check (self, tracked);
  if (tracked->record.state == POOL_RECORD_QUEUED)
    {
      if (choice < 90)
        tracked->handle = pool_ledger_send (&self->ledger, &tracked->record);
      else
        history_leave (self, i, POOL_RECORD_CANCELLED);
    }
  else if (choice < 50)
    {
      gboolean lost = choice % 2;

      if (lost)
        tracked->record.state = POOL_RECORD_RUNNING; /* as the engine does when a worker died */
      tracked->stale = tracked->handle;
      pool_ledger_requeue (&self->ledger, &tracked->record, lost);
      tracked->handle = 0;
      tracked->attempts += lost;
    }
  else
    history_leave (self, i, POOL_RECORD_DONE + choice % 3);
}

static void
test_history (void)
{
  const guint n = unit_scale (100000);
  History history = { .random = unit_random_seed () };

  history.all = g_ptr_array_new_with_free_func (g_free);
  history.live = g_ptr_array_new ();
  pool_ledger_init (&history.ledger);
  history.ledger.observer = check_step;
  history.ledger.observer_data = &history;

  for (guint i = 0; i < n; i++)
    {
      history_step (&history);
      g_assert_cmpuint (history.ledger.n_records, ==, history.live->len);
    }
  while (history.live->len > 0)
    history_leave (&history, 0, POOL_RECORD_CANCELLED);

  g_assert_cmpuint (history.ledger.n_records, ==, 0);
  g_assert_cmpuint (history.n_steps, >=, n);
  g_assert_cmpuint (history.n_ended, ==, history.all->len);
  for (guint i = 0; i < history.all->len; i++)
    {
      Tracked *tracked = history.all->pdata[i];

      g_assert_cmpuint (tracked->ends, ==, 1);
      g_assert_cmpuint (tracked->record.id, ==, i + 1);
      g_assert_null (pool_ledger_find (&history.ledger, tracked->handle));
    }
  g_test_message ("%u records, %u transitions", history.all->len, history.n_steps);
  pool_ledger_clear (&history.ledger);
  g_ptr_array_unref (history.live);
  g_ptr_array_unref (history.all);
}

/* --- what must not happen --- */

typedef struct
{
  const char *name;
  PoolRecordState from;
  PoolRecordState to; /* NEW: add; QUEUED: requeue; SENT: send; else finish */
} Illegal;

static const Illegal illegal[] = {
  { "add-twice", POOL_RECORD_QUEUED, POOL_RECORD_NEW },
  { "add-sent", POOL_RECORD_SENT, POOL_RECORD_NEW },
  { "add-ended", POOL_RECORD_DONE, POOL_RECORD_NEW },
  { "send-new", POOL_RECORD_NEW, POOL_RECORD_SENT },
  { "send-twice", POOL_RECORD_SENT, POOL_RECORD_SENT },
  { "send-running", POOL_RECORD_RUNNING, POOL_RECORD_SENT },
  { "send-ended", POOL_RECORD_FAILED, POOL_RECORD_SENT },
  { "requeue-new", POOL_RECORD_NEW, POOL_RECORD_QUEUED },
  { "requeue-queued", POOL_RECORD_QUEUED, POOL_RECORD_QUEUED },
  { "requeue-ended", POOL_RECORD_CANCELLED, POOL_RECORD_QUEUED },
  { "finish-new", POOL_RECORD_NEW, POOL_RECORD_CANCELLED },
  { "finish-twice", POOL_RECORD_DONE, POOL_RECORD_DONE },
  { "finish-cancelled", POOL_RECORD_CANCELLED, POOL_RECORD_FAILED },
  { "finish-as-running", POOL_RECORD_SENT, POOL_RECORD_RUNNING },
  { "done-queued", POOL_RECORD_QUEUED, POOL_RECORD_DONE },
  { "fail-queued", POOL_RECORD_QUEUED, POOL_RECORD_FAILED },
};

static void
do_illegal (const Illegal *step)
{
  g_autofree PoolRecord *record = record_new ();
  PoolLedger ledger;

  pool_ledger_init (&ledger);
  if (step->from != POOL_RECORD_NEW)
    pool_ledger_add (&ledger, record, 0);
  if (step->from >= POOL_RECORD_SENT)
    pool_ledger_send (&ledger, record);
  if (step->from >= POOL_RECORD_DONE)
    pool_ledger_finish (&ledger, record, step->from);
  record->state = step->from;

  if (step->to == POOL_RECORD_NEW)
    pool_ledger_add (&ledger, record, 0);
  else if (step->to == POOL_RECORD_SENT)
    pool_ledger_send (&ledger, record);
  else if (step->to == POOL_RECORD_QUEUED)
    pool_ledger_requeue (&ledger, record, TRUE);
  else
    pool_ledger_finish (&ledger, record, step->to);
}

static void
test_illegal (gconstpointer data)
{
  const Illegal *step = data;

  if (g_test_subprocess ())
    {
      do_illegal (step);
      exit (0);
    }
  unit_expect_abort (NULL, "*assertion failed*state*");
}

static void
test_clear_with_records (void)
{
  if (g_test_subprocess ())
    {
      PoolLedger ledger;

      pool_ledger_init (&ledger);
      pool_ledger_add (&ledger, record_new (), 0);
      pool_ledger_clear (&ledger);
      exit (0);
    }
  unit_expect_abort (NULL, "*assertion failed*n_records*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ledger/one-life", test_one_life);
  g_test_add_func ("/ledger/ends", test_ends);
  g_test_add_func ("/ledger/requeue", test_requeue);
  g_test_add_func ("/ledger/ids", test_ids);
  g_test_add_func ("/ledger/index-reuse", test_index_reuse);
  g_test_add_func ("/ledger/garbage-handles", test_garbage_handles);
  g_test_add_func ("/ledger/growth", test_growth);
  g_test_add_func ("/ledger/serial-wraps", test_serial_wraps);
  g_test_add_func ("/ledger/history", test_history);
  for (guint i = 0; i < G_N_ELEMENTS (illegal); i++)
    {
      g_autofree char *path = g_strdup_printf ("/ledger/illegal/%s", illegal[i].name);

      g_test_add_data_func (path, &illegal[i], test_illegal);
    }
  g_test_add_func ("/ledger/clear-with-records", test_clear_with_records);
  return g_test_run ();
}
