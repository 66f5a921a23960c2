/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-option.h"

#include <libpool.h>
#include <math.h>

static gboolean
wrong (const char *name, const char *what, GVariant *value, GError **error)
{
  g_autofree char *shown = g_variant_get_size (value) < 200 ? g_variant_print (value, TRUE) : g_strdup ("what was given");

  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The option “%s” is %s, not %s", name, what, shown);
  return FALSE;
}

/* Languages send whole numbers in the type that they have. */
static gboolean
get_integer (GVariant *value, gint64 *number)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      *number = g_variant_get_byte (value);
      return TRUE;
    case G_VARIANT_CLASS_INT16:
      *number = g_variant_get_int16 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT16:
      *number = g_variant_get_uint16 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT32:
      *number = g_variant_get_int32 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT32:
      *number = g_variant_get_uint32 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT64:
      *number = g_variant_get_int64 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT64:
      *number = (gint64) MIN (g_variant_get_uint64 (value), G_MAXINT64);
      return TRUE;
    default:
      return FALSE;
    }
}

static gboolean
set_integer (GValue *out, const char *name, GVariant *value, gint64 min, gint64 max, GError **error)
{
  gint64 number;

  if (!get_integer (value, &number))
    return wrong (name, "a whole number", value, error);
  if (number < min || number > max)
    return wrong (name, "out of its range", value, error);
  if (G_VALUE_HOLDS_INT (out))
    g_value_set_int (out, (int) number);
  else if (G_VALUE_HOLDS_UINT (out))
    g_value_set_uint (out, (guint) number);
  else
    g_value_set_uint64 (out, (guint64) number);
  return TRUE;
}

static gboolean
set_double (GValue *out, const char *name, GVariant *value, GError **error)
{
  gint64 integer;
  double number;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    number = g_variant_get_double (value);
  else if (get_integer (value, &integer))
    number = (double) integer;
  else
    return wrong (name, "a number", value, error);
  if (!isfinite (number))
    return wrong (name, "a finite number", value, error);
  g_value_set_double (out, number);
  return TRUE;
}

static gboolean
set_enum (GValue *out, const char *name, GVariant *value, GError **error)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (G_VALUE_TYPE (out));
  GEnumValue *found = NULL;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    found = g_enum_get_value_by_nick (klass, g_variant_get_string (value, NULL));
  if (found == NULL)
    return wrong (name, "one of a few words", value, error);
  g_value_set_enum (out, found->value);
  return TRUE;
}

static gboolean
convert (GValue *out, const char *name, GVariant *value, GError **error)
{
  GType type = G_VALUE_TYPE (out);

  switch (G_TYPE_FUNDAMENTAL (type))
    {
    case G_TYPE_INT:
      return set_integer (out, name, value, G_MININT, G_MAXINT, error);
    case G_TYPE_UINT:
      return set_integer (out, name, value, 0, G_MAXUINT, error);
    case G_TYPE_UINT64:
      return set_integer (out, name, value, 0, G_MAXINT64, error);
    case G_TYPE_DOUBLE:
      return set_double (out, name, value, error);
    case G_TYPE_ENUM:
      return set_enum (out, name, value, error);
    case G_TYPE_BOOLEAN:
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN))
        return wrong (name, "a boolean", value, error);
      g_value_set_boolean (out, g_variant_get_boolean (value));
      return TRUE;
    case G_TYPE_STRING:
    default:
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
        return wrong (name, "a string", value, error);
      g_value_set_string (out, g_variant_get_string (value, NULL));
      return TRUE;
    }
}

gboolean
pool_service_option_set (gpointer object, const char *name, GVariant *value, GError **error)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), name);
  g_auto (GValue) out = G_VALUE_INIT;

  g_assert (pspec != NULL);
  g_value_init (&out, pspec->value_type);
  if (!convert (&out, name, value, error))
    return FALSE;
  if (g_param_value_validate (pspec, &out))
    return wrong (name, "out of its range", value, error);
  g_object_set_property (object, name, &out);
  return TRUE;
}

gboolean
pool_service_option_get_flag (const char *name, GVariant *value, gboolean *flag, GError **error)
{
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN))
    return wrong (name, "a boolean", value, error);
  *flag = g_variant_get_boolean (value);
  return TRUE;
}

gboolean
pool_service_option_get_number (const char *name, GVariant *value, guint max, guint *number, GError **error)
{
  gint64 n;

  if (!get_integer (value, &n) || n < 0 || n > max)
    return wrong (name, "a whole number in its range", value, error);
  *number = (guint) n;
  return TRUE;
}
