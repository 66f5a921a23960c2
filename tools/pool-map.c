/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-json.h"
#include "pool-cli-run.h"
#include "pool-cli-template.h"
#include "pool-cli.h"

#include <string.h>

typedef struct
{
  const char *task;
  char **leading;          /* from --arg, or NULL */
  const GVariantType *type; /* NULL: the input itself, as s or ay */
  gboolean checksum;
  gboolean tag;
} Map;

/* A file name need not be UTF-8, and a string must be. */
static GVariant *
text_to_variant (const char *text)
{
  return g_utf8_validate (text, -1, NULL) ? g_variant_new_string (text)
                                          : g_variant_new_bytestring (text);
}

static GVariant *
input_to_variant (const Map *map, const PoolCliJob *job, GError **error)
{
  if (map->type == NULL)
    return text_to_variant (job->input);
  if (g_variant_type_equal (map->type, G_VARIANT_TYPE_BYTESTRING))
    return g_variant_new_bytestring (job->input);
  if (!g_utf8_validate (job->input, -1, NULL))
    {
      g_set_error_literal (error, G_VARIANT_PARSE_ERROR, G_VARIANT_PARSE_ERROR_FAILED,
                           "The text of a value must be UTF-8");
      return NULL;
    }
  return g_variant_parse (map->type, job->input, NULL, NULL, error);
}

static GVariant *
map_make_args (gpointer user_data, const PoolCliJob *job, GError **error)
{
  const Map *map = user_data;
  g_autoptr (GVariant) value = input_to_variant (map, job, error);
  g_autoptr (GVariantBuilder) builder = NULL;

  if (value == NULL)
    return NULL;
  g_variant_take_ref (value);
  builder = g_variant_builder_new (G_VARIANT_TYPE_TUPLE);
  for (char **p = map->leading; p != NULL && *p != NULL; p++)
    g_variant_builder_add_value (builder, text_to_variant (*p));
  /* the members of a tuple are arguments, each for itself */
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
    for (gsize i = 0; i < g_variant_n_children (value); i++)
      {
        g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

        g_variant_builder_add_value (builder, child);
      }
  else
    g_variant_builder_add_value (builder, value);
  return g_variant_builder_end (builder);
}

static char *
map_describe (gpointer user_data, const PoolCliJob *job)
{
  const Map *map = user_data;
  GString *command = g_string_new (map->task);
  g_autofree char *input = NULL;

  for (char **p = map->leading; p != NULL && *p != NULL; p++)
    {
      g_autofree char *quoted = pool_cli_quote (*p);

      g_string_append_printf (command, " %s", quoted);
    }
  input = pool_cli_quote (job->input);
  g_string_append_printf (command, " %s", input);
  return g_string_free (command, FALSE);
}

static void
map_check (gpointer user_data, PoolCliJob *job)
{
  job->received = g_variant_get_size (job->value);
}

/*
 * The line that `sha256sum --check` and its siblings read: a name with a line's end in it is
 * escaped.
 */
static void
print_checksum (const PoolCliJob *job, PoolCliOutput *out)
{
  const char *digest = g_variant_get_string (job->value, NULL);
  g_autoptr (GString) line = g_string_new (NULL);

  if (strpbrk (job->input, "\\\n\r") != NULL)
    g_string_append_c (line, '\\');
  g_string_append (line, digest);
  g_string_append (line, "  ");
  for (const char *p = job->input; *p != '\0'; p++)
    switch (*p)
      {
      case '\\':
        g_string_append (line, "\\\\");
        break;
      case '\n':
        g_string_append (line, "\\n");
        break;
      case '\r':
        g_string_append (line, "\\r");
        break;
      default:
        g_string_append_c (line, *p);
      }
  g_string_append_c (line, '\n');
  pool_cli_output_add_data (out, line->str, line->len);
}

static void
map_print (gpointer user_data, const PoolCliJob *job, PoolCliOutput *out, PoolCliOutput *err)
{
  const Map *map = user_data;
  g_autofree char *text = NULL;

  if (map->checksum && !map->tag && g_variant_is_of_type (job->value, G_VARIANT_TYPE_STRING))
    {
      print_checksum (job, out);
      return;
    }
  if (map->tag)
    {
      pool_cli_output_add_data (out, job->input, job->size);
      pool_cli_output_add (out, "\t");
    }
  if (g_variant_is_of_type (job->value, G_VARIANT_TYPE_STRING))
    pool_cli_output_add (out, g_variant_get_string (job->value, NULL));
  else
    {
      text = g_variant_print (job->value, FALSE);
      pool_cli_output_add (out, text);
    }
  pool_cli_output_add (out, "\n");
}

static void
map_add_json (gpointer user_data, const PoolCliJob *job, JsonBuilder *builder)
{
  pool_cli_json_add_variant (builder, "result", job->value);
}

static const PoolCliKind map_kind = {
  .describe = map_describe,
  .make_args = map_make_args,
  .check = map_check,
  .print = map_print,
  .add_json = map_add_json,
};

static gboolean
parse_type (Map *map, const char *text, GError **error)
{
  if (text == NULL || g_str_equal (text, "s"))
    return TRUE;
  if (!g_variant_type_string_is_valid (text) || !g_variant_type_is_definite (G_VARIANT_TYPE (text)))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "--type must be the type of one GVariant, such as d or (si), not \"%s\"", text);
      return FALSE;
    }
  map->type = G_VARIANT_TYPE (text);
  return TRUE;
}

static const char description[] =
    "Inputs are read from the standard input, one on each line, if none are given.\n"
    "Results are printed as they come, strings as they are and other values as GVariant text;\n"
    "those of checksum tasks as “sha256sum --check” reads them.\n\n"
    "Examples:\n"
    "  find . -type f -print0 | pool map -0 checksum.sha256\n"
    "  pool map text.grep --arg='^TODO' --json *.c\n"
    "  pool map debug.sleep --type=d -j2 0.5 1 2";

int
pool_map_main (char **argv)
{
  g_auto (PoolCliSettings) settings = { 0 };
  g_auto (GStrv) words = NULL;
  g_auto (GStrv) leading = NULL;
  g_autofree char *type = NULL;
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "chunksize", 0, 0, G_OPTION_ARG_INT, &settings.chunksize,
      "Hand N inputs at a time to a worker [1]", "N" },
    { "type", 0, 0, G_OPTION_ARG_STRING, &type,
      "Parse each input as a GVariant of this type [s]", "TYPE" },
    { "arg", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &leading,
      "Pass TEXT to the task before each input", "TEXT" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &words, NULL, "TASK [INPUT…]" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (PoolCliInput) input = NULL;
  g_autoptr (GError) error = NULL;
  PoolCliKind kind = map_kind;
  Map map = { 0 };

  g_option_context_set_summary (context, "Run a task for each input.");
  g_option_context_set_description (context, description);
  if (!pool_cli_settings_parse (&settings, context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if (words == NULL)
    g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                         "Which task? “pool tasks” lists them");
  else
    input = pool_cli_settings_open_input (&settings, words[1] != NULL ? words + 1 : NULL, &error);
  if (input == NULL || !parse_type (&map, type, &error))
    return pool_cli_usage_error (error);

  kind.task = map.task = words[0];
  map.leading = leading;
  map.checksum = g_str_has_prefix (map.task, "checksum.");
  map.tag = settings.tag;
  return pool_cli_run (&settings, &kind, &map, input);
}
