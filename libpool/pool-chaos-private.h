/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"

G_BEGIN_DECLS

#define POOL_CHAOS_VARIABLE "POOL_CHAOS"

/* Where in a worker's loop something may happen to it. */
typedef enum
{
  POOL_CHAOS_CLAIMED,   /* the task is the worker's and has not begun */
  POOL_CHAOS_RUN,       /* it has ended, and nobody knows */
  POOL_CHAOS_PUBLISHED, /* the manager can see the result */
  POOL_CHAOS_N_POINTS
} PoolChaosPoint;

typedef enum
{
  POOL_CHAOS_NOTHING,
  POOL_CHAOS_KILL,
  POOL_CHAOS_STOP,
  POOL_CHAOS_DELAY,
} PoolChaosAction;

/* What happens during one task. */
typedef struct
{
  PoolChaosAction action;
  PoolChaosPoint point;
  gulong delay; /* µs */
} PoolChaosFate;

/*
 * Makes one worker misbehave, as POOL_CHAOS asks for. What it does depends on the seed, the worker's number, its
 * incarnation and how many tasks it has had, and on nothing else.
 */
typedef struct _PoolChaos PoolChaos;

gboolean pool_chaos_parse (const char *text, PoolBackendChaos *config, GError **error);
/* What the environment asks for, if this backend can do it. */
gboolean pool_chaos_configure (PoolBackendChaos *config, const char *backend, PoolBackendFlags flags,
                               GError **error);

/* NULL: nothing is asked for */
POOL_EXPORT
PoolChaos *pool_chaos_new (const PoolBackendChaos *config, guint worker, guint32 incarnation);
POOL_EXPORT
void pool_chaos_free (PoolChaos *self);
POOL_EXPORT
PoolChaosFate pool_chaos_draw (PoolChaos *self);
POOL_EXPORT
void pool_chaos_reach (PoolChaos *self, PoolChaosPoint point);
/* How long a worker that was stopped stays so, in µs; 0: nobody stops workers. @n: its stops so far. */
POOL_EXPORT
gint64 pool_chaos_get_pause (const PoolBackendChaos *config, guint worker, guint32 incarnation, guint n);

static inline void
pool_chaos_at (PoolChaos *self, PoolChaosPoint point)
{
  if (G_UNLIKELY (self != NULL))
    pool_chaos_reach (self, point);
}

G_END_DECLS
