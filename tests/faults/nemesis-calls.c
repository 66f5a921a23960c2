/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nemesis.h"

#include <signal.h>
#include <string.h>

/* So many retries are never used up by chance. */
#define RETRIES_ENOUGH 50

NemesisCounts nemesis_counts;
_Atomic guint nemesis_n_callbacks_due, nemesis_n_listeners;

static _Atomic gint64 next_number = 1;
static _Atomic guint next_call = 1;

/* --- what is asked --- */

void
nemesis_item_init (NemesisItem *item, NemesisPool *pool, GRand *rand, gboolean lone)
{
  static const int signals[] = { SIGKILL, SIGSEGV, SIGTERM, SIGABRT };
  int luck = g_rand_int_range (rand, 0, 1000);

  *item = (NemesisItem){ .number = next_number++, .behaviour = NEMESIS_PLAIN };
  if (luck < 40)
    {
      item->behaviour = NEMESIS_NAP;
      item->amount = g_rand_int_range (rand, 0, luck == 0 ? 50000 : 3000);
    }
  else if (luck < 60)
    item->behaviour = NEMESIS_RAISE;
  else if (luck < 65)
    item->behaviour = NEMESIS_NOTHING;
  else if (luck < 75)
    {
      item->behaviour = NEMESIS_ALLOCATE;
      item->amount = g_rand_int_range (rand, 0, 4096);
    }
  else if (luck < 85 && nemesis_isolates)
    {
      item->behaviour = luck < 80 ? NEMESIS_CRASH_ONCE : NEMESIS_EXIT_ONCE;
      item->amount = luck < 80 ? (guint32) signals[g_rand_int_range (rand, 0, G_N_ELEMENTS (signals))] : 3;
    }
  else if (luck < 88 && nemesis_isolates && lone)
    {
      item->behaviour = NEMESIS_CRASH;
      item->amount = signals[g_rand_int_range (rand, 0, G_N_ELEMENTS (signals))];
    }
  else if (luck < 98)
    {
      item->behaviour = NEMESIS_PATIENT;
      item->amount = g_rand_int_range (rand, 0, luck < 90 ? 100000 : 5000);
    }
  else if (luck < 103 && pool->captures)
    item->behaviour = NEMESIS_PRINT;
  else if (luck < 108 && pool->logs)
    item->behaviour = NEMESIS_LOG;
  else if (luck < 112 && pool->timeout > 0)
    {
      item->behaviour = NEMESIS_OVERRUN;
      item->amount = nemesis_isolates ? 60000 : 200;
    }
  else
    item->amount = g_rand_int_range (rand, 0, luck > 995 ? 3000000 : 300);
}

NemesisCall *
nemesis_call_new (NemesisPool *pool, NemesisCallKind kind, guint n_items, GRand *rand)
{
  NemesisCall *self = g_malloc0 (sizeof (NemesisCall) + n_items * sizeof (NemesisItem));

  self->id = next_call++;
  self->kind = kind;
  self->pool = nemesis_pool_ref (pool);
  self->max_retries = pool->max_retries;
  self->n_items = n_items;
  for (guint i = 0; i < n_items; i++)
    nemesis_item_init (&self->items[i], pool, rand, n_items == 1 && kind <= NEMESIS_CALL_BYTES);
  nemesis_counts.n_calls++;
  nemesis_counts.n_items += n_items;
  return self;
}

void
nemesis_call_free (NemesisCall *self)
{
  g_clear_object (&self->result);
  g_clear_object (&self->cancellable);
  nemesis_pool_unref (self->pool);
  g_free (self);
}

/* --- what may come --- */

static gboolean
may_fail_so (NemesisPool *pool, NemesisCall *call, const NemesisItem *item, const GError *error)
{
  gboolean few = (call != NULL ? call->max_retries : pool->max_retries) < RETRIES_ENOUGH;
  g_autofree char *raised = NULL;

  if (error->domain == G_IO_ERROR)
    {
      raised = item != NULL ? g_strdup_printf ("raised by %" G_GINT64_FORMAT, item->number) : NULL;
      nemesis_counts.n_raised++;
      return error->code == G_IO_ERROR_NOT_EMPTY &&
             (item == NULL || (item->behaviour == NEMESIS_RAISE && g_str_equal (error->message, raised)));
    }
  if (error->domain != POOL_ERROR)
    return FALSE;
  switch (error->code)
    {
    case POOL_ERROR_CANCELLED:
      nemesis_counts.n_cancelled++;
      return call != NULL && call->cancelled;
    case POOL_ERROR_TERMINATED:
      nemesis_counts.n_terminated++;
      return nemesis_pool_may_end_tasks (pool) || pool->job_terminated || (call != NULL && call->terminated);
    case POOL_ERROR_WORKERS_GONE:
      nemesis_counts.n_ended++;
      return nemesis_pool_may_end_tasks (pool) || pool->fragile || (pool->job_terminated && pool->closing);
    case POOL_ERROR_CLOSED:
      nemesis_counts.n_ended++;
      /* while it starts anew it is as one that was closed */
      return pool->closing || pool->terminating || (pool->fragile && pool->restarted);
    case POOL_ERROR_NOT_STARTED:
      nemesis_counts.n_ended++;
      return pool->restarted && (pool->closing || pool->terminating || pool->fragile);
    case POOL_ERROR_RESTART_FREQ:
      nemesis_counts.n_broken++;
      return pool->fragile;
    case POOL_ERROR_TIMED_OUT:
      nemesis_counts.n_late++;
      return pool->timeout > 0 || (call != NULL && call->timeout > 0);
    case POOL_ERROR_SOFT_TIMED_OUT:
      nemesis_counts.n_late++;
      return (pool->soft_timeout > 0 || (call != NULL && call->soft_timeout > 0)) &&
             (item == NULL || item->behaviour == NEMESIS_PATIENT);
    case POOL_ERROR_WORKER_LOST:
      nemesis_counts.n_lost++;
      return nemesis_isolates &&
             (few || !pool->resilient || (item != NULL && item->behaviour == NEMESIS_CRASH)) &&
             (strstr (error->message, "pid") != NULL || (nemesis_has_agents && strstr (error->message, "agent") != NULL));
    case POOL_ERROR_ENCODING:
      nemesis_counts.n_raised++;
      return item == NULL || item->behaviour == NEMESIS_NOTHING;
    default:
      return FALSE;
    }
}

static gboolean
may_succeed (const NemesisItem *item)
{
  return item->behaviour != NEMESIS_RAISE && item->behaviour != NEMESIS_NOTHING &&
         item->behaviour != NEMESIS_CRASH && (item->behaviour != NEMESIS_OVERRUN || !nemesis_isolates);
}

static void
judge_error (NemesisPool *pool, NemesisCall *call, const NemesisItem *item, const GError *error)
{
  if (!may_fail_so (pool, call, item, error))
    nemesis_found ("call %u on pool %u%s%s: number %" G_GINT64_FORMAT " (behaviour %u) must not fail with "
                   "%s %d: %s",
                   call != NULL ? call->id : 0, pool->number, call != NULL && call->cancelled ? ", cancelled" : "",
                   pool->terminating ? ", terminated" : pool->closing ? ", closed" : "",
                   item != NULL ? item->number : 0, item != NULL ? item->behaviour : 0,
                   g_quark_to_string (error->domain), error->code, error->message);
}

void
nemesis_judge_value (NemesisPool *pool, NemesisCall *call, const NemesisItem *item, GVariant *value,
                     const GError *error)
{
  gint64 number;

  if (value == NULL)
    {
      judge_error (pool, call, item, error);
      return;
    }
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    nemesis_found ("pool %u: a result of type %s", pool->number, g_variant_get_type_string (value));
  number = g_variant_get_int64 (value);
  if (!may_succeed (item) || number != 3 * item->number + 1)
    nemesis_found ("call %u on pool %u: number %" G_GINT64_FORMAT " (behaviour %u) has the result %" G_GINT64_FORMAT,
                   call != NULL ? call->id : 0, pool->number, item->number, item->behaviour, number);
  nemesis_counts.n_right++;
}

static void
judge_bytes (NemesisCall *self, const NemesisItem *item, GBytes *bytes, const GError *error)
{
  const guint8 *data;
  gsize size;

  if (bytes == NULL)
    {
      judge_error (self->pool, self, item, error);
      return;
    }
  data = g_bytes_get_data (bytes, &size);
  if (!may_succeed (item) || size != item->amount)
    nemesis_found ("call %u: number %" G_GINT64_FORMAT " (behaviour %u) has %" G_GSIZE_FORMAT " bytes, not %u",
                   self->id, item->number, item->behaviour, size, item->amount);
  for (gsize i = 0; i < size; i++)
    if (data[i] != (guint8) (item->number + i))
      nemesis_found ("call %u: byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " is wrong", self->id, i, size);
  nemesis_counts.n_right++;
}

/* What the only attempt printed is there, and nothing else. */
static void
judge_output (NemesisCall *self, const NemesisItem *item)
{
  g_autofree char *expected = NULL;
  g_autoptr (GBytes) output = NULL;
  gconstpointer text;
  gsize size;

  if (!self->pool->captures || item->behaviour != NEMESIS_PRINT ||
      pool_async_result_get_attempts (self->result) != 1 || pool_async_result_get_lost_output (self->result) != 0)
    return;
  expected = g_strdup_printf ("said by %" G_GINT64_FORMAT "\n", item->number);
  output = pool_async_result_get_output (self->result);
  text = output != NULL ? g_bytes_get_data (output, &size) : NULL;
  if (text == NULL || size != strlen (expected) || memcmp (text, expected, size) != 0)
    nemesis_found ("call %u on pool %u: of its output there is \"%.*s\"", self->id, self->pool->number,
                   text != NULL ? (int) size : 0, text != NULL ? (const char *) text : "");
}

static void
judge_one (NemesisCall *self)
{
  g_autoptr (GError) error = NULL;

  if (self->kind == NEMESIS_CALL_VALUE)
    {
      g_autoptr (GVariant) value = pool_async_result_get (self->result, -1, &error);

      nemesis_judge_value (self->pool, self, &self->items[0], value, error);
      if (value != NULL)
        judge_output (self, &self->items[0]);
    }
  else
    {
      g_autoptr (GBytes) bytes = pool_async_result_get_bytes (self->result, -1, &error);

      judge_bytes (self, &self->items[0], bytes, error);
    }
}

static void
judge_map (NemesisCall *self)
{
  PoolMapResult *map = POOL_MAP_RESULT (self->result);
  g_autoptr (GError) map_error = NULL;
  guint n_failed = 0;
  gboolean ok;

  pool_async_result_wait (self->result, -1, NULL, NULL);
  ok = pool_async_result_successful (self->result, NULL);
  /* what was refused has no items */
  if (!ok && pool_map_result_get_n_items (map) == 0)
    {
      GVariant *value = pool_async_result_get (self->result, 0, &map_error);

      g_clear_pointer (&value, g_variant_unref);
      judge_error (self->pool, self, NULL, map_error);
      return;
    }
  if (pool_map_result_get_n_items (map) != self->n_items)
    nemesis_found ("call %u: a map of %u items has %" G_GUINT64_FORMAT, self->id, self->n_items,
                   pool_map_result_get_n_items (map));
  for (guint i = 0; i < self->n_items; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GBytes) bytes = NULL;

      if (self->kind == NEMESIS_CALL_MAP)
        {
          value = pool_map_result_get_item (map, i, &error);
          nemesis_judge_value (self->pool, self, &self->items[i], value, error);
        }
      else
        {
          bytes = pool_map_result_get_item_bytes (map, i, &error);
          judge_bytes (self, &self->items[i], bytes, error);
        }
      n_failed += error != NULL;
    }
  if (ok != (n_failed == 0))
    {
      pool_async_result_successful (self->result, &map_error);
      nemesis_found ("call %u: the map %s, and %u of its items failed: %s", self->id, ok ? "is well" : "failed", n_failed,
                     map_error != NULL ? map_error->message : "");
    }
}

/* Waits for the end of a call, which must be right, and the same when it is asked again. */
void
nemesis_call_judge (NemesisCall *self)
{
  g_autoptr (GVariant) again = NULL;

  if (self->kind <= NEMESIS_CALL_BYTES)
    judge_one (self);
  else
    judge_map (self);
  again = pool_async_result_get (self->result, 0, NULL);
  if ((again != NULL) != pool_async_result_successful (self->result, NULL))
    nemesis_found ("call %u is not the same when it is asked again", self->id);
  nemesis_note (NEMESIS_ANYBODY, "call %u ended", self->id);
}

/* --- doing it --- */

static void
called_back (GObject *source, GAsyncResult *result, gpointer user_data)
{
  NemesisCall *self = user_data;

  if (self->n_callbacks++ != 0)
    nemesis_found ("call %u was told twice that it has ended", self->id);
  if (!POOL_IS_MANAGER (source))
    nemesis_found ("call %u: the callback has another source", self->id);
  self->result = g_object_ref (POOL_ASYNC_RESULT (result));
  nemesis_call_judge (self);
  g_clear_object (&self->result);
  nemesis_n_callbacks_due--;
}

static GVariant *
pack_value (const NemesisItem *item)
{
  return g_variant_new ("(xuu)", item->number, item->behaviour, item->amount);
}

static GVariant *
pack_values (NemesisCall *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(xuu)"));
  for (guint i = 0; i < self->n_items; i++)
    g_variant_builder_add_value (&builder, pack_value (&self->items[i]));
  return g_variant_builder_end (&builder);
}

static GBytes *
pack_items (NemesisCall *self)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < self->n_items; i++)
    g_ptr_array_add (items, g_bytes_new (&self->items[i], sizeof (NemesisItem)));
  return pool_packed_new ((GBytes **) items->pdata, items->len);
}

/* Who is told of what happens to a call: it may come when the call has long been forgotten. */
typedef struct
{
  double timeout, soft_timeout;
  gboolean cancels; /* the call, when it is started */
} Listener;

static void
accepted (PoolAsyncResult *result, PoolWorkerInfo *worker, gint64 time, gpointer user_data)
{
  Listener *self = user_data;

  if (worker == NULL || time > g_get_monotonic_time ())
    nemesis_found ("a call was started by %s at %" G_GINT64_FORMAT, worker != NULL ? "a worker" : "nobody", time);
  if (self->cancels)
    pool_async_result_cancel (result);
}

static void
timed_out (PoolAsyncResult *result, gboolean soft, double limit, gpointer user_data)
{
  Listener *self = user_data;

  /* limits are kept with less precision */
  if (ABS (limit - (soft ? self->soft_timeout : self->timeout)) > 1e-6)
    nemesis_found ("a call is told of a limit of %g s, which it has not", limit);
}

static void
free_listener (gpointer data)
{
  g_free (data);
  nemesis_n_listeners--;
}

static Listener *
listener_new (NemesisCall *call, gboolean cancels)
{
  Listener *self = g_new0 (Listener, 1);

  self->timeout = call->timeout > 0 ? call->timeout : call->pool->timeout;
  self->soft_timeout = call->soft_timeout > 0 ? call->soft_timeout : call->pool->soft_timeout;
  self->cancels = cancels;
  nemesis_n_listeners++;
  return self;
}

static void
choose_limits (NemesisCall *self, PoolCallOptions *options, GRand *rand)
{
  if (g_rand_int_range (rand, 0, 4) == 0)
    pool_call_options_set_timeout (options, self->timeout = g_rand_double_range (rand, 0.001, 0.1));
  if (g_rand_int_range (rand, 0, 4) == 0)
    pool_call_options_set_soft_timeout (options, self->soft_timeout = g_rand_double_range (rand, 0.001, 0.1));
}

static void
choose_listeners (NemesisCall *self, PoolCallOptions *options, GRand *rand)
{
  if (g_rand_int_range (rand, 0, 3) == 0)
    {
      gboolean cancels = g_rand_int_range (rand, 0, 4) == 0;

      self->cancelled = cancels;
      pool_call_options_set_accept_callback (options, accepted, listener_new (self, cancels), free_listener);
    }
  if (g_rand_int_range (rand, 0, 3) == 0)
    pool_call_options_set_timeout_callback (options, timed_out, listener_new (self, FALSE), free_listener);
}

static PoolCallOptions *
choose_options (NemesisCall *self, GRand *rand)
{
  PoolCallOptions *options;
  gboolean deadly = self->items[0].behaviour == NEMESIS_CRASH;

  if (!deadly && g_rand_int_range (rand, 0, 6) > 0)
    return NULL;
  options = pool_call_options_new ();
  self->max_retries = deadly ? g_rand_int_range (rand, 0, 4) : 1000;
  pool_call_options_set_max_retries (options, self->max_retries);
  if (g_rand_int_range (rand, 0, 3) == 0)
    pool_call_options_set_priority (options, g_rand_int_range (rand, -5, 6));
  if (g_rand_int_range (rand, 0, 3) == 0)
    pool_call_options_set_wait_for_slot (options, FALSE);
  choose_limits (self, options, rand);
  choose_listeners (self, options, rand);
  return options;
}

static PoolAsyncResult *
submit_bytes (NemesisCall *self, PoolManager *manager, PoolCallOptions *options, GAsyncReadyCallback callback,
              GRand *rand)
{
  gsize more = g_rand_int_range (rand, 0, 100) == 0 ? g_rand_int_range (rand, 0, 2000000)
                                                     : g_rand_int_range (rand, 0, 200);
  g_autofree guint8 *data = g_malloc0 (sizeof (NemesisItem) + more);

  memcpy (data, &self->items[0], sizeof (NemesisItem));
  return (PoolAsyncResult *) pool_manager_apply_bytes_async (manager, "nemesis.bytes", data, sizeof (NemesisItem) + more,
                                                             options, self->cancellable, callback, self);
}

void
nemesis_call_submit (NemesisCall *self, PoolManager *manager, GRand *rand)
{
  static const guint chunksizes[] = { 0, 0, 1, 2, 7, 100, 1000 };
  GAsyncReadyCallback callback = self->has_callback ? called_back : NULL;
  guint chunksize = chunksizes[g_rand_int_range (rand, 0, G_N_ELEMENTS (chunksizes))];
  g_autoptr (PoolCallOptions) options = NULL;
  g_autoptr (GBytes) packed = NULL;
  gpointer result = NULL;

  if (self->has_callback)
    nemesis_n_callbacks_due++;
  if (g_rand_int_range (rand, 0, 8) == 0)
    self->cancellable = g_cancellable_new ();
  switch (self->kind)
    {
    case NEMESIS_CALL_VALUE:
      options = choose_options (self, rand);
      result = pool_manager_apply_async (manager, "nemesis.value", pack_value (&self->items[0]), options,
                                         self->cancellable, callback, self);
      break;
    case NEMESIS_CALL_BYTES:
      options = choose_options (self, rand);
      result = submit_bytes (self, manager, options, callback, rand);
      break;
    case NEMESIS_CALL_MAP:
      result = pool_manager_starmap_async (manager, "nemesis.value", pack_values (self), chunksize,
                                           self->cancellable, callback, self);
      break;
    case NEMESIS_CALL_PACKED:
    default:
      packed = pack_items (self);
      result = pool_manager_map_packed_async (manager, "nemesis.bytes", packed, chunksize, self->cancellable, callback,
                                              self);
      break;
    }
  if ((result == NULL) != self->has_callback)
    nemesis_found ("call %u %s a result", self->id, result == NULL ? "has not" : "has a callback and");
  if (result != NULL)
    self->result = result;
}

void
nemesis_call_cancel (NemesisCall *self, GRand *rand)
{
  self->cancelled = TRUE;
  if (self->cancellable != NULL && (self->has_callback || g_rand_boolean (rand)))
    g_cancellable_cancel (self->cancellable);
  else if (!self->has_callback && self->result != NULL)
    pool_async_result_cancel (self->result);
}

void
nemesis_call_terminate (NemesisCall *self, GRand *rand)
{
  self->terminated = TRUE;
  pool_async_result_terminate (self->result, nemesis_control_choose_signal (rand));
}
