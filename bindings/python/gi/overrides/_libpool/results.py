# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results of calls that have been made and may not have ended."""

import logging
import threading
import types

from gi.repository import GLib

from . import blocks
from . import pickling
from .errors import TimeoutError, from_gerror
from .waiting import wait_for, wait_for_all

_log = logging.getLogger('libpool')
_callbacks = threading.local()  # .depth: how many run in this thread


class AsyncResult:
    """A call that has been made. What the ``_async`` methods of a pool return.

    It can be awaited in asyncio; cancelling that cancels the call.
    """

    def __init__(self, pool, callback=None, error_callback=None, callbacks_propagate=(), correlation_id=None):
        self._pool = pool  # which lives until this has ended
        self._callback = callback
        self._error_callback = error_callback
        self._callbacks_propagate = tuple(callbacks_propagate or ())
        self._propagated = None
        self._told = pool if pool._tells_jobs else None
        # records of the task come before its end is known
        follows = callback or error_callback or self._told is not None or pool._log_marker is not None
        self._event = threading.Event() if follows else None
        self._native = self._hooks = None
        self._outcome = None  # (True, value) or (False, exception), when it is known here
        self._facts = None
        self._fetching = threading.RLock()
        self.correlation_id = correlation_id

    # --- set up by the pool ---

    def _follow(self, *hooks):
        """Keeps functions until this has ended, and its callback has run."""
        self._hooks = list(hooks)
        if self._event is None:
            self._event = threading.Event()
        return self._hooks

    def _submitted(self, native_result):
        self._native = native_result
        if self._event is not None:
            native_result.wait_async(None, self._on_end)

    def _failed(self, error):
        """It never gets to a worker."""
        self._outcome = False, error
        if self._event is not None:
            self._on_end()

    _wait_for = staticmethod(wait_for)

    def _fetch(self):
        """The outcome, when the native result is ready."""
        raise NotImplementedError

    def _on_end(self, *_):
        ok, value = self._resolve()
        callback = self._callback if ok else self._error_callback
        _callbacks.depth = getattr(_callbacks, 'depth', 0) + 1
        try:
            if callback is not None:
                callback(value)
            if self._told is not None:
                self._told.on_job_ready(self, self.id, None, None)
        except Exception as error:
            if self._callbacks_propagate and isinstance(error, self._callbacks_propagate):
                self._propagated = error
            else:
                _log.exception('a callback of a pool raised an exception')
        finally:
            _callbacks.depth -= 1
            self._callback = self._error_callback = self._told = None
            if self._hooks is not None:
                self._hooks.clear()
            self._event.set()

    def _resolve(self):
        if self._outcome is None:
            # several threads may wait for it, and what is fetched is given away
            with self._fetching:
                if self._outcome is None:
                    self._outcome = self._fetch()
                    self._pool = None
        return self._outcome

    def _let_go(self):
        """What the native result knows is kept, its bytes are not."""
        native_result = self._native
        if native_result is not None:
            self._facts = (native_result.get_id(), native_result.get_attempts(), native_result.get_worker(),
                           native_result.get_run_time())
            self._native = None

    # --- multiprocessing ---

    def ready(self):
        """Whether the call has ended, and its callback has run."""
        if self._event is not None:
            return self._event.is_set()
        native_result = self._native
        if native_result is not None:
            return self._outcome is not None or native_result.ready()
        return self._outcome is not None or self._facts is not None

    def successful(self):
        """Whether the call has ended without an exception. Raises ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f'{self!r} not ready')
        return self._resolve()[0]

    def wait(self, timeout=None):
        """Waits until the call has ended and its callback has run, or ``timeout`` seconds are over."""
        self._wait(timeout)

    def _wait(self, timeout):
        """Whether it has ended."""
        native_result = self._native
        if self._outcome is None and native_result is not None and not native_result.ready():
            try:
                self._wait_for(native_result, timeout)
            except TimeoutError:
                return False
        if self._event is None:
            return True
        # a callback that waits for another one must not wait for a callback that comes after itself
        if getattr(_callbacks, 'depth', 0) > 0:
            return True
        if not self._event.is_set():
            if native_result is not None:
                self._wait_for(native_result, 0)
            return self._event.wait(timeout)
        return True

    def get(self, timeout=None):
        """What the function returned.

        Raises what it raised, with a RemoteTraceback as the cause; TimeoutError when ``timeout`` seconds are over and
        the call goes on; or what has become of it: TimeLimitExceeded, WorkerLostError, Terminated, …
        """
        if not self._wait(timeout):
            raise TimeoutError(f'the call has not ended after {timeout} s; it goes on')
        if self._propagated is not None:
            raise self._propagated
        ok, value = self._resolve()
        if ok:
            return value
        raise value

    # --- what libpool adds ---

    def terminate(self, signum=None):
        """Ends the call: ``get()`` raises Terminated. If a worker is in it, that gets the signal, and is replaced."""
        if self._native is not None:
            self._native.terminate(int(signum or 15))

    def cancel(self):
        """Cancels the call: it is not started, or asked to stop and ended if it does not. Returns whether it was in time."""
        return self._native is not None and self._outcome is None and self._native.cancel()

    def _fact(self, index, getter):
        native_result = self._native
        if native_result is not None:
            return getter(native_result)
        return self._facts[index] if self._facts is not None else 0

    @property
    def id(self):
        """The number of the call in its pool, from 1; 0 if it never got there."""
        return self._fact(0, lambda result: result.get_id())

    @property
    def attempts(self):
        """How often the call was started: more than once if workers died in it."""
        return self._fact(1, lambda result: result.get_attempts())

    @property
    def worker(self):
        """The number of the worker that had it last."""
        return self._fact(2, lambda result: result.get_worker())

    @property
    def run_time(self):
        """How long it ran, in seconds; 0 if nobody measured it."""
        return self._fact(3, lambda result: result.get_run_time())

    @property
    def progress(self):
        """How much is done, from 0 to 1: what the task told, or the part of a map's items that have ended."""
        if self._native is None or self.ready() and self._resolve()[0]:
            return 1.0
        return self._native.get_progress()

    def _when_ended(self, function):
        if self._outcome is not None or self._native is None:
            function()
        else:
            self._native.wait_async(None, lambda *_: function())

    def __await__(self):
        if not self.ready():
            import asyncio  # here: most programs do without, and it is large

            loop = asyncio.get_running_loop()
            future = loop.create_future()

            def end():
                if not future.done():
                    future.set_result(None)

            def tell():
                try:
                    loop.call_soon_threadsafe(end)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    pass

            self._when_ended(tell)
            try:
                yield from future
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.get()

    def __repr__(self):
        state = 'running'
        if self.ready():
            state = 'successful' if self._resolve()[0] else 'failed'
        return f'<{type(self).__module__}.{type(self).__qualname__} {self.id} {state}>'

    __class_getitem__ = classmethod(types.GenericAlias)


class ApplyResult(AsyncResult):
    """The result of :meth:`Pool.apply_async`."""

    _call = None  # ThreadCalls: the call by reference
    _calls = None

    def _fetch(self):
        native_result = self._native
        try:
            reply = native_result.get_bytes(0)
        except GLib.Error as error:
            self._let_go()
            return False, from_gerror(error)
        if self._call is not None:
            call, self._call = self._call, None
            return self._calls.decode(None, call)
        if reply.get_size() >= pickling.LARGE_SIZE:
            self._let_go()
        return blocks.decode_bytes(reply)


class _Bundle:
    """The library's results of calls that are the items of one map, as if they were one."""

    def __init__(self, members):
        self.members = members
        self.lock = threading.Lock()

    def ready(self):
        return all(member.ready() for member in self.members)

    def wait_async(self, cancellable, function):
        left = len(self.members)

        def count(*_):
            nonlocal left
            with self.lock:
                left -= 1
                last = left == 0
            if last:
                function()

        for member in self.members:
            member.wait_async(cancellable, count)

    def terminate(self, signum):
        for member in self.members:
            member.terminate(signum)

    def cancel(self):
        return any([member.cancel() for member in self.members])

    def get_n_done(self):
        return sum(member.ready() for member in self.members)

    def get_progress(self):
        return self.get_n_done() / len(self.members)

    def get_id(self):
        return self.members[0].get_id()

    def get_attempts(self):
        return max(member.get_attempts() for member in self.members)

    def get_worker(self):
        return self.members[-1].get_worker()

    def get_run_time(self):
        return sum(member.get_run_time() for member in self.members)


class MapResult(ApplyResult):
    """The result of :meth:`Pool.map_async` and :meth:`Pool.starmap_async`.

    ``len(result)`` is the number of items. ``result[i]`` is one item when the map has ended, also if others failed.
    """

    _length = 0
    _calls = None
    _tokens = None  # ThreadCalls
    _failures = None  # exceptions by index

    def __len__(self):
        return self._length

    @property
    def n_done(self):
        """How many items have ended; where chunks travel as one, in steps of those."""
        if self._outcome is not None:
            return self._length
        if self._native is None:
            return 0
        if self._turns is not None:
            return self._turns.n_done
        done = self._native.get_n_done()
        if self._starts is None:
            return done
        return self._length if done == len(self._starts) else min(done * (self._length // len(self._starts)), self._length)

    def __getitem__(self, index):
        """One item, when the map has ended; raises what it raised."""
        if not self.ready():
            raise ValueError(f'{self!r} not ready')
        self._resolve()
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(f'a map of {self._length} items has no item {index}')
        if self._values is None:
            raise self._outcome[1]
        if index in self._failures:
            raise self._failures[index]
        return self._values[index]

    @property
    def progress(self):
        """The part of the items that have ended."""
        if self._turns is None:
            return super().progress
        return self.n_done / self._length if self._length else 1.0

    def terminate(self, signum=None):
        super().terminate(signum)
        if self._turns is not None:
            self._turns.stop()

    def cancel(self):
        cancelled = super().cancel()
        if cancelled and self._turns is not None:
            self._turns.stop()
        return cancelled

    _starts = None  # the first item of each chunk, where chunks travel as one
    _turns = None  # ThreadCalls: items that threads take by themselves
    _values = None

    def _submitted_all(self, native_results):
        """Each item is a call of its own."""
        self._wait_for = wait_for_all
        self._submitted(_Bundle(native_results))

    def _bundle_outcomes(self):
        for member in self._native.members:
            try:
                yield blocks.decode_bytes(member.get_bytes(0))
            except GLib.Error as error:
                yield False, from_gerror(error)

    def _fetch_turns(self):
        error = None
        try:
            self._native.get_bytes(0)
        except GLib.Error as problem:
            error = from_gerror(problem)
        return self._turns.end(error)

    def _fetch(self):
        values, failures = [], {}
        if self._turns is not None:
            values, failures = self._fetch_turns()
        elif type(self._native) is _Bundle:
            self._collect(self._bundle_outcomes(), values, failures)
        else:
            try:
                replies = self._native.get_bytes(0)
            except GLib.Error as error:
                if self._native.get_n_items() == 0:
                    self._let_go()
                    return False, from_gerror(error)
                replies = self._fetch_one_by_one()
            else:
                view = self._open(replies)
                if self._tokens is None and self._starts is None:
                    values = pickling.load_items(view)
                    if values is not None:
                        self._let_go()
                        self._values, self._failures = values, {}
                        return True, values
                    values = []
                replies = pickling.unpack_items(view)
            self._collect(self._outcomes(replies), values, failures)
        self._let_go()
        self._values, self._failures = values, failures
        if failures:
            return False, failures[min(failures)]
        return True, values

    @staticmethod
    def _open(replies):
        if replies.get_size() < pickling.LARGE_SIZE:
            return memoryview(replies.get_data())
        return blocks.open_bytes(replies)

    def _fetch_one_by_one(self):
        """Some calls have failed in the pool: their errors stand in place of their replies."""
        for index in range(self._native.get_n_items()):
            try:
                yield memoryview(self._native.get_item_bytes(index).get_data())
            except GLib.Error as error:
                yield from_gerror(error)

    def _outcomes(self, replies):
        tokens = self._tokens
        decode = pickling.decode_reply
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                yield False, reply
            elif tokens is not None:
                yield self._calls.decode(None, tokens[number])
            elif reply[0] == pickling.LARGE:
                head, *buffers = pickling.split_large(reply)
                yield decode(head, buffers)
            else:
                yield decode(reply)

    def _collect(self, outcomes, values, failures):
        for number, (ok, value) in enumerate(outcomes):
            if self._starts is None:
                if not ok:
                    failures[number] = value
                    value = None
                values.append(value)
                continue
            start = self._starts[number]
            if ok:
                values.extend(value)
            elif ok is None:
                values.extend(value[0])
                failures.update((start + index, error) for index, error in value[1].items())
            else:
                end = self._starts[number + 1] if number + 1 < len(self._starts) else self._length
                failures.update((index, value) for index in range(start, end))
                values.extend([None] * (end - start))
