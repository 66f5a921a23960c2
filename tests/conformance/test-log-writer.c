/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libpool.h>
#include <string.h>
#include <unistd.h>

/*
 * What workers log comes out of the program's own log writer. Where they are forked from a program that has set one, GLib
 * does not let them set theirs. POOL_TEST_START_METHOD says how they are made.
 */

#define DOMAIN "writer-log"

static GMutex lock;
static GPtrArray *records; /* GVariant of type a{say} */
static gboolean ask_pool;
static pid_t program;

static GLogWriterOutput
write_record (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  GVariantBuilder builder;

  if (ask_pool && pool_log_writer (level, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;
  if (getpid () != program)
    return G_LOG_WRITER_HANDLED;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{say}"));
  for (gsize i = 0; i < n_fields; i++)
    {
      gsize len = fields[i].length < 0 ? strlen (fields[i].value) : (gsize) fields[i].length;

      g_variant_builder_add (&builder, "{s@ay}", fields[i].key,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, fields[i].value, len,
                                                        1));
    }
  g_mutex_lock (&lock);
  g_ptr_array_add (records, g_variant_ref_sink (g_variant_builder_end (&builder)));
  g_mutex_unlock (&lock);
  return G_LOG_WRITER_HANDLED;
}

static GBytes *
get_field (guint record, const char *key)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, records->pdata[record]);
  while (g_variant_iter_next (&iter, "{&s@ay}", &name, &value))
    {
      g_autoptr (GVariant) owned = value;

      if (g_str_equal (name, key))
        return g_variant_get_data_as_bytes (owned);
    }
  return NULL;
}

static void
assert_field (guint record, const char *key, const char *value, gsize len)
{
  g_autoptr (GBytes) bytes = get_field (record, key);

  g_assert_nonnull (bytes);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), value, len);
}

static void
log_in_worker (const char *kind, guint n_expected)
{
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);
  g_autoptr (PoolManager) pool =
      g_object_new (POOL_TYPE_MANAGER, "processes", 1, "start-method",
                    g_enum_get_value_by_nick (klass, method)->value, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  g_ptr_array_set_size (records, 0);
  pool_manager_add_logger (pool, DOMAIN, &error);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  value = pool_manager_apply (pool, "conform.log", g_variant_new ("(ssii)", DOMAIN, kind, 0, 3),
                              NULL, NULL, &error);
  g_assert_no_error (error);
  pool_manager_close (pool, &error);
  pool_manager_join (pool, 30, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (records->len, ==, n_expected);
}

static void
assert_structured (void)
{
  for (guint i = 0; i < records->len; i++)
    {
      g_autofree char *index = g_strdup_printf ("%u", i);

      assert_field (i, "CONFORM_BYTES", "a\0b\xff", 5);
      assert_field (i, "CONFORM_NONE", "", 0);
      assert_field (i, "CONFORM_INDEX", index, 1);
      assert_field (i, "GLIB_DOMAIN", DOMAIN, strlen (DOMAIN));
      assert_field (i, "POOL_WORKER", "0", 1);
      assert_field (i, "POOL_ATTEMPT", "1", 1);
      assert_field (i, "POOL_TASK_NAME", "conform.log", 11);
    }
}

static void
test_writer (void)
{
  gboolean inherits = g_str_equal (g_getenv ("POOL_TEST_START_METHOD"), "fork");

  /* what it does not pass on stays with it; g_log() is caught all the same */
  ask_pool = FALSE;
  log_in_worker ("fields", inherits ? 0 : 3);
  log_in_worker ("g-log", 3);
  assert_field (2, "MESSAGE", "old 2", 5);

  ask_pool = TRUE;
  log_in_worker ("fields", 3);
  assert_structured ();
  log_in_worker ("g-log", 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  program = getpid ();
  records = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_log_set_writer_func (write_record, NULL, NULL);
  g_test_add_func ("/log-writer", test_writer);
  return g_test_run ();
}
