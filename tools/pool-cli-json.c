/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"

#include <math.h>

/* The parts of one line of JSON output. */

/*
 * JSON is Unicode, and file names and what commands write need not be. Such bytes are shown with
 * the wrong ones replaced, and given in full, encoded, under @name with “_base64” added.
 */
void
pool_cli_json_add_bytes (JsonBuilder *builder, const char *name, const char *data, gsize size)
{
  g_autofree char *text = g_utf8_make_valid (data, (gssize) size);
  g_autofree char *base64_name = g_strconcat (name, "_base64", NULL);
  g_autofree char *base64 = NULL;

  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, text);
  if (g_utf8_validate_len (data, size, NULL))
    return;
  base64 = g_base64_encode ((const guchar *) data, size);
  json_builder_set_member_name (builder, base64_name);
  json_builder_add_string_value (builder, base64);
}

void
pool_cli_json_add_string (JsonBuilder *builder, const char *name, const char *text)
{
  pool_cli_json_add_bytes (builder, name, text, strlen (text));
}

static JsonNode *variant_to_node (GVariant *value);

/* JSON's keys are strings. */
static JsonNode *
dict_to_node (GVariant *dict)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();

  for (gsize i = 0; i < g_variant_n_children (dict); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (dict, i);
      g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
      g_autoptr (GVariant) value = g_variant_get_child_value (entry, 1);
      g_autofree char *name = g_variant_is_of_type (key, G_VARIANT_TYPE_STRING)
                                  ? g_variant_dup_string (key, NULL)
                                  : g_variant_print (key, FALSE);

      json_object_set_member (object, name, variant_to_node (value));
    }
  json_node_take_object (node, object);
  return node;
}

static JsonNode *
list_to_node (GVariant *list)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_sized_new ((guint) g_variant_n_children (list));

  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (list, i);

      json_array_add_element (array, variant_to_node (child));
    }
  json_node_take_array (node, array);
  return node;
}

/*
 * Not json_gvariant_serialize() all the way: it writes “inf.0”, which is no JSON, and large unsigned
 * numbers as negative ones.
 */
static JsonNode *
variant_to_node (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DICTIONARY))
    return dict_to_node (value);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_ARRAY) ||
      g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE) ||
      g_variant_is_of_type (value, G_VARIANT_TYPE_DICT_ENTRY))
    return list_to_node (value);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT) ||
      g_variant_is_of_type (value, G_VARIANT_TYPE_MAYBE))
    {
      g_autoptr (GVariant) child =
          g_variant_n_children (value) > 0 ? g_variant_get_child_value (value, 0) : NULL;

      return child != NULL ? variant_to_node (child) : json_node_new (JSON_NODE_NULL);
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE) &&
      !isfinite (g_variant_get_double (value)))
    return json_node_new (JSON_NODE_NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT64) &&
      g_variant_get_uint64 (value) > G_MAXINT64)
    return json_node_init_double (json_node_alloc (), (double) g_variant_get_uint64 (value));
  return json_gvariant_serialize (value);
}

void
pool_cli_json_add_variant (JsonBuilder *builder, const char *name, GVariant *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_value (builder, variant_to_node (value));
}

void
pool_cli_json_add_error (JsonBuilder *builder, const GError *error)
{
  json_builder_set_member_name (builder, "error");
  json_builder_begin_object (builder);
  pool_cli_json_add_string (builder, "domain", g_quark_to_string (error->domain));
  json_builder_set_member_name (builder, "code");
  json_builder_add_int_value (builder, error->code);
  pool_cli_json_add_string (builder, "message", error->message);
  json_builder_end_object (builder);
}

/*
 * Ends the object that @builder has been given. Returns: its text on one line, with the line's end
 */
char *
pool_cli_json_to_line (JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, FALSE);
  return g_strconcat (text, "\n", NULL);
}
