/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

G_BEGIN_DECLS

/* A pool of processes that may be killed as often as it takes. POOL_TEST_START_METHOD says how workers are made. */
PoolManager *faults_new_pool (int processes);
void faults_start (PoolManager *pool);
void faults_end (PoolManager *pool);

/* The pid of a worker that is up; waits until there is one. */
int faults_nth_worker (PoolManager *pool, guint n);
void faults_wait_for_workers (PoolManager *pool, guint n);

int faults_parent_of (int pid);
/* The state letter of a process; 0: there is none. Zombies count as gone. */
char faults_process_state (int pid);
gboolean faults_gone_within (int pid, double seconds);

/* Checks that the pool squares @x. */
void faults_assert_square (PoolManager *pool, gint64 x);

G_END_DECLS
