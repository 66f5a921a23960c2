/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-remote-backend-private.h"

#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-futex-private.h"
#include "pool-ranks-private.h"
#include "pool-value-private.h"

/*
 * Tasks on their way to agents, and back. An agent is given as many as its workers need until its next results come: with
 * tasks that are short those are many, with long ones just one for each worker to go on with.
 */

/* For how long an agent is to have work, µs: longer than a message takes there and back. */
#define AHEAD_US 4000
#define WINDOW_MAX 8192
/* How often the speed of an agent is looked at, at most. */
#define RATE_US 1000
/* One that had nothing to do for longer than this, µs, is looked at anew. */
#define IDLE_US 4000
/* After an agent could take nothing back of a batch it is not asked again for so long, µs. */
#define SPLIT_AGAIN_US 10000

/* Arguments from this size on begin at a page, as those in shared memory do. */
#define PAYLOAD_MIN 4096

/* --- payloads --- */

guint8 *
pool_remote_backend_alloc_payload (PoolBackend *backend, gsize size)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  GBytes *bytes = size >= PAYLOAD_MIN && self->heap != NULL ? pool_share_heap_alloc (self->heap, size) : NULL;
  gpointer data;

  if (bytes == NULL)
    return NULL;
  data = (gpointer) g_bytes_get_data (bytes, NULL);
  g_hash_table_insert (self->payloads, data, bytes);
  return data;
}

void
pool_remote_backend_free_payload (PoolBackend *backend, guint8 *payload)
{
  g_hash_table_remove (POOL_REMOTE_BACKEND (backend)->payloads, payload);
}

GBytes *
pool_remote_backend_wrap_payload (PoolBackend *backend, guint8 *payload, gsize size)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  gpointer bytes = NULL;

  g_hash_table_steal_extended (self->payloads, payload, NULL, &bytes);
  return bytes;
}

/* What was to be sent has been copied, or has a reference of its own. */
void
pool_remote_backend_adopt_payload (PoolBackend *backend, guint64 handle, guint8 *payload, gboolean is_ours)
{
  if (is_ours)
    pool_remote_backend_free_payload (backend, payload);
  else
    g_free (payload);
}

/* --- down --- */

static gboolean
has_room (const PoolRemoteAgent *agent)
{
  return pool_remote_agent_is_ready (agent) && agent->tasks.length < agent->window;
}

guint
pool_remote_backend_get_room (PoolBackend *backend)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  guint room = 0;

  for (guint i = 0; i < self->agents->len; i++)
    {
      const PoolRemoteAgent *agent = self->agents->pdata[i];

      if (has_room (agent))
        room += agent->window - agent->tasks.length;
    }
  return room;
}

/* The one whose workers have the least to do. */
static PoolRemoteAgent *
pick_agent (PoolRemoteBackend *self)
{
  PoolRemoteAgent *best = NULL;

  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (has_room (agent) &&
          (best == NULL || (guint64) agent->tasks.length * best->n_up < (guint64) best->tasks.length * agent->n_up))
        best = agent;
    }
  return best;
}

/* An agent learns the name of a function, and which module is meant, before its first task. */
static void
introduce (PoolRemoteAgent *agent, guint number)
{
  const PoolFunction *function;
  g_autoptr (GByteArray) text = NULL;
  const char *digest;

  if (agent->functions->len <= number)
    g_array_set_size (agent->functions, number + 1);
  if (g_array_index (agent->functions, gboolean, number))
    return;
  g_array_index (agent->functions, gboolean, number) = TRUE;
  function = pool_function_table_get (POOL_BACKEND (agent->backend)->engine->functions, number);
  digest = function->from_module ? pool_task_modules_get_digest (function) : "";
  text = g_byte_array_new ();
  g_byte_array_append (text, (const guint8 *) function->name, strlen (function->name) + 1);
  g_byte_array_append (text, (const guint8 *) digest, strlen (digest) + 1);
  if (agent->backend->agents_have_program && !function->from_module)
    {
      g_autofree char *place = pool_program_describe (function->func.address);

      if (place != NULL)
        g_byte_array_append (text, (const guint8 *) place, strlen (place) + 1);
    }
  pool_remote_agent_say (agent, &(PoolWireRecord){ .type = POOL_WIRE_FUNCTION, .id = number, .kind = function->kind },
                         text->data, text->len, NULL);
}

static void
send_task (PoolRemoteAgent *agent, const PoolBackendTask *task)
{
  PoolRemoteBackend *self = agent->backend;
  PoolRemoteTask *sent = g_new (PoolRemoteTask, 1);
  GBytes *bytes = task->size >= POOL_WIRE_PART_MIN ? g_hash_table_lookup (self->payloads, task->data) : NULL;

  *sent = (PoolRemoteTask){ .handle = task->handle, .agent = agent, .n_items = task->n_items };
  sent->link.data = sent;
  if (agent->tasks.length == 0)
    {
      gint64 now = g_get_monotonic_time ();

      /* whose few tasks are done before the next ones come has been given too few */
      if (now - agent->rate_since > IDLE_US)
        {
          agent->rate_since = now;
          agent->n_finished = 0;
        }
      agent->n_given = 0;
      /* from now on it is to answer */
      if (self->ping_at == 0 && self->heartbeat > 0)
        {
          self->ping_at = now + self->heartbeat;
          agent->n_unanswered = 0;
        }
    }
  g_queue_push_tail_link (&agent->tasks, &sent->link);
  g_hash_table_insert (self->tasks, &sent->handle, sent);
  introduce (agent, task->function);
  pool_remote_agent_say (agent,
                         &(PoolWireRecord){ .type = POOL_WIRE_TASK,
                                            .handle = task->handle,
                                            .id = task->id,
                                            .function = task->function,
                                            .flags = task->flags,
                                            .n_items = task->n_items,
                                            .item = task->attempt,
                                            .time = (gint64) (task->limit * G_USEC_PER_SEC) },
                         task->data, task->size, bytes);
  /* unless that has sent it already */
  agent->n_held += !pool_wire_writer_is_empty (&agent->out);
}

guint
pool_remote_backend_submit (PoolBackend *backend, const PoolBackendTask *tasks, guint n)
{
  PoolRemoteBackend *self = POOL_REMOTE_BACKEND (backend);
  PoolRemoteAgent *agent;
  guint accepted = 0;

  while (accepted < n && (agent = pick_agent (self)) != NULL)
    send_task (agent, &tasks[accepted++]);
  pool_remote_backend_flush_needed (self);
  pool_remote_backend_set_timer (self);
  return accepted;
}

static void
recall (PoolRemoteTask *task)
{
  if (task->is_recalled)
    return;
  task->is_recalled = TRUE;
  pool_remote_agent_say (task->agent, &(PoolWireRecord){ .type = POOL_WIRE_CANCEL, .handle = task->handle }, NULL, 0,
                         NULL);
}

/* Whether somebody has started it is known elsewhere: it comes back if nobody has. */
gboolean
pool_remote_backend_cancel (PoolBackend *backend, guint64 handle)
{
  PoolRemoteTask *task = g_hash_table_lookup (POOL_REMOTE_BACKEND (backend)->tasks, &handle);

  if (task != NULL)
    {
      recall (task);
      pool_remote_backend_flush (task->agent->backend);
    }
  return FALSE;
}

guint
pool_remote_backend_split (PoolBackend *backend, guint64 handle, guint n_items)
{
  PoolRemoteTask *task = g_hash_table_lookup (POOL_REMOTE_BACKEND (backend)->tasks, &handle);

  if (task == NULL || (task->no_split_until != 0 && g_get_monotonic_time () < task->no_split_until))
    return 0;
  task->no_split_until = G_MAXINT64;
  pool_remote_agent_say (task->agent,
                         &(PoolWireRecord){ .type = POOL_WIRE_SPLIT, .handle = handle, .n_items = n_items }, NULL, 0, NULL);
  pool_remote_backend_flush (task->agent->backend);
  return 0;
}

/* How many of an agent's tasks others could begin with sooner. */
static guint
count_spare (const PoolRemoteAgent *agent, guint idle)
{
  if (agent == NULL || agent->session == 0 || agent->is_draining || agent->tasks.length <= agent->n_up)
    return 0;
  /* it has no workers, and none is being made */
  if (agent->n_workers == 0)
    return agent->tasks.length;
  return MIN ((agent->tasks.length - agent->n_up + 1) / 2, idle);
}

/*
 * An agent has idle workers, though all was handed out that there was; another has more tasks than it has workers: the
 * later half of what waits there is asked for. One that is left without workers is asked for all.
 */
void
pool_remote_backend_rebalance (PoolRemoteBackend *self)
{
  guint idle = 0;

  for (guint i = 0; i < self->agents->len; i++)
    {
      const PoolRemoteAgent *agent = self->agents->pdata[i];

      if (pool_remote_agent_is_ready (agent) && agent->tasks.length < agent->n_up)
        idle += agent->n_up - agent->tasks.length;
    }
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];
      guint n = count_spare (agent, idle);

      idle -= MIN (n, idle);
      for (GList *link = n > 0 ? agent->tasks.tail : NULL; link != NULL && n > 0; link = link->prev, n--)
        recall (link->data);
    }
}

/* --- up --- */

PoolRemoteTask *
pool_remote_agent_find_task (PoolRemoteAgent *agent, guint64 handle)
{
  PoolRemoteTask *task = g_hash_table_lookup (agent->backend->tasks, &handle);

  return task != NULL && task->agent == agent ? task : NULL;
}

void
pool_remote_task_free (PoolRemoteTask *task)
{
  PoolRemoteAgent *agent = task->agent;

  g_queue_unlink (&agent->tasks, &task->link);
  g_hash_table_remove (agent->backend->tasks, &task->handle);
}

static void
adjust_window (PoolRemoteAgent *agent)
{
  gint64 now = g_get_monotonic_time (), elapsed = now - agent->rate_since;
  guint64 wanted;

  agent->n_finished++;
  if (elapsed < RATE_US)
    return;
  wanted = 2 * agent->n_up + (guint64) agent->n_finished * AHEAD_US / elapsed;
  wanted = MIN (wanted, WINDOW_MAX);
  agent->window = MAX ((agent->window + wanted) / 2, 2 * agent->n_up);
  agent->n_finished = 0;
  agent->rate_since = now;
}

static void
note_state (PoolRemoteWorker *worker, guint64 handle, guint item, gint64 since)
{
  worker->handle = handle;
  worker->item = item;
  worker->since = since;
}

gboolean
pool_remote_agent_take_result (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data, GBytes *bytes)
{
  PoolBackend *backend = POOL_BACKEND (agent->backend);
  PoolRemoteWorker *worker = pool_remote_agent_get_worker (agent, record->worker);
  PoolRemoteTask *task = pool_remote_agent_find_task (agent, record->handle);
  gint64 now = pool_now_ns (), age = CLAMP (record->time, 0, now / 1000);
  PoolBackendResult result = { .handle = record->handle,
                               .worker = worker != NULL ? worker->id : G_MAXUINT,
                               .kind = record->kind,
                               .n_items = record->n_items,
                               .run_time = record->id / 1e9f,
                               .data = data,
                               .size = record->size,
                               .bytes = record->part > 0 ? bytes : NULL };

  if (record->kind > POOL_RESULT_LEAVING || (record->kind != POOL_RESULT_LEAVING && task == NULL) ||
      (record->kind > POOL_RESULT_LAST && worker == NULL))
    return FALSE;
  if (record->kind <= POOL_RESULT_LAST)
    {
      if (record->time > 0)
        result.started = (now - age * 1000) / 1024;
      if (worker != NULL && worker->handle == record->handle)
        note_state (worker, 0, 0, 0);
      if (record->kind != POOL_RESULT_NONE)
        adjust_window (agent);
      if (record->kind != POOL_RESULT_NONE && worker != NULL)
        worker->done++;
      pool_remote_task_free (task);
    }
  else if (record->kind == POOL_RESULT_ACCEPTED)
    {
      result.since = now / 1000 - age;
      note_state (worker, record->handle, 0, result.since);
    }
  else if (record->kind == POOL_RESULT_LEAVING && worker != NULL && !worker->is_leaving)
    {
      /* another one may take its place already */
      worker->is_leaving = TRUE;
      agent->n_lost++;
    }
  pool_backend_deliver (backend, &result);
  return TRUE;
}

gboolean
pool_remote_agent_take_split (PoolRemoteAgent *agent, const PoolWireRecord *record)
{
  PoolRemoteTask *task = pool_remote_agent_find_task (agent, record->handle);

  if (task == NULL)
    return TRUE;
  if (task->no_split_until != G_MAXINT64 || record->item >= task->n_items)
    return FALSE;
  task->no_split_until = record->item > 0 ? 0 : g_get_monotonic_time () + SPLIT_AGAIN_US;
  if (record->item > 0)
    {
      task->n_items = record->item;
      pool_backend_was_split (POOL_BACKEND (agent->backend), record->handle, record->item);
    }
  return TRUE;
}

/* What is large is not copied. */
static GBytes *
take_stream (const guint8 *data, gsize size, GBytes *bytes)
{
  if (size < POOL_WIRE_PART_MIN)
    return g_bytes_new (data, size);
  return g_bytes_new_from_bytes (bytes, data - (const guint8 *) g_bytes_get_data (bytes, NULL), size);
}

/* time: how much of the data is standard output; the rest is standard error. */
void
pool_remote_agent_take_output (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data, GBytes *bytes)
{
  PoolBackendOutput output = { .lost = record->id };
  gsize first = CLAMP (record->time, 0, (gint64) record->size);

  if (pool_remote_agent_find_task (agent, record->handle) == NULL)
    return;
  if (record->n_items & 1)
    output.streams[0] = take_stream (data, first, bytes);
  if (record->n_items & 2)
    output.streams[1] = take_stream (data + first, record->size - first, bytes);
  pool_backend_output (POOL_BACKEND (agent->backend), record->handle, &output);
  g_clear_pointer (&output.streams[0], g_bytes_unref);
  g_clear_pointer (&output.streams[1], g_bytes_unref);
}

void
pool_remote_agent_return_tasks (PoolRemoteAgent *agent, GQueue *tasks, const char *how)
{
  PoolRemoteBackend *self = agent->backend;
  gboolean may_have_run = self->config->at_most_once;
  g_autoptr (GError) error = g_error_new_literal (POOL_ERROR, POOL_ERROR_WORKER_LOST, how);
  PoolBuffer message = { 0 };
  GList *link;

  pool_error_encode (error, &message);
  /* the last first: each goes to the head of the queue */
  while ((link = g_queue_pop_tail_link (tasks)) != NULL)
    {
      PoolRemoteTask *task = link->data;
      const PoolBackendResult result = { .handle = task->handle,
                                         .worker = G_MAXUINT,
                                         .kind = may_have_run ? POOL_RESULT_LOST : POOL_RESULT_NONE,
                                         .data = message.data,
                                         .size = message.len };

      g_hash_table_remove (self->tasks, &task->handle);
      pool_backend_deliver (POOL_BACKEND (self), &result);
    }
  pool_buffer_clear (&message);
}
