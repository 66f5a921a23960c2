/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#define MAX_CALLS 64

/* What an actor does: operations, each on a pool in whatever state. */
typedef struct
{
  const char *name;
  guint weight;
  void (*func) (NemesisActor *self, NemesisPool *pool, PoolManager *manager);
  gboolean ends; /* the pool; another is started in its place, where that can be */
} Operation;

static guint
choose_size (NemesisActor *self)
{
  static const guint sizes[] = { 1, 2, 10, 10, 100, 100, 1000 };

  return g_rand_int_range (self->rand, 0, sizes[g_rand_int_range (self->rand, 0, G_N_ELEMENTS (sizes))] + 1);
}

static void
take (NemesisActor *self, guint index)
{
  NemesisCall *call = self->calls->pdata[index];

  g_ptr_array_remove_index_fast (self->calls, index);
  nemesis_call_judge (call);
  g_clear_object (&call->result);
  g_ptr_array_add (self->ended, call);
}

static void
take_all (NemesisActor *self)
{
  while (self->calls->len > 0)
    take (self, g_rand_int_range (self->rand, 0, self->calls->len));
}

static NemesisCall *
submit (NemesisActor *self, NemesisPool *pool, PoolManager *manager, NemesisCallKind kind, guint n_items,
        gboolean has_callback)
{
  NemesisCall *call = nemesis_call_new (pool, kind, n_items, self->rand);

  if (self->calls->len == MAX_CALLS)
    take (self, g_rand_int_range (self->rand, 0, MAX_CALLS));
  call->has_callback = has_callback;
  nemesis_note (self->number, "call %u on pool %u: kind %u, %u items%s", call->id, pool->number, kind, n_items,
                has_callback ? ", callback" : "");
  nemesis_call_submit (call, manager, self->rand);
  g_ptr_array_add (has_callback ? self->ended : self->calls, call);
  return call;
}

/* --- calls --- */

static void
op_apply (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  submit (self, pool, manager, NEMESIS_CALL_VALUE, 1, FALSE);
}

static void
op_bytes (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  submit (self, pool, manager, NEMESIS_CALL_BYTES, 1, FALSE);
}

static void
op_map (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  submit (self, pool, manager, NEMESIS_CALL_MAP, choose_size (self), FALSE);
}

static void
op_packed (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  submit (self, pool, manager, NEMESIS_CALL_PACKED, choose_size (self), FALSE);
}

static void
op_callback (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  NemesisCallKind kind = g_rand_int_range (self->rand, 0, NEMESIS_CALL_PACKED + 1);

  submit (self, pool, manager, kind, kind <= NEMESIS_CALL_BYTES ? 1 : choose_size (self), TRUE);
}

static void
op_burst (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  for (guint i = g_rand_int_range (self->rand, 1, MAX_CALLS); i > 0; i--)
    submit (self, pool, manager, g_rand_boolean (self->rand) ? NEMESIS_CALL_VALUE : NEMESIS_CALL_BYTES, 1, FALSE);
}

static void
op_apply_and_wait (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  NemesisItem item;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  nemesis_item_init (&item, pool, self->rand, FALSE);
  nemesis_counts.n_calls++;
  nemesis_counts.n_items++;
  value = pool_manager_apply (manager, "nemesis.value", g_variant_new ("(xuu)", item.number, item.behaviour, item.amount),
                              NULL, NULL, &error);
  nemesis_judge_value (pool, NULL, &item, value, error);
}

static void
op_cancelled_before (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  g_cancellable_cancel (cancellable);
  value = pool_manager_apply (manager, "nemesis.value", g_variant_new ("(xuu)", (gint64) 1, 0, 0), NULL, cancellable,
                              &error);
  if (value != NULL || (!g_error_matches (error, POOL_ERROR, POOL_ERROR_CANCELLED) &&
                        !(pool->closing || pool->terminating || pool->fragile)))
    nemesis_found ("a call that was cancelled before it was made gives %s", error != NULL ? error->message : "a value");
}

static void
op_cancel (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  GPtrArray *calls = g_rand_boolean (self->rand) ? self->calls : self->ended;

  if (calls->len > 0)
    nemesis_call_cancel (calls->pdata[g_rand_int_range (self->rand, 0, calls->len)], self->rand);
}

static void
op_terminate_call (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  if (self->calls->len > 0)
    nemesis_call_terminate (self->calls->pdata[g_rand_int_range (self->rand, 0, self->calls->len)], self->rand);
}

static void
op_take (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  if (self->calls->len > 0)
    take (self, g_rand_int_range (self->rand, 0, self->calls->len));
}

static void
op_take_all (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  take_all (self);
}

/* Lets go of a result that nobody has looked at. */
static void
op_forget (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  if (self->calls->len > 0)
    nemesis_call_free (g_ptr_array_steal_index_fast (self->calls, g_rand_int_range (self->rand, 0, self->calls->len)));
}

static void
op_wait (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  NemesisCall *call;

  if (self->calls->len == 0)
    return;
  call = self->calls->pdata[g_rand_int_range (self->rand, 0, self->calls->len)];
  if (!pool_async_result_wait (call->result, g_rand_double_range (self->rand, 0, 0.01), NULL, &error) &&
      !g_error_matches (error, POOL_ERROR, POOL_ERROR_WAIT_TIMED_OUT))
    nemesis_found ("call %u cannot be waited for: %s", call->id, error->message);
}

/* --- lazily --- */

static void
judge_lazy (NemesisPool *pool, NemesisItem *items, guint n, guint index, gboolean ordered, GVariant *value,
            const GError *error, guint8 *seen)
{
  guint i = index;

  if (value != NULL && !ordered)
    for (i = 0; i < n && items[i].number != (g_variant_get_int64 (value) - 1) / 3;)
      i++;
  if (i >= n || (value != NULL && seen[i]++))
    nemesis_found ("pool %u: an iterator gives a result that is not its own, or twice", pool->number);
  /* which item an error is of is not known without an order */
  nemesis_judge_value (pool, NULL, ordered || value != NULL ? &items[i] : NULL, value, error);
}

static void
op_imap (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  guint n = choose_size (self) + 1;
  guint stop = g_rand_boolean (self->rand) ? n + 1 : (guint) g_rand_int_range (self->rand, 0, n);
  guint chunksize = g_rand_int_range (self->rand, 1, 9);
  gboolean ordered = g_rand_boolean (self->rand);
  g_autofree NemesisItem *items = g_new0 (NemesisItem, n);
  g_autofree guint8 *seen = g_new0 (guint8, n);
  g_autoptr (PoolResultIterator) iterator = NULL;
  g_autoptr (GError) start_error = NULL;
  GVariantBuilder builder;
  GVariant *values;
  guint i = 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(xuu)"));
  for (guint k = 0; k < n; k++)
    {
      nemesis_item_init (&items[k], pool, self->rand, FALSE);
      g_variant_builder_add (&builder, "(xuu)", items[k].number, items[k].behaviour, items[k].amount);
    }
  values = g_variant_builder_end (&builder);
  nemesis_counts.n_calls++;
  nemesis_counts.n_items += n;
  iterator = ordered ? pool_manager_istarmap (manager, "nemesis.value", values, chunksize, &start_error)
                     : pool_manager_istarmap_unordered (manager, "nemesis.value", values, chunksize, &start_error);
  if (iterator == NULL)
    nemesis_judge_value (pool, NULL, NULL, NULL, start_error);
  for (; iterator != NULL && i < stop; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_result_iterator_next (iterator, -1, &error);

      if (value == NULL && error == NULL)
        break;
      judge_lazy (pool, items, n, i, ordered, value, error, seen);
      nemesis_note (self->number, "item %u of an iterator on pool %u", i, pool->number);
    }
  if (iterator != NULL && stop > n && i != n && !pool->closing && !pool->terminating && !pool->fragile)
    nemesis_found ("pool %u: an iterator over %u items gives %u", pool->number, n, i);
}

/* --- the queue --- */

static void
op_put (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  NemesisItem item;
  gint64 *key;

  nemesis_item_init (&item, pool, self->rand, FALSE);
  if (item.behaviour != NEMESIS_NAP && item.behaviour != NEMESIS_CRASH_ONCE)
    item.behaviour = NEMESIS_PLAIN;
  key = g_memdup2 (&item.number, sizeof item.number);
  g_mutex_lock (&pool->lock);
  g_hash_table_add (pool->bag, key);
  g_mutex_unlock (&pool->lock);
  if (pool_manager_put (manager, g_variant_new ("(xuu)", item.number, item.behaviour, item.amount),
                        g_rand_boolean (self->rand) ? 0 : 0.01, &error))
    {
      nemesis_counts.n_items++;
      return;
    }
  g_mutex_lock (&pool->lock);
  g_hash_table_remove (pool->bag, &item.number);
  g_mutex_unlock (&pool->lock);
  if (!g_error_matches (error, POOL_ERROR, POOL_ERROR_QUEUE_FULL))
    nemesis_judge_value (pool, NULL, NULL, NULL, error);
}

static void
op_get (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_get (manager, g_rand_boolean (self->rand) ? 0 : 0.01, &error);
  gboolean known = TRUE;
  gint64 number = 0;

  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_QUEUE_EMPTY) ||
      g_error_matches (error, POOL_ERROR, POOL_ERROR_NOTHING_PUT))
    return;
  if (value == NULL)
    nemesis_judge_value (pool, NULL, NULL, NULL, error);
  else
    number = (g_variant_get_int64 (value) - 1) / 3;
  g_mutex_lock (&pool->lock);
  if (value == NULL)
    pool->n_missing++;
  else
    known = g_hash_table_remove (pool->bag, &number);
  g_mutex_unlock (&pool->lock);
  if (!known)
    nemesis_found ("pool %u: get() gives the result of %" G_GINT64_FORMAT " twice, or unasked", pool->number, number);
  nemesis_counts.n_right += value != NULL;
}

static void
op_clear (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  guint n = pool_manager_clear_tasks (manager);
  GHashTableIter iter;
  gpointer key;

  g_mutex_lock (&pool->lock);
  pool->n_missing += n;
  /* those that agents had are asked back, and go when they come, which nobody counts */
  g_hash_table_iter_init (&iter, pool->bag);
  while (nemesis_has_agents && g_hash_table_iter_next (&iter, &key, NULL))
    g_hash_table_add (pool->recalled, g_memdup2 (key, sizeof (gint64)));
  g_mutex_unlock (&pool->lock);
}

/* --- the rest --- */

static void
op_look (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (manager);
  guint64 n_pending, n_done;
  guint n_running;

  g_object_get (manager, "n-pending", &n_pending, "n-done", &n_done, "n-running", &n_running, NULL);
  pool_manager_is_alive (manager);
  for (guint i = 0; i < workers->len; i++)
    pool_worker_info_get_state (workers->pdata[i]);
}

static void
op_wrong (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  gboolean ended = pool->closing || pool->terminating || pool->fragile;

  if (!ended && pool_manager_join (manager, 0, &error) && !pool->closing && !pool->terminating)
    nemesis_found ("pool %u runs and could be joined", pool->number);
  g_clear_error (&error);
  if (pool_manager_start (manager, &error) || !g_error_matches (error, POOL_ERROR, POOL_ERROR_STATE))
    nemesis_found ("pool %u could be started twice", pool->number);
  g_clear_error (&error);
  if (pool_manager_apply (manager, "nemesis.no-such", NULL, NULL, NULL, &error) != NULL || error == NULL)
    nemesis_found ("pool %u has run what does not exist", pool->number);
}

static void
op_iterate (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  if (!self->round->loop)
    for (guint i = 0; i < 10 && g_main_context_iteration (NULL, FALSE); i++)
      ;
}

static void
op_dawdle (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_usleep (g_rand_int_range (self->rand, 0, 5000));
}

static void
op_close (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  nemesis_pool_close (pool);
}

static void
op_close_and_join (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;
  guint64 n_pending;

  nemesis_pool_close (pool);
  if (!pool_manager_join (manager, -1, &error) && !pool->restarted)
    nemesis_found ("pool %u was closed and cannot be joined: %s", pool->number, error->message);
  g_object_get (manager, "n-pending", &n_pending, NULL);
  if (n_pending != 0 && !pool->restarted)
    nemesis_found ("pool %u was joined with %" G_GUINT64_FORMAT " tasks pending", pool->number, n_pending);
}

static void
op_terminate (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  nemesis_pool_terminate (pool);
}

static void
op_terminate_and_join (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  g_autoptr (GError) error = NULL;

  nemesis_pool_terminate (pool);
  if (!pool_manager_join (manager, -1, &error) && !pool->restarted)
    nemesis_found ("pool %u was terminated and cannot be joined: %s", pool->number, error->message);
}

static void
op_drop (NemesisActor *self, NemesisPool *pool, PoolManager *manager)
{
  nemesis_pool_drop (pool);
}

static const Operation operations[] = {
  { "apply", 200, op_apply },
  { "bytes", 100, op_bytes },
  { "map", 40, op_map },
  { "packed", 30, op_packed },
  { "callback", 60, op_callback },
  { "burst", 10, op_burst },
  { "apply-and-wait", 60, op_apply_and_wait },
  { "cancelled-before", 5, op_cancelled_before },
  { "cancel", 40, op_cancel },
  { "terminate-call", 10, op_terminate_call },
  { "terminate-job", 10, nemesis_control_terminate_job },
  { "grow", 6, nemesis_control_grow },
  { "shrink", 6, nemesis_control_shrink },
  { "restart", 4, nemesis_control_restart },
  { "maintain", 10, nemesis_control_maintain },
  { "take", 150, op_take },
  { "take-all", 10, op_take_all },
  { "forget", 20, op_forget },
  { "wait", 30, op_wait },
  { "imap", 30, op_imap },
  { "put", 80, op_put },
  { "get", 80, op_get },
  { "clear", 4, op_clear },
  { "look", 20, op_look },
  { "wrong", 5, op_wrong },
  { "iterate", 20, op_iterate },
  { "dawdle", 20, op_dawdle },
  { "close", 2, op_close, TRUE },
  { "close-and-join", 2, op_close_and_join, TRUE },
  { "terminate", 2, op_terminate, TRUE },
  { "terminate-and-join", 2, op_terminate_and_join, TRUE },
  { "drop", 2, op_drop, TRUE },
};

static const Operation *
choose_operation (NemesisActor *self)
{
  guint total = 0, luck;
  const Operation *operation = operations;

  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    total += operations[i].weight;
  luck = g_rand_int_range (self->rand, 0, total);
  while (luck >= operation->weight)
    luck -= operation++->weight;
  return operation;
}

/* Another pool in place of one that ends; it goes when the last call on it has been looked at. */
static void
replace (NemesisActor *self, guint index, NemesisPool *pool)
{
  NemesisRound *round = self->round;
  NemesisPool *fresh = nemesis_pool_start (self->rand);

  g_mutex_lock (&round->lock);
  if (round->pools[index] == pool)
    {
      nemesis_pool_unref (pool);
      round->pools[index] = g_steal_pointer (&fresh);
    }
  g_mutex_unlock (&round->lock);
  g_clear_pointer (&fresh, nemesis_pool_unref);
}

static void
revive_or_replace (NemesisActor *self, guint index, NemesisPool *pool)
{
  g_autoptr (PoolManager) manager = nemesis_pool_dup_manager (pool);

  if (manager == NULL || !pool->may_restart || g_rand_boolean (self->rand))
    {
      replace (self, index, pool);
      return;
    }
  self->doing = "restart of a pool at its end";
  nemesis_control_restart (self, pool, manager);
}

static void
act (NemesisActor *self)
{
  const Operation *operation = choose_operation (self);
  NemesisRound *round = self->round;
  g_autoptr (PoolManager) manager = NULL;
  NemesisPool *pool;
  guint index;

  g_mutex_lock (&round->lock);
  index = g_rand_int_range (self->rand, 0, round->n_pools);
  pool = nemesis_pool_ref (round->pools[index]);
  g_mutex_unlock (&round->lock);
  manager = nemesis_pool_dup_manager (pool);

  /* where another cannot be started its end is rare */
  if (manager != NULL && (!operation->ends || nemesis_may_start || g_rand_int_range (self->rand, 0, 20) == 0))
    {
      self->doing = operation->name;
      nemesis_note (self->number, "%s on pool %u", operation->name, pool->number);
      operation->func (self, pool, manager);
    }
  g_clear_object (&manager);
  if (nemesis_may_start && nemesis_pool_is_over (pool))
    revive_or_replace (self, index, pool);
  nemesis_pool_unref (pool);
}

gpointer
nemesis_actor_thread (gpointer data)
{
  NemesisActor *self = data;

  while (g_get_monotonic_time () < self->round->end)
    act (self);
  self->doing = "take-all at the end";
  take_all (self);
  self->doing = "ended";
  return NULL;
}
