/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libpool.h"

G_BEGIN_DECLS

/**
 * POOL_BACKEND_ABI: (skip)
 *
 * The version of the interface between the library and its backends; it changes when they no longer fit.
 */
#define POOL_BACKEND_ABI 1

#define POOL_TYPE_BACKEND (pool_backend_get_type ())
#define POOL_BACKEND(o) (G_TYPE_CHECK_INSTANCE_CAST ((o), POOL_TYPE_BACKEND, PoolBackend))
#define POOL_IS_BACKEND(o) (G_TYPE_CHECK_INSTANCE_TYPE ((o), POOL_TYPE_BACKEND))
#define POOL_BACKEND_CLASS(k) (G_TYPE_CHECK_CLASS_CAST ((k), POOL_TYPE_BACKEND, PoolBackendClass))
#define POOL_BACKEND_GET_CLASS(o)                                                                  \
  (G_TYPE_INSTANCE_GET_CLASS ((o), POOL_TYPE_BACKEND, PoolBackendClass))

typedef struct _PoolBackend PoolBackend;
typedef struct _PoolBackendClass PoolBackendClass;
typedef struct _PoolEngine PoolEngine;
typedef struct _PoolBackendSink PoolBackendSink;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolBackend, g_object_unref)

/**
 * PoolBackendFlags: (skip)
 * @POOL_BACKEND_NONE: nothing special
 * @POOL_BACKEND_ISOLATES: a task that crashes takes only its worker with it
 * @POOL_BACKEND_TAKES_CLOSURES: workers have the functions that were registered in the program
 * @POOL_BACKEND_REMOTE: workers may be on other machines
 * @POOL_BACKEND_CAN_KILL: a worker can be ended while it runs a task
 * @POOL_BACKEND_CAN_GROW: workers can be added later
 * @POOL_BACKEND_SANDBOXES: workers can be kept from what the program may do: it heeds the sandbox that it is started with
 * @POOL_BACKEND_TAKES_CHAOS: workers misbehave as the configuration's `chaos` asks for
 * @POOL_BACKEND_CAN_CAPTURE: what a task writes to its standard output and error can be told from that of others
 *
 * What a backend can do.
 */
typedef enum
{
  POOL_BACKEND_NONE = 0,
  POOL_BACKEND_ISOLATES = 1 << 0,
  POOL_BACKEND_TAKES_CLOSURES = 1 << 1,
  POOL_BACKEND_REMOTE = 1 << 2,
  POOL_BACKEND_CAN_KILL = 1 << 3,
  POOL_BACKEND_CAN_GROW = 1 << 4,
  POOL_BACKEND_SANDBOXES = 1 << 5,
  POOL_BACKEND_TAKES_CHAOS = 1 << 6,
  POOL_BACKEND_CAN_CAPTURE = 1 << 7,
} PoolBackendFlags;

/* How an argument travels (PoolBackendTask.flags). */
enum
{
  POOL_CALL_VALUE = 1 << 0,  /* an encoded GVariant; else bytes */
  POOL_CALL_PACKED = 1 << 1, /* a batch of them; else one */
  POOL_CALL_TIMED = 1 << 2,  /* the worker measures the run time */
  POOL_CALL_ACK = 1 << 3,    /* the worker says so when it starts */
  POOL_CALL_SYNACK = 1 << 4, /* and then waits until it may */
  POOL_CALL_LIMITED = 1 << 5, /* has a time limit: the worker notes when each item starts */
  POOL_CALL_CAPTURE = 1 << 6, /* what it writes to its standard output and error is wanted */
};

/* What came back (PoolBackendResult.kind). */
typedef enum
{
  POOL_RESULT_NONE, /* nothing: the task was never started */
  POOL_RESULT_BYTES,
  POOL_RESULT_VALUE,
  POOL_RESULT_PACKED,
  POOL_RESULT_PACKED_VALUES,
  POOL_RESULT_ERROR,
  POOL_RESULT_LAST = POOL_RESULT_ERROR, /* of those that end a task */

  POOL_RESULT_ACCEPTED, /* no result yet: a worker has started the task */
  POOL_RESULT_PROGRESS, /* no result yet: the task has told how far it is (run_time: 0 to 1) */
  POOL_RESULT_LEAVING,  /* no result: the worker will take no more tasks than the one it is in */
  POOL_RESULT_LOST,     /* no result, and none will come: who had it is gone, and may have started it (data: an error) */
} PoolResultKind;

/* What a worker is told of the task that it runs. */
typedef enum
{
  POOL_NOTICE_NONE,
  POOL_NOTICE_SOFT_TIMEOUT, /* of one item */
  POOL_NOTICE_CANCEL,       /* of all of it */
} PoolNotice;

/* How workers are to misbehave, for tests: the probability, for each task, of each. All 0: not at all. */
typedef struct
{
  double kill;  /* the worker dies of SIGKILL; only asked of a backend that isolates */
  double stop;  /* it is stopped for a while; likewise */
  double delay; /* it dawdles */
  guint64 seed;
} PoolBackendChaos;

/* Where the agents of a remote backend come from, and how they are known. NULL or 0: what the backend does by itself. */
typedef struct
{
  char *endpoint;
  char *launcher;
  char *key_file;     /* the pool's own keys */
  char *allowed_keys; /* those of agents that may connect */
  char *agent_key_file; /* what an agent that is launched is told of its keys: a name on its machine */
  char *agent_command; /* what is run in place of `pool` on other machines */
  guint processes_per_agent;
  double heartbeat; /* seconds; an agent that is not heard of for three times as long is lost */
  char *bound; /* set by the backend: where agents connect */
  guint64 n_refused; /* counted by the backend: peers that were not let in, or said what cannot be */
} PoolRemoteConfig;

/* What a backend is to start with. Valid during start(). */
typedef struct
{
  guint processes;
  guint max_processes; /* the most that add_workers() will ask for, or 0: unknown */
  guint max_tasks_per_child; /* tasks after which a worker is to say that it leaves; 0: never */
  guint64 max_memory_per_child; /* KiB resident after a task, above which it does; 0: any */
  guint64 memory_limit; /* KiB that a worker may have beyond what it is made with; 0: any */
  PoolStartMethod start_method;
  GVariant *static_args;   /* a tuple, or NULL */
  const char *initializer; /* a task's name, or NULL */
  GVariant *initargs;      /* a tuple */
  PoolSandbox sandbox;     /* NONE, unless the backend has POOL_BACKEND_SANDBOXES */
  PoolBackendChaos chaos;
  const char *const *log_domains; /* whose records go to log(); NULL: none */

  /* How the program's language makes workers, where it has to; NULL: the backend does. Valid as long as the engine. */
  PoolForkFunc fork_func;
  gpointer fork_data;
  PoolThreadFunc thread_func;
  gpointer thread_data;
  gboolean has_size; /* processes is what the user wants, not a guess */
  gboolean needs_copy; /* workers are not forked from this process, but from the copy that it has of itself */
  gboolean keep_descriptors; /* workers that are forked from the program keep what it has open */
  const char *const *worker_command; /* the program of exec'd workers, an absolute path, and its first arguments */

  guint first_worker; /* as tasks see it: what is added to the numbers of workers */
  gboolean at_most_once; /* a task that may have been started is not to be started again */
  PoolRemoteConfig *remote; /* of a backend with POOL_BACKEND_REMOTE */
} PoolBackendConfig;

/* A unit of work on its way to a worker. */
typedef struct
{
  guint64 handle; /* names it in deliver(), cancel() and worker_down(); never used again */
  guint64 id;     /* what people see */
  guint attempt;
  guint function; /* see pool_backend_get_function_name() */
  guint n_items;
  guint flags; /* POOL_CALL_… */
  float limit; /* seconds until the first time limit of each item, or 0 */
  const guint8 *data;
  gsize size;
} PoolBackendTask;

/* What came back. */
typedef struct
{
  guint64 handle;
  guint worker;
  guint kind; /* POOL_RESULT_…; POOL_RESULT_NONE: handed back, was never started */
  guint n_items;
  float run_time;  /* seconds, or 0; POOL_RESULT_PROGRESS: 0 to 1 */
  guint32 started; /* when it was started: the low half of monotonic ns / 1024; 0: unknown */
  gint64 since;    /* POOL_RESULT_ACCEPTED: when the task was started, monotonic µs */
  const guint8 *data; /* may be NULL if there is nothing */
  gsize size;
  GBytes *bytes; /* owns data and may be kept; NULL: data are valid during the call only */
  gboolean is_reference; /* data are a part of the task's own argument */
  gsize offset;          /* where in it, then */
} PoolBackendResult;

/* The end of a worker. */
typedef struct
{
  guint worker;
  PoolDownReason reason;
  int exit_code; /* -1 if a signal ended it */
  int signum;    /* 0 if it exited */
  guint64 max_rss;      /* KiB */
  guint64 start_memory; /* KiB that it was made with, or 0: unknown */
  double cpu_time;      /* seconds */
  const GError *error;  /* of the initializer, or why it could not be made; or NULL */
  guint64 handle;       /* of the task that it ran, or 0 */
  guint item;           /* the item of a batch that it was in */
  gboolean abandoned;   /* it is still there: another report comes when it is not; its pool does not wait for that */
  gboolean may_deliver; /* results of it may still be on their way */
  gboolean is_foreign;  /* it came by itself, and is not for the pool to replace */
  gboolean is_another;  /* that are gone together with one that was told before: as one death of all */
} PoolBackendExit;

/* What is known of a worker that is up. */
typedef struct
{
  guint64 done;   /* tasks */
  guint64 handle; /* of the task that it runs, or 0 */
  guint item;     /* of a batch, that it is in */
  gint64 since;   /* when that was started, monotonic µs; 0: unknown */
} PoolBackendWorker;

/* What a task wrote. */
typedef struct
{
  GBytes *streams[2]; /* standard output, standard error; NULL: nothing */
  guint64 lost;       /* bytes of both that were too many to keep */
} PoolBackendOutput;

struct _PoolBackend
{
  GObject parent_instance;

  /*< private >*/
  PoolEngine *engine; /* not owned: outlives the backend */
  const PoolBackendSink *sink; /* who hears of what happens in place of the engine; NULL: the engine */
};

/*
 * Every function is called with the pool's lock held, by one thread at a time, but for wait(), which is called by one
 * thread at a time without it. None may block, but for start(), wait() and stop().
 */
/* The length of what nobody can guess, and so who knows it was told of the memory. */
#define POOL_BACKEND_TOKEN 16

/* Memory that other processes may look into: a memfd that is not cut off, mapped here. */
typedef struct
{
  int fd;
  const guint8 *base;
  gsize size;
  gsize token; /* where its POOL_BACKEND_TOKEN random bytes are */
} PoolBackendMemory;

struct _PoolBackendClass
{
  GObjectClass parent_class;

  PoolBackendFlags flags; /* what the type can do at all; get_flags() may take some away */
  PoolBackendFlags (*get_flags) (PoolBackend *self);

  /* Makes what is needed and config->processes workers. */
  gboolean (*start) (PoolBackend *self, const PoolBackendConfig *config, GError **error);
  /* Adds workers; each is reported by worker_up() or worker_down(). */
  void (*add_workers) (PoolBackend *self, guint n);
  /* Workers that were made and of whose end worker_down() has not told, whether they are up or not. */
  guint (*count_workers) (PoolBackend *self);
  void (*retire_worker) (PoolBackend *self, guint worker);
  void (*kill_worker) (PoolBackend *self, guint worker, int signum);

  /*
   * Memory for arguments of @size bytes that need no further copy; or NULL. What a PoolBlock has of it may come back after
   * finish().
   */
  guint8 *(*alloc_payload) (PoolBackend *self, gsize size);
  void (*free_payload) (PoolBackend *self, guint8 *payload);
  /* Makes a payload the caller's own; freed with the bytes, by any thread, also after the backend is gone. */
  GBytes *(*wrap_payload) (PoolBackend *self, guint8 *payload, gsize size);

  /* A task has ended for the engine while a worker may still be in it: keep its argument until it is not. */
  void (*adopt_payload) (PoolBackend *self, guint64 handle, guint8 *payload, gboolean is_backends);

  /* How many tasks submit() would take now. */
  guint (*get_room) (PoolBackend *self);
  /* Takes tasks in their order and returns how many; the data stay valid until they are delivered. */
  guint (*submit) (PoolBackend *self, const PoolBackendTask *tasks, guint n);
  /* Takes a task back that no worker has started; FALSE if one has. */
  gboolean (*cancel) (PoolBackend *self, guint64 handle);
  /* Takes back the later part of a batch that is being run; the first item taken back, or 0. */
  guint (*split) (PoolBackend *self, guint64 handle, guint n_items);
  /* What a worker is doing; a hint. */
  void (*get_worker) (PoolBackend *self, guint worker, PoolBackendWorker *info);
  /* KiB that a worker has beyond what it was made with; a rough number while that is within the limit. May be NULL. */
  guint64 (*get_memory) (PoolBackend *self, guint worker);
  /*
   * Where the data of results are that come with bytes of their own; another process may look at them until those are let go
   * of, also after finish(). May be NULL; FALSE: nobody else may.
   */
  gboolean (*share_memory) (PoolBackend *self, PoolBackendMemory *memory);
  /*
   * Gives up the task that a worker runs, if it is in that item of it (< 0: any): no result of it will come, and the worker will
   * start no other. The item + 1, or 0: it runs something else by now. To be followed by kill_worker().
   */
  guint (*doom) (PoolBackend *self, guint worker, guint64 handle, gint64 item);
  /* Tells a task something (PoolNotice). */
  void (*notify) (PoolBackend *self, guint worker, guint64 handle, guint item, guint notice);
  /* To a worker that has accepted a task with POOL_CALL_SYNACK: may it start? If not, it hands the task back. */
  void (*answer) (PoolBackend *self, guint worker, guint64 handle, gboolean go);

  /* A captured task is given up while a worker is in it: tells what it has written up to now. May be NULL. */
  void (*take_output) (PoolBackend *self, guint64 handle);

  /* Collects what is ready through the upward functions; FALSE if there was nothing. */
  gboolean (*dispatch) (PoolBackend *self);
  /* Readable when dispatch() has something to do, provided that arm() was called. */
  int (*get_fd) (PoolBackend *self);
  /* The fd was found readable: notes why, so that dispatch() need not ask the system each time. */
  void (*acknowledge) (PoolBackend *self);
  /* Wants the fd to become readable at the next result, or no longer; TRUE if a result is there already. */
  gboolean (*arm) (PoolBackend *self, gboolean on);
  /*
   * Blocks until there may be something to dispatch, for @timeout ns (< 0: any time), or until kick(). If a signal handler ran
   * meanwhile it returns with EINTR in errno, which is 0 when it is called: that may end a wait of the program.
   */
  void (*wait) (PoolBackend *self, guint kicks, gint64 timeout);
  guint (*get_kicks) (PoolBackend *self);
  void (*kick) (PoolBackend *self);

  /* Lets workers end: as soon as they are idle, or @now. worker_down() tells of each. */
  void (*stop) (PoolBackend *self, gboolean now);
  /* All workers are gone: lets go of everything. May be called without stop(). */
  void (*finish) (PoolBackend *self);

  /*
   * The program of an exec'd worker or zygote, run with what the backend gave it: by the pool-worker helper, or by a
   * worker_command, where the engine is that of a pool that is not started and has the functions. Returns 0 when a worker
   * has ended in order, 2 if these are no arguments of its own, 1 if what they name is not there.
   */
  int (*worker_main) (PoolBackend *self, int argc, char **argv);

  /*
   * Called by pool_init() in a program that was started as several ranks: makes it take part. Returns in rank 0 only, whose
   * program goes on; the others do the work of its pools, and end with it.
   */
  gboolean (*join) (PoolBackend *self, guint rank, GError **error);

  gpointer reserved[7];
};

/* What a module's entry point returns. */
typedef struct
{
  guint abi; /* POOL_BACKEND_ABI */
  const char *name;
  const char *description; /* one line */
  GType (*get_type) (void);
  /* whether it can work on this machine; NULL: always */
  gboolean (*is_available) (GError **error);
} PoolBackendModule;

/**
 * POOL_BACKEND_ENTRY_POINT: (skip)
 *
 * The name of the one function that a backend module exports: `const PoolBackendModule *(void)`.
 */
#define POOL_BACKEND_ENTRY_POINT "pool_backend_module_query"

POOL_AVAILABLE_IN_ALL
GType pool_backend_get_type (void) G_GNUC_CONST;

/* Up: what a backend has to say; only from within its class functions. */
POOL_AVAILABLE_IN_ALL
void pool_backend_deliver (PoolBackend *self, const PoolBackendResult *result);
POOL_AVAILABLE_IN_ALL
void pool_backend_worker_up (PoolBackend *self, guint worker, gint64 pid, const char *host);
POOL_AVAILABLE_IN_ALL
void pool_backend_worker_sandboxed (PoolBackend *self, guint worker, PoolSandboxFlags enforced);
POOL_AVAILABLE_IN_ALL
void pool_backend_worker_down (PoolBackend *self, const PoolBackendExit *exit);
POOL_AVAILABLE_IN_ALL
void pool_backend_log (PoolBackend *self, guint worker, const guint8 *record, gsize size);
POOL_AVAILABLE_IN_ALL
void pool_backend_output (PoolBackend *self, guint64 handle, const PoolBackendOutput *output);
POOL_AVAILABLE_IN_ALL
void pool_backend_was_split (PoolBackend *self, guint64 handle, guint first);
POOL_AVAILABLE_IN_ALL
void pool_backend_worker_changed (PoolBackend *self, guint worker);
POOL_AVAILABLE_IN_ALL
void pool_backend_add_wanted (PoolBackend *self, int n);

/* What a backend may ask. */
POOL_AVAILABLE_IN_ALL
const char *pool_backend_get_function_name (PoolBackend *self, guint function);

/* For threads that may outlive the pool. */
POOL_AVAILABLE_IN_ALL
void pool_backend_hold (PoolBackend *self);
POOL_AVAILABLE_IN_ALL
void pool_backend_release (PoolBackend *self);

G_END_DECLS
