/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-error.h"

/* Log domains whose records are brought here from the workers. */

/**
 * pool_manager_add_logger:
 * @self: a pool that has not been started
 * @domain: a log domain; the empty text: records without one
 * @error: return location for a #GError
 *
 * Names a log domain whose records, when they are made in a worker process, come out in this one: [signal@Manager::log]
 * tells of each, then GLib's log writer gets it, with all its fields and `POOL_WORKER`, `POOL_WORKER_PID`, `POOL_TASK`,
 * `POOL_TASK_NAME` and `POOL_ATTEMPT`. Records of other domains are written by the worker, as if there were no pool.
 * Adding a domain twice is harmless.
 *
 * With the `threads` backend records are made in this process anyway, and nothing is done to them.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_add_logger (PoolManager *self, const char *domain, GError **error)
{
  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (domain != NULL, FALSE);

  if (!pool_manager_check_new (self, "Log domains are added", error))
    return FALSE;
  if (!g_ptr_array_find_with_equal_func (self->loggers, domain, g_str_equal, NULL))
    g_ptr_array_add (self->loggers, g_strdup (domain));
  return TRUE;
}

/**
 * pool_manager_remove_logger:
 * @self: a pool that has not been started
 * @domain: a log domain that was added
 * @error: return location for a #GError
 *
 * Takes back [method@Manager.add_logger].
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_INVALID_ARGUMENT if the domain was not added, or %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_remove_logger (PoolManager *self, const char *domain, GError **error)
{
  guint index;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);
  g_return_val_if_fail (domain != NULL, FALSE);

  if (!pool_manager_check_new (self, "Log domains are removed", error))
    return FALSE;
  if (g_ptr_array_find_with_equal_func (self->loggers, domain, g_str_equal, &index))
    {
      g_ptr_array_remove_index (self->loggers, index);
      return TRUE;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The pool has no logger for the domain \"%s\"", domain);
  return FALSE;
}

/* The fields as a dictionary: strings, and bytes where they are no text. */
static GVariant *
describe_fields (const GLogField *fields, gsize n_fields)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < n_fields; i++)
    {
      const GLogField *field = &fields[i];
      gsize len = field->length < 0 ? strlen (field->value) : (gsize) field->length;
      GVariant *value = field->length < 0 && g_utf8_validate (field->value, len, NULL)
                            ? g_variant_new_string (field->value)
                            : g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, field->value, len, 1);

      g_variant_builder_add (&builder, "{sv}", field->key, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
log_event (GLogLevelFlags level, const char *domain, const GLogField *fields, gsize n_fields,
           gpointer user_data)
{
  g_autoptr (PoolManager) self = g_weak_ref_get (user_data);
  guint id = g_signal_lookup ("log", POOL_TYPE_MANAGER);
  GQuark detail = g_quark_from_string (domain); /* one of those that the program named */
  g_autoptr (GVariant) record = NULL;

  if (self == NULL || (!g_signal_has_handler_pending (self, id, 0, TRUE) &&
                       !g_signal_has_handler_pending (self, id, detail, TRUE)))
    return;
  record = describe_fields (fields, n_fields);
  g_signal_emit (self, id, detail, (guint) level, record);
}

/* Before the start: what the engine and the backend are to know. */
void
pool_manager_prepare_logs (PoolManager *self)
{
  PoolEngine *engine = self->engine;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strfreev ((char **) engine->settings.backend.log_domains);
  engine->settings.backend.log_domains = NULL;
  if (self->loggers->len == 0)
    return;
  for (guint i = 0; i < self->loggers->len; i++)
    g_strv_builder_add (builder, self->loggers->pdata[i]);
  engine->settings.backend.log_domains = (const char *const *) g_strv_builder_end (builder);
  engine->log_event = log_event;
}
