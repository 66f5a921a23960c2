/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-function-private.h"

#include "pool-error.h"

#include <string.h>

struct _PoolFunctionTable
{
  GPtrArray *functions; /* PoolFunction; those of modules are borrowed */
  GHashTable *numbers;  /* name → number + 1 */
  guint last;           /* that was looked up: mostly the one that is looked up next */
};

PoolFunction *
pool_function_new (const char *name, PoolFunctionKind kind, gpointer func, gpointer user_data,
                   GDestroyNotify destroy)
{
  PoolFunction *self = g_new0 (PoolFunction, 1);

  self->name = g_strdup (name);
  self->kind = kind;
  self->func.address = func;
  self->user_data = user_data;
  self->destroy = destroy;
  return self;
}

void
pool_function_free (PoolFunction *self)
{
  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_free (self->name);
  g_free (self->description);
  g_free (self);
}

static void
free_unless_module (gpointer data)
{
  PoolFunction *function = data;

  if (!function->from_module)
    pool_function_free (function);
}

PoolFunctionTable *
pool_function_table_new (void)
{
  PoolFunctionTable *self = g_new0 (PoolFunctionTable, 1);

  self->functions = g_ptr_array_new_with_free_func (free_unless_module);
  self->numbers = g_hash_table_new (g_str_hash, g_str_equal);
  return self;
}

void
pool_function_table_free (PoolFunctionTable *self)
{
  g_hash_table_unref (self->numbers);
  g_ptr_array_unref (self->functions);
  g_free (self);
}

static guint
append (PoolFunctionTable *self, PoolFunction *function)
{
  g_ptr_array_add (self->functions, function);
  g_hash_table_insert (self->numbers, function->name, GUINT_TO_POINTER (self->functions->len));
  return self->functions->len - 1;
}

/* Takes @function, also when it fails. */
gboolean
pool_function_table_add (PoolFunctionTable *self, PoolFunction *function, GError **error)
{
  g_autofree char *shown = NULL;

  if (self->functions->len < POOL_FUNCTIONS_MAX && *function->name != '\0' && strlen (function->name) <= 100 &&
      g_utf8_validate (function->name, -1, NULL) &&
      !g_hash_table_contains (self->numbers, function->name))
    {
      append (self, function);
      return TRUE;
    }

  shown = g_utf8_make_valid (function->name, -1);
  if (self->functions->len == POOL_FUNCTIONS_MAX)
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "A pool has at most %d tasks",
                 POOL_FUNCTIONS_MAX);
  else if (g_hash_table_contains (self->numbers, function->name))
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "There is a task of the name \"%s\" already", shown);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                 "A task's name is 1 to 100 bytes of UTF-8, not \"%s\"", shown);
  pool_function_free (function);
  return FALSE;
}

static gboolean
no_such_task (PoolFunctionTable *self, const char *name, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *near = NULL;
  g_autofree char *shown = g_utf8_make_valid (name, -1);

  for (guint i = 0; i < self->functions->len; i++)
    g_ptr_array_add (names, ((PoolFunction *) self->functions->pdata[i])->name);
  g_ptr_array_add (names, NULL);

  near = pool_suggest (name, (char **) names->pdata);
  if (near != NULL)
    g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
                 "There is no task \"%s\"; did you mean \"%s\"?", shown, near);
  else
    g_set_error (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK,
                 "There is no task \"%s\": register it before the pool starts, or name one of a task "
                 "module as MODULE.TASK",
                 shown);
  return FALSE;
}

gboolean
pool_function_table_lookup (PoolFunctionTable *self, const char *name, guint *number, GError **error)
{
  const PoolFunction *function = pool_function_table_get (self, self->last);
  guint found;

  if (G_LIKELY (function != NULL && strcmp (function->name, name) == 0))
    {
      *number = self->last;
      return TRUE;
    }
  found = GPOINTER_TO_UINT (g_hash_table_lookup (self->numbers, name));
  if (found != 0)
    {
      *number = self->last = found - 1;
      return TRUE;
    }

  if (strchr (name, '.') == NULL)
    return no_such_task (self, name, error);

  function = pool_task_modules_lookup (name, error);
  if (function == NULL)
    return FALSE;

  if (self->functions->len == POOL_FUNCTIONS_MAX)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "A pool has at most %d tasks", POOL_FUNCTIONS_MAX);
      return FALSE;
    }
  *number = append (self, (PoolFunction *) function);
  return TRUE;
}

const PoolFunction *
pool_function_table_get (PoolFunctionTable *self, guint number)
{
  return number < self->functions->len ? self->functions->pdata[number] : NULL;
}

guint
pool_function_table_get_size (PoolFunctionTable *self)
{
  return self->functions->len;
}

const PoolFunction *
pool_function_table_get_closure (PoolFunctionTable *self)
{
  for (guint i = 0; i < self->functions->len; i++)
    {
      const PoolFunction *function = self->functions->pdata[i];

      if (!function->from_module)
        return function;
    }
  return NULL;
}

/* Levenshtein's distance, in bytes, of two short names. */
static guint
distance (const char *a, const char *b)
{
  gsize n = strlen (b);
  guint row[129];

  if (strlen (a) > 128 || n > 128)
    return G_MAXUINT;

  for (gsize j = 0; j <= n; j++)
    row[j] = j;
  for (gsize i = 1; a[i - 1] != '\0'; i++)
    {
      guint diagonal = row[0];

      row[0] = i;
      for (gsize j = 1; j <= n; j++)
        {
          guint above = row[j];
          guint cost = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

          row[j] = MIN (cost, MIN (above, row[j - 1]) + 1);
          diagonal = above;
        }
    }
  return row[n];
}

char *
pool_suggest (const char *name, char **names)
{
  guint best = MAX (1, strlen (name) / 3) + 1;
  const char *near = NULL;

  for (char **p = names; *p != NULL; p++)
    {
      guint d = distance (name, *p);

      if (d < best)
        {
          best = d;
          near = *p;
        }
    }
  return g_strdup (near);
}
