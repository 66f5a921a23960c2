/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PoolCliInput PoolCliInput;

typedef enum
{
  POOL_CLI_INPUT_ITEM,
  POOL_CLI_INPUT_WAIT, /* nothing there now: see pool_cli_input_create_source() */
  POOL_CLI_INPUT_END,
  POOL_CLI_INPUT_ERROR,
} PoolCliInputStatus;

PoolCliInput *pool_cli_input_new_for_words (char **words);
PoolCliInput *pool_cli_input_new_for_file (const char *name, char separator, GError **error);
void pool_cli_input_free (PoolCliInput *self);
PoolCliInputStatus pool_cli_input_next (PoolCliInput *self, GBytes **item, GError **error);
GSource *pool_cli_input_create_source (PoolCliInput *self);
gint64 pool_cli_input_get_total (PoolCliInput *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliInput, pool_cli_input_free)

G_END_DECLS
