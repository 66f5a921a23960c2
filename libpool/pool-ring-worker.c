/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-ring-private.h"

#include <limits.h>
#include <sched.h>

/* The worker's side of the ring: claiming, stealing, sleeping, answering. */

/*
 * Wake-ups draw a worker and whoever waits for it to the same CPU, and as both have just run, the kernel takes neither to
 * the one that is idle: they then yield to each other for 7 µs a call instead of 0.6. After so many waits in a row on
 * the pump's CPU a worker goes elsewhere, but not more often than this.
 */
#define SAME_CPU_MAX 16
#define MOVE_NS (10 * 1000 * 1000)

static void
ring_bell (PoolRingHeader *header, int event_fd)
{
  guint32 bell = atomic_load (&header->bell);

  if (G_LIKELY (bell == 0))
    return;

  bell = atomic_exchange (&header->bell, 0);
  if (bell & POOL_BELL_FUTEX)
    pool_futex_wake (&header->bell, INT_MAX);
  if (bell & POOL_BELL_FD)
    {
      guint64 one = 1;

      while (write (event_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    }
}

void
pool_ring_worker_attach (PoolRingWorker *self, gpointer memory, guint index, int event_fd)
{
  PoolRingResult *results;
  PoolRingWorkerWords *words;

  memset (self, 0, sizeof *self);
  self->header = memory;
  pool_ring_locate (memory, self->header->n_slots, self->header->max_workers, &self->slots, &words, &results);
  self->words = &words[index];
  self->results = &results[(gsize) index * self->header->n_results];
  self->index = index;
  self->incarnation = atomic_load (&self->words->incarnation);
  self->position = self->consumed = atomic_load (&self->words->consumed);
  self->n_left = self->words->quota != 0 ? self->words->quota : G_MAXUINT32;
  self->event_fd = event_fd;
}

static inline gboolean
claim_slot (PoolRingWorker *self, PoolRingSlot *slot)
{
  guint32 ready = POOL_SLOT_READY;

  return atomic_load_explicit (&slot->word, memory_order_relaxed) == POOL_SLOT_READY &&
         atomic_compare_exchange_strong_explicit (&slot->word, &ready,
                                                  POOL_SLOT_RUNNING | self->incarnation << 2,
                                                  memory_order_acq_rel, memory_order_relaxed);
}

/* Says which positions this worker sets aside, before it does so: nobody may overlook them and go to sleep. */
static inline void
share_block (PoolRingWorker *self, guint32 begin, guint32 end)
{
  atomic_store (&self->words->block, (guint64) begin << 32 | end);
  if (!self->shares)
    atomic_fetch_or (&self->header->blocks[self->index / 64],
                     G_GUINT64_CONSTANT (1) << (self->index % 64));
  self->shares = TRUE;
}

static inline void
unshare_block (PoolRingWorker *self)
{
  if (self->shares)
    atomic_fetch_and (&self->header->blocks[self->index / 64],
                      ~(G_GUINT64_CONSTANT (1) << (self->index % 64)));
  self->shares = FALSE;
}

/*
 * Moves the shared cursor over up to 16 positions, which this worker then looks at first: one contended
 * compare-and-swap for many tasks. It owns none of them by that, so a long task does not sit on its neighbours:
 * whoever has nothing else to do claims them. Fewer are taken when fewer are there.
 */
static inline PoolRingSlot *
claim_next (PoolRingWorker *self)
{
  PoolRingHeader *header = self->header;
  guint mask = header->n_slots - 1;

  for (;;)
    {
      guint32 cursor, available, take;

      while (self->block != self->block_end)
        {
          PoolRingSlot *slot = &self->slots[self->block++ & mask];

          if (claim_slot (self, slot))
            return slot;
        }

      cursor = atomic_load_explicit (&header->cursor, memory_order_relaxed);
      available = atomic_load_explicit (&header->head, memory_order_acquire) - cursor;
      if (available == 0 || available > G_MAXINT32)
        {
          unshare_block (self);
          return NULL;
        }
      take = available / (2 * atomic_load_explicit (&header->n_active, memory_order_relaxed));
      take = CLAMP (take, 1, POOL_RING_CLAIM_MAX);
      if (take > 1)
        share_block (self, cursor, cursor + take);
      if (atomic_compare_exchange_strong (&header->cursor, &cursor, cursor + take))
        {
          self->block = cursor;
          self->block_end = cursor + take;
        }
    }
}

/* What others have set aside and not started, the last of it first. */
static PoolRingSlot *
steal_from (PoolRingWorker *self, guint worker)
{
  PoolRingWorkerWords *words = self->words - self->index + worker;
  guint64 block = atomic_load (&words->block);
  guint32 begin = block >> 32, end = (guint32) block;
  guint mask = self->header->n_slots - 1;

  if (end - begin > POOL_RING_CLAIM_MAX)
    return NULL;
  while (end != begin)
    {
      PoolRingSlot *slot = &self->slots[--end & mask];

      if (claim_slot (self, slot))
        return slot;
    }
  return NULL;
}

static PoolRingSlot *
steal (PoolRingWorker *self)
{
  guint n = (self->header->max_workers + 63) / 64;

  for (guint i = 0; i < n; i++)
    {
      guint64 bits = atomic_load (&self->header->blocks[i]);

      while (bits != 0)
        {
          guint bit = __builtin_ctzll (bits);
          PoolRingSlot *slot = i * 64 + bit < self->header->max_workers
                                   ? steal_from (self, i * 64 + bit)
                                   : NULL;

          if (slot != NULL)
            return slot;
          bits &= bits - 1;
        }
    }
  return NULL;
}

static inline gboolean
has_unclaimed (PoolRingWorker *self)
{
  return atomic_load_explicit (&self->header->head, memory_order_relaxed) !=
         atomic_load_explicit (&self->header->cursor, memory_order_relaxed);
}

static inline gboolean
must_end (PoolRingWorker *self)
{
  return atomic_load (&self->header->stop) != 0 ||
         atomic_load (&self->words->command) == POOL_COMMAND_RETIRE;
}

static void
leave_cpu (guint cpu)
{
  cpu_set_t allowed, others;

  if (sched_getaffinity (0, sizeof allowed, &allowed) != 0 || CPU_COUNT (&allowed) < 2)
    return;
  others = allowed;
  CPU_CLR (cpu, &others);
  if (sched_setaffinity (0, sizeof others, &others) == 0)
    sched_setaffinity (0, sizeof allowed, &allowed);
}

static inline void
part_from_pump (PoolRingWorker *self)
{
  guint32 cpu = sched_getcpu ();
  gint64 now;

  if (atomic_load_explicit (&self->header->pump_cpu, memory_order_relaxed) != cpu + 1)
    {
      self->n_same_cpu = 0;
      return;
    }
  if (++self->n_same_cpu < SAME_CPU_MAX)
    return;
  self->n_same_cpu = 0;
  now = pool_now_ns ();
  if (now - self->moved_at < MOVE_NS)
    return;
  self->moved_at = now;
  leave_cpu (cpu);
}

static gboolean
spin (PoolRingWorker *self)
{
  gint64 end;

  if (!self->header->spin)
    return FALSE;
  part_from_pump (self);

  for (guint i = 0; i < POOL_RING_SPIN_PAUSES; i++)
    {
      if (has_unclaimed (self))
        return TRUE;
      pool_cpu_relax ();
    }
  end = pool_now_ns () + POOL_RING_SPIN_NS;
  do
    {
      sched_yield ();
      if (has_unclaimed (self) || must_end (self))
        return TRUE;
    }
  while (pool_now_ns () < end);
  return FALSE;
}

/*
 * Says that it sleeps, looks once more, sleeps. The manager publishes first and reads the sleepers afterwards, so one of
 * the two sees the other.
 */
static PoolRingSlot *
sleep_for_task (PoolRingWorker *self)
{
  _Atomic guint64 *sleepers = &self->header->sleepers[self->index / 64];
  guint64 flag = G_GUINT64_CONSTANT (1) << (self->index % 64);
  PoolRingSlot *slot;

  atomic_store (&self->words->status, POOL_WORKER_SLEEPING);
  atomic_fetch_or (sleepers, flag);

  /* in this order: what leaves the cursor is in `blocks` before */
  slot = atomic_load (&self->header->head) != atomic_load (&self->header->cursor)
             ? claim_next (self)
             : NULL;
  if (slot == NULL)
    slot = steal (self);
  if (slot == NULL && !must_end (self))
    while (atomic_load (&self->words->status) == POOL_WORKER_SLEEPING)
      pool_futex_wait (&self->words->status, POOL_WORKER_SLEEPING, -1);

  atomic_fetch_and (sleepers, ~flag);
  atomic_store (&self->words->status, POOL_WORKER_AWAKE);
  return slot;
}

/*
 * It has done what it may. It stays until the manager has another one in its place; as it is no sleeper that a task could
 * wake, the manager has been told not to count on it.
 */
static void
wait_to_end (PoolRingWorker *self)
{
  for (;;)
    {
      atomic_store (&self->words->status, POOL_WORKER_SLEEPING);
      if (must_end (self))
        return;
      pool_futex_wait (&self->words->status, POOL_WORKER_SLEEPING, -1);
    }
}

/* The next task of this worker; NULL when it is to end. Waits as long as it takes. */
PoolRingSlot *
pool_ring_claim (PoolRingWorker *self)
{
  PoolRingSlot *slot;

  if (G_UNLIKELY (self->n_left == 0))
    {
      wait_to_end (self);
      return NULL;
    }
  for (;;)
    {
      if (G_UNLIKELY (atomic_load_explicit (&self->words->command, memory_order_relaxed) ==
                      POOL_COMMAND_RETIRE))
        return NULL;
      slot = claim_next (self);
      if (slot != NULL)
        break;
      slot = steal (self);
      if (slot != NULL)
        break;
      if (must_end (self))
        return NULL;
      if (spin (self))
        continue;
      slot = sleep_for_task (self);
      if (slot != NULL)
        break;
    }

  atomic_store_explicit (&self->words->current, (guint32) (slot - self->slots) + 1,
                         memory_order_relaxed);
  if (G_UNLIKELY (self->n_left != G_MAXUINT32) && --self->n_left == 0)
    pool_ring_worker_tell (self, POOL_RING_LEAVING, slot, 0);
  return slot;
}

void
pool_ring_worker_leave (PoolRingWorker *self)
{
  if (self->n_left == 0)
    return;
  self->n_left = 0;
  pool_ring_worker_tell (self, POOL_RING_LEAVING, NULL, 0);
}

void
pool_ring_ring_bell (PoolRingWorker *self)
{
  ring_bell (self->header, self->event_fd);
}

/* The place of the next result; waits while the manager has not taken enough of the earlier ones. */
PoolRingResult *
pool_ring_result_reserve (PoolRingWorker *self)
{
  guint n_results = self->header->n_results;

  while (G_UNLIKELY (self->position - self->consumed >= n_results))
    {
      self->consumed = atomic_load (&self->words->consumed);
      if (self->position - self->consumed < n_results)
        break;
      atomic_store (&self->words->status, POOL_WORKER_BLOCKED);
      pool_ring_ring_bell (self);
      if (atomic_load (&self->words->consumed) == self->consumed)
        pool_futex_wait (&self->words->consumed, self->consumed, -1);
      atomic_store (&self->words->status, POOL_WORKER_AWAKE);
    }
  return &self->results[self->position & (n_results - 1)];
}

void
pool_ring_result_publish (PoolRingWorker *self)
{
  PoolRingResult *result = &self->results[self->position & (self->header->n_results - 1)];

  self->position++;
  atomic_store (&result->seq, self->position);
  ring_bell (self->header, self->event_fd);
}

void
pool_ring_worker_tell (PoolRingWorker *self, guint32 kind, const PoolRingSlot *slot, float number)
{
  PoolRingResult *message;

  if (G_UNLIKELY (self->tell != NULL))
    {
      self->tell (kind, slot, number, self->tell_data);
      return;
    }
  message = pool_ring_result_reserve (self);
  message->kind = kind;
  message->handle = slot != NULL ? slot->handle : 0;
  message->slot = slot != NULL ? slot - self->slots : 0;
  message->n_items = 0;
  message->size = 0;
  message->staging = 0;
  message->run_time = number;
  message->data = atomic_load_explicit (&self->words->since, memory_order_relaxed);
  pool_ring_result_publish (self);
}

gboolean
pool_ring_worker_ask (PoolRingWorker *self, const PoolRingSlot *slot)
{
  _Atomic guint32 *verdict = &self->words->verdict;
  guint32 serial = slot->handle >> 32, said;

  for (;;)
    {
      said = atomic_load (verdict);
      if (atomic_load (&self->header->stop) != 0)
        return FALSE;
      if (said == serial || said == ~serial)
        return said == serial;
      pool_futex_wait (verdict, said, -1);
    }
}
