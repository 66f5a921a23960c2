/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-error.h"
#include "libpool/pool-value-private.h"
#include "unit-common.h"

#include <gio/gio.h>

/* Texts of values of every shape: fixed, variable, maybe, nested, empty, padded. */
static const char *const texts[] = {
  "true",
  "byte 0xff",
  "int16 -1",
  "uint16 65535",
  "-2147483648",
  "uint32 4294967295",
  "int64 -9223372036854775808",
  "uint64 18446744073709551615",
  "handle 3",
  "3.25",
  "''",
  "'text with ä and €'",
  "objectpath '/a/b'",
  "signature 'a{sv}'",
  "<5>",
  "<int16 5>",
  "@(v) (<7>,)",
  "@(axn) ([], 3)",
  "@(anx) ([int16 1], 3)",
  "<<<'deep'>>>",
  "@ay []",
  "b'bytes'",
  "@as []",
  "['one', '', 'three']",
  "[[1, 2], [], [3]]",
  "@a{sv} {}",
  "{'key': <1>, 'other': <['x']>}",
  "@(i) (1,)",
  "()",
  "((),)",
  "((), ())",
  "(1, 'two', 3.0)",
  "(byte 1, int64 2)",
  "(int64 2, byte 1)",
  "(byte 1, byte 2)",
  "('a', 'b', 'c')",
  "@mi nothing",
  "@mi 5",
  "@ms nothing",
  "@ms ''",
  "@mms just nothing",
  "@m() nothing",
  "@m() ()",
  "@m(ii) (1, 2)",
  "@ami [1, nothing]",
  "@mai [1, 2]",
  "@a() [(), (), ()]",
  "{'k': 1}",
  "@{sv} {'k', <1>}",
  "@a(sad) [('x', [1.0, 2.0]), ('y', [])]",
  "@(sayu) ('s', [byte 1, 2], 7)",
};

static GVariant *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

static guint8 *
encode (GVariant *value, gboolean wrap, gsize *size)
{
  guint8 *data;

  *size = pool_value_size (value, wrap);
  /* one more: written to, it would show */
  data = g_malloc (*size + 1);
  data[*size] = 0xa5;
  pool_value_encode (value, wrap, data);
  g_assert_cmphex (data[*size], ==, 0xa5);
  return data;
}

static void
count_call (gpointer data)
{
  ++*(guint *) data;
}

/* --- values --- */

static void
assert_round_trip (GVariant *value)
{
  gsize size;
  g_autofree guint8 *data = encode (value, FALSE, &size);

  for (guint trusted = 0; trusted < 2; trusted++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (data, size);
      g_autoptr (GVariant) copy = NULL;
      g_autoptr (GError) error = NULL;

      copy = pool_value_decode (bytes, trusted, &error);
      g_assert_no_error (error);
      g_assert_cmpvariant (copy, value);
      g_assert_false (g_variant_is_floating (copy));
      g_assert_true (g_variant_is_normal_form (copy));
    }
}

static void
test_round_trips (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);

      assert_round_trip (value);
    }
}

/* g_variant_equal() of a value that was not trusted prints both: not for large ones. */
static void
assert_same_bytes (GVariant *value)
{
  gsize size;
  guint8 *data = encode (value, FALSE, &size);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) copy = pool_value_decode (bytes, FALSE, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (copy), ==, g_variant_get_type_string (value));
  g_assert_cmpuint (g_variant_get_size (copy), ==, g_variant_get_size (value));
  g_assert_cmpint (memcmp (g_variant_get_data (copy), g_variant_get_data (value),
                           g_variant_get_size (value)),
                   ==, 0);
  /* and nothing was copied */
  g_assert_true (g_variant_get_data (copy) == data);
}

static void
test_large (void)
{
  const gsize size = 8 * 1024 * 1024;
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr (GVariant) bytes = NULL;
  g_autoptr (GVariant) value = NULL;

  memset (data, 'x', size);
  bytes = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1));
  assert_same_bytes (bytes);
  value = g_variant_ref_sink (g_variant_new ("(s@ay)", "name", bytes));
  assert_same_bytes (value);
}

/* A type string that does not fit into the place that most fit into. */
static void
test_long_types (void)
{
  for (guint n = 1; n < 200; n++)
    {
      g_autoptr (GPtrArray) children = g_ptr_array_new ();
      g_autoptr (GVariant) value = NULL;

      for (guint i = 0; i < n; i++)
        g_ptr_array_add (children, g_variant_new_int16 (i));
      value = g_variant_ref_sink (
          g_variant_new_tuple ((GVariant *const *) children->pdata, children->len));
      assert_round_trip (value);
    }
}

/* What travels is what GVariant itself puts into a variant. */
static void
test_layout (void)
{
  static const guint8 expected[] = { 'h', 'i', 0, 0, 's' };
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_string ("hi"));
  g_autoptr (GVariant) boxed = g_variant_ref_sink (g_variant_new_variant (value));
  gsize size;
  g_autofree guint8 *data = encode (value, FALSE, &size);

  g_assert_cmpmem (data, size, expected, sizeof expected);
  g_assert_cmpmem (data, size, g_variant_get_data (boxed), g_variant_get_size (boxed));
}

/* A tuple of one is what its member is, but for the type string: for every kind of type. */
static void
test_wrap (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);
      g_autoptr (GVariant) tuple = g_variant_ref_sink (g_variant_new_tuple (&value, 1));
      g_autoptr (GVariant) decoded = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GError) error = NULL;
      gsize wrapped_size, tuple_size;
      g_autofree guint8 *wrapped = encode (value, TRUE, &wrapped_size);
      g_autofree guint8 *plain = encode (tuple, FALSE, &tuple_size);

      g_assert_cmpmem (wrapped, wrapped_size, plain, tuple_size);
      bytes = g_bytes_new (wrapped, wrapped_size);
      decoded = pool_value_decode (bytes, FALSE, &error);
      g_assert_no_error (error);
      g_assert_cmpvariant (decoded, tuple);
    }
}

/* Every child of it: GLib wants each to be aligned. */
static void
assert_readable (GVariant *value)
{
  g_autofree char *text = g_variant_print (value, TRUE);

  g_assert_cmpuint (strlen (text), >, 0);
}

/* Items of a batch lie anywhere. */
static void
test_misaligned (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);
      gsize size;
      g_autofree guint8 *data = encode (value, FALSE, &size);

      for (guint offset = 1; offset < 16; offset++)
        {
          g_autofree guint8 *place = g_malloc (size + offset);
          g_autoptr (GVariant) copy = NULL;
          g_autoptr (GError) error = NULL;
          guint n_calls = 0;

          memcpy (place + offset, data, size);
          copy = pool_value_decode_data (place + offset, size, FALSE, count_call, &n_calls, &error);
          g_assert_no_error (error);
          g_assert_cmpvariant (copy, value);
          assert_readable (copy);
          g_clear_pointer (&copy, g_variant_unref);
          g_assert_cmpuint (n_calls, ==, 1);
        }
    }
}

/* A fresh value, which has not been serialised before, is written where an item of a batch lies: anywhere. */
static void
test_encode_anywhere (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    for (guint offset = 0; offset < 16; offset++)
      {
        g_autoptr (GVariant) value = parse (texts[i]);
        gsize size = pool_value_size (value, TRUE);
        g_autofree guint8 *place = g_malloc (size + offset);
        g_autoptr (GVariant) tuple = NULL;
        g_autoptr (GVariant) copy = NULL;
        g_autoptr (GError) error = NULL;

        pool_value_encode (value, TRUE, place + offset);
        copy = pool_value_decode_data (place + offset, size, FALSE, NULL, NULL, &error);
        g_assert_no_error (error);
        tuple = g_variant_ref_sink (g_variant_new_tuple (&value, 1));
        g_assert_cmpvariant (copy, tuple);
        assert_readable (copy);
      }
}

/* --- what is no value --- */

static void
assert_refused (const void *data, gsize size, const char *message)
{
  g_autofree guint8 *copy = g_memdup2 (data, size);
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL, error_of_bytes = NULL;
  guint n_calls = 0;

  g_assert_null (pool_value_decode_data (copy, size, FALSE, count_call, &n_calls, &error));
  g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (error->message, message));
  g_assert_cmpuint (n_calls, ==, 1);
  g_assert_null (pool_value_decode (bytes, FALSE, &error_of_bytes));
  g_assert_error (error_of_bytes, POOL_ERROR, POOL_ERROR_PROTOCOL);
  g_assert_null (pool_value_decode_data (copy, size, FALSE, NULL, NULL, NULL));
}

#define REFUSED(bytes, message) assert_refused (bytes, sizeof bytes - 1, message)

static void
test_no_type (void)
{
  assert_refused ("", 0, "no type");
  REFUSED ("x", "no type");
  REFUSED ("\1\2\3i", "no type");
  REFUSED ("\0", "not a type string");
  REFUSED ("\1\0\0\0\0", "not a type string");
  REFUSED ("abc\0Z", "not a type string");
  REFUSED ("\1\0\0\0\0ii", "not a type string");
  REFUSED ("\1\0\0\0\0i ", "not a type string");
  REFUSED ("\1\0\0\0\0(i", "not a type string");
  REFUSED ("\1\0\0\0\0{vs}", "not a type string");
  REFUSED ("\1\0\0\0\0a", "not a type string");
  REFUSED ("\1\0\0\0\0m", "not a type string");
}

/* Types that stand for many. */
static void
test_indefinite (void)
{
  REFUSED ("\0*", "not definite");
  REFUSED ("\0a*", "not definite");
  REFUSED ("\0r", "not definite");
  REFUSED ("\0(i?)", "not definite");
  REFUSED ("\0a{?*}", "not definite");
}

/* A type string as deep as a stack would not like. */
static void
test_deep_type (void)
{
  for (guint depth = 64; depth <= 1 << 20; depth *= 2)
    {
      g_autofree char *data = g_malloc (depth + 2);
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      data[0] = '\0';
      memset (data + 1, 'a', depth);
      data[depth + 1] = 'i';
      value = pool_value_decode_data ((const guint8 *) data, depth + 2, FALSE, NULL, NULL, &error);
      if (depth > 128)
        {
          g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
          g_assert_null (value);
        }
    }
}

static void
test_not_normal (void)
{
  REFUSED ("\2\0b", "not in normal form");                     /* a boolean of 2 */
  REFUSED ("\1\2\3\0i", "not in normal form");                 /* of 3 bytes */
  REFUSED ("\1\2\3\4\5\0i", "not in normal form");             /* of 5 */
  REFUSED ("\0i", "not in normal form");                       /* of none */
  REFUSED ("abc\0s", "not in normal form");                    /* no zero at the end */
  REFUSED ("a\0bc\0\0s", "not in normal form");                /* and one within */
  REFUSED ("\377\376\0\0s", "not in normal form");             /* not UTF-8 */
  REFUSED ("a b\0\0o", "not in normal form");                  /* no object path */
  REFUSED ("a{s\0\0g", "not in normal form");                  /* no signature */
  REFUSED ("\1\1\0\0\0\0\0\0\0\0\0(yi)", "not in normal form"); /* too long, and dirty */
  REFUSED ("\1\377\377\377\2\0\0\0\0(yi)", "not in normal form"); /* dirty padding */
  REFUSED ("\1\0()", "not in normal form");                    /* a unit that is not zero */
  REFUSED ("\1\2\3\4\5\0ai", "not in normal form");            /* one and a quarter */
  REFUSED ("a\0b\0\7\0as", "not in normal form");              /* an offset outside */
  REFUSED ("a\0b\0\3\1\0as", "not in normal form");            /* offsets that fall */
  REFUSED ("\1\0\0\0\0\0v", "not in normal form");             /* a variant without a type */
  REFUSED ("\1\0\0\0\0ii\0v", "not in normal form");           /* with two */
  REFUSED ("\1\2\3\0mi", "not in normal form");
}

/* Values that a program makes are normal; a value that is not was made by somebody else. */
/* Of each type bytes at random, of sizes that fit and that do not: GLib's own check is the judge. */
static void
test_normal (void)
{
  static const char *const types[] = { "ay", "an", "aq", "ai", "au", "ah", "ax", "at", "ad", "ab", "as", "av", "aay", "a(y)", "a{yy}",
                                       "may", "(ay)", "((ax))", "(ayay)", "(say)", "()", "(y)", "y", "b", "mi", "(ab)", "(mai)", "((((an))))" };

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (gsize size = 0; size < 34; size++)
      {
        const GVariantType *type = G_VARIANT_TYPE (types[i]);
        g_autofree guint8 *data = g_malloc (size + 1 + strlen (types[i]));
        g_autoptr (GBytes) bytes = NULL;
        g_autoptr (GVariant) expected = NULL, value = NULL, decoded = NULL;
        g_autoptr (GError) error = NULL;

        for (gsize k = 0; k < size; k++)
          data[k] = (guint8) g_test_rand_int_range (0, g_test_rand_bit () ? 2 : 256);
        data[size] = '\0';
        memcpy (data + size + 1, types[i], strlen (types[i]));
        bytes = g_bytes_new (data, size);
        expected = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
        value = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
        g_assert_cmpint (pool_value_is_normal (value), ==, g_variant_is_normal_form (expected));
        decoded = pool_value_decode_data (data, size + 1 + strlen (types[i]), FALSE, NULL, NULL, &error);
        g_assert_true ((decoded != NULL) == g_variant_is_normal_form (expected));
        g_assert_true (decoded == NULL || g_variant_equal (decoded, expected));
      }
}

static void
assert_decoded_if_normal (GBytes *bytes, GVariant *expected)
{
  const char *type = g_variant_get_type_string (expected);
  g_autoptr (GByteArray) encoded = g_byte_array_new ();
  g_autoptr (GVariant) decoded = NULL;
  g_autoptr (GError) error = NULL;

  g_byte_array_append (encoded, g_bytes_get_data (bytes, NULL), (guint) g_bytes_get_size (bytes));
  g_byte_array_append (encoded, (const guint8 *) "", 1);
  g_byte_array_append (encoded, (const guint8 *) type, (guint) strlen (type));
  decoded = pool_value_decode_data (encoded->data, encoded->len, FALSE, NULL, NULL, &error);
  g_assert_true ((decoded != NULL) == g_variant_is_normal_form (expected));
  g_assert_true (decoded == NULL || g_variant_equal (decoded, expected));
}

/* A value of many bytes, with arrays of numbers in it; and each of its bytes, it may be, is another. */
static void
test_normal_large (void)
{
  static const char *const formats[] = { "('name', %s)", "(7, %s, 'end')", "{'a': <%s>, 'b': <@ai [1, 2, 3]>}", "[%s, @ay [], b'x']",
                                         "<<%s>>", "(@may just %s, @mi nothing)", "[('x', %s, 3.0), ('', @ay [], 4.0)]", "<(<(<(<(<%s>,)>,)>,)>, 'x')>",
                                         "[{'k': %s}, @a{say} {}]", "(byte 1, %s, int64 5, true)", "(%s, (%s, 'x'))" };

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autofree guint8 *numbers = g_malloc0 (5000 + i);
      g_autoptr (GVariant) array = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, numbers, 5000 + i, 1));
      g_autofree char *printed = g_variant_print (array, TRUE);
      g_auto (GStrv) parts = g_strsplit (formats[i], "%s", -1);
      g_autofree char *text = g_strjoinv (printed, parts);
      g_autoptr (GVariant) value = parse (text);
      gsize size = g_variant_get_size (value);

      g_assert_true (pool_value_is_normal (value));
      for (guint round = 0; round < 400; round++)
        {
          g_autofree guint8 *data = g_memdup2 (g_variant_get_data (value), size);
          gsize at = (gsize) g_test_rand_int_range (0, 48), cut = (gsize) (round % 8 == 7 ? g_test_rand_int_range (0, 900) : 0);
          g_autoptr (GBytes) bytes = NULL;
          g_autoptr (GVariant) expected = NULL, damaged = NULL, tuple = NULL;

          /* the first time nothing; then at its head or its tail, where all that is no number is */
          if (round > 0)
            data[g_test_rand_bit () ? at : size - 1 - at] ^= (guint8) (1 << g_test_rand_int_range (0, 8));
          bytes = g_bytes_new (data, size - cut);
          expected = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE));
          damaged = g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE));
          g_assert_cmpint (pool_value_is_normal (damaged), ==, g_variant_is_normal_form (expected));
          g_assert_true (round > 0 || g_variant_is_normal_form (expected));
          assert_decoded_if_normal (bytes, expected);
          tuple = g_variant_ref_sink (g_variant_new ("(s@*)", "x", damaged));
          g_assert_cmpint (pool_value_is_normal (tuple), ==, g_variant_is_normal_form (expected));
        }
    }
}

static void
test_cut_off (void)
{
  guint n_refused = 0;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = parse (texts[i]);
      gsize size;
      g_autofree guint8 *data = encode (value, FALSE, &size);

      for (gsize n = 0; n < size; n++)
        {
          g_autofree guint8 *copy = g_memdup2 (data, n);
          g_autoptr (GError) error = NULL;
          g_autoptr (GVariant) rest = pool_value_decode_data (copy, n, FALSE, NULL, NULL, &error);

          if (rest == NULL)
            {
              g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
              n_refused++;
            }
          else
            {
              g_assert_no_error (error);
              g_assert_true (g_variant_is_normal_form (rest));
              g_assert_cmpuint (g_variant_get_size (rest), <, n);
            }
        }
    }
  g_assert_cmpuint (n_refused, >, 100);
}

/* Nothing that is read is beyond the end, and what is accepted can be printed. */
static void
test_random_damage (void)
{
  guint64 random = unit_random_seed ();
  guint n_refused = 0;

  for (guint round = 0; round < unit_scale (20000); round++)
    {
      g_autoptr (GVariant) value = parse (texts[round % G_N_ELEMENTS (texts)]);
      gsize size;
      g_autofree guint8 *data = encode (value, FALSE, &size);
      g_autofree guint8 *exact = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = NULL;

      for (guint n = 1 + unit_random (&random) % 3; n > 0; n--)
        data[unit_random (&random) % size] = unit_random (&random);
      exact = g_memdup2 (data, size);
      result = pool_value_decode_data (exact, size, FALSE, NULL, NULL, &error);
      if (result != NULL)
        {
          g_autofree char *text = g_variant_print (result, TRUE);

          g_assert_no_error (error);
          g_assert_cmpuint (strlen (text), >, 0);
        }
      else
        {
          g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
          n_refused++;
        }
    }
  g_assert_cmpuint (n_refused, >, 10);
}

/* --- errors --- */

static GError *
send_error (const GError *error)
{
  PoolBuffer buffer = { 0 };
  GError *received;

  pool_error_encode (error, &buffer);
  received = pool_error_decode (buffer.data, buffer.len);
  pool_buffer_clear (&buffer);
  return received;
}

static void
test_errors (void)
{
  const int codes[] = { 0, 1, -1, G_MAXINT, G_MININT };
  const char *const messages[] = { "No", "", "mit ä und €, 100 %d %s\n" };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    for (guint j = 0; j < G_N_ELEMENTS (messages); j++)
      {
        g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, codes[i], messages[j]);
        g_autoptr (GError) received = send_error (error);

        g_assert_error (received, G_IO_ERROR, codes[i]);
        g_assert_cmpstr (received->message, ==, messages[j]);
      }
}

static void
test_long_error (void)
{
  g_autofree char *text = g_strnfill (1 << 20, 'e');
  g_autoptr (GError) error = g_error_new_literal (POOL_ERROR, POOL_ERROR_WORKER_LOST, text);
  g_autoptr (GError) received = send_error (error);

  g_assert_error (received, POOL_ERROR, POOL_ERROR_WORKER_LOST);
  g_assert_cmpstr (received->message, ==, text);
}

static void
test_error_layout (void)
{
  static const guint8 expected[] = "\x02\x01\x00\x00pool-error-quark\0oh";
  g_autoptr (GError) error = g_error_new_literal (POOL_ERROR, 258, "oh");
  PoolBuffer buffer = { 0 };

  pool_error_encode (error, &buffer);
  g_assert_cmpmem (buffer.data, buffer.len, expected, sizeof expected);
  pool_buffer_clear (&buffer);
}

/* It is not registered, not even as a quark: the name stands for it. */
static void
test_unknown_domain (void)
{
  static const guint8 data[] = "\x07\0\0\0of-another-program-quark\0Out of beans";
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (g_quark_try_string ("of-another-program-quark"), ==, 0);
  error = pool_error_decode (data, sizeof data);
  g_assert_error (error, POOL_ERROR, POOL_ERROR_REMOTE);
  g_assert_cmpstr (error->message, ==, "of-another-program-quark (code 7): Out of beans");
  /* a peer cannot fill our table of quarks */
  g_assert_cmpuint (g_quark_try_string ("of-another-program-quark"), ==, 0);
}

static void
assert_broken_error (const void *data, gsize size)
{
  g_autofree guint8 *copy = g_memdup2 (data, size);
  g_autoptr (GError) error = pool_error_decode (copy, size);

  g_assert_error (error, POOL_ERROR, POOL_ERROR_PROTOCOL);
  g_assert_cmpstr (error->message, ==, "A worker sent a broken error");
}

#define BROKEN(bytes) assert_broken_error (bytes, sizeof bytes - 1)

static void
test_broken_errors (void)
{
  static const char good[] = "\1\0\0\0g-io-error-quark\0text";

  for (gsize n = 0; n < sizeof good; n++)
    assert_broken_error (good, n);
  BROKEN ("\1\0\0\0\0text\0");                      /* no domain */
  BROKEN ("\1\0\0\0g-io-error-quark\0");            /* no message */
  BROKEN ("\1\0\0\0g-io-error-quark\0text");        /* no end */
  BROKEN ("\1\0\0\0g-io-error-quark\0text\0more\0"); /* more than an end */
  BROKEN ("\1\0\0\0g-io-error-quark\0text\0\0");
  BROKEN ("\1\0\0\0\377\376\0text\0"); /* no UTF-8 */
}

/* Whoever shows a message may rely on it. */
static void
test_error_utf8 (void)
{
  static const guint8 known[] = "\1\0\0\0g-io-error-quark\0no \377\376 text";
  static const guint8 unknown[] = "\1\0\0\0nobody-knows-quark\0no \377\376 text";
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "file \377\376");
  g_autoptr (GError) received = send_error (error);
  g_autoptr (GError) of_known = pool_error_decode (known, sizeof known);
  g_autoptr (GError) of_unknown = pool_error_decode (unknown, sizeof unknown);

  g_assert_true (g_utf8_validate (received->message, -1, NULL));
  g_assert_true (g_utf8_validate (of_known->message, -1, NULL));
  g_assert_true (g_utf8_validate (of_unknown->message, -1, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/value/round-trips", test_round_trips);
  g_test_add_func ("/value/large", test_large);
  g_test_add_func ("/value/long-types", test_long_types);
  g_test_add_func ("/value/layout", test_layout);
  g_test_add_func ("/value/wrap", test_wrap);
  g_test_add_func ("/value/misaligned", test_misaligned);
  g_test_add_func ("/value/encode-anywhere", test_encode_anywhere);
  g_test_add_func ("/value/refused/no-type", test_no_type);
  g_test_add_func ("/value/refused/indefinite", test_indefinite);
  g_test_add_func ("/value/refused/deep-type", test_deep_type);
  g_test_add_func ("/value/refused/not-normal", test_not_normal);
  g_test_add_func ("/value/normal/any", test_normal);
  g_test_add_func ("/value/normal/large", test_normal_large);
  g_test_add_func ("/value/refused/cut-off", test_cut_off);
  g_test_add_func ("/value/refused/random-damage", test_random_damage);
  g_test_add_func ("/value/errors/round-trips", test_errors);
  g_test_add_func ("/value/errors/long", test_long_error);
  g_test_add_func ("/value/errors/layout", test_error_layout);
  g_test_add_func ("/value/errors/unknown-domain", test_unknown_domain);
  g_test_add_func ("/value/errors/broken", test_broken_errors);
  g_test_add_func ("/value/errors/utf8", test_error_utf8);
  return g_test_run ();
}
