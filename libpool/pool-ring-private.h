/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-futex-private.h"
#include "pool-progress-private.h"
#include "pool-types.h"

#include <string.h>

G_BEGIN_DECLS

/*
 * The path of tasks and results between one manager and its local workers, in one block of memory that they share:
 *
 *   manager ──publish──► task ring, claimed by compare-and-swap ──► worker
 *   manager ◄──drain──── one result ring per worker             ◄── worker
 *
 * Nothing here is a lock. Any worker may be killed between any two instructions:
 *  - a slot's word says who owns it: FREE or READY (the manager), or RUNNING with the worker's incarnation;
 *  - everything else that workers write together (cursor, sleepers, blocks) is a hint: when a dead worker leaves it wrong, work
 *    is found more slowly, never lost;
 *  - a result counts when its sequence number is written, last.
 *
 * In the process of the workers' manager (`threads`) the block is plain memory and data are pointers; between
 * processes (`fork`) it is mapped by all and data are offsets. The ring carries both as numbers and does not care.
 */

#define POOL_RING_INLINE 80
#define POOL_RING_LINE 64
#define POOL_RING_MAX_WORKERS 4096
#define POOL_RING_CLAIM_MAX 16

/*
 * Spinning: about a microsecond of pauses, then sched_yield(), 20 µs in all, then sleep. Measured on two CPUs:
 * three processes that spin without yielding fall from 25 to 1.3 million tasks a second, and a wake-up from sleep
 * costs 20–50 µs. With one CPU a spinning process only keeps the other from running.
 */
#define POOL_RING_SPIN_PAUSES 64
#define POOL_RING_SPIN_NS 20000

enum
{
  POOL_SLOT_FREE = 0,
  POOL_SLOT_READY = 1,
  POOL_SLOT_RUNNING = 2, /* | incarnation << 2 */
};

enum
{
  POOL_RING_DATA_INLINE = 1u << 31, /* flags of a slot, kind of a result */
  POOL_RING_DATA_REFERENCE = 1u << 30, /* result: lies within the task's argument */
  POOL_RING_DATA_EXTENT = 1u << 29,    /* result: in the extent that was granted to the worker */
  POOL_RING_NEED_EXTENT = 1u << 28,    /* not a result: the worker asks for an extent of `size` bytes */
  POOL_RING_STARTED_BAD = 1u << 27,    /* not a result: it cannot come up; an encoded error, of the initializer if n_items is 0 */
  POOL_RING_STARTED = 1u << 26,        /* not a result: the worker is up */
  POOL_RING_ENDED = 1u << 25,          /* not a result: a thread ends by itself */
  POOL_RING_ACCEPTED = 1u << 24,       /* not a result: the worker has started the task */
  POOL_RING_PROGRESS = 1u << 23,       /* not a result: run_time is the part of the task that is done */
  POOL_RING_LEAVING = 1u << 22,        /* not a result: the task that it starts, or has ended, is its last */
  POOL_RING_CAPTURED = 1u << 21,       /* result: of a task whose output was captured */
  POOL_RING_OF_TASK = POOL_RING_ACCEPTED | POOL_RING_PROGRESS, /* not results, but about a task */
  POOL_RING_MESSAGE = POOL_RING_NEED_EXTENT | POOL_RING_STARTED_BAD | POOL_RING_STARTED | POOL_RING_ENDED |
                      POOL_RING_OF_TASK | POOL_RING_LEAVING,
  POOL_RING_KIND_MASK = 0xff,
};

typedef struct
{
  _Atomic guint32 word;
  guint32 function;
  guint64 handle; /* names the task in the engine's ledger */
  guint64 id;
  guint32 attempt;
  guint32 n_items;
  guint32 flags;
  float limit; /* seconds until the first time limit of each item, or 0 */
  guint64 size;
  union
  {
    guint64 data;
    guint8 bytes[POOL_RING_INLINE];
  };
} PoolRingSlot;

/* When a task ran, as the worker saw it; one word of eight bytes, so that passing it on costs no more than the run time alone. */
typedef struct
{
  float run_time;  /* seconds, or 0 */
  guint32 started; /* the low half of pool_now_ns() / 1024, or 0 */
} PoolTiming;

typedef struct
{
  _Atomic guint32 seq;
  guint32 kind;
  guint64 handle;
  guint32 slot;
  guint32 n_items;
  guint64 size;
  guint64 staging; /* where the worker's staging buffer is free again when this is taken */
  union
  {
    PoolTiming timing;
    float run_time; /* seconds, or 0 */
  };
  union
  {
    guint64 data;
    guint8 bytes[POOL_RING_INLINE];
  };
} PoolRingResult;

G_STATIC_ASSERT (sizeof (PoolRingSlot) == 128);
G_STATIC_ASSERT (sizeof (PoolRingResult) == 128);
G_STATIC_ASSERT (sizeof (PoolTiming) == 8);

enum
{
  POOL_WORKER_AWAKE,
  POOL_WORKER_SLEEPING, /* waits on this word for a task */
  POOL_WORKER_BLOCKED,  /* waits on `consumed` for room in its result ring */
};

enum
{
  POOL_COMMAND_NONE,
  POOL_COMMAND_RETIRE, /* end after the task that runs */
};

/* One worker's words; each line has one writer, but for progress and a status that sleeps. */
typedef struct
{
  _Alignas (POOL_RING_LINE) _Atomic guint32 status;
  _Atomic guint32 command; /* manager */
  _Atomic guint32 current; /* worker: slot + 1 that it runs, a hint */
  _Atomic guint32 incarnation;
  _Atomic guint64 done;
  _Atomic gint64 since;  /* monotonic ns: start of the current task, or item; written before `progress` says so */
  _Atomic guint64 block; /* begin << 32 | end of the positions that it set aside; with its bit in `blocks` */

  _Alignas (POOL_RING_LINE) PoolProgress progress;

  _Alignas (POOL_RING_LINE) _Atomic guint32 consumed; /* manager: results taken */
  _Atomic guint32 grant_seq;                          /* manager: extents granted */
  guint64 grant_offset;
  guint64 grant_size;
  _Atomic guint64 staging_tail;
  _Atomic guint64 notice;     /* manager: item << 40 | PoolNotice << 32 | serial of the task that is to know */
  _Atomic guint32 notice_seq; /* manager: notices given, to wait on */
  _Atomic guint32 verdict;    /* manager: serial of the task that may start (POOL_CALL_SYNACK), or its complement: may not */
  guint32 quota;              /* manager: tasks until it is to leave; 0: any number */
} PoolRingWorkerWords;

G_STATIC_ASSERT (sizeof (PoolRingWorkerWords) == 3 * POOL_RING_LINE);

/* The item that a worker's task @serial is in, and since when (monotonic µs); leaves both alone if it is in none. */
static inline void
pool_ring_words_look (PoolRingWorkerWords *self, guint32 serial, guint *item, gint64 *since)
{
  /* the time is written before the progress, so it is never that of an earlier item */
  guint started = pool_progress_current (atomic_load (&self->progress), serial);
  gint64 start, now;

  if (started == 0)
    return;
  *item = started - 1;
  start = atomic_load (&self->since);
  now = pool_now_ns ();
  *since = MIN (start, now) / 1000;
}

typedef struct
{
  guint32 n_slots;   /* a power of two */
  guint32 n_results; /* per worker; a power of two */
  guint32 max_workers;
  guint32 spin; /* is spinning worth while on this machine? */
  _Atomic guint32 n_active;

  _Alignas (POOL_RING_LINE) _Atomic guint32 head; /* manager: end of the published positions */
  _Atomic guint32 stop;                           /* manager: end when there is nothing to do */

  _Alignas (POOL_RING_LINE) _Atomic guint32 cursor; /* workers: where unclaimed positions begin, a hint */

  _Alignas (POOL_RING_LINE) _Atomic guint32 bell; /* who on the manager's side is to be woken: POOL_BELL_… */
  _Atomic guint32 pump_cpu; /* + 1, where the pump waits, a hint */

  _Alignas (POOL_RING_LINE) _Atomic guint64 sleepers[POOL_RING_MAX_WORKERS / 64];
  /* workers that have set positions aside, for those that have nothing to do */
  _Alignas (POOL_RING_LINE) _Atomic guint64 blocks[POOL_RING_MAX_WORKERS / 64];
} PoolRingHeader;

enum
{
  POOL_BELL_FUTEX = 1 << 0, /* a thread waits on the bell itself */
  POOL_BELL_FD = 1 << 1,    /* somebody polls the event fd */
};

/* The manager's side. Guarded by the engine's lock, but for what pool_ring_wait() and _arm() read. */
typedef struct
{
  PoolRingHeader *header;
  PoolRingSlot *slots;
  PoolRingWorkerWords *words;
  PoolRingResult *results;
  guint n_slots, n_results, max_workers; /* not the header's: workers can write to that */
  _Atomic guint n_workers; /* indexes in use */
  _Atomic guint kicks;     /* how often pool_ring_wait() was to return */
  guint n_alive;
  guint n_up;         /* of those: ready for tasks */
  guint n_stopped;    /* alive, but stopped by a signal: nothing to count on */
  guint n_outstanding;
  guint next;         /* position of the next slot to look at */
  guint32 head;
  guint n_unpublished;
  gboolean *busy;
  guint32 *positions; /* position of a busy slot */
  _Atomic guint32 *taken; /* per worker: results taken */
  gboolean *alive;
  gboolean *up;
  gboolean *stopped;
  gboolean *abandoned; /* alive, but not counted on, nor waited for */
  guint32 *incarnations; /* not the words': workers can write to those */
  int event_fd;
} PoolRing;

void pool_ring_locate (gpointer memory, guint n_slots, guint max_workers, PoolRingSlot **slots,
                       PoolRingWorkerWords **words, PoolRingResult **results);
POOL_EXPORT
gsize pool_ring_size (guint n_slots, guint n_results, guint max_workers);
POOL_EXPORT
void pool_ring_init (PoolRing *self, gpointer memory, guint n_slots, guint n_results,
                     guint max_workers, int event_fd);
POOL_EXPORT
void pool_ring_clear (PoolRing *self);

/* tasks: fill the slot that reserve gives, then commit; publish makes them visible */
POOL_EXPORT
PoolRingSlot *pool_ring_reserve (PoolRing *self, guint *index);
POOL_EXPORT
void pool_ring_commit (PoolRing *self, guint index);
POOL_EXPORT
void pool_ring_publish (PoolRing *self);
POOL_EXPORT
void pool_ring_release (PoolRing *self, guint index);
POOL_EXPORT
gboolean pool_ring_take_back (PoolRing *self, guint index);
static inline guint
pool_ring_room (PoolRing *self)
{
  return self->n_slots - self->n_outstanding;
}

/* results */
POOL_EXPORT
gboolean pool_ring_next_result (PoolRing *self, guint worker, PoolRingResult *copy);
POOL_EXPORT
void pool_ring_consumed (PoolRing *self, guint worker);
POOL_EXPORT
gboolean pool_ring_has_results (PoolRing *self);

/* waiting for results */
POOL_EXPORT
gboolean pool_ring_wait (PoolRing *self, guint kicks, gint64 timeout);
POOL_EXPORT
gboolean pool_ring_arm (PoolRing *self, gboolean on);
POOL_EXPORT
void pool_ring_kick (PoolRing *self);

/* workers come and go */
POOL_EXPORT
void pool_ring_worker_add (PoolRing *self, guint worker, guint32 incarnation);
POOL_EXPORT
void pool_ring_worker_up (PoolRing *self, guint worker);
POOL_EXPORT
gboolean pool_ring_worker_runs (PoolRing *self, guint worker, guint index);
POOL_EXPORT
gboolean pool_ring_disown (PoolRing *self, guint worker, guint index);
/* It will take no more tasks. */
POOL_EXPORT
void pool_ring_worker_leaves (PoolRing *self, guint worker);
/* It cannot be ended: it is no longer counted on; reap() comes when it ends by itself. */
POOL_EXPORT
void pool_ring_worker_abandon (PoolRing *self, guint worker);
POOL_EXPORT
int pool_ring_worker_reap (PoolRing *self, guint worker);
POOL_EXPORT
gboolean pool_ring_next_orphan (PoolRing *self, guint *index);
POOL_EXPORT
void pool_ring_worker_set_stopped (PoolRing *self, guint worker, gboolean stopped);
POOL_EXPORT
void pool_ring_retire (PoolRing *self, guint worker);
POOL_EXPORT
void pool_ring_notify (PoolRing *self, guint worker, guint32 serial, guint item, PoolNotice notice);
POOL_EXPORT
void pool_ring_answer (PoolRing *self, guint worker, guint32 serial, gboolean go);
POOL_EXPORT
void pool_ring_wake_all (PoolRing *self);
POOL_EXPORT
void pool_ring_stop (PoolRing *self);

/* For a worker whose messages take another way than the ring. */
typedef void (*PoolRingTellFunc) (guint32 kind, const PoolRingSlot *slot, float number, gpointer data);

/* A worker's side. */
typedef struct
{
  PoolRingHeader *header;
  PoolRingSlot *slots;
  PoolRingWorkerWords *words;
  PoolRingResult *results;
  guint index;
  guint32 incarnation;
  guint32 position; /* next result */
  guint32 consumed; /* as last seen */
  guint32 block, block_end; /* positions that this worker looks at first */
  gboolean shares;          /* its bit in `blocks` is set */
  guint n_same_cpu;         /* waits in a row on the pump's CPU */
  gint64 moved_at;          /* monotonic ns */
  guint32 n_left;           /* tasks until it leaves; G_MAXUINT32: any number */
  int event_fd;
  PoolRingTellFunc tell;    /* in place of the result ring; or NULL */
  gpointer tell_data;
} PoolRingWorker;

POOL_EXPORT
void pool_ring_worker_attach (PoolRingWorker *self, gpointer memory, guint index, int event_fd);
POOL_EXPORT
PoolRingSlot *pool_ring_claim (PoolRingWorker *self);
POOL_EXPORT
PoolRingResult *pool_ring_result_reserve (PoolRingWorker *self);
POOL_EXPORT
void pool_ring_result_publish (PoolRingWorker *self);
/* A message about the task in @slot, or about the worker; published at once. */
POOL_EXPORT
void pool_ring_worker_tell (PoolRingWorker *self, guint32 kind, const PoolRingSlot *slot, float number);
/* Waits until the manager has said whether @slot may be started. */
POOL_EXPORT
gboolean pool_ring_worker_ask (PoolRingWorker *self, const PoolRingSlot *slot);
/* It takes no more tasks. */
POOL_EXPORT
void pool_ring_worker_leave (PoolRingWorker *self);
POOL_EXPORT
void pool_ring_ring_bell (PoolRingWorker *self);

G_END_DECLS
