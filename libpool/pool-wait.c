/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-wait-private.h"

#include "pool-error.h"

struct _PoolWait
{
  GObject parent_instance;

  PoolEngine *engine;
  GObject *source;
  GAsyncReadyCallback callback;
  gpointer user_data;
  GCancellable *cancellable;
  gulong cancelled_id;
  _Atomic gboolean returned;

  /* set when it returns */
  GVariant *value;
  GError *error;
};

static void async_result_iface_init (GAsyncResultIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (PoolWait, pool_wait, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_ASYNC_RESULT, async_result_iface_init))

static gpointer
get_user_data (GAsyncResult *result)
{
  return POOL_WAIT (result)->user_data;
}

static GObject *
get_source_object (GAsyncResult *result)
{
  return g_object_ref (POOL_WAIT (result)->source);
}

static void
async_result_iface_init (GAsyncResultIface *iface)
{
  iface->get_user_data = get_user_data;
  iface->get_source_object = get_source_object;
}

static void
pool_wait_finalize (GObject *object)
{
  PoolWait *self = POOL_WAIT (object);

  g_clear_object (&self->cancellable);
  g_clear_object (&self->source);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  pool_engine_unref (self->engine);
  G_OBJECT_CLASS (pool_wait_parent_class)->finalize (object);
}

static void
pool_wait_class_init (PoolWaitClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = pool_wait_finalize;
}

static void
pool_wait_init (PoolWait *self)
{
}

static void
cancelled (GCancellable *cancellable, gpointer user_data)
{
  pool_wait_return (user_data, NULL,
                    g_error_new_literal (POOL_ERROR, POOL_ERROR_CANCELLED, "The wait was cancelled"));
}

PoolWait *
pool_wait_new (PoolEngine *engine, gpointer source, GCancellable *cancellable,
               GAsyncReadyCallback callback, gpointer user_data)
{
  PoolWait *self = g_object_new (POOL_TYPE_WAIT, NULL);

  self->engine = pool_engine_ref (engine);
  self->source = g_object_ref (source);
  self->callback = callback;
  self->user_data = user_data;
  if (cancellable != NULL)
    {
      self->cancellable = g_object_ref (cancellable);
      self->cancelled_id = g_cancellable_connect (cancellable, G_CALLBACK (cancelled),
                                                  g_object_ref (self), g_object_unref);
    }
  return self;
}

static void
call_back (gpointer data)
{
  g_autoptr (PoolWait) self = data;

  if (self->cancelled_id != 0)
    g_cancellable_disconnect (self->cancellable, self->cancelled_id);
  if (self->callback != NULL)
    self->callback (self->source, G_ASYNC_RESULT (self), self->user_data);
}

void
pool_wait_return (PoolWait *self, GVariant *value, GError *error)
{
  if (atomic_exchange (&self->returned, TRUE))
    {
      g_clear_pointer (&value, g_variant_unref);
      g_clear_error (&error);
      return;
    }
  self->value = value;
  self->error = error;
  pool_dispatcher_push (self->engine->dispatcher, call_back, g_object_ref (self));
}

gboolean
pool_wait_has_returned (PoolWait *self)
{
  return atomic_load (&self->returned);
}

gboolean
pool_wait_is_valid (GAsyncResult *result, gpointer source)
{
  return POOL_IS_WAIT (result) && POOL_WAIT (result)->source == source;
}

GVariant *
pool_wait_propagate (PoolWait *self, GError **error)
{
  if (self->error != NULL)
    g_propagate_error (error, g_steal_pointer (&self->error));
  return g_steal_pointer (&self->value);
}
