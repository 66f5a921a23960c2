/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/**
 * POOL_TASK_MODULE_ABI: (skip)
 *
 * The version of the interface between the library and task modules; it changes when they no longer fit.
 */
#define POOL_TASK_MODULE_ABI 1

/**
 * PoolTaskModule: (skip)
 *
 * A task module that is being loaded; means nothing outside of its entry point.
 *
 * Since: 1.0
 */
typedef struct _PoolTaskModule PoolTaskModule;

/**
 * POOL_DEFINE_TASK_MODULE: (skip)
 * @module: the name of the `PoolTaskModule *` parameter
 *
 * Starts the one entry point of a task module. The module is a shared object named `pool-task-NAME.so`.
 *
 * ```c
 * POOL_DEFINE_TASK_MODULE (module)
 * {
 *   pool_task_module_add (module, "square", "the square of a number", square);
 * }
 * ```
 *
 * Since: 1.0
 */
#define POOL_DEFINE_TASK_MODULE(module)                                                            \
  G_BEGIN_DECLS                                                                                    \
  G_MODULE_EXPORT extern const guint32 pool_task_module_abi;                                       \
  G_MODULE_EXPORT void pool_task_module_register (PoolTaskModule *module);                         \
  G_END_DECLS                                                                                      \
  const guint32 pool_task_module_abi = POOL_TASK_MODULE_ABI;                                       \
  void pool_task_module_register (PoolTaskModule *module)

POOL_AVAILABLE_IN_ALL
void pool_task_module_add (PoolTaskModule *module, const char *name, const char *description,
                           PoolTaskFunc func);
POOL_AVAILABLE_IN_ALL
void pool_task_module_add_bytes (PoolTaskModule *module, const char *name, const char *description,
                                 PoolBytesFunc func);
POOL_AVAILABLE_IN_ALL
void pool_task_module_add_batch (PoolTaskModule *module, const char *name, const char *description,
                                 PoolBatchFunc func);

POOL_AVAILABLE_IN_ALL
gboolean pool_load_task_module (const char *name, GError **error);
POOL_AVAILABLE_IN_ALL
char **pool_list_task_modules (void);
POOL_AVAILABLE_IN_ALL
char **pool_list_tasks (void);
POOL_AVAILABLE_IN_ALL
const char *pool_describe_task (const char *name);

G_END_DECLS
