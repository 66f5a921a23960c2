/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Parses files that anybody may have made, with a parser that trusts them: as many do, it recurses as deep as a file says, follows
 * references for ever, and takes whatever memory it is made to take. Each file is parsed in a worker process that has little time,
 * little memory, no network and nothing that it may write to. A file that breaks the parser is reported by its name; the others are
 * parsed.
 *
 *   $ cc -o parse-untrusted parse-untrusted.c $(pkg-config --cflags --libs libpool-1) && printf 'main [hello $name]\nname world\n' > greeting && ./parse-untrusted greeting
 *
 * Each line of a file is a name and its value. In a value `$name` stands for the value of that name, and brackets must match; a value
 * `=name` is that of another name. What is printed for a file is the value of `main`.
 */

#include <libpool.h>
#include <locale.h>
#include <string.h>

#define SECONDS 2.0
#define MEBIBYTES 64

static const char *
look_up (GHashTable *values, const char *name, GError **error)
{
  const char *value = g_hash_table_lookup (values, name);

  /* danger: a = b and b = a */
  while (value != NULL && *value == '=')
    value = g_hash_table_lookup (values, value + 1);
  if (value == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" is not defined", name);
  return value;
}

/* danger: each name may stand for two of the one before */
static gboolean
expand (GHashTable *values, const char *value, GString *text, GError **error)
{
  while (*value != '\0')
    {
      gsize plain = strcspn (value, "$");
      g_autofree char *name = NULL;
      const char *found;

      g_string_append_len (text, value, plain);
      value += plain;
      if (*value == '\0')
        break;
      name = g_strndup (value + 1, strspn (value + 1, "abcdefghijklmnopqrstuvwxyz0123456789"));
      value += 1 + strlen (name);
      found = look_up (values, name, error);
      if (found == NULL || !expand (values, found, text, error))
        return FALSE;
    }
  return TRUE;
}

/* danger: a level of the stack for each bracket. Returns what follows the group; NULL if that is open. */
static const char *
skip_group (const char *text)
{
  for (; *text != '\0'; text++)
    {
      if (*text == ']')
        return text + 1;
      if (*text == '[')
        {
          text = skip_group (text + 1);
          if (text == NULL)
            return NULL;
          text--;
        }
    }
  return NULL;
}

static gboolean
check_brackets (const char *text, GError **error)
{
  while (text != NULL && *(text += strcspn (text, "[]")) != '\0')
    text = *text == '[' ? skip_group (text + 1) : NULL;
  if (text == NULL)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "brackets do not match");
  return text != NULL;
}

static GVariant *
parse (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GHashTable) values = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GString) text = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;
  g_autofree char *contents = NULL;
  const char *path, *main_value;

  g_variant_get (args, "(^&ay)", &path);
  if (!g_file_get_contents (path, &contents, NULL, error))
    return NULL;
  lines = g_strsplit (contents, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      char *space = strchr (*line, ' ');

      if (space == NULL)
        continue;
      *space = '\0';
      g_hash_table_insert (values, *line, space + 1);
    }

  main_value = look_up (values, "main", error);
  if (main_value == NULL || !expand (values, main_value, text, error) || !check_brackets (text->str, error))
    return NULL;
  if (!g_utf8_validate (text->str, text->len, NULL))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "not UTF-8");
      return NULL;
    }
  return g_variant_new_string (text->str);
}

/* In words for those who have the file, not the program. */
static void
report (const char *path, const GError *error)
{
  if (g_error_matches (error, POOL_ERROR, POOL_ERROR_WORKER_LOST))
    g_print ("%s: crashes the parser\n", path);
  else if (g_error_matches (error, POOL_ERROR, POOL_ERROR_TIMED_OUT))
    g_print ("%s: takes longer than %g s\n", path, SECONDS);
  else if (g_error_matches (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY))
    g_print ("%s: takes more than %d MiB\n", path, MEBIBYTES);
  else
    g_print ("%s: cannot be parsed: %s\n", path, error->message);
}

/* Returns how many could not be parsed. */
static int
parse_all (PoolManager *pool, char **paths, int n_paths)
{
  g_autoptr (GPtrArray) results = g_ptr_array_new_with_free_func (g_object_unref);
  int n_failed = 0;

  for (int i = 0; i < n_paths; i++)
    g_ptr_array_add (results, pool_manager_apply_async (pool, "parse", g_variant_new ("(^ay)", paths[i]), NULL, NULL, NULL, NULL));
  for (int i = 0; i < n_paths; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = pool_async_result_get (results->pdata[i], -1, &error);

      if (value != NULL)
        g_print ("%s: %s\n", paths[i], g_variant_get_string (value, NULL));
      else
        report (paths[i], error);
      n_failed += value == NULL;
    }
  return n_failed;
}

int
main (int argc, char **argv)
{
  g_autoptr (PoolManager) pool = NULL;
  g_autoptr (GError) error = NULL;
  int n_failed;

  setlocale (LC_ALL, "");
  pool = g_object_new (POOL_TYPE_MANAGER, "backend", "fork",
                       "sandbox", POOL_SANDBOX_STRICT,
                       "timeout", SECONDS,
                       "memory-limit", (guint64) MEBIBYTES * 1024,
                       /* a file that has crashed a worker gets no second one */
                       "max-retries", 0,
                       NULL);
  if (!pool_manager_register (pool, "parse", parse, NULL, NULL, &error) || !pool_manager_start (pool, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }

  n_failed = parse_all (pool, argv + 1, argc - 1);
  if (!pool_manager_close (pool, &error) || !pool_manager_join (pool, -1, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  return n_failed > 0 ? 1 : 0;
}
