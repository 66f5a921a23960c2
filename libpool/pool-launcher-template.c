/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-launcher-spec-private.h"

#include "pool-error.h"

#include <string.h>

/*
 * A command of the user with places for the agent. A place is a name in braces; other braces, and ${NAME}, which is for a
 * shell that the template may run, stay as they are.
 */

typedef enum
{
  PLACE_COMMAND,
  PLACE_ARGV,
  PLACE_N,
  PLACE_AGENT,
  PLACE_UNKNOWN,
} Place;

static const char *const place_names[] = { "command", "argv", "n", "agent" };

#define PLACES_TEXT "{command} (the agent's command line as one word), {argv} (its words), {n} (its workers) and {agent} (its number)"

/* The next place from @text on; *@end: behind it. NULL: there is none. */
static const char *
find_place (const char *text, const char **end, Place *place)
{
  for (const char *p = strchr (text, '{'); p != NULL; p = strchr (p + 1, '{'))
    {
      gsize length = strspn (p + 1, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_");

      if (length == 0 || p[1 + length] != '}' || (p > text && p[-1] == '$'))
        continue;
      *end = p + length + 2;
      *place = PLACE_UNKNOWN;
      for (guint i = 0; i < G_N_ELEMENTS (place_names); i++)
        if (strlen (place_names[i]) == length && strncmp (p + 1, place_names[i], length) == 0)
          *place = i;
      return p;
    }
  return NULL;
}

static gboolean
check_word (const char *word, gboolean *has_agent, GError **error)
{
  const char *end = word, *start;
  Place place;

  for (const char *p = word; (start = find_place (p, &end, &place)) != NULL; p = end)
    {
      if (place == PLACE_UNKNOWN)
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                       "%.*s in a launcher's command stands for nothing; there are " PLACES_TEXT,
                       (int) (end - start), start);
          return FALSE;
        }
      if (place == PLACE_ARGV && (start != word || *end != '\0'))
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                       "{argv} in the word \"%s\" of a launcher's command cannot become several words: let it "
                       "be a word of its own, or use {command}",
                       word);
          return FALSE;
        }
      if (place == PLACE_COMMAND || place == PLACE_ARGV)
        *has_agent = TRUE;
    }
  return TRUE;
}

gboolean
pool_launcher_template_check (const char *const *words, GError **error)
{
  gboolean has_agent = FALSE;

  for (const char *const *word = words; *word != NULL; word++)
    if (!check_word (*word, &has_agent, error))
      return FALSE;
  if (!has_agent)
    {
      g_autofree char *text = g_strjoinv (" ", (char **) words);

      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The launcher's command \"%s\" does not say where the agent's goes; there are " PLACES_TEXT,
                   text);
      return FALSE;
    }
  if (strstr (words[0], "{command}") != NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "A launcher's command cannot begin with {command}, which is no program's name: write {argv}, "
                   "or sh -c {command}");
      return FALSE;
    }
  return TRUE;
}

char *
pool_launcher_quote (const char *const *argv)
{
  g_autoptr (GPtrArray) quoted = g_ptr_array_new_with_free_func (g_free);

  for (; *argv != NULL; argv++)
    g_ptr_array_add (quoted, g_shell_quote (*argv));
  g_ptr_array_add (quoted, NULL);
  return g_strjoinv (" ", (char **) quoted->pdata);
}

static void
append_place (GString *out, Place place, guint agent, guint n_workers, const char *const *argv)
{
  g_autofree char *command = NULL;

  switch (place)
    {
    case PLACE_COMMAND:
      command = pool_launcher_quote (argv);
      g_string_append (out, command);
      break;
    case PLACE_N:
      g_string_append_printf (out, "%u", n_workers);
      break;
    case PLACE_AGENT:
      g_string_append_printf (out, "%u", agent);
      break;
    case PLACE_ARGV:
    case PLACE_UNKNOWN:
    default:
      g_assert_not_reached ();
    }
}

char **
pool_launcher_template_expand (const char *const *words, guint agent, guint n_workers,
                               const char *const *argv)
{
  g_autoptr (GStrvBuilder) out = g_strv_builder_new ();

  for (; *words != NULL; words++)
    {
      g_autoptr (GString) word = g_string_new (NULL);
      const char *p = *words, *end = p, *start;
      Place place;

      if (g_str_equal (*words, "{argv}"))
        {
          g_strv_builder_addv (out, (const char **) argv);
          continue;
        }
      for (; (start = find_place (p, &end, &place)) != NULL; p = end)
        {
          g_string_append_len (word, p, start - p);
          append_place (word, place, agent, n_workers, argv);
        }
      g_string_append (word, p);
      g_strv_builder_add (out, word->str);
    }
  return g_strv_builder_end (out);
}
