/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

#include <string.h>

G_BEGIN_DECLS

/*
 * The life of a task, or of a chunk of a map:
 *
 *   NEW ─► QUEUED ─► SENT ─► DONE | FAILED
 *            ▲  ▲      │
 *            │  └──────┤ handed back, not started
 *            └─────────┘ lost with its worker: next attempt
 *
 * and from each but the last two to CANCELLED. RUNNING is SENT with a worker known; most tasks end without anybody
 * having asked. Each record ends exactly once, in one of the last three.
 */
typedef enum
{
  POOL_RECORD_NEW,
  POOL_RECORD_QUEUED,
  POOL_RECORD_SENT,
  POOL_RECORD_RUNNING,
  POOL_RECORD_DONE,
  POOL_RECORD_FAILED,
  POOL_RECORD_CANCELLED,
} PoolRecordState;

/* What the program wants of a task that a worker may have started. */
typedef enum
{
  POOL_ENDING_NONE,
  POOL_ENDING_CANCEL,    /* it is told, and ended if it does not stop within the pool's grace */
  POOL_ENDING_TERMINATE, /* it is ended by a signal */
} PoolEnding;

typedef struct _PoolJob PoolJob;
typedef struct _PoolRecord PoolRecord;

#define POOL_RECORD_INLINE 80

struct _PoolRecord
{
  PoolRecord *next, *prev; /* in the ready queue */
  PoolJob *job;
  guint64 id;
  guint32 index;  /* in the ledger's table */
  guint32 serial; /* of the last hand-out; 0: never */
  guint8 state;
  guint8 flags; /* POOL_CALL_… */
  guint8 is_source;      /* stands in the queue for chunks that are still to be cut */
  guint8 is_sent;        /* counted as being with the backend */
  guint8 ending;         /* PoolEnding: what is to become of it while a worker has it */
  guint8 is_placed;      /* the worker that is to end it has been found */
  guint8 is_unwanted;    /* if it is handed back unstarted it has ended */
  guint8 is_aged;        /* it went before what is more urgent, because it had waited long */
  gint8 priority;
  guint8 signum;         /* of POOL_ENDING_TERMINATE */
  guint8 owns_payload;   /* 0: no; 1: g_free(); 2: the backend's free_payload() */
  guint16 attempt;       /* from 1 */
  guint16 max_retries;
  guint16 queued_high; /* see pool_record_set_queued() */
  guint32 function;
  guint32 worker; /* the last that had to do with it */
  guint32 n_items;
  float timeout, soft_timeout; /* seconds for each item; 0: no limit */
  guint32 queued_low;
  guint64 first; /* item of its job */
  guint64 order; /* in which it was queued first */
  const guint8 *data;
  gsize size;
  guint8 bytes[POOL_RECORD_INLINE];
};

typedef void (*PoolLedgerObserver) (const PoolRecord *record, PoolRecordState from,
                                    PoolRecordState to, gpointer user_data);

/*
 * All records that have not ended. A record is named towards the backend by a handle that is new at every hand-out:
 * a late or made-up answer does not find it. Guarded by the engine's lock.
 */
typedef struct
{
  PoolRecord **table;
  guint32 *free_indexes;
  guint32 size;
  guint32 n_free;
  guint32 n_records;
  guint32 next_serial;
  guint64 next_id;
  PoolLedgerObserver observer;
  gpointer observer_data;
} PoolLedger;

POOL_EXPORT
void pool_ledger_init (PoolLedger *self);
POOL_EXPORT
void pool_ledger_clear (PoolLedger *self);
/* NEW → QUEUED; @id: 0 for a new one */
POOL_EXPORT
void pool_ledger_add (PoolLedger *self, PoolRecord *record, guint64 id);
/* QUEUED → SENT; returns the handle of this hand-out */
POOL_EXPORT
guint64 pool_ledger_send (PoolLedger *self, PoolRecord *record);
/* SENT | RUNNING → QUEUED; @lost: its worker died in it, so the next attempt begins */
POOL_EXPORT
void pool_ledger_requeue (PoolLedger *self, PoolRecord *record, gboolean lost);
/* → DONE | FAILED | CANCELLED; the record is forgotten */
POOL_EXPORT
void pool_ledger_finish (PoolLedger *self, PoolRecord *record, PoolRecordState state);
/* the record of the hand-out @handle, if that is the last one; else NULL */
POOL_EXPORT
PoolRecord *pool_ledger_find (PoolLedger *self, guint64 handle);

static inline guint64
pool_record_get_handle (const PoolRecord *record)
{
  return (guint64) record->serial << 32 | record->index;
}

/* When it was queued, monotonic µs (of nine years), if somebody wants to know; 0: unknown. In what would be gaps. */
static inline void
pool_record_set_queued (PoolRecord *record, gint64 time)
{
  record->queued_high = time >> 32;
  record->queued_low = (guint32) time;
}

static inline gint64
pool_record_get_queued (const PoolRecord *record)
{
  return (gint64) record->queued_high << 32 | record->queued_low;
}

G_END_DECLS
