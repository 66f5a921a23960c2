/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <mpi.h>

G_BEGIN_DECLS

/* Before MPI_Init, in a process of our own: what an MPI needs to be told so that it works here and survives the loss of a rank. */
void pool_mpi_set_environment (gboolean is_alone);
/* MPI_Init_thread, with errors returned where the MPI can. */
gboolean pool_mpi_start (GError **error);
void pool_mpi_describe_error (int code, const char *what, GError **error);

/*
 * Some calls of an MPI cannot be had without waiting, and may wait for ever: the process ends if one is not back in time.
 */
void pool_mpi_guard_begin (void);
void pool_mpi_guard_end (void);

/* Ends the process. @in_order: with MPI_Finalize, which waits for all other ranks. */
void pool_mpi_exit (int status, gboolean in_order) G_GNUC_NORETURN;

G_END_DECLS
