/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-dispatcher-private.h"

#include <stdatomic.h>

typedef struct _Item Item;

struct _Item
{
  Item *next;
  PoolDispatchFunc func;
  gpointer data;
};

struct _PoolDispatcher
{
  gatomicrefcount ref_count;
  GMainContext *context;
  _Atomic guint n_pending;
  _Atomic guint turn;
  _Atomic guint n_pushed;
  GThread *_Atomic runner; /* who runs items: a callback that waits must not run others inside itself */

  PoolDispatchFunc wake; /* set before anything is pushed, cleared when nothing is pushed any more */
  gpointer wake_data;

  GMutex lock; /* of the rest; never held while an item runs */
  Item *first, *last;
  gboolean closed;
  GSource *source; /* has a reference to this; NULL: closed, and nothing is pending */
};

typedef struct
{
  GSource source;
  PoolDispatcher *dispatcher; /* a reference */
} DispatcherSource;

/* The dispatcher that a thread is about to run. */
static GPrivate expected;

static Item *
pop (PoolDispatcher *self)
{
  Item *item;

  g_mutex_lock (&self->lock);
  item = self->first;
  if (item != NULL)
    {
      self->first = item->next;
      if (self->first == NULL)
        self->last = NULL;
    }
  g_mutex_unlock (&self->lock);
  return item;
}

/* The source goes when nothing more is expected. */
static void
end_if_done (PoolDispatcher *self)
{
  GSource *source = NULL;

  g_mutex_lock (&self->lock);
  if (self->closed && self->first == NULL)
    source = g_steal_pointer (&self->source);
  g_mutex_unlock (&self->lock);

  if (source == NULL)
    return;
  g_source_destroy (source);
  g_source_unref (source);
}

static void
run_items (PoolDispatcher *self)
{
  Item *item;

  atomic_store (&self->runner, g_thread_self ());
  while ((item = pop (self)) != NULL)
    {
      item->func (item->data);
      g_free (item);
      atomic_fetch_sub (&self->n_pending, 1);
    }

  atomic_store (&self->runner, NULL);
  atomic_fetch_add (&self->turn, 1);
  end_if_done (self);
}

static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  PoolDispatcher *self = ((DispatcherSource *) source)->dispatcher;

  g_source_set_ready_time (source, -1);
  pool_dispatcher_ref (self);
  run_items (self);
  pool_dispatcher_unref (self);
  return G_SOURCE_CONTINUE;
}

static void
source_finalize (GSource *source)
{
  g_clear_pointer (&((DispatcherSource *) source)->dispatcher, pool_dispatcher_unref);
}

static GSourceFuncs source_funcs = { NULL, NULL, source_dispatch, source_finalize, NULL, NULL };

static GSource *
attach_source (PoolDispatcher *self)
{
  GSource *source = g_source_new (&source_funcs, sizeof (DispatcherSource));

  ((DispatcherSource *) source)->dispatcher = pool_dispatcher_ref (self);
  g_source_set_static_name (source, "libpool callbacks");
  g_source_attach (source, self->context);
  return source;
}

PoolDispatcher *
pool_dispatcher_new (void)
{
  PoolDispatcher *self = g_new0 (PoolDispatcher, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->context = g_main_context_ref_thread_default ();
  self->source = attach_source (self);
  return self;
}

PoolDispatcher *
pool_dispatcher_ref (PoolDispatcher *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pool_dispatcher_unref (PoolDispatcher *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

GMainContext *
pool_dispatcher_get_context (PoolDispatcher *self)
{
  return self->context;
}

void
pool_dispatcher_set_wake (PoolDispatcher *self, PoolDispatchFunc func, gpointer data)
{
  self->wake = func;
  self->wake_data = data;
}

void
pool_dispatcher_expect_run (PoolDispatcher *self)
{
  g_private_set (&expected, self);
}

static void
wake (PoolDispatcher *self)
{
  if (self->wake != NULL)
    self->wake (self->wake_data);
}

void
pool_dispatcher_push (PoolDispatcher *self, PoolDispatchFunc func, gpointer data)
{
  Item *item = g_new (Item, 1);
  GSource *source = NULL;

  *item = (Item){ NULL, func, data };
  atomic_fetch_add_explicit (&self->n_pushed, 1, memory_order_relaxed);
  atomic_fetch_add (&self->n_pending, 1);
  g_mutex_lock (&self->lock);
  if (self->first == NULL)
    {
      self->first = item;
      /* a result outlives its pool, and what is asked of it then is answered, too */
      if (self->source == NULL)
        self->source = attach_source (self);
      source = g_source_ref (self->source);
    }
  else
    self->last->next = item;
  self->last = item;
  g_mutex_unlock (&self->lock);

  if (source == NULL)
    return;
  g_source_set_ready_time (source, 0);
  g_source_unref (source);
  /* the context may have nobody who iterates it */
  if (g_private_get (&expected) != self && atomic_load (&self->runner) != g_thread_self ())
    wake (self);
}

gboolean
pool_dispatcher_has_pending (PoolDispatcher *self)
{
  return atomic_load (&self->n_pending) != 0;
}

guint
pool_dispatcher_get_turn (PoolDispatcher *self)
{
  return atomic_load_explicit (&self->turn, memory_order_relaxed);
}

guint
pool_dispatcher_get_n_pushed (PoolDispatcher *self)
{
  return atomic_load_explicit (&self->n_pushed, memory_order_relaxed);
}

static gboolean
has_items (PoolDispatcher *self)
{
  gboolean any;

  g_mutex_lock (&self->lock);
  any = self->first != NULL;
  g_mutex_unlock (&self->lock);
  return any;
}

void
pool_dispatcher_run (PoolDispatcher *self)
{
  if (g_private_get (&expected) != NULL)
    g_private_set (&expected, NULL);
  if (!pool_dispatcher_has_pending (self) || atomic_load (&self->runner) == g_thread_self ())
    return;
  if (!g_main_context_acquire (self->context))
    {
      /* its owner may let go of it without having run them */
      wake (self);
      return;
    }

  pool_dispatcher_ref (self);
  do
    {
      g_main_context_push_thread_default (self->context);
      run_items (self);
      g_main_context_pop_thread_default (self->context);
      g_main_context_release (self->context);
      /* who pushed meanwhile, and found the context taken, relied on this thread */
    }
  while (has_items (self) && g_main_context_acquire (self->context));
  pool_dispatcher_unref (self);
}

void
pool_dispatcher_close (PoolDispatcher *self)
{
  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  g_mutex_unlock (&self->lock);
  /* if something is pending the source is woken already, and goes by itself */
  end_if_done (self);
}

void
pool_dispatcher_drop (PoolDispatcher *self, PoolDispatchFunc func, PoolDispatchFilter filter,
                      GDestroyNotify destroy)
{
  Item *dropped = NULL, **p;

  g_mutex_lock (&self->lock);
  self->last = NULL;
  for (p = &self->first; *p != NULL;)
    {
      Item *item = *p;

      if (item->func == func && filter (item->data))
        {
          *p = item->next;
          item->next = dropped;
          dropped = item;
        }
      else
        {
          self->last = item;
          p = &item->next;
        }
    }
  g_mutex_unlock (&self->lock);

  while (dropped != NULL)
    {
      Item *next = dropped->next;

      destroy (dropped->data);
      g_free (dropped);
      atomic_fetch_sub (&self->n_pending, 1);
      dropped = next;
    }
}
