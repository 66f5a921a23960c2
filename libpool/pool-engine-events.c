/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-engine-private.h"

#include "pool-async-result-private.h"
#include "pool-worker-info-private.h"

/* What the program is told, in its own context: signals, and the callbacks of calls other than the last. */

struct _PoolDeferred
{
  PoolDeferred *next;
  PoolDeferredFunc func;
  gpointer data;
};

void
pool_engine_defer_locked (PoolEngine *self, PoolDeferredFunc func, gpointer data)
{
  PoolDeferred **p = &self->deferred;

  while (*p != NULL)
    p = &(*p)->next;
  *p = g_new (PoolDeferred, 1);
  **p = (PoolDeferred){ NULL, func, data };
}

void
pool_engine_run_deferred (PoolDeferred *deferred)
{
  while (deferred != NULL)
    {
      PoolDeferred *next = deferred->next;

      deferred->func (deferred->data);
      g_free (deferred);
      deferred = next;
    }
}

PoolWorker *
pool_engine_get_worker (PoolEngine *self, guint id)
{
  return id < self->workers->len ? self->workers->pdata[id] : NULL;
}

/* @exit: how it ended, or NULL */
PoolWorkerInfo *
pool_engine_describe_worker (PoolEngine *self, PoolWorker *worker, const PoolBackendExit *exit)
{
  PoolBackendWorker now;
  PoolRecord *record;
  guint64 task;

  POOL_BACKEND_GET_CLASS (self->backend)->get_worker (self->backend, worker->id, &now);
  record = pool_ledger_find (&self->ledger, exit != NULL ? exit->handle : now.handle);
  task = record != NULL ? record->id : exit != NULL ? worker->doomed_task : 0;
  return pool_worker_info_new (worker, task, now.done, exit);
}

static void
free_event (gpointer data)
{
  PoolEvent *event = data;

  g_clear_object (&event->result);
  g_clear_object (&event->info);
  g_clear_error (&event->error);
  pool_engine_unref (event->engine);
  g_free (event);
}

static void
run_event (gpointer data)
{
  PoolEvent *event = data;

  if (event->engine->event != NULL)
    event->engine->event (event, event->engine->event_data);
  free_event (event);
}

static gboolean
is_for_manager (gconstpointer data)
{
  const PoolEvent *event = data;

  /* the rest is for a call's own callbacks, or for who watches its progress */
  return event->result == NULL ||
         (event->kind != POOL_EVENT_PROGRESS && POOL_ASYNC_RESULT (event->result)->options == NULL);
}

/* The manager is gone. Where nobody runs the context, what it was to be told would keep the engine, with all its descriptors. */
void
pool_engine_drop_events (PoolEngine *self)
{
  pool_dispatcher_drop (self->dispatcher, run_event, is_for_manager, free_event);
}

static PoolEvent *
new_event (PoolEngine *self, PoolEventKind kind)
{
  PoolEvent *event = g_new0 (PoolEvent, 1);

  event->kind = kind;
  event->engine = pool_engine_ref (self);
  return event;
}

/* Takes @info. */
void
pool_engine_push_worker_event (PoolEngine *self, PoolEventKind kind, PoolWorkerInfo *info)
{
  PoolEvent *event = new_event (self, kind);

  event->info = info;
  pool_dispatcher_push (self->dispatcher, run_event, event);
}

static PoolEvent *
new_task_event (PoolEngine *self, PoolEventKind kind, PoolRecord *record)
{
  PoolEvent *event = new_event (self, kind);
  PoolWorker *worker = pool_engine_get_worker (self, record->worker);

  if (!record->job->is_stream)
    event->result = g_object_ref (record->job->object);
  if (worker != NULL)
    event->info = pool_engine_describe_worker (self, worker, NULL);
  event->soft = record->soft_timeout;
  event->timeout = record->timeout;
  return event;
}

/* @time: when it happened, monotonic µs, or 0 */
void
pool_engine_push_task_event (PoolEngine *self, PoolEventKind kind, PoolRecord *record, gint64 time)
{
  PoolEvent *event = new_task_event (self, kind, record);

  event->time = time;
  pool_dispatcher_push (self->dispatcher, run_event, event);
}

void
pool_engine_push_timeout (PoolEngine *self, PoolRecord *record, gboolean is_soft)
{
  PoolEvent *event = new_task_event (self, POOL_EVENT_TIMEOUT, record);

  event->is_soft = is_soft;
  pool_dispatcher_push (self->dispatcher, run_event, event);
}

/* Takes @error. */
void
pool_engine_push_warning (PoolEngine *self, GError *error)
{
  PoolEvent *event = new_event (self, POOL_EVENT_WARNING);

  event->error = error;
  pool_dispatcher_push (self->dispatcher, run_event, event);
}

void
pool_engine_push_progress (PoolEngine *self, PoolJob *job)
{
  PoolEvent *event = new_event (self, POOL_EVENT_PROGRESS);

  event->result = g_object_ref (job->object);
  pool_dispatcher_push (self->dispatcher, run_event, event);
}
