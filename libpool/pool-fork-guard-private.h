/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-types.h"

G_BEGIN_DECLS

/*
 * Threads of the library stand still while it forks: they hold the guard whenever they run library code, and leave it
 * to sleep and to run code of the program. So a program whose only other threads are ours counts as one with a single
 * thread, and a child cannot inherit a lock that one of them held.
 */
POOL_EXPORT
void pool_fork_guard_thread_announce (void); /* before a thread of the library is made, which then calls _begin() */
POOL_EXPORT
void pool_fork_guard_thread_withdraw (void); /* it could not be made */
POOL_EXPORT
void pool_fork_guard_thread_begin (void); /* this is that thread; enters */
POOL_EXPORT
void pool_fork_guard_thread_end (void);
/*
 * Threads that run the program's code for the library count as the program's, until they end: one that has been told to counts as
 * ending, and says itself when it is at its end. @expected: whether it was told, in pool_fork_guard_expect_end().
 */
POOL_EXPORT
void pool_fork_guard_expect_end (void);
POOL_EXPORT
void pool_fork_guard_note_end (gboolean expected);
POOL_EXPORT
void pool_fork_guard_enter (void);
POOL_EXPORT
void pool_fork_guard_leave (void);
POOL_EXPORT
void pool_fork_guard_enter_program (void); /* around a callback of the program: counts as its thread */
POOL_EXPORT
void pool_fork_guard_leave_program (void);

/* Around a fork, in the program's thread. Returns the number of threads that are not ours. */
POOL_EXPORT
guint pool_fork_guard_lock (void);
POOL_EXPORT
void pool_fork_guard_unlock (void);
POOL_EXPORT
void pool_fork_guard_reset_in_child (void);
/*
 * Waits for a thread of ours to end. A function of the program that is to fork may let go of another pool (a garbage collector does so
 * anywhere), whose thread would stand still for ever: so it may go on meanwhile.
 */
void pool_fork_guard_join (GThread *thread);

/* How often this process was forked from one that had the library: objects of the parent do not work in the child. */
POOL_EXPORT
guint pool_fork_generation (void);

G_END_DECLS
