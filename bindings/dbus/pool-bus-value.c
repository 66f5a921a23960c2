/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-bus-value.h"

#include <gio/gio.h>
#include <unistd.h>

/* Messages of libdbus as GVariants and back. What libdbus hands out it has checked: signatures, UTF-8, paths, depth. */

/* Their arrays lie in memory in the same way on both sides; a boolean has four bytes here and one there. */
static gsize
get_fixed_size (int type)
{
  switch (type)
    {
    case DBUS_TYPE_BYTE:
      return 1;
    case DBUS_TYPE_INT16:
    case DBUS_TYPE_UINT16:
      return 2;
    case DBUS_TYPE_INT32:
    case DBUS_TYPE_UINT32:
      return 4;
    case DBUS_TYPE_INT64:
    case DBUS_TYPE_UINT64:
    case DBUS_TYPE_DOUBLE:
      return 8;
    default:
      return 0;
    }
}

/* --- from a message --- */

static GVariant *read_value (DBusMessageIter *iter, GUnixFDList *fds, GError **error);

static GVariant *
read_handle (DBusMessageIter *iter, GUnixFDList *fds, GError **error)
{
  int fd = -1, index;

  dbus_message_iter_get_basic (iter, &fd);
  if (fd < 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "A file descriptor is missing");
      return NULL;
    }
  index = g_unix_fd_list_append (fds, fd, error);
  close (fd);
  return index >= 0 ? g_variant_new_handle (index) : NULL;
}

static GVariant *
read_basic (DBusMessageIter *iter, int type)
{
  DBusBasicValue value;

  dbus_message_iter_get_basic (iter, &value);
  switch (type)
    {
    case DBUS_TYPE_BYTE:
      return g_variant_new_byte (value.byt);
    case DBUS_TYPE_BOOLEAN:
      return g_variant_new_boolean (value.bool_val);
    case DBUS_TYPE_INT16:
      return g_variant_new_int16 (value.i16);
    case DBUS_TYPE_UINT16:
      return g_variant_new_uint16 (value.u16);
    case DBUS_TYPE_INT32:
      return g_variant_new_int32 (value.i32);
    case DBUS_TYPE_UINT32:
      return g_variant_new_uint32 (value.u32);
    case DBUS_TYPE_INT64:
      return g_variant_new_int64 (value.i64);
    case DBUS_TYPE_UINT64:
      return g_variant_new_uint64 (value.u64);
    case DBUS_TYPE_DOUBLE:
      return g_variant_new_double (value.dbl);
    case DBUS_TYPE_STRING:
      return g_variant_new_string (value.str);
    case DBUS_TYPE_OBJECT_PATH:
      return g_variant_new_object_path (value.str);
    case DBUS_TYPE_SIGNATURE:
    default:
      return g_variant_new_signature (value.str);
    }
}

/* What is in a container that has no fixed size, or in the message itself. */
static GVariant *
read_members (DBusMessageIter *iter, const GVariantType *type, GUnixFDList *fds, GError **error)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, type);
  for (; dbus_message_iter_get_arg_type (iter) != DBUS_TYPE_INVALID; dbus_message_iter_next (iter))
    {
      GVariant *value = read_value (iter, fds, error);

      if (value == NULL)
        {
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add_value (&builder, value);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
read_array (DBusMessageIter *iter, GUnixFDList *fds, GError **error)
{
  gsize size = get_fixed_size (dbus_message_iter_get_element_type (iter));
  char *signature = dbus_message_iter_get_signature (iter);
  DBusMessageIter sub;
  GVariant *array;

  dbus_message_iter_recurse (iter, &sub);
  if (size > 0)
    {
      const void *data = NULL;
      int n = 0;

      dbus_message_iter_get_fixed_array (&sub, &data, &n);
      array = g_variant_new_fixed_array (G_VARIANT_TYPE (signature + 1), data, n, size);
    }
  else
    array = read_members (&sub, G_VARIANT_TYPE (signature), fds, error);
  dbus_free (signature);
  return array;
}

static GVariant *
read_value (DBusMessageIter *iter, GUnixFDList *fds, GError **error)
{
  int type = dbus_message_iter_get_arg_type (iter);
  DBusMessageIter sub;

  switch (type)
    {
    case DBUS_TYPE_UNIX_FD:
      return read_handle (iter, fds, error);
    case DBUS_TYPE_ARRAY:
      return read_array (iter, fds, error);
    case DBUS_TYPE_STRUCT:
      dbus_message_iter_recurse (iter, &sub);
      return read_members (&sub, G_VARIANT_TYPE_TUPLE, fds, error);
    case DBUS_TYPE_DICT_ENTRY:
      dbus_message_iter_recurse (iter, &sub);
      return read_members (&sub, G_VARIANT_TYPE_DICT_ENTRY, fds, error);
    case DBUS_TYPE_VARIANT:
      dbus_message_iter_recurse (iter, &sub);
      return read_members (&sub, G_VARIANT_TYPE_VARIANT, fds, error);
    default:
      return read_basic (iter, type);
    }
}

GVariant *
pool_bus_value_read (DBusMessage *message, GUnixFDList **fds, GError **error)
{
  g_autoptr (GUnixFDList) found = g_unix_fd_list_new ();
  DBusMessageIter iter;
  GVariant *tuple;

  dbus_message_iter_init (message, &iter);
  tuple = read_members (&iter, G_VARIANT_TYPE_TUPLE, found, error);
  if (tuple == NULL)
    return NULL;
  *fds = g_unix_fd_list_get_length (found) > 0 ? g_steal_pointer (&found) : NULL;
  return g_variant_ref_sink (tuple);
}

/* --- into a message --- */

static gboolean append_value (DBusMessageIter *iter, GVariant *value, GUnixFDList *fds);

static gboolean
append_handle (DBusMessageIter *iter, GVariant *value, GUnixFDList *fds)
{
  int fd = fds != NULL ? g_unix_fd_list_get (fds, g_variant_get_handle (value), NULL) : -1;
  gboolean ok = fd >= 0 && dbus_message_iter_append_basic (iter, DBUS_TYPE_UNIX_FD, &fd);

  if (fd >= 0)
    close (fd);
  return ok;
}

static gboolean
append_basic (DBusMessageIter *iter, GVariant *value)
{
  char type = g_variant_classify (value);
  DBusBasicValue basic;

  switch (type)
    {
    case DBUS_TYPE_STRING:
    case DBUS_TYPE_OBJECT_PATH:
    case DBUS_TYPE_SIGNATURE:
      basic.str = (char *) g_variant_get_string (value, NULL);
      break;
    case DBUS_TYPE_BOOLEAN:
      basic.bool_val = g_variant_get_boolean (value);
      break;
    default:
      /* GLib 2.74 cannot store what was never measured */
      g_assert (g_variant_get_size (value) <= sizeof basic);
      g_variant_store (value, &basic);
      break;
    }
  return dbus_message_iter_append_basic (iter, type, &basic);
}

static gboolean
append_children (DBusMessageIter *iter, GVariant *value, GUnixFDList *fds)
{
  GVariantIter children;
  GVariant *child;

  g_variant_iter_init (&children, value);
  while ((child = g_variant_iter_next_value (&children)) != NULL)
    {
      gboolean ok = append_value (iter, child, fds);

      g_variant_unref (child);
      if (!ok)
        return FALSE;
    }
  return TRUE;
}

static gboolean
append_container (DBusMessageIter *iter, GVariant *value, GUnixFDList *fds)
{
  const char *type = g_variant_get_type_string (value);
  g_autoptr (GVariant) inner = NULL;
  const char *contents = NULL;
  DBusMessageIter sub = DBUS_MESSAGE_ITER_INIT_CLOSED;
  gboolean ok = TRUE;
  gsize size = 0;
  int kind;

  switch (*type)
    {
    case 'a':
      kind = DBUS_TYPE_ARRAY;
      contents = type + 1;
      size = type[2] == '\0' ? get_fixed_size (type[1]) : 0;
      break;
    case 'v':
      kind = DBUS_TYPE_VARIANT;
      inner = g_variant_get_variant (value);
      contents = g_variant_get_type_string (inner);
      break;
    case '{':
      kind = DBUS_TYPE_DICT_ENTRY;
      break;
    default:
      kind = DBUS_TYPE_STRUCT;
      break;
    }
  /* a variant can hold anything, also what D-Bus has no type for */
  if ((inner != NULL && !dbus_signature_validate_single (contents, NULL)) ||
      !dbus_message_iter_open_container (iter, kind, contents, &sub))
    return FALSE;
  if (size > 0)
    {
      gsize n = 0;
      const void *data = g_variant_get_fixed_array (value, &n, size);

      ok = n == 0 || dbus_message_iter_append_fixed_array (&sub, type[1], &data, n);
    }
  else
    ok = inner != NULL ? append_value (&sub, inner, fds) : append_children (&sub, value, fds);
  if (ok && dbus_message_iter_close_container (iter, &sub))
    return TRUE;
  dbus_message_iter_abandon_container_if_open (iter, &sub);
  return FALSE;
}

static gboolean
append_value (DBusMessageIter *iter, GVariant *value, GUnixFDList *fds)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_HANDLE))
    return append_handle (iter, value, fds);
  return g_variant_is_container (value) ? append_container (iter, value, fds) : append_basic (iter, value);
}

gboolean
pool_bus_value_append (DBusMessage *message, GVariant *tuple, GUnixFDList *fds)
{
  DBusMessageIter iter;

  dbus_message_iter_init_append (message, &iter);
  return append_children (&iter, tuple, fds);
}
