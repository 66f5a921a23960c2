/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-queue.h"

#include "pool-service-value.h"

/*
 *   Put ──► items, put order ──► worker ──► ready ──► Get
 *    │      (at most `size` that have not ended)       │
 *    └── putters wait for room       getters wait ─────┘
 */
struct _PoolServiceQueue
{
  int ref_count; /* the pool's, and one for each item that runs */
  PoolServicePool *pool; /* NULL: it is gone */
  char *target;
  guint size;
  gboolean is_ordered;
  guint n_running;
  GQueue items;   /* Item: all that were not taken, in the order in which they were put */
  GQueue ready;   /* Item: of those, the ones that have ended, in that order; not if is_ordered */
  GQueue putters; /* Waiter */
  GQueue getters;
};

typedef struct
{
  PoolServiceQueue *queue;
  PoolServiceWork *work;
  GVariant *value;
  GError *error;
  gboolean has_ended;
} Item;

typedef struct
{
  PoolServiceQueue *queue;
  GQueue *line; /* in which it waits */
  PoolServiceCall *call;
  guint timer;
} Waiter;

static void
unref_queue (PoolServiceQueue *self)
{
  if (--self->ref_count > 0)
    return;
  g_free (self->target);
  g_free (self);
}

static void
free_item (Item *item)
{
  pool_service_work_unref (item->work);
  g_clear_pointer (&item->value, g_variant_unref);
  g_clear_error (&item->error);
  g_free (item);
}

/* --- waiting --- */

static PoolServiceCall *
leave_line (Waiter *waiter)
{
  PoolServiceCall *call = waiter->call;

  g_queue_remove (waiter->line, waiter);
  g_clear_handle_id (&waiter->timer, g_source_remove);
  g_free (waiter);
  return call;
}

static void
fail_waiter (PoolServiceQueue *self, PoolServiceCall *call, gboolean puts)
{
  pool_service_call_take_error (call, puts ? g_error_new (POOL_ERROR, POOL_ERROR_QUEUE_FULL,
                                                          "The queue is full: it holds %u items", self->size)
                                           : g_error_new_literal (POOL_ERROR, POOL_ERROR_QUEUE_EMPTY, "No result is ready"));
}

static gboolean
on_waited (gpointer user_data)
{
  Waiter *waiter = user_data;
  PoolServiceQueue *self = waiter->queue;
  gboolean puts = waiter->line == &self->putters;
  PoolServiceCall *call;

  waiter->timer = 0;
  call = leave_line (waiter);
  fail_waiter (self, call, puts);
  pool_service_call_unref (call);
  return G_SOURCE_REMOVE;
}

/* @timeout: negative or too long: no end */
static void
wait_in (PoolServiceQueue *self, GQueue *line, PoolServiceCall *call, double timeout)
{
  Waiter *waiter;

  if (timeout == 0)
    {
      fail_waiter (self, call, line == &self->putters);
      return;
    }
  waiter = g_new0 (Waiter, 1);
  waiter->queue = self;
  waiter->line = line;
  waiter->call = pool_service_call_ref (call);
  if (timeout > 0 && timeout < G_MAXINT / 1000)
    waiter->timer = g_timeout_add ((guint) (timeout * 1000) + 1, on_waited, waiter);
  g_queue_push_tail (line, waiter);
}

/* --- items --- */

static Item *
take_item (PoolServiceQueue *self)
{
  Item *item = self->is_ordered ? g_queue_peek_head (&self->items) : g_queue_pop_head (&self->ready);

  if (item == NULL || !item->has_ended)
    return NULL;
  g_queue_remove (&self->items, item);
  return item;
}

static void
hand_out (PoolServiceCall *call, Item *item)
{
  g_autoptr (GUnixFDList) fds = NULL;
  GVariant *variant;
  GError *error = NULL;

  if (item->error != NULL)
    pool_service_call_fail (call, item->error);
  else if (!pool_service_value_give (item->value, FALSE, &variant, &fds, &error))
    pool_service_call_take_error (call, error);
  else
    pool_service_call_reply (call, g_variant_new ("(@v)", variant), fds);
  free_item (item);
}

static void
fail_nothing_put (PoolServiceCall *call)
{
  pool_service_call_take_error (call, g_error_new_literal (POOL_ERROR, POOL_ERROR_NOTHING_PUT,
                                                           "More results were asked for than items were put"));
}

static void
serve_getters (PoolServiceQueue *self)
{
  Item *item;

  while (!g_queue_is_empty (&self->getters) && (item = take_item (self)) != NULL)
    {
      g_autoptr (PoolServiceCall) call = leave_line (g_queue_peek_head (&self->getters));

      hand_out (call, item);
    }
}

static void begin (PoolServiceQueue *self, PoolServiceCall *call);

static void
on_done (PoolServiceWork *work, GVariant *value, const GError *error, gpointer user_data)
{
  Item *item = user_data;
  PoolServiceQueue *self = item->queue;

  self->n_running--;
  if (self->pool == NULL)
    free_item (item);
  else
    {
      item->has_ended = TRUE;
      item->value = value != NULL ? g_variant_ref (value) : NULL;
      item->error = error != NULL ? g_error_copy (error) : NULL;
      pool_service_work_drop_args (work);
      pool_service_work_set_bytes (work, value != NULL ? g_variant_get_size (value) : 0);
      if (!self->is_ordered)
        g_queue_push_tail (&self->ready, item);
      serve_getters (self);
      while (self->n_running < self->size && !g_queue_is_empty (&self->putters))
        {
          g_autoptr (PoolServiceCall) call = leave_line (g_queue_peek_head (&self->putters));

          begin (self, call);
        }
    }
  unref_queue (self);
}

/* There is room. */
static void
begin (PoolServiceQueue *self, PoolServiceCall *call)
{
  PoolServiceObject *object = (PoolServiceObject *) self->pool;
  g_autoptr (GVariant) variant = g_variant_get_child_value (call->args, 0);
  g_autoptr (PoolServiceWork) work = NULL;
  GError *error = NULL;
  Item *item;

  work = pool_service_work_new (object->service, POOL_SERVICE_APPLY, self->target, variant,
                                g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0), call->fds, &error);
  if (work == NULL || !pool_service_work_charge (work, call->client->account, &error))
    {
      pool_service_call_take_error (call, error);
      return;
    }
  item = g_new0 (Item, 1);
  item->queue = self;
  item->work = pool_service_work_ref (work);
  g_queue_push_tail (&self->items, item);
  self->n_running++;
  self->ref_count++;
  pool_service_call_reply (call, NULL, NULL);
  pool_service_pool_start_work (self->pool, work, on_done, item);
}

/* --- the calls --- */

PoolServiceQueue *
pool_service_queue_new (PoolServicePool *pool, const char *target, guint size, gboolean is_ordered)
{
  PoolServiceQueue *self = g_new0 (PoolServiceQueue, 1);

  self->ref_count = 1;
  self->pool = pool;
  self->target = g_strdup (target);
  self->size = size;
  self->is_ordered = is_ordered;
  return self;
}

void
pool_service_queue_free (PoolServiceQueue *self)
{
  GQueue *lines[] = { &self->putters, &self->getters };
  Item *item;

  self->pool = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++)
    while (!g_queue_is_empty (lines[i]))
      /* the last reference says that the pool has ended */
      pool_service_call_unref (leave_line (g_queue_peek_head (lines[i])));
  g_queue_clear (&self->ready);
  while ((item = g_queue_pop_head (&self->items)) != NULL)
    if (item->has_ended)
      free_item (item);
  unref_queue (self);
}

void
pool_service_queue_put (PoolServiceQueue *self, PoolServiceCall *call)
{
  double timeout;

  g_variant_get_child (call->args, 1, "d", &timeout);
  if (self->n_running < self->size)
    begin (self, call);
  else
    wait_in (self, &self->putters, call, timeout);
}

void
pool_service_queue_get (PoolServiceQueue *self, PoolServiceCall *call)
{
  double timeout;
  Item *item = g_queue_is_empty (&self->getters) ? take_item (self) : NULL;

  g_variant_get_child (call->args, 0, "d", &timeout);
  if (item != NULL)
    hand_out (call, item);
  else if (g_queue_get_length (&self->items) + g_queue_get_length (&self->putters) <= g_queue_get_length (&self->getters))
    fail_nothing_put (call);
  else
    wait_in (self, &self->getters, call, timeout);
}
