/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool-macros.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * PoolError:
 * @POOL_ERROR_CLOSED: the pool takes no more tasks: it was closed or terminated
 * @POOL_ERROR_NOT_STARTED: the pool has not been started
 * @POOL_ERROR_STATE: the call does not fit the pool's state
 * @POOL_ERROR_INVALID_ARGUMENT: an argument is out of its range or of the wrong type
 * @POOL_ERROR_NO_SUCH_TASK: no function or task module of that name
 * @POOL_ERROR_NO_SUCH_BACKEND: no backend of that name is installed
 * @POOL_ERROR_BACKEND: a backend or task module is broken; the message says how
 * @POOL_ERROR_TIMED_OUT: a task ran longer than its hard limit and was ended
 * @POOL_ERROR_SOFT_TIMED_OUT: a task ran longer than its soft limit
 * @POOL_ERROR_WAIT_TIMED_OUT: a wait for a result ended first; the task goes on
 * @POOL_ERROR_WORKER_LOST: the worker that ran the task died
 * @POOL_ERROR_OUT_OF_MEMORY: there was not enough memory for the task or its value
 * @POOL_ERROR_RESTART_FREQ: workers died faster than the pool may replace them
 * @POOL_ERROR_TERMINATED: the pool or the task was terminated
 * @POOL_ERROR_CANCELLED: the task was cancelled
 * @POOL_ERROR_QUEUE_FULL: the work queue is full and the call was not to wait
 * @POOL_ERROR_QUEUE_EMPTY: no result is ready and the call was not to wait
 * @POOL_ERROR_NOTHING_PUT: more results were asked for than items were put
 * @POOL_ERROR_WORKERS_GONE: no worker is left that could produce a result
 * @POOL_ERROR_ENCODING: an argument or a result cannot be sent
 * @POOL_ERROR_REMOTE: an error of a domain that this process does not know
 * @POOL_ERROR_AUTHENTICATION: a peer could not prove who it is
 * @POOL_ERROR_PROTOCOL: a peer or a worker sent bytes that make no sense
 * @POOL_ERROR_INTERRUPTED: a signal handler ran while it waited; wait again
 *
 * What can go wrong in a pool: one code for each thing a caller can act on.
 *
 * Since: 1.0
 */
typedef enum
{
  POOL_ERROR_CLOSED,
  POOL_ERROR_NOT_STARTED,
  POOL_ERROR_STATE,
  POOL_ERROR_INVALID_ARGUMENT,
  POOL_ERROR_NO_SUCH_TASK,
  POOL_ERROR_NO_SUCH_BACKEND,
  POOL_ERROR_BACKEND,
  POOL_ERROR_TIMED_OUT,
  POOL_ERROR_SOFT_TIMED_OUT,
  POOL_ERROR_WAIT_TIMED_OUT,
  POOL_ERROR_WORKER_LOST,
  POOL_ERROR_OUT_OF_MEMORY,
  POOL_ERROR_RESTART_FREQ,
  POOL_ERROR_TERMINATED,
  POOL_ERROR_CANCELLED,
  POOL_ERROR_QUEUE_FULL,
  POOL_ERROR_QUEUE_EMPTY,
  POOL_ERROR_NOTHING_PUT,
  POOL_ERROR_WORKERS_GONE,
  POOL_ERROR_ENCODING,
  POOL_ERROR_REMOTE,
  POOL_ERROR_AUTHENTICATION,
  POOL_ERROR_PROTOCOL,
  POOL_ERROR_INTERRUPTED,
} PoolError;

#define POOL_ERROR (pool_error_quark ())

POOL_AVAILABLE_IN_ALL
GQuark pool_error_quark (void);

G_END_DECLS
