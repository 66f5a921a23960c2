/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault-scenario.h"

#include "../count-things.h"
#include "faults-common.h"

#include <fcntl.h>
#include <libpool.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROCESSES 2
#define WATCHDOG_S 30
#define MIB ((gsize) 1024 * 1024)
#define ITEM_SIZE ((gsize) 100 * 1024)
#define N_ITEMS 6

typedef struct
{
  FaultControl *control;
  const char *backend;
  const char *method; /* or NULL */
  gboolean for_ever; /* the fault does not go away */
  gboolean large;

  /* made before anything fails: what the program itself allocates is not in question */
  guint8 *data;
  GBytes *packed;
  GVariant *value;
  GVariant *numbers;
  GVariant *pairs; /* not serialised yet */

  PoolManager *pool;
  gboolean fed; /* put_async() has been called */
  guint n_down, n_warnings;
  guint n_bad;
} Scenario;

typedef gboolean (*Step) (Scenario *self, GError **error);

G_GNUC_PRINTF (2, 3)
static void
complain (Scenario *self, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
  self->n_bad++;
}

FaultControl *
fault_control_map (const char *path)
{
  int fd = open (path, O_RDWR | O_CLOEXEC);
  void *memory = MAP_FAILED;

  if (fd >= 0)
    {
      memory = mmap (NULL, sizeof (FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      close (fd);
    }
  return memory != MAP_FAILED ? memory : NULL;
}

/* --- what is looked at --- */

static void
note_down (PoolManager *pool, PoolWorkerInfo *info, Scenario *self)
{
  int signum = pool_worker_info_get_signal (info);

  self->n_down++;
  if (signum != 0 && signum != SIGKILL)
    complain (self, "a worker was ended by signal %d", signum);
}

static void
note_warning (PoolManager *pool, const GError *error, Scenario *self)
{
  self->n_warnings++;
  if (error->domain != POOL_ERROR || error->message[0] == '\0')
    complain (self, "a warning that says nothing: %s", error->message);
}

/* Only what fits what has failed: nothing says "timed out" instead of a cause. */
static void
check_error (Scenario *self, const char *step, const GError *error)
{
  int call = atomic_load (&self->control->call);

  if (error == NULL)
    complain (self, "%s failed without an error", step);
  else if (atomic_load (&self->control->n_fired) == 0)
    complain (self, "%s failed though nothing had: %s", step, error->message);
  else if (error->domain != POOL_ERROR)
    complain (self, "%s: an error of another domain: %s", step, error->message);
  else if (error->code != POOL_ERROR_OUT_OF_MEMORY &&
           (call == FAULT_ALLOC || (error->code != POOL_ERROR_BACKEND && error->code != POOL_ERROR_RESTART_FREQ)) &&
           !(self->for_ever && error->code == POOL_ERROR_WORKER_LOST))
    complain (self, "%s: error %d is not what happened: %s", step, error->code, error->message);
}

static gboolean
is_running (Scenario *self)
{
  return pool_manager_get_state (self->pool) == POOL_STATE_RUN;
}

/* It works, or says why not; in which case it works the next time, if the fault has gone. */
static void
attempt (Scenario *self, const char *name, Step step)
{
  g_autoptr (GError) error = NULL;

  if (step (self, &error))
    return;
  check_error (self, name, error);
  if (self->for_ever || !is_running (self))
    return;
  g_clear_error (&error);
  if (!step (self, &error))
    complain (self, "%s failed again: %s", name, error != NULL ? error->message : "?");
}

static guint
n_workers (Scenario *self)
{
  guint n;

  g_object_get (self->pool, "n-workers", &n, NULL);
  return n;
}

/* Until all workers are there, or the pool has said that they will not be. */
static void
settle (Scenario *self, guint n_warnings)
{
  while (!self->for_ever && is_running (self) && n_workers (self) < PROCESSES && self->n_warnings == n_warnings)
    g_main_context_iteration (NULL, TRUE);
}

/* --- steps --- */

static gboolean
start (Scenario *self, GError **error)
{
  return pool_manager_start (self->pool, error);
}

static gboolean
square (Scenario *self, GError **error)
{
  g_autoptr (GVariant) value = pool_manager_apply (
      self->pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)), NULL, NULL, error);

  if (value != NULL && g_variant_get_int64 (value) != 9)
    complain (self, "square: a wrong result");
  return value != NULL;
}

static gboolean
apply_bytes (Scenario *self, const char *task, gsize size, GError **error)
{
  g_autoptr (GBytes) bytes =
      pool_manager_apply_bytes (self->pool, task, self->data, size, NULL, NULL, error);

  if (bytes != NULL && (g_bytes_get_size (bytes) != size ||
                        memcmp (g_bytes_get_data (bytes, NULL), self->data, size) != 0))
    complain (self, "%s: a wrong result", task);
  return bytes != NULL;
}

static gboolean
bytes_copy (Scenario *self, GError **error)
{
  return apply_bytes (self, "conform.bytes-copy", MIB, error);
}

static gboolean
bytes_echo (Scenario *self, GError **error)
{
  return apply_bytes (self, "conform.bytes-echo", MIB, error);
}

static gboolean
batch_of_one (Scenario *self, GError **error)
{
  return apply_bytes (self, "conform.batch-echo", MIB, error);
}

static gboolean
bytes_large (Scenario *self, GError **error)
{
  return apply_bytes (self, "conform.bytes-copy", 64 * MIB, error);
}

static gboolean
echo_value (Scenario *self, GError **error)
{
  g_autoptr (GVariant) value =
      pool_manager_apply (self->pool, "conform.echo", self->value, NULL, NULL, error);

  if (value != NULL && !g_variant_equal (value, self->value))
    complain (self, "echo: a wrong result");
  return value != NULL;
}

static gboolean
map_numbers (Scenario *self, GError **error)
{
  g_autoptr (GVariant) values =
      pool_manager_map (self->pool, "conform.square", self->numbers, 0, NULL, error);

  if (values != NULL && g_variant_n_children (values) != g_variant_n_children (self->numbers))
    complain (self, "map: results are missing");
  return values != NULL;
}

static gboolean
map_pairs (Scenario *self, GError **error)
{
  g_autoptr (GVariant) values =
      pool_manager_starmap (self->pool, "conform.echo", self->pairs, N_ITEMS, NULL, error);

  if (values != NULL && g_variant_n_children (values) != N_ITEMS)
    complain (self, "starmap: results are missing");
  return values != NULL;
}

static gboolean
map_packed (Scenario *self, const char *task, guint chunksize, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->packed, &size);
  g_autoptr (GBytes) results =
      pool_manager_map_packed (self->pool, task, data, size, chunksize, NULL, error);

  if (results != NULL && !g_bytes_equal (results, self->packed))
    complain (self, "map_packed of %s: a wrong result", task);
  return results != NULL;
}

static gboolean
map_items (Scenario *self, GError **error)
{
  return map_packed (self, "conform.bytes-copy", 3, error);
}

static gboolean
map_batches (Scenario *self, GError **error)
{
  return map_packed (self, "conform.batch-echo", 2, error);
}

static GVariant *
next_number (gpointer data, GError **error)
{
  int *n = data;

  return (*n)-- > 0 ? g_variant_new ("(x)", G_GINT64_CONSTANT (4)) : NULL;
}

static gboolean
put_from_a_thread (Scenario *self, GError **error)
{
  int n = 3;

  /* it can be done once: if an item failed, it is put again by itself */
  if (!self->fed && !pool_manager_put_async (self->pool, next_number, &n, NULL, error))
    return FALSE;
  for (guint i = 0; self->fed && i < 3; i++)
    pool_manager_put (self->pool, g_variant_new ("(x)", G_GINT64_CONSTANT (4)), -1, NULL);
  self->fed = TRUE;
  pool_manager_join_async (self->pool, -1, NULL);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) value = pool_manager_get (self->pool, -1, error);

      if (value == NULL)
        return FALSE;
    }
  return TRUE;
}

/* --- deaths --- */

static void
kill_one (Scenario *self, gboolean its_parent)
{
  g_autoptr (GPtrArray) workers = pool_manager_get_workers (self->pool);
  guint n_down = self->n_down, n_warnings = self->n_warnings;
  int pid;

  if (workers->len == 0)
    return;
  pid = pool_worker_info_get_pid (workers->pdata[0]);
  atomic_store (&self->control->armed, FALSE); /* our own open() is not in question */
  pid = its_parent ? faults_parent_of (pid) : pid;
  atomic_store (&self->control->armed, TRUE);
  kill (pid, SIGKILL);
  while (is_running (self) && self->n_down == n_down)
    g_main_context_iteration (NULL, TRUE);
  settle (self, n_warnings);
}

/* --- lives --- */

static gboolean
begin (Scenario *self, gboolean threads)
{
  g_autoptr (GError) error = NULL;

  self->pool = g_object_new (POOL_TYPE_MANAGER, "backend", self->backend, "processes", PROCESSES,
                             "target", "conform.square", "threads", threads, NULL);
  if (self->method != NULL)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);

      g_object_set (self->pool, "start-method",
                    g_enum_get_value_by_nick (klass, self->method)->value, NULL);
    }
  g_signal_connect (self->pool, "process-down", G_CALLBACK (note_down), self);
  g_signal_connect (self->pool, "warning", G_CALLBACK (note_warning), self);
  if (start (self, &error))
    return TRUE;
  check_error (self, "start", error);
  g_clear_error (&error);
  if (!self->for_ever && !start (self, &error))
    complain (self, "start failed again: %s", error->message);
  return is_running (self);
}

static void
end (Scenario *self)
{
  g_autoptr (GError) error = NULL;

  if (pool_manager_get_state (self->pool) > POOL_STATE_RUN &&
      !pool_manager_join (self->pool, -1, &error))
    complain (self, "join: %s", error->message);
  g_signal_handlers_disconnect_by_data (self->pool, self);
  g_clear_object (&self->pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
work_and_close (Scenario *self)
{
  gboolean isolates = !g_str_equal (self->backend, "threads");

  if (begin (self, TRUE))
    {
      attempt (self, "square", square);
      settle (self, 0);
      attempt (self, "bytes-copy", bytes_copy);
      attempt (self, "bytes-echo", bytes_echo);
      attempt (self, "batch-echo", batch_of_one);
      attempt (self, "echo", echo_value);
      attempt (self, "map", map_numbers);
      attempt (self, "starmap", map_pairs);
      attempt (self, "map_packed of items", map_items);
      attempt (self, "map_packed of batches", map_batches);
      attempt (self, "put_async", put_from_a_thread);
      if (self->large)
        attempt (self, "large", bytes_large);
      if (isolates)
        {
          kill_one (self, FALSE);
          attempt (self, "square after a death", square);
        }
      if (isolates && g_strcmp0 (self->method, "fork") != 0)
        {
          kill_one (self, TRUE);
          attempt (self, "square after the zygote's death", square);
        }
      pool_manager_close (self->pool, NULL);
    }
  end (self);
}

static void
nap_and_terminate (Scenario *self)
{
  double seconds = g_str_equal (self->backend, "threads") ? 0.01 : 60;

  if (begin (self, FALSE))
    {
      PoolApplyResult *naps[3];

      for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
        naps[i] = pool_manager_apply_async (self->pool, "conform.nap", g_variant_new ("(d)", seconds),
                                            NULL, NULL, NULL, NULL);
      pool_manager_terminate (self->pool, NULL);
      for (guint i = 0; i < G_N_ELEMENTS (naps); i++)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (naps[i]), -1, &error);

          if (value == NULL && !g_error_matches (error, POOL_ERROR, POOL_ERROR_TERMINATED))
            check_error (self, "nap", error);
          g_object_unref (naps[i]);
        }
    }
  end (self);
}

/* --- the whole --- */

static void
prepare (Scenario *self)
{
  GVariantBuilder builder;
  GBytes *items[N_ITEMS];
  gint64 numbers[200];

  gsize size = self->large ? 64 * MIB : MIB;

  self->data = g_malloc (size);
  for (gsize i = 0; i < size / 8; i++)
    ((guint64 *) (gpointer) self->data)[i] = i * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  for (guint i = 0; i < N_ITEMS; i++)
    items[i] = g_bytes_new_static (self->data + i, ITEM_SIZE + i);
  self->packed = pool_packed_new (items, N_ITEMS);

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    numbers[i] = i;
  self->numbers = g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, G_N_ELEMENTS (numbers), 8));
  /* trusted: g_variant_equal() prints values that are not, for which there may be no memory */
  self->value = g_variant_ref_sink (
      g_variant_new ("(@ay)", g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, self->data, MIB, TRUE, NULL, NULL)));
  g_variant_get_data (self->value);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(xay)"));
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_variant_builder_add (&builder, "(x@ay)", (gint64) i,
                             g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, items[i], TRUE));
      g_bytes_unref (items[i]);
    }
  self->pairs = g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
check_leaks (Scenario *self, guint n_fds, guint n_threads)
{
  int n_maps = atomic_load (&self->control->n_maps);

  /* the kernel lists a thread for a moment after it was joined */
  for (guint i = 0; i < 1000 && count_threads () > n_threads; i++)
    g_usleep (1000);
  if (count_threads () != n_threads)
    complain (self, "%u threads, not %u", count_threads (), n_threads);
  if (count_fds () != n_fds)
    complain (self, "%u descriptors, not %u", count_fds (), n_fds);
  if (count_children () != 0)
    complain (self, "%u children are left", count_children ());
  if (n_maps != 0)
    complain (self, "%d mappings are left", n_maps);
}

int
fault_scenario_main (void)
{
  Scenario self = { .backend = g_getenv ("POOL_TEST_BACKEND"),
                    .method = g_getenv ("POOL_TEST_START_METHOD") };
  guint n_fds, n_threads;

  alarm (WATCHDOG_S);
  self.control = fault_control_map (g_getenv ("POOL_FAULT_CONTROL"));
  if (self.control == NULL)
    return 3;
  self.for_ever = atomic_load (&self.control->times) == INT_MAX;
  self.large = atomic_load (&self.control->call) < 0;
  prepare (&self);
  /* what GLib opens once for the program, and aborts over if it cannot */
  g_main_context_iteration (NULL, FALSE);
  g_thread_join (g_thread_new (NULL, (GThreadFunc) (gpointer) g_thread_self, NULL));

  n_fds = count_fds ();
  n_threads = 1;
  atomic_store (&self.control->manager, getpid ());
  atomic_store (&self.control->armed, TRUE);
  work_and_close (&self);
  nap_and_terminate (&self);
  atomic_store (&self.control->armed, FALSE);
  check_leaks (&self, n_fds, n_threads);
  return self.n_bad > 0;
}
