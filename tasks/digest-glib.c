/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "digest.h"

struct _Digest
{
  GChecksum *checksum;
};

static const char *const names[] = { "md5", "sha1", "sha256", "sha384", "sha512", NULL };
static const GChecksumType types[] = { G_CHECKSUM_MD5, G_CHECKSUM_SHA1, G_CHECKSUM_SHA256,
                                       G_CHECKSUM_SHA384, G_CHECKSUM_SHA512 };

G_STATIC_ASSERT (G_N_ELEMENTS (names) == G_N_ELEMENTS (types) + 1);

void
digest_init (void)
{
}

const char *const *
digest_list_names (void)
{
  return names;
}

Digest *
digest_new (const char *name)
{
  for (gsize i = 0; names[i] != NULL; i++)
    if (g_str_equal (name, names[i]))
      {
        Digest *digest = g_new0 (Digest, 1);

        digest->checksum = g_checksum_new (types[i]);
        return digest;
      }
  return NULL;
}

void
digest_update (Digest *digest, const guint8 *data, gsize size)
{
  g_checksum_update (digest->checksum, data, size);
}

char *
digest_to_hex (Digest *digest)
{
  return g_strdup (g_checksum_get_string (digest->checksum));
}

void
digest_free (Digest *digest)
{
  g_checksum_free (digest->checksum);
  g_free (digest);
}
