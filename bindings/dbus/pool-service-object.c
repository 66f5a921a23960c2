/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-object.h"

#include "pool-service-interface.h"
#include "pool-service.h"

void
pool_service_object_init (PoolServiceObject *self, const PoolServiceObjectClass *klass, PoolService *service,
                          const char *path)
{
  self->ref_count = 1;
  self->klass = klass;
  self->service = service;
  self->path = g_strdup (path);
}

gpointer
pool_service_object_ref (gpointer object)
{
  PoolServiceObject *self = object;

  self->ref_count++;
  return self;
}

void
pool_service_object_unref (gpointer object)
{
  PoolServiceObject *self = object;

  if (self == NULL || --self->ref_count > 0)
    return;
  self->klass->finalize (self);
  pool_service_client_unref (self->owner);
  g_free (self->path);
  g_free (self);
}

GVariant *
pool_service_object_get_properties (PoolServiceObject *self)
{
  const char *const *name = pool_service_interface_list_properties (self->klass->interface);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (; *name != NULL; name++)
    g_variant_builder_add (&builder, "{sv}", *name, self->klass->get_property (self, *name));
  return g_variant_builder_end (&builder);
}

static void
handle_properties (PoolServiceObject *self, PoolServiceCall *call)
{
  const char *interface = NULL, *name = NULL;
  g_autoptr (GVariant) first = g_variant_get_child_value (call->args, 0);
  g_autoptr (GVariant) second = NULL;
  gboolean ours;

  interface = g_variant_get_string (first, NULL);
  ours = *interface == '\0' || g_str_equal (interface, self->klass->interface);
  if (g_str_equal (call->method, "GetAll"))
    {
      /* the standard interfaces have none */
      pool_service_call_reply (call,
                               ours ? g_variant_new ("(@a{sv})", pool_service_object_get_properties (self))
                                    : g_variant_new ("(@a{sv})", g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0)),
                               NULL);
      return;
    }
  second = g_variant_get_child_value (call->args, 1);
  name = g_variant_get_string (second, NULL);
  if (!ours || !pool_service_interface_has_property (self->klass->interface, name))
    pool_service_call_take_error (call, g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_PROPERTY,
                                                     "There is no property %s in %s", name, interface));
  else if (g_str_equal (call->method, "Set"))
    pool_service_call_take_error (call, g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_PROPERTY_READ_ONLY,
                                                     "The property %s cannot be set", name));
  else
    pool_service_call_reply (call, g_variant_new ("(v)", self->klass->get_property (self, name)), NULL);
}

void
pool_service_object_handle (PoolServiceObject *self, PoolServiceCall *call)
{
  if (g_strcmp0 (call->interface, POOL_SERVICE_PROPERTIES) == 0)
    {
      handle_properties (self, call);
      return;
    }
  for (const PoolServiceMethod *method = self->klass->methods; method->name != NULL; method++)
    if (g_str_equal (method->name, call->method))
      {
        method->func (self, call);
        return;
      }
  g_assert_not_reached ();
}

void
pool_service_object_emit (gpointer object, const char *signal, GVariant *values)
{
  PoolServiceObject *self = object;

  pool_service_emit (self->service, self, self->path, self->klass->interface, signal, values);
}

void
pool_service_object_notify (gpointer object, const char *const *names)
{
  PoolServiceObject *self = object;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (; *names != NULL; names++)
    g_variant_builder_add (&builder, "{sv}", *names, self->klass->get_property (self, *names));
  pool_service_emit (self->service, self, self->path, POOL_SERVICE_PROPERTIES, "PropertiesChanged",
                     g_variant_new ("(s@a{sv}@as)", self->klass->interface, g_variant_builder_end (&builder),
                                    g_variant_new_strv (NULL, 0)));
}
