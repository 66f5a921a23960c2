/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-service-work.h"

#include "pool-service-option.h"
#include "pool-service-value.h"
#include "pool-service.h"

static GQuark
work_quark (void)
{
  return g_quark_from_static_string ("pool-service-work");
}

GVariant *
pool_service_work_take_tuple (GVariant *value, GError **error)
{
  g_autoptr (GPtrArray) members = NULL;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
    return g_variant_ref (value);
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("av")))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Arguments are a structure or an array of variants, not “%s”", g_variant_get_type_string (value));
      return NULL;
    }
  /* D-Bus has no empty structure, so that this is the only way to give none */
  members = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  for (gsize i = 0, n = g_variant_n_children (value); i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      g_ptr_array_add (members, g_variant_get_variant (child));
    }
  return g_variant_ref_sink (g_variant_new_tuple ((GVariant **) members->pdata, members->len));
}

static gboolean
take_option (PoolServiceWork *self, const char *name, GVariant *value, GError **error)
{
  static const char *const call_options[] = { "timeout", "soft-timeout", "max-retries", "priority", NULL };

  if (g_str_equal (name, "inline"))
    return pool_service_option_get_flag (name, value, &self->is_inline, error);
  if (g_str_equal (name, "durable"))
    return pool_service_option_get_flag (name, value, &self->is_durable, error);
  if (g_str_equal (name, "correlation-id"))
    return pool_service_option_set (self->call_options, name, value, error);
  if (self->kind == POOL_SERVICE_APPLY && g_strv_contains (call_options, name))
    return pool_service_option_set (self->call_options, name, value, error);
  if (self->kind == POOL_SERVICE_MAP && g_str_equal (name, "star"))
    return pool_service_option_get_flag (name, value, &self->is_star, error);
  if (self->kind == POOL_SERVICE_MAP && g_str_equal (name, "packed"))
    return pool_service_option_get_flag (name, value, &self->is_packed, error);
  if (self->kind == POOL_SERVICE_MAP && g_str_equal (name, "chunksize"))
    return pool_service_option_get_number (name, value, G_MAXINT, &self->chunksize, error);
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s has no option “%s”",
               self->kind == POOL_SERVICE_APPLY ? "Apply" : "Map", name);
  return FALSE;
}

static gboolean
take_options (PoolServiceWork *self, GError **error)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, self->options);
  while (g_variant_iter_next (&iter, "{&sv}", &name, &value))
    {
      gboolean ok = take_option (self, name, value, error);

      g_variant_unref (value);
      if (!ok)
        return FALSE;
    }
  if (self->is_packed && self->is_star)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "The options “packed” and “star” exclude each other");
      return FALSE;
    }
  return TRUE;
}

static gboolean
take_args (PoolServiceWork *self, GVariant *value, GError **error)
{
  if (self->kind == POOL_SERVICE_APPLY)
    self->args = pool_service_work_take_tuple (value, error);
  else if (g_variant_is_of_type (value, self->is_packed ? G_VARIANT_TYPE_BYTESTRING : G_VARIANT_TYPE_ARRAY))
    self->args = g_variant_ref (value);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "Items are %s, not “%s”",
                 self->is_packed ? "a packed block “ay”" : "an array", g_variant_get_type_string (value));
  return self->args != NULL;
}

PoolServiceWork *
pool_service_work_new (PoolService *service, PoolServiceKind kind, const char *task, GVariant *variant,
                       GVariant *options, GUnixFDList *fds, GError **error)
{
  g_autoptr (PoolServiceWork) self = g_new0 (PoolServiceWork, 1);
  g_autoptr (GVariant) value = NULL;

  self->ref_count = 1;
  self->kind = kind;
  self->task = g_strdup (task);
  self->options = g_variant_ref_sink (options);
  self->call_options = pool_call_options_new ();
  if ((service != NULL && !pool_service_allows_task (service, task, error)) || !take_options (self, error))
    return NULL;
  value = pool_service_value_take (variant, fds, error);
  if (value == NULL || !take_args (self, value, error))
    return NULL;
  return g_steal_pointer (&self);
}

PoolServiceWork *
pool_service_work_ref (PoolServiceWork *self)
{
  self->ref_count++;
  return self;
}

void
pool_service_work_unref (PoolServiceWork *self)
{
  if (self == NULL || --self->ref_count > 0)
    return;
  if (self->account != NULL)
    {
      pool_service_account_give_back (self->account, POOL_SERVICE_TASKS, 1);
      pool_service_account_give_back (self->account, POOL_SERVICE_BYTES, self->bytes);
      pool_service_account_unref (self->account);
    }
  if (self->result != NULL)
    g_object_set_qdata (G_OBJECT (self->result), work_quark (), NULL);
  g_clear_object (&self->result);
  g_clear_object (&self->call_options);
  g_clear_pointer (&self->args, g_variant_unref);
  g_variant_unref (self->options);
  g_free (self->job_path);
  g_free (self->task);
  g_free (self);
}

gboolean
pool_service_work_charge (PoolServiceWork *self, PoolServiceAccount *account, GError **error)
{
  guint64 bytes = g_variant_get_size (self->args);

  g_assert (self->account == NULL);
  if (!pool_service_account_charge (account, POOL_SERVICE_TASKS, 1, error))
    return FALSE;
  if (!pool_service_account_charge (account, POOL_SERVICE_BYTES, bytes, error))
    {
      pool_service_account_give_back (account, POOL_SERVICE_TASKS, 1);
      return FALSE;
    }
  self->account = pool_service_account_ref (account);
  self->bytes = bytes;
  return TRUE;
}

void
pool_service_work_force_charge (PoolServiceWork *self, PoolServiceAccount *account)
{
  g_assert (self->account == NULL);
  self->bytes = g_variant_get_size (self->args);
  pool_service_account_force (account, POOL_SERVICE_TASKS, 1);
  pool_service_account_force (account, POOL_SERVICE_BYTES, self->bytes);
  self->account = pool_service_account_ref (account);
}

void
pool_service_work_set_bytes (PoolServiceWork *self, guint64 bytes)
{
  if (self->account == NULL)
    return;
  pool_service_account_give_back (self->account, POOL_SERVICE_BYTES, self->bytes);
  pool_service_account_force (self->account, POOL_SERVICE_BYTES, bytes);
  self->bytes = bytes;
}

void
pool_service_work_drop_args (PoolServiceWork *self)
{
  g_clear_pointer (&self->args, g_variant_unref);
  pool_service_work_set_bytes (self, 0);
}


PoolServiceWork *
pool_service_work_find (PoolAsyncResult *result)
{
  return g_object_get_qdata (G_OBJECT (result), work_quark ());
}

static GVariant *
finish (PoolServiceWork *self, GError **error)
{
  g_autoptr (GBytes) packed = NULL;

  if (!self->is_packed)
    return pool_async_result_get (self->result, 0, error);
  packed = pool_async_result_get_bytes (self->result, 0, error);
  return packed != NULL ? g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, packed, TRUE)) : NULL;
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (PoolServiceWork) self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  /* what it has to say is what get() says */
  (void) !pool_async_result_wait_finish (self->result, result, NULL);
  value = finish (self, &error);
  self->func (self, value, error, self->user_data);
}

static gpointer
submit (PoolServiceWork *self, PoolManager *manager)
{
  g_autoptr (GBytes) packed = NULL;

  if (self->kind == POOL_SERVICE_APPLY)
    return pool_manager_apply_async (manager, self->task, self->args, self->call_options, NULL, NULL, NULL);
  if (self->is_star)
    return pool_manager_starmap_async (manager, self->task, self->args, self->chunksize, NULL, NULL, NULL);
  if (!self->is_packed)
    return pool_manager_map_async (manager, self->task, self->args, self->chunksize, NULL, NULL, NULL);
  packed = g_variant_get_data_as_bytes (self->args);
  return pool_manager_map_packed_async (manager, self->task, packed, self->chunksize, NULL, NULL, NULL);
}

void
pool_service_work_start (PoolServiceWork *self, PoolManager *manager, PoolServiceWorkFunc func, gpointer user_data)
{
  g_clear_object (&self->result);
  self->func = func;
  self->user_data = user_data;
  self->result = submit (self, manager);
  /* the work has the result, so that it stays until on_done() */
  g_object_set_qdata (G_OBJECT (self->result), work_quark (), self);
  pool_async_result_wait_async (self->result, NULL, on_done, pool_service_work_ref (self));
}

void
pool_service_work_cancel (PoolServiceWork *self)
{
  if (self->result != NULL)
    pool_async_result_cancel (self->result);
}
