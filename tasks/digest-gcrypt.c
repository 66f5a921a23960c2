/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "digest.h"

#include <gcrypt.h>

struct _Digest
{
  gcry_md_hd_t handle;
  int algo;
};

static const char *const names[] = { "md5", "sha1", "sha256", "sha384", "sha512", "blake2b", NULL };
static const int algos[] = { GCRY_MD_MD5,    GCRY_MD_SHA1,   GCRY_MD_SHA256,
                             GCRY_MD_SHA384, GCRY_MD_SHA512, GCRY_MD_BLAKE2B_512 };

G_STATIC_ASSERT (G_N_ELEMENTS (names) == G_N_ELEMENTS (algos) + 1);

/* The program that loads the module may use libgcrypt too, and may have set it up its own way. */
void
digest_init (void)
{
  if (gcry_control (GCRYCTL_INITIALIZATION_FINISHED_P))
    return;
  gcry_check_version (NULL);
  gcry_control (GCRYCTL_DISABLE_SECMEM, 0);
  gcry_control (GCRYCTL_INITIALIZATION_FINISHED, 0);
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
    {
      gcry_md_hd_t handle;
      Digest *digest;

      if (!g_str_equal (name, names[i]))
        continue;
      if (gcry_md_open (&handle, algos[i], 0) != 0)
        return NULL;
      digest = g_new0 (Digest, 1);
      digest->handle = handle;
      digest->algo = algos[i];
      return digest;
    }
  return NULL;
}

void
digest_update (Digest *digest, const guint8 *data, gsize size)
{
  gcry_md_write (digest->handle, data, size);
}

char *
digest_to_hex (Digest *digest)
{
  const guint8 *bytes = gcry_md_read (digest->handle, digest->algo);
  GString *hex = g_string_new (NULL);

  for (guint i = 0; i < gcry_md_get_algo_dlen (digest->algo); i++)
    g_string_append_printf (hex, "%02x", bytes[i]);
  return g_string_free (hex, FALSE);
}

void
digest_free (Digest *digest)
{
  gcry_md_close (digest->handle);
  g_free (digest);
}
