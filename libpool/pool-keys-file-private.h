/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-keys-private.h"

G_BEGIN_DECLS

/* Whom a file is protected from. */
typedef enum
{
  POOL_KEYS_PUBLIC, /* others must not change it */
  POOL_KEYS_OWN,    /* and nobody but the user and root */
  POOL_KEYS_SECRET, /* nor read it */
} PoolKeysTrust;

/* Text with lines, to be taken apart where it is. */
typedef struct
{
  char *text;
  gsize size;
  char *next;
  guint number;
} PoolKeysFile;

struct stat;

/* Whether a file or folder is as @trust says. */
gboolean pool_keys_check (const struct stat *status, const char *path, PoolKeysTrust trust, GError **error);
gboolean pool_keys_file_open (PoolKeysFile *self, const char *path, PoolKeysTrust trust, gsize max_size,
                              GError **error);
/* Wipes what was read. */
void pool_keys_file_clear (PoolKeysFile *self);
/* The next line that is neither empty nor a comment, without blanks around it; its number is in self->number. */
char *pool_keys_file_next (PoolKeysFile *self);
/* "public = KEY": what follows the name and the sign, or NULL */
char *pool_keys_get_value (char *line, const char *name);
/* A key file that holds a public key and no secret one. */
gboolean pool_keys_read_public_file (const char *path, PoolKeysTrust trust, guint8 *key, GError **error);
/* In place of what there is, with @force; never through a symbolic link. */
gboolean pool_keys_file_write (const char *path, const char *text, mode_t mode, gboolean force, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PoolKeysFile, pool_keys_file_clear)

G_END_DECLS
