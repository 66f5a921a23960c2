/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-config.h"

#include "pool-service-error.h"

#define GIB (G_GUINT64_CONSTANT (1024) * 1024 * 1024)

static const guint64 client_limits[] = { 16, 64, 100000, 2 * GIB };
static const guint64 user_limits[] = { 64, 256, 400000, 4 * GIB };

G_STATIC_ASSERT (G_N_ELEMENTS (client_limits) == POOL_SERVICE_N_LIMITS);
G_STATIC_ASSERT (G_N_ELEMENTS (user_limits) == POOL_SERVICE_N_LIMITS);

/* --- reading; each takes the key away that it has read --- */

static gboolean
was_read (GKeyFile *file, const char *group, const char *key, GError *failure, GError **error)
{
  if (failure != NULL)
    {
      g_propagate_error (error, failure);
      return FALSE;
    }
  return g_key_file_remove_key (file, group, key, error);
}

static gboolean
read_number (GKeyFile *file, const char *group, const char *key, guint64 *number, GError **error)
{
  GError *failure = NULL;

  if (!g_key_file_has_key (file, group, key, NULL))
    return TRUE;
  *number = g_key_file_get_uint64 (file, group, key, &failure);
  return was_read (file, group, key, failure, error);
}

static gboolean
read_seconds (GKeyFile *file, const char *key, double *seconds, GError **error)
{
  GError *failure = NULL;

  if (!g_key_file_has_key (file, "Service", key, NULL))
    return TRUE;
  *seconds = g_key_file_get_double (file, "Service", key, &failure);
  if (failure == NULL && !(*seconds > 0 && *seconds <= 1e9))
    g_set_error (&failure, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s must be more than 0 and at most 1e9 seconds", key);
  return was_read (file, "Service", key, failure, error);
}

static gboolean
read_list (GKeyFile *file, const char *key, char ***list, GError **error)
{
  GError *failure = NULL;

  if (!g_key_file_has_key (file, "Service", key, NULL))
    return TRUE;
  g_strfreev (*list);
  *list = g_key_file_get_string_list (file, "Service", key, NULL, &failure);
  return was_read (file, "Service", key, failure, error);
}

static gboolean
read_flag (GKeyFile *file, const char *key, gboolean *flag, GError **error)
{
  GError *failure = NULL;

  if (!g_key_file_has_key (file, "Service", key, NULL))
    return TRUE;
  *flag = g_key_file_get_boolean (file, "Service", key, &failure);
  return was_read (file, "Service", key, failure, error);
}

static gboolean
read_limits (GKeyFile *file, const char *group, guint64 *limits, GError **error)
{
  static const char *const keys[] = { "MaxPools", "MaxWorkers", "MaxTasks", "MaxBytes" };

  G_STATIC_ASSERT (G_N_ELEMENTS (keys) == POOL_SERVICE_N_LIMITS);
  for (guint i = 0; i < POOL_SERVICE_N_LIMITS; i++)
    if (!read_number (file, group, keys[i], &limits[i], error))
      return FALSE;
  return TRUE;
}

/* A limit that is misspelt must not be none. */
static gboolean
check_nothing_left (GKeyFile *file, const char *path, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);

  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) keys = g_key_file_get_keys (file, *group, NULL, NULL);

      if (keys != NULL && keys[0] != NULL)
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "%s: there is no key %s in [%s]", path, keys[0], *group);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
check_directories (char **directories, GError **error)
{
  for (char **directory = directories; *directory != NULL; directory++)
    if (!g_path_is_absolute (*directory) || strchr (*directory, G_SEARCHPATH_SEPARATOR) != NULL)
      {
        g_set_error (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                     "ModuleDirectories: “%s” must be an absolute path without a colon", *directory);
        return FALSE;
      }
  return TRUE;
}

PoolServiceConfig *
pool_service_config_new (const char *path, GError **error)
{
  static const char *const backends[] = { "fork", NULL };
  static const char *const none[] = { NULL };
  g_autoptr (PoolServiceConfig) self = g_new0 (PoolServiceConfig, 1);
  g_autoptr (GKeyFile) file = g_key_file_new ();

  memcpy (self->client, client_limits, sizeof client_limits);
  memcpy (self->user, user_limits, sizeof user_limits);
  self->backends = g_strdupv ((char **) backends);
  self->module_directories = g_strdupv ((char **) none);
  self->idle_timeout = 30;
  self->result_lifetime = 600;
  self->durable_lifetime = 7 * 24 * 3600;
  if (path == NULL)
    return g_steal_pointer (&self);

  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, error) ||
      !read_limits (file, "Client", self->client, error) || !read_limits (file, "User", self->user, error) ||
      !read_list (file, "Backends", &self->backends, error) ||
      !read_list (file, "ModuleDirectories", &self->module_directories, error) ||
      !read_flag (file, "AllowExec", &self->allow_exec, error) ||
      !read_seconds (file, "IdleTimeout", &self->idle_timeout, error) ||
      !read_seconds (file, "ResultLifetime", &self->result_lifetime, error) ||
      !read_seconds (file, "DurableLifetime", &self->durable_lifetime, error) ||
      !check_nothing_left (file, path, error) || !check_directories (self->module_directories, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
pool_service_config_free (PoolServiceConfig *self)
{
  if (self == NULL)
    return;
  g_strfreev (self->backends);
  g_strfreev (self->module_directories);
  g_free (self);
}
