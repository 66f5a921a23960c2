/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

#define POOL_TYPE_PROCESS (pool_process_get_type ())

POOL_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (PoolProcess, pool_process, POOL, PROCESS, GObject)

/**
 * PoolProcessClass:
 * @parent_class: the parent class
 * @run: runs one task; @args is a tuple with one member for each argument
 *
 * The class to derive from when the tasks of a pool share state in their worker.
 */
struct _PoolProcessClass
{
  GObjectClass parent_class;

  /**
   * PoolProcessClass::run:
   * @self: the object
   * @task: the running call
   * @args: a tuple with one member for each argument
   * @error: return location for a #GError
   *
   * Runs one task.
   *
   * Returns: (transfer full) (nullable): the result, or %NULL with @error set
   */
  GVariant *(*run) (PoolProcess *self, PoolTask *task, GVariant *args, GError **error);

  /*< private >*/
  gpointer reserved[8];
};

POOL_AVAILABLE_IN_ALL
GVariant *pool_process_get_static_args (PoolProcess *self);
POOL_AVAILABLE_IN_ALL
GVariant *pool_process_run (PoolProcess *self, PoolTask *task, GVariant *args, GError **error);

G_END_DECLS
