/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-cli.h"

#include "libpool/pool-keys-private.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

static gboolean
make_pair (PoolKeyPair *pair, GError **error)
{
  char public_text[POOL_KEY_TEXT_SIZE], secret_text[POOL_KEY_TEXT_SIZE];
  gboolean ok;

  if (zmq_curve_keypair (public_text, secret_text) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "ZeroMQ cannot make keys: %s; it needs a libzmq that was built with CURVE", zmq_strerror (errno));
      return FALSE;
    }
  ok = pool_key_decode (public_text, pair->public_key) && pool_key_decode (secret_text, pair->secret_key);
  explicit_bzero (secret_text, sizeof secret_text);
  if (!ok)
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "ZeroMQ made keys that are none");
  return ok;
}

static int
make_files (const char *name, gboolean force, gboolean public_only)
{
  g_auto (PoolKeyPair) pair = { 0 };
  g_autoptr (GError) error = NULL;
  char text[POOL_KEY_TEXT_SIZE];

  if (!make_pair (&pair, &error))
    return pool_cli_error (error, POOL_CLI_EXIT_FAILED);
  if (!pool_key_pair_write (&pair, name, force, &error))
    return pool_cli_error (error, POOL_CLI_EXIT_USAGE);
  pool_key_encode (pair.public_key, text);
  if (public_only)
    g_print ("%s\n", text);
  else
    g_print ("secret: %s" POOL_KEY_SECRET_SUFFIX "\npublic: %s" POOL_KEY_PUBLIC_SUFFIX "\nkey:    %s\n", name, name,
             text);
  return POOL_CLI_EXIT_OK;
}

int
main (int argc, char **argv)
{
  gboolean force = FALSE, public_only = FALSE, version = FALSE;
  int status = POOL_CLI_EXIT_OK;
  g_auto (GStrv) names = NULL;
  const GOptionEntry entries[] = {
    { "force", 0, 0, G_OPTION_ARG_NONE, &force, "Replace files that there are", NULL },
    { "print-public", 0, 0, G_OPTION_ARG_NONE, &public_only, "Print nothing but the public key", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, NULL, "NAME…" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  pool_cli_begin ("pool keygen");
  g_option_context_set_summary (context, "Make a pair of keys for each name: NAME.key, which is secret, and NAME.pub, for others.");
  if (!pool_cli_parse (context, entries, argv, &version, &error))
    return pool_cli_usage_error (error);
  if (version)
    return POOL_CLI_EXIT_OK;
  if (names == NULL)
    {
      error = g_error_new_literal (G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "Which name are the keys to have?");
      return pool_cli_usage_error (error);
    }
  for (char **name = names; *name != NULL && status == POOL_CLI_EXIT_OK; name++)
    status = make_files (*name, force, public_only);
  return pool_cli_end (status);
}
