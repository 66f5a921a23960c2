/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool/pool-ring-private.h"
#include "unit-common.h"

G_BEGIN_DECLS

/* A ring and its block of memory. */
typedef struct
{
  PoolRing ring;
  guint8 *memory;
  gsize size;
  int event_fd;
} RingFixture;

/* @shared: with processes that are forked later */
void ring_fixture_init (RingFixture *self, guint n_slots, guint n_results, guint max_workers,
                        gboolean shared);
void ring_fixture_clear (RingFixture *self);

/* Commits a task whose argument is its handle; FALSE: there is no room. */
gboolean ring_put (RingFixture *self, guint64 handle, guint *index);

/* What a worker does with a task: the result of a handle, in place. */
guint64 ring_answer (guint64 handle);
void ring_reply (PoolRingWorker *worker, const PoolRingSlot *slot);
/* As a worker says it when it is ready. */
void ring_say_started (PoolRingWorker *worker);

/* Checks a result, and releases its slot. */
void ring_accept (RingFixture *self, const PoolRingResult *result);

G_END_DECLS
