/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-mpi-link.h"

G_BEGIN_DECLS

/* The program's side of a process of pool-mpi-bridge.c. */
typedef struct
{
  PoolMpiLink link;
  pid_t pid;
  pid_t owner; /* the process that has started it */
  int error_fd; /* its standard error; -1: that of the program */
  GString *errors; /* what it said, until it was ready */
  gboolean is_ready;
  gboolean is_used; /* a pool has it */
  guint n_ranks; /* that can be agents; 0: they are spawned */
} PoolMpiProcess;

/* @info: KEY=VALUE of MPI_Info, or NULL. @keep_errors: what it says on its standard error is for messages. */
PoolMpiProcess *pool_mpi_process_start (const char *const *info, gboolean keep_errors, GError **error);
/* Waits until it can be used, not for ever. */
gboolean pool_mpi_process_open (PoolMpiProcess *self, GError **error);
/* Takes what it has said; later on that is passed on. */
void pool_mpi_process_read_errors (PoolMpiProcess *self);
/* How it ended, for people. */
char *pool_mpi_process_describe_end (PoolMpiProcess *self);
void pool_mpi_process_free (PoolMpiProcess *self);

/*
 * That of rank 0 of a job: a job can be entered once only, so that the pools of the program have it one after the other. The
 * caller has it until release.
 */
PoolMpiProcess *pool_mpi_process_take_rank (GError **error);
/* It is there, whoever has it. */
gboolean pool_mpi_process_start_rank (GError **error);
void pool_mpi_process_release_rank (PoolMpiProcess *self);

G_END_DECLS
