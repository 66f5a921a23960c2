/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-engine-private.h"
#include "pool-stream.h"
#include "pool-wait-private.h"

G_BEGIN_DECLS

/* A call, from when it is submitted to when it is taken. */
typedef struct
{
  PoolRecord record; /* first: its number; its bytes hold a short result in the end */
  GList order;       /* in the stream's */
  GList ended;       /* likewise */
  gboolean has_ended;
  gsize size;     /* of the result */
  GBytes *bytes;  /* a longer one */
  GError *error;  /* or why there is none */
} PoolStreamCall;

/* What is left of a call that was taken. */
typedef struct
{
  guint64 number;
  GBytes *bytes;
  GError *error;
} PoolStreamLeftover;

typedef struct
{
  PoolStream *stream;
  gboolean ordered;
  PoolWait *wait; /* NULL: the wait is in take() */
} PoolStreamTaker;

struct _PoolStream
{
  GObject parent_instance;

  PoolJob job; /* has one record too many while the object is in use: it runs dry often, but ends once */
  PoolEngine *engine;
  guint32 function;

  /* the engine's lock */
  gboolean dropped;
  guint64 next_number;
  GQueue order; /* PoolStreamCall, all that have not been taken, in the order of their numbers */
  GQueue ended; /* those of them that have ended, in that order */
  GHashTable *leftovers; /* PoolStreamLeftover by number */
  GSList *takers; /* PoolStreamTaker of wait_async() */
  PoolStreamCall *spare; /* by record.next */
  guint n_spare;
};

/* an object that open_stream() has not made can do nothing */
#define POOL_STREAM_IS_OPEN(self) (POOL_IS_STREAM (self) && (self)->engine != NULL)

PoolStream *pool_stream_new (PoolEngine *engine, guint function);

/* with the engine's lock held; @calls: by record.next */
void pool_stream_free_calls_locked (PoolStream *self, PoolStreamCall *calls);
/* something can be taken now, or nothing any more: tells who waits for it */
void pool_stream_tell_locked (PoolStream *self);

G_END_DECLS
