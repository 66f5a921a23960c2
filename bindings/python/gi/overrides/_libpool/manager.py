# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manager and PoolProcess: a pool as a work queue with one target, as better.multiprocessing has it."""

import logging
import os
import threading
import time
import types
import warnings

from gi.repository import GLib

from . import blocks
from . import iterators
from . import logs
from . import pickling
from . import shared
from . import worker
from .errors import Empty, Full, TimeoutError, from_gerror
from .native import Error, matches, native
from .pool import Pool
from .waiting import wait

_target = threading.local()  # .run: in a worker


class PoolProcess:
    """The class to derive from when tasks share state in their worker.

    It is made once in each worker, with the manager's static arguments; ``run`` gets each task.
    """

    def __init__(self, *static_args):
        pass

    def run(self, *task):
        raise NotImplementedError(f'{type(self).__name__} has no run()')


def _begin(target, static_args):
    """In each worker."""
    static_args = shared.values_of(static_args)
    if isinstance(target, type):
        _target.run = target(*static_args).run
    elif static_args:
        _target.run = lambda *task: target(*task, *static_args)
    else:
        _target.run = target


def _run(*task):
    return _target.run(*task)


def _unpack(items):
    """put(10, 20) and put((10, 20)) are the same."""
    return items[0] if len(items) == 1 and isinstance(items[0], tuple) else items


class _ManagerPool(Pool):
    """The workers of a manager; it warns by itself."""

    def __del__(self):
        super().__del__(_warn=lambda *args, **kwargs: None)


class Manager:
    """A work queue: what is put comes out of ``get()`` as what the target makes of it.

    ``target``: a function, or a class derived from PoolProcess. ``size``: number of workers, default: the CPUs that this
    process may use. ``static_args``: sent to each worker once; they follow the items of each task, or go to the
    PoolProcess when it is made. ``queue_size``: items that may wait for a worker, default: twice the size. ``ordered``:
    results come in the order of their items. ``logger``: a logging.Logger; records that tasks give to the logger of that
    name come out here. ``daemon``: False: dropping the manager waits for its workers. ``backend``: where workers are.
    Workers that die are replaced, and their tasks run again, only if ``resilient``.

    ``with`` starts it, and closes and joins it at the end.
    """

    def __init__(self, target, *, size=None, static_args=(), queue_size=None, ordered=False, logger=None, daemon=True,
                 backend='fork', resilient=False, **options):
        if isinstance(target, type):
            if not issubclass(target, PoolProcess):
                raise TypeError(f'the target is a function or a subclass of PoolProcess, not {target!r}')
        elif not callable(target):
            raise TypeError(f'the target is a function or a subclass of PoolProcess, not {target!r}')
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f'the size is a number of workers, at least 1, not {size!r}')
        if queue_size is not None and (not isinstance(queue_size, int) or queue_size < 1):
            raise ValueError(f'queue_size is at least 1, not {queue_size!r}')
        self._target = target
        self._size = size or native.cpu_count()
        self._static_args = tuple(static_args or ())
        self._room = (queue_size or 2 * self._size) + self._size
        self._ordered = ordered
        self._daemon = daemon
        self._backend = backend
        self._resilient = resilient
        self._options = options
        self._loggers = {}
        self._pool = None
        self._creator = os.getpid()
        self._fed = False
        self._feeder = self._feed_error = None
        self._alive_asked = None

        self._changed = threading.Condition()  # guards what follows
        self._collecting = False
        self._closing = False
        self._put = 0  # items; also the number of the next
        self._out = set()  # numbers at work
        self._done = {}  # outcomes by number, in the order in which they came
        self._next = 0  # of ordered results
        self._tokens = {}  # ThreadCalls
        if logger is not None:
            self.addLogger(logger)

    # --- loggers ---

    def addLogger(self, logger):
        """Records of this logger that are made in workers come out of it here. RuntimeError once the pool has started."""
        logs.check(logger)
        self._check_new('loggers are added')
        self._loggers[logger.name] = logger

    def removeLogger(self, logger):
        """Takes a logger, or its name, back. KeyError if the pool does not have it."""
        self._check_new('loggers are removed')
        name = logger.name if isinstance(logger, logging.Logger) else logger
        if name not in self._loggers:
            raise KeyError(name)
        del self._loggers[name]

    def _check_new(self, what):
        if self._pool is not None:
            raise RuntimeError(f'{what} before the pool is started')

    # --- life ---

    def start(self):
        """Makes the workers. RuntimeError if it was started before."""
        self._check_new('a pool is started once:')
        self._pool = _ManagerPool(self._size, _begin, (self._target, self._static_args), backend=self._backend,
                                  resilient=self._resilient, replace_workers=self._resilient,
                                  loggers=list(self._loggers.values()), **self._options)
        try:
            self._stream = self._pool._native.open_stream(worker.CALL_NAME)
        except GLib.Error as error:
            raise from_gerror(error) from None
        self._function = self._pool._calls.function(_run)

    def _check_running(self):
        if self._pool is None:
            raise ValueError('the pool has not been started')
        if self._closing or self._pool._state != 'RUN':
            raise ValueError('Pool not running')

    def __enter__(self):
        if self._pool is None:
            self.start()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if exc_type is not None:
            self.terminate()
        self.join()

    def close(self):
        """Takes no more items; workers end when they have done what was put."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._pool is not None:
            self._pool.close()

    def join(self):
        """Closes the pool and waits until its workers are gone. Raises what the iterable of putAsync() raised."""
        if self._pool is None:
            return
        self.close()
        try:
            self.joinAsync()
        finally:
            self._pool.join()

    def terminate(self):
        """Ends the workers at once."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._pool is not None:
            self._pool.terminate()

    def isAlive(self):
        """Whether any worker is alive; the answer is remembered for 5 seconds."""
        now = time.monotonic()
        if self._alive_asked is None or now - self._alive_asked[0] > 5:
            self._alive_asked = now, self._pool is not None and self._has_workers()
        return self._alive_asked[1]

    def _has_workers(self):
        made = self._pool._native
        if made.get_workers():
            return True
        if self._pool._state != 'RUN' or any(map(made.get_n_exits, native.DownReason.__enum_values__.values())):
            return False
        # they are on their way
        return len(self._pool._up()) > 0

    def __del__(self):
        pool = getattr(self, '_pool', None)
        if pool is None or self._creator != os.getpid() or pool._state != 'RUN':
            return
        if not self._daemon:
            self.join()
            return
        warnings.warn(f'unclosed running pool {self!r}', ResourceWarning, source=self)

    def __repr__(self):
        state = self._pool._state if self._pool is not None else 'INIT'
        return f'<{type(self).__module__}.{type(self).__qualname__} state={state} pool_size={self._size}>'

    def __reduce__(self):
        raise NotImplementedError('pool objects cannot be passed between processes or pickled')

    # --- putting ---

    def put(self, *items, block=True, timeout=None):
        """Puts a task: ``put(10, 20)`` or ``put((10, 20))``.

        When the queue is full it waits, for ``timeout`` seconds at most, or raises Full if not ``block``.
        """
        self._check_running()
        task = _unpack(items)
        self._await(lambda: self._closing or len(self._out) < self._room, 0 if not block else timeout, Full)
        self._check_running()
        message, call = self._pool._calls.encode(self._function, pickling.STAR, task)
        if type(message) is not bytes:
            message = message.join()
        with self._changed:
            number = self._put
            try:
                self._stream.submit(pickling.pack_items([message]))
            except GLib.Error as error:
                raise from_gerror(error) from None
            self._put += 1
            self._out.add(number)
            if call is not None:
                self._tokens[number] = call
            self._changed.notify_all()

    def putAsync(self, iterable):
        """Puts the items of an iterable in a thread of its own, as there is room for them. Can be called once."""
        self._check_running()
        if self._fed:
            raise RuntimeError('putAsync() can be called only once')
        self._fed = True
        self._feeder = threading.Thread(target=self._feed, args=(iterable,), name='libpool-feed', daemon=True)
        self._feeder.start()

    def _feed(self, iterable):
        try:
            for item in iterable:
                self.put(item)
        except BaseException as error:
            # a pool that is closed takes no more; anything else is told by joinAsync()
            if not self._closing or not isinstance(error, ValueError):
                self._feed_error = error
        finally:
            with self._changed:
                self._feeder = None
                self._changed.notify_all()

    def joinAsync(self):
        """Waits until putAsync() has put all its items. Raises what its iterable raised, once."""
        feeder = self._feeder
        if feeder is not None:
            feeder.join()
        error, self._feed_error = self._feed_error, None
        if error is not None:
            raise error

    def clearTasks(self):
        """Forgets tasks that no worker has started; ``get()`` for one of those raises ValueError."""
        if self._pool is not None:
            self._stream.clear()

    # --- getting ---

    def get(self, block=True, timeout=None):
        """The next result. Raises what the task raised; ValueError if there is nothing to wait for, or the task was
        cleared; Empty when there is none yet and it should not ``block``, or ``timeout`` seconds are over; RuntimeError
        if no worker is left that could give one."""
        if self._pool is None:
            raise ValueError('the pool has not been started')
        self._await(self._has_next, 0 if not block else timeout, Empty)
        with self._changed:
            number = self._next_number()
            if number is None:
                raise ValueError('no item was put for this result')
            ok, value = self._done.pop(number)
            self._next = max(self._next, number + 1)
        if ok:
            return value
        raise value

    def getAll(self):
        """All results of what was put, and is not taken yet, in a list."""
        results = []
        while True:
            with self._changed:
                if not self._out and not self._done and self._feeder is None:
                    return results
            results.append(self.get())

    def map(self, iterable):
        """What the target makes of each item, in the order in which it comes (``ordered``: of the items).

        It starts the pool if that has not been done, and then closes it at the end.
        """
        alone = self._pool is None
        if alone:
            self.start()
        self._check_running()
        try:
            items = [item if isinstance(item, tuple) else (item,) for item in iterable]
            return list(self._pool._imap(_run, items, 1, True, self._ordered))
        except BaseException:
            if alone:
                self.terminate()
            raise
        finally:
            if alone:
                self.join()

    def _next_number(self):
        if self._ordered:
            number = self._next
            return number if number in self._done else None
        for number in self._done:
            return number
        return None

    def _has_next(self):
        return self._next_number() is not None or not self._out and self._feeder is None

    def _await(self, ready, timeout, nothing):
        """Until ``ready()``, which is called with the lock held. One thread collects results, others wait for it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            with self._changed:
                if ready():
                    return
                if self._collecting or not self._out:
                    if not self._changed.wait(left) and left is not None:
                        raise nothing
                    continue
                self._collecting = True
            try:
                taken = wait(lambda seconds: self._stream.take(False, seconds), left)
            except TimeoutError:
                with self._changed:
                    if ready():
                        return
                raise nothing from None
            finally:
                with self._changed:
                    self._collecting = False
                    self._changed.notify_all()
            if taken is not None:
                if self._pool._log_marker is not None:
                    logs.flush(self._pool._native, self._pool._log_marker)
                self._store(taken)

    def _store(self, taken):
        with self._changed:
            for number, kind, reply in iterators.split_taken(taken):
                self._out.discard(number)
                self._done[number] = self._outcome(number, kind, reply)
            self._changed.notify_all()

    def _outcome(self, number, kind, reply):
        if kind == iterators._POOL_ERROR:
            return False, self._explain(number)
        if kind == iterators._LARGE_REPLY:
            return blocks.decode_bytes(self._stream.steal_large(number))
        return self._pool._calls.decode(reply, self._tokens.pop(number, None))

    def _explain(self, number):
        try:
            self._stream.check(number)
        except GLib.Error as error:
            if matches(error, Error.CANCELLED):
                return ValueError('the task was cleared before a worker started it')
            if matches(error, Error.WORKERS_GONE) or matches(error, Error.TERMINATED):
                return RuntimeError(error.message)
            return from_gerror(error)
        return RuntimeError('a task failed for no reason')

    __class_getitem__ = classmethod(types.GenericAlias)

    # --- the same, as Python would call it ---

    put_async = putAsync
    get_all = getAll
    is_alive = isAlive
    join_async = joinAsync
    clear_tasks = clearTasks
    add_logger = addLogger
    remove_logger = removeLogger
