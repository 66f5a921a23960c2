/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A task module, and what may be wrong with one: the build says which (MODULE_…).
 */

#include <gmodule.h>

#include "libpool/libpool.h"

#ifndef MODULE_ABI
#define MODULE_ABI POOL_TASK_MODULE_ABI
#endif
#ifndef MODULE_ENTRY_POINT
#define MODULE_ENTRY_POINT pool_task_module_register
#endif
#ifndef MODULE_FUNCTION
#define MODULE_FUNCTION twice
#endif

#ifdef MODULE_NEEDS
extern gint64 MODULE_NEEDS (gint64 x);
#endif

static GVariant *twice (PoolTask *task, GVariant *args, gpointer user_data, GError **error) G_GNUC_UNUSED;

static GVariant *
twice (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x;

  g_variant_get (args, "(x)", &x);
#ifdef MODULE_NEEDS
  x = MODULE_NEEDS (x);
#endif
  return g_variant_new_int64 (2 * x);
}

static gboolean
echo (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  pool_task_reply (task, data, size);
  return TRUE;
}

static GBytes *
all (PoolTask *task, GBytes *batch, gpointer user_data, GError **error)
{
  return g_bytes_ref (batch);
}

#ifndef MODULE_HAS_NO_ABI
G_MODULE_EXPORT extern const guint32 pool_task_module_abi;
G_MODULE_EXPORT const guint32 pool_task_module_abi = MODULE_ABI;
#endif

G_MODULE_EXPORT void MODULE_ENTRY_POINT (PoolTaskModule *module);

G_MODULE_EXPORT void
MODULE_ENTRY_POINT (PoolTaskModule *module)
{
  pool_task_module_add (module, "twice", "two times a number", twice);
  pool_task_module_add_bytes (module, "echo", "what it was given", echo);
  pool_task_module_add_batch (module, "all", NULL, all);
#ifdef MODULE_TASK
  pool_task_module_add (module, MODULE_TASK, "broken", MODULE_FUNCTION);
#endif
}
