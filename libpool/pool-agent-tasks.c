/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-agent-private.h"

#include "pool-engine-private.h"
#include "pool-error.h"
#include "pool-ranks-private.h"
#include "pool-value-private.h"

#include <signal.h>

/* What a pool says to its agent. What comes from it has been parsed; that it makes sense is checked here. */

#define FUNCTIONS_MAX POOL_FUNCTIONS_MAX
#define SUBMIT_BATCH 64

static PoolBackendClass *
get_class (PoolAgent *self)
{
  return POOL_BACKEND_GET_CLASS (self->local);
}

int
pool_agent_find_worker (PoolAgent *self, guint number)
{
  return GPOINTER_TO_INT (g_hash_table_lookup (self->indexes, GUINT_TO_POINTER (number))) - 1;
}

PoolAgentTask *
pool_agent_find_task (PoolAgent *self, guint64 handle)
{
  return g_hash_table_lookup (self->tasks, &handle);
}

void
pool_agent_forget_task (PoolAgent *self, PoolAgentTask *task)
{
  if (!task->is_submitted)
    g_queue_unlink (&self->pending, &task->link);
  g_hash_table_remove (self->tasks, &task->task.handle);
}

/* Nobody has started it. */
void
pool_agent_hand_back (PoolAgent *self, PoolAgentTask *task)
{
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_RESULT, .handle = task->task.handle,
                                           .kind = POOL_RESULT_NONE }, NULL, 0, NULL);
  pool_agent_forget_task (self, task);
}

/* --- functions --- */

/* One of the program itself, which is the pool's, too. */
static gint64
find_in_program (PoolAgent *self, const char *name, guint kind, const char *place, GError **error)
{
  gpointer address = pool_program_find (place, error);
  guint number;

  if (address == NULL)
    return -1;
  if (pool_function_table_lookup (self->engine->functions, name, &number, NULL))
    return number;
  if (!pool_function_table_add (self->engine->functions, pool_function_new (name, kind, address, NULL, NULL), error))
    return -1;
  return pool_function_table_get_size (self->engine->functions) - 1;
}

static gint64
find_function (PoolAgent *self, const char *name, guint kind, const char *digest, GError **error)
{
  const PoolFunction *function;
  guint number;

  /* the program that workers run may have it, and this one need not */
  if (self->engine->settings.backend.worker_command != NULL && *digest == '\0' &&
      kind > POOL_FUNCTION_NONE && kind <= POOL_FUNCTION_PROCESS)
    {
      if (pool_function_table_lookup (self->engine->functions, name, &number, NULL))
        return number;
      if (!pool_function_table_add (self->engine->functions, pool_function_new (name, kind, NULL, NULL, NULL), error))
        return -1;
      return pool_function_table_get_size (self->engine->functions) - 1;
    }
  if (!pool_function_table_lookup (self->engine->functions, name, &number, error))
    {
      g_prefix_error (error, "On %s: ", g_get_host_name ());
      return -1;
    }
  function = pool_function_table_get (self->engine->functions, number);
  if (!function->from_module || g_str_equal (pool_task_modules_get_digest (function), digest))
    return number;
  g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
               "The task module of \"%s\" on %s is another one than that of the pool (its file has another checksum): "
               "install the same there",
               name, g_get_host_name ());
  return -1;
}

static void
take_function (PoolAgent *self, const PoolWireRecord *record, const guint8 *data)
{
  const char *name = (const char *) data, *digest, *place;
  gsize length = strnlen (name, record->size);
  g_autoptr (GError) error = NULL;
  gint64 number;

  if (record->id >= FUNCTIONS_MAX || length + 1 >= record->size || data[record->size - 1] != '\0')
    return;
  digest = name + length + 1;
  if (self->functions->len <= record->id)
    g_array_set_size (self->functions, record->id + 1);
  place = digest + strlen (digest) + 1;
  if (self->settings->has_program && place < (const char *) data + record->size && record->kind > POOL_FUNCTION_NONE &&
      record->kind < POOL_FUNCTION_PROCESS)
    number = find_in_program (self, name, record->kind, place, &error);
  else
    number = find_function (self, name, record->kind, digest, &error);
  if (number < 0)
    {
      g_ptr_array_add (self->errors, g_steal_pointer (&error));
      number = -(gint64) self->errors->len;
    }
  /* 0: it has not been told */
  g_array_index (self->functions, gint64, record->id) = number >= 0 ? number + 1 : number;
}

/* --- tasks --- */

static void
refuse_task (PoolAgent *self, const PoolWireRecord *record, const GError *error)
{
  PoolBuffer buffer = { 0 };

  pool_error_encode (error, &buffer);
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_RESULT, .handle = record->handle,
                                           .kind = POOL_RESULT_ERROR, .n_items = record->n_items },
                  buffer.data, buffer.len, NULL);
  pool_buffer_clear (&buffer);
}

static gboolean
check_task (PoolAgent *self, const PoolWireRecord *record, gint64 number, GError **error)
{
  if (number < 0)
    {
      g_propagate_error (error, g_error_copy (self->errors->pdata[-number - 1]));
      return FALSE;
    }
  if (number > 0 && record->n_items > 0 && pool_agent_find_task (self, record->handle) == NULL)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL, "Task %" G_GUINT64_FORMAT " came to its agent in a way that cannot be",
               record->id);
  return FALSE;
}

static void
take_task (PoolAgent *self, const PoolWireRecord *record, const guint8 *data, GBytes *bytes)
{
  gint64 number = record->function < self->functions->len
                      ? g_array_index (self->functions, gint64, record->function)
                      : 0;
  g_autoptr (GError) error = NULL;
  PoolAgentTask *task;

  if (!check_task (self, record, number, &error))
    {
      refuse_task (self, record, error);
      return;
    }
  task = g_new0 (PoolAgentTask, 1);
  task->task = (PoolBackendTask){ .handle = record->handle, .id = record->id, .attempt = record->item,
                                  .function = number - 1, .n_items = record->n_items, .flags = record->flags,
                                  .limit = record->time / (float) G_USEC_PER_SEC, .data = data,
                                  .size = record->size };
  task->bytes = g_bytes_ref (bytes);
  task->link.data = task;
  g_queue_push_tail_link (&self->pending, &task->link);
  g_hash_table_insert (self->tasks, &task->task.handle, task);
  if (self->state != POOL_AGENT_SERVING)
    pool_agent_hand_back (self, task);
}

/* As many as fit; the rest waits here. */
void
pool_agent_submit (PoolAgent *self)
{
  while (self->pending.length > 0)
    {
      PoolBackendTask tasks[SUBMIT_BATCH];
      guint room = MIN (get_class (self)->get_room (self->local), SUBMIT_BATCH), n = 0, accepted;
      guint64 n_bytes = 0;

      for (GList *link = self->pending.head; link != NULL && n < room; link = link->next)
        {
          tasks[n] = ((PoolAgentTask *) link->data)->task;
          n_bytes += tasks[n++].size;
        }
      if (n == 0)
        return;
      if (n_bytes >= POOL_WIRE_LONG)
        pool_agent_announce (self, n_bytes);
      /* one that cannot be taken for good is answered right away, and is to be found then */
      for (guint i = 0; i < n; i++)
        ((PoolAgentTask *) g_queue_pop_head_link (&self->pending)->data)->is_submitted = TRUE;
      accepted = get_class (self)->submit (self->local, tasks, n);
      /* it did not listen meanwhile */
      if (n_bytes >= POOL_WIRE_LONG)
        pool_agent_hear (self);
      for (guint i = n; i > accepted; i--)
        {
          PoolAgentTask *task = pool_agent_find_task (self, tasks[i - 1].handle);

          task->is_submitted = FALSE;
          g_queue_push_head_link (&self->pending, &task->link);
        }
      pool_agent_look_soon (self, 0);
      self->submitted_at = g_get_monotonic_time ();
      if (accepted < n)
        return;
    }
}

static void
take_cancel (PoolAgent *self, guint64 handle)
{
  PoolAgentTask *task = pool_agent_find_task (self, handle);

  if (task == NULL)
    return; /* its result is on the way */
  if (!task->is_submitted || get_class (self)->cancel (self->local, handle))
    {
      pool_agent_hand_back (self, task);
      return;
    }
  task->is_asked_for = TRUE;
  pool_agent_look_soon (self, 1);
}

static void
take_split (PoolAgent *self, const PoolWireRecord *record)
{
  PoolAgentTask *task = pool_agent_find_task (self, record->handle);
  guint first = task != NULL && task->is_submitted && task->task.n_items == record->n_items
                    ? get_class (self)->split (self->local, record->handle, record->n_items)
                    : 0;

  if (first > 0)
    task->task.n_items = first;
  pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_WAS_SPLIT, .handle = record->handle, .item = first },
                  NULL, 0, NULL);
}

/* --- workers --- */

/* The pool has given up a task in it; but if the worker has come to the end of that, it is not killed for it. */
static void
doom (PoolAgent *self, int index, guint64 handle)
{
  PoolAgentWorker *worker = &g_array_index (self->workers, PoolAgentWorker, index);

  if (worker->is_spared || get_class (self)->doom (self->local, index, handle, -1) > 0)
    return;
  worker->is_spared = TRUE;
  get_class (self)->retire_worker (self->local, index);
}

static void
kill_worker (PoolAgent *self, int index, int signum)
{
  if (!g_array_index (self->workers, PoolAgentWorker, index).is_spared && signum > 0 && signum < NSIG)
    get_class (self)->kill_worker (self->local, index, signum);
}

static void
take_order (PoolAgent *self, const PoolWireRecord *record)
{
  int index = pool_agent_find_worker (self, record->worker);

  if (index < 0)
    return; /* it is gone, and the pool is about to hear of that */
  switch (record->type)
    {
    case POOL_WIRE_NOTIFY:
      get_class (self)->notify (self->local, index, record->handle, record->item, record->kind);
      return;
    case POOL_WIRE_ANSWER:
      get_class (self)->answer (self->local, index, record->handle, record->kind != 0);
      return;
    case POOL_WIRE_DOOM:
      doom (self, index, record->handle);
      return;
    case POOL_WIRE_KILL:
      kill_worker (self, index, record->kind);
      return;
    default:
      get_class (self)->retire_worker (self->local, index);
      return;
    }
}

/* There may be no room for them, until others have gone. */
static void
add_workers (PoolAgent *self, guint n)
{
  guint before = get_class (self)->count_workers (self->local), n_down = self->n_down, n_made;
  guint most = self->settings->max_workers > 0 ? self->settings->max_workers : G_MAXUINT;

  if (self->state == POOL_AGENT_SERVING && before < most)
    get_class (self)->add_workers (self->local, MIN (n, most - before));
  n_made = get_class (self)->count_workers (self->local) + (self->n_down - n_down) - before;
  if (n_made < n)
    pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_LACKS, .n_items = n - n_made }, NULL, 0, NULL);
}

static void
take_stop (PoolAgent *self, gboolean now)
{
  /* one that is to end waits for no other pool */
  if (self->state == POOL_AGENT_SERVING)
    self->state = POOL_AGENT_STOPPING;
  get_class (self)->stop (self->local, now);
}

void
pool_agent_take_record (PoolAgent *self, const PoolWireRecord *record, const guint8 *data, GBytes *bytes)
{
  switch (record->type)
    {
    case POOL_WIRE_FUNCTION:
      take_function (self, record, data);
      return;
    case POOL_WIRE_TASK:
      take_task (self, record, data, bytes);
      return;
    case POOL_WIRE_CANCEL:
      take_cancel (self, record->handle);
      return;
    case POOL_WIRE_SPLIT:
      take_split (self, record);
      return;
    case POOL_WIRE_ADD:
      add_workers (self, record->n_items);
      return;
    case POOL_WIRE_TAKE_OUTPUT:
      if (get_class (self)->take_output != NULL && pool_agent_find_task (self, record->handle) != NULL)
        get_class (self)->take_output (self->local, record->handle);
      return;
    case POOL_WIRE_STOP:
      take_stop (self, record->kind != 0);
      return;
    case POOL_WIRE_PING:
      if (record->id == 0)
        pool_agent_say (self, &(PoolWireRecord){ .type = POOL_WIRE_PING }, NULL, 0, NULL);
      self->n_announced = record->id;
      return;
    case POOL_WIRE_SHARE:
      self->share.is_seen = record->kind != 0 && self->share.own.fd >= 0;
      return;
    case POOL_WIRE_RETURN:
      pool_share_take_back (&self->share, record->handle);
      return;
    case POOL_WIRE_WELCOME:
    case POOL_WIRE_REFUSED:
    case POOL_WIRE_RESET:
      return;
    default:
      take_order (self, record);
      return;
    }
}
