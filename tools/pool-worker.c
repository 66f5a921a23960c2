/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "libpool/pool-copy-private.h"

/* The program of worker processes that are not forked from the one that uses the pool. Run by the library only. */
int
main (int argc, char **argv)
{
  return pool_copy_run_worker (argc, argv);
}
