/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libpool/pool-log-private.h"

#include "unit-common.h"

/* A record to bytes and back, and what is left out when there is too much of it. */

typedef struct
{
  guint8 *data;
  gsize size;
  PoolLogRecord record;
} Copy;

static void
copy_record (const PoolLogRecord *record, gsize max, Copy *copy)
{
  gsize room = max != 0 ? max : pool_log_record_size (record);

  copy->data = g_malloc (room);
  copy->size = pool_log_record_encode (record, copy->data, room);
  g_assert_cmpuint (copy->size, <=, room);
  g_assert_true (pool_log_record_parse (&copy->record, copy->data, copy->size));
}

static void
clear_copy (Copy *copy)
{
  g_free ((gpointer) copy->record.fields);
  g_free (copy->data);
}

static void
test_whole (void)
{
  const GLogField fields[] = { { "MESSAGE", "größer", -1 },
                               { "BYTES", "a\0b", 4 },
                               { "EMPTY", "", -1 },
                               { "POINTER", fields, 0 },
                               { "NULL", NULL, -1 } };
  const PoolLogRecord record = {
    G_LOG_LEVEL_WARNING,  1234567, G_GUINT64_CONSTANT (1) << 40, 3, 7, 0, "a task", fields,
    G_N_ELEMENTS (fields)
  };
  Copy copy;

  copy_record (&record, 0, &copy);
  g_assert_cmpuint (copy.size, ==, pool_log_record_size (&record));
  g_assert_cmpuint (copy.record.level, ==, G_LOG_LEVEL_WARNING);
  g_assert_cmpint (copy.record.pid, ==, 1234567);
  g_assert_cmpuint (copy.record.task, ==, G_GUINT64_CONSTANT (1) << 40);
  g_assert_cmpuint (copy.record.attempt, ==, 3);
  g_assert_cmpuint (copy.record.lost, ==, 7);
  g_assert_cmpuint (copy.record.cut, ==, 0);
  g_assert_cmpstr (copy.record.task_name, ==, "a task");
  g_assert_cmpuint (copy.record.n_fields, ==, G_N_ELEMENTS (fields));
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    g_assert_cmpstr (copy.record.fields[i].key, ==, fields[i].key);
  g_assert_cmpstr (copy.record.fields[0].value, ==, "größer");
  g_assert_cmpint (copy.record.fields[0].length, ==, -1);
  g_assert_cmpmem (copy.record.fields[1].value, copy.record.fields[1].length, "a\0b", 4);
  g_assert_cmpstr (copy.record.fields[2].value, ==, "");
  g_assert_cmpint (copy.record.fields[3].length, ==, 0);
  g_assert_cmpstr (copy.record.fields[4].value, ==, "");
  clear_copy (&copy);
}

/* Long values share what short ones leave; no character is cut in two. */
static void
test_cut (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree guint8 *bytes = g_malloc0 (200000);
  guint64 cut;
  Copy copy;

  for (guint i = 0; i < 100000; i++)
    g_string_append (text, "ü");
  for (gsize max = 4096; max <= POOL_LOG_RECORD_MAX; max += 1021)
    {
      const GLogField fields[] = { { "MESSAGE", text->str, -1 },
                                   { "GLIB_DOMAIN", "domain", -1 },
                                   { "BYTES", bytes, 200000 },
                                   { "LAST", "end", -1 } };
      const PoolLogRecord record = { .fields = fields, .n_fields = G_N_ELEMENTS (fields) };
      gsize kept;

      copy_record (&record, max, &copy);
      g_assert_cmpuint (copy.record.n_fields, ==, 4);
      g_assert_cmpstr (copy.record.fields[1].value, ==, "domain");
      g_assert_cmpstr (copy.record.fields[3].value, ==, "end");
      g_assert_true (g_utf8_validate (copy.record.fields[0].value, -1, NULL));
      kept = strlen (copy.record.fields[0].value) + copy.record.fields[2].length;
      cut = 400000 - kept;
      g_assert_cmpuint (copy.record.cut, ==, cut);
      g_assert_cmpuint (kept, >=, max / 2);
      clear_copy (&copy);
    }
}

static void
test_odd (void)
{
  g_autofree char *long_key = g_strnfill (300, 'K');
  g_autofree char *value = g_strnfill (900, 'v');
  g_autofree GLogField *fields = g_new (GLogField, 1000);
  PoolLogRecord record = { .task_name = "", .fields = fields };
  Copy copy;

  /* keys that nobody should have */
  fields[0] = (GLogField){ "with space", "1", -1 };
  fields[1] = (GLogField){ "LINE\nMESSAGE=x", "2", -1 };
  fields[2] = (GLogField){ long_key, "3", -1 };
  fields[3] = (GLogField){ "", "4", -1 };
  record.n_fields = 4;
  copy_record (&record, 0, &copy);
  g_assert_cmpuint (copy.record.n_fields, ==, 2);
  g_assert_cmpstr (copy.record.fields[0].key, ==, "with_space");
  g_assert_cmpstr (copy.record.fields[1].key, ==, "LINE_MESSAGE_x");
  g_assert_cmpuint (copy.record.cut, ==, 302);
  clear_copy (&copy);

  /* more fields than there may be, all of them short */
  for (guint i = 0; i < 1000; i++)
    fields[i] = (GLogField){ "KEY", value, -1 };
  record.n_fields = 1000;
  copy_record (&record, POOL_LOG_RECORD_MAX, &copy);
  g_assert_cmpuint (copy.record.n_fields, ==, POOL_LOG_FIELDS_MAX);
  g_assert_cmpuint (strlen (copy.record.fields[255].value), >, 400);
  clear_copy (&copy);
  copy_record (&record, 4096, &copy);
  g_assert_cmpuint (copy.record.n_fields, >, 100);
  clear_copy (&copy);

  record.n_fields = 0;
  copy_record (&record, 0, &copy);
  g_assert_cmpuint (copy.record.n_fields, ==, 0);
  clear_copy (&copy);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/log-record/whole", test_whole);
  g_test_add_func ("/log-record/cut", test_cut);
  g_test_add_func ("/log-record/odd", test_odd);
  return g_test_run ();
}
