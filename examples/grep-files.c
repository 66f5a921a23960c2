/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A parallel grep: searches files, and those in directories, for a Perl-compatible regular expression. Each worker compiles it once;
 * what is found is printed in the order of the files, as soon as it is a file's turn. The exit status is that of grep: 0 if a
 * line was found, 1 if none was, 2 if anything could not be read.
 *
 *   $ cc -o grep-files grep-files.c walk.c $(pkg-config --cflags --libs libpool-1) && ./grep-files -n 'pool_manager_\w+_async' .
 */

#include "walk.h"

#include <libpool.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

/* in a worker */
static GRegex *regex;

static GVariant *
compile (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  const char *pattern;
  gboolean ignore_case;

  g_variant_get (args, "(&sb)", &pattern, &ignore_case);
  /* files need not be UTF-8 */
  regex = g_regex_new (pattern, G_REGEX_RAW | G_REGEX_OPTIMIZE | (ignore_case ? G_REGEX_CASELESS : 0), 0, error);
  return regex != NULL ? g_variant_new_boolean (TRUE) : NULL;
}

static void
add_line (GString *found, const char *path, gboolean with_number, guint number, const char *line, gsize length)
{
  if (path != NULL)
    g_string_append_printf (found, "%s:", path);
  if (with_number)
    g_string_append_printf (found, "%u:", number);
  g_string_append_len (found, line, length);
  g_string_append_c (found, '\n');
}

/* The lines of a file that match, as they are to be printed. */
static GVariant *
search (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  g_autoptr (GString) found = g_string_new (NULL);
  g_autofree char *text = NULL;
  gboolean with_name, with_number;
  const char *path, *line, *end;
  guint number = 1;
  gsize length;

  g_variant_get (args, "(^&aybb)", &path, &with_name, &with_number);
  if (!g_file_get_contents (path, &text, &length, error))
    return NULL;

  for (line = text; line < text + length; line = end + 1, number++)
    {
      end = memchr (line, '\n', text + length - line);
      if (end == NULL)
        end = text + length;
      if (!g_regex_match_full (regex, line, end - line, 0, 0, NULL, NULL))
        continue;
      if (memchr (text, '\0', length) != NULL)
        {
          g_string_append_printf (found, "Binary file %s matches\n", path);
          break;
        }
      add_line (found, with_name ? path : NULL, with_number, number, line, end - line);
    }
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, found->str, found->len, 1);
}

/* Prints what was found; returns grep's exit status. */
static int
print_results (PoolResultIterator *results, gboolean failed)
{
  gboolean any = FALSE;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) found = pool_result_iterator_next (results, -1, &error);

      if (found != NULL)
        {
          fwrite (g_variant_get_data (found), 1, g_variant_get_size (found), stdout);
          any |= g_variant_get_size (found) > 0;
        }
      else if (error != NULL)
        {
          /* of one file: the next one goes on */
          g_printerr ("grep-files: %s\n", error->message);
          failed = TRUE;
          if (pool_result_iterator_is_done (results))
            break;
        }
      else
        {
          break;
        }
    }
  return failed ? 2 : any ? 0 : 1;
}

static int
grep (PoolManager *pool, char **paths, gboolean with_name, gboolean with_number, GError **error)
{
  GVariantBuilder items = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(aybb)"));
  g_autoptr (GPtrArray) files = NULL;
  g_autoptr (PoolResultIterator) results = NULL;
  guint n_failed = 0;

  files = walk_files (paths, &n_failed);
  for (guint i = 0; i < files->len; i++)
    g_variant_builder_add (&items, "(^aybb)", files->pdata[i], with_name, with_number);
  results = pool_manager_istarmap (pool, "search", g_variant_builder_end (&items), 1, error);
  return results != NULL ? print_results (results, n_failed > 0) : 2;
}

static PoolManager *
make_pool (const char *pattern, gboolean ignore_case, GError **error)
{
  g_autoptr (PoolManager) pool = pool_manager_new ("fork");

  if (pool_manager_register (pool, "compile", compile, NULL, NULL, error) &&
      pool_manager_register (pool, "search", search, NULL, NULL, error) &&
      pool_manager_set_initializer (pool, "compile", g_variant_new ("(sb)", pattern, ignore_case), error) &&
      pool_manager_start (pool, error))
    return g_steal_pointer (&pool);
  return NULL;
}

int
main (int argc, char **argv)
{
  gboolean ignore_case = FALSE, with_number = FALSE;
  const GOptionEntry entries[] = {
    { "ignore-case", 'i', 0, G_OPTION_ARG_NONE, &ignore_case, "Do not tell upper from lower case", NULL },
    { "line-number", 'n', 0, G_OPTION_ARG_NONE, &with_number, "Print the numbers of lines", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) options = g_option_context_new ("PATTERN PATH...");
  g_autoptr (PoolManager) pool = NULL;
  g_autoptr (GRegex) checked = NULL;
  g_autoptr (GError) error = NULL;
  gboolean with_name;
  int status;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error) || argc < 3)
    {
      g_printerr ("grep-files: %s\n", error != NULL ? error->message : "usage: grep-files [-i] [-n] PATTERN PATH...");
      return 2;
    }
  /* what is wrong with the pattern is told before anybody works with it */
  checked = g_regex_new (argv[1], G_REGEX_RAW, 0, &error);
  if (checked != NULL)
    pool = make_pool (argv[1], ignore_case, &error);
  if (pool == NULL)
    {
      g_printerr ("grep-files: %s\n", error->message);
      return 2;
    }

  with_name = argc > 3 || g_file_test (argv[2], G_FILE_TEST_IS_DIR);
  status = grep (pool, argv + 2, with_name, with_number, &error);
  if (error != NULL || !pool_manager_close (pool, &error) || !pool_manager_join (pool, -1, &error))
    {
      g_printerr ("grep-files: %s\n", error->message);
      return 2;
    }
  return status;
}
