/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-backend.h"
#include "pool-ledger-private.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct _PoolJobClass PoolJobClass;

/* What the engine works for: the call, the map or the iterator behind an object of the API. */
struct _PoolJob
{
  const PoolJobClass *klass;
  GObject *object; /* that the job is part of; the engine holds a reference while records live */
  guint64 id;
  guint n_records; /* in the ledger */
  PoolJob *next_finished;
  gboolean has_source; /* the source record is in the ready queue */
  PoolRecord *source;
  gboolean is_queued_finished;
  gboolean wants_notify; /* somebody is to be told in the main context */
  gboolean is_stream; /* each record is a call of its own; see PoolStream */
  gboolean wants_accepted; /* somebody is to be told that a worker has started it */
  gboolean is_waited_for; /* whoever submits it waits at once, and will pump: no need to have the fd watched */
  _Atomic gboolean done;
};

/* Everything is called with the engine's lock held, but for notify(). */
struct _PoolJobClass
{
  /*
   * The next chunk, with its payload, or NULL if there is none now, or, with an error, no memory for one.
   * @n_workers: to guess a size from.
   */
  PoolRecord *(*cut) (PoolJob *self, PoolEngine *engine, guint n_workers, GError **error);
  /* A record for items [first, first + n) again: their worker was lost, or they were taken back. NULL with an error. */
  PoolRecord *(*cut_again) (PoolJob *self, PoolEngine *engine, guint64 first, guint n, GError **error);
  /* A record has ended well (@result) or badly (@error). The engine frees the record's payload afterwards. */
  void (*deliver) (PoolJob *self, PoolRecord *record, const PoolBackendResult *result);
  void (*fail) (PoolJob *self, PoolRecord *record, const GError *error);
  /* How many items have not been cut; NULL if there is no source. */
  guint64 (*count_uncut) (PoolJob *self);
  /* The task has told how far it is, 0 to 1. May be NULL. */
  void (*progress) (PoolJob *self, double fraction);
  /* What the record's task wrote, before deliver() or fail() or another attempt. NULL: nobody wants it. */
  void (*output) (PoolJob *self, PoolRecord *record, const PoolBackendOutput *output);
  /* The record is not used any more; NULL if it is part of the job. */
  void (*free_record) (PoolJob *self, PoolRecord *record);
  /* All is done: tell the program. Without the lock; in the context's thread or one that may speak for it. */
  void (*notify) (PoolJob *self);
};

G_END_DECLS
