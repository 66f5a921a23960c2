/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-ring-private.h"

#include <limits.h>
#include <sched.h>

static gboolean
has_several_cpus (void)
{
  cpu_set_t set;

  return sched_getaffinity (0, sizeof set, &set) != 0 || CPU_COUNT (&set) > 1;
}

static gsize
align (gsize size)
{
  return (size + 4095) & ~(gsize) 4095;
}

static gsize
header_size (void)
{
  return align (sizeof (PoolRingHeader));
}

gsize
pool_ring_size (guint n_slots, guint n_results, guint max_workers)
{
  return header_size () + align (n_slots * sizeof (PoolRingSlot)) +
         align (max_workers * sizeof (PoolRingWorkerWords)) +
         (gsize) max_workers * n_results * sizeof (PoolRingResult);
}

/* Where the parts of the block are. */
void
pool_ring_locate (gpointer memory, guint n_slots, guint max_workers, PoolRingSlot **slots,
                  PoolRingWorkerWords **words, PoolRingResult **results)
{
  guint8 *p = (guint8 *) memory + header_size ();

  *slots = (PoolRingSlot *) (gpointer) p;
  p += align (n_slots * sizeof (PoolRingSlot));
  *words = (PoolRingWorkerWords *) (gpointer) p;
  p += align (max_workers * sizeof (PoolRingWorkerWords));
  *results = (PoolRingResult *) (gpointer) p;
}

/* @memory: zeroed, page-aligned */
void
pool_ring_init (PoolRing *self, gpointer memory, guint n_slots, guint n_results, guint max_workers,
                int event_fd)
{
  g_assert (n_slots >= 2 && (n_slots & (n_slots - 1)) == 0);
  g_assert (n_results >= 2 && (n_results & (n_results - 1)) == 0);
  g_assert (max_workers <= POOL_RING_MAX_WORKERS);

  memset (self, 0, sizeof *self);
  self->header = memory;
  self->n_slots = self->header->n_slots = n_slots;
  self->n_results = self->header->n_results = n_results;
  self->max_workers = self->header->max_workers = max_workers;
  self->header->spin = has_several_cpus ();
  pool_ring_locate (memory, n_slots, max_workers, &self->slots, &self->words, &self->results);
  self->busy = g_new0 (gboolean, n_slots);
  self->positions = g_new0 (guint32, n_slots);
  self->taken = g_new0 (_Atomic guint32, max_workers);
  self->alive = g_new0 (gboolean, max_workers);
  self->up = g_new0 (gboolean, max_workers);
  self->stopped = g_new0 (gboolean, max_workers);
  self->abandoned = g_new0 (gboolean, max_workers);
  self->incarnations = g_new0 (guint32, max_workers);
  self->event_fd = event_fd;
}

void
pool_ring_clear (PoolRing *self)
{
  g_clear_pointer (&self->busy, g_free);
  g_clear_pointer (&self->positions, g_free);
  g_clear_pointer (&self->taken, g_free);
  g_clear_pointer (&self->alive, g_free);
  g_clear_pointer (&self->up, g_free);
  g_clear_pointer (&self->stopped, g_free);
  g_clear_pointer (&self->abandoned, g_free);
  g_clear_pointer (&self->incarnations, g_free);
}

/* --- manager: tasks --- */

/*
 * The next free slot. A slot whose task runs for long is stepped over, so that it does not stop the ring; workers step
 * over it too, because it is not READY.
 */
PoolRingSlot *
pool_ring_reserve (PoolRing *self, guint *index)
{
  guint mask = self->n_slots - 1;

  if (self->n_outstanding == self->n_slots)
    return NULL;

  while (self->busy[self->next & mask])
    self->next++;
  *index = self->next & mask;
  return &self->slots[*index];
}

void
pool_ring_commit (PoolRing *self, guint index)
{
  self->busy[index] = TRUE;
  self->positions[index] = self->next;
  self->next++;
  self->n_outstanding++;
  self->n_unpublished++;
  atomic_store_explicit (&self->slots[index].word, POOL_SLOT_READY, memory_order_release);
}

/* Not if it is BLOCKED by now: then it waits for something else, on another word. */
static void
wake_sleeper (PoolRing *self, guint worker)
{
  guint32 sleeping = POOL_WORKER_SLEEPING;

  if (atomic_compare_exchange_strong (&self->words[worker].status, &sleeping, POOL_WORKER_AWAKE))
    pool_futex_wake (&self->words[worker].status, 1);
}

static guint
wake_one_word (PoolRing *self, guint i, guint wanted)
{
  guint64 bits = atomic_load (&self->header->sleepers[i]);
  guint woken = 0;

  while (bits != 0 && woken < wanted)
    {
      guint bit = __builtin_ctzll (bits);
      guint worker = i * 64 + bit;
      guint64 flag = G_GUINT64_CONSTANT (1) << bit;

      bits &= ~flag;
      /* a bit that no worker of ours can have set */
      if (G_UNLIKELY (worker >= self->max_workers))
        {
          atomic_fetch_and (&self->header->sleepers[i], ~flag);
          continue;
        }
      if (self->n_stopped > 0 && self->stopped[worker])
        continue;
      atomic_fetch_and (&self->header->sleepers[i], ~flag);
      wake_sleeper (self, worker);
      woken++;
    }
  return woken;
}

static guint
count_sleepers (PoolRing *self)
{
  guint n = 0;

  for (guint i = 0; i < (self->n_workers + 63) / 64; i++)
    n += __builtin_popcountll (atomic_load (&self->header->sleepers[i]));
  return n;
}

/*
 * Makes the committed tasks visible and wakes as many workers as they need. An outstanding task occupies at most one
 * worker, so when no more tasks are outstanding than workers are awake, nobody has to be woken: an awake one is spinning
 * or about to look. The first of the sleepers is woken first, so that few workers stay warm rather than all luke-warm.
 */
void
pool_ring_publish (PoolRing *self)
{
  guint sleeping, awake, wanted;

  if (self->n_unpublished == 0)
    return;
  self->n_unpublished = 0;
  self->head = self->next;
  atomic_store (&self->header->head, self->head);

  sleeping = count_sleepers (self);
  if (sleeping == 0)
    return;
  /* one that is starting may take its time before it looks */
  awake = self->n_up > self->n_stopped ? self->n_up - self->n_stopped : 0;
  awake = awake > sleeping ? awake - sleeping : 0;
  if (self->n_outstanding <= awake)
    return;

  wanted = MIN (self->n_outstanding - awake, sleeping);
  for (guint i = 0; i < (self->n_workers + 63) / 64 && wanted > 0; i++)
    wanted -= wake_one_word (self, i, wanted);
}

void
pool_ring_release (PoolRing *self, guint index)
{
  if (!self->busy[index])
    return;

  atomic_store_explicit (&self->slots[index].word, POOL_SLOT_FREE, memory_order_relaxed);
  self->busy[index] = FALSE;
  self->n_outstanding--;
}

/* Takes a task back that no worker has claimed. The slot is still busy: release it. */
gboolean
pool_ring_take_back (PoolRing *self, guint index)
{
  guint32 ready = POOL_SLOT_READY;

  return self->busy[index] &&
         atomic_compare_exchange_strong (&self->slots[index].word, &ready, POOL_SLOT_FREE);
}

/* --- manager: results --- */

static PoolRingResult *
result_at (PoolRing *self, guint worker, guint32 position)
{
  return &self->results[(gsize) worker * self->n_results +
                        (position & (self->n_results - 1))];
}

static gboolean
worker_has_result (PoolRing *self, guint worker)
{
  guint32 taken = atomic_load_explicit (&self->taken[worker], memory_order_relaxed);

  return atomic_load (&result_at (self, worker, taken)->seq) == taken + 1;
}

/*
 * The next result of a worker, copied: from now on nothing that the worker does can change what is checked. The
 * sequence number is the last that the worker writes; a result that it was killed over is not there.
 */
gboolean
pool_ring_next_result (PoolRing *self, guint worker, PoolRingResult *copy)
{
  guint32 taken = atomic_load_explicit (&self->taken[worker], memory_order_relaxed);
  PoolRingResult *result = result_at (self, worker, taken);

  if (atomic_load_explicit (&result->seq, memory_order_acquire) != taken + 1)
    return FALSE;

  memcpy (&copy->kind, &result->kind,
          G_STRUCT_OFFSET (PoolRingResult, bytes) - G_STRUCT_OFFSET (PoolRingResult, kind));
  memcpy (copy->bytes, result->bytes,
          (copy->kind & POOL_RING_DATA_INLINE) ? MIN (copy->size, POOL_RING_INLINE) : 8);
  atomic_store_explicit (&self->taken[worker], taken + 1, memory_order_relaxed);
  return TRUE;
}

/* Tells the worker that its results were taken; once for a run of them. */
void
pool_ring_consumed (PoolRing *self, guint worker)
{
  PoolRingWorkerWords *words = &self->words[worker];

  atomic_store (&words->consumed, atomic_load_explicit (&self->taken[worker], memory_order_relaxed));
  if (atomic_load (&words->status) == POOL_WORKER_BLOCKED)
    pool_futex_wake (&words->consumed, 1);
}

gboolean
pool_ring_has_results (PoolRing *self)
{
  guint n = atomic_load_explicit (&self->n_workers, memory_order_relaxed);

  for (guint i = 0; i < n; i++)
    if (worker_has_result (self, i))
      return TRUE;
  return FALSE;
}

/* --- manager: waiting --- */

/*
 * Waits until there may be results, the time (ns, < 0: none) is over, or there was a kick since @kicks was read.
 * Called without the engine's lock, by one thread at a time.
 */
gboolean
pool_ring_wait (PoolRing *self, guint kicks, gint64 timeout)
{
  PoolRingHeader *header = self->header;
  guint32 bell;

  if (header->spin)
    {
      guint32 cpu = sched_getcpu () + 1;
      gint64 end;

      if (atomic_load_explicit (&header->pump_cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit (&header->pump_cpu, cpu, memory_order_relaxed);
      for (guint i = 0; i < POOL_RING_SPIN_PAUSES; i++)
        {
          if (pool_ring_has_results (self))
            return TRUE;
          pool_cpu_relax ();
        }
      end = pool_now_ns () + (timeout < 0 ? POOL_RING_SPIN_NS : MIN (timeout, POOL_RING_SPIN_NS));
      do
        {
          sched_yield ();
          if (pool_ring_has_results (self))
            return TRUE;
        }
      while (pool_now_ns () < end);
    }
  if (timeout >= 0 && timeout <= POOL_RING_SPIN_NS)
    return FALSE;

  bell = atomic_fetch_or (&header->bell, POOL_BELL_FUTEX) | POOL_BELL_FUTEX;
  if (pool_ring_has_results (self))
    return TRUE;
  if (atomic_load (&self->kicks) != kicks)
    return FALSE;
  pool_futex_wait (&header->bell, bell, timeout);
  return pool_ring_has_results (self);
}

/* Asks for the event fd to be written at the next result, or no longer. Returns whether there is a result already. */
gboolean
pool_ring_arm (PoolRing *self, gboolean on)
{
  gboolean armed =
      (atomic_load_explicit (&self->header->bell, memory_order_relaxed) & POOL_BELL_FD) != 0;

  if (!on)
    {
      if (armed)
        atomic_fetch_and (&self->header->bell, ~(guint32) POOL_BELL_FD);
      return FALSE;
    }
  if (!armed)
    atomic_fetch_or (&self->header->bell, POOL_BELL_FD);
  return pool_ring_has_results (self);
}

/*
 * Wakes whoever waits in pool_ring_wait(); also when the bell says that nobody does: a worker may have been killed, or
 * stopped, after it took the bell and before it woke anybody.
 */
void
pool_ring_kick (PoolRing *self)
{
  atomic_fetch_add (&self->kicks, 1);
  atomic_fetch_and (&self->header->bell, ~(guint32) POOL_BELL_FUTEX);
  pool_futex_wake (&self->header->bell, INT_MAX);
}

/* --- manager: workers come and go --- */

void
pool_ring_worker_add (PoolRing *self, guint worker, guint32 incarnation)
{
  PoolRingWorkerWords *words = &self->words[worker];

  self->incarnations[worker] = incarnation;
  atomic_store (&words->incarnation, incarnation);
  atomic_store (&words->status, POOL_WORKER_AWAKE);
  atomic_store (&words->command, POOL_COMMAND_NONE);
  atomic_store (&words->current, 0);
  atomic_store (&words->done, 0);
  atomic_store (&words->progress, 0);
  atomic_store (&words->block, 0);
  atomic_store (&words->since, 0);
  atomic_store (&words->notice, 0);
  atomic_store (&words->verdict, 0);
  words->quota = 0;
  atomic_store (&words->consumed, atomic_load (&self->taken[worker]));
  self->alive[worker] = TRUE;
  self->n_alive++;
  if (worker >= self->n_workers)
    atomic_store (&self->n_workers, worker + 1);
  atomic_store (&self->header->n_active, self->n_alive);
}

void
pool_ring_worker_set_stopped (PoolRing *self, guint worker, gboolean stopped)
{
  if (self->stopped[worker] == stopped)
    return;
  self->stopped[worker] = stopped;
  self->n_stopped += stopped ? 1 : -1;
  /* stopped: others may have counted on it; going on: it may have been passed over */
  pool_ring_wake_all (self);
  if (stopped)
    pool_ring_kick (self);
}

/* It has said that it is ready. */
void
pool_ring_worker_up (PoolRing *self, guint worker)
{
  if (self->up[worker])
    return;
  self->up[worker] = TRUE;
  self->n_up++;
}

static guint32
claim_of (PoolRing *self, guint worker)
{
  return POOL_SLOT_RUNNING | self->incarnations[worker] << 2;
}

gboolean
pool_ring_worker_runs (PoolRing *self, guint worker, guint index)
{
  return self->alive[worker] && self->busy[index] &&
         atomic_load_explicit (&self->slots[index].word, memory_order_relaxed) ==
             claim_of (self, worker);
}

/* Is what a busy slot's word says something that manager or living workers can have written? */
static gboolean
word_makes_sense (PoolRing *self, guint32 word)
{
  if (word == POOL_SLOT_READY)
    return TRUE;
  for (guint i = 0; i < self->n_workers; i++)
    if (self->alive[i] && word == claim_of (self, i))
      return TRUE;
  return FALSE;
}

/*
 * A worker has answered for a busy slot in a way that cannot be believed. Is the task its own, or at least nobody else's?
 * If so no other worker will claim it from now on, and the slot can be released.
 */
gboolean
pool_ring_disown (PoolRing *self, guint worker, guint index)
{
  return pool_ring_worker_runs (self, worker, index) || pool_ring_take_back (self, index) ||
         !word_makes_sense (self, atomic_load (&self->slots[index].word));
}

/*
 * The slot that a dead worker was running, or -1. If it wrote to where it had no business, the slot may no longer say so:
 * one whose word makes no sense is taken for its own then, and the others are freed, which pool_ring_next_orphan() sees.
 */
static int
find_claimed (PoolRing *self, guint worker)
{
  int slot = -1, odd = -1;

  for (guint i = 0; i < self->n_slots; i++)
    {
      guint32 word;

      if (!self->busy[i])
        continue;
      word = atomic_load (&self->slots[i].word);
      if (word == claim_of (self, worker))
        slot = i;
      else if (!word_makes_sense (self, word))
        {
          atomic_store (&self->slots[i].word, POOL_SLOT_FREE);
          odd = i;
        }
    }
  return slot >= 0 ? slot : odd;
}

/* Not counted on any more; others may have relied on it, so all that sleep look for themselves. */
static void
discount_worker (PoolRing *self, guint worker)
{
  if (self->up[worker])
    self->n_up--;
  self->up[worker] = FALSE;
  pool_ring_wake_all (self);
}

void
pool_ring_worker_leaves (PoolRing *self, guint worker)
{
  discount_worker (self, worker);
}

void
pool_ring_worker_abandon (PoolRing *self, guint worker)
{
  if (self->abandoned[worker])
    return;
  self->abandoned[worker] = TRUE;
  self->n_alive--;
  atomic_store (&self->header->n_active, MAX (self->n_alive, 1));
  discount_worker (self, worker);
}

/*
 * A worker is dead, for certain, and its results have been taken. Returns the slot that it was running, still busy,
 * or -1. Others may have counted on it, so all that sleep are woken and look for themselves.
 */
int
pool_ring_worker_reap (PoolRing *self, guint worker)
{
  int slot;

  /* what it wrote in its last moments may be anything: a cursor that is too far ahead would hide tasks */
  if ((gint32) (atomic_load (&self->header->cursor) - self->head) > 0)
    atomic_store (&self->header->cursor, self->head);

  pool_ring_worker_set_stopped (self, worker, FALSE);
  self->alive[worker] = FALSE;
  if (!self->abandoned[worker])
    self->n_alive--;
  self->abandoned[worker] = FALSE;
  if (self->up[worker])
    self->n_up--;
  self->up[worker] = FALSE;
  atomic_store (&self->header->n_active, MAX (self->n_alive, 1));
  atomic_fetch_and (&self->header->sleepers[worker / 64],
                    ~(G_GUINT64_CONSTANT (1) << (worker % 64)));
  atomic_fetch_and (&self->header->blocks[worker / 64],
                    ~(G_GUINT64_CONSTANT (1) << (worker % 64)));

  slot = find_claimed (self, worker);
  pool_ring_wake_all (self);
  return slot;
}

/*
 * Tasks in slots that make no sense any more, and those that a dead worker had set aside to look at first, and others will find only when they have nothing else:
 * takes one back that lies before the cursor. The slot is still busy: release it and publish the task anew.
 */
gboolean
pool_ring_next_orphan (PoolRing *self, guint *index)
{
  guint32 cursor = atomic_load (&self->header->cursor);

  for (guint i = 0; i < self->n_slots; i++)
    if (self->busy[i] &&
        (atomic_load (&self->slots[i].word) == POOL_SLOT_FREE ||
         ((gint32) (self->positions[i] - cursor) < 0 && pool_ring_take_back (self, i))))
      {
        *index = i;
        return TRUE;
      }
  return FALSE;
}

void
pool_ring_wake_all (PoolRing *self)
{
  for (guint i = 0; i < (self->n_workers + 63) / 64; i++)
    wake_one_word (self, i, 64);
}

/* Asks a worker to end after its task. */
void
pool_ring_retire (PoolRing *self, guint worker)
{
  atomic_store (&self->words[worker].command, POOL_COMMAND_RETIRE);
  wake_sleeper (self, worker);
}

/* Tells a worker something about the task @serial; it looks whether that is the one it runs. */
void
pool_ring_notify (PoolRing *self, guint worker, guint32 serial, guint item, PoolNotice notice)
{
  PoolRingWorkerWords *words = &self->words[worker];

  atomic_store (&words->notice, (guint64) item << 40 | (guint64) notice << 32 | serial);
  atomic_fetch_add (&words->notice_seq, 1);
  pool_futex_wake (&words->notice_seq, INT_MAX);
}

/* Answers a worker that has asked whether it may start the task @serial. */
void
pool_ring_answer (PoolRing *self, guint worker, guint32 serial, gboolean go)
{
  PoolRingWorkerWords *words = &self->words[worker];

  atomic_store (&words->verdict, go ? serial : ~serial);
  pool_futex_wake (&words->verdict, 1);
}

void
pool_ring_stop (PoolRing *self)
{
  atomic_store (&self->header->stop, 1);
  pool_ring_wake_all (self);
  /* those that wait for something else than a task */
  for (guint i = 0; i < self->n_workers; i++)
    if (self->alive[i])
      {
        wake_sleeper (self, i);
        atomic_fetch_xor (&self->words[i].verdict, 1u << 31);
        pool_futex_wake (&self->words[i].verdict, 1);
      }
}
