/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli-template.h"

#include <string.h>

/*
 * A command with places for the input, in GNU parallel's words. Of several words the command is run
 * as it is, no shell sees it. One word that only a shell can understand is given to the shell, and
 * the inputs are quoted for it: a file name never becomes a command.
 */

typedef enum
{
  PLACE_NONE,
  PLACE_INPUT,
  PLACE_NO_EXTENSION,
  PLACE_BASE,
  PLACE_FOLDER,
  PLACE_BASE_NO_EXTENSION,
  PLACE_SEQ,
} Place;

static const struct
{
  const char *text;
  Place place;
} places[] = {
  { "{}", PLACE_INPUT },         { "{.}", PLACE_NO_EXTENSION },        { "{/}", PLACE_BASE },
  { "{//}", PLACE_FOLDER },      { "{/.}", PLACE_BASE_NO_EXTENSION }, { "{#}", PLACE_SEQ },
};

struct _PoolCliTemplate
{
  char **words;
  gboolean shell;
};

static Place
find_place (const char *text, gsize *length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    if (g_str_has_prefix (text, places[i].text))
      {
        *length = strlen (places[i].text);
        return places[i].place;
      }
  return PLACE_NONE;
}

static gboolean
is_plain (char c)
{
  return g_ascii_isalnum (c) || strchr ("_@%+=:,./-", c) != NULL;
}

/* Quotes @text for a shell, if it needs it. */
char *
pool_cli_quote (const char *text)
{
  const char *p = text;

  while (*p != '\0' && is_plain (*p))
    p++;
  return *text != '\0' && *p == '\0' ? g_strdup (text) : g_shell_quote (text);
}

static gboolean
needs_shell (const char *word)
{
  gsize length;

  while (*word != '\0')
    {
      if (find_place (word, &length) != PLACE_NONE)
        word += length;
      else if (is_plain (*word))
        word++;
      else
        return TRUE;
    }
  return FALSE;
}

static gboolean
has_place (char **words)
{
  gsize length;

  for (; *words != NULL; words++)
    for (const char *p = strchr (*words, '{'); p != NULL; p = strchr (p + 1, '{'))
      if (find_place (p, &length) != PLACE_NONE)
        return TRUE;
  return FALSE;
}

/* @words: the command, not empty */
PoolCliTemplate *
pool_cli_template_new (char **words)
{
  PoolCliTemplate *self = g_new0 (PoolCliTemplate, 1);
  gboolean append = !has_place (words);
  gsize n = g_strv_length (words);

  self->shell = n == 1 && needs_shell (words[0]);
  self->words = g_new0 (char *, n + 2);
  for (gsize i = 0; i < n; i++)
    self->words[i] = g_strdup (words[i]);
  if (append && self->shell)
    {
      g_free (self->words[0]);
      self->words[0] = g_strconcat (words[0], " {}", NULL);
    }
  else if (append)
    self->words[n] = g_strdup ("{}");
  return self;
}

void
pool_cli_template_free (PoolCliTemplate *self)
{
  g_strfreev (self->words);
  g_free (self);
}

gboolean
pool_cli_template_is_shell (PoolCliTemplate *self)
{
  return self->shell;
}

static const char *
skip_folder (const char *input)
{
  const char *slash = strrchr (input, '/');

  return slash != NULL ? slash + 1 : input;
}

/* As GNU parallel: the last dot of the name and what follows it. */
static char *
drop_extension (const char *input)
{
  const char *dot = strrchr (skip_folder (input), '.');

  if (dot == NULL || dot[1] == '\0')
    return g_strdup (input);
  return g_strndup (input, (gsize) (dot - input));
}

static char *
fill_place (Place place, const char *input, guint64 seq)
{
  switch (place)
    {
    case PLACE_NO_EXTENSION:
      return drop_extension (input);
    case PLACE_BASE:
      return g_strdup (skip_folder (input));
    case PLACE_FOLDER:
      return g_path_get_dirname (input);
    case PLACE_BASE_NO_EXTENSION:
      return drop_extension (skip_folder (input));
    case PLACE_SEQ:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, seq);
    case PLACE_INPUT:
    case PLACE_NONE:
    default:
      return g_strdup (input);
    }
}

static char *
expand_word (PoolCliTemplate *self, const char *word, const char *input, guint64 seq)
{
  GString *out = g_string_new (NULL);

  while (*word != '\0')
    {
      g_autofree char *value = NULL;
      g_autofree char *quoted = NULL;
      gsize length = 1;
      Place place = find_place (word, &length);

      if (place == PLACE_NONE)
        g_string_append_c (out, *word);
      else
        {
          value = fill_place (place, input, seq);
          quoted = self->shell ? pool_cli_quote (value) : NULL;
          g_string_append (out, self->shell ? quoted : value);
        }
      word += length;
    }
  return g_string_free (out, FALSE);
}

/* Returns: (transfer full): the words to run; for a shell template one word, its command line */
char **
pool_cli_template_expand (PoolCliTemplate *self, const char *input, guint64 seq)
{
  gsize n = g_strv_length (self->words);
  char **argv = g_new0 (char *, n + 1);

  for (gsize i = 0; i < n; i++)
    argv[i] = expand_word (self, self->words[i], input, seq);
  return argv;
}

/* Returns: (transfer full): the command as one could type it into a shell */
char *
pool_cli_template_describe (PoolCliTemplate *self, char **argv)
{
  g_autoptr (GPtrArray) quoted = NULL;

  if (self->shell)
    return g_strdup (argv[0]);
  quoted = g_ptr_array_new_with_free_func (g_free);
  for (; *argv != NULL; argv++)
    g_ptr_array_add (quoted, pool_cli_quote (*argv));
  g_ptr_array_add (quoted, NULL);
  return g_strjoinv (" ", (char **) quoted->pdata);
}
