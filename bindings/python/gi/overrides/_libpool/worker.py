# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs in a worker.

A worker is a child of the zygote or a fresh interpreter; in it libpool's loop calls :func:`run_call` for each call. What
a call does never leaves these functions as an exception: it becomes a reply.
"""

import gc
import io
import itertools
import multiprocessing
import multiprocessing.process
import multiprocessing.util
import os
import signal
import sys
import threading
import time
import traceback

from gi.repository import GLib

from . import blocks
from . import logs
from . import pickling
from . import shared
from .errors import SoftTimeLimitExceeded
from .native import native, POOL_DOMAIN

#: names under which the functions below are registered in the pool
CALL_NAME = 'python'
START_NAME = 'python-start'


class _State(threading.local):
    task = None  # of this worker: the same for all its calls
    busy = False  # it is in a call
    running = False  # the user's function is


_state = _State()
#: how often a call that raises is run in all
_attempts = 1


def current_task():
    """The call that runs in this worker, a ``Pool.native.Task``; None outside of one.

    It knows its id, attempt, worker and deadline, and takes progress: ``Pool.current_task().set_progress(0.5)``.
    """
    return _state.task if _state.busy else None


def _call(kind, function, arguments):
    if kind == pickling.ITEM:
        return function(arguments)
    if kind == pickling.CALL:
        return function(*arguments[0], **arguments[1])
    return function(*arguments)


def execute(kind, function, arguments):
    """Runs a call; returns its reply, bytes or Parts."""
    _state.running = True
    try:
        if kind < pickling.CHUNK:
            value = _call(kind, function, arguments)
        else:
            value, failures = run_items(function, arguments, kind == pickling.STAR_CHUNK, _reply_exception)
    except BaseException as error:
        _state.running = False
        return _reply_exception(error)
    _state.running = False
    if kind >= pickling.CHUNK:
        return pickling.encode_chunk(value, failures)
    return pickling.encode_value(value)


def _reply_exception(error):
    # also frees what its frames refer to
    reply = pickling.encode_exception(error)
    error.__traceback__ = None
    return reply


def run_items(function, items, star, describe):
    """Calls a function on each item, also on those after one that raised.

    Returns the values, with None where an item raised, and ``describe(exception)`` of those by index.
    """
    values, failures = [], {}
    results = itertools.starmap(function, items) if star else map(function, items)
    n = len(items)
    while len(values) < n:
        try:
            values.extend(results)
            if len(values) < n:
                # a StopIteration that the function let pass has ended this, and lost its item
                raise RuntimeError('the function raised StopIteration')
        except BaseException as error:
            failures[len(values)] = describe(error)
            values.append(None)
    return values, failures


def flush():
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except Exception:  # closed, or None
            pass


_FLUSH_AFTER = 0.001  # seconds
_flushed = 0.0


def _run(view, buffers=None):
    global _flushed

    try:
        kind, function, arguments = pickling.decode_call(view, buffers)
    except BaseException as error:
        return _reply_exception(error)
    reply = execute(kind, function, arguments)
    # what a task wrote is seen when it has ended; a flood of short ones does without asking each time
    now = time.monotonic()
    if now - _flushed > _FLUSH_AFTER:
        _flushed = now
        flush()
    return reply


def _reply(task, reply):
    if type(reply) is bytes:
        task.reply(reply)
    else:
        blocks.send_reply(task, reply)


class Attempts:
    """A function that is run so often in all if it raises, in place of what the pool says."""

    __slots__ = ('function', 'number')

    def __init__(self, function, number):
        self.function = function
        self.number = number

    def __call__(self, *args, **kwds):
        return self.function(*args, **kwds)


def _describe_failure(error):
    """The reply for an exception, and whether what raised it may be run again: not if it was to end."""
    again = isinstance(error, Exception) and not isinstance(error, SoftTimeLimitExceeded)
    return _reply_exception(error), again


class _Rounds:
    """A call that is run again as long as it raises; of a chunk, those items that do.

    Each time its arguments are loaded anew: what raised may have changed them.
    """

    def __init__(self):
        self.limit = _attempts
        self.values = self.failures = self.open = None

    def run(self, head, buffers):
        """Returns the reply, and whether it is worth another round."""
        try:
            kind, function, arguments = pickling.decode_call(head, buffers)
        except BaseException as error:
            return _reply_exception(error), False
        if type(function) is Attempts:
            self.limit, function = function.number, function.function
        _state.running = True
        try:
            if kind >= pickling.CHUNK:
                self._run_items(function, arguments, kind == pickling.STAR_CHUNK)
            else:
                value = _call(kind, function, arguments)
        except BaseException as error:
            _state.running = False
            return _describe_failure(error)
        _state.running = False
        if kind >= pickling.CHUNK:
            return pickling.encode_chunk(self.values, self.failures), len(self.open) > 0
        return pickling.encode_value(value), False

    def _run_items(self, function, items, star):
        if self.open is None:
            self.open, self.values, self.failures = range(len(items)), [None] * len(items), {}
        values, failures = run_items(function, [items[index] for index in self.open], star, _describe_failure)
        left = []
        for i, index in enumerate(self.open):
            self.values[index] = values[i]
            self.failures.pop(index, None)
            if i in failures:
                self.failures[index], again = failures[i]
                if again:
                    left.append(index)
        self.open = left


def _run_again(task, view):
    """As run_call() goes on, in a pool that runs calls again that raise. Workers that were lost count, too."""
    rounds = _Rounds()
    n = max(task.get_attempt(), 1)
    while True:
        with blocks.Argument(task, view) if view[0] == pickling.LARGE else blocks.Plain(view) as argument:
            reply, again = rounds.run(argument.head, argument.buffers)
            if not again or n >= rounds.limit:
                _reply(task, reply)
                break
        n += 1
    flush()


def run_call(task, address, size, *_):
    """A call, whose bytes lie there."""
    state = _state
    state.task = task  # kept: Python would make the object anew for each call
    state.busy = True
    try:
        view = blocks.look(address, size)
        if _attempts > 1:
            _run_again(task, view)
        elif view[0] != pickling.LARGE:
            _reply(task, _run(view))
        else:
            # what is replied may be part of the argument
            with blocks.Argument(task, view) as argument:
                _reply(task, _run(argument.head, argument.buffers))
    except BaseException as error:
        task.reply(_reply_exception(error))
    state.busy = False
    return True


# --- its life ---

def _on_soft_timeout(signum, frame):
    task = _state.task
    if _state.running and task is not None and task.is_soft_timed_out():
        raise SoftTimeLimitExceeded('the task ran over its soft time limit')


def _become_process(number, prefix):
    """What multiprocessing knows of the process it is in."""
    process = multiprocessing.process
    me = multiprocessing.context.Process(name=f'{prefix}PoolWorker-{number + 1}')
    me._popen = None
    me._parent_pid = os.getppid()
    process._current_process = me
    process._children = set()
    process._process_counter = itertools.count(1)
    multiprocessing.util._finalizer_registry.clear()
    multiprocessing.util._run_after_forkers()


class ThreadStart:
    """How a worker begins that is a thread."""

    def __init__(self, initializer, initargs):
        self.initializer = initializer
        self.initargs = initargs

    def __call__(self, task, data, *_):
        run_initializer(self.initializer, self.initargs)
        return True


class Start:
    """How a worker process begins: libpool calls it in each, before any call."""

    def __init__(self, prefix, initializer, initargs, loggers, attempts=1):
        self.prefix = prefix
        self.attempts = attempts
        self.initializer = initializer
        self.initargs = initargs
        self.loggers = loggers

    def __call__(self, task, data, *_):
        global _attempts

        _attempts = self.attempts
        signal.signal(signal.SIGUSR1, _on_soft_timeout)
        # what the program handles is the program's; a task that is interrupted is
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, 'set_wakeup_fd'):
            signal.set_wakeup_fd(-1)
        _become_process(task.get_worker(), self.prefix)
        for stream in sys.stdout, sys.stderr:
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        logs.intercept(self.loggers)
        run_initializer(self.initializer, self.initargs)
        flush()
        return True


def run_initializer(initializer, initargs):
    """Its traceback goes to where multiprocessing lets it go; the pool is told in one line."""
    if initializer is None:
        return
    try:
        initializer(*shared.values_of(initargs))
    except BaseException as error:
        fail_to_begin('the initializer raised', error)


def fail_to_begin(what, error):
    traceback.print_exception(error)
    flush()
    line = ''.join(traceback.format_exception_only(type(error), error)).strip()
    raise GLib.Error(f'{what} {line}', POOL_DOMAIN, int(native.Error.REMOTE)) from None


def fork_function(*_):
    """Forks, by way of Python, whose hooks run: locks are made anew, ``random`` is seeded anew.

    The child, a zygote or a worker, lives inside this function, and never leaves it.
    """
    flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            # what is there now is shared with the children's children as long as nobody touches it
            gc.freeze()
            status = native.run_worker()
            end_in_order()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            flush()
            os._exit(status if status >= 0 else 1)
    return pid


def end_in_order():
    """A worker has done its work: what was registered in it for the end runs, and nothing that came from the program."""
    try:
        multiprocessing.util._exit_function()
    finally:
        flush()


def thread_function(*_):
    """The life of a worker that is a thread."""
    try:
        native.run_worker()
    finally:
        # Python made an entry for a thread that it does not know; it would stay
        with threading._active_limbo_lock:
            threading._active.pop(threading.get_ident(), None)
