/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-macros.h"
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PoolManager PoolManager;
typedef struct _PoolTask PoolTask;
typedef struct _PoolBlock PoolBlock;
typedef struct _PoolCallOptions PoolCallOptions;
typedef struct _PoolAsyncResult PoolAsyncResult;
typedef struct _PoolApplyResult PoolApplyResult;
typedef struct _PoolMapResult PoolMapResult;
typedef struct _PoolResultIterator PoolResultIterator;
typedef struct _PoolStream PoolStream;
typedef struct _PoolWorkerInfo PoolWorkerInfo;

/**
 * PoolState:
 * @POOL_STATE_NEW: made, not started
 * @POOL_STATE_RUN: takes and runs tasks
 * @POOL_STATE_CLOSE: takes no more tasks, finishes those it has
 * @POOL_STATE_TERMINATE: ended at once; unfinished tasks have failed
 * @POOL_STATE_JOINED: all workers are gone
 * @POOL_STATE_BROKEN: no worker can be kept alive; every task fails
 *
 * The life of a pool, in this order.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_STATE_NEW,
  POOL_STATE_RUN,
  POOL_STATE_CLOSE,
  POOL_STATE_TERMINATE,
  POOL_STATE_JOINED,
  POOL_STATE_BROKEN,
} PoolState;

/**
 * PoolStartMethod:
 * @POOL_START_METHOD_AUTO: `fork` while the program has one thread; else the clean copy that
 *   [func@init] keeps; else `forkserver`
 * @POOL_START_METHOD_FORK: workers are forked from the program: functions and globals are inherited
 * @POOL_START_METHOD_FORKSERVER: workers are forked from the `pool-worker` helper, which loads task modules
 * @POOL_START_METHOD_SPAWN: every worker is a fresh `pool-worker` process
 *
 * How a backend that runs processes makes them. [property@Manager:worker-command] can take the place of `pool-worker`.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_START_METHOD_AUTO,
  POOL_START_METHOD_FORK,
  POOL_START_METHOD_FORKSERVER,
  POOL_START_METHOD_SPAWN,
} PoolStartMethod;

/**
 * PoolSandbox:
 * @POOL_SANDBOX_NONE: workers may do what the program may
 * @POOL_SANDBOX_BASIC: no new privileges, no core files, no new sockets but those of `AF_UNIX`
 * @POOL_SANDBOX_STRICT: moreover nothing is written to a file system, no service is reached, and other processes, mounts,
 *   namespaces and the kernel's rarely used parts are out of reach
 *
 * What workers that are processes are kept from. The whole list, and what it does not protect from, is in the page
 * “Sandbox” of the manual.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_SANDBOX_NONE,
  POOL_SANDBOX_BASIC,
  POOL_SANDBOX_STRICT,
} PoolSandbox;

/**
 * PoolSandboxFlags:
 * @POOL_SANDBOX_FLAGS_NONE: nothing is enforced
 * @POOL_SANDBOX_FLAGS_NO_NEW_PRIVS: running a setuid program gives no privileges
 * @POOL_SANDBOX_FLAGS_RLIMITS: no core files, no real-time priority
 * @POOL_SANDBOX_FLAGS_SOCKETS: no new sockets but those of `AF_UNIX`
 * @POOL_SANDBOX_FLAGS_SECCOMP: system calls are refused that reach beyond the process, or write without opening a file
 * @POOL_SANDBOX_FLAGS_LANDLOCK: no file but `/dev/null` can be opened for writing, made, renamed or removed
 * @POOL_SANDBOX_FLAGS_CAPABILITIES: root's capabilities are gone, but for reading
 * @POOL_SANDBOX_FLAGS_NETWORK: a network namespace of its own, with nothing in it
 *
 * What is enforced on a worker, as it told when it came up: see [method@WorkerInfo.get_sandbox].
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_SANDBOX_FLAGS_NONE = 0,
  POOL_SANDBOX_FLAGS_NO_NEW_PRIVS = 1 << 0,
  POOL_SANDBOX_FLAGS_RLIMITS = 1 << 1,
  POOL_SANDBOX_FLAGS_SOCKETS = 1 << 2,
  POOL_SANDBOX_FLAGS_SECCOMP = 1 << 3,
  POOL_SANDBOX_FLAGS_LANDLOCK = 1 << 4,
  POOL_SANDBOX_FLAGS_CAPABILITIES = 1 << 5,
  POOL_SANDBOX_FLAGS_NETWORK = 1 << 6,
} PoolSandboxFlags;

/**
 * PoolWorkerState:
 * @POOL_WORKER_STATE_STARTING: being made, or running the initializer
 * @POOL_WORKER_STATE_IDLE: waits for a task
 * @POOL_WORKER_STATE_BUSY: runs a task
 * @POOL_WORKER_STATE_GONE: has ended
 *
 * What a worker is doing.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_WORKER_STATE_STARTING,
  POOL_WORKER_STATE_IDLE,
  POOL_WORKER_STATE_BUSY,
  POOL_WORKER_STATE_GONE,
} PoolWorkerState;

/**
 * PoolDownReason:
 * @POOL_DOWN_REASON_NONE: the worker is alive
 * @POOL_DOWN_REASON_ASKED: the pool asked it to end
 * @POOL_DOWN_REASON_EXITED: it called `exit()`, or its task did
 * @POOL_DOWN_REASON_CRASHED: a signal ended it
 * @POOL_DOWN_REASON_RECYCLED: it had run as many tasks as it may
 * @POOL_DOWN_REASON_TIMED_OUT: its task ran over the hard limit
 * @POOL_DOWN_REASON_OUT_OF_MEMORY: it used more memory than it may
 * @POOL_DOWN_REASON_INITIALIZER: the initializer failed in it
 * @POOL_DOWN_REASON_NOT_STARTED: it could not be made at all
 *
 * Why a worker ended.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_DOWN_REASON_NONE,
  POOL_DOWN_REASON_ASKED,
  POOL_DOWN_REASON_EXITED,
  POOL_DOWN_REASON_CRASHED,
  POOL_DOWN_REASON_RECYCLED,
  POOL_DOWN_REASON_TIMED_OUT,
  POOL_DOWN_REASON_OUT_OF_MEMORY,
  POOL_DOWN_REASON_INITIALIZER,
  POOL_DOWN_REASON_NOT_STARTED,
} PoolDownReason;

/**
 * PoolTaskFunc:
 * @task: the running call
 * @args: a tuple with one member for each argument, the pool's static arguments last
 * @user_data: what was registered with the function
 * @error: return location for a #GError
 *
 * A task: takes a tuple of arguments and returns a value.
 *
 * It runs in a worker, never in the thread that submitted the call (the `threads` backend: in another
 * thread of the same process). A floating result is taken. Returning %NULL without setting
 * @error fails the call with %POOL_ERROR_ENCODING. An exception of C++ that it lets out ends the worker, as any crash does.
 *
 * Returns: (transfer full) (nullable): the result, or %NULL with @error set
 *
 * Since: 1.0
 */
typedef GVariant *(*PoolTaskFunc) (PoolTask *task, GVariant *args, gpointer user_data, GError **error);

/**
 * PoolBytesFunc:
 * @task: the running call
 * @data: (array length=size) (element-type guint8): the argument's bytes, valid during the call
 * @size: length of @data in bytes
 * @user_data: what was registered with the function
 * @error: return location for a #GError
 *
 * A task on plain bytes. The result is what it gives to [method@Task.reply]; no reply is an empty result.
 * @data is aligned to 8 bytes for a lone call, and not aligned for an item of a packed batch.
 *
 * Returns: %TRUE, or %FALSE with @error set
 *
 * Since: 1.0
 */
typedef gboolean (*PoolBytesFunc) (PoolTask *task, const guint8 *data, gsize size, gpointer user_data,
                                   GError **error);

/**
 * PoolMemoryFunc:
 * @task: the running call
 * @address: where the argument's bytes are, valid during the call; they are not to be written to
 * @size: how many there are; if none, @address means nothing
 * @user_data: what was registered with the function
 * @error: return location for a #GError
 *
 * As [callback@BytesFunc], with the argument as an address: for a language binding that can look at memory, and that
 * would be given a copy of an array.
 *
 * Returns: %TRUE, or %FALSE with @error set
 *
 * Since: 1.0
 */
typedef gboolean (*PoolMemoryFunc) (PoolTask *task, guint64 address, gsize size, gpointer user_data,
                                    GError **error);

/**
 * PoolBatchFunc:
 * @task: the running call
 * @batch: a packed batch of arguments, see [func@packed_check]
 * @user_data: what was registered with the function
 * @error: return location for a #GError
 *
 * A task on a whole packed batch: as many results as arguments, packed the same way. The lightest kind
 * for a language binding: one call for many items. The pool never splits a batch that has started.
 *
 * Returns: (transfer full) (nullable): the packed results, or %NULL with @error set
 *
 * Since: 1.0
 */
typedef GBytes *(*PoolBatchFunc) (PoolTask *task, GBytes *batch, gpointer user_data, GError **error);

/**
 * PoolNextFunc:
 * @user_data: what was given with the function
 * @error: return location for a #GError
 *
 * Produces the next item of a lazy sequence. A sequence may be endless: it is called only as fast as results
 * are taken, always in the thread that takes them.
 *
 * Returns: (transfer full) (nullable): the next item; %NULL at the end or, with @error set, on failure
 *
 * Since: 1.0
 */
typedef GVariant *(*PoolNextFunc) (gpointer user_data, GError **error);

/**
 * PoolForkFunc:
 * @user_data: what was given with the function
 *
 * Forks this process, by the means of the program's language. The child calls [func@run_worker] from within this function
 * and never returns from it: it ends with `_exit`. The parent does nothing but return.
 *
 * It is called in the thread that starts the pool, with signals blocked and the library's own threads standing still, and later
 * in processes that the pool has made. It must fork in the thread that it is called in, and use no pool, though it may let go of one.
 *
 * Returns: the pid of the child, or -1 with `errno` if there is none. 0 in the same process, as from a function that failed
 *   half-way, counts as a failure, and so does a number that is not that of a child
 *
 * Since: 1.0
 */
typedef int (*PoolForkFunc) (gpointer user_data);

/**
 * PoolThreadFunc:
 * @user_data: what was given with the function
 *
 * Is called once in each thread of a pool, and calls [func@run_worker], which runs tasks until the thread is to end.
 *
 * Since: 1.0
 */
typedef void (*PoolThreadFunc) (gpointer user_data);

G_END_DECLS
