/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/libpool-backend.h"
#include "libpool/pool-function-private.h"
#include "libpool/pool-module-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the modules that belong to this test lie: the first directory of the path. */
static char *
own_directory (void)
{
  g_auto (GStrv) path = g_strsplit (g_getenv ("POOL_BACKEND_PATH"), ":", 2);

  return g_strdup (path[0]);
}

static void
run_in_subprocess (void)
{
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static char *
read_maps (void)
{
  g_autoptr (GError) error = NULL;
  char *maps;

  g_file_get_contents ("/proc/self/maps", &maps, NULL, &error);
  g_assert_no_error (error);
  return maps;
}

static void
assert_message (const GError *error, const char *part)
{
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, part));
}

/* --- backends --- */

typedef struct
{
  const char *name;
  int code;
  const char *says, *says_too;
} Case;

static void
test_fine_backend (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolBackend) backend = pool_module_new_backend ("fine", &error);
  g_autofree char *description = NULL;

  g_assert_no_error (error);
  g_assert_true (POOL_IS_BACKEND (backend));
  description = pool_describe_backend ("fine", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (description, ==, "does nothing");
}

/* Those that are refused at the first look, before an object is made. */
static const Case backends[] = {
  { "alias", POOL_ERROR_BACKEND, "calls itself \"alien\", not \"alias\"", "libpool-backend-alias.so" },
  { "nameless", POOL_ERROR_BACKEND, "calls itself \"\", not \"nameless\"", "" },
  { "entryless", POOL_ERROR_BACKEND, "has no pool_backend_module_query()", "libpool-backend-entryless.so" },
  { "infoless", POOL_ERROR_BACKEND, "version 0 of the backend interface", "" },
  { "old-abi", POOL_ERROR_BACKEND, "version 42 of the backend interface, and this library has 1", "" },
  { "unavailable", POOL_ERROR_BACKEND, "This machine has no abacus", "" },
  { "unresolved", POOL_ERROR_BACKEND, "pool_test_nobody_has_this", "\"unresolved\" cannot be loaded" },
  { "half", POOL_ERROR_BACKEND, "\"half\" cannot be loaded", "libpool-backend-half.so" },
  { "almost", POOL_ERROR_BACKEND, "\"almost\" cannot be loaded", "libpool-backend-almost.so" },
  { "header", POOL_ERROR_BACKEND, "\"header\" cannot be loaded", "libpool-backend-header.so" },
  { "prose", POOL_ERROR_BACKEND, "invalid ELF header", "libpool-backend-prose.so" },
  { "empty", POOL_ERROR_BACKEND, "file too short", "libpool-backend-empty.so" },
};

static void
test_backend (gconstpointer data)
{
  const Case *c = data;

  /* a loader that is not careful is killed by a file that ends too early */
  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  /* the second time it is as broken as the first time */
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL, described = NULL;

      g_assert_null (pool_module_new_backend (c->name, &error));
      g_assert_error (error, POOL_ERROR, c->code);
      assert_message (error, c->says);
      assert_message (error, c->says_too);
      g_assert_null (pool_describe_backend (c->name, &described));
      g_assert_error (described, POOL_ERROR, c->code);
      assert_message (described, c->says);
    }
}

static void
test_stranger (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (pool_module_query_backend ("stranger", &error));
  g_assert_no_error (error);
  g_assert_null (pool_module_new_backend ("stranger", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
  assert_message (error, "\"stranger\" gave a type that is not a PoolBackend");
}

/* What the users of a pool see of it. */
static void
test_manager (void)
{
  static const Case cases[] = {
    { "prose", POOL_ERROR_BACKEND, "prose", "" },
    { "old-abi", POOL_ERROR_BACKEND, "version 42", "" },
    { "unavailable", POOL_ERROR_BACKEND, "no abacus", "" },
    { "thread", POOL_ERROR_NO_SUCH_BACKEND, "did you mean \"threads\"?", "" },
    { "no/such", POOL_ERROR_NO_SUCH_BACKEND, "no/such", "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (PoolManager) manager = pool_manager_new (cases[i].name);
      g_autoptr (GError) error = NULL;

      g_assert_false (pool_manager_start (manager, &error));
      g_assert_error (error, POOL_ERROR, cases[i].code);
      assert_message (error, cases[i].says);
    }
}

static void
test_no_such_backend (void)
{
  static const char *const names[] = {
    "", ".", "..", "/", "../fine", "./fine", "/tmp/fine", "fine/../fine", "fine.so", "fine ", "fin e", "f\303\244in",
    "fine\n", "libpool-backend-fine", "a123456789b123456789c123456789d123456789e123456789f123456789g1234",
    "\377\376",
  };
  g_autofree char *directory = own_directory ();
  g_autofree char *absolute = g_build_filename (directory, "libpool-backend-fine.so", NULL);
  g_autoptr (GError) of_absolute = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (pool_module_new_backend (names[i], &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      assert_message (error, "There is no backend \"");
    }
  g_assert_null (pool_module_new_backend (absolute, &of_absolute));
  g_assert_error (of_absolute, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
}

static void
test_suggestions (void)
{
  static const struct
  {
    const char *name, *near;
  } cases[] = { { "thread", "threads" }, { "treads", "threads" }, { "Threads", "threads" },
                { "forc", "fork" },      { "forks", "fork" },     { "fin", "fine" } };
  g_autofree char *directory = own_directory ();
  g_autoptr (GError) far = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *expected =
          g_strdup_printf ("There is no backend \"%s\"; did you mean \"%s\"?", cases[i].name, cases[i].near);

      g_assert_null (pool_module_new_backend (cases[i].name, &error));
      g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
      g_assert_cmpstr (error->message, ==, expected);
    }

  /* near nothing: then where it was looked for */
  g_assert_null (pool_module_new_backend ("quartz", &far));
  g_assert_error (far, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
  g_assert_null (strstr (far->message, "did you mean"));
  assert_message (far, directory);
}

/* --- where modules are looked for --- */

static void
test_list (void)
{
  g_auto (GStrv) names = NULL;

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  names = pool_list_backends ();
  g_assert_true (g_strv_contains ((const char *const *) names, "fine"));
  g_assert_true (g_strv_contains ((const char *const *) names, "half"));
  g_assert_true (g_strv_contains ((const char *const *) names, "threads"));
  for (char **p = names; p[0] != NULL && p[1] != NULL; p++)
    g_assert_cmpstr (p[0], <, p[1]);

  /* a list of what is there loads nothing of it */
  {
    g_autofree char *maps = read_maps ();

    g_assert_nonnull (strstr (maps, "libpool-1.so"));
    g_assert_null (strstr (maps, "libpool-backend-"));
  }
}

static void
assert_no_fine (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = pool_list_backends ();

  g_assert_false (g_strv_contains ((const char *const *) names, "fine"));
  g_assert_null (pool_module_query_backend ("fine", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND);
}

static void
test_relative_path (void)
{
  static const char *const paths[] = { ".", "./", "../modules", ".:./:..", "", ":", "modules" };
  g_autofree char *directory = own_directory ();
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  g_assert_cmpint (chdir (directory), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_setenv ("POOL_BACKEND_PATH", paths[i], TRUE);
      assert_no_fine ();
    }
  g_unsetenv ("POOL_BACKEND_PATH");
  assert_no_fine ();

  /* it was not for another reason */
  g_setenv ("POOL_BACKEND_PATH", directory, TRUE);
  g_assert_nonnull (pool_module_query_backend ("fine", &error));
  g_assert_no_error (error);
}

static void
test_first_in_path (void)
{
  g_autofree char *directory = own_directory ();
  g_autofree char *first = NULL, *file = NULL, *path = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  first = g_dir_make_tmp ("pool-modules-XXXXXX", &error);
  g_assert_no_error (error);
  file = g_build_filename (first, "libpool-backend-fine.so", NULL);
  g_assert_true (g_file_set_contents (file, "not the one", -1, &error));
  path = g_strjoin (":", first, directory, NULL);
  g_setenv ("POOL_BACKEND_PATH", path, TRUE);

  g_assert_null (pool_module_query_backend ("fine", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
  assert_message (error, file);
  g_clear_error (&error);

  /* a folder is no module either */
  unlink (file);
  g_assert_cmpint (g_mkdir_with_parents (file, 0700), ==, 0);
  g_assert_null (pool_module_query_backend ("fine", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_BACKEND);
  g_clear_error (&error);

  rmdir (file);
  rmdir (first);
  g_assert_nonnull (pool_module_query_backend ("fine", &error));
  g_assert_no_error (error);
}

/* --- what is opened --- */

static void
assert_maps_only (const char *name)
{
  g_autofree char *maps = read_maps ();
  g_autofree char *own = g_strdup_printf ("/libpool-backend-%s.so", name);
  g_auto (GStrv) lines = g_strsplit (maps, "\n", -1);
  gboolean found = FALSE;

  for (char **line = lines; *line != NULL; line++)
    {
      if (g_str_has_suffix (*line, own))
        found = TRUE;
      else
        g_assert_null (strstr (*line, "libpool-backend-"));
      g_assert_null (strstr (*line, "libzmq"));
      g_assert_null (strstr (*line, "libmpi"));
      g_assert_null (strstr (*line, "pool-task-"));
    }
  g_assert_true (found);
}

/* To ask for one backend opens that one: not the others, nor the libraries of others. */
static void
test_opens_only (gconstpointer data)
{
  const char *name = data;
  g_autoptr (PoolManager) manager = NULL;
  g_autofree char *description = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  description = pool_describe_backend (name, &error);
  g_assert_no_error (error);
  g_assert_nonnull (description);
  assert_maps_only (name);

  manager = pool_manager_new (name);
  g_object_set (manager, "processes", 1, NULL);
  g_assert_true (pool_manager_start (manager, &error));
  g_assert_no_error (error);
  assert_maps_only (name);
  g_assert_true (pool_manager_close (manager, &error));
  g_assert_true (pool_manager_join (manager, 30, &error));
  g_assert_no_error (error);
}

/* --- task modules --- */

static const Case task_modules[] = {
  { "entryless", POOL_ERROR_BACKEND, "has no pool_task_module_register()", "pool-task-entryless.so" },
  { "no-abi", POOL_ERROR_BACKEND, "is not a task module", "pool-task-no-abi.so" },
  { "old-abi", POOL_ERROR_BACKEND, "version 42 of the task module interface, and this library has 1", "" },
  { "dotted", POOL_ERROR_BACKEND, "\"dotted\" has a task with no proper name", "" },
  { "duplicate", POOL_ERROR_BACKEND, "\"duplicate\" has two tasks \"echo\"", "" },
  { "empty-name", POOL_ERROR_BACKEND, "\"empty-name\" has a task with no proper name", "" },
  { "nameless", POOL_ERROR_BACKEND, "\"nameless\" has a task with no proper name", "" },
  { "long-name", POOL_ERROR_BACKEND, "\"long-name\" has a task with no proper name", "" },
  { "umlaut", POOL_ERROR_BACKEND, "\"umlaut\" has a task with no proper name", "" },
  { "functionless", POOL_ERROR_BACKEND, "no proper name or function", "" },
  { "unresolved", POOL_ERROR_BACKEND, "pool_test_nobody_has_this", "task module \"unresolved\" cannot be loaded" },
  { "half", POOL_ERROR_BACKEND, "task module \"half\" cannot be loaded", "pool-task-half.so" },
  { "almost", POOL_ERROR_BACKEND, "task module \"almost\" cannot be loaded", "pool-task-almost.so" },
  { "header", POOL_ERROR_BACKEND, "task module \"header\" cannot be loaded", "pool-task-header.so" },
  { "prose", POOL_ERROR_BACKEND, "invalid ELF header", "pool-task-prose.so" },
  { "empty", POOL_ERROR_BACKEND, "file too short", "pool-task-empty.so" },
  { "absent", POOL_ERROR_NO_SUCH_TASK, "There is no task module \"absent\"", "looked in" },
  { "fin", POOL_ERROR_NO_SUCH_TASK, "There is no task module \"fin\"; did you mean \"fine\"?", "" },
  { "../fine", POOL_ERROR_NO_SUCH_TASK, "There is no task module \"../fine\"", "" },
  { "", POOL_ERROR_NO_SUCH_TASK, "There is no task module \"\"", "" },
};

static void
test_task_module (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *task = g_strconcat (c->name, ".twice", NULL);

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL, of_task = NULL;
      g_auto (GStrv) tasks = NULL;

      g_assert_false (pool_load_task_module (c->name, &error));
      g_assert_error (error, POOL_ERROR, c->code);
      assert_message (error, c->says);
      assert_message (error, c->says_too);

      /* none of its tasks is there, not even those that are in order */
      tasks = pool_list_tasks ();
      g_assert_false (g_strv_contains ((const char *const *) tasks, task));
      g_assert_null (pool_describe_task (task));
      if (*c->name == '.')
        continue;
      g_assert_null (pool_task_modules_lookup (task, &of_task));
      g_assert_error (of_task, POOL_ERROR, c->code);
    }
}

static void
test_fine_tasks (void)
{
  g_autoptr (GError) error = NULL, near = NULL, far = NULL, bare = NULL;
  g_auto (GStrv) tasks = NULL;
  const PoolFunction *function;

  g_assert_null (pool_describe_task ("fine.twice"));
  g_assert_true (pool_load_task_module ("fine", &error));
  g_assert_no_error (error);
  /* it is loaded once */
  function = pool_task_modules_lookup ("fine.twice", &error);
  g_assert_no_error (error);
  g_assert_true (pool_load_task_module ("fine", &error));
  g_assert_true (pool_task_modules_lookup ("fine.twice", &error) == function);
  g_assert_cmpstr (function->name, ==, "fine.twice");
  g_assert_cmpint (function->kind, ==, POOL_FUNCTION_TASK);
  g_assert_true (function->from_module);

  g_assert_cmpint (pool_task_modules_lookup ("fine.echo", NULL)->kind, ==, POOL_FUNCTION_BYTES);
  g_assert_cmpint (pool_task_modules_lookup ("fine.all", NULL)->kind, ==, POOL_FUNCTION_BATCH);
  g_assert_cmpstr (pool_describe_task ("fine.twice"), ==, "two times a number");
  g_assert_cmpstr (pool_describe_task ("fine.all"), ==, "");
  tasks = pool_list_tasks ();
  g_assert_cmpstrv (tasks, ((const char *const[]){ "fine.all", "fine.echo", "fine.twice", NULL }));

  g_assert_null (pool_task_modules_lookup ("fine.twise", &near));
  g_assert_error (near, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_assert_cmpstr (near->message, ==, "There is no task \"fine.twise\"; did you mean \"fine.twice\"?");
  g_assert_null (pool_task_modules_lookup ("fine.something-else", &far));
  g_assert_error (far, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  assert_message (far, "Task module \"fine\" has no task \"fine.something-else\"");
  g_assert_null (pool_task_modules_lookup ("fine.", &bare));
  g_assert_error (bare, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
}

static void
test_relative_task_path (void)
{
  g_autofree char *directory = own_directory ();
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ())
    {
      run_in_subprocess ();
      return;
    }

  g_assert_cmpint (chdir (directory), ==, 0);
  g_setenv ("POOL_TASK_PATH", ".:../modules", TRUE);
  g_assert_false (pool_load_task_module ("fine", &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK);
  g_clear_error (&error);
  g_setenv ("POOL_TASK_PATH", directory, TRUE);
  g_assert_true (pool_load_task_module ("fine", &error));
  g_assert_no_error (error);
}

static void
add_cases (const char *prefix, const Case *cases, guint n, GTestDataFunc func)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup (*cases[i].name != '\0' ? cases[i].name : "no-name");
      g_autofree char *path = NULL;

      g_strdelimit (name, "/.", '_');
      path = g_strdup_printf ("/modules/%s/%s", prefix, name);
      g_test_add_data_func (path, &cases[i], func);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/modules/backend/fine", test_fine_backend);
  add_cases ("backend", backends, G_N_ELEMENTS (backends), test_backend);
  g_test_add_func ("/modules/backend/stranger", test_stranger);
  g_test_add_func ("/modules/backend/manager", test_manager);
  g_test_add_func ("/modules/backend/no-such", test_no_such_backend);
  g_test_add_func ("/modules/backend/suggestions", test_suggestions);
  g_test_add_func ("/modules/path/list", test_list);
  g_test_add_func ("/modules/path/relative", test_relative_path);
  g_test_add_func ("/modules/path/first", test_first_in_path);
  g_test_add_data_func ("/modules/opens-only/threads", "threads", test_opens_only);
  g_test_add_data_func ("/modules/opens-only/fork", "fork", test_opens_only);
  add_cases ("task", task_modules, G_N_ELEMENTS (task_modules), test_task_module);
  g_test_add_func ("/modules/task/fine", test_fine_tasks);
  g_test_add_func ("/modules/path/relative-for-tasks", test_relative_task_path);
  return g_test_run ();
}
