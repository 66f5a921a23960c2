/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/* What the text of pool_launcher_new() says, and the command lines that it makes of an agent's. */

typedef enum
{
  POOL_LAUNCHER_LOCAL,
  POOL_LAUNCHER_SSH,
  POOL_LAUNCHER_SLURM,
  POOL_LAUNCHER_COMMAND,
} PoolLauncherKind;

typedef struct
{
  PoolLauncherKind kind;
  GPtrArray *hosts; /* of ssh: PoolLauncherHost */
  char **words;     /* options of srun, or the words of a template; may be NULL */
} PoolLauncherSpec;

PoolLauncherSpec *pool_launcher_spec_parse (const char *text, GError **error);
void pool_launcher_spec_free (PoolLauncherSpec *self);

/* Returns: (transfer full): what to run on this machine */
char **pool_launcher_spec_get_command (const PoolLauncherSpec *self, guint agent, guint n_workers,
                                       const char *const *argv);

/* Of pool-launcher-template.c. @words: a template; FALSE with what is wrong with it */
gboolean pool_launcher_template_check (const char *const *words, GError **error);
char **pool_launcher_template_expand (const char *const *words, guint agent, guint n_workers,
                                      const char *const *argv);
/* @argv as one could type it into sh */
char *pool_launcher_quote (const char *const *argv);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolLauncherSpec, pool_launcher_spec_free)

G_END_DECLS
