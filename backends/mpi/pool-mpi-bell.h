/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * What an MPI lacks: a rank that has sent something to another one of the same machine rings its bell, so that this need not ask the
 * MPI again and again. A bell says nothing but "look": who rings without reason does no harm. Somebody of the same user may hand in
 * a descriptor, too.
 */
typedef struct
{
  int fd; /* readable when it was rung; -1: there is none */
  guint64 name;
  int handed; /* the last descriptor that was handed in; -1: none */
} PoolMpiBell;

void pool_mpi_bell_open (PoolMpiBell *self);
void pool_mpi_bell_close (PoolMpiBell *self);
/* Rings that of another process, of which 0 has none. */
void pool_mpi_bell_ring (const PoolMpiBell *self, guint64 name);
/* Hands in a descriptor. FALSE: it is not there. */
gboolean pool_mpi_bell_hand (const PoolMpiBell *self, guint64 name, int fd);
/* The name of one that has rung; 0: nobody has. */
guint64 pool_mpi_bell_take (PoolMpiBell *self);

G_END_DECLS
