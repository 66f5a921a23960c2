/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-keys-file-private.h"

#include "pool-error.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two keys and whatever somebody has to say about them. */
#define KEY_FILE_MAX 16384

static const char digits[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/* Five characters are four bytes, the most significant first. */
void
pool_key_encode (const guint8 *key, char *text)
{
  for (guint i = 0; i < POOL_KEY_SIZE; i += 4, text += 5)
    {
      guint32 value =
          (guint32) key[i] << 24 | (guint32) key[i + 1] << 16 | (guint32) key[i + 2] << 8 | key[i + 3];

      for (int j = 4; j >= 0; j--, value /= 85)
        text[j] = digits[value % 85];
    }
  *text = '\0';
}

gboolean
pool_key_decode (const char *text, guint8 *key)
{
  memset (key, 0, POOL_KEY_SIZE);
  if (strlen (text) != POOL_KEY_TEXT_SIZE - 1)
    return FALSE;
  for (guint i = 0; i < POOL_KEY_SIZE; i += 4)
    {
      guint64 value = 0;

      for (guint j = 0; j < 5; j++)
        {
          const char *digit = strchr (digits, *text++);

          /* more than four bytes, also after a character that is none */
          value = digit != NULL ? value * 85 + (guint64) (digit - digits) : G_MAXUINT32 + G_GUINT64_CONSTANT (1);
          if (value > G_MAXUINT32)
            {
              memset (key, 0, POOL_KEY_SIZE);
              return FALSE;
            }
        }
      for (guint j = 0; j < 4; j++)
        key[i + j] = (guint8) (value >> (24 - 8 * j));
    }
  return TRUE;
}

void
pool_key_pair_clear (PoolKeyPair *self)
{
  explicit_bzero (self, sizeof *self);
}

static gboolean
take_key (const PoolKeysFile *file, const char *shown, const char *name, const char *value, guint8 *key,
          gboolean *has_key, GError **error)
{
  if (*has_key)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "%s has a second %s key on line %u: remove one of them", shown, name, file->number);
      return FALSE;
    }
  if (!pool_key_decode (value, key))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "The %s key on line %u of %s is not 40 characters of Z85: copy the file again, or make new keys "
                   "with \"pool keygen\"",
                   name, file->number, shown);
      return FALSE;
    }
  *has_key = TRUE;
  return TRUE;
}

/* What there is of a pair */
static gboolean
parse_pair (PoolKeysFile *file, const char *path, PoolKeyPair *pair, gboolean *has_public, gboolean *has_secret,
            GError **error)
{
  g_autofree char *shown = g_filename_display_name (path);
  char *line, *value;

  *has_public = *has_secret = FALSE;
  while ((line = pool_keys_file_next (file)) != NULL)
    {
      gboolean ok;

      if ((value = pool_keys_get_value (line, "public")) != NULL)
        ok = take_key (file, shown, "public", value, pair->public_key, has_public, error);
      else if ((value = pool_keys_get_value (line, "secret")) != NULL)
        ok = take_key (file, shown, "secret", value, pair->secret_key, has_secret, error);
      else
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                       "Line %u of %s is neither \"public = KEY\" nor \"secret = KEY\": give a file that \"pool "
                       "keygen\" made",
                       file->number, shown);
          ok = FALSE;
        }
      if (!ok)
        return FALSE;
    }
  if (*has_public)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "%s has no line \"public = KEY\": give a file that \"pool keygen\" made", shown);
  return FALSE;
}

gboolean
pool_key_pair_read (PoolKeyPair *self, const char *path, GError **error)
{
  g_auto (PoolKeysFile) file = { 0 };
  g_auto (PoolKeyPair) pair = { 0 };
  gboolean has_public, has_secret;
  g_autofree char *shown = g_filename_display_name (path);

  memset (self, 0, sizeof *self);
  if (!pool_keys_file_open (&file, path, POOL_KEYS_SECRET, KEY_FILE_MAX, error) ||
      !parse_pair (&file, path, &pair, &has_public, &has_secret, error))
    return FALSE;
  if (!has_secret)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "%s has no line \"secret = KEY\": give the file that ends in " POOL_KEY_SECRET_SUFFIX, shown);
      return FALSE;
    }
  *self = pair;
  return TRUE;
}

gboolean
pool_keys_read_public_file (const char *path, PoolKeysTrust trust, guint8 *key, GError **error)
{
  g_auto (PoolKeysFile) file = { 0 };
  g_auto (PoolKeyPair) pair = { 0 };
  gboolean has_public, has_secret;
  g_autofree char *shown = g_filename_display_name (path);

  if (!pool_keys_file_open (&file, path, trust, KEY_FILE_MAX, error) ||
      !parse_pair (&file, path, &pair, &has_public, &has_secret, error))
    return FALSE;
  if (has_secret)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "%s holds a secret key, which is to stay with its owner: give the file that ends in "
                   POOL_KEY_PUBLIC_SUFFIX,
                   shown);
      return FALSE;
    }
  memcpy (key, pair.public_key, POOL_KEY_SIZE);
  return TRUE;
}

static gboolean
is_path (const char *where)
{
  struct stat status;

  return (g_str_has_prefix (where, "/") || g_str_has_prefix (where, "./") || g_str_has_prefix (where, "../")) &&
         stat (where, &status) == 0;
}

gboolean
pool_key_read_public (const char *where, guint8 *key, GError **error)
{
  if (pool_key_decode (where, key) && !is_path (where))
    return TRUE;
  memset (key, 0, POOL_KEY_SIZE);
  return pool_keys_read_public_file (where, POOL_KEYS_PUBLIC, key, error);
}

static gboolean
is_free (const char *path, GError **error)
{
  struct stat status;

  if (lstat (path, &status) != 0)
    return TRUE;
  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
               "%s exists: take another name, or replace it with \"pool keygen --force\"", path);
  return FALSE;
}

gboolean
pool_key_pair_write (const PoolKeyPair *self, const char *name, gboolean force, GError **error)
{
  g_autofree char *secret_path = g_strconcat (name, POOL_KEY_SECRET_SUFFIX, NULL);
  g_autofree char *public_path = g_strconcat (name, POOL_KEY_PUBLIC_SUFFIX, NULL);
  char public_text[POOL_KEY_TEXT_SIZE], secret_text[POOL_KEY_TEXT_SIZE];
  g_autofree char *public_file = NULL;
  char *secret_file;
  gboolean ok;

  if (*name == '\0' || g_str_has_suffix (name, "/"))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                   "Keys need the name of a file, and \"%s\" is none", name);
      return FALSE;
    }
  if (!force && (!is_free (secret_path, error) || !is_free (public_path, error)))
    return FALSE;
  pool_key_encode (self->public_key, public_text);
  pool_key_encode (self->secret_key, secret_text);
  public_file = g_strdup_printf ("# A public key of libpool\npublic = %s\n", public_text);
  secret_file = g_strdup_printf ("# A secret key of libpool, for you alone; the file that ends in " POOL_KEY_PUBLIC_SUFFIX
                                 " is for others\npublic = %s\nsecret = %s\n",
                                 public_text, secret_text);
  ok = pool_keys_file_write (secret_path, secret_file, 0600, force, error);
  explicit_bzero (secret_text, sizeof secret_text);
  explicit_bzero (secret_file, strlen (secret_file));
  g_free (secret_file);
  if (!ok)
    return FALSE;
  ok = pool_keys_file_write (public_path, public_file, 0644, force, error);
  if (!ok && !force)
    unlink (secret_path);
  return ok;
}
