/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-service-value.h"

#include "libpool/pool-value-private.h"

#include <errno.h>
#include <fcntl.h>
#include <libpool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What cannot be changed any more can be read where it lies, and be checked before that. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct
{
  void *data;
  gsize size;
} Mapping;

static void
unmap (gpointer data)
{
  Mapping *mapping = data;

  munmap (mapping->data, mapping->size);
  g_free (mapping);
}

static GVariant *
map_value (int fd, GError **error)
{
  Mapping *mapping;
  struct stat status;
  int seals = fcntl (fd, F_GET_SEALS);
  void *data;

  if (seals < 0 || (seals & SEALS) != SEALS || fstat (fd, &status) != 0)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT,
                           "A handle must be that of a memfd with the seals SHRINK, GROW and WRITE");
      return NULL;
    }
  if (status.st_size < 2)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "A memfd holds no value");
      return NULL;
    }
  data = mmap (NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED)
    {
      g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY, "A memfd cannot be mapped: %s", g_strerror (errno));
      return NULL;
    }
  mapping = g_new (Mapping, 1);
  mapping->data = data;
  mapping->size = status.st_size;
  return pool_value_decode_data (data, status.st_size, FALSE, unmap, mapping, error);
}

GVariant *
pool_service_value_take (GVariant *variant, GUnixFDList *fds, GError **error)
{
  g_autoptr (GVariant) value = g_variant_get_variant (variant);
  GVariant *mapped;
  int fd;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_HANDLE))
    return g_steal_pointer (&value);
  fd = fds != NULL ? g_unix_fd_list_get (fds, g_variant_get_handle (value), error) : -1;
  if (fd < 0)
    {
      if (error != NULL && *error == NULL)
        g_set_error_literal (error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT, "There is no such handle");
      return NULL;
    }
  mapped = map_value (fd, error);
  close (fd);
  return mapped;
}

/* How deep a type goes, roughly: each array counts as if it held what follows. */
static guint
get_depth (const char *type)
{
  guint depth = 0, deepest = 0, arrays = 0;

  for (; *type != '\0'; type++)
    {
      arrays += *type == 'a';
      depth += *type == '(' || *type == '{';
      depth -= *type == ')' || *type == '}';
      deepest = MAX (deepest, depth);
    }
  return deepest + arrays;
}

/* Whether a message can hold it: D-Bus has no maybe types, no empty structures, and less depth than GVariant. */
static gboolean
fits_message (GVariant *value, guint depth)
{
  const char *type = g_variant_get_type_string (value);

  depth += get_depth (type);
  if (depth > 28 || strlen (type) > 255 || strpbrk (type, "mh") != NULL || strstr (type, "()") != NULL)
    return FALSE;
  /* what a type does not say is in its variants */
  if (strchr (type, 'v') == NULL)
    return TRUE;
  for (gsize i = 0, n = g_variant_n_children (value); i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      if (g_variant_is_container (child) && !fits_message (child, depth + 1))
        return FALSE;
    }
  return TRUE;
}

static int
make_memfd (GVariant *value, GError **error)
{
  gsize size = pool_value_size (value, FALSE);
  int fd = memfd_create ("libpool-value", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  void *data = MAP_FAILED;

  /* a write into a hole that cannot be filled would be the end of this process */
  if (fd >= 0 && fallocate (fd, 0, 0, size) == 0)
    data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data != MAP_FAILED)
    {
      pool_value_encode (value, FALSE, data);
      munmap (data, size);
      if (fcntl (fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0)
        return fd;
    }
  g_set_error (error, POOL_ERROR, errno == EMFILE || errno == ENFILE ? POOL_ERROR_BACKEND : POOL_ERROR_OUT_OF_MEMORY,
               "No memfd of %" G_GSIZE_FORMAT " bytes can be made: %s", size, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

gboolean
pool_service_value_give (GVariant *value, gboolean is_inline, GVariant **variant, GUnixFDList **fds, GError **error)
{
  gsize max = is_inline ? POOL_SERVICE_VALUE_INLINE_MAX : POOL_SERVICE_VALUE_INLINE;
  int fd;

  *fds = NULL;
  if (g_variant_get_size (value) <= max && fits_message (value, 0))
    {
      *variant = g_variant_new_variant (value);
      return TRUE;
    }
  fd = make_memfd (value, error);
  if (fd < 0)
    return FALSE;
  *fds = g_unix_fd_list_new_from_array (&fd, 1);
  *variant = g_variant_new_variant (g_variant_new_handle (0));
  return TRUE;
}
