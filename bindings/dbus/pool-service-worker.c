/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-worker.h"

static GVariant *
convert (const GValue *value)
{
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value)))
    {
    case G_TYPE_UINT:
      return g_variant_new_uint32 (g_value_get_uint (value));
    case G_TYPE_INT:
      return g_variant_new_int32 (g_value_get_int (value));
    case G_TYPE_INT64:
      return g_variant_new_int64 (g_value_get_int64 (value));
    case G_TYPE_UINT64:
      return g_variant_new_uint64 (g_value_get_uint64 (value));
    case G_TYPE_DOUBLE:
      return g_variant_new_double (g_value_get_double (value));
    case G_TYPE_STRING:
      return g_variant_new_string (g_value_get_string (value) != NULL ? g_value_get_string (value) : "");
    case G_TYPE_ENUM:
    default:
      {
        g_autoptr (GEnumClass) klass = g_type_class_ref (G_VALUE_TYPE (value));

        return g_variant_new_string (g_enum_get_value (klass, g_value_get_enum (value))->value_nick);
      }
    }
}

GVariant *
pool_service_worker_describe (PoolWorkerInfo *worker, gboolean is_up)
{
  static const char *const always[] = { "id", "pid", "host", "state", "current-task", "tasks-done", "rss", "started-at" };
  static const char *const ended[] = { "reason", "exit-code", "signal", "max-rss", "cpu-time" };
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (always) + (is_up ? 0 : G_N_ELEMENTS (ended)); i++)
    {
      const char *name = i < G_N_ELEMENTS (always) ? always[i] : ended[i - G_N_ELEMENTS (always)];
      g_auto (GValue) value = G_VALUE_INIT;

      g_object_get_property (G_OBJECT (worker), name, &value);
      g_variant_builder_add (&builder, "{sv}", name, convert (&value));
    }
  return g_variant_builder_end (&builder);
}
