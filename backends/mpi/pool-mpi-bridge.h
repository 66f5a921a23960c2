/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * The process that has the MPI in the name of a pool, so that the program has none: what an MPI does when ranks are lost, up to ending
 * its process or never coming back from a call, then costs the pool its agents and not the program. It is rank 0 of a job, or
 * spawns the agents; it passes on messages, and knows which ranks are there.
 *
 * argv: … bridge FD PROGRAM-PID [KEY=VALUE of MPI_Info…]
 */
int pool_mpi_bridge_main (int argc, char **argv);

G_END_DECLS
