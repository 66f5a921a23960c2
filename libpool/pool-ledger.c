/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-ledger-private.h"

void
pool_ledger_init (PoolLedger *self)
{
  memset (self, 0, sizeof *self);
  self->next_id = 1;
  self->next_serial = 1;
}

void
pool_ledger_clear (PoolLedger *self)
{
  g_assert (self->n_records == 0);

  g_clear_pointer (&self->table, g_free);
  g_clear_pointer (&self->free_indexes, g_free);
}

static inline void
enter (PoolLedger *self, PoolRecord *record, PoolRecordState state)
{
  PoolRecordState from = record->state;

  record->state = state;
  if (G_UNLIKELY (self->observer != NULL))
    self->observer (record, from, state, self->observer_data);
}

static void
grow (PoolLedger *self)
{
  guint32 size = MAX (64, self->size * 2);

  self->table = g_renew (PoolRecord *, self->table, size);
  self->free_indexes = g_renew (guint32, self->free_indexes, size);
  /* last in, first out: the lowest indexes are used first and stay warm */
  for (guint32 i = size; i > self->size; i--)
    {
      self->table[i - 1] = NULL;
      self->free_indexes[self->n_free++] = i - 1;
    }
  self->size = size;
}

void
pool_ledger_add (PoolLedger *self, PoolRecord *record, guint64 id)
{
  g_assert (record->state == POOL_RECORD_NEW);

  if (G_UNLIKELY (self->n_free == 0))
    grow (self);
  record->index = self->free_indexes[--self->n_free];
  self->table[record->index] = record;
  self->n_records++;
  record->id = id != 0 ? id : self->next_id++;
  record->attempt = 1;
  enter (self, record, POOL_RECORD_QUEUED);
}

guint64
pool_ledger_send (PoolLedger *self, PoolRecord *record)
{
  g_assert (record->state == POOL_RECORD_QUEUED);

  record->serial = self->next_serial++;
  if (G_UNLIKELY (self->next_serial == G_MAXUINT32))
    self->next_serial = 1;
  enter (self, record, POOL_RECORD_SENT);
  return pool_record_get_handle (record);
}

void
pool_ledger_requeue (PoolLedger *self, PoolRecord *record, gboolean lost)
{
  g_assert (record->state == POOL_RECORD_SENT || record->state == POOL_RECORD_RUNNING);

  if (lost)
    record->attempt++;
  record->serial = 0; /* answers to the old hand-out no longer find it */
  enter (self, record, POOL_RECORD_QUEUED);
}

void
pool_ledger_finish (PoolLedger *self, PoolRecord *record, PoolRecordState state)
{
  g_assert (record->state >= POOL_RECORD_QUEUED && record->state <= POOL_RECORD_RUNNING);
  g_assert (state >= POOL_RECORD_DONE);
  /* what no worker has had can only be given up */
  g_assert (state == POOL_RECORD_CANCELLED || record->state != POOL_RECORD_QUEUED);

  self->table[record->index] = NULL;
  self->free_indexes[self->n_free++] = record->index;
  self->n_records--;
  enter (self, record, state);
}

PoolRecord *
pool_ledger_find (PoolLedger *self, guint64 handle)
{
  guint32 index = (guint32) handle;
  guint32 serial = handle >> 32;
  PoolRecord *record;

  if (index >= self->size || serial == 0)
    return NULL;

  record = self->table[index];
  return record != NULL && record->serial == serial ? record : NULL;
}
