# SPDX-License-Identifier: LGPL-2.1-or-later
"""concurrent.futures on top of a pool."""

import concurrent.futures
import functools
import itertools
import threading

from .errors import CancelledError
from .pool import Pool


class _Future(concurrent.futures.Future):
    """A future that reaches its call."""

    _result_object = None

    def cancel(self):
        """Cancels the call if no worker has started it."""
        if not super().cancel():
            return False
        result = self._result_object
        if result is not None:
            result.cancel()
        return True

    def _begin(self, *_):
        with self._condition:
            if self._state == concurrent.futures._base.PENDING:
                self._state = concurrent.futures._base.RUNNING

    def _end(self, ok, value):
        with self._condition:
            if self._state == concurrent.futures._base.CANCELLED:
                self._state = concurrent.futures._base.CANCELLED_AND_NOTIFIED
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
            cancelled = self.cancelled()
        if cancelled:
            return
        if ok:
            self.set_result(value)
        elif isinstance(value, CancelledError):
            super().cancel()
            self.set_running_or_notify_cancel()
        else:
            self.set_exception(value)


def _run_chunk(fn, chunk):
    return [fn(*item) for item in chunk]


class Executor(concurrent.futures.Executor):
    """``concurrent.futures.ProcessPoolExecutor`` on a libpool pool, whose workers may die.

    Takes the arguments of ProcessPoolExecutor, and as keywords those of :class:`Pool`.
    """

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=(), *, max_tasks_per_child=None,
                 **options):
        if max_workers is not None and max_workers <= 0:
            raise ValueError('max_workers must be greater than 0')
        self._pool = Pool(max_workers, initializer, initargs, max_tasks_per_child, context=mp_context, **options)
        self._lock = threading.Lock()
        self._futures = set()
        self._shut_down = False

    def submit(self, fn, /, *args, **kwargs):
        """Calls ``fn(*args, **kwargs)`` in a worker; returns a Future."""
        future = _Future()

        def end(ok, value):
            with self._lock:
                self._futures.discard(future)
            future._end(ok, value)

        with self._lock:
            if self._shut_down:
                raise RuntimeError('cannot schedule new futures after shutdown')
            self._futures.add(future)
        future._result_object = self._pool.apply_async(
            fn, args, kwargs, lambda value: end(True, value), lambda error: end(False, error), future._begin)
        return future

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """As the built-in map(), in workers; items travel in chunks of this size."""
        if chunksize < 1:
            raise ValueError('chunksize must be >= 1.')
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        items = zip(*iterables)
        chunks = iter(lambda: tuple(itertools.islice(items, chunksize)), ())
        return itertools.chain.from_iterable(super().map(functools.partial(_run_chunk, fn), chunks, timeout=timeout))

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Takes no more calls, and waits until those that there are have ended."""
        with self._lock:
            self._shut_down = True
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        self._pool.close()
        if wait:
            self._pool.join()
            # callbacks may be on their way, in another thread
            concurrent.futures.wait([future for future in futures if not future.cancelled()])
