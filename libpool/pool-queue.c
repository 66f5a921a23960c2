/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-queue-private.h"

/* Every so many turns the oldest goes before the most urgent. */
#define AGEING_TURNS 16

static inline guint
level_of (const PoolRecord *record)
{
  return record->priority - POOL_PRIORITY_MIN;
}

void
pool_queue_push_tail (PoolQueue *self, PoolRecord *record)
{
  guint level = level_of (record);

  record->order = self->next_order++;
  record->next = NULL;
  record->prev = self->levels[level].tail;
  if (record->prev != NULL)
    record->prev->next = record;
  else
    self->levels[level].head = record;
  self->levels[level].tail = record;
  self->used |= 1u << level;
  self->n++;
}

void
pool_queue_push_head (PoolQueue *self, PoolRecord *record)
{
  guint level = level_of (record);

  record->prev = NULL;
  record->next = self->levels[level].head;
  if (record->next != NULL)
    record->next->prev = record;
  else
    self->levels[level].tail = record;
  self->levels[level].head = record;
  self->used |= 1u << level;
  self->n++;
}

void
pool_queue_remove (PoolQueue *self, PoolRecord *record)
{
  guint level = level_of (record);

  if (record->prev != NULL)
    record->prev->next = record->next;
  else
    self->levels[level].head = record->next;
  if (record->next != NULL)
    record->next->prev = record->prev;
  else
    self->levels[level].tail = record->prev;
  if (self->levels[level].head == NULL)
    self->used &= ~(1u << level);
  record->next = record->prev = NULL;
  self->n--;
}

static PoolRecord *
find_oldest (PoolQueue *self)
{
  PoolRecord *oldest = NULL;

  for (guint32 used = self->used; used != 0; used &= used - 1)
    {
      PoolRecord *head = self->levels[__builtin_ctz (used)].head;

      if (oldest == NULL || head->order < oldest->order)
        oldest = head;
    }
  oldest->is_aged = TRUE;
  return oldest;
}

PoolRecord *
pool_queue_peek (PoolQueue *self)
{
  if (self->used == 0)
    return NULL;
  if (G_UNLIKELY ((self->used & (self->used - 1)) != 0) && self->turn % AGEING_TURNS == AGEING_TURNS - 1)
    return find_oldest (self);
  return self->levels[31 - __builtin_clz (self->used)].head;
}
