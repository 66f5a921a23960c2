/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * A program that mpirun, or srun with a plugin for MPI, has started several times at once: what they tell of it in the environment.
 * Nothing of an MPI is needed to read that.
 */
typedef struct
{
  guint rank;
  guint size;
} PoolRanks;

/* FALSE: it runs alone, or its user wants that ignored (POOL_RANKS=ignore). */
POOL_EXPORT
gboolean pool_ranks_get (PoolRanks *ranks);
/* In a process that is no rank but was made by one: the programs that it runs are none either. */
POOL_EXPORT
void pool_ranks_forget (void);
/* Makes this program take part in its job, as its pool_init() does: does not return but in rank 0. */
gboolean pool_ranks_join (GError **error);

/*
 * Functions of the program, for other processes that run the same file: where they are in it. NULL: that is not in the program's
 * own file.
 */
char *pool_program_describe (gconstpointer address);
/* The reverse; NULL with POOL_ERROR_NO_SUCH_TASK: this is another program. */
gpointer pool_program_find (const char *description, GError **error);

G_END_DECLS
