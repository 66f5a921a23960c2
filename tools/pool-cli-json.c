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

/* JSON has no word for a number that is none. */
static JsonNode *
drop_non_finite (JsonNode *node)
{
  if (JSON_NODE_HOLDS_OBJECT (node))
    {
      JsonObject *object = json_node_get_object (node);
      g_autoptr (GList) names = json_object_get_members (object);

      for (GList *l = names; l != NULL; l = l->next)
        json_object_set_member (object, l->data,
                                drop_non_finite (json_object_dup_member (object, l->data)));
      return node;
    }
  if (JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);
      JsonArray *copy = json_array_sized_new (json_array_get_length (array));

      for (guint i = 0; i < json_array_get_length (array); i++)
        json_array_add_element (copy, drop_non_finite (json_array_dup_element (array, i)));
      json_node_take_array (node, copy);
      return node;
    }
  if (json_node_get_value_type (node) == G_TYPE_DOUBLE && !isfinite (json_node_get_double (node)))
    {
      json_node_unref (node);
      return json_node_new (JSON_NODE_NULL);
    }
  return node;
}

void
pool_cli_json_add_variant (JsonBuilder *builder, const char *name, GVariant *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_value (builder, drop_non_finite (json_gvariant_serialize (value)));
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
