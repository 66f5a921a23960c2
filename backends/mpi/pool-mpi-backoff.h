/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * When to ask an MPI again whether something has come: it has no descriptor that would tell. Right after something happened more is
 * likely to: it is asked without a pause, then in growing intervals of up to 2 ms. This is the one place of the library where
 * somebody polls.
 */
typedef struct
{
  int epoll_fd; /* -1: nobody has asked for it */
  int timer_fd; /* readable when it is time to ask again */
  gint64 active_at;  /* monotonic µs: when something happened last */
  gint64 due_at;     /* when timer_fd is, or was, readable */
  gboolean may_spin;
  guint n_asked; /* since something happened, or somebody rang */
} PoolMpiBackoff;

gboolean pool_mpi_backoff_init (PoolMpiBackoff *self, GError **error);
void pool_mpi_backoff_clear (PoolMpiBackoff *self);
/* One that is readable when timer_fd is, or @fd. */
int pool_mpi_backoff_get_fd (PoolMpiBackoff *self, int fd);
/* Something has happened, or somebody has rung. */
void pool_mpi_backoff_reset (PoolMpiBackoff *self);
/*
 * Nothing has. @has_bells: whoever sends something rings, so that there is hardly a reason to ask. TRUE: it is to be asked again at once;
 * FALSE: when timer_fd is readable.
 */
gboolean pool_mpi_backoff_next (PoolMpiBackoff *self, gboolean has_bells);

G_END_DECLS
