/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * The clean copy of the program that pool_init() keeps: a process that was forked before there were threads, and forks
 * children that load a backend and run its worker_main(). They find the program's functions at the addresses that
 * they had then.
 */
POOL_EXPORT
gboolean pool_copy_exists (void);
/* What pool_init() does, but for taking part in a job. */
POOL_EXPORT
gboolean pool_copy_make (GError **error);
/* Is what lies at @address in this process the same in the copy? */
POOL_EXPORT
gboolean pool_copy_has_address (gconstpointer address);
/* @args: NULL-terminated; the descriptors' numbers in the child follow them */
POOL_EXPORT
gboolean pool_copy_start_child (const char *backend, const char *const *args, const int *fds,
                                guint n_fds, GError **error);

/* The helper for processes that are exec'd; an absolute path. */
POOL_EXPORT
char *pool_copy_find_worker_program (void);
/* What that helper, or a child of the copy, does: argv[1] is the backend's name. */
POOL_EXPORT
int pool_copy_run_worker (int argc, char **argv);

G_END_DECLS
