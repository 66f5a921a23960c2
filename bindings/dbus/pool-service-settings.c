/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-settings.h"

#include "pool-service-option.h"
#include "pool-service-value.h"
#include "pool-service-work.h"

static const char *const settings[] = {
  "processes", "timeout", "soft-timeout", "enable-timeouts", "lost-worker-timeout", "grace", "max-tasks-per-child",
  "max-memory-per-child", "memory-limit", "resilient", "max-retries", "max-restarts", "max-restart-freq", "target",
  "queue-size", "ordered", "allow-restart", "synack", "sandbox", "min-processes", "max-processes", "idle-time", NULL
};

static gboolean
take_loggers (PoolManager *manager, GVariant *value, GError **error)
{
  g_autofree const char **domains = NULL;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The option “loggers” is an array of strings");
      return FALSE;
    }
  domains = g_variant_get_strv (value, NULL);
  for (gsize i = 0; domains[i] != NULL; i++)
    if (!pool_manager_add_logger (manager, domains[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
take_static_args (PoolManager *manager, GVariant *value, GError **error)
{
  g_autoptr (GVariant) tuple = pool_service_work_take_tuple (value, error);

  return tuple != NULL && pool_manager_set_static_args (manager, tuple, error);
}

gboolean
pool_service_settings_take (PoolManager *manager, const char *name, GVariant *value, gboolean *is_persistent, GError **error)
{
  if (g_str_equal (name, "persistent"))
    return pool_service_option_get_flag (name, value, is_persistent, error);
  if (g_str_equal (name, "loggers"))
    return take_loggers (manager, value, error);
  if (g_str_equal (name, "static-args"))
    return take_static_args (manager, value, error);
  if (g_str_equal (name, "initializer") || g_str_equal (name, "initargs"))
    return TRUE; /* together, by the pool */
  if (g_strv_contains (settings, name))
    return pool_service_option_set (manager, name, value, error);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "CreatePool has no option “%s”", name);
  return FALSE;
}

GVariant *
pool_service_settings_resolve (GVariant *options, GUnixFDList *fds, GError **error)
{
  GVariantBuilder builder;
  GVariantIter iter;
  GVariant *entry;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_iter_init (&iter, options);
  while ((entry = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) held = entry;
      g_autoptr (GVariant) name = g_variant_get_child_value (held, 0);
      g_autoptr (GVariant) variant = g_variant_get_child_value (held, 1);
      g_autoptr (GVariant) value = pool_service_value_take (variant, fds, error);

      if (value == NULL)
        {
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add (&builder, "{sv}", g_variant_get_string (name, NULL), value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

guint64
pool_service_settings_count_workers (PoolManager *manager)
{
  guint max, min;
  int processes;

  g_object_get (manager, "processes", &processes, "max-processes", &max, "min-processes", &min, NULL);
  return MAX ((guint64) MAX (processes, 1), MAX (max, min));
}
