/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-launcher-spec-private.h"

#include "pool-error.h"

#include <string.h>
#include <sys/auxv.h>

#define SSH_VARIABLE "POOL_SSH"

typedef struct
{
  char *destination; /* [USER@]HOST */
  char *port;        /* NULL: ssh knows */
} PoolLauncherHost;

static void
host_free (gpointer data)
{
  PoolLauncherHost *host = data;

  g_free (host->destination);
  g_free (host->port);
  g_free (host);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolLauncherHost, host_free)

static gboolean
host_error (GError **error, const char *text, const char *what)
{
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The host \"%s\" of the launcher \"ssh\" %s; write ssh:[USER@]HOST[:PORT], several with commas between",
               text, what);
  return FALSE;
}

/* A name must not become an option of ssh, nor a command of what its configuration runs with it. */
static gboolean
is_name (const char *name, const char *refused)
{
  if (*name == '-' || *name == '\0')
    return FALSE;
  for (; *name != '\0'; name++)
    if (g_ascii_iscntrl (*name) || g_ascii_isspace (*name) || strchr (refused, *name) != NULL)
      return FALSE;
  return TRUE;
}

/* Splits HOST[:PORT] or [ADDRESS][:PORT]; *@port: "" with the colon and nothing behind it, NULL without. */
static gboolean
split_port (const char *text, char **host, const char **port, GError **error)
{
  const char *colon, *end;

  if (*text == '[')
    {
      end = strchr (text, ']');
      if (end == NULL || (end[1] != '\0' && end[1] != ':'))
        return host_error (error, text, "lacks a bracket at the end of its address");
      *host = g_strndup (text + 1, (gsize) (end - text) - 1);
      *port = end[1] == ':' ? end + 2 : NULL;
      return TRUE;
    }
  colon = strchr (text, ':');
  if (colon != NULL && strchr (colon + 1, ':') != NULL)
    return host_error (error, text, "has several colons: put an IPv6 address into brackets");
  *host = colon != NULL ? g_strndup (text, (gsize) (colon - text)) : g_strdup (text);
  *port = colon != NULL ? colon + 1 : NULL;
  return TRUE;
}

static PoolLauncherHost *
parse_host (const char *text, GError **error)
{
  g_autoptr (PoolLauncherHost) self = g_new0 (PoolLauncherHost, 1);
  const char *at = strrchr (text, '@'), *port = NULL;
  g_autofree char *user = at != NULL ? g_strndup (text, (gsize) (at - text)) : NULL;
  g_autofree char *host = NULL;
  guint64 number = 0;

  if (*text == '\0')
    {
      host_error (error, text, "has no name");
      return NULL;
    }
  if (!split_port (at != NULL ? at + 1 : text, &host, &port, error))
    return NULL;
  if (!is_name (host, "'`\"$\\;&<>|(){}@/") || (user != NULL && !is_name (user, "'`\";&<>|(){}")))
    {
      host_error (error, text, "is no name of a host, or of a user on one");
      return NULL;
    }
  if (port != NULL && !g_ascii_string_to_unsigned (port, 10, 1, 65535, &number, NULL))
    {
      host_error (error, text, "has a port that is no number from 1 to 65535");
      return NULL;
    }
  self->destination = user != NULL ? g_strconcat (user, "@", host, NULL) : g_strdup (host);
  self->port = port != NULL ? g_strdup_printf ("%u", (guint) number) : NULL;
  return g_steal_pointer (&self);
}

static gboolean
parse_hosts (PoolLauncherSpec *self, const char *rest, GError **error)
{
  g_auto (GStrv) names = g_strsplit (rest, ",", -1);

  self->hosts = g_ptr_array_new_with_free_func (host_free);
  if (names[0] == NULL)
    return host_error (error, "", "has no name");
  for (char **name = names; *name != NULL; name++)
    {
      PoolLauncherHost *host = parse_host (g_strstrip (*name), error);

      if (host == NULL)
        return FALSE;
      g_ptr_array_add (self->hosts, host);
    }
  return TRUE;
}

static gboolean
split_words (PoolLauncherSpec *self, const char *rest, const char *example, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (g_shell_parse_argv (rest, NULL, &self->words, &reason))
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "The launcher's words \"%s\" cannot be told apart: %s; write them as for sh, such as \"%s\"", rest,
               reason->message, example);
  return FALSE;
}

static gboolean
parse_slurm (PoolLauncherSpec *self, const char *rest, GError **error)
{
  if (*rest == '\0')
    return TRUE;
  if (!split_words (self, rest, "slurm:--partition=long --time=10", error))
    return FALSE;
  /* anything else were the program that srun is to run */
  if (self->words[0][0] != '-' || g_strv_contains ((const char *const *) self->words, "--"))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "What follows the launcher \"slurm:\" must be options of srun, \"%s\" is something else; such as "
                   "\"slurm:--partition=long --time=10\"",
                   rest);
      return FALSE;
    }
  return TRUE;
}

static gboolean
parse_template (PoolLauncherSpec *self, const char *rest, GError **error)
{
  return split_words (self, rest, "command:ssh -p 22 host {command}", error) &&
         pool_launcher_template_check ((const char *const *) self->words, error);
}

static gboolean
parse_local (PoolLauncherSpec *self, const char *rest, GError **error)
{
  if (*rest == '\0')
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "Nothing can follow the launcher \"local\", and \"%s\" does", rest);
  return FALSE;
}

static const struct
{
  const char *name;
  gboolean needs_more;
  gboolean (*parse) (PoolLauncherSpec *self, const char *rest, GError **error);
} kinds[] = {
  [POOL_LAUNCHER_LOCAL] = { "local", FALSE, parse_local },
  [POOL_LAUNCHER_SSH] = { "ssh", TRUE, parse_hosts },
  [POOL_LAUNCHER_SLURM] = { "slurm", FALSE, parse_slurm },
  [POOL_LAUNCHER_COMMAND] = { "command", TRUE, parse_template },
};

PoolLauncherSpec *
pool_launcher_spec_parse (const char *text, GError **error)
{
  g_autoptr (PoolLauncherSpec) self = g_new0 (PoolLauncherSpec, 1);
  g_autofree char *shown = g_utf8_make_valid (text, -1);
  gsize length = strcspn (text, ":");

  for (guint i = 0; i < G_N_ELEMENTS (kinds) && g_str_equal (shown, text); i++)
    {
      if (strlen (kinds[i].name) != length || strncmp (text, kinds[i].name, length) != 0 ||
          (kinds[i].needs_more && text[length] == '\0'))
        continue;
      self->kind = i;
      return kinds[i].parse (self, text + length + (text[length] == ':'), error) ? g_steal_pointer (&self)
                                                                                 : NULL;
    }
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "There is no launcher \"%s\"; there are \"local\", \"ssh:HOST,HOST\", \"slurm\", \"slurm:OPTIONS OF "
               "SRUN\" and \"command:COMMAND WITH {command}\"",
               shown);
  return NULL;
}

void
pool_launcher_spec_free (PoolLauncherSpec *self)
{
  g_clear_pointer (&self->hosts, g_ptr_array_unref);
  g_strfreev (self->words);
  g_free (self);
}

static char **
get_ssh_command (const PoolLauncherSpec *self, guint agent, const char *const *argv)
{
  /*
   * A line that is dead is noticed in a minute. No agent's connection is to carry that of another, which would end with it;
   * forwarded ports, which the user's configuration may ask for, can be had once only.
   */
  static const char *const options[] = {
    "-o", "BatchMode=yes",         "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=4", "-o", "ControlMaster=no",  "-o", "ClearAllForwardings=yes",
    "-T", "-x",                    NULL,
  };
  const char *given = getauxval (AT_SECURE) ? NULL : g_getenv (SSH_VARIABLE);
  const PoolLauncherHost *host = g_ptr_array_index (self->hosts, agent % self->hosts->len);
  g_autoptr (GStrvBuilder) out = g_strv_builder_new ();
  g_autofree char *command = pool_launcher_quote (argv);

  g_strv_builder_add (out, given != NULL && *given != '\0' ? given : "ssh");
  g_strv_builder_addv (out, (const char **) options);
  if (host->port != NULL)
    g_strv_builder_add_many (out, "-p", host->port, NULL);
  g_strv_builder_add_many (out, host->destination, "--", command, NULL);
  return g_strv_builder_end (out);
}

static char **
get_slurm_command (const PoolLauncherSpec *self, guint n_workers, const char *const *argv)
{
  g_autoptr (GStrvBuilder) out = g_strv_builder_new ();
  g_autofree char *cpus = g_strdup_printf ("--cpus-per-task=%u", MAX (n_workers, 1));

  g_strv_builder_add_many (out, "srun", "--job-name=pool-agent", "--input=none", "--kill-on-bad-exit=1", cpus, NULL);
  if (self->words != NULL)
    g_strv_builder_addv (out, (const char **) self->words);
  /* the user's options may change what precedes them, but a second agent of the same number must not be */
  g_strv_builder_add (out, "--ntasks=1");
  g_strv_builder_addv (out, (const char **) argv);
  return g_strv_builder_end (out);
}

char **
pool_launcher_spec_get_command (const PoolLauncherSpec *self, guint agent, guint n_workers,
                                const char *const *argv)
{
  switch (self->kind)
    {
    case POOL_LAUNCHER_SSH:
      return get_ssh_command (self, agent, argv);
    case POOL_LAUNCHER_SLURM:
      return get_slurm_command (self, n_workers, argv);
    case POOL_LAUNCHER_COMMAND:
      return pool_launcher_template_expand ((const char *const *) self->words, agent, n_workers, argv);
    case POOL_LAUNCHER_LOCAL:
    default:
      return g_strdupv ((char **) argv);
    }
}
