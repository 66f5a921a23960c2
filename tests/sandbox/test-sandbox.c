/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attempts.h"
#include "refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <libpool.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Every promise of every mode, tried by real tasks, with the same attempts without a sandbox for comparison.
 * POOL_TEST_START_METHOD says how workers are made; POOL_TEST_UID, whom root turns into first.
 */

static const PoolSandbox modes[] = { POOL_SANDBOX_NONE, POOL_SANDBOX_BASIC, POOL_SANDBOX_STRICT };

#define BASIC_FLAGS                                                                                \
  (POOL_SANDBOX_FLAGS_NO_NEW_PRIVS | POOL_SANDBOX_FLAGS_RLIMITS | POOL_SANDBOX_FLAGS_SOCKETS)
#define STRICT_FLAGS                                                                               \
  (BASIC_FLAGS | POOL_SANDBOX_FLAGS_SECCOMP | POOL_SANDBOX_FLAGS_LANDLOCK |                        \
   POOL_SANDBOX_FLAGS_CAPABILITIES)

static const char *setuid_program; /* prints its effective uid; NULL: only root can make one */

/* --- pools --- */

static PoolManager *
new_pool (PoolSandbox sandbox)
{
  const char *method = g_getenv ("POOL_TEST_START_METHOD");
  PoolManager *pool = g_object_new (POOL_TYPE_MANAGER, "processes", 1, "sandbox", sandbox, NULL);

  if (method != NULL)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (POOL_TYPE_START_METHOD);

      g_object_set (pool, "start-method", g_enum_get_value_by_nick (klass, method)->value, NULL);
    }
  return pool;
}

static void
end (PoolManager *pool)
{
  g_autoptr (GError) error = NULL;

  pool_manager_close (pool, NULL);
  pool_manager_join (pool, 30, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

static GVariant *
call (PoolManager *pool, const char *task, GVariant *args)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = pool_manager_apply (pool, task, args, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

/* A task's answer comes after the worker's word that it is up. */
static PoolWorkerInfo *
get_worker (PoolManager *pool)
{
  g_autoptr (GPtrArray) workers = NULL;

  g_variant_unref (call (pool, "sandbox.who", NULL));
  workers = pool_manager_get_workers (pool);
  g_assert_cmpuint (workers->len, ==, 1);
  return g_object_ref (workers->pdata[0]);
}

/* --- the folder that tasks try to write to --- */

typedef struct
{
  char *path;
  int listener;
} Folder;

static void
folder_init (Folder *self)
{
  static const char *const files[] = { "file", "victim", "movable", "emptied" };
  struct sockaddr_un address = { AF_UNIX };
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;

  self->path = g_dir_make_tmp ("pool-sandbox-XXXXXX", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (self->path, files[i], NULL);

      g_file_set_contents (path, "precious", -1, &error);
      g_assert_no_error (error);
    }
  name = g_build_filename (self->path, "listener", NULL);
  g_strlcpy (address.sun_path, name, sizeof address.sun_path);
  self->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (self->listener, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (self->listener, 64), ==, 0);
}

static void
folder_clear (Folder *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->path, name, NULL);

      g_remove (path);
    }
  g_rmdir (self->path);
  g_free (self->path);
  close (self->listener);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static char *
folder_list (Folder *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->path, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

/* --- attempts --- */

static int
try (PoolManager *pool, const Attempt *attempt, Folder *folder)
{
  g_autoptr (GVariant) answer =
      call (pool, "sandbox.try", g_variant_new ("(ssi)", attempt->name, folder->path, (int) getpid ()));

  return g_variant_get_int32 (answer);
}

static int
get_landlock_version (void)
{
  return syscall (444 /* landlock_create_ruleset */, NULL, 0, 1);
}

static void
check_outcome (const Attempt *attempt, PoolSandbox mode, int without, int code)
{
  int expected = mode == POOL_SANDBOX_STRICT ? attempt->strict : attempt->basic;

  g_test_message ("%s: %s: %d, %d without", mode == POOL_SANDBOX_STRICT ? "strict" : "basic",
                  attempt->name, code, without);
  /* this machine does not run code of the other kind at all */
  if (without >= ATTEMPT_SIGNAL && attempt->may_be_refused)
    return;
  if (expected == 0)
    {
      g_assert_cmpint (code, ==, without);
      return;
    }
  if (g_str_equal (attempt->name, "kill") && get_landlock_version () < 6)
    return;
  g_assert_cmpint (code, ==, expected);
  /* it is the sandbox that refuses it, not something else */
  if (!attempt->may_be_refused)
    g_assert_cmpint (without, !=, expected);
}

static void
test_attempts (void)
{
  g_autoptr (GHashTable) without = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      PoolManager *pool = new_pool (modes[i]);
      g_autoptr (GError) error = NULL;
      g_autofree char *before = NULL, *after = NULL;
      Folder folder;

      folder_init (&folder);
      before = folder_list (&folder);
      pool_manager_start (pool, &error);
      g_assert_no_error (error);
      for (const Attempt *attempt = attempts; attempt->name != NULL; attempt++)
        {
          int code = try (pool, attempt, &folder);

          if (modes[i] == POOL_SANDBOX_NONE)
            g_hash_table_insert (without, (gpointer) attempt->name, GINT_TO_POINTER (code));
          else
            check_outcome (attempt, modes[i],
                           GPOINTER_TO_INT (g_hash_table_lookup (without, attempt->name)), code);
        }
      after = folder_list (&folder);
      if (modes[i] == POOL_SANDBOX_STRICT)
        g_assert_cmpstr (before, ==, after);
      else
        g_assert_cmpstr (before, !=, after);
      end (pool);
      folder_clear (&folder);
    }
}

/* --- honest tasks --- */

/* What a command line writes to its standard output. */
static char *
run_shell (PoolManager *pool, const char *line)
{
  g_autoptr (GVariant) answer = call (pool, "exec.shell", g_variant_new ("(s)", line));
  g_autoptr (GVariant) output = g_variant_get_child_value (answer, 1);
  gsize size;
  const char *data = g_variant_get_fixed_array (output, &size, 1);

  return g_strndup (data, size);
}

static void
check_modules (PoolManager *pool, Folder *folder)
{
  g_autofree char *path = g_build_filename (folder->path, "file", NULL);
  g_autofree char *expected = g_compute_checksum_for_string (G_CHECKSUM_SHA256, "precious", -1);
  g_autofree char *line = g_strdup_printf ("cat %s; echo gone >/dev/null", path);
  g_autoptr (GVariant) sum = call (pool, "checksum.sha256", g_variant_new ("(s)", path));
  g_autoptr (GVariant) count = call (pool, "text.count", g_variant_new ("(s)", path));
  g_autofree char *text = run_shell (pool, line);
  g_autoptr (GVariant) large = call (pool, "sandbox.large", NULL);

  g_assert_cmpstr (g_variant_get_string (sum, NULL), ==, expected);
  g_assert_nonnull (count);
  g_assert_cmpstr (text, ==, "precious");
  g_assert_cmpuint (g_variant_get_size (large), ==, 4 * 1024 * 1024);
}

static void
check_map (PoolManager *pool)
{
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GError) error = NULL;
  GVariantBuilder items;

  g_variant_builder_init (&items, G_VARIANT_TYPE ("ax"));
  for (gint64 i = 0; i < 2000; i++)
    g_variant_builder_add (&items, "x", i);
  values = pool_manager_map (pool, "debug.echo", g_variant_builder_end (&items), 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (values), ==, 2000);
}

/* Tasks that mean no harm, and what the pool itself needs: modules loaded late, large results, sleeping and waking. */
static void
test_honest (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      PoolManager *pool = new_pool (modes[i]);
      g_autoptr (GError) error = NULL;
      Folder folder;

      folder_init (&folder);
      pool_manager_start (pool, &error);
      g_assert_no_error (error);
      for (const Attempt *attempt = honest; attempt->name != NULL; attempt++)
        {
          g_test_message ("%u: %s", i, attempt->name);
          g_assert_cmpint (try (pool, attempt, &folder), ==, 0);
        }
      check_modules (pool, &folder);
      check_map (pool);
      /* the worker has gone to sleep by now */
      g_usleep (50000);
      check_map (pool);
      end (pool);
      folder_clear (&folder);
    }
}

/* --- what is told --- */

static char *
status_of (gint64 pid, const char *key)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/status", pid);
  g_autofree char *text = NULL;
  g_autofree char *start = g_strdup_printf ("\n%s:", key);
  g_auto (GStrv) lines = NULL;
  char *found;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  found = strstr (text, start);
  g_assert_nonnull (found);
  lines = g_strsplit (found + strlen (start), "\n", 2);
  return g_strdup (g_strstrip (lines[0]));
}

static void
check_capabilities (gint64 pid)
{
  static const char *const sets[] = { "CapPrm", "CapEff", "CapInh" };

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      g_autofree char *text = status_of (pid, sets[i]);
      guint64 set = g_ascii_strtoull (text, NULL, 16);

      /* CAP_DAC_READ_SEARCH, for root */
      g_assert_cmphex (set & ~G_GUINT64_CONSTANT (4), ==, 0);
    }
}

/* Does this machine let us have a network namespace? By another program's judgement; FALSE if it is not there. */
static gboolean
may_have_network_namespace (void)
{
  const char *const argv[] = { "unshare", "--map-root-user", "--net", "true", NULL };
  int status;

  return g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                       NULL, NULL, NULL, &status, NULL) &&
         g_spawn_check_wait_status (status, NULL);
}

/* What a worker says of itself is what the kernel says of it. */
static void
check_told (PoolManager *pool, PoolSandbox mode)
{
  g_autoptr (PoolWorkerInfo) worker = get_worker (pool);
  gint64 pid = pool_worker_info_get_pid (worker);
  PoolSandboxFlags told = pool_worker_info_get_sandbox (worker);
  g_autofree char *no_new_privs = status_of (pid, "NoNewPrivs");
  g_autofree char *seccomp = status_of (pid, "Seccomp");
  g_autofree char *network = g_file_read_link ("/proc/self/ns/net", NULL);
  g_autoptr (GVariant) who = call (pool, "sandbox.who", NULL);
  const char *its_network;
  guint64 core, core_max;
  guint32 uid, gid;
  int its_pid, signum;
  PoolSandboxFlags property;

  g_object_get (worker, "sandbox", &property, NULL);
  g_assert_cmphex (property, ==, told);
  g_variant_get (who, "(iiu&sutt)", &its_pid, &signum, &uid, &its_network, &gid, &core, &core_max);
  g_assert_cmpint (its_pid, ==, pid);
  g_assert_cmpuint (uid, ==, getuid ());
  g_assert_cmpuint (gid, ==, getgid ());
  /* it still ends with its parent */
  g_assert_cmpint (signum, ==, SIGKILL);
  g_assert_cmpstr (no_new_privs, ==, mode == POOL_SANDBOX_NONE ? "0" : "1");
  g_assert_cmpstr (seccomp, ==, mode == POOL_SANDBOX_NONE ? "0" : "2");
  if (mode == POOL_SANDBOX_NONE)
    g_assert_cmphex (told, ==, POOL_SANDBOX_FLAGS_NONE);
  if (mode == POOL_SANDBOX_BASIC)
    g_assert_cmphex (told, ==, BASIC_FLAGS);
  if (mode != POOL_SANDBOX_NONE)
    {
      g_assert_cmpuint (core, ==, 0);
      g_assert_cmpuint (core_max, ==, 0);
    }
  if (mode == POOL_SANDBOX_STRICT)
    {
      g_assert_cmphex (told & ~POOL_SANDBOX_FLAGS_NETWORK, ==, STRICT_FLAGS);
      check_capabilities (pid);
      if (may_have_network_namespace ())
        g_assert_cmphex (told & POOL_SANDBOX_FLAGS_NETWORK, !=, 0);
    }
  g_assert_true ((g_strcmp0 (network, its_network) != 0) == ((told & POOL_SANDBOX_FLAGS_NETWORK) != 0));
  g_test_message ("%u: told 0x%x", mode, told);
}

static void
test_told (void)
{
  /* of the test program itself; a container may have set them */
  g_autofree char *own_nnp = status_of (getpid (), "NoNewPrivs");
  g_autofree char *own_seccomp = status_of (getpid (), "Seccomp");

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      PoolManager *pool = new_pool (modes[i]);
      g_autoptr (GError) error = NULL;

      if (modes[i] == POOL_SANDBOX_NONE && !(g_str_equal (own_nnp, "0") && g_str_equal (own_seccomp, "0")))
        {
          g_object_unref (pool);
          continue;
        }
      pool_manager_start (pool, &error);
      g_assert_no_error (error);
      check_told (pool, modes[i]);
      end (pool);
    }
}

/* A worker that takes the place of one that died is in the same sandbox. */
static void
test_replaced (void)
{
  PoolManager *pool = new_pool (POOL_SANDBOX_STRICT);
  g_autoptr (GError) error = NULL;
  gint64 before;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (PoolWorkerInfo) worker = get_worker (pool);
      g_autoptr (PoolWorkerInfo) next = NULL;

      before = pool_worker_info_get_pid (worker);
      g_assert_cmpint (kill (before, SIGKILL), ==, 0);
      /* the answer of a worker that is about to die may be the last of it */
      do
        {
          g_clear_object (&next);
          next = get_worker (pool);
        }
      while (pool_worker_info_get_pid (next) == before);
      check_told (pool, POOL_SANDBOX_STRICT);
    }
  end (pool);
}

static void
test_initializer (void)
{
  static const int expected[] = { 0, EACCES, EACCES };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      PoolManager *pool = new_pool (modes[i]);
      g_autoptr (GVariant) code = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (pool_manager_set_initializer (pool, "sandbox.initialize", NULL, NULL));
      pool_manager_start (pool, &error);
      g_assert_no_error (error);
      code = call (pool, "sandbox.initialized", NULL);
      g_assert_cmpint (g_variant_get_int32 (code), ==, expected[i]);
      end (pool);
    }
}

/* A setuid program of root's gives its user's rights to nobody, but without a sandbox. */
static void
test_setuid (void)
{
  if (setuid_program == NULL)
    {
      g_test_skip ("needs root to make a setuid program, and another user to run it");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      PoolManager *pool = new_pool (modes[i]);
      g_autoptr (GError) error = NULL;
      g_autofree char *text = NULL, *line = g_strdup_printf ("%s -u", setuid_program);
      g_autofree char *expected =
          g_strdup_printf ("%u\n", modes[i] == POOL_SANDBOX_NONE ? 0 : (guint) getuid ());

      pool_manager_start (pool, &error);
      g_assert_no_error (error);
      text = run_shell (pool, line);
      g_assert_cmpstr (text, ==, expected);
      end (pool);
    }
}

/* The process that workers come from dies, and they with it: nothing of a sandbox may change that. */
static void
test_parent_dies (void)
{
  PoolManager *pool = new_pool (POOL_SANDBOX_STRICT);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolWorkerInfo) worker = NULL;
  g_autofree char *parent = NULL;
  guint n = 0;

  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  worker = get_worker (pool);
  parent = status_of (pool_worker_info_get_pid (worker), "PPid");
  g_assert_cmpint (kill (atoi (parent), SIGKILL), ==, 0);
  while (kill (pool_worker_info_get_pid (worker), 0) == 0 && n++ < 500)
    {
      g_autofree char *path =
          g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/stat", pool_worker_info_get_pid (worker));
      g_autofree char *text = NULL;

      if (!g_file_get_contents (path, &text, NULL, NULL) || strstr (text, ") Z ") != NULL)
        break;
      g_usleep (10000);
    }
  g_assert_cmpuint (n, <, 500);
  pool_manager_terminate (pool, NULL);
  g_assert_true (pool_manager_join (pool, 20, NULL));
  g_object_unref (pool);
}

static void
test_threads_backend (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (PoolManager) pool =
          g_object_new (POOL_TYPE_MANAGER, "backend", "threads", "processes", 1, "sandbox", modes[i], NULL);
      g_autoptr (GError) error = NULL;

      if (modes[i] == POOL_SANDBOX_NONE)
        {
          g_assert_true (pool_manager_start (pool, &error));
          end (g_steal_pointer (&pool));
          continue;
        }
      g_assert_false (pool_manager_start (pool, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, "threads"));
      g_assert_nonnull (strstr (error->message, "processes"));
      /* it can be put right */
      g_object_set (pool, "sandbox", POOL_SANDBOX_NONE, NULL);
      g_clear_error (&error);
      g_assert_true (pool_manager_start (pool, &error));
      end (g_steal_pointer (&pool));
    }
}

/* --- where something is missing --- */

static void
in_subprocess (const char *test)
{
  g_test_trap_subprocess (test, 60 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
test_refusal (gconstpointer data)
{
  const Refusal *refusal = data;
  PoolManager *pool;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      in_subprocess (NULL);
      return;
    }
  refusal_enter (refusal);
  pool = new_pool (refusal->sandbox);
  if (pool_manager_start (pool, &error))
    {
      g_assert_false (refusal->at_start);
      g_assert_null (pool_manager_apply (pool, "sandbox.who", NULL, NULL, NULL, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
      g_assert_cmpint (pool_manager_get_state (pool), ==, POOL_STATE_BROKEN);
    }
  else
    {
      g_assert_true (refusal->at_start);
      g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
    }
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "sandbox"));
  g_assert_nonnull (strstr (error->message, refusal->part));
  g_assert_nonnull (strstr (error->message, g_strerror (refusal->code)));
  g_assert_null (strstr (error->message, "initializer"));
  g_object_unref (pool);
}

/* What basic does not need may be missing; so may the network namespace, which is then not told of. */
static void
test_less (gconstpointer data)
{
  const Refusal *refusal = data;
  PoolManager *pool;
  g_autoptr (PoolWorkerInfo) worker = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      in_subprocess (NULL);
      return;
    }
  refusal_enter (refusal);
  pool = new_pool (refusal->sandbox);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  worker = get_worker (pool);
  g_assert_cmphex (pool_worker_info_get_sandbox (worker), ==,
                   refusal->sandbox == POOL_SANDBOX_STRICT ? STRICT_FLAGS : BASIC_FLAGS);
  end (pool);
}

static gpointer
sleep_for_ever (gpointer data)
{
  for (;;)
    pause ();
  return NULL;
}

static void
start_thread (void)
{
  pthread_t thread;

  pthread_create (&thread, NULL, sleep_for_ever, NULL);
}

/* A library that starts its thread again in each child: that thread would stay outside. */
static void
test_second_thread (void)
{
  PoolManager *pool;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      in_subprocess (NULL);
      return;
    }
  pthread_atfork (NULL, NULL, start_thread);
  pool = g_object_new (POOL_TYPE_MANAGER, "processes", 1, "start-method", POOL_START_METHOD_FORK, "sandbox",
                       POOL_SANDBOX_BASIC, NULL);
  pool_manager_start (pool, &error);
  g_assert_no_error (error);
  g_assert_null (pool_manager_apply (pool, "sandbox.who", NULL, NULL, NULL, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_RESTART_FREQ);
  g_assert_nonnull (strstr (error->message, "sandbox"));
  g_assert_nonnull (strstr (error->message, "thread"));
  g_object_unref (pool);
}

/* --- somebody else than root --- */

static char *
make_setuid_program (void)
{
  g_autofree char *from = g_find_program_in_path ("id");
  g_autofree char *folder = g_dir_make_tmp ("pool-setuid-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "id", NULL);
  g_autofree char *contents = NULL;
  gsize size;

  g_assert_cmpint (chmod (folder, 0755), ==, 0);
  g_assert_true (g_file_get_contents (from, &contents, &size, NULL));
  g_assert_true (g_file_set_contents (path, contents, size, NULL));
  g_assert_cmpint (chmod (path, 04755), ==, 0);
  return g_steal_pointer (&path);
}

static void
remove_setuid_program (void)
{
  g_autofree char *folder = g_path_get_dirname (setuid_program);

  g_remove (setuid_program);
  g_rmdir (folder);
}

static gboolean
can_be (uid_t uid)
{
  const char *worker = g_getenv ("POOL_WORKER");
  gboolean ok;

  if (seteuid (uid) != 0)
    return FALSE;
  ok = worker == NULL || faccessat (AT_FDCWD, worker, X_OK, AT_EACCESS) == 0;
  g_assert_cmpint (seteuid (0), ==, 0);
  return ok;
}

/*
 * Root makes what only root can, and leaves a process behind that removes it. Then the program is run anew: to the kernel
 * one that has changed its user is still half root's.
 */
static void
become (uid_t uid, char **argv)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  int status;
  pid_t pid;

  if (geteuid () != 0 || !can_be (uid))
    return;
  setuid_program = make_setuid_program ();
  pid = fork ();
  if (pid > 0)
    {
      while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
        ;
      remove_setuid_program ();
      exit (WIFEXITED (status) ? WEXITSTATUS (status) : 1);
    }
  g_assert_cmpint (setgroups (0, NULL), ==, 0);
  g_assert_cmpint (setresgid (uid, uid, uid), ==, 0);
  g_assert_cmpint (setresuid (uid, uid, uid), ==, 0);
  g_setenv ("HOME", g_get_tmp_dir (), TRUE);
  g_setenv ("POOL_TEST_SETUID_PROGRAM", setuid_program, TRUE);
  execv (program, argv);
  _exit (127);
}

int
main (int argc, char **argv)
{
  const char *uid = g_getenv ("POOL_TEST_UID");
  gboolean forks = g_strcmp0 (g_getenv ("POOL_TEST_START_METHOD"), "fork") == 0;

  if (uid != NULL && getuid () == 0)
    become (atoi (uid), argv);
  setuid_program = g_getenv ("POOL_TEST_SETUID_PROGRAM");
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sandbox/threads-backend", test_threads_backend);
  g_test_add_func ("/sandbox/attempts", test_attempts);
  g_test_add_func ("/sandbox/honest", test_honest);
  g_test_add_func ("/sandbox/told", test_told);
  g_test_add_func ("/sandbox/replaced", test_replaced);
  g_test_add_func ("/sandbox/initializer", test_initializer);
  if (uid != NULL)
    g_test_add_func ("/sandbox/setuid", test_setuid);
  g_test_add_func ("/sandbox/parent-dies", test_parent_dies);
  for (const Refusal *refusal = refusals; refusal->name != NULL; refusal++)
    {
      g_autofree char *path = g_strdup_printf ("/sandbox/refusal/%s", refusal->name);

      g_test_add_data_func (path, refusal, refusal->part != NULL ? test_refusal : test_less);
    }
  if (forks && uid == NULL)
    g_test_add_func ("/sandbox/second-thread", test_second_thread);
  return g_test_run ();
}
