/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../count-things.h"
#include "../faults/faults-common.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/*
 * Workers that are made by means of a language, as a binding does it: by functions that fork or that a thread calls, and by
 * a program in place of pool-worker, which is this one with an argument.
 */

#define WORKER "--worker"
#define FORKING "--forking-worker"

/* What all processes of a test count in. */
typedef struct
{
  _Atomic guint forks;
  _Atomic guint ends; /* of workers, in order */
  _Atomic guint threads;
} Counts;

static Counts *counts;
static pid_t program;
static char *path; /* of this program */

/* --- tasks --- */

static GVariant *
add (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x + GPOINTER_TO_INT (user_data));
}

/* How many descriptors of a pool's memory the worker has. */
static GVariant *
count_memory (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 n = 0;

  for (int fd = 3; fd < 100; fd++)
    {
      g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
      g_autofree char *target = g_file_read_link (link, NULL);

      n += target != NULL && g_str_has_prefix (target, "/memfd:libpool ");
    }
  return g_variant_new_int64 (n);
}

static GVariant *
pid_of (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  return g_variant_new_int64 (getpid ());
}

static void
add_functions (PoolManager *pool, int number)
{
  g_assert_true (pool_manager_register (pool, "add", add, GINT_TO_POINTER (number), NULL, NULL));
  g_assert_true (pool_manager_register (pool, "count_memory", count_memory, NULL, NULL, NULL));
  g_assert_true (pool_manager_register (pool, "pid", pid_of, NULL, NULL, NULL));
}

static gint64
call (PoolManager *pool, const char *task, gint64 x)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = pool_manager_apply (pool, task, g_variant_new ("(x)", x), NULL, NULL, &error);

  g_assert_no_error (error);
  return g_variant_get_int64 (value);
}

static PoolManager *
new_pool (PoolStartMethod method, int processes)
{
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "processes", processes, "start-method", method, NULL);

  memset (counts, 0, sizeof *counts);
  add_functions (pool, 100);
  return pool;
}

/* No worker can be made, or none that lives for more than a moment. */
static void
assert_broken (PoolManager *pool, const char *why)
{
  g_autoptr (GError) error = NULL;

  while (pool_manager_get_state (pool) != POOL_STATE_BROKEN)
    {
      g_autoptr (GVariant) value = NULL;

      g_clear_error (&error);
      value = pool_manager_apply (pool, "add", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), NULL, NULL, &error);
    }
  g_clear_error (&error);
  g_assert_null (pool_manager_apply (pool, "add", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_assert_nonnull (strstr (error->message, why));
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 30, NULL));
  g_object_unref (pool);
  g_assert_cmpuint (count_children (), ==, 0);
}

/* --- the fork function --- */

static int
fork_and_run (gpointer user_data)
{
  pid_t pid;

  counts->forks++;
  pid = fork ();
  if (pid == 0)
    {
      int status = pool_run_worker ();

      g_assert_cmpint (pool_run_worker (), ==, -1);
      counts->ends += status == 0;
      _exit (status);
    }
  /* nothing to run here */
  g_assert_cmpint (pool_run_worker (), ==, -1);
  return pid;
}

static void
set_fork_func (PoolManager *pool, PoolForkFunc func)
{
  g_autoptr (GError) error = NULL;

  pool_manager_set_fork_func (pool, func, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
test_fork (void)
{
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 2);
  pid_t victim;

  set_fork_func (pool, fork_and_run);
  faults_start (pool);
  for (gint64 i = 0; i < 100; i++)
    g_assert_cmpint (call (pool, "add", i), ==, i + 100);
  faults_wait_for_workers (pool, 2);
  g_assert_cmpuint (counts->forks, ==, 3);
  g_assert_cmpint (call (pool, "count_memory", 0), ==, 1);

  victim = faults_nth_worker (pool, 0);
  g_assert_cmpint (kill (victim, SIGKILL), ==, 0);
  g_assert_true (faults_gone_within (victim, 10));
  while (counts->forks < 4)
    g_usleep (1000);
  faults_wait_for_workers (pool, 2);
  g_assert_cmpint (call (pool, "add", 1), ==, 101);
  faults_end (pool);
  g_assert_cmpuint (counts->forks, ==, 4);
  g_assert_cmpuint (counts->ends, ==, 2);
}

/* Workers that no language has made do not keep the descriptor. */
static void
test_plain_memory (void)
{
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 1);

  faults_start (pool);
  g_assert_cmpint (call (pool, "count_memory", 0), ==, 0);
  faults_end (pool);
}

static gpointer
be_busy (gpointer data)
{
  _Atomic gboolean *quit = data;

  while (!*quit)
    g_free (g_malloc (100));
  return NULL;
}

static void
test_fork_beside_threads (void)
{
  _Atomic gboolean quit = FALSE;
  GThread *thread = g_thread_new ("busy", be_busy, (gpointer) &quit);
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 2);
  g_autoptr (GError) error = NULL;

  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  set_fork_func (pool, fork_and_run);
  faults_start (pool);
  g_assert_cmpint (call (pool, "add", 1), ==, 101);
  faults_end (pool);

  /* auto does not */
  g_clear_error (&error);
  pool = new_pool (POOL_START_METHOD_AUTO, 2);
  set_fork_func (pool, fork_and_run);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_object_unref (pool);
  quit = TRUE;
  g_thread_join (thread);
}

static int
return_0 (gpointer user_data)
{
  return 0;
}

static int
return_1 (gpointer user_data)
{
  return 1; /* a process, and not a child */
}

static int
return_no_memory (gpointer user_data)
{
  errno = ENOMEM;
  return -1;
}

/* it went wrong after the fork, and the child with it */
static int
fork_and_return_0 (gpointer user_data)
{
  fork_and_run (user_data);
  return 0;
}

static void
test_fork_fails (void)
{
  static const struct
  {
    PoolForkFunc func;
    const char *why;
  } ways[] = { { return_0, "fork function failed" },
               { return_1, "fork function failed" },
               { fork_and_return_0, "fork function failed" },
               { return_no_memory, "Cannot allocate memory" } };

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autoptr (PoolManager) pool = new_pool (POOL_START_METHOD_FORK, 2);
      g_autoptr (GError) error = NULL;

      set_fork_func (pool, ways[i].func);
      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
      g_assert_nonnull (strstr (error->message, ways[i].why));
      g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_NEW);
      /* one that it forked all the same hears that the connection has ended */
      while (waitpid (-1, NULL, 0) > 0)
        ;

      set_fork_func (pool, fork_and_run);
      faults_start (pool);
      g_assert_cmpint (call (pool, "add", 1), ==, 101);
      faults_end (g_steal_pointer (&pool));
    }
}

static int
fork_zygote_only (gpointer user_data)
{
  return getpid () == program ? fork_and_run (user_data) : 0;
}

static int
refuse_in_zygote (gpointer user_data)
{
  errno = EAGAIN;
  return getpid () == program ? fork_and_run (user_data) : -1;
}

static int
fork_workers_and_return_0 (gpointer user_data)
{
  pid_t pid = fork_and_run (user_data);

  return getpid () == program ? pid : 0;
}

static void
test_fork_fails_in_zygote (void)
{
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 2);

  set_fork_func (pool, fork_zygote_only);
  faults_start (pool);
  assert_broken (pool, "fork function failed");

  pool = new_pool (POOL_START_METHOD_FORK, 2);
  set_fork_func (pool, refuse_in_zygote);
  faults_start (pool);
  assert_broken (pool, "could not be forked: Resource temporarily unavailable");

  pool = new_pool (POOL_START_METHOD_FORK, 2);
  set_fork_func (pool, fork_workers_and_return_0);
  faults_start (pool);
  assert_broken (pool, "fork function failed");
}

static int
drop_and_fork (gpointer user_data)
{
  g_clear_object ((PoolManager **) user_data);
  return fork_and_run (NULL);
}

/* As a garbage collector does it, anywhere. */
static void
test_fork_drops_pool (void)
{
  PoolManager *other = new_pool (POOL_START_METHOD_FORK, 2);
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 2);
  g_autofree char *trace = g_strdup_printf ("%s/test-hosts-%d.json", g_get_tmp_dir (), (int) getpid ());
  g_autoptr (GError) error = NULL;

  pool_manager_start_trace (other, trace, &error);
  g_assert_no_error (error);
  faults_start (other);
  g_assert_cmpint (call (other, "add", 1), ==, 101);
  pool_manager_set_fork_func (pool, drop_and_fork, &other, NULL, &error);
  g_assert_no_error (error);
  faults_start (pool);
  g_assert_null (other);
  g_assert_cmpint (call (pool, "add", 1), ==, 101);
  faults_end (pool);
  g_remove (trace);
}

/* a child that goes on after its end, and one that does nothing */
static int
fork_and_return (gpointer user_data)
{
  pid_t pid = fork ();

  if (pid == 0)
    pool_run_worker ();
  return pid;
}

static int
fork_idle_workers (gpointer user_data)
{
  pid_t pid = fork ();

  if (pid == 0 && getppid () == program)
    _exit (pool_run_worker ());
  return pid;
}

static void
test_child_returns (void)
{
  PoolManager *pool = new_pool (POOL_START_METHOD_FORK, 2);

  set_fork_func (pool, fork_and_return);
  faults_start (pool);
  g_assert_cmpint (call (pool, "add", 1), ==, 101);
  faults_end (pool);

  pool = new_pool (POOL_START_METHOD_FORK, 2);
  set_fork_func (pool, fork_idle_workers);
  faults_start (pool);
  assert_broken (pool, "exited with status 1 before it was ready");
}

/* --- the program --- */

/* What this program is as a worker-command: it has another "add". */
static int
be_worker (const char *how, char **argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new (NULL);
  g_autoptr (GError) error = NULL;
  int status;

  add_functions (pool, 1000);
  if (g_str_equal (how, FORKING))
    set_fork_func (pool, fork_and_return);
  status = pool_manager_run_worker (pool, (const char *const *) argv, &error);
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return status < 0 ? 3 : status;
}

static PoolManager *
new_command_pool (PoolStartMethod method, const char *how)
{
  PoolManager *pool = new_pool (method, 2);
  const char *command[] = { path, how, NULL };

  g_object_set (pool, "worker-command", command, NULL);
  return pool;
}

static void
test_command (gconstpointer data)
{
  PoolManager *pool = new_command_pool (GPOINTER_TO_INT (data), WORKER);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) echo = NULL;
  g_auto (GStrv) command = NULL;

  g_assert_true (pool_manager_register (pool, "missing", add, NULL, NULL, NULL));
  faults_start (pool);
  g_object_get (pool, "worker-command", &command, NULL);
  g_assert_cmpstr (command[0], ==, path);
  for (gint64 i = 0; i < 20; i++)
    g_assert_cmpint (call (pool, "add", i), ==, i + 1000);
  g_assert_cmpint (call (pool, "count_memory", 0), ==, 1);
  echo = pool_manager_apply (pool, "debug.echo", g_variant_new ("(i)", 1), NULL, NULL, &error);
  g_assert_no_error (error);

  g_assert_null (pool_manager_apply (pool, "missing", g_variant_new ("(x)", G_GINT64_CONSTANT (1)), NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_assert_nonnull (strstr (error->message, "missing"));

  /* and is made again */
  kill (faults_nth_worker (pool, 0), SIGKILL);
  kill (faults_parent_of (call (pool, "pid", 0)), SIGKILL);
  for (gint64 i = 0; i < 20; i++)
    g_assert_cmpint (call (pool, "add", i), ==, i + 1000);
  faults_end (pool);
  g_assert_cmpuint (count_children (), ==, 0);
}

static void
test_command_that_forks (void)
{
  PoolManager *pool = new_command_pool (POOL_START_METHOD_FORKSERVER, FORKING);

  faults_start (pool);
  for (gint64 i = 0; i < 20; i++)
    g_assert_cmpint (call (pool, "add", i), ==, i + 1000);
  g_assert_cmpint (call (pool, "count_memory", 0), ==, 1);
  faults_end (pool);
}

static void
test_bad_command (void)
{
  const char *relative[] = { "python3", NULL }, *absent[] = { "/nonexistent/program", NULL };
  PoolManager *pool = new_pool (POOL_START_METHOD_FORKSERVER, 2);
  g_autoptr (GError) error = NULL;

  g_object_set (pool, "worker-command", relative, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_object_set (pool, "worker-command", absent, NULL);
  g_assert_false (pool_manager_start (pool, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
  g_object_set (pool, "start-method", POOL_START_METHOD_SPAWN, NULL);
  faults_start (pool);
  assert_broken (pool, "exited with status 127");
}

static void
assert_no_worker (PoolError code, const char *const *argv)
{
  g_autoptr (PoolManager) pool = pool_manager_new (NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (pool_manager_run_worker (pool, argv, &error), ==, -1);
  g_assert_error (error, POOL_ERROR, (int) code);
}

static void
test_bad_arguments (void)
{
  const char *none[] = { NULL }, *few[] = { "fork", "worker", NULL }, *backend[] = { "frok", "worker", NULL };
  const char *threads[] = { "threads", "worker", NULL };
  const char *no_pool[] = { "fork", "worker", "0", "0", "0", "0", "0", NULL };
  PoolManager *pool;
  g_autoptr (GError) error = NULL;

  assert_no_worker (POOL_ERROR_INVALID_ARGUMENT, none);
  assert_no_worker (POOL_ERROR_INVALID_ARGUMENT, few);
  assert_no_worker (POOL_ERROR_INVALID_ARGUMENT, threads);
  assert_no_worker (POOL_ERROR_NO_SUCH_BACKEND, backend);
  assert_no_worker (POOL_ERROR_PROTOCOL, no_pool);

  pool = new_pool (POOL_START_METHOD_FORK, 1);
  faults_start (pool);
  g_assert_cmpint (pool_manager_run_worker (pool, few, &error), ==, -1);
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  faults_end (pool);
}

/* --- threads --- */

static void
run_in_thread (gpointer user_data)
{
  counts->threads++;
  g_assert_cmpint (pool_run_worker (), ==, 0);
  g_assert_cmpint (pool_run_worker (), ==, -1);
  counts->ends++;
}

static void
do_not_run (gpointer user_data)
{
  counts->threads++;
}

static PoolManager *
new_threads_pool (PoolThreadFunc func)
{
  PoolManager *pool = pool_manager_new ("threads");
  g_autoptr (GError) error = NULL;

  memset (counts, 0, sizeof *counts);
  g_object_set (pool, "processes", 2, NULL);
  add_functions (pool, 100);
  pool_manager_set_thread_func (pool, func, NULL, NULL, &error);
  g_assert_no_error (error);
  return pool;
}

static void
test_threads (void)
{
  PoolManager *pool = new_threads_pool (run_in_thread);

  faults_start (pool);
  for (gint64 i = 0; i < 1000; i++)
    g_assert_cmpint (call (pool, "add", i), ==, i + 100);
  faults_wait_for_workers (pool, 2);
  faults_end (pool);
  g_assert_cmpuint (counts->threads, ==, 2);
  g_assert_cmpuint (counts->ends, ==, 2);
}

static void
test_thread_does_not_run (void)
{
  PoolManager *pool = new_threads_pool (do_not_run);

  faults_start (pool);
  assert_broken (pool, "could not be made: the thread function returned");
  g_assert_cmpuint (counts->threads, <=, 20);
}

/* --- both --- */

static void
count_destroy (gpointer data)
{
  ++*(guint *) data;
}

static void
test_functions_are_freed (void)
{
  guint freed = 0;
  PoolManager *pool = pool_manager_new (NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (pool_manager_set_fork_func (pool, fork_and_run, &freed, count_destroy, NULL));
  g_assert_true (pool_manager_set_fork_func (pool, fork_and_run, &freed, count_destroy, NULL));
  g_assert_cmpuint (freed, ==, 1);
  g_assert_true (pool_manager_set_thread_func (pool, run_in_thread, &freed, count_destroy, NULL));
  faults_start (pool);
  g_assert_false (pool_manager_set_fork_func (pool, fork_and_run, &freed, count_destroy, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_assert_cmpuint (freed, ==, 2);
  g_clear_error (&error);
  g_assert_false (pool_manager_set_thread_func (pool, run_in_thread, &freed, count_destroy, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_STATE);
  g_assert_cmpuint (freed, ==, 3);
  faults_end (pool);
  g_assert_cmpuint (freed, ==, 5);
  g_assert_cmpint (pool_run_worker (), ==, -1);
}

int
main (int argc, char **argv)
{
  if (argc > 2 && (g_str_equal (argv[1], WORKER) || g_str_equal (argv[1], FORKING)))
    {
      counts = mmap (NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      return be_worker (argv[1], argv + 2);
    }
  g_test_init (&argc, &argv, NULL);
  program = getpid ();
  path = g_file_read_link ("/proc/self/exe", NULL);
  counts = mmap (NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_test_add_func ("/hosts/fork", test_fork);
  g_test_add_func ("/hosts/fork/plain-memory", test_plain_memory);
  g_test_add_func ("/hosts/fork/beside-threads", test_fork_beside_threads);
  g_test_add_func ("/hosts/fork/fails", test_fork_fails);
  g_test_add_func ("/hosts/fork/drops-pool", test_fork_drops_pool);
  g_test_add_func ("/hosts/fork/fails-in-zygote", test_fork_fails_in_zygote);
  g_test_add_func ("/hosts/fork/child-returns", test_child_returns);
  g_test_add_data_func ("/hosts/command/forkserver", GINT_TO_POINTER (POOL_START_METHOD_FORKSERVER), test_command);
  g_test_add_data_func ("/hosts/command/spawn", GINT_TO_POINTER (POOL_START_METHOD_SPAWN), test_command);
  g_test_add_func ("/hosts/command/that-forks", test_command_that_forks);
  g_test_add_func ("/hosts/command/bad", test_bad_command);
  g_test_add_func ("/hosts/command/bad-arguments", test_bad_arguments);
  g_test_add_func ("/hosts/threads", test_threads);
  g_test_add_func ("/hosts/threads/does-not-run", test_thread_does_not_run);
  g_test_add_func ("/hosts/functions-are-freed", test_functions_are_freed);
  return g_test_run ();
}
