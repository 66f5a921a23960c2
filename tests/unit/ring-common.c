/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "ring-common.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

void
ring_fixture_init (RingFixture *self, guint n_slots, guint n_results, guint max_workers,
                   gboolean shared)
{
  memset (self, 0, sizeof *self);
  self->size = pool_ring_size (n_slots, n_results, max_workers);
  self->memory = mmap (NULL, self->size, PROT_READ | PROT_WRITE,
                       (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
  g_assert_true (self->memory != MAP_FAILED);
  self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_assert_cmpint (self->event_fd, >=, 0);
  pool_ring_init (&self->ring, self->memory, n_slots, n_results, max_workers, self->event_fd);
}

void
ring_fixture_clear (RingFixture *self)
{
  pool_ring_clear (&self->ring);
  munmap (self->memory, self->size);
  close (self->event_fd);
}

gboolean
ring_put (RingFixture *self, guint64 handle, guint *index)
{
  guint place;
  PoolRingSlot *slot = pool_ring_reserve (&self->ring, &place);

  if (slot == NULL)
    return FALSE;

  slot->function = 1;
  slot->handle = handle;
  slot->id = handle + 1;
  slot->attempt = 1;
  slot->n_items = 1;
  slot->flags = POOL_RING_DATA_INLINE;
  slot->size = sizeof handle;
  memcpy (slot->bytes, &handle, sizeof handle);
  pool_ring_commit (&self->ring, place);
  if (index != NULL)
    *index = place;
  return TRUE;
}

guint64
ring_answer (guint64 handle)
{
  return handle * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + 1;
}

void
ring_reply (PoolRingWorker *worker, const PoolRingSlot *slot)
{
  PoolRingResult *result = pool_ring_result_reserve (worker);
  guint64 argument, answer;

  /* a slot that was overwritten under us would show here */
  memcpy (&argument, slot->bytes, sizeof argument);
  answer = ring_answer (argument);
  result->kind = POOL_RESULT_BYTES | POOL_RING_DATA_INLINE;
  result->handle = slot->handle;
  result->slot = slot - worker->slots;
  result->n_items = 1;
  result->size = sizeof answer;
  memcpy (result->bytes, &answer, sizeof answer);
  pool_ring_result_publish (worker);
}

void
ring_say_started (PoolRingWorker *worker)
{
  PoolRingResult *message = pool_ring_result_reserve (worker);

  message->kind = POOL_RING_STARTED;
  message->handle = 0;
  message->size = 0;
  pool_ring_result_publish (worker);
}

void
ring_accept (RingFixture *self, const PoolRingResult *result)
{
  guint64 answer;

  g_assert_cmphex (result->kind, ==, POOL_RESULT_BYTES | POOL_RING_DATA_INLINE);
  g_assert_cmpuint (result->size, ==, sizeof answer);
  memcpy (&answer, result->bytes, sizeof answer);
  g_assert_cmpuint (answer, ==, ring_answer (result->handle));
  g_assert_cmpuint (result->slot, <, self->ring.header->n_slots);
  g_assert_true (self->ring.busy[result->slot]);
  g_assert_cmpuint (self->ring.slots[result->slot].handle, ==, result->handle);
  pool_ring_release (&self->ring, result->slot);
}
