# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exceptions: Python's own where Python has one, else subclasses of what users of multiprocessing and billiard catch."""

import builtins
import concurrent.futures
import importlib.util
import multiprocessing
import multiprocessing.pool
import queue
import sys

from gi.repository import GLib

from .native import Error, POOL_DOMAIN

RemoteTraceback = multiprocessing.pool.RemoteTraceback
MaybeEncodingError = multiprocessing.pool.MaybeEncodingError
Full = queue.Full
Empty = queue.Empty


def _billiard(name):
    """The exception of that name in billiard, for programs that came from there and still catch it."""
    if 'billiard' in sys.modules or importlib.util.find_spec('billiard') is not None:
        try:
            import billiard.exceptions
            return (getattr(billiard.exceptions, name),)
        except Exception:  # it is not ours to judge what is wrong with it
            pass
    return (Exception,)


class PoolError(RuntimeError):
    """Something is wrong with the pool or its backend, not with a task.

    ``code`` is the member of :class:`Pool.Error` that says what.
    """

    code = None


class TimeoutError(multiprocessing.TimeoutError, builtins.TimeoutError):
    """A wait ended before the result came; the task goes on. Both multiprocessing's and the builtin exception."""


class TimeLimitExceeded(*_billiard('TimeLimitExceeded')):
    """The task ran over its hard time limit; it was ended, and its worker replaced."""


class SoftTimeLimitExceeded(*_billiard('SoftTimeLimitExceeded')):
    """Raised in a task that runs over its soft limit, and by ``get()`` if the task lets it pass."""


class WorkerLostError(*_billiard('WorkerLostError')):
    """The worker that ran the task died, as often as the task may be tried. The text says how."""


class OutOfMemoryError(WorkerLostError, MemoryError):
    """There was not enough memory for the task, or it went over the pool's memory limit."""


class Terminated(*_billiard('Terminated')):
    """The task, or its pool, was terminated."""


class RestartFreqExceeded(*_billiard('RestartFreqExceeded')):
    """Workers died faster than the pool may replace them; the pool has stopped."""


class CancelledError(concurrent.futures.CancelledError):
    """The task was cancelled."""


class TaskExit(RuntimeError):
    """A task ended by an exception that is no error: ``sys.exit()``, KeyboardInterrupt or another BaseException.

    It does not become the caller's own end. ``exception`` is what was raised.
    """

    def __init__(self, exception):
        super().__init__(f'the task ended by {exception!r}')
        self.exception = exception

    def __reduce__(self):
        return TaskExit, (self.exception,)


_CLASSES = {
    Error.TIMED_OUT: TimeLimitExceeded,
    Error.SOFT_TIMED_OUT: SoftTimeLimitExceeded,
    Error.WAIT_TIMED_OUT: TimeoutError,
    Error.WORKER_LOST: WorkerLostError,
    Error.OUT_OF_MEMORY: OutOfMemoryError,
    Error.RESTART_FREQ: RestartFreqExceeded,
    Error.TERMINATED: Terminated,
    Error.CANCELLED: CancelledError,
    Error.QUEUE_FULL: Full,
    Error.QUEUE_EMPTY: Empty,
    Error.NOTHING_PUT: ValueError,
    Error.CLOSED: ValueError,
    Error.NOT_STARTED: ValueError,
    Error.STATE: ValueError,
    Error.INVALID_ARGUMENT: ValueError,
    Error.NO_SUCH_BACKEND: ValueError,
    Error.WORKERS_GONE: RuntimeError,
}


def from_gerror(error):
    """The exception that a GLib.Error of the pool is for Python."""
    if not isinstance(error, GLib.Error) or error.domain != POOL_DOMAIN:
        return error
    try:
        code = Error(error.code)
    except ValueError:
        code = None
    made = _CLASSES.get(code, PoolError)(error.message)
    if isinstance(made, PoolError):
        made.code = code
    return made
