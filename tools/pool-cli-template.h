/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PoolCliTemplate PoolCliTemplate;

PoolCliTemplate *pool_cli_template_new (char **words);
void pool_cli_template_free (PoolCliTemplate *self);
gboolean pool_cli_template_is_shell (PoolCliTemplate *self);
char **pool_cli_template_expand (PoolCliTemplate *self, const char *input, guint64 seq);
char *pool_cli_template_describe (PoolCliTemplate *self, char **argv);
char *pool_cli_quote (const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolCliTemplate, pool_cli_template_free)

G_END_DECLS
