/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-remote-backend-private.h"

#include "pool-backend-private.h"
#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-local-backend-private.h"
#include "pool-value-private.h"

#include <signal.h>
#include <sys/timerfd.h>

/* Agents: they come, say what happens on their side, answer when they are asked whether they are still there, and go. */

/* After so many questions without an answer one counts as gone: one elsewhere, and one here, whose end would show. */
#define UNANSWERED_MAX 3
#define UNANSWERED_HERE_MAX 10
/* Nobody offers more workers than a pool may have. */
#define OFFERED_MAX 4000

/* Ids for all workers that an agent may have, so that a worker's is its place there and this. */
static guint
find_ids (PoolRemoteBackend *self, guint n)
{
  guint first = 0;
  gboolean overlaps;

  do
    {
      overlaps = FALSE;
      for (guint i = 0; i < self->agents->len; i++)
        {
          const PoolRemoteAgent *other = self->agents->pdata[i];

          if (other == NULL || first >= other->first_worker + other->max_workers || other->first_worker >= first + n)
            continue;
          first = other->first_worker + other->max_workers;
          overlaps = TRUE;
        }
    }
  while (overlaps);
  if (self->workers->len < first + n)
    g_ptr_array_set_size (self->workers, first + n);
  return first;
}

/* As many places as the agent has for workers: some leave while others come. */
static guint
find_most_workers (PoolRemoteBackend *self, guint n_workers)
{
  const PoolBackendConfig config = { .processes = n_workers,
                                     .max_processes = CLAMP (self->config->max_processes, n_workers, OFFERED_MAX) };
  guint n_slots, n_results, most;

  pool_local_backend_plan (&config, &n_slots, &n_results, &most);
  return most;
}

PoolRemoteAgent *
pool_remote_agent_new (PoolRemoteBackend *self, guint n_workers)
{
  PoolRemoteAgent *agent = g_new0 (PoolRemoteAgent, 1);
  guint i = 0;

  while (i < self->agents->len && self->agents->pdata[i] != NULL)
    i++;
  if (i == self->agents->len)
    g_ptr_array_add (self->agents, NULL);
  agent->max_workers = find_most_workers (self, n_workers);
  agent->first_worker = find_ids (self, agent->max_workers);
  self->agents->pdata[i] = agent;
  agent->backend = self;
  agent->slot = i;
  agent->number = ++self->last_number;
  agent->n_workers = n_workers;
  agent->window = 2 * n_workers;
  agent->workers = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  agent->functions = g_array_new (FALSE, TRUE, sizeof (gboolean));
  g_queue_init (&agent->tasks);
  pool_wire_writer_init (&agent->out);
  pool_share_init (&agent->share, self->heap);
  agent->out.share = &agent->share;
  return agent;
}

void
pool_remote_agent_free (PoolRemoteAgent *agent)
{
  PoolRemoteBackend *self = agent->backend;
  GHashTableIter iter;
  gpointer worker;

  if (self->agents->pdata[agent->slot] == agent)
    self->agents->pdata[agent->slot] = NULL;
  if (agent->peer != 0)
    POOL_REMOTE_BACKEND_GET_CLASS (self)->forget (self, agent->peer);
  g_hash_table_iter_init (&iter, agent->workers);
  while (g_hash_table_iter_next (&iter, NULL, &worker))
    self->workers->pdata[((PoolRemoteWorker *) worker)->id] = NULL;
  g_hash_table_unref (agent->workers);
  g_array_unref (agent->functions);
  pool_wire_writer_clear (&agent->out);
  pool_share_clear (&agent->share);
  g_free (agent->host);
  g_free (agent);
}

PoolRemoteWorker *
pool_remote_agent_get_worker (PoolRemoteAgent *agent, guint number)
{
  return g_hash_table_lookup (agent->workers, GUINT_TO_POINTER (number));
}

guint
pool_remote_backend_free_id (PoolRemoteBackend *self)
{
  guint id = 0;

  while (id < self->workers->len && self->workers->pdata[id] != NULL)
    id++;
  if (id == self->workers->len)
    g_ptr_array_add (self->workers, NULL);
  return id;
}

/* --- what is said to them --- */

static void
flush (PoolRemoteAgent *agent)
{
  PoolRemoteBackend *self = agent->backend;

  if (agent->session == 0)
    return;
  pool_wire_write_returns (&agent->out);
  if (pool_wire_writer_is_empty (&agent->out))
    return;
  pool_wire_finish (&agent->out, agent->session, agent->n_sent++);
  if (!agent->is_unreachable &&
      !POOL_REMOTE_BACKEND_GET_CLASS (self)->send (self, agent->peer, &agent->out))
    {
      /* not now: the engine may be in the middle of something */
      agent->is_unreachable = TRUE;
      pool_remote_backend_wake (self);
    }
  pool_wire_writer_reset (&agent->out);
  agent->n_held = 0;
}

void
pool_remote_agent_say (PoolRemoteAgent *agent, const PoolWireRecord *record, gconstpointer data, gsize size,
                       GBytes *bytes)
{
  if (size >= POOL_WIRE_LONG)
    {
      pool_wire_write (&agent->out, &(PoolWireRecord){ .type = POOL_WIRE_PING, .id = size }, NULL, 0, NULL);
      flush (agent);
      agent->n_given += size;
      agent->n_given_pings = agent->n_pings;
    }
  pool_wire_write (&agent->out, record, data, size, bytes);
  if (pool_wire_writer_is_full (&agent->out))
    flush (agent);
}

/* While it was sent the transport may have taken in something, and will not say so again. */
static void
note_messages (PoolRemoteBackend *self)
{
  if (POOL_REMOTE_BACKEND_GET_CLASS (self)->has_message (self))
    pool_remote_backend_wake (self);
}

void
pool_remote_backend_flush (PoolRemoteBackend *self)
{
  for (guint i = 0; i < self->agents->len; i++)
    if (self->agents->pdata[i] != NULL)
      flush (self->agents->pdata[i]);
  note_messages (self);
}

/*
 * A message costs more than a short task, so that they are sent together: one that still has half of its tasks gets the others when it
 * was heard of next, and has not.
 */
static gboolean
may_wait (const PoolRemoteAgent *agent)
{
  return agent->n_held == agent->out.n_records &&
         agent->tasks.length - agent->n_held >= MAX (2 * agent->n_up, agent->window / 2);
}

void
pool_remote_backend_flush_needed (PoolRemoteBackend *self)
{
  for (guint i = 0; i < self->agents->len; i++)
    if (self->agents->pdata[i] != NULL && !may_wait (self->agents->pdata[i]))
      flush (self->agents->pdata[i]);
  note_messages (self);
}

/* To a peer that is no agent. */
static void
tell_stranger (PoolRemoteBackend *self, guint peer, PoolWireType type, const char *why)
{
  PoolWireWriter writer;

  pool_wire_writer_init (&writer);
  pool_wire_write (&writer, &(PoolWireRecord){ .type = type }, why, why != NULL ? strlen (why) : 0, NULL);
  pool_wire_finish (&writer, 0, 0);
  POOL_REMOTE_BACKEND_GET_CLASS (self)->send (self, peer, &writer);
  pool_wire_writer_clear (&writer);
}

/* --- they go --- */

static void
report_down (PoolRemoteAgent *agent, PoolRemoteWorker *worker, gboolean is_first, const char *how)
{
  PoolRemoteBackend *self = agent->backend;
  g_autoptr (GError) error = g_error_new_literal (POOL_ERROR, POOL_ERROR_WORKER_LOST, how);
  const PoolBackendExit exit = { .worker = worker->id,
                                 .reason = self->is_stopping ? POOL_DOWN_REASON_ASKED : POOL_DOWN_REASON_CRASHED,
                                 .exit_code = -1,
                                 .error = error,
                                 .handle = worker->handle,
                                 .item = worker->item,
                                 .is_foreign = !agent->is_launched,
                                 .is_another = !is_first };

  self->workers->pdata[worker->id] = NULL;
  pool_backend_worker_down (POOL_BACKEND (self), &exit);
}

/* Which task was a worker in that is gone with its agent? The one it was last seen in, or one that was there for long. */
static void
blame (PoolRemoteAgent *agent, PoolRemoteWorker *worker, GQueue *tasks)
{
  PoolRemoteTask *task = NULL;

  for (GList *link = tasks->head; link != NULL && task == NULL; link = link->next)
    if (((PoolRemoteTask *) link->data)->handle == worker->handle)
      task = link->data;
  if (task == NULL && !agent->backend->config->at_most_once)
    {
      worker->item = 0;
      task = g_queue_peek_head (tasks);
    }
  worker->handle = task != NULL ? task->handle : 0;
  if (task == NULL)
    return;
  g_queue_unlink (tasks, &task->link);
  g_hash_table_remove (agent->backend->tasks, &task->handle);
}

void
pool_remote_agent_lose (PoolRemoteAgent *agent, const char *how)
{
  PoolRemoteBackend *self = agent->backend;
  GQueue tasks = agent->tasks;
  g_autoptr (GList) workers = g_hash_table_get_values (agent->workers);
  guint n_missing = agent->n_workers - agent->n_up;
  g_autofree char *whole =
      g_strdup_printf ("was lost with its agent%s%s: %s", agent->host != NULL ? " on " : "",
                       agent->host != NULL ? agent->host : "", how);

  g_debug ("agent %u %s", agent->number, whole);
  g_queue_init (&agent->tasks);
  self->agents->pdata[agent->slot] = NULL;
  if (agent->n_offered > 0)
    pool_backend_add_wanted (POOL_BACKEND (self), -(int) agent->n_offered);
  agent->n_workers = 0;
  for (GList *link = workers; link != NULL; link = link->next)
    blame (agent, link->data, &tasks);
  pool_remote_agent_return_tasks (agent, &tasks, whole);
  for (GList *link = workers; link != NULL; link = link->next)
    report_down (agent, link->data, link == workers, whole);
  g_hash_table_steal_all (agent->workers);
  g_list_free_full (g_steal_pointer (&workers), g_free);
  if (agent->is_launched && !agent->has_left)
    pool_remote_backend_signal_agent (self, agent->number,
                                      pool_remote_backend_launches_here (self) ? SIGKILL : SIGTERM);
  if (n_missing > 0 && agent->is_launched && !agent->is_draining && !self->is_stopping)
    pool_remote_backend_launch_failed (self, n_missing, how);
  pool_remote_agent_free (agent);
}

/* --- they come --- */

static PoolRemoteAgent *
find_agent (PoolRemoteBackend *self, guint peer)
{
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent != NULL && agent->peer == peer)
        return agent;
    }
  return NULL;
}

gboolean
pool_remote_backend_has_peer (PoolRemoteBackend *self, guint peer)
{
  return find_agent (self, peer) != NULL;
}

void
pool_remote_backend_hear_peer (PoolRemoteBackend *self, guint peer)
{
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent != NULL && (peer == 0 || agent->peer == peer))
        agent->n_unanswered = 0;
    }
}

void
pool_remote_backend_lose_peer (PoolRemoteBackend *self, guint peer, const char *how)
{
  PoolRemoteAgent *agent = find_agent (self, peer);

  if (agent != NULL)
    pool_remote_agent_lose (agent, how);
}

PoolRemoteAgent *
pool_remote_backend_find_launched (PoolRemoteBackend *self, guint number)
{
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent != NULL && agent->is_launched && agent->number == number)
        return agent;
    }
  return NULL;
}

/* One that was started by somebody who knows better may bring other workers than were planned. */
static gboolean
take_offer (PoolRemoteAgent *agent, guint peer, guint n_workers)
{
  PoolRemoteBackend *self = agent->backend;

  if (n_workers > agent->max_workers)
    {
      tell_stranger (self, peer, POOL_WIRE_REFUSED, "it has more workers than the pool can have");
      return FALSE;
    }
  if (n_workers > agent->n_workers)
    {
      agent->n_offered = n_workers - agent->n_workers;
      pool_backend_add_wanted (POOL_BACKEND (self), agent->n_offered);
    }
  else if (n_workers < agent->n_workers)
    pool_remote_backend_plan (self, agent->n_workers - n_workers);
  agent->n_workers = n_workers;
  return TRUE;
}

/* NULL: it has been told why not. */
static PoolRemoteAgent *
find_greeter (PoolRemoteBackend *self, guint peer, guint number, guint n_workers)
{
  PoolRemoteAgent *agent = number > 0 ? pool_remote_backend_find_launched (self, number) : NULL;

  if (number > 0 && (agent == NULL || agent->session != 0))
    {
      /* it was lost for so long that another one has been started */
      tell_stranger (self, peer, POOL_WIRE_REFUSED, "it is no longer expected");
      return NULL;
    }
  if (agent != NULL)
    return take_offer (agent, peer, n_workers) ? agent : NULL;
  agent = pool_remote_agent_new (self, n_workers);
  agent->n_offered = n_workers;
  pool_backend_add_wanted (POOL_BACKEND (self), n_workers);
  return agent;
}

static void
welcome (PoolRemoteAgent *agent, GVariant *facts)
{
  PoolRemoteBackend *self = agent->backend;
  g_autofree char *host = NULL;

  if (g_variant_lookup (facts, "host", "s", &host) && g_utf8_validate (host, -1, NULL))
    agent->host = g_steal_pointer (&host);
  g_variant_lookup (facts, "pid", "x", &agent->pid);
  agent->session = ++self->next_session;
  pool_wire_write_value (&agent->out, &(PoolWireRecord){ .type = POOL_WIRE_WELCOME, .worker = agent->first_worker },
                         self->welcome);
  if (self->heartbeat > 0 && self->ping_at == 0)
    self->ping_at = g_get_monotonic_time () + self->heartbeat;
  self->n_failed_launches = 0;
}

static void
take_hello (PoolRemoteBackend *self, guint peer, const PoolWireRecord *record, const guint8 *data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) facts = pool_wire_read_value (data, record->size, "a{sv}", &error);
  PoolRemoteAgent *agent = find_agent (self, peer);
  guint number = 0;
  guint64 nonce = 0;

  if (facts == NULL || record->worker < 1 || record->worker > OFFERED_MAX)
    {
      pool_remote_backend_add_refused (self, 1);
      tell_stranger (self, peer, POOL_WIRE_REFUSED, error != NULL ? error->message : "an agent has 1 to 4000 workers");
      return;
    }
  g_variant_lookup (facts, "nonce", "t", &nonce);
  /* the same greeting, said twice because the answer took so long */
  if (agent != NULL && agent->nonce == nonce)
    return;
  if (agent != NULL)
    pool_remote_agent_lose (agent, "it lost touch, and came again");
  if (self->is_stopping)
    {
      tell_stranger (self, peer, POOL_WIRE_REFUSED, "the pool is at its end");
      return;
    }
  g_variant_lookup (facts, "agent", "u", &number);
  agent = find_greeter (self, peer, number, record->worker);
  if (agent == NULL)
    return;
  agent->peer = peer;
  agent->nonce = nonce;
  welcome (agent, facts);
}

/* --- what they say --- */

static gboolean
take_up (PoolRemoteAgent *agent, const PoolWireRecord *record)
{
  PoolRemoteBackend *self = agent->backend;
  PoolRemoteWorker *worker;

  if (agent->n_up >= agent->n_workers || record->item >= agent->max_workers ||
      self->workers->pdata[agent->first_worker + record->item] != NULL || pool_remote_agent_get_worker (agent, record->worker) != NULL)
    return FALSE;
  worker = g_new0 (PoolRemoteWorker, 1);
  worker->agent = agent;
  worker->number = record->worker;
  worker->id = agent->first_worker + record->item;
  self->workers->pdata[worker->id] = worker;
  g_hash_table_insert (agent->workers, GUINT_TO_POINTER (worker->number), worker);
  agent->n_up++;
  agent->window = MAX (agent->window, 2 * agent->n_up);
  pool_backend_worker_sandboxed (POOL_BACKEND (self), worker->id, record->flags & POOL_SANDBOX_ENFORCEABLE);
  pool_backend_worker_up (POOL_BACKEND (self), worker->id, record->id, agent->host);
  return TRUE;
}

static gboolean
take_down (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data)
{
  PoolRemoteBackend *self = agent->backend;
  g_autoptr (GVariant) facts = pool_wire_read_value (data, record->size, "(uiittday)", NULL);
  PoolRemoteWorker *worker = pool_remote_agent_get_worker (agent, record->worker);
  PoolRemoteTask *task = record->handle != 0 ? pool_remote_agent_find_task (agent, record->handle) : NULL;
  g_autoptr (GVariant) message = NULL;
  g_autoptr (GError) error = NULL;
  PoolBackendExit exit = { .worker = worker != NULL ? worker->id : pool_remote_backend_free_id (self),
                           .handle = task != NULL ? task->handle : 0,
                           .item = task != NULL && record->item < task->n_items ? record->item : 0 };
  gsize size;
  const guint8 *bytes;

  if (facts == NULL || agent->n_workers == 0 || (worker == NULL && agent->n_up == agent->n_workers))
    return FALSE;
  g_variant_get (facts, "(uiittd@ay)", &exit.reason, &exit.exit_code, &exit.signum, &exit.max_rss,
                 &exit.start_memory, &exit.cpu_time, &message);
  if (exit.reason > POOL_DOWN_REASON_NOT_STARTED)
    return FALSE;
  bytes = g_variant_get_fixed_array (message, &size, 1);
  if (size > 0)
    exit.error = error = pool_error_decode (bytes, size);
  agent->n_workers--;
  agent->n_lost += worker == NULL || !worker->is_leaving;
  if (task != NULL)
    pool_remote_task_free (task);
  if (worker != NULL)
    {
      agent->n_up--;
      self->workers->pdata[worker->id] = NULL;
      g_hash_table_remove (agent->workers, GUINT_TO_POINTER (record->worker));
    }
  pool_backend_worker_down (POOL_BACKEND (self), &exit);
  return TRUE;
}

static gboolean
take_lack (PoolRemoteAgent *agent, guint n)
{
  if (n > agent->n_workers - agent->n_up)
    return FALSE;
  agent->n_workers -= n;
  agent->n_lost += n;
  return TRUE;
}

static gboolean
take_state (PoolRemoteAgent *agent, const PoolWireRecord *record)
{
  PoolRemoteWorker *worker = pool_remote_agent_get_worker (agent, record->worker);
  PoolRemoteTask *task = pool_remote_agent_find_task (agent, record->handle);
  gint64 now = g_get_monotonic_time ();

  if (worker == NULL || (task != NULL && record->item >= task->n_items))
    return FALSE;
  worker->done = record->id;
  worker->handle = task != NULL ? record->handle : 0;
  worker->item = record->item;
  worker->since = record->time > 0 ? now - MIN (record->time, now) : 0;
  pool_backend_worker_changed (POOL_BACKEND (agent->backend), worker->id);
  return TRUE;
}

/* One that this side has started is replaced at once, as a whole: its workers end one by one, each when its task does. */
static void
take_draining (PoolRemoteAgent *agent)
{
  if (agent->is_draining)
    return;
  agent->is_draining = TRUE;
  if (agent->is_launched && !agent->backend->is_stopping)
    pool_remote_backend_plan (agent->backend, agent->n_workers);
  if (agent->n_offered > 0)
    pool_backend_add_wanted (POOL_BACKEND (agent->backend), -(int) agent->n_offered);
  agent->n_offered = 0;
}

static void
wake (gpointer data)
{
  pool_remote_backend_wake (data);
}

/* It is on this machine: long values need not be sent. */
static gboolean
take_share (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data)
{
  g_autoptr (GVariant) offer = NULL;

  if (record->kind != 0 && agent->backend->heap == NULL)
    return FALSE;
  agent->share.is_seen = record->kind != 0;
  if (record->size == 0)
    return TRUE;
  offer = pool_wire_read_value (data, record->size, POOL_SHARE_TYPE, NULL);
  if (offer == NULL || agent->share.view != NULL)
    return FALSE;
  agent->share.view = pool_share_view_open (offer, wake, agent->backend);
  if (agent->share.view != NULL)
    pool_remote_agent_say (agent, &(PoolWireRecord){ .type = POOL_WIRE_SHARE, .kind = 1 }, NULL, 0, NULL);
  return TRUE;
}

static void
take_pong (PoolRemoteAgent *agent, guint64 n_announced)
{
  agent->n_announced = n_announced;
  if (n_announced == 0 && ++agent->n_pongs > agent->n_given_pings)
    agent->n_given = 0;
}

/* FALSE: that cannot be. */
static gboolean
take_record (PoolRemoteAgent *agent, const PoolWireRecord *record, const guint8 *data, GBytes *bytes)
{
  PoolRemoteWorker *worker;

  switch (record->type)
    {
    case POOL_WIRE_UP:
      return take_up (agent, record);
    case POOL_WIRE_DOWN:
      return take_down (agent, record, data);
    case POOL_WIRE_RESULT:
      return pool_remote_agent_take_result (agent, record, data, bytes);
    case POOL_WIRE_STATE:
      return take_state (agent, record);
    case POOL_WIRE_WAS_SPLIT:
      return pool_remote_agent_take_split (agent, record);
    case POOL_WIRE_LOG:
      worker = pool_remote_agent_get_worker (agent, record->worker);
      pool_backend_log (POOL_BACKEND (agent->backend), worker != NULL ? worker->id : 0, data, record->size);
      return TRUE;
    case POOL_WIRE_OUTPUT:
      pool_remote_agent_take_output (agent, record, data, bytes);
      return TRUE;
    case POOL_WIRE_LACKS:
      return take_lack (agent, record->n_items);
    case POOL_WIRE_DRAINING:
      take_draining (agent);
      return TRUE;
    case POOL_WIRE_SHARE:
      return take_share (agent, record, data);
    case POOL_WIRE_RETURN:
      return pool_share_take_back (&agent->share, record->handle);
    case POOL_WIRE_PING:
      take_pong (agent, record->id);
      return TRUE;
    case POOL_WIRE_BYE: /* dealt with by the caller */
      return TRUE;
    default:
      return FALSE;
    }
}

static void
take_session (PoolRemoteAgent *agent, PoolWireReader *reader)
{
  PoolWireRecord record;
  const guint8 *data;
  GBytes *bytes;

  agent->n_unanswered = 0;
  agent->n_announced = 0;
  while (pool_wire_next (reader, &record, &data, &bytes))
    {
      if (record.type == POOL_WIRE_BYE)
        {
          agent->has_left = TRUE;
          pool_remote_agent_lose (agent, "it has ended");
          return;
        }
      if (take_record (agent, &record, data, bytes))
        continue;
      g_debug ("what cannot be, of agent %u: a record of type %u", agent->number, record.type);
      pool_remote_backend_add_refused (agent->backend, 1);
      tell_stranger (agent->backend, agent->peer, POOL_WIRE_RESET, NULL);
      pool_remote_agent_lose (agent, "it said what cannot be, and was cut off");
      return;
    }
}

void
pool_remote_backend_take_message (PoolRemoteBackend *self, guint peer, GBytes *const *parts, guint n_parts)
{
  PoolRemoteAgent *agent = find_agent (self, peer);
  g_autoptr (GError) error = NULL;
  g_auto (PoolWireReader) reader = { 0 };
  PoolWireRecord record;
  const guint8 *data;
  GBytes *bytes;

  if (!pool_wire_parse (&reader, parts, n_parts, TRUE, agent != NULL ? &agent->share : NULL, &error))
    {
      pool_remote_backend_add_refused (self, 1);
      g_debug ("what is no message, of peer %u: %s", peer, error->message);
      if (agent != NULL)
        pool_remote_agent_lose (agent, "it sent what is no message, and was cut off");
      return;
    }
  if (reader.session == 0)
    {
      if (pool_wire_next (&reader, &record, &data, &bytes) && record.type == POOL_WIRE_HELLO)
        take_hello (self, peer, &record, data);
      return;
    }
  if (agent != NULL && agent->session == reader.session && agent->n_received == reader.serial)
    {
      agent->n_received++;
      take_session (agent, &reader);
      return;
    }
  /* what is left of an older session is no longer wanted */
  if (agent != NULL && agent->session != reader.session)
    return;
  tell_stranger (self, peer, POOL_WIRE_RESET, NULL);
  if (agent != NULL)
    pool_remote_agent_lose (agent, "messages of it were lost on the way");
}

/* --- time --- */

void
pool_remote_backend_set_timer (PoolRemoteBackend *self)
{
  const gint64 times[] = { self->ping_at, self->launch_at, self->give_up_at };
  struct itimerspec spec = { 0 };
  gint64 at = 0;

  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    if (times[i] != 0 && (at == 0 || times[i] < at))
      at = times[i];
  if (at == self->timer_at)
    return;
  self->timer_at = at;
  spec.it_value.tv_sec = at / G_USEC_PER_SEC;
  spec.it_value.tv_nsec = at % G_USEC_PER_SEC * 1000;
  timerfd_settime (self->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* One whose end shows, as on this machine, need not be asked while it has nothing to do. */
static gboolean
is_to_answer (const PoolRemoteAgent *agent)
{
  return agent->session != 0 && (agent->tasks.length > 0 || !agent->is_launched ||
                                 !(agent->backend->agents_are_watched || pool_remote_backend_launches_here (agent->backend)));
}

/* So many pings may go without an answer. */
static guint
get_patience (const PoolRemoteAgent *agent)
{
  PoolRemoteBackend *self = agent->backend;
  /* a transport that starts agents tells of their end by itself, too */
  guint n = agent->is_launched && (pool_remote_backend_launches_here (self) || self->launcher == NULL)
                ? UNANSWERED_HERE_MAX
                : UNANSWERED_MAX;

  return MIN (n + pool_wire_get_time (agent->n_given + agent->n_announced) / self->heartbeat, G_MAXINT);
}

void
pool_remote_backend_beat (PoolRemoteBackend *self, gint64 now)
{
  gboolean any = FALSE;

  if (self->ping_at == 0 || now < self->ping_at)
    return;
  for (guint i = 0; i < self->agents->len; i++)
    {
      PoolRemoteAgent *agent = self->agents->pdata[i];

      if (agent == NULL || !is_to_answer (agent))
        continue;
      any = TRUE;
      if (++agent->n_unanswered > get_patience (agent))
        {
          g_autofree char *how = g_strdup_printf ("nothing was heard of it for %g s",
                                                  (double) (agent->n_unanswered - 1) * self->heartbeat / G_USEC_PER_SEC);

          pool_remote_agent_lose (agent, how);
        }
      else
        {
          agent->n_pings++;
          pool_remote_agent_say (agent, &(PoolWireRecord){ .type = POOL_WIRE_PING }, NULL, 0, NULL);
        }
    }
  self->ping_at = any ? now + self->heartbeat : 0;
}
