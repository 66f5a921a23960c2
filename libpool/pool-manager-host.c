/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-manager-private.h"

#include "pool-error.h"
#include "pool-module-private.h"

/* Workers that are made by means of the program's language, for bindings. */

/**
 * pool_manager_set_fork_func:
 * @self: a pool that has not been started
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): forks; %NULL: the library does
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data; also called when this fails
 * @error: return location for a #GError
 *
 * Sets how processes are forked, for a language that has to have its part in that. The first is forked from the program, in
 * the thread that starts the pool; that one has a single thread and forks the workers, then and later.
 *
 * With such a function the start method `fork` is obeyed also in a program of several threads. A child that is forked there may
 * inherit a lock that another thread held: whoever sets the function takes it on that the language and what tasks use
 * can cope with that. `auto` stays careful. A function that fails makes [method@Manager.start] fail with %POOL_ERROR_BACKEND.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_set_fork_func (PoolManager *self, PoolForkFunc func, gpointer user_data,
                            GDestroyNotify destroy, GError **error)
{
  PoolEngineSettings *settings;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!pool_manager_check_new (self, "The fork function is set", error))
    {
      if (destroy != NULL)
        destroy (user_data);
      return FALSE;
    }
  settings = &self->engine->settings;
  if (settings->fork_destroy != NULL)
    settings->fork_destroy (settings->backend.fork_data);
  settings->backend.fork_func = func;
  settings->backend.fork_data = user_data;
  settings->fork_destroy = destroy;
  return TRUE;
}

/**
 * pool_manager_set_thread_func:
 * @self: a pool that has not been started
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): calls [func@run_worker]; %NULL: the library does
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data; also called when this fails
 * @error: return location for a #GError
 *
 * Sets what each thread of the `threads` backend calls once, to run its worker in: a language that has to be told of a thread
 * hears of it once, and not for each task. A worker whose function returns without having called [func@run_worker] counts as
 * one that could not be made.
 *
 * Returns: %TRUE, or %FALSE with %POOL_ERROR_STATE
 *
 * Since: 1.0
 */
gboolean
pool_manager_set_thread_func (PoolManager *self, PoolThreadFunc func, gpointer user_data,
                              GDestroyNotify destroy, GError **error)
{
  PoolEngineSettings *settings;

  g_return_val_if_fail (POOL_IS_MANAGER (self), FALSE);

  if (!pool_manager_check_new (self, "The thread function is set", error))
    {
      if (destroy != NULL)
        destroy (user_data);
      return FALSE;
    }
  settings = &self->engine->settings;
  if (settings->thread_destroy != NULL)
    settings->thread_destroy (settings->backend.thread_data);
  settings->backend.thread_func = func;
  settings->backend.thread_data = user_data;
  settings->thread_destroy = destroy;
  return TRUE;
}

/* An empty list is none. */
void
pool_manager_set_worker_command (PoolManager *self, const GValue *value)
{
  PoolBackendConfig *config = &self->engine->settings.backend;
  const char *const *command = g_value_get_boxed (value);

  g_strfreev ((char **) config->worker_command);
  config->worker_command = NULL;
  if (command != NULL && *command != NULL)
    config->worker_command = (const char *const *) g_strdupv ((char **) command);
}

/* As the helper, it is never looked for in PATH or the working directory. */
gboolean
pool_manager_check_worker_command (PoolManager *self, GError **error)
{
  const char *const *command = self->engine->settings.backend.worker_command;

  if (command == NULL || g_path_is_absolute (*command))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The program of worker-command must be an absolute path, not \"%s\"", *command);
  return FALSE;
}

static gboolean
check_run (PoolManager *self, const char *const *argv, GError **error)
{
  if (!pool_manager_check_new (self, "Workers are run", error))
    return FALSE;
  if (argv[0] != NULL && argv[1] != NULL)
    return TRUE;
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                       "A worker is run by the arguments that follow those of worker-command: libpool gives them");
  return FALSE;
}

/* What is meant by what a backend's worker_main() returns that has run nothing. */
static void
explain_status (const char *backend, int status, GError **error)
{
  if (status == 2)
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "These are not arguments that the backend \"%s\" gives to a worker's program", backend);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                 "What the arguments of the backend \"%s\" name is not there: this process was not made by "
                 "a pool",
                 backend);
}

/**
 * pool_manager_run_worker:
 * @self: a pool that is not started: what workers have
 * @argv: (array zero-terminated=1): the arguments that this program got after those of [property@Manager:worker-command]
 * @error: return location for a #GError
 *
 * Is what a pool made this process for, in a program that is the [property@Manager:worker-command] of pools. Their tasks
 * find the functions that were registered on @self by their names, and then those of task modules; what else may be set
 * of @self is its target type, and its fork function for a process that forks workers.
 *
 * It returns when a worker has ended in order. A process that forks workers, or a worker that cannot go on, ends from within.
 * Call it before the program has threads.
 *
 * Returns: the exit status, 0; or -1 with %POOL_ERROR_INVALID_ARGUMENT or %POOL_ERROR_NO_SUCH_BACKEND if @argv is not what
 *   a pool gives, %POOL_ERROR_PROTOCOL if no pool has made this process, or %POOL_ERROR_STATE if @self was started
 *
 * Since: 1.0
 */
int
pool_manager_run_worker (PoolManager *self, const char *const *argv, GError **error)
{
  g_autoptr (PoolBackend) backend = NULL;
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  PoolBackendClass *klass;
  int status = 2;

  g_return_val_if_fail (POOL_IS_MANAGER (self), -1);
  g_return_val_if_fail (argv != NULL, -1);

  if (!check_run (self, argv, error) || !pool_manager_add_target_type (self, error))
    return -1;
  backend = pool_module_new_backend (argv[0], error);
  if (backend == NULL)
    return -1;
  backend->engine = self->engine;
  /* as a program of its own gets them */
  g_ptr_array_add (words, (gpointer) "pool-worker");
  for (const char *const *word = argv; *word != NULL; word++)
    g_ptr_array_add (words, (gpointer) *word);
  g_ptr_array_add (words, NULL);
  klass = POOL_BACKEND_GET_CLASS (backend);
  if (klass->worker_main != NULL)
    status = klass->worker_main (backend, words->len - 1, (char **) words->pdata);
  if (status == 0)
    return 0;
  explain_status (argv[0], status, error);
  return -1;
}
