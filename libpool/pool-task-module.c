/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-task-module.h"

#include "pool-error.h"
#include "pool-function-private.h"
#include "pool-module-private.h"

#include <string.h>

#define TASK_PREFIX "pool-task-"

struct _PoolTaskModule
{
  const char *name;
  GPtrArray *functions; /* PoolFunction */
  GError *error;        /* the first thing that was wrong with it */
};

static GRecMutex lock;
static GHashTable *functions; /* full name → PoolFunction; for ever */
static GHashTable *modules;   /* names of those that are loaded → ModuleFile */

typedef struct
{
  char *path;
  char *digest; /* NULL: nobody has asked for it */
} ModuleFile;

static gboolean
is_task_name (const char *name)
{
  return name != NULL && *name != '\0' && strlen (name) <= 32 && strchr (name, '.') == NULL &&
         g_str_is_ascii (name);
}

static void
add (PoolTaskModule *module, const char *name, const char *description, PoolFunctionKind kind,
     gpointer func)
{
  g_autofree char *full = g_strdup_printf ("%s.%s", module->name, name != NULL ? name : "");
  PoolFunction *function;

  for (guint i = 0; i < module->functions->len; i++)
    if (strcmp (((PoolFunction *) module->functions->pdata[i])->name, full) == 0 &&
        module->error == NULL)
      module->error = g_error_new (POOL_ERROR, POOL_ERROR_BACKEND,
                                   "Task module \"%s\" has two tasks \"%s\"", module->name, name);
  if ((!is_task_name (name) || func == NULL) && module->error == NULL)
    module->error = g_error_new (POOL_ERROR, POOL_ERROR_BACKEND,
                                 "Task module \"%s\" has a task with no proper name or function",
                                 module->name);

  function = pool_function_new (full, kind, func, NULL, NULL);
  function->description = g_strdup (description != NULL ? description : "");
  function->from_module = TRUE;
  g_ptr_array_add (module->functions, function);
}

/**
 * pool_task_module_add: (skip)
 * @module: the module that is being loaded
 * @name: the task's name within the module: up to 32 ASCII characters, no dot
 * @description: one line
 * @func: the function
 *
 * Adds a function to a task module; it becomes the task `MODULE.NAME`. For use in a module's entry point only.
 *
 * Since: 1.0
 */
void
pool_task_module_add (PoolTaskModule *module, const char *name, const char *description,
                      PoolTaskFunc func)
{
  add (module, name, description, POOL_FUNCTION_TASK, func);
}

/**
 * pool_task_module_add_bytes: (skip)
 * @module: the module that is being loaded
 * @name: the task's name within the module
 * @description: one line
 * @func: the function
 *
 * As pool_task_module_add(), for a function on bytes.
 *
 * Since: 1.0
 */
void
pool_task_module_add_bytes (PoolTaskModule *module, const char *name, const char *description,
                            PoolBytesFunc func)
{
  add (module, name, description, POOL_FUNCTION_BYTES, func);
}

/**
 * pool_task_module_add_batch: (skip)
 * @module: the module that is being loaded
 * @name: the task's name within the module
 * @description: one line
 * @func: the function
 *
 * As pool_task_module_add(), for a function on whole batches.
 *
 * Since: 1.0
 */
void
pool_task_module_add_batch (PoolTaskModule *module, const char *name, const char *description,
                            PoolBatchFunc func)
{
  add (module, name, description, POOL_FUNCTION_BATCH, func);
}

static gboolean
check_symbols (GModule *module, gpointer *entry, GError **error)
{
  gpointer abi = NULL;

  if (!g_module_symbol (module, "pool_task_module_register", entry) || *entry == NULL ||
      !g_module_symbol (module, "pool_task_module_abi", &abi) || abi == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "%s is not a task module: it has no pool_task_module_register()",
                   g_module_name (module));
      return FALSE;
    }
  if (*(const guint32 *) abi != POOL_TASK_MODULE_ABI)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "%s was built for version %u of the task module interface, and this library has %u",
                   g_module_name (module), *(const guint32 *) abi, POOL_TASK_MODULE_ABI);
      return FALSE;
    }
  return TRUE;
}

static gboolean
load (const char *name, GError **error)
{
  void (*entry_point) (PoolTaskModule *module) = NULL;
  gpointer entry = NULL;
  GModule *file = pool_module_open ("POOL_TASK_PATH", POOL_TASK_DIR, TASK_PREFIX, name,
                                    "task module", POOL_ERROR_NO_SUCH_TASK, error);
  PoolTaskModule module = { name, NULL, NULL };
  ModuleFile *loaded;

  if (file == NULL || !check_symbols (file, &entry, error))
    return FALSE;

  memcpy (&entry_point, &entry, sizeof entry_point);
  module.functions = g_ptr_array_new ();
  entry_point (&module);
  if (module.error != NULL)
    {
      g_propagate_error (error, module.error);
      g_ptr_array_set_free_func (module.functions, (GDestroyNotify) pool_function_free);
      g_ptr_array_unref (module.functions);
      return FALSE;
    }

  for (guint i = 0; i < module.functions->len; i++)
    {
      PoolFunction *function = module.functions->pdata[i];

      g_hash_table_insert (functions, function->name, function);
    }
  g_ptr_array_unref (module.functions);
  loaded = g_new0 (ModuleFile, 1);
  loaded->path = g_strdup (g_module_name (file));
  g_hash_table_insert (modules, g_strdup (name), loaded);
  return TRUE;
}

static char *
compute_digest (const char *path)
{
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);

  if (file == NULL)
    return g_strdup ("");
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) g_mapped_file_get_contents (file),
                                      g_mapped_file_get_length (file));
}

const char *
pool_task_modules_get_digest (const PoolFunction *function)
{
  g_autofree char *name = g_strndup (function->name, strcspn (function->name, "."));
  ModuleFile *file;
  const char *digest = "";

  g_rec_mutex_lock (&lock);
  file = modules != NULL ? g_hash_table_lookup (modules, name) : NULL;
  if (file != NULL && file->digest == NULL)
    file->digest = compute_digest (file->path);
  if (file != NULL)
    digest = file->digest;
  g_rec_mutex_unlock (&lock);
  return digest;
}

/* A program that runs tasks for strangers names the modules that are not for them; its workers inherit that. */
static gboolean
is_refused (const char *name, GError **error)
{
  const char *refused = g_getenv ("POOL_TASK_REFUSED");
  g_auto (GStrv) names = g_strsplit (refused != NULL ? refused : "", G_SEARCHPATH_SEPARATOR_S, -1);

  if (!g_strv_contains ((const char *const *) names, name))
    return FALSE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK, "Tasks of the module \"%s\" are not allowed here", name);
  return TRUE;
}

/**
 * pool_load_task_module:
 * @name: the module's name, the part of a task's name before the dot
 * @error: return location for a #GError
 *
 * Loads a task module: the file `pool-task-NAME.so` in a directory of the environment variable `POOL_TASK_PATH` (ignored
 * in a setuid program) or in the library's own. A module is loaded once and stays. Calling a task `MODULE.NAME`
 * loads its module too; loading it before the pool starts saves each worker from doing so. Modules that `POOL_TASK_REFUSED`
 * names, separated by colons, are not loaded.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_NO_SUCH_TASK or %POOL_ERROR_BACKEND
 *
 * Since: 1.0
 */
gboolean
pool_load_task_module (const char *name, GError **error)
{
  gboolean ok;

  g_return_val_if_fail (name != NULL, FALSE);

  if (is_refused (name, error))
    return FALSE;
  g_rec_mutex_lock (&lock);
  if (functions == NULL)
    {
      functions = g_hash_table_new (g_str_hash, g_str_equal);
      modules = g_hash_table_new (g_str_hash, g_str_equal);
    }
  ok = g_hash_table_contains (modules, name) || load (name, error);
  g_rec_mutex_unlock (&lock);
  return ok;
}

const PoolFunction *
pool_task_modules_lookup (const char *name, GError **error)
{
  g_autofree char *module = g_strndup (name, strcspn (name, "."));
  const PoolFunction *function;

  if (!pool_load_task_module (module, error))
    return NULL;

  g_rec_mutex_lock (&lock);
  function = g_hash_table_lookup (functions, name);
  g_rec_mutex_unlock (&lock);
  if (function == NULL)
    {
      g_auto (GStrv) names = pool_list_tasks ();
      g_autofree char *near = pool_suggest (name, names);
      g_autofree char *shown = g_utf8_make_valid (name, -1);

      if (near != NULL)
        g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
                     "There is no task \"%s\"; did you mean \"%s\"?", shown, near);
      else
        g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
                     "Task module \"%s\" has no task \"%s\"", module, shown);
    }
  return function;
}

/**
 * pool_list_task_modules:
 *
 * Lists the task modules that are installed, without loading any.
 *
 * Returns: (transfer full) (array zero-terminated=1): their names, sorted
 *
 * Since: 1.0
 */
char **
pool_list_task_modules (void)
{
  return pool_module_list ("POOL_TASK_PATH", POOL_TASK_DIR, TASK_PREFIX);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/**
 * pool_list_tasks:
 *
 * Lists the tasks of the modules that are loaded.
 *
 * Returns: (transfer full) (array zero-terminated=1): their full names, sorted
 *
 * Since: 1.0
 */
char **
pool_list_tasks (void)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;

  g_rec_mutex_lock (&lock);
  if (functions != NULL)
    {
      g_hash_table_iter_init (&iter, functions);
      while (g_hash_table_iter_next (&iter, &name, NULL))
        g_ptr_array_add (names, g_strdup (name));
    }
  g_rec_mutex_unlock (&lock);

  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_steal (names, NULL);
}

/**
 * pool_describe_task:
 * @name: the full name of a task of a loaded module
 *
 * Says in one line what a task does.
 *
 * Returns: (nullable): the description, or %NULL if there is no such task
 *
 * Since: 1.0
 */
const char *
pool_describe_task (const char *name)
{
  const PoolFunction *function = NULL;

  g_return_val_if_fail (name != NULL, NULL);

  g_rec_mutex_lock (&lock);
  if (functions != NULL)
    function = g_hash_table_lookup (functions, name);
  g_rec_mutex_unlock (&lock);
  return function != NULL ? function->description : NULL;
}
