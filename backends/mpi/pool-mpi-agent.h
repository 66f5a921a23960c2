/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * A rank that does the work of pools: of `pool worker --mpi`, of a program that pool_init() has turned into one, or spawned.
 * argv: … agent OPTIONS
 */
int pool_mpi_agent_main (int argc, char **argv);

/* The same of the program itself, in which this is called; does not return. */
void pool_mpi_agent_be (gboolean has_program) G_GNUC_NORETURN;

G_END_DECLS
