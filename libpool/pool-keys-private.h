/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Keys of CURVE, by which those who connect to a pool, and the pool, prove who they are; and who may connect. Keys are 32
 * bytes, in text 40 characters of Z85. Errors are POOL_ERROR_INVALID_ARGUMENT and say what to do about a file; no message holds
 * anything of a key.
 *
 * A key file is text: empty lines, comments that begin with "#", and the lines "public = KEY" and "secret = KEY", each at most
 * once. (No key begins with "#": Z85 has the character, but there it would stand for too large a number.)
 */
#define POOL_KEY_SIZE 32
#define POOL_KEY_TEXT_SIZE 41 /* with the zero */
#define POOL_KEY_SECRET_SUFFIX ".key"
#define POOL_KEY_PUBLIC_SUFFIX ".pub"

typedef struct
{
  guint8 public_key[POOL_KEY_SIZE];
  guint8 secret_key[POOL_KEY_SIZE];
} PoolKeyPair;

/* Who may connect, and what they are called. */
typedef struct _PoolAllowList PoolAllowList;

/* @key: of POOL_KEY_SIZE; @text: of POOL_KEY_TEXT_SIZE */
POOL_EXPORT
void pool_key_encode (const guint8 *key, char *text);
/* FALSE, with @key all zero: @text is not exactly a key. */
POOL_EXPORT
gboolean pool_key_decode (const char *text, guint8 *key);

/* @path: a file with both keys, which nobody may read but its owner, who is the user or root */
POOL_EXPORT
gboolean pool_key_pair_read (PoolKeyPair *self, const char *path, GError **error);
/*
 * Makes @name.key with both keys for the user alone, and @name.pub with the public one for all. @force: in place of files that
 * there are; else these are an error. Neither goes through a symbolic link.
 */
POOL_EXPORT
gboolean pool_key_pair_write (const PoolKeyPair *self, const char *name, gboolean force, GError **error);
/* So that the secret does not stay in memory. */
POOL_EXPORT
void pool_key_pair_clear (PoolKeyPair *self);

/*
 * The public key of a server. @where: the key itself, or a file with it, which must not hold a secret one. What begins with "/",
 * "./" or "../" and could be both is a file if there is one.
 */
POOL_EXPORT
gboolean pool_key_read_public (const char *where, guint8 *key, GError **error);

/*
 * @path: a file with a line "KEY" or "KEY NAME" (or "public = KEY") for each, and comments; or a folder with a key file NAME.pub
 * for each. Only the user and root may be able to change it. One that is empty lets nobody in. Of a key that is there twice
 * the first name counts.
 */
POOL_EXPORT
PoolAllowList *pool_allow_list_new (const char *path, GError **error);
POOL_EXPORT
void pool_allow_list_free (PoolAllowList *self);
/*
 * Reads it again if it has changed. FALSE: it cannot be read now, and all stays as it was; the next call tries again.
 * @changed: (out) (optional): other keys or names than before
 */
POOL_EXPORT
gboolean pool_allow_list_refresh (PoolAllowList *self, gboolean *changed, GError **error);
POOL_EXPORT
guint pool_allow_list_get_size (const PoolAllowList *self);
/*
 * The name of a client, without one its key as text; valid until the list is read again. NULL: it may not connect. Takes as
 * long whichever key it is. pool_allow_list_find_text(): for a key as text, also for a text that is none.
 */
POOL_EXPORT
const char *pool_allow_list_find (const PoolAllowList *self, const guint8 *key);
POOL_EXPORT
const char *pool_allow_list_find_text (const PoolAllowList *self, const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolAllowList, pool_allow_list_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PoolKeyPair, pool_key_pair_clear)

G_END_DECLS
