/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-module-private.h"

#include "pool-error.h"
#include "pool-function-private.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKEND_PREFIX "libpool-backend-"

static GMutex lock;
static GHashTable *backends; /* name → PoolBackendModule; for ever */

/* Where to look: the environment first, but not for a program with more rights than its user. */
static char **
search_path (const char *variable, const char *directory)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  const char *given = getauxval (AT_SECURE) ? NULL : g_getenv (variable);

  if (given != NULL)
    {
      g_auto (GStrv) parts = g_strsplit (given, ":", -1);

      for (char **part = parts; *part != NULL; part++)
        if (g_path_is_absolute (*part))
          g_strv_builder_add (builder, *part);
    }
  g_strv_builder_add (builder, directory);
  return g_strv_builder_end (builder);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char **
pool_module_list (const char *variable, const char *directory, const char *prefix)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) path = search_path (variable, directory);

  for (char **p = path; *p != NULL; p++)
    {
      g_autoptr (GDir) dir = g_dir_open (*p, 0, NULL);
      const char *file;

      while (dir != NULL && (file = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *name = NULL;

          if (!g_str_has_prefix (file, prefix) || !g_str_has_suffix (file, ".so"))
            continue;
          name = g_strndup (file + strlen (prefix), strlen (file) - strlen (prefix) - 3);
          if (!g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
            g_ptr_array_add (names, g_steal_pointer (&name));
        }
    }

  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_steal (names, NULL);
}

static gboolean
is_module_name (const char *name)
{
  if (*name == '\0' || strlen (name) > 64)
    return FALSE;
  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '-' && *p != '_')
      return FALSE;
  return TRUE;
}

static void
not_found (const char *variable, const char *directory, const char *prefix, const char *name,
           const char *what, char **path, PoolError code, GError **error)
{
  g_auto (GStrv) names = pool_module_list (variable, directory, prefix);
  g_autofree char *near = pool_suggest (name, names);
  g_autofree char *shown = g_utf8_make_valid (name, -1);
  g_autofree char *directories = g_strjoinv (", ", path);

  if (near != NULL)
    g_set_error (error, POOL_ERROR, code, "There is no %s \"%s\"; did you mean \"%s\"?", what, shown,
                 near);
  else
    g_set_error (error, POOL_ERROR, code, "There is no %s \"%s\" (looked in %s)", what, shown,
                 directories);
}

static gboolean
segments_fit (int fd, guint64 size, const ElfW (Ehdr) *header)
{
  for (guint i = 0; i < header->e_phnum; i++)
    {
      ElfW (Phdr) segment;
      off_t offset = header->e_phoff + (off_t) i * header->e_phentsize;

      if (pread (fd, &segment, sizeof segment, offset) != sizeof segment)
        return FALSE;
      if (segment.p_type == PT_LOAD &&
          (segment.p_filesz > size || segment.p_offset > size - segment.p_filesz))
        return FALSE;
    }
  return TRUE;
}

/*
 * The dynamic linker maps what an object's headers say, and the program gets a SIGBUS for what is not there: an upload
 * that broke off would be its end. So the headers are checked against the length of the file first.
 */
static gboolean
check_complete (const char *file, const char *what, const char *name, GError **error)
{
  int fd = open (file, O_RDONLY | O_CLOEXEC);
  ElfW (Ehdr) header;
  struct stat st;
  gboolean ok;

  ok = fd >= 0 && fstat (fd, &st) == 0 &&
       (pread (fd, &header, sizeof header, 0) != sizeof header ||
        memcmp (header.e_ident, ELFMAG, SELFMAG) != 0 || segments_fit (fd, st.st_size, &header));
  if (!ok)
    g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The %s \"%s\" cannot be loaded: %s: %s", what,
                 name, file, fd < 0 ? g_strerror (errno) : "the file is truncated");
  if (fd >= 0)
    close (fd);
  return ok;
}

GModule *
pool_module_open (const char *variable, const char *directory, const char *prefix, const char *name,
                  const char *what, PoolError code, GError **error)
{
  g_auto (GStrv) path = search_path (variable, directory);

  for (char **p = path; is_module_name (name) && *p != NULL; p++)
    {
      g_autofree char *file = g_strdup_printf ("%s/%s%s.so", *p, prefix, name);
      g_autoptr (GError) local_error = NULL;
      GModule *module;

      if (!g_file_test (file, G_FILE_TEST_EXISTS))
        continue;

      if (!check_complete (file, what, name, error))
        return NULL;
      /* not bound lazily: a symbol that is missing is an error now, not the end of the program later */
      module = g_module_open_full (file, G_MODULE_BIND_LOCAL, &local_error);
      if (module == NULL)
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "The %s \"%s\" cannot be loaded: %s",
                       what, name, local_error->message);
          return NULL;
        }
      /* libraries behind it start threads and register exit handlers: it can never go again */
      g_module_make_resident (module);
      return module;
    }

  not_found (variable, directory, prefix, name, what, path, code, error);
  return NULL;
}

static const PoolBackendModule *
load_backend (const char *name, GError **error)
{
  const PoolBackendModule *(*query) (void) = NULL;
  const PoolBackendModule *info;
  gpointer symbol = NULL;
  GModule *module = pool_module_open ("POOL_BACKEND_PATH", POOL_BACKEND_DIR, BACKEND_PREFIX, name,
                                      "backend", POOL_ERROR_NO_SUCH_BACKEND, error);

  if (module == NULL)
    return NULL;

  if (!g_module_symbol (module, POOL_BACKEND_ENTRY_POINT, &symbol) || symbol == NULL)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "%s is not a pool backend: it has no %s()", g_module_name (module),
                   POOL_BACKEND_ENTRY_POINT);
      return NULL;
    }
  memcpy (&query, &symbol, sizeof query);

  info = query ();
  if (info == NULL || info->abi != POOL_BACKEND_ABI)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "%s was built for version %u of the backend interface, and this library has %u",
                   g_module_name (module), info != NULL ? info->abi : 0, POOL_BACKEND_ABI);
      return NULL;
    }
  if (g_strcmp0 (info->name, name) != 0)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND, "%s calls itself \"%s\", not \"%s\"",
                   g_module_name (module), info->name != NULL ? info->name : "", name);
      return NULL;
    }
  return info;
}

const PoolBackendModule *
pool_module_query_backend (const char *name, GError **error)
{
  const PoolBackendModule *info;

  g_mutex_lock (&lock);
  if (backends == NULL)
    backends = g_hash_table_new (g_str_hash, g_str_equal);
  info = g_hash_table_lookup (backends, name);
  if (info == NULL && (info = load_backend (name, error)) != NULL)
    g_hash_table_insert (backends, (gpointer) info->name, (gpointer) info);
  g_mutex_unlock (&lock);
  return info;
}

PoolBackend *
pool_module_new_backend (const char *name, GError **error)
{
  const PoolBackendModule *info = pool_module_query_backend (name, error);
  GType type;

  if (info == NULL || (info->is_available != NULL && !info->is_available (error)))
    return NULL;

  type = info->get_type ();
  if (!g_type_is_a (type, POOL_TYPE_BACKEND))
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_BACKEND,
                   "The backend \"%s\" gave a type that is not a PoolBackend", name);
      return NULL;
    }
  return g_object_new (type, NULL);
}

/**
 * pool_list_backends:
 *
 * Lists the backends that are installed, without loading any: the files `libpool-backend-NAME.so` in the directories of
 * the environment variable `POOL_BACKEND_PATH` (ignored in a setuid program) and in the library's own.
 *
 * Returns: (transfer full) (array zero-terminated=1): their names, sorted
 *
 * Since: 1.0
 */
char **
pool_list_backends (void)
{
  return pool_module_list ("POOL_BACKEND_PATH", POOL_BACKEND_DIR, BACKEND_PREFIX);
}

/**
 * pool_describe_backend:
 * @name: a backend
 * @error: return location for a #GError
 *
 * Loads a backend and says in one line what it is.
 *
 * Returns: (transfer full): the description; %NULL with %POOL_ERROR_NO_SUCH_BACKEND or
 *   %POOL_ERROR_BACKEND if it cannot be used, and why
 *
 * Since: 1.0
 */
char *
pool_describe_backend (const char *name, GError **error)
{
  const PoolBackendModule *info;

  g_return_val_if_fail (name != NULL, NULL);

  info = pool_module_query_backend (name, error);
  if (info == NULL || (info->is_available != NULL && !info->is_available (error)))
    return NULL;
  return g_strdup (info->description);
}
