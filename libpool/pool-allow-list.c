/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-keys-file-private.h"

#include "pool-error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LIST_MAX (1024 * 1024)
#define MAX_FILES 65536
/* A change that follows another within the clock's step leaves no trace in the times of a file. */
#define SETTLED (2 * G_USEC_PER_SEC)

typedef struct
{
  guint8 key[POOL_KEY_SIZE];
  char *name;
} Client;

struct _PoolAllowList
{
  char *path;
  GArray *clients;
  char *state; /* of the files when they were read; NULL: not known */
};

static void
clear_client (gpointer data)
{
  g_free (((Client *) data)->name);
}

static GArray *
new_clients (void)
{
  GArray *clients = g_array_new (FALSE, TRUE, sizeof (Client));

  g_array_set_clear_func (clients, clear_client);
  return clients;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The names of the files of a folder that count, in order. */
static GPtrArray *
list_folder (const char *path, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) folder = g_dir_open (path, 0, &reason);
  const char *name;

  if (folder == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "The list of clients cannot be read: %s",
                   reason->message);
      return NULL;
    }
  while ((name = g_dir_read_name (folder)) != NULL && names->len < MAX_FILES)
    if (*name != '.' && g_str_has_suffix (name, POOL_KEY_PUBLIC_SUFFIX))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  return g_steal_pointer (&names);
}

static gboolean
append_state (GString *state, const char *path, struct stat *status)
{
  if (stat (path, status) != 0)
    return FALSE;
  g_string_append_printf (state, "%lu:%lu:%ld:%o:%u:%ld.%ld:%ld.%ld\n", (gulong) status->st_dev,
                          (gulong) status->st_ino, (glong) status->st_size, status->st_mode, status->st_uid,
                          (glong) status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
                          (glong) status->st_ctim.tv_sec, status->st_ctim.tv_nsec);
  return TRUE;
}

static gboolean
is_recent (const struct stat *status)
{
  return (gint64) status->st_ctim.tv_sec * G_USEC_PER_SEC + SETTLED > g_get_real_time ();
}

/* What would be different if it were changed. @settled: and it would be, whatever happens from now on */
static char *
get_state (const char *path, gboolean *settled)
{
  g_autoptr (GString) state = g_string_new (NULL);
  g_autoptr (GPtrArray) names = NULL;
  struct stat status;

  *settled = FALSE;
  if (!append_state (state, path, &status))
    return NULL;
  *settled = !is_recent (&status);
  if (S_ISDIR (status.st_mode))
    names = list_folder (path, NULL);
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *file = g_build_filename (path, name, NULL);

      g_string_append (state, name);
      if (!append_state (state, file, &status))
        return NULL;
      *settled = *settled && !is_recent (&status);
    }
  return g_string_free (g_steal_pointer (&state), FALSE);
}

/* @known: by key as text, what is there already */
static void
add_client (GArray *clients, GHashTable *known, const guint8 *key, const char *name)
{
  char text[POOL_KEY_TEXT_SIZE];
  Client client;

  pool_key_encode (key, text);
  if (!g_hash_table_add (known, g_strdup (text)))
    return;
  memcpy (client.key, key, POOL_KEY_SIZE);
  client.name = g_strdup (*name != '\0' ? name : text);
  g_array_append_val (clients, client);
}

static gboolean
is_client_name (const char *name)
{
  if (!g_utf8_validate (name, -1, NULL))
    return FALSE;
  for (; *name != '\0'; name = g_utf8_next_char (name))
    if (g_unichar_iscntrl (g_utf8_get_char (name)))
      return FALSE;
  return TRUE;
}

static gboolean
line_error (GError **error, guint number, const char *path, const char *what)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "Line %u of %s %s", number, shown, what);
  return FALSE;
}

static gboolean
read_file (const char *path, GArray *clients, GHashTable *known, GError **error)
{
  g_auto (PoolKeysFile) file = { 0 };
  char *line;

  if (!pool_keys_file_open (&file, path, POOL_KEYS_OWN, LIST_MAX, error))
    return FALSE;
  while ((line = pool_keys_file_next (&file)) != NULL)
    {
      /* several public key files, one after the other, are a list as well */
      char *value = pool_keys_get_value (line, "public");
      char *name;
      guint8 key[POOL_KEY_SIZE];

      if (pool_keys_get_value (line, "secret") != NULL)
        return line_error (error, file.number, path,
                           "is a secret key, which is to stay with its owner: give public keys");
      value = value != NULL ? value : line;
      name = value + strcspn (value, " \t");
      if (*name != '\0')
        *name++ = '\0';
      g_strchug (name);
      if (!pool_key_decode (value, key))
        return line_error (error, file.number, path,
                           "does not begin with a key (40 characters of Z85): write KEY or KEY NAME, or # before a comment");
      if (!is_client_name (name))
        return line_error (error, file.number, path, "has a name that is not plain UTF-8: write another one");
      add_client (clients, known, key, name);
    }
  return TRUE;
}

static gboolean
read_folder (const char *path, GArray *clients, GHashTable *known, GError **error)
{
  g_autoptr (GPtrArray) names = list_folder (path, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autofree char *stem = g_strndup (name, strlen (name) - strlen (POOL_KEY_PUBLIC_SUFFIX));
      g_autofree char *shown = g_filename_display_name (stem);
      guint8 key[POOL_KEY_SIZE];

      if (!pool_keys_read_public_file (file, POOL_KEYS_OWN, key, error))
        return FALSE;
      add_client (clients, known, key, shown);
    }
  return names != NULL;
}

static GArray *
read_clients (const char *path, GError **error)
{
  g_autoptr (GArray) clients = new_clients ();
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  struct stat status;
  gboolean ok;

  if (stat (path, &status) == 0 && S_ISDIR (status.st_mode))
    ok = pool_keys_check (&status, path, POOL_KEYS_OWN, error) && read_folder (path, clients, known, error);
  else
    ok = read_file (path, clients, known, error);
  return ok ? g_steal_pointer (&clients) : NULL;
}

static gboolean
are_equal (const GArray *a, const GArray *b)
{
  if (a->len != b->len)
    return FALSE;
  for (guint i = 0; i < a->len; i++)
    {
      const Client *one = &g_array_index (a, Client, i), *other = &g_array_index (b, Client, i);

      if (memcmp (one->key, other->key, POOL_KEY_SIZE) != 0 || !g_str_equal (one->name, other->name))
        return FALSE;
    }
  return TRUE;
}

PoolAllowList *
pool_allow_list_new (const char *path, GError **error)
{
  g_autoptr (PoolAllowList) self = g_new0 (PoolAllowList, 1);

  self->path = g_strdup (path);
  self->clients = new_clients ();
  return pool_allow_list_refresh (self, NULL, error) ? g_steal_pointer (&self) : NULL;
}

void
pool_allow_list_free (PoolAllowList *self)
{
  if (self == NULL)
    return;
  g_free (self->path);
  g_free (self->state);
  g_array_unref (self->clients);
  g_free (self);
}

gboolean
pool_allow_list_refresh (PoolAllowList *self, gboolean *changed, GError **error)
{
  gboolean settled;
  /* before it is read: what is changed meanwhile is seen the next time */
  g_autofree char *state = get_state (self->path, &settled);
  g_autoptr (GArray) clients = NULL;

  if (changed != NULL)
    *changed = FALSE;
  if (self->state != NULL && g_strcmp0 (state, self->state) == 0)
    return TRUE;
  clients = read_clients (self->path, error);
  if (clients == NULL)
    return FALSE;
  if (changed != NULL)
    *changed = !are_equal (clients, self->clients);
  g_array_unref (self->clients);
  self->clients = g_steal_pointer (&clients);
  g_free (self->state);
  self->state = settled ? g_steal_pointer (&state) : NULL;
  return TRUE;
}

guint
pool_allow_list_get_size (const PoolAllowList *self)
{
  return self->clients->len;
}

const char *
pool_allow_list_find (const PoolAllowList *self, const guint8 *key)
{
  guint found = 0;

  for (guint i = 0; i < self->clients->len; i++)
    {
      const Client *client = &g_array_index (self->clients, Client, i);
      /* so that the compiler does not stop at the first difference */
      volatile guint8 difference = 0;

      for (guint j = 0; j < POOL_KEY_SIZE; j++)
        difference |= client->key[j] ^ key[j];
      /* all ones if there is none */
      found |= (i + 1) & (0U - (((guint) difference - 1U) >> 31));
    }
  return found != 0 ? g_array_index (self->clients, Client, found - 1).name : NULL;
}

const char *
pool_allow_list_find_text (const PoolAllowList *self, const char *text)
{
  guint8 key[POOL_KEY_SIZE];

  return pool_key_decode (text, key) ? pool_allow_list_find (self, key) : NULL;
}
