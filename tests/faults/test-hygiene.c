/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../count-things.h"
#include "../unit/unit-common.h"
#include "faults-common.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What a pool and the program that it is in leave each other alone with: descriptors, signals, children, and what the
 * system has no more of. POOL_TEST_START_METHOD as in test-faults; POOL_TEST_COPY: by the copy that pool_init() keeps.
 */

static gboolean from_copy;

static gboolean
is_forked (void)
{
  return g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") == 0;
}

/* --- descriptors --- */

#define N_SOCKETS 50

/* What the descriptors of a process are, by number. */
static GHashTable *
list_fds (int pid)
{
  GHashTable *fds = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      char *target = g_file_read_link (file, NULL);

      if (target != NULL)
        g_hash_table_insert (fds, GINT_TO_POINTER (atoi (name)), target);
    }
  return fds;
}

static guint
count_shared (int pid, GHashTable *sockets)
{
  g_autoptr (GHashTable) fds = list_fds (pid);
  GHashTableIter iter;
  gpointer target;
  guint n = 0;

  g_hash_table_iter_init (&iter, fds);
  while (g_hash_table_iter_next (&iter, NULL, &target))
    n += g_hash_table_contains (sockets, target);
  return n;
}

static void
assert_clean_worker (int pid, GHashTable *sockets)
{
  g_autoptr (GHashTable) fds = list_fds (pid);

  g_assert_cmpuint (count_shared (pid, sockets), ==, 0);
  g_assert_cmpstr (g_hash_table_lookup (fds, GINT_TO_POINTER (0)), ==, "/dev/null");
  /* its doorbell, the socket for what it logs, and the pool's memory where it was exec'd */
  g_assert_cmpuint (g_hash_table_size (fds), <=, 6);
}

static void
test_sockets (void)
{
  PoolManager *pool = faults_new_pool (3);
  g_autoptr (GHashTable) sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  int fds[N_SOCKETS], zygote, victim;

  for (guint i = 0; i < N_SOCKETS; i++)
    {
      g_autofree char *path = NULL;

      fds[i] = socket (AF_UNIX, SOCK_STREAM, 0);
      g_assert_cmpint (fds[i], >=, 0);
      path = g_strdup_printf ("/proc/self/fd/%d", fds[i]);
      g_hash_table_add (sockets, g_file_read_link (path, NULL));
    }
  g_assert_cmpuint (count_shared (getpid (), sockets), ==, N_SOCKETS);

  faults_start (pool);
  faults_wait_for_workers (pool, 3);
  for (guint i = 0; i < 3; i++)
    assert_clean_worker (faults_nth_worker (pool, i), sockets);
  victim = faults_nth_worker (pool, 0);
  zygote = faults_parent_of (victim);
  kill (victim, SIGKILL);
  g_assert_true (faults_gone_within (victim, 10));
  for (guint i = 0; i < 10; i++)
    faults_assert_square (pool, i);
  faults_wait_for_workers (pool, 3);
  for (guint i = 0; i < 3; i++)
    assert_clean_worker (faults_nth_worker (pool, i), sockets);
  /* it has made a worker at leisure: so it has come to closing what is not its own */
  g_assert_cmpuint (count_shared (zygote, sockets), ==, 0);

  for (guint i = 0; i < N_SOCKETS; i++)
    close (fds[i]);
  faults_end (pool);
}

/* KiB that a core of the process would have of shared memory, as smaps says. */
static gsize
shared_in_core (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps", pid), *text = NULL;
  g_auto (GStrv) lines = NULL;
  gboolean shared = FALSE;
  gsize size = 0, sum = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      if (g_regex_match_simple ("^[0-9a-f]+-[0-9a-f]+ ", lines[i], 0, 0))
        shared = strstr (lines[i], "memfd:libpool") != NULL;
      else if (g_str_has_prefix (lines[i], "Size:"))
        size = g_ascii_strtoull (lines[i] + strlen ("Size:"), NULL, 10);
      else if (shared && g_str_has_prefix (lines[i], "VmFlags:") && strstr (lines[i], " dd") == NULL)
        sum += size;
    }
  return sum;
}

/* Shared memory is vast in address space: a core that has it takes minutes, and its worker is not replaced so long. */
static void
test_cores (void)
{
  static const PoolStartMethod methods[] = { POOL_START_METHOD_FORK, POOL_START_METHOD_FORKSERVER,
                                             POOL_START_METHOD_SPAWN };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      PoolManager *pool = faults_new_pool (1);
      int worker;

      g_object_set (pool, "start-method", methods[i], NULL);
      g_assert_true (pool_manager_start (pool, NULL));
      faults_assert_square (pool, 3);
      worker = faults_nth_worker (pool, 0);
      g_assert_cmpuint (shared_in_core (getpid ()), ==, 0);
      g_assert_cmpuint (shared_in_core (worker), ==, 0);
      g_assert_cmpuint (shared_in_core (faults_parent_of (worker)), ==, 0);
      faults_end (pool);
    }
}

/* A program without standard streams: its pool's descriptors have their numbers, and its tasks must not have those. */
static void
test_no_standard_streams (void)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      PoolManager *pool;
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GHashTable) fds = NULL;

      close (0);
      close (1);
      close (2);
      pool = faults_new_pool (2);
      if (!pool_manager_start (pool, NULL))
        _exit (1);
      value = pool_manager_apply (pool, "conform.square", g_variant_new ("(x)", G_GINT64_CONSTANT (3)),
                                  NULL, NULL, NULL);
      if (value == NULL || g_variant_get_int64 (value) != 9)
        _exit (2);
      fds = list_fds (faults_nth_worker (pool, 0));
      if (g_strcmp0 (g_hash_table_lookup (fds, GINT_TO_POINTER (0)), "/dev/null") != 0 ||
          g_hash_table_contains (fds, GINT_TO_POINTER (1)) || g_hash_table_contains (fds, GINT_TO_POINTER (2)))
        _exit (3);
      pool_manager_close (pool, NULL);
      _exit (pool_manager_join (pool, 30, NULL) ? 0 : 4);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

/* --- signals --- */

#define N_TERMINATED 200
#define N_WORKERS 10

/* Two that libc keeps for itself; its posix_spawn() ignores them in what it starts. */
#define LIBC_SIGNALS (G_GUINT64_CONSTANT (3) << 31)

/* By which a worker interrupts what its task waits for. */
#define NOTICE_SIGNAL (G_GUINT64_CONSTANT (1) << (SIGUSR1 - 1))

/* What a sanitizer catches in a program that is exec'd. */
#define SANITIZER_SIGNALS                                                                          \
  (UNIT_SANITIZED ? 1u << (SIGSEGV - 1) | 1u << (SIGBUS - 1) | 1u << (SIGFPE - 1) : 0u)

static volatile sig_atomic_t n_handled;
static int wake_up[2];

static void
handle_term (int signum)
{
  ssize_t n = write (wake_up[1], "", 1);

  n_handled += n == 1 ? 1 : 1000;
}

static guint64
read_mask (int pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", pid);
  g_autofree char *text = NULL;
  g_autofree char *key = g_strdup_printf ("\n%s:\t", name);
  const char *p;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  p = strstr (text, key);
  g_assert_nonnull (p);
  return g_ascii_strtoull (p + strlen (key), NULL, 16);
}

static void
assert_default_signals (int pid)
{
  g_assert_cmphex (read_mask (pid, "SigBlk"), ==, 0);
  g_assert_cmphex (read_mask (pid, "SigIgn") & ~LIBC_SIGNALS, ==, 0);
  g_assert_cmphex (read_mask (pid, "SigCgt") & ~(LIBC_SIGNALS | NOTICE_SIGNAL | SANITIZER_SIGNALS), ==, 0);
}

static void
count_terminated (PoolManager *pool, PoolWorkerInfo *info, guint *n)
{
  *n += pool_worker_info_get_signal (info) == SIGTERM;
}

static void
terminate_workers (void)
{
  PoolManager *pool = faults_new_pool (N_WORKERS);
  guint n_terminated = 0;

  g_signal_connect (pool, "process-down", G_CALLBACK (count_terminated), &n_terminated);
  faults_start (pool);
  for (guint n = 0; n < N_TERMINATED; n++)
    {
      int pid;

      if (n % N_WORKERS == 0)
        faults_wait_for_workers (pool, N_WORKERS);
      pid = faults_nth_worker (pool, n);
      if (n < N_WORKERS)
        assert_default_signals (pid);
      kill (pid, SIGTERM);
      while (n_terminated <= n)
        g_main_context_iteration (NULL, TRUE);
    }
  faults_wait_for_workers (pool, N_WORKERS);
  for (guint i = 0; i < N_WORKERS; i++)
    assert_default_signals (faults_nth_worker (pool, i));
  /* and the ways of the library itself to end them */
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 30, NULL));
  g_signal_handlers_disconnect_by_data (pool, &n_terminated);
  g_object_unref (pool);
}

static void
test_signals (void)
{
  struct sigaction action = { .sa_handler = handle_term }, old_term, old_hup, old_child, now;
  struct sigaction ignore = { .sa_handler = SIG_IGN };
  sigset_t blocked, old_mask, mask;
  int fd;
  char byte;

  g_assert_cmpint (pipe2 (wake_up, O_CLOEXEC | O_NONBLOCK), ==, 0);
  sigaction (SIGTERM, &action, &old_term);
  sigaction (SIGHUP, &ignore, &old_hup);
  sigemptyset (&blocked);
  sigaddset (&blocked, SIGUSR2);
  fd = signalfd (-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
  g_assert_cmpint (fd, >=, 0);
  sigaddset (&blocked, SIGUSR1);
  sigprocmask (SIG_BLOCK, &blocked, &old_mask);
  sigaction (SIGCHLD, NULL, &old_child);

  terminate_workers ();

  g_assert_cmpint (n_handled, ==, 0);
  g_assert_cmpint (read (wake_up[0], &byte, 1), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  g_assert_cmpint (read (fd, &byte, 1), ==, -1);
  /* everything is as the program set it */
  sigprocmask (SIG_SETMASK, &old_mask, &mask);
  g_assert_true (sigismember (&mask, SIGUSR1) && sigismember (&mask, SIGUSR2));
  sigaction (SIGTERM, &old_term, &now);
  g_assert_true (now.sa_handler == handle_term);
  sigaction (SIGHUP, &old_hup, &now);
  g_assert_true (now.sa_handler == SIG_IGN);
  sigaction (SIGCHLD, NULL, &now);
  g_assert_true (now.sa_handler == old_child.sa_handler);
  close (fd);
  close (wake_up[0]);
  close (wake_up[1]);
}

/* --- children --- */

#define N_CHILDREN 200

typedef struct
{
  guint n_watched, n_subprocesses;
  guint n_wrong;
} Children;

static void
child_ended (GPid pid, int status, gpointer data)
{
  Children *children = data;

  children->n_watched++;
  children->n_wrong += !WIFEXITED (status) || WEXITSTATUS (status) != 3;
  g_spawn_close_pid (pid);
}

static void
subprocess_ended (GObject *object, GAsyncResult *result, gpointer data)
{
  Children *children = data;
  GSubprocess *subprocess = G_SUBPROCESS (object);

  children->n_subprocesses++;
  children->n_wrong += !g_subprocess_wait_finish (subprocess, result, NULL) ||
                       !g_subprocess_get_if_exited (subprocess) ||
                       g_subprocess_get_exit_status (subprocess) != 5;
}

static void
start_children (Children *children)
{
  static const char *const watched[] = { "/bin/sh", "-c", "exit 3", NULL };
  g_autoptr (GSubprocess) subprocess = NULL;
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_spawn_async (NULL, (char **) watched, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
  g_assert_no_error (error);
  g_child_watch_add (pid, child_ended, children);
  subprocess = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, "/bin/sh", "-c", "exit 5", NULL);
  g_assert_no_error (error);
  g_subprocess_wait_async (subprocess, NULL, subprocess_ended, children);
}

/* The program's own children are its own: GLib would warn, and so end this, if somebody else had waited for one. */
static void
test_children (void)
{
  PoolManager *pool = faults_new_pool (2);
  PoolManager *second;
  Children children = { 0 };

  faults_start (pool);
  for (guint i = 0; i < N_CHILDREN; i++)
    {
      start_children (&children);
      if (i % 10 == 0)
        kill (faults_nth_worker (pool, i), SIGKILL);
      faults_assert_square (pool, i);
      /* a pool that comes and goes waits for its own zygote only; forked from a program with threads it cannot be */
      if (i % 50 == 25 && !is_forked ())
        {
          second = faults_new_pool (2);
          faults_start (second);
          faults_assert_square (second, i);
          faults_end (second);
        }
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
  faults_end (pool);
  while (children.n_watched < N_CHILDREN || children.n_subprocesses < N_CHILDREN)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (children.n_wrong, ==, 0);
  g_assert_cmpuint (count_children (), ==, from_copy ? 1 : 0);
}

/* --- what the system has no more of --- */

static void
set_limit (int resource, rlim_t value)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (resource, &limit), ==, 0);
  limit.rlim_cur = value;
  g_assert_cmpint (setrlimit (resource, &limit), ==, 0);
}

static void
assert_typed (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_true (error->domain == POOL_ERROR);
  g_assert_true (error->code == POOL_ERROR_BACKEND || error->code == POOL_ERROR_OUT_OF_MEMORY ||
                 error->code == POOL_ERROR_RESTART_FREQ);
}

/* Each of some tasks has its result, or an error that says why not. Returns how many have one. */
static guint
run_some (PoolManager *pool)
{
  PoolApplyResult *results[20];
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    results[i] = pool_manager_apply_async (pool, "conform.square", g_variant_new ("(x)", (gint64) i), NULL,
                                           NULL, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_async_result_get (POOL_ASYNC_RESULT (results[i]), 60, &error);

      if (value != NULL)
        n++;
      else
        assert_typed (error);
      g_object_unref (results[i]);
    }
  return n;
}

static void
end_whatever (PoolManager *pool)
{
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 30, NULL));
  g_object_unref (pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* The highest descriptor is what the limit is about, not how many there are. */
static int
next_fd (void)
{
  int fd = dup (2);

  close (fd);
  return fd;
}

static void
test_descriptors_at_start (void)
{
  struct rlimit limit;
  guint n_fds = count_fds (), n_started = 0, n_refused = 0;

  getrlimit (RLIMIT_NOFILE, &limit);
  for (guint more = 0; n_started < 3 && more < 30; more++)
    {
      PoolManager *pool = faults_new_pool (2);
      g_autoptr (GError) error = NULL;
      gboolean started;

      set_limit (RLIMIT_NOFILE, next_fd () + more);
      started = pool_manager_start (pool, &error);
      if (started)
        n_started += run_some (pool) > 0;
      else
        {
          n_refused++;
          assert_typed (error);
        }
      set_limit (RLIMIT_NOFILE, limit.rlim_cur);
      if (started)
        end_whatever (pool);
      else
        {
          /* nothing is wrong with the pool */
          faults_start (pool);
          faults_assert_square (pool, 3);
          faults_end (pool);
        }
      g_assert_cmpuint (count_fds (), ==, n_fds);
    }
  g_assert_cmpuint (n_refused, >, 3);
  g_assert_cmpuint (n_started, ==, 3);
}

static void
test_descriptors_later (void)
{
  struct rlimit limit;
  guint n_fds = count_fds ();
  PoolManager *pool = faults_new_pool (2);
  int victim, zygote;

  getrlimit (RLIMIT_NOFILE, &limit);
  faults_start (pool);
  faults_assert_square (pool, 3); /* loads the task module */
  faults_wait_for_workers (pool, 2);
  victim = faults_nth_worker (pool, 0);
  zygote = faults_parent_of (victim);
  set_limit (RLIMIT_NOFILE, next_fd ());
  /* the zygote has descriptors of its own */
  kill (victim, SIGKILL);
  g_assert_cmpuint (run_some (pool), ==, 20);
  faults_wait_for_workers (pool, 2);
  /* another zygote cannot be made */
  kill (zygote, SIGKILL);
  while (pool_manager_get_state (pool) != POOL_STATE_BROKEN)
    run_some (pool);
  g_assert_cmpuint (run_some (pool), ==, 0);
  set_limit (RLIMIT_NOFILE, limit.rlim_cur);
  end_whatever (pool);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

static void
count_warning (PoolManager *pool, const GError *error, guint *n)
{
  g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
  g_assert_nonnull (strstr (error->message, "workers"));
  *n += 1;
}

/* The limit of processes is one of a user, and none for root: becomes one that nobody else is, nor another such test. */
static gboolean
become_limited (void)
{
  uid_t nobody_else = 20000 + getpid () % 40000;

  if (setresgid (nobody_else, nobody_else, nobody_else) != 0 ||
      setresuid (nobody_else, nobody_else, nobody_else) != 0)
    return FALSE;
  prctl (PR_SET_DUMPABLE, 1);
  return access (g_getenv ("POOL_WORKER"), X_OK) == 0;
}

static gboolean
can_become_limited (void)
{
  int status = 0;
  pid_t pid = fork ();

  if (pid == 0)
    _exit (become_limited () ? 0 : 1);
  waitpid (pid, &status, 0);
  return status == 0;
}

static void
start_with_few_processes (void)
{
  gboolean fewer = FALSE, full = FALSE;

  for (guint n = 1; !full && n < 15; n++)
    {
      PoolManager *pool = faults_new_pool (4);
      guint n_warnings = 0, n_up = 0, n_done;
      g_autoptr (GError) error = NULL;

      g_signal_connect (pool, "warning", G_CALLBACK (count_warning), &n_warnings);
      set_limit (RLIMIT_NPROC, n);
      if (!pool_manager_start (pool, &error))
        {
          assert_typed (error);
          g_object_unref (pool);
          continue;
        }
      n_done = run_some (pool);
      g_assert_true (n_done == 20 || pool_manager_get_state (pool) == POOL_STATE_BROKEN);
      while (pool_manager_get_state (pool) != POOL_STATE_BROKEN && n_up + n_warnings < 4)
        {
          g_main_context_iteration (NULL, TRUE);
          g_object_get (pool, "n-workers", &n_up, NULL);
        }
      fewer |= n_warnings > 0 && n_up > 0 && n_done == 20;
      full |= n_warnings == 0 && n_up == 4 && n_done == 20;
      g_signal_handlers_disconnect_by_data (pool, &n_warnings);
      end_whatever (pool);
    }
  g_assert_true (fewer);
  g_assert_true (full);
}

static void
lose_workers_for_good (void)
{
  PoolManager *pool = faults_new_pool (3);
  const struct rlimit none = { 1, 1 };
  guint n_warnings = 0;

  set_limit (RLIMIT_NPROC, 100);
  g_signal_connect (pool, "warning", G_CALLBACK (count_warning), &n_warnings);
  faults_start (pool);
  faults_wait_for_workers (pool, 3);
  g_assert_cmpint (prlimit (faults_parent_of (faults_nth_worker (pool, 0)), RLIMIT_NPROC, &none, NULL), ==, 0);
  for (guint i = 1; i <= 2; i++)
    {
      kill (faults_nth_worker (pool, 0), SIGKILL);
      while (n_warnings < i)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (run_some (pool), ==, 20);
    }
  kill (faults_nth_worker (pool, 0), SIGKILL);
  while (pool_manager_get_state (pool) != POOL_STATE_BROKEN)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (run_some (pool), ==, 0);
  g_signal_handlers_disconnect_by_data (pool, &n_warnings);
  end_whatever (pool);
}

static void
test_processes (void)
{
  if (g_test_subprocess ())
    {
      alarm (100);
      g_assert_true (become_limited ());
      start_with_few_processes ();
      lose_workers_for_good ();
      g_print ("both done\n");
      return;
    }
  if (!can_become_limited ())
    {
      g_test_skip ("only root can become a user that has no processes yet, and who may run what was built");
      return;
    }
  g_test_trap_subprocess (NULL, 120 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout ("*both done*");
}

static gpointer
be_a_thread (gpointer data)
{
  for (;;)
    pause ();
  return NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  from_copy = g_getenv ("POOL_TEST_COPY") != NULL;
  if (from_copy)
    {
      pool_init (&error);
      g_assert_no_error (error);
      g_thread_new ("noise", be_a_thread, NULL);
    }
  g_test_init (&argc, &argv, NULL);
  /* what GLib and the first pool of a program open stays open */
  g_main_context_iteration (NULL, FALSE);
  g_free (pool_describe_backend ("fork", &error));
  g_assert_no_error (error);
  if (!from_copy) /* it forks, and has threads */
    {
      g_test_add_func ("/hygiene/no-standard-streams", test_no_standard_streams);
      g_test_add_func ("/hygiene/processes", test_processes);
    }
  g_test_add_func ("/hygiene/sockets", test_sockets);
  g_test_add_func ("/hygiene/signals", test_signals);
  g_test_add_func ("/hygiene/descriptors-at-start", test_descriptors_at_start);
  g_test_add_func ("/hygiene/descriptors-later", test_descriptors_later);
  /* last: GLib makes a thread for it, after which nothing is forked from here */
  g_test_add_func ("/hygiene/cores", test_cores);
  g_test_add_func ("/hygiene/children", test_children);
  return g_test_run ();
}
