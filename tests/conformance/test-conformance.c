/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include "../count-things.h"

#include "libpool/pool-module-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *conform_backend;
gboolean conform_isolates;
gboolean conform_remote;
gboolean conform_alone;
gboolean conform_closures;

static int processes = 2;

PoolManager *
conform_new (void)
{
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "backend", conform_backend, "processes",
                                    processes, NULL);

  if (method != NULL)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);

      g_object_set (pool, "start-method", g_enum_get_value_by_nick (klass, method)->value, NULL);
    }
  return pool;
}

PoolManager *
conform_started (void)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

PoolManager *
conform_started_with (const char *property, ...)
{
  PoolManager *pool = conform_new ();
  g_autoptr (GError) error = NULL;
  va_list args;

  va_start (args, property);
  g_object_set_valist (G_OBJECT (pool), property, args);
  va_end (args);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  return pool;
}

guint64
conform_resident (void)
{
  g_autofree char *text = NULL;
  unsigned long pages = 0;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%*u %lu", &pages), ==, 1);
  return pages * (guint64) sysconf (_SC_PAGESIZE) / 1024;
}

void
conform_await (PoolManager *pool, const char *property, guint64 value)
{
  GValue found = G_VALUE_INIT;
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  guint64 number;

  g_value_init (&found, G_TYPE_UINT64);
  for (;;)
    {
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_object_get_property (G_OBJECT (pool), property, &found);
      number = g_value_get_uint64 (&found);
      if (number == value || g_get_monotonic_time () > end)
        break;
      g_usleep (1000);
    }
  g_assert_cmpuint (number, ==, value);
}

void
conform_end (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_close (pool, &error);
  g_assert_no_error (error);
  pool_manager_join (pool, 20, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

void
conform_await_fds (Fixture *fixture)
{
  for (guint i = 0; i < 10000 && count_fds () > fixture->n_fds; i++)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (1000);
}

static guint n_children; /* of a program that called pool_init() */

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->n_fds = count_fds ();
}

/* Every pool of a test is gone by now, and everything it had. */
static void
tear_down (Fixture *fixture, gconstpointer data)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  /* threads of a pool that was restarted, or dropped, before they ended */
  conform_await_fds (fixture);
  g_assert_cmpuint (count_children (), ==, n_children);
  g_assert_cmpuint (count_fds (), ==, fixture->n_fds);
}

void
conform_add (const char *name, void (*func) (Fixture *fixture, gconstpointer data))
{
  g_autofree char *path = g_strdup_printf ("/%s", name);

  g_test_add (path, Fixture, NULL, set_up, func, tear_down);
}

static gpointer
make_noise (gpointer data)
{
  for (;;)
    {
      g_object_unref (g_object_new (G_TYPE_OBJECT, NULL));
      g_usleep (1000);
    }
  return NULL;
}

/* What a backend says that it can is what it is held to. */
static void
ask_backend (gboolean is_another_program)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolBackend) backend = pool_module_new_backend (conform_backend, &error);
  PoolBackendFlags flags;

  g_assert_no_error (error);
  flags = POOL_BACKEND_GET_CLASS (backend)->flags;
  conform_isolates = (flags & POOL_BACKEND_ISOLATES) != 0;
  conform_remote = (flags & POOL_BACKEND_REMOTE) != 0;
  conform_closures = (flags & POOL_BACKEND_TAKES_CLOSURES) != 0 && !conform_remote && !is_another_program;
}

int
main (int argc, char **argv)
{
  const char *number = g_getenv ("POOL_TEST_PROCESSES");
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  gboolean copy = g_getenv ("POOL_TEST_COPY") != NULL;
  gboolean is_rank = g_getenv ("POOL_TEST_RANKS") != NULL;
  g_autoptr (GError) error = NULL;

  if (is_rank)
    {
      /* returns in rank 0 only, which has a copy of itself then, and a process that has the MPI */
      pool_init (&error);
      g_assert_no_error (error);
      n_children = 2;
      conform_alone = TRUE;
    }
  if (copy)
    {
      pool_init (&error);
      g_assert_no_error (error);
      g_thread_new ("noise", make_noise, NULL);
      n_children = 1;
    }
  g_test_init (&argc, &argv, NULL);
  conform_backend = g_getenv ("POOL_TEST_BACKEND");
  if (conform_backend == NULL)
    conform_backend = "fork";
  if (number != NULL)
    processes = atoi (number);
  ask_backend (copy || g_strcmp0 (method, "forkserver") == 0 || g_strcmp0 (method, "spawn") == 0);
  /* what the first pool of a program opens stays open */
  conform_end (conform_started ());

  conform_add_life ();
  conform_add_calls ();
  conform_add_maps ();
  conform_add_queue ();
  conform_add_faults ();
  conform_add_time ();
  conform_add_control ();
  conform_add_size ();
  conform_add_logs ();
  conform_add_memory ();
  conform_add_blocks ();
  conform_add_statistics ();
  conform_add_stream ();
  conform_add_waits ();
  return g_test_run ();
}
