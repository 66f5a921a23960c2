/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libpool.h>

/*
 * The nemesis does to pools, at random, all that a program and a machine may do to them, and checks what comes of it:
 *
 *   nemesis.c          options; rounds, each with pools, actors and faults; leaks after each
 *   nemesis-ops.c      what an actor does: a table of operations
 *   nemesis-calls.c    calls, and whether each ended once and as it may
 *   nemesis-control.c  what an actor does to a pool that runs, and its settings
 *   nemesis-pool.c     pools, and what happens to their workers
 *   nemesis-watch.c    the history, the watchdog, what is left over
 *   nemesis-workload.c a fixed workload, to compare with other pools
 *   pool-task-nemesis.c the tasks
 */

/* What a task is to do. The order counts: from CRASH_ONCE on it takes a worker down. */
typedef enum
{
  NEMESIS_PLAIN,
  NEMESIS_NAP,      /* amount: µs */
  NEMESIS_RAISE,    /* an error with its number */
  NEMESIS_NOTHING,  /* neither value nor error */
  NEMESIS_ALLOCATE, /* amount: KiB */
  NEMESIS_PATIENT,  /* amount: µs, unless it is told to stop */
  NEMESIS_PRINT,    /* its number, to the standard output */
  NEMESIS_LOG,      /* likewise, as a log record */
  NEMESIS_OVERRUN,  /* longer than any limit; amount: ms */
  NEMESIS_CRASH_ONCE, /* in its first attempt; amount: signal */
  NEMESIS_EXIT_ONCE,
  NEMESIS_CRASH,
  NEMESIS_N_BEHAVIOURS
} NemesisBehaviour;

/* One task: its result is 3 * number + 1, or for bytes `amount` bytes that follow from the number. */
typedef struct
{
  gint64 number;
  guint32 behaviour;
  guint32 amount;
} NemesisItem;

typedef struct
{
  double seconds;
  gint64 seed;
  char *backend;
  char *method; /* a start method, or "copy": threads, and a pool_init() before */
  int processes;
  int actors; /* 0: one to three */
  gboolean workload;
  gboolean verbose;
} NemesisOptions;

/* A pool, and what is known of it. */
typedef struct
{
  gatomicrefcount ref_count;
  guint number;
  gboolean resilient, threads;
  guint max_retries;
  gboolean fragile;             /* breaks after a few deaths */
  double timeout, soft_timeout; /* 0: none */
  gboolean may_restart, captures, logs;
  /* set before it is done, and for good: that it may have been done since a call was made */
  _Atomic gboolean closing, terminating, restarted, job_terminated;

  GMutex lock;
  PoolManager *manager; /* NULL: dropped */
  GHashTable *bag;      /* numbers that were put and not got */
  GHashTable *recalled; /* those of them that the queue may have been cleared of while they were far away */
  guint n_missing;      /* those whose results failed or were cleared */
} NemesisPool;

typedef enum
{
  NEMESIS_CALL_VALUE,
  NEMESIS_CALL_BYTES,
  NEMESIS_CALL_MAP,
  NEMESIS_CALL_PACKED,
} NemesisCallKind;

typedef struct
{
  guint id;
  NemesisCallKind kind;
  NemesisPool *pool;
  guint max_retries;
  GCancellable *cancellable;
  _Atomic gboolean cancelled, terminated; /* set before it is done */
  double timeout, soft_timeout;           /* 0: none */
  PoolAsyncResult *result;    /* NULL: comes to the callback */
  gboolean has_callback;
  _Atomic guint n_callbacks;
  guint n_items;
  NemesisItem items[];
} NemesisCall;

#define NEMESIS_MAX_POOLS 3

typedef struct
{
  guint number;
  gint64 end; /* monotonic µs: actors begin nothing new */
  gboolean loop; /* the main thread runs a main loop */
  GMutex lock;
  NemesisPool *pools[NEMESIS_MAX_POOLS];
  guint n_pools;
  _Atomic gboolean over; /* no more faults */
} NemesisRound;

typedef struct
{
  guint number;
  GRand *rand;
  NemesisRound *round;
  GPtrArray *calls; /* not yet looked at */
  GPtrArray *ended; /* kept until the round's end: nothing may happen to them any more */
  const char *_Atomic doing;
} NemesisActor;

extern NemesisOptions nemesis_options;
extern gboolean nemesis_isolates;  /* workers may be killed */
extern gboolean nemesis_has_agents; /* workers have agents between them and this program */
extern gboolean nemesis_is_rank; /* agents are the other ranks of a job: for one pool at a time, and they come once */
extern int nemesis_root; /* the process that all others come from */
extern gboolean nemesis_may_start; /* pools may be started while there are threads */

/* Who does something, in the history; others have their actor's number. */
#define NEMESIS_FAULTS 0
#define NEMESIS_ANYBODY 99

/* nemesis-watch.c */
void nemesis_note (guint actor, const char *format, ...) G_GNUC_PRINTF (2, 3);
void nemesis_found (const char *format, ...) G_GNUC_PRINTF (1, 2) G_GNUC_NORETURN;
void nemesis_watch_start (void);
void nemesis_watch_begin (void);
void nemesis_watch_round (NemesisRound *round, NemesisActor *actors, guint n_actors);
void nemesis_watch_leaks (NemesisRound *round);
void nemesis_watch_memory (void);
guint nemesis_count_threads (void);

/* nemesis-pool.c */
NemesisPool *nemesis_pool_start (GRand *rand);
gboolean nemesis_pool_is_over (NemesisPool *self); /* takes no more tasks now */
gboolean nemesis_pool_may_end_tasks (NemesisPool *self);
NemesisPool *nemesis_pool_ref (NemesisPool *self);
void nemesis_pool_unref (NemesisPool *self);
PoolManager *nemesis_pool_dup_manager (NemesisPool *self); /* NULL: dropped */
void nemesis_pool_close (NemesisPool *self);
void nemesis_pool_terminate (NemesisPool *self);
void nemesis_pool_drop (NemesisPool *self);
void nemesis_pool_empty_bag (NemesisPool *self);
gpointer nemesis_faults_thread (gpointer round);

/* nemesis-calls.c */
typedef struct
{
  _Atomic guint64 n_calls, n_items, n_right, n_raised, n_cancelled, n_ended, n_lost, n_late, n_terminated, n_broken;
} NemesisCounts;

extern NemesisCounts nemesis_counts;
extern _Atomic guint nemesis_n_callbacks_due;
extern _Atomic guint nemesis_n_pools, nemesis_n_kills, nemesis_n_stops;

extern _Atomic guint nemesis_n_listeners; /* of calls that may still be told of something */

void nemesis_item_init (NemesisItem *item, NemesisPool *pool, GRand *rand, gboolean lone);
NemesisCall *nemesis_call_new (NemesisPool *pool, NemesisCallKind kind, guint n_items, GRand *rand);
void nemesis_call_free (NemesisCall *self);
void nemesis_call_submit (NemesisCall *self, PoolManager *manager, GRand *rand);
void nemesis_call_cancel (NemesisCall *self, GRand *rand);
void nemesis_call_terminate (NemesisCall *self, GRand *rand);
void nemesis_call_judge (NemesisCall *self);
/* @value or @error of an item of a call, or, without a call, of a pool */
void nemesis_judge_value (NemesisPool *pool, NemesisCall *call, const NemesisItem *item, GVariant *value,
                          const GError *error);

/* nemesis-control.c */
void nemesis_control_choose_settings (NemesisPool *pool, GRand *rand);
int nemesis_control_choose_signal (GRand *rand);
void nemesis_control_grow (NemesisActor *self, NemesisPool *pool, PoolManager *manager);
void nemesis_control_shrink (NemesisActor *self, NemesisPool *pool, PoolManager *manager);
void nemesis_control_restart (NemesisActor *self, NemesisPool *pool, PoolManager *manager);
void nemesis_control_terminate_job (NemesisActor *self, NemesisPool *pool, PoolManager *manager);
void nemesis_control_maintain (NemesisActor *self, NemesisPool *pool, PoolManager *manager);

/* nemesis-ops.c */
gpointer nemesis_actor_thread (gpointer actor);

/* nemesis-workload.c */
int nemesis_workload_run (void);
