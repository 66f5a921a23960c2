/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-error.h"
#include "libpool/pool-keys-private.h"
#include "unit-common.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

/* The test key of ZeroMQ's RFC 32, another one, and their bytes */
#define KEY_A "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
#define KEY_B "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define KEY_C "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define ANY_SECRET "secret = " KEY_B "\n"

typedef struct
{
  char *folder;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("keys-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", fixture->folder);

  g_assert_cmpint (system (command), ==, 0);
  g_free (fixture->folder);
}

static char *
path_of (Fixture *fixture, const char *name)
{
  return g_build_filename (fixture->folder, name, NULL);
}

/* Returns: (transfer full): its path */
static char *
put (Fixture *fixture, const char *name, const char *text, gssize length, int mode)
{
  char *path = path_of (fixture, name);
  gsize size = length < 0 ? strlen (text) : (gsize) length;
  FILE *file = fopen (path, "w");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (text, 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
  g_assert_cmpint (g_chmod (path, (mode_t) mode), ==, 0);
  return path;
}

static int
mode_of (const char *path)
{
  struct stat status;

  g_assert_cmpint (lstat (path, &status), ==, 0);
  return status.st_mode & 07777;
}

/* By a pattern; and no key is in any message. */
static void
assert_refused (GError **error, const char *pattern)
{
  g_assert_error (*error, POOL_ERROR, POOL_ERROR_INVALID_ARGUMENT);
  if (!g_pattern_match_simple (pattern, (*error)->message))
    g_error ("expected %s, got: %s", pattern, (*error)->message);
  g_assert_null (strstr ((*error)->message, KEY_A));
  g_assert_null (strstr ((*error)->message, KEY_B));
  g_clear_error (error);
}

static void
assert_key (const guint8 *key, const char *text)
{
  char found[POOL_KEY_TEXT_SIZE];

  pool_key_encode (key, found);
  g_assert_cmpstr (found, ==, text);
}

static void
test_z85 (void)
{
  static const guint8 known[POOL_KEY_SIZE] = {
    0x8e, 0x0b, 0xdd, 0x69, 0x76, 0x28, 0xb9, 0x1d, 0x8f, 0x24, 0x55, 0x87, 0xee, 0x95, 0xc5, 0xb0,
    0x4d, 0x48, 0x96, 0x3f, 0x79, 0x25, 0x98, 0x77, 0xb4, 0x9c, 0xd9, 0x06, 0x3a, 0xea, 0xd3, 0xb7,
  };
  static const char *const bad[] = {
    "",
    "JTKVSB",
    (KEY_A "x"),
    (KEY_A " "),
    (" " KEY_A),
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh\n",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh\"",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh,",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh\xc3",
    "########################################",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!N%nSc1",
    "#TKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
  };
  guint8 key[POOL_KEY_SIZE];
  guint8 zero[POOL_KEY_SIZE] = { 0 };
  guint64 state = unit_random_seed ();

  g_assert_true (pool_key_decode (KEY_B, key));
  g_assert_true (pool_key_decode ("%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0", key));
  for (guint i = 0; i < POOL_KEY_SIZE; i++)
    g_assert_cmpuint (key[i], ==, 255);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      memset (key, 1, sizeof key);
      g_assert_false (pool_key_decode (bad[i], key));
      g_assert_cmpmem (key, sizeof key, zero, sizeof zero);
    }
  g_assert_true (pool_key_decode (KEY_A, key));
  assert_key (key, KEY_A);
  assert_key (known, "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
  g_assert_cmpmem (key, sizeof key, known, sizeof known);
  for (guint i = 0; i < unit_scale (10000); i++)
    {
      guint8 random[POOL_KEY_SIZE];
      char text[POOL_KEY_TEXT_SIZE];

      for (guint j = 0; j < sizeof random; j++)
        random[j] = (guint8) unit_random (&state);
      pool_key_encode (random, text);
      g_assert_true (pool_key_decode (text, key));
      g_assert_cmpmem (key, sizeof key, random, sizeof random);
    }
}

static void
test_read_pair (Fixture *fixture, gconstpointer data)
{
  static const char *const good[] = {
    "public = " KEY_A "\nsecret = " KEY_B "\n",
    "# a comment\n\n  # another\nsecret=" KEY_B "\n\tpublic\t=\t" KEY_A,
    "public = " KEY_A "   \t\nsecret = " KEY_B "  \n\n",
    "# of another system\r\npublic = " KEY_A "\r\nsecret = " KEY_B "\r\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *path = put (fixture, "pair", good[i], -1, i == 0 ? 0400 : 0600);
      g_autoptr (GError) error = NULL;
      PoolKeyPair pair;

      pool_key_pair_read (&pair, path, &error);
      g_assert_no_error (error);
      assert_key (pair.public_key, KEY_A);
      assert_key (pair.secret_key, KEY_B);
      pool_key_pair_clear (&pair);
      g_assert_cmpuint (pair.secret_key[0] | pair.secret_key[31], ==, 0);
      g_unlink (path);
    }
}

static void
test_bad_pairs (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *text, *message;
  } bad[] = {
    { "", "*no line \"public = KEY\"*pool keygen*" },
    { "# nothing\n", "*no line \"public = KEY\"*" },
    { "secret = " KEY_B "\n", "*no line \"public = KEY\"*" },
    { "public = " KEY_A "\n", "*no line \"secret = KEY\"*.key" },
    { "public = " KEY_A "\nsecret = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%c\n", "*secret key on line 2*40 characters*" },
    { "public = " KEY_A "\nsecret = ", "*secret key on line 2*" },
    { "public = " KEY_A "\nsecret = " KEY_B " x\n", "*secret key on line 2*" },
    { "public = \"" KEY_A "\"\n" ANY_SECRET, "*public key on line 1*" },
    { "public = JTKVSB,%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n" ANY_SECRET, "*public key on line 1*" },
    { "public = " KEY_A "\n" ANY_SECRET "\npublic = " KEY_A "\n", "*second public key on line 4*" },
    { ANY_SECRET ANY_SECRET, "*second secret key on line 2*" },
    { "public " KEY_A "\n", "*Line 1*neither*" },
    { "publics = " KEY_A "\n", "*Line 1*neither*" },
    { "\n\nfoo = bar\n", "*Line 3*neither*pool keygen*" },
    { KEY_A "\n", "*Line 1*neither*" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *path = put (fixture, "pair", bad[i].text, -1, 0600);
      g_autoptr (GError) error = NULL;
      PoolKeyPair pair;

      g_assert_false (pool_key_pair_read (&pair, path, &error));
      assert_refused (&error, bad[i].message);
      g_assert_cmpuint (pair.secret_key[0] | pair.public_key[0], ==, 0);
    }
}

static void
test_bad_modes (Fixture *fixture, gconstpointer data)
{
  static const int modes[] = { 0604, 0640, 0644, 0602, 0620, 0666, 0777, 0610 };
  g_autofree char *path = put (fixture, "pair", "public = " KEY_A "\n" ANY_SECRET, -1, 0600);
  g_autoptr (GError) error = NULL;
  PoolKeyPair pair;

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_chmod (path, (mode_t) modes[i]);
      g_assert_false (pool_key_pair_read (&pair, path, &error));
      assert_refused (&error, "Others can read or change*mode is 0*chmod 600 */pair");
    }
  g_chmod (path, 0600);
  g_assert_true (pool_key_pair_read (&pair, path, &error));
  if (geteuid () == 0)
    {
      g_assert_cmpint (chown (path, 12345, 0), ==, 0);
      g_assert_false (pool_key_pair_read (&pair, path, &error));
      assert_refused (&error, "*belongs to user 12345*neither you (0) nor root*");
    }
}

static void
test_odd_files (Fixture *fixture, gconstpointer data)
{
  g_autofree char *nothing = path_of (fixture, "nothing");
  g_autofree char *fifo = path_of (fixture, "fifo");
  g_autofree char *zeros = put (fixture, "zeros", "public = " KEY_A "\n\0# x\n", 54, 0600);
  g_autofree char *text = g_strnfill (20000, '#');
  g_autofree char *huge = put (fixture, "huge", text, -1, 0600);
  g_autofree char *endless = path_of (fixture, "endless");
  g_autoptr (GError) error = NULL;
  PoolKeyPair pair;

  g_assert_false (pool_key_pair_read (&pair, nothing, &error));
  assert_refused (&error, "*/nothing does not exist*pool keygen*");
  g_assert_false (pool_key_pair_read (&pair, fixture->folder, &error));
  assert_refused (&error, "*no file with keys*regular*");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_false (pool_key_pair_read (&pair, fifo, &error));
  assert_refused (&error, "*no file with keys*regular*");
  g_assert_cmpint (symlink ("/dev/zero", endless), ==, 0);
  g_assert_false (pool_key_pair_read (&pair, endless, &error));
  assert_refused (&error, "*no file with keys*regular*");
  g_assert_false (pool_key_pair_read (&pair, zeros, &error));
  assert_refused (&error, "*/zeros is no text*");
  g_assert_false (pool_key_pair_read (&pair, huge, &error));
  assert_refused (&error, "*/huge is too long*");
}

static void
test_read_public (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = put (fixture, "server.pub", "# server\npublic = " KEY_A "\n", -1, 0644);
  g_autofree char *pair = put (fixture, "server.key", "public = " KEY_A "\n" ANY_SECRET, -1, 0600);
  g_autoptr (GError) error = NULL;
  guint8 key[POOL_KEY_SIZE];

  g_assert_true (pool_key_read_public (KEY_B, key, &error));
  assert_key (key, KEY_B);
  g_assert_true (pool_key_read_public (path, key, &error));
  assert_key (key, KEY_A);
  g_assert_false (pool_key_read_public (pair, key, &error));
  assert_refused (&error, "*/server.key holds a secret key*.pub");
  g_assert_cmpuint (key[0] | key[31], ==, 0);
  g_chmod (path, 0664);
  g_assert_false (pool_key_read_public (path, key, &error));
  assert_refused (&error, "Others can change*mode is 0664*chmod go-w*");
  g_assert_false (pool_key_read_public ("", key, &error));
  assert_refused (&error, "*does not exist*");
  g_assert_false (pool_key_read_public ("JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh", key, &error));
  assert_refused (&error, "*does not exist*");
}

/* A path can look like a key. */
static void
test_path_like_key (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = NULL, *path = NULL;
  g_autoptr (GError) error = NULL;
  guint8 key[POOL_KEY_SIZE], decoded[POOL_KEY_SIZE];

  if (strlen (fixture->folder) > 38)
    {
      g_test_skip ("the folder for temporary files has a long name");
      return;
    }
  name = g_strnfill (40 - strlen (fixture->folder) - 1, 'a');
  path = path_of (fixture, name);
  g_assert_true (pool_key_decode (path, decoded));
  g_assert_true (pool_key_read_public (path, key, &error));
  g_assert_cmpmem (key, sizeof key, decoded, sizeof decoded);
  g_free (put (fixture, name, "public = " KEY_A "\n", -1, 0644));
  g_assert_true (pool_key_read_public (path, key, &error));
  assert_key (key, KEY_A);
}

static PoolKeyPair
make_pair (const char *public_text, const char *secret_text)
{
  PoolKeyPair pair;

  g_assert_true (pool_key_decode (public_text, pair.public_key));
  g_assert_true (pool_key_decode (secret_text, pair.secret_key));
  return pair;
}

static guint
count_files (Fixture *fixture)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_write (Fixture *fixture, gconstpointer data)
{
  PoolKeyPair pair = make_pair (KEY_A, KEY_B), other = make_pair (KEY_C, KEY_B), found;
  g_autofree char *name = path_of (fixture, "me");
  g_autofree char *secret = path_of (fixture, "me.key");
  g_autofree char *public = path_of (fixture, "me.pub");
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  guint8 key[POOL_KEY_SIZE];
  mode_t before = umask (0);

  pool_key_pair_write (&pair, name, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (mode_of (secret), ==, 0600);
  g_assert_cmpint (mode_of (public), ==, 0644);
  g_assert_true (pool_key_pair_read (&found, secret, NULL));
  g_assert_cmpmem (&found, sizeof found, &pair, sizeof pair);
  g_assert_true (pool_key_read_public (public, key, NULL));
  g_assert_cmpmem (key, sizeof key, pair.public_key, sizeof key);
  g_assert_true (g_file_get_contents (public, &text, NULL, NULL));
  g_assert_null (strstr (text, KEY_B));

  g_assert_false (pool_key_pair_write (&other, name, FALSE, &error));
  assert_refused (&error, "*/me.key exists*--force*");
  g_unlink (secret);
  g_assert_false (pool_key_pair_write (&other, name, FALSE, &error));
  assert_refused (&error, "*/me.pub exists*");
  g_assert_cmpuint (count_files (fixture), ==, 1);

  umask (077);
  g_chmod (public, 0600);
  g_free (put (fixture, "me.key", "old", -1, 0666));
  pool_key_pair_write (&other, name, TRUE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (mode_of (secret), ==, 0600);
  g_assert_cmpint (mode_of (public), ==, 0644);
  g_assert_true (pool_key_pair_read (&found, secret, NULL));
  g_assert_cmpmem (&found, sizeof found, &other, sizeof other);
  g_assert_cmpuint (count_files (fixture), ==, 2);
  umask (before);
}

static void
test_write_refused (Fixture *fixture, gconstpointer data)
{
  PoolKeyPair pair = make_pair (KEY_A, KEY_B);
  g_autofree char *target = put (fixture, "target", "precious", -1, 0644);
  g_autofree char *name = path_of (fixture, "me");
  g_autofree char *link = path_of (fixture, "me.key");
  g_autofree char *public = path_of (fixture, "me.pub");
  g_autofree char *nowhere = path_of (fixture, "nowhere/me");
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (symlink (target, link), ==, 0);
  for (guint force = 0; force < 2; force++)
    {
      g_assert_false (pool_key_pair_write (&pair, name, force == 1, &error));
      assert_refused (&error, force == 1 ? "*/me.key is a symbolic link*remove it*" : "*/me.key exists*");
    }
  /* one that leads nowhere makes no file there, either */
  g_unlink (link);
  g_assert_cmpint (symlink (nowhere, link), ==, 0);
  g_assert_false (pool_key_pair_write (&pair, name, FALSE, &error));
  assert_refused (&error, "*/me.key exists*");
  /* no half of a pair is left */
  g_unlink (link);
  g_assert_cmpint (g_mkdir (public, 0700), ==, 0);
  g_assert_false (pool_key_pair_write (&pair, name, FALSE, &error));
  assert_refused (&error, "*/me.pub exists*");
  g_assert_false (pool_key_pair_write (&pair, name, TRUE, &error));
  assert_refused (&error, "*/me.pub is no regular file*");
  g_unlink (link);
  g_assert_true (g_file_get_contents (target, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "precious");
  g_assert_cmpint (mode_of (target), ==, 0644);
  g_assert_cmpuint (count_files (fixture), ==, 2);

  g_assert_false (pool_key_pair_write (&pair, nowhere, FALSE, &error));
  assert_refused (&error, "*/nowhere/me.key cannot be made: *");
  g_assert_false (pool_key_pair_write (&pair, nowhere, TRUE, &error));
  assert_refused (&error, "*/nowhere/me.key cannot be made: *");
  g_assert_false (pool_key_pair_write (&pair, "", FALSE, &error));
  assert_refused (&error, "*name of a file*");
  g_assert_false (pool_key_pair_write (&pair, "folder/", FALSE, &error));
  assert_refused (&error, "*name of a file*");
}

static PoolAllowList *
open_list (const char *path)
{
  g_autoptr (GError) error = NULL;
  PoolAllowList *list = pool_allow_list_new (path, &error);

  g_assert_no_error (error);
  return list;
}

static void
test_list (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path =
      put (fixture, "list",
           "# who may connect\r\n\r\n" KEY_A " node one  \r\n  " KEY_B "\t\r\n#" KEY_C " was here\n"
           "########################################\n" KEY_A " again\n",
           -1, 0644);
  g_autoptr (PoolAllowList) list = open_list (path);
  guint8 key[POOL_KEY_SIZE];

  g_assert_cmpuint (pool_allow_list_get_size (list), ==, 2);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_A), ==, "node one");
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_B), ==, KEY_B);
  g_assert_null (pool_allow_list_find_text (list, KEY_C));
  g_assert_null (pool_allow_list_find_text (list, "JTKVSB"));
  g_assert_true (pool_key_decode (KEY_A, key));
  g_assert_cmpstr (pool_allow_list_find (list, key), ==, "node one");
  for (guint i = 0; i < POOL_KEY_SIZE * 8; i++)
    {
      key[i / 8] ^= 1 << (i % 8);
      g_assert_null (pool_allow_list_find (list, key));
      key[i / 8] ^= 1 << (i % 8);
    }
  memset (key, 0, sizeof key);
  g_assert_null (pool_allow_list_find (list, key));
}

static void
test_empty_list (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = put (fixture, "list", "# nobody yet\n", -1, 0600);
  g_autoptr (PoolAllowList) list = open_list (path);
  guint8 zero[POOL_KEY_SIZE] = { 0 };

  g_assert_cmpuint (pool_allow_list_get_size (list), ==, 0);
  g_assert_null (pool_allow_list_find (list, zero));
  pool_allow_list_free (NULL);
}

static void
test_bad_lists (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *text, *message;
  } bad[] = {
    { KEY_A "\nnode\n", "Line 2 of */list*40 characters*KEY NAME*" },
    { KEY_A "x\n", "Line 1*" },
    { KEY_A KEY_B "\n", "Line 1*" },
    { "node " KEY_A "\n", "Line 1*" },
    { "public = \n", "Line 1*" },
    { "public = " KEY_A "\n" ANY_SECRET, "Line 2*secret key*stay with its owner*" },
    { KEY_A " \xff\n", "Line 1*UTF-8*" },
    { KEY_A " a\001b\n", "Line 1*UTF-8*" },
    { KEY_A " a\r" KEY_B "\n", "Line 1*UTF-8*" },
  };
  g_autofree char *text = g_strnfill (1024 * 1024 + 1, '\n');
  g_autofree char *huge = put (fixture, "huge", text, -1, 0600);
  g_autofree char *nothing = path_of (fixture, "nothing");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *path = put (fixture, "list", bad[i].text, -1, 0600);

      g_assert_null (pool_allow_list_new (path, &error));
      assert_refused (&error, bad[i].message);
      g_chmod (path, 0620);
      g_assert_null (pool_allow_list_new (path, &error));
      assert_refused (&error, "Others can change*chmod go-w*");
    }
  g_assert_null (pool_allow_list_new (huge, &error));
  assert_refused (&error, "*/huge is too long*");
  g_assert_null (pool_allow_list_new (nothing, &error));
  assert_refused (&error, "*/nothing does not exist*");
}

/* As if all had been changed long ago. */
static void
age (const char *path, guint seconds)
{
  struct timeval times[2] = { { 1000000000 + seconds, 0 }, { 1000000000 + seconds, 0 } };

  g_assert_cmpint (utimes (path, times), ==, 0);
}

static void
refresh (PoolAllowList *list, gboolean expected)
{
  g_autoptr (GError) error = NULL;
  gboolean changed = !expected;

  pool_allow_list_refresh (list, &changed, &error);
  g_assert_no_error (error);
  g_assert_cmpint (changed, ==, expected);
}

static void
test_refresh (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = put (fixture, "list", KEY_A " one\n", -1, 0600);
  g_autoptr (PoolAllowList) list = open_list (path);
  g_autoptr (GError) error = NULL;

  refresh (list, FALSE);
  /* of the same size, within the clock's step, and with the same times */
  g_free (put (fixture, "list", KEY_B " one\n", -1, 0600));
  refresh (list, TRUE);
  g_assert_null (pool_allow_list_find_text (list, KEY_A));
  g_assert_nonnull (pool_allow_list_find_text (list, KEY_B));
  g_free (put (fixture, "list", KEY_B " two\n", -1, 0600));
  refresh (list, TRUE);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_B), ==, "two");
  /* a list that cannot be read changes nothing, until it can be read */
  g_unlink (path);
  g_assert_false (pool_allow_list_refresh (list, NULL, &error));
  assert_refused (&error, "*/list does not exist*");
  g_free (put (fixture, "list", "half a k", -1, 0600));
  g_assert_false (pool_allow_list_refresh (list, NULL, &error));
  assert_refused (&error, "Line 1*");
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_B), ==, "two");
  g_free (put (fixture, "list", "", -1, 0600));
  refresh (list, TRUE);
  g_assert_null (pool_allow_list_find_text (list, KEY_B));
}

/* What has been as it is for a while is not read again, and a change is noticed all the same. */
static void
test_refresh_settled (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = put (fixture, "list", KEY_A " one\n", -1, 0600);
  g_autoptr (PoolAllowList) list = open_list (path);
  struct stat status;

  g_usleep (2200000);
  refresh (list, FALSE);
  refresh (list, FALSE);
  g_free (put (fixture, "list", KEY_A " two\n", -1, 0600));
  refresh (list, TRUE);
  g_usleep (2200000);
  refresh (list, FALSE);
  /* in its place, with its size and time of change: as a copy that keeps times does */
  g_assert_cmpint (stat (path, &status), ==, 0);
  {
    FILE *file = fopen (path, "r+");

    fprintf (file, "%s", KEY_A " six\n");
    fclose (file);
  }
  age (path, 0);
  refresh (list, TRUE);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_A), ==, "six");
}

static void
test_folder (Fixture *fixture, gconstpointer data)
{
  g_autofree char *one = put (fixture, "one.pub", "public = " KEY_A "\n", -1, 0644);
  g_autofree char *two = NULL;
  g_autofree char *bad = NULL;
  g_autoptr (PoolAllowList) list = open_list (fixture->folder);
  g_autoptr (GError) error = NULL;

  /* what is of no matter */
  g_free (put (fixture, "one.key", "nonsense", -1, 0644));
  g_free (put (fixture, ".two.pub", "nonsense", -1, 0644));
  g_assert_cmpuint (pool_allow_list_get_size (list), ==, 1);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_A), ==, "one");
  two = put (fixture, "two.pub", "public = " KEY_B "\n", -1, 0644);
  refresh (list, TRUE);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_B), ==, "two");
  /* the first name of a key counts */
  g_free (put (fixture, "two.pub", "public = " KEY_A "\n", -1, 0644));
  refresh (list, TRUE);
  g_assert_cmpuint (pool_allow_list_get_size (list), ==, 1);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_A), ==, "one");
  bad = put (fixture, "bad.pub", "public = " KEY_C "\n" ANY_SECRET, -1, 0644);
  g_assert_false (pool_allow_list_refresh (list, NULL, &error));
  assert_refused (&error, "*/bad.pub holds a secret key*");
  g_unlink (bad);
  g_unlink (one);
  refresh (list, TRUE);
  g_assert_cmpstr (pool_allow_list_find_text (list, KEY_A), ==, "two");
  g_chmod (two, 0666);
  g_assert_false (pool_allow_list_refresh (list, NULL, &error));
  assert_refused (&error, "Others can change*/two.pub*");
  g_chmod (two, 0644);
  g_chmod (fixture->folder, 0777);
  g_assert_false (pool_allow_list_refresh (list, NULL, &error));
  assert_refused (&error, "Others can change*chmod go-w*");
  g_chmod (fixture->folder, 0700);
  g_unlink (two);
  refresh (list, TRUE);
  g_assert_cmpuint (pool_allow_list_get_size (list), ==, 0);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/keys/read-pair", test_read_pair },
    { "/keys/bad-pairs", test_bad_pairs },
    { "/keys/bad-modes", test_bad_modes },
    { "/keys/odd-files", test_odd_files },
    { "/keys/read-public", test_read_public },
    { "/keys/path-like-key", test_path_like_key },
    { "/keys/write", test_write },
    { "/keys/write-refused", test_write_refused },
    { "/keys/list", test_list },
    { "/keys/empty-list", test_empty_list },
    { "/keys/bad-lists", test_bad_lists },
    { "/keys/refresh", test_refresh },
    { "/keys/refresh-settled", test_refresh_settled },
    { "/keys/folder", test_folder },
  };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/keys/z85", test_z85);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
