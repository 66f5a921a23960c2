/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>
#include <string.h>

/*
 * One body of tests for every backend and start method, given by the environment: POOL_TEST_BACKEND,
 * POOL_TEST_START_METHOD, POOL_TEST_PROCESSES, POOL_TEST_COPY: a program with threads that called pool_init(), and
 * POOL_TEST_RANKS: one that was started as several ranks.
 */
typedef struct
{
  PoolManager *pool;
  guint n_fds;
} Fixture;

extern const char *conform_backend;
extern gboolean conform_isolates; /* a crash takes only the worker down */
extern gboolean conform_remote; /* workers are told of by agents, which takes its time */
extern gboolean conform_alone; /* one pool at a time: the ranks of a job are its */
extern gboolean conform_closures; /* workers have functions of this program */

PoolManager *conform_new (void);
PoolManager *conform_started (void);
void conform_end (PoolManager *pool);
/* until a dropped pool is gone whose threads were in a task */
void conform_await_fds (Fixture *fixture);
void conform_add (const char *name, void (*func) (Fixture *fixture, gconstpointer data));

void conform_add_blocks (void);
void conform_add_calls (void);
void conform_add_maps (void);
void conform_add_queue (void);
void conform_add_life (void);
void conform_add_faults (void);
void conform_add_time (void);
void conform_add_control (void);
void conform_add_size (void);
void conform_add_logs (void);
void conform_add_memory (void);
void conform_add_statistics (void);
void conform_add_stream (void);
void conform_add_waits (void);

/* a pool with settings, started */
PoolManager *conform_started_with (const char *property, ...) G_GNUC_NULL_TERMINATED;
/* KiB that this program has resident, and a worker that is forked from it begins with */
guint64 conform_resident (void);
/* until a property of the pool has that value; fails after 20 s */
void conform_await (PoolManager *pool, const char *property, guint64 value);

/* a variant equal to a text, or a message */
#define conform_assert_value(value, text)                                                          \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autoptr (GVariant) conform_value_ = (value);                                                 \
    g_autofree char *conform_text_ = NULL;                                                         \
                                                                                                   \
    g_assert_nonnull (conform_value_);                                                             \
    conform_text_ = g_variant_print (conform_value_, FALSE);                                       \
    g_assert_cmpstr (conform_text_, ==, text);                                                     \
  }                                                                                                \
  G_STMT_END
