/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-async-result.h"
#include "pool-engine-private.h"
#include "pool-manager.h"
#include "pool-output-private.h"

G_BEGIN_DECLS

struct _PoolAsyncResult
{
  GObject parent_instance;

  PoolJob job;
  PoolEngine *engine;

  /* set before the job is submitted */
  PoolManager *source; /* a reference while a callback is to come */
  GAsyncReadyCallback callback;
  gpointer user_data;
  gpointer tag;
  GCancellable *cancellable;
  gulong cancelled_id;
  char *correlation_id;

  /* written under the engine's lock, read when the job is done */
  GError *error;
  guint attempts;
  guint worker;
  double run_time;
  _Atomic guint64 progress; /* the bits of a double */
  PoolCallOptions *options; /* with callbacks, or NULL */
  PoolOutput *output; /* NULL: it is not captured */

  GSList *waits; /* PoolWait of wait_async(); the engine's lock */
  _Atomic gboolean notified;
  gboolean is_unwanted; /* of put(): its item was cleared while it was far away; the engine's lock */
};

struct _PoolAsyncResultClass
{
  GObjectClass parent_class;

  GVariant *(*get_value) (PoolAsyncResult *self, GError **error);
  GBytes *(*get_bytes) (PoolAsyncResult *self, GError **error);
};

/* What both kinds of calls have. */
typedef struct
{
  PoolManager *source;
  GCancellable *cancellable;
  GAsyncReadyCallback callback;
  gpointer user_data;
  gpointer tag;
  gboolean waits; /* the caller waits for the result at once */
} PoolCallback;

void pool_async_result_init_call (PoolAsyncResult *self, PoolEngine *engine,
                                  const PoolJobClass *klass, const PoolCallback *callback);
/* after the job was submitted */
void pool_async_result_watch_cancellable (PoolAsyncResult *self);
gboolean pool_async_result_check_cancelled (PoolAsyncResult *self, GError **error);
/* a call that never gets to a worker; takes @error */
void pool_async_result_fail_now (PoolAsyncResult *self, GError *error);
/* the pool's event, in its context */
void pool_async_result_handle_event (PoolAsyncResult *self, const PoolEvent *event);
/* with the lock held */
void pool_async_result_set_progress_locked (PoolAsyncResult *self, double fraction);
void pool_async_result_set_error (PoolAsyncResult *self, const GError *error);
void pool_async_result_finished_locked (PoolAsyncResult *self);
void pool_async_result_notify (PoolJob *job);
void pool_async_result_output (PoolJob *job, PoolRecord *record, const PoolBackendOutput *output);
gboolean pool_async_result_block (PoolAsyncResult *self, double timeout, GError **error);

static inline PoolAsyncResult *
pool_job_get_result (PoolJob *job)
{
  return (PoolAsyncResult *) (gpointer) ((guint8 *) job - G_STRUCT_OFFSET (PoolAsyncResult, job));
}

G_END_DECLS
