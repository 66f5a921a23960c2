/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-cli.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>

/*
 * As it is: GLib's own handlers turn what the locale's charset lacks into “?”, in file names and
 * JSON too.
 */
static void
print_raw (const char *text)
{
  fputs (text, stdout);
}

static void
print_error_raw (const char *text)
{
  fputs (text, stderr);
}

void
pool_cli_begin (const char *name)
{
  setlocale (LC_ALL, "");
  g_set_prgname (name);
  g_set_print_handler (print_raw);
  g_set_printerr_handler (print_error_raw);
}

/* A list that did not arrive, on a full disk, is a failure. Returns: the program's status */
int
pool_cli_end (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  g_printerr ("pool: Cannot write: %s\n", g_strerror (errno));
  return status == POOL_CLI_EXIT_OK ? POOL_CLI_EXIT_FAILED : status;
}

int
pool_cli_error (const GError *error, int status)
{
  g_printerr ("pool: %s\n", error->message);
  return status;
}

/* Of a pool that could not be started: what was asked for, or what went wrong. */
int
pool_cli_start_error (const GError *error)
{
  gboolean usage = error->domain == G_IO_ERROR ||
                   g_error_matches (error, POOL_ERROR, POOL_ERROR_NO_SUCH_TASK) ||
                   g_error_matches (error, POOL_ERROR, POOL_ERROR_NO_SUCH_BACKEND) ||
                   g_error_matches (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);

  return pool_cli_error (error, usage ? POOL_CLI_EXIT_USAGE : POOL_CLI_EXIT_FAILED);
}

int
pool_cli_usage_error (const GError *error)
{
  g_printerr ("pool: %s\nTry “%s --help”.\n", error->message, g_get_prgname ());
  return POOL_CLI_EXIT_USAGE;
}

static const GOptionEntry *
find_short (const GOptionEntry *entries, char letter)
{
  for (; entries->long_name != NULL; entries++)
    if (entries->short_name == letter && letter != '\0')
      return entries;
  return NULL;
}

static const GOptionEntry *
find_long (const GOptionEntry *entries, const char *name)
{
  for (; entries->long_name != NULL; entries++)
    if (g_str_equal (entries->long_name, name))
      return entries;
  return NULL;
}

static gboolean
takes_value (const GOptionEntry *entry)
{
  return entry != NULL && entry->arg != G_OPTION_ARG_NONE && entry->arg != G_OPTION_ARG_CALLBACK;
}

/*
 * Copies one group of short options, “-kj4” as “-k” “-j” “4”. Returns: whether the value is the
 * next word.
 */
static gboolean
split_group (const GOptionEntry *entries, const char *word, GStrvBuilder *out)
{
  for (const char *p = word + 1; *p != '\0'; p++)
    {
      g_autofree char *option = g_strdup_printf ("-%c", *p);

      g_strv_builder_add (out, option);
      if (takes_value (find_short (entries, *p)))
        {
          if (p[1] != '\0')
            g_strv_builder_add (out, p + 1);
          return p[1] == '\0';
        }
    }
  return FALSE;
}

/* GOption wants a space between a short option and its value; everybody writes -j4. */
static char **
split_short_options (const GOptionEntry *entries, char **argv, gboolean posix)
{
  g_autoptr (GStrvBuilder) out = g_strv_builder_new ();
  char **p = argv;

  g_strv_builder_add (out, *p++);
  for (; *p != NULL; p++)
    {
      gboolean value_follows = FALSE;

      if (g_str_equal (*p, "--") || (posix && (**p != '-' || g_str_equal (*p, "-"))))
        break;
      if (g_str_has_prefix (*p, "--"))
        {
          g_strv_builder_add (out, *p);
          value_follows = takes_value (find_long (entries, *p + 2));
        }
      /*
       * only words that begin with a known option: “-1” and the like are for GOption to complain
       * about
       */
      else if (**p == '-' && find_short (entries, (*p)[1]) != NULL)
        value_follows = split_group (entries, *p, out);
      else
        g_strv_builder_add (out, *p);
      if (value_follows && p[1] != NULL)
        g_strv_builder_add (out, *++p);
    }
  g_strv_builder_addv (out, (const char **) p);
  return g_strv_builder_end (out);
}

/*
 * Parses the words of a command; what is no option goes where @entries says that the rest goes.
 * Ends the program when help is asked for, as GOption does. @version is set when the version was
 * printed instead.
 */
gboolean
pool_cli_parse (GOptionContext *context, const GOptionEntry *entries, char **argv,
                gboolean *version, GError **error)
{
  gboolean show_version = FALSE;
  const GOptionEntry version_entries[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, &show_version, "Show the version", NULL },
    { NULL },
  };
  g_auto (GStrv) words =
      split_short_options (entries, argv, g_option_context_get_strict_posix (context));

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, version_entries, NULL);
  if (!g_option_context_parse_strv (context, &words, error))
    return FALSE;
  *version = show_version;
  if (show_version)
    g_print ("pool (libpool) %s\n", POOL_VERSION_S);
  return TRUE;
}
