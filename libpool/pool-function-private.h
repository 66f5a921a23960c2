/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

typedef enum
{
  POOL_FUNCTION_NONE,
  POOL_FUNCTION_TASK,
  POOL_FUNCTION_BYTES,
  POOL_FUNCTION_MEMORY, /* on bytes, too, given by their address */
  POOL_FUNCTION_BATCH,
  POOL_FUNCTION_PROCESS, /* user_data is the GType of a PoolProcess */
} PoolFunctionKind;

/* A function that workers can run. Never changes and never moves once it is in a table. */
typedef struct
{
  char *name;
  char *description;
  PoolFunctionKind kind;
  union
  {
    PoolTaskFunc task;
    PoolBytesFunc bytes;
    PoolMemoryFunc memory;
    PoolBatchFunc batch;
    gpointer address;
  } func;
  gpointer user_data;
  GDestroyNotify destroy;
  gboolean from_module; /* every process can find it by its name */
} PoolFunction;

static inline gboolean
pool_function_is_on_bytes (const PoolFunction *self)
{
  return self->kind == POOL_FUNCTION_BYTES || self->kind == POOL_FUNCTION_MEMORY;
}

POOL_EXPORT
PoolFunction *pool_function_new (const char *name, PoolFunctionKind kind, gpointer func,
                                 gpointer user_data, GDestroyNotify destroy);
POOL_EXPORT
void pool_function_free (PoolFunction *self);

/*
 * The functions of one pool, numbered in the order in which they were first named: what travels with a task is the
 * number. Guarded by the lock of whoever owns it.
 */
typedef struct _PoolFunctionTable PoolFunctionTable;

#define POOL_FUNCTIONS_MAX 1024

POOL_EXPORT
PoolFunctionTable *pool_function_table_new (void);
POOL_EXPORT
void pool_function_table_free (PoolFunctionTable *self);
POOL_EXPORT
gboolean pool_function_table_add (PoolFunctionTable *self, PoolFunction *function, GError **error);
POOL_EXPORT
gboolean pool_function_table_lookup (PoolFunctionTable *self, const char *name, guint *number,
                                     GError **error);
POOL_EXPORT
const PoolFunction *pool_function_table_get (PoolFunctionTable *self, guint number);
POOL_EXPORT
guint pool_function_table_get_size (PoolFunctionTable *self);
/* the first function that only this process has, or NULL */
POOL_EXPORT
const PoolFunction *pool_function_table_get_closure (PoolFunctionTable *self);

/* The name in @names that is nearest to @name, if it is near; for messages. */
char *pool_suggest (const char *name, char **names);

/* Functions of loaded task modules: process-wide, never unloaded. */
POOL_EXPORT
const PoolFunction *pool_task_modules_lookup (const char *name, GError **error);
/* The SHA-256 of the file that a module's function is from, as it is now; "" if that cannot be read. */
const char *pool_task_modules_get_digest (const PoolFunction *function);

G_END_DECLS
