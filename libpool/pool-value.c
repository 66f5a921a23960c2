/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool-value-private.h"

#include "pool-error.h"

#include <string.h>

/*
 * g_variant_store() of GLib 2.74 aborts when the place is not aligned, as within a batch it may not be. The up to 7 bytes
 * before @out belong to whoever encodes, too: it stores from there, moves that up, and puts them back. (By
 * g_variant_get_data() it would take memory of the value's size, and end the program if there is none.)
 */
static void
store_anywhere (GVariant *value, guint8 *out, gsize size)
{
  gsize shift = GPOINTER_TO_SIZE (out) % 8;
  guint8 before[8];

  memcpy (before, out - shift, shift);
  g_variant_store (value, out - shift);
  if (shift == 0)
    return;
  memmove (out, out - shift, size);
  memcpy (out - shift, before, shift);
}

/*
 * @wrap: send the value as the only member of a tuple, as `map` does with an item. A tuple of one member is
 * serialised exactly as that member alone (no framing offset, same alignment), so only the type string differs.
 */
gsize
pool_value_size (GVariant *value, gboolean wrap)
{
  return g_variant_get_size (value) + 1 + strlen (g_variant_get_type_string (value)) +
         (wrap ? 2 : 0);
}

void
pool_value_encode (GVariant *value, gboolean wrap, guint8 *out)
{
  /* g_variant_store() of GLib 2.74 aborts unless the size was asked for first */
  gsize size = g_variant_get_size (value);
  const char *type = g_variant_get_type_string (value);
  gsize type_len = strlen (type);

  if (size > 0)
    store_anywhere (value, out, size);
  out += size;
  *out++ = '\0';
  if (wrap)
    *out++ = '(';
  memcpy (out, type, type_len);
  out += type_len;
  if (wrap)
    *out++ = ')';
}

static const char *
find_type (const guint8 *data, gsize size, gsize *value_size, GError **error)
{
  const guint8 *zero = size > 0 ? memrchr (data, '\0', size) : NULL;
  const char *type, *limit = (const char *) data + size, *end;

  if (zero == NULL)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_PROTOCOL, "Not an encoded value: no type");
      return NULL;
    }

  type = (const char *) zero + 1;
  if (!g_variant_type_string_scan (type, limit, &end) || end != limit)
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                           "Not an encoded value: not a type string");
      return NULL;
    }

  *value_size = zero - data;
  return type;
}

/* Type strings of up to 31 characters need no allocation. */
typedef struct
{
  char small[32];
  char *large;
} TypeString;

static const GVariantType *
type_string_init (TypeString *self, const char *type, gsize len)
{
  char *copy = self->small;

  self->large = NULL;
  if (len >= sizeof self->small)
    copy = self->large = g_malloc (len + 1);
  memcpy (copy, type, len);
  copy[len] = '\0';
  return (const GVariantType *) copy;
}

/*
 * Whether any @size bytes that are a value of the type are in normal form: those of an array of numbers, also if it is all
 * that there is in a tuple. GLib looks at each number, by a call: 14 ms for 1 MiB of bytes.
 */
static gboolean
is_always_normal (const GVariantType *type, gsize size)
{
  while (g_variant_type_is_tuple (type) && !g_variant_type_equal (type, G_VARIANT_TYPE_TUPLE) && g_variant_type_n_items (type) == 1)
    type = g_variant_type_first (type);
  if (!g_variant_type_is_array (type))
    return FALSE;
  switch (*g_variant_type_peek_string (g_variant_type_element (type)))
    {
    case 'y':
      return TRUE;
    case 'n':
    case 'q':
      return size % 2 == 0;
    case 'i':
    case 'u':
    case 'h':
      return size % 4 == 0;
    case 'x':
    case 't':
    case 'd':
      return size % 8 == 0;
    default:
      return FALSE;
    }
}

/* A container of that type, made of its @children. */
static GVariant *
build_container (const GVariantType *type, GVariant *const *children, gsize n)
{
  if (g_variant_type_is_variant (type))
    return n == 1 ? g_variant_new_variant (children[0]) : NULL;
  if (g_variant_type_is_maybe (type))
    return g_variant_new_maybe (g_variant_type_element (type), n > 0 ? children[0] : NULL);
  if (g_variant_type_is_dict_entry (type))
    return n == 2 ? g_variant_new_dict_entry (children[0], children[1]) : NULL;
  return g_variant_type_is_array (type) ? g_variant_new_array (g_variant_type_element (type), children, n)
                                        : g_variant_new_tuple (children, n);
}

/*
 * That is what normal form means: what its members, in normal form, are serialised to once more is what it is. Copying them
 * costs a hundredth of looking at each number of an array within.
 */
static gboolean
is_made_of (GVariant *value, GVariant *const *children, gsize n)
{
  g_autoptr (GVariant) container = build_container (g_variant_get_type (value), children, n);
  gsize size = g_variant_get_size (value);
  g_autofree guint8 *serialised = NULL;

  if (container == NULL)
    return FALSE;
  g_variant_ref_sink (container);
  if (g_variant_get_size (container) != size)
    return FALSE;
  serialised = g_try_malloc (size);
  if (serialised == NULL)
    return g_variant_is_normal_form (value);
  g_variant_store (container, serialised);
  return memcmp (serialised, g_variant_get_data (value), size) == 0;
}

/* One that has been built and not serialised gives the same member each time, and is as normal as they are. */
static gboolean
is_built (GVariant *value)
{
  g_autoptr (GVariant) once = g_variant_get_child_value (value, 0);
  g_autoptr (GVariant) again = g_variant_get_child_value (value, 0);

  return once == again;
}

/* Where it is worth to look at the members one by one; the largest are not copied for it. */
#define LARGE 4096
#define TOO_LARGE (256 * 1024 * 1024)

static gboolean
has_few_large_children (GVariant *value)
{
  gsize size = g_variant_get_size (value), n;

  if (size < LARGE || size > TOO_LARGE || !g_variant_is_container (value))
    return FALSE;
  n = g_variant_n_children (value);
  return n > 0 && n <= size / (LARGE / 4);
}

/* Each container is copied: one that is within many others is left to GLib. */
#define DEPTH_MAX 4

/* @may_copy: it is not trusted; of one that is, GLib knows that without a look at it */
static gboolean
is_normal (GVariant *value, gboolean may_copy, guint depth)
{
  g_autoptr (GPtrArray) children = NULL;
  gboolean built;

  if (is_always_normal (g_variant_get_type (value), g_variant_get_size (value)))
    return TRUE;
  if (depth == DEPTH_MAX || !has_few_large_children (value) || (!(built = is_built (value)) && !may_copy))
    return g_variant_is_normal_form (value);
  children = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_ptr_array_add (children, g_variant_get_child_value (value, i));
      if (!is_normal (children->pdata[i], may_copy, depth + 1))
        return FALSE;
    }
  return built || is_made_of (value, (GVariant *const *) children->pdata, children->len);
}

gboolean
pool_value_is_normal (GVariant *value)
{
  return is_normal (value, FALSE, 0);
}

/* Once it is known to be in normal form, nobody needs to look again. */
static GVariant *
check_value (GVariant *value, gboolean trusted, GError **error)
{
  if (trusted)
    return value;
  if (is_normal (value, TRUE, 0))
    {
      g_autoptr (GBytes) bytes = has_few_large_children (value) ? g_variant_get_data_as_bytes (value) : NULL;
      GVariant *checked = bytes != NULL ? g_variant_new_from_bytes (g_variant_get_type (value), bytes, TRUE) : g_variant_ref (value);

      g_variant_unref (value);
      return g_variant_take_ref (checked);
    }

  g_variant_unref (value);
  g_set_error_literal (error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                       "Not an encoded value: not in normal form");
  return NULL;
}

GVariant *
pool_value_decode_data (const guint8 *data, gsize size, gboolean trusted, GDestroyNotify notify,
                        gpointer user_data, GError **error)
{
  gsize value_size;
  const char *type;
  const GVariantType *variant_type;
  TypeString string;
  GVariant *value = NULL;

  /* GVariant of GLib 2.74 copies some data that are not aligned, and aborts over others */
  if (GPOINTER_TO_SIZE (data) % 8 != 0)
    {
      guint8 *copy = g_try_malloc (MAX (size, 1));

      if (copy != NULL && size > 0)
        memcpy (copy, data, size);
      if (notify != NULL)
        notify (user_data);
      if (copy == NULL)
        {
          g_set_error (error, POOL_ERROR, POOL_ERROR_OUT_OF_MEMORY,
                       "There is no memory to read a value of %" G_GSIZE_FORMAT " bytes", size);
          return NULL;
        }
      data = copy;
      notify = g_free;
      user_data = copy;
    }
  type = find_type (data, size, &value_size, error);

  if (type == NULL)
    {
      if (notify != NULL)
        notify (user_data);
      return NULL;
    }

  variant_type = type_string_init (&string, type, (const char *) data + size - type);
  if (!g_variant_type_is_definite (variant_type))
    {
      g_set_error_literal (error, POOL_ERROR, POOL_ERROR_PROTOCOL,
                           "Not an encoded value: its type is not definite");
      if (notify != NULL)
        notify (user_data);
    }
  else
    {
      trusted = trusted || is_always_normal (variant_type, value_size);
      value = g_variant_ref_sink (
          g_variant_new_from_data (variant_type, data, value_size, trusted, notify, user_data));
      value = check_value (value, trusted, error);
    }

  g_free (string.large);
  return value;
}

GVariant *
pool_value_decode (GBytes *bytes, gboolean trusted, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  return pool_value_decode_data (data, size, trusted, (GDestroyNotify) g_bytes_unref,
                                 g_bytes_ref (bytes), error);
}

gboolean
pool_error_encode (const GError *error, PoolBuffer *out)
{
  guint32 code = GUINT32_TO_LE ((guint32) error->code);
  const char *domain = g_quark_to_string (error->domain);
  gsize start = out->len;

  if (pool_buffer_try_append (out, &code, sizeof code) &&
      pool_buffer_try_append (out, domain, strlen (domain) + 1) &&
      pool_buffer_try_append (out, error->message, strlen (error->message) + 1))
    return TRUE;
  out->len = start;
  return FALSE;
}

/* A domain exists once somebody has used it, which this process may not have done yet. */
static void
register_domains (void)
{
  static gsize once;

  if (!g_once_init_enter (&once))
    return;
  (void) POOL_ERROR;
  (void) G_IO_ERROR;
  (void) G_FILE_ERROR;
  (void) G_SPAWN_ERROR;
  (void) G_SHELL_ERROR;
  (void) G_CONVERT_ERROR;
  (void) G_REGEX_ERROR;
  (void) G_KEY_FILE_ERROR;
  (void) G_MARKUP_ERROR;
  (void) G_OPTION_ERROR;
  (void) G_VARIANT_PARSE_ERROR;
  (void) G_DBUS_ERROR;
  (void) G_RESOLVER_ERROR;
  (void) G_TLS_ERROR;
  (void) G_URI_ERROR;
  g_once_init_leave (&once, 1);
}

/*
 * Never fails: bytes that are not an error become one. A domain that nobody here has registered keeps its name in
 * the message, because its codes mean nothing in this process.
 */
GError *
pool_error_decode (const guint8 *data, gsize size)
{
  const char *domain, *message, *limit = (const char *) data + size;
  g_autofree char *valid = NULL;
  guint32 code;
  GQuark quark;

  if (size < sizeof code + 2 || data[size - 1] != '\0')
    return g_error_new_literal (POOL_ERROR, POOL_ERROR_PROTOCOL, "A worker sent a broken error");

  memcpy (&code, data, sizeof code);
  domain = (const char *) data + sizeof code;
  message = domain + strlen (domain) + 1;
  if (message >= limit || message + strlen (message) + 1 != limit ||
      !g_utf8_validate (domain, -1, NULL) || *domain == '\0')
    return g_error_new_literal (POOL_ERROR, POOL_ERROR_PROTOCOL, "A worker sent a broken error");

  /* whoever shows a message may rely on its being UTF-8 */
  message = valid = g_utf8_make_valid (message, -1);
  register_domains ();
  quark = g_quark_try_string (domain);
  if (quark == 0)
    return g_error_new (POOL_ERROR, POOL_ERROR_REMOTE, "%s (code %d): %s", domain,
                        (int) GUINT32_FROM_LE (code), message);
  return g_error_new_literal (quark, (int) GUINT32_FROM_LE (code), message);
}
