/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "backends/fork/pool-shm.h"
#include "libpool/libpool.h"
#include "libpool/pool-ring-private.h"
#include "unit-common.h"

/*
 * A task that writes where it has no business to: into the memory that its worker shares with the manager. That worker
 * is ended, the task fails or is tried again, and every other task comes to its end as if nothing had been.
 */

/* --- in the worker --- */

static guint8 *
find_memory (void)
{
  g_autofree char *maps = NULL;
  g_auto (GStrv) lines = NULL;

  g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL);
  lines = g_strsplit (maps, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (strstr (*line, "memfd:libpool") != NULL)
      return GSIZE_TO_POINTER (g_ascii_strtoull (*line, NULL, 16));
  return NULL;
}

static PoolRingSlot *
find_slot (PoolTask *task, PoolRingWorker *worker)
{
  guint8 *base = find_memory ();

  pool_ring_worker_attach (worker, base + ((PoolShmHeader *) (gpointer) base)->ring,
                           pool_task_get_worker (task), -1);
  for (guint i = 0; i < worker->header->n_slots; i++)
    if (worker->slots[i].id == pool_task_get_id (task) &&
        atomic_load (&worker->slots[i].word) == (POOL_SLOT_RUNNING | worker->incarnation << 2))
      return &worker->slots[i];
  return NULL;
}

static GVariant *
scribble (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  PoolRingWorker worker;
  PoolRingSlot *slot = find_slot (task, &worker);
  const char *what;

  g_variant_get (args, "(&s)", &what);
  if (slot == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_STATE, "There is no slot to scribble in");
      return NULL;
    }
  if (g_str_equal (what, "handle"))
    slot->handle ^= 1;
  else if (g_str_equal (what, "slot-free"))
    atomic_store (&slot->word, POOL_SLOT_FREE);
  else if (g_str_equal (what, "slot-ready"))
    atomic_store (&slot->word, POOL_SLOT_READY);
  else if (g_str_equal (what, "slot-odd"))
    atomic_store (&slot->word, POOL_SLOT_RUNNING | 0x12345 << 2);
  else if (g_str_equal (what, "incarnation"))
    atomic_fetch_add (&worker.words->incarnation, 77);
  else if (g_str_equal (what, "cursor"))
    {
      atomic_fetch_add (&worker.header->cursor, 1000);
      abort ();
    }
  else if (g_str_equal (what, "bits"))
    {
      atomic_store (&worker.header->sleepers[0], G_MAXUINT64);
      atomic_store (&worker.header->blocks[0], G_MAXUINT64);
    }
  return g_variant_new_string (what);
}

static GVariant *
nap (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint32 number;

  g_variant_get (args, "(i)", &number);
  g_usleep (50000);
  return g_variant_new_int32 (number);
}

/* --- in the program --- */

typedef struct
{
  const char *what;
  guint n_workers;
  gboolean harmless;
} Case;

static const Case cases[] = {
  { "nothing", 1, TRUE },      { "bits", 1, TRUE },         { "bits", 2, TRUE },
  { "handle", 1, FALSE },      { "handle", 2, FALSE },      { "slot-free", 1, FALSE },
  { "slot-free", 2, FALSE },   { "slot-ready", 1, FALSE },  { "slot-ready", 2, FALSE },
  { "slot-odd", 1, FALSE },    { "slot-odd", 2, FALSE },    { "incarnation", 1, FALSE },
  { "incarnation", 2, FALSE }, { "cursor", 1, FALSE },      { "cursor", 2, FALSE },
};

static void
test_scribble (gconstpointer data)
{
  enum { N = 6 };
  const Case *c = data;
  g_autoptr (PoolManager) manager = pool_manager_new ("fork");
  g_autoptr (PoolApplyResult) scribbled = NULL;
  g_autoptr (GPtrArray) naps = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  unit_watchdog (60);
  g_object_set (manager, "processes", c->n_workers, NULL);
  g_assert_true (pool_manager_register (manager, "scribble", scribble, NULL, NULL, NULL));
  g_assert_true (pool_manager_register (manager, "nap", nap, NULL, NULL, NULL));
  pool_manager_start (manager, &error);
  g_assert_no_error (error);

  scribbled = pool_manager_apply_async (manager, "scribble", g_variant_new ("(s)", c->what), NULL,
                                        NULL, NULL, NULL);
  for (int i = 0; i < N; i++)
    g_ptr_array_add (naps, pool_manager_apply_async (manager, "nap", g_variant_new ("(i)", i), NULL,
                                                     NULL, NULL, NULL));
  value = pool_async_result_get (POOL_ASYNC_RESULT (scribbled), 20, &error);
  g_test_message ("%s", error != NULL ? error->message : "it went unnoticed");
  /* what the scribbler itself comes to is less important than that it comes to something */
  if (value == NULL)
    {
      g_assert_false (c->harmless);
      g_assert_true (g_error_matches (error, POOL_ERROR, POOL_ERROR_WORKER_LOST) ||
                     g_error_matches (error, POOL_ERROR, POOL_ERROR_PROTOCOL));
    }
  g_clear_error (&error);

  for (int i = 0; i < N; i++)
    {
      g_autoptr (GVariant) number = pool_async_result_get (naps->pdata[i], 20, &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int32 (number), ==, i);
    }
  g_assert_true (pool_manager_close (manager, NULL));
  pool_manager_join (manager, 20, &error);
  g_assert_no_error (error);
  unit_watchdog (0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/local-backend/scribble/%s-%u", cases[i].what, cases[i].n_workers);

      g_test_add_data_func (path, &cases[i], test_scribble);
    }
  return g_test_run ();
}
