/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "runner-fixture.h"
#include "unit-common.h"

void
fixture_init (Fixture *self, PoolFunctionKind kind, gpointer func, gpointer user_data,
              GVariant *static_args)
{
  memset (self, 0, sizeof *self);
  pool_runner_init (&self->runner, 3, static_args);
  self->function = pool_function_new ("the-task", kind, func, user_data, NULL);
}

void
fixture_clear (Fixture *self)
{
  pool_runner_clear (&self->runner);
  pool_function_free (self->function);
}

void
run (Fixture *self, guint flags, guint n_items, const void *data, gsize size, PoolProgress *progress)
{
  const PoolRunnerCall call = { 17, 2, n_items, flags, data, size };

  pool_runner_run (&self->runner, self->function, &call, progress, &self->reply);
}

void
run_bytes (Fixture *self, const char *text)
{
  run (self, 0, 1, text, strlen (text), NULL);
}

/* Keeps the argument until the reply has been looked at: that may lie within it. */
guint8 *
run_value (Fixture *self, GVariant *args)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (args);
  gsize size = pool_value_size (owned, FALSE);
  guint8 *data = g_malloc (size);

  pool_value_encode (owned, FALSE, data);
  run (self, POOL_CALL_VALUE, 1, data, size, NULL);
  return data;
}

GVariant *
bytes_tuple (const void *data, gsize size)
{
  return g_variant_new ("(@ay)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1));
}

GBytes *
pack_texts (const char *const *texts)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; texts[i] != NULL; i++)
    g_ptr_array_add (items, g_bytes_new (texts[i], strlen (texts[i])));
  return pool_packed_new ((GBytes **) items->pdata, items->len);
}

GBytes *
pack_values (GVariant *const *values, guint n)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (values[i]);
      gsize size = pool_value_size (value, TRUE);
      guint8 *data = g_malloc (size);

      pool_value_encode (value, TRUE, data);
      g_ptr_array_add (items, g_bytes_new_take (data, size));
    }
  return pool_packed_new ((GBytes **) items->pdata, n);
}

void
run_packed (Fixture *self, guint flags, GBytes *batch)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (batch, &size);

  run (self, flags | POOL_CALL_PACKED, pool_packed_get_n_items (batch), data, size, NULL);
}

/* --- what they replied --- */

void
assert_reply (Fixture *self, PoolResultKind kind, const void *data, gsize size)
{
  g_assert_cmpint (self->reply.kind, ==, kind);
  g_assert_cmpuint (self->reply.n_items, ==, 1);
  g_assert_false (self->reply.is_reference);
  g_assert_cmpmem (self->reply.data, self->reply.size, data, size);
}

void
assert_text (Fixture *self, const char *text)
{
  assert_reply (self, POOL_RESULT_BYTES, text, strlen (text));
}

GVariant *
reply_value (Fixture *self)
{
  g_autoptr (GBytes) bytes = g_bytes_new (self->reply.data, self->reply.size);
  g_autoptr (GError) error = NULL;
  GVariant *value;

  g_assert_cmpint (self->reply.kind, ==, POOL_RESULT_VALUE);
  value = pool_value_decode (bytes, FALSE, &error);
  g_assert_no_error (error);
  return value;
}

void
assert_value (Fixture *self, GVariant *expected)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (expected);
  g_autoptr (GVariant) value = reply_value (self);

  g_assert_cmpvariant (value, owned);
}

void
assert_error (Fixture *self, GQuark domain, int code, const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (self->reply.kind, ==, POOL_RESULT_ERROR);
  g_assert_false (self->reply.is_reference);
  error = pool_error_decode (self->reply.data, self->reply.size);
  g_assert_error (error, domain, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, message));
}

GBytes *
reply_batch (Fixture *self, PoolResultKind kind, guint n_items)
{
  GBytes *batch = g_bytes_new (self->reply.data, self->reply.size);
  g_autoptr (GError) error = NULL;
  guint64 n = 0;

  g_assert_cmpint (self->reply.kind, ==, kind);
  g_assert_cmpuint (self->reply.n_items, ==, n_items);
  g_assert_true (pool_packed_check (self->reply.data, self->reply.size, &n, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, n_items);
  return batch;
}

void
assert_item (GBytes *batch, guint index, const void *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) item = pool_packed_get_item (batch, index, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (item, NULL), g_bytes_get_size (item), data, size);
}

void
assert_item_value (GBytes *batch, guint index, GVariant *expected)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (expected);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) item = pool_packed_get_item (batch, index, &error);
  g_autoptr (GVariant) value = NULL;

  g_assert_no_error (error);
  value = pool_value_decode (item, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpvariant (value, owned);
}

void
assert_item_error (GBytes *batch, guint index, GQuark domain, int code, const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (pool_packed_get_item (batch, index, &error));
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, message));
}

/* --- functions --- */

gboolean
bytes_reverse (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  guint8 *out = pool_task_reserve_reply (task, size);

  if (size > 0 && data[0] == '!')
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
      return FALSE;
    }
  for (gsize i = 0; i < size; i++)
    out[i] = data[size - 1 - i];
  return TRUE;
}

gboolean
bytes_silent (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  return FALSE;
}

gboolean
memory_reverse (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  const guint8 *data = GSIZE_TO_POINTER (address);
  guint8 *out = GSIZE_TO_POINTER (pool_task_reserve_reply_address (task, size));

  if (out == NULL)
    return TRUE; /* it fails all the same */
  if (size > 0 && data[0] == '!')
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "No");
      return FALSE;
    }
  for (gsize i = 0; i < size; i++)
    out[i] = data[size - 1 - i];
  return TRUE;
}

gboolean
memory_silent (PoolTask *task, guint64 address, gsize size, gpointer user_data, GError **error)
{
  return FALSE;
}
