/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "task-args.h"

#include <math.h>

/*
 * The arguments of the task modules that come with libpool.
 *
 * A tuple may have more members than a task asks for: the pool's static arguments come last. A
 * member may be boxed in a variant, as callers from dynamic languages send it, and a number may be
 * its text, so that `pool map debug.sleep 0.5` works without a type.
 */

GVariant *
task_args_get (GVariant *args, gsize index, const char *what, GError **error)
{
  g_autoptr (GVariant) value = NULL;

  if (!g_variant_is_of_type (args, G_VARIANT_TYPE_TUPLE) || g_variant_n_children (args) <= index)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Argument %" G_GSIZE_FORMAT " is missing: %s", index + 1, what);
      return NULL;
    }
  value = g_variant_get_child_value (args, index);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    return g_variant_get_variant (value);
  return g_steal_pointer (&value);
}

static void
set_type_error (GVariant *value, gsize index, const char *what, GError **error)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "Argument %" G_GSIZE_FORMAT " must be %s, not of type “%s”", index + 1, what,
               g_variant_get_type_string (value));
}

/* A name is text, or a zero-terminated bytestring where it is not UTF-8. */
char *
task_args_dup_filename (GVariant *args, gsize index, GError **error)
{
  const char *what = "a file name (s or ay)";
  g_autoptr (GVariant) value = task_args_get (args, index, what, error);
  gconstpointer data;
  gsize size;

  if (value == NULL)
    return NULL;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    {
      set_type_error (value, index, what, error);
      return NULL;
    }
  /* Not g_variant_dup_bytestring(): it takes bytes without a zero at the end for an empty name. */
  data = g_variant_get_fixed_array (value, &size, 1);
  if (size > 0 && ((const char *) data)[size - 1] == '\0')
    size--;
  if (size > 0 && memchr (data, '\0', size) != NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Argument %" G_GSIZE_FORMAT " is no file name: it has a zero byte in it",
                   index + 1);
      return NULL;
    }
  return g_strndup (data, size);
}

char *
task_args_dup_string (GVariant *args, gsize index, GError **error)
{
  g_autoptr (GVariant) value = task_args_get (args, index, "a string", error);

  if (value == NULL)
    return NULL;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  set_type_error (value, index, "a string", error);
  return NULL;
}

static gboolean
variant_to_integer (GVariant *value, gint64 *integer)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      *integer = g_variant_get_byte (value);
      return TRUE;
    case G_VARIANT_CLASS_INT16:
      *integer = g_variant_get_int16 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT16:
      *integer = g_variant_get_uint16 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT32:
      *integer = g_variant_get_int32 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT32:
      *integer = g_variant_get_uint32 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT64:
      *integer = g_variant_get_int64 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT64:
      *integer = (gint64) MIN (g_variant_get_uint64 (value), G_MAXINT64);
      return TRUE;
    case G_VARIANT_CLASS_STRING:
      return g_ascii_string_to_signed (g_variant_get_string (value, NULL), 10, G_MININT64,
                                       G_MAXINT64, integer, NULL);
    default:
      return FALSE;
    }
}

gboolean
task_args_get_integer (GVariant *args, gsize index, gint64 min, gint64 max, gint64 *value,
                       GError **error)
{
  g_autoptr (GVariant) child = task_args_get (args, index, "an integer", error);

  if (child == NULL)
    return FALSE;
  if (!variant_to_integer (child, value))
    {
      set_type_error (child, index, "an integer", error);
      return FALSE;
    }
  if (*value < min || *value > max)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Argument %" G_GSIZE_FORMAT " must lie between %" G_GINT64_FORMAT
                   " and %" G_GINT64_FORMAT,
                   index + 1, min, max);
      return FALSE;
    }
  return TRUE;
}

static gboolean
variant_to_double (GVariant *value, double *number)
{
  gint64 integer;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    *number = g_variant_get_double (value);
  else if (variant_to_integer (value, &integer))
    *number = (double) integer;
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      const char *text = g_variant_get_string (value, NULL);
      char *end = NULL;

      *number = g_ascii_strtod (text, &end);
      return end != text && *end == '\0';
    }
  else
    return FALSE;
  return TRUE;
}

/*
 * A time span that a wait can take: not negative, and far below where a 64-bit microsecond count
 * ends.
 */
gboolean
task_args_get_seconds (GVariant *args, gsize index, double *value, GError **error)
{
  g_autoptr (GVariant) child = task_args_get (args, index, "a number of seconds", error);

  if (child == NULL)
    return FALSE;
  if (!variant_to_double (child, value))
    {
      set_type_error (child, index, "a number of seconds", error);
      return FALSE;
    }
  if (!isfinite (*value) || *value < 0 || *value > 1e9)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Argument %" G_GSIZE_FORMAT " must lie between 0 and 1e9 seconds", index + 1);
      return FALSE;
    }
  return TRUE;
}
