# SPDX-License-Identifier: LGPL-2.1-or-later
"""imap and its relatives: results one by one, of items that are taken as workers need them.

A *feed* brings the items of an iterable to workers through a stream; an iterator takes the results. Items of what has a
length are taken in the thread that takes results. A generator may block, even until a result has been taken, so a
thread of its own takes its items, as multiprocessing's does.
"""

import collections
import itertools
import struct
import threading
import types
import weakref

from gi.repository import GLib

from . import blocks
from . import logs
from . import pickling
from . import worker
from .errors import TimeoutError, from_gerror
from .native import Error, matches
from .waiting import wait

#: Calls that are out: at work, or with results that nobody has taken. At most so many, and so many for each worker; and
#: when they are so many bytes, no more than two for each worker.
_WINDOW, _WINDOW_EACH, _WINDOW_BYTES = 128, 16, 32 * 1024 * 1024
_BATCH = 64
_NOTED = 4096  # bytes; smaller messages are not worth counting

#: What a stream says of each result: the number of its call, and one of these.
_TAKEN = struct.Struct('<QQ')
_REPLY, _LARGE_REPLY, _POOL_ERROR = range(3)


class Feed:
    """Brings items to workers."""

    def __init__(self, pool, function, iterable, chunksize, star):
        self.pool = weakref.ref(pool)
        self.calls = pool._calls
        self.function = self.calls.function(function)
        self.chunksize = chunksize
        if chunksize == 1:
            self.kind = pickling.STAR if star else pickling.ITEM
        else:
            self.kind = pickling.STAR_CHUNK if star else pickling.CHUNK
        self.has_length = hasattr(iterable, '__len__')
        self.items = iter(iterable)
        try:
            self.stream = pool._native.open_stream(worker.CALL_NAME)
        except GLib.Error as error:
            raise from_gerror(error) from None
        self.n_workers = pool._processes
        self.window = max(_WINDOW, _WINDOW_EACH * pool._processes)

        self.changed = threading.Condition()  # guards what follows
        self.active = True  # there may be more items
        self.bounded = True
        self.dropped = False  # nobody will take the results
        self.thread = None
        self.n_out = 0
        self.bytes_out = 0
        self.next_number = 0
        self.notes = {}  # by number: size of the message; a call by reference, the exception if it could not be sent, or None
        self.source_error = None

    # --- items to calls ---

    def begin(self):
        if self.has_length:
            self.fill()
        else:
            self.start_thread()

    def has_room(self):
        return not self.bounded or (self.n_out < self.window and
                                    (self.bytes_out < _WINDOW_BYTES or self.n_out < 2 * self.n_workers))

    def is_low(self):
        """Whether it is worth while to take more items."""
        return self.active and self.n_out <= self.window - self.window // 4 and self.has_room()

    def fill(self):
        """Takes items while there is room for them, and sends them."""
        while self.active and self.has_room():
            self.send_some(min(_BATCH, self.window - self.n_out) if self.bounded else _BATCH)

    def send_some(self, n):
        items = []
        try:
            if self.chunksize == 1:
                items.extend(itertools.islice(self.items, n))
            else:
                while len(items) < n and (chunk := tuple(itertools.islice(self.items, self.chunksize))):
                    items.append(chunk)
        except Exception as error:
            # what came before it in its chunk is gone, as in multiprocessing
            self.source_error = error
            self.active = False
        if len(items) < n:
            self.active = False
        if not items:
            return
        try:
            messages, calls = self.calls.encode_all(self.function, self.kind, items)
        except Exception:
            messages, calls = self.encode_one_by_one(items)
        for index, message in enumerate(messages):
            if type(message) is not bytes:
                messages[index] = message.join()
        self.register(messages, calls)
        self.submit(messages)

    def encode_one_by_one(self, items):
        """Some cannot be sent: for those a call that does nothing goes in their place."""
        messages, calls = [], []
        for item in items:
            try:
                message, call = self.calls.encode(self.function, self.kind, item)
            except Exception as error:
                message, call = pickling.NOTHING_CALL, error
            messages.append(message)
            calls.append(call)
        return messages, calls

    def register(self, messages, calls):
        """``calls``: None, or what is to be remembered of each: a call by reference, or why it could not be sent"""
        with self.changed:
            number = self.next_number
            self.next_number += len(messages)
            self.n_out += len(messages)
            for index, message in enumerate(messages):
                size = len(message)
                call = calls[index] if calls is not None else None
                if size > _NOTED or call is not None:
                    self.notes[number + index] = size, call
                    self.bytes_out += size

    def submit(self, messages):
        try:
            self.stream.submit(pickling.pack_items(messages))
        except GLib.Error as error:
            with self.changed:
                self.active = False
                self.n_out -= len(messages)
                self.source_error = self.source_error or from_gerror(error)
        if self.thread is not None:
            with self.changed:
                self.changed.notify_all()

    # --- a thread for it ---

    def start_thread(self):
        if self.thread is None and self.active:
            self.thread = threading.Thread(target=self.run, name='libpool-feed', daemon=True)
            self.thread.start()

    def run(self):
        try:
            while self.active:
                if self.dropped and not self.has_room():
                    self.discard()
                with self.changed:
                    while self.active and not self.has_room() and not self.dropped:
                        self.changed.wait()
                if self.active and self.has_room():
                    # one at a time: the next may be long in coming, and what there is should be at work meanwhile
                    self.send_some(1 if not self.has_length else _BATCH)
        finally:
            with self.changed:
                self.active = False
                self.changed.notify_all()
            pool = self.pool()
            if pool is not None:
                pool._feed_ended()

    def discard(self):
        try:
            taken = self.stream.take(False, -1)
        except GLib.Error:
            return
        if taken is not None:
            self.took([number for number, _, _ in split_taken(taken)])

    def finish_alone(self):
        """The pool is closed, or nobody takes results any more: the rest of the items goes to workers all the same."""
        if not self.active:
            return
        with self.changed:
            self.bounded = self.dropped
            self.changed.notify_all()
        self.start_thread()

    def drop(self):
        pool = self.pool()
        if pool is None or pool._state == 'TERMINATE':
            self.stop()
            return
        with self.changed:
            self.dropped = True
            self.changed.notify_all()
        self.start_thread()

    def stop(self):
        with self.changed:
            self.active = False
            self.changed.notify_all()

    def join(self):
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- results ---

    def took(self, numbers):
        with self.changed:
            if self.notes:
                for number in numbers:
                    note = self.notes.pop(number, None)
                    if note is not None:
                        self.bytes_out -= note[0]
            self.n_out -= len(numbers)
            if self.thread is not None:
                self.changed.notify_all()


def split_taken(taken):
    """What a stream gave: (number, kind, reply) of each result."""
    for item in pickling.unpack_items(memoryview(taken.get_data())):
        number, kind = _TAKEN.unpack_from(item)
        yield number, kind, item[_TAKEN.size:]


class IMapIterator:
    """The results of :meth:`Pool.imap`, in the order of the items. For ``async for``, too."""

    _ordered = True

    def __init__(self, pool, function, iterable, chunksize, star):
        self._pool = pool
        self._chunked = chunksize > 1
        self._ready = collections.deque()  # (True, value) or (False, exception), and the number of a call that it ends
        self._feed = Feed(pool, function, iterable, chunksize, star)

    def __iter__(self):
        return self

    def __aiter__(self):
        return self

    def next(self, timeout=None):
        """The next result. Raises what the function raised, StopIteration at the end, or TimeoutError after ``timeout``
        seconds."""
        while not self._ready:
            if not self._go_on(timeout):
                raise StopIteration
        return self._pop()

    def __next__(self):
        while not self._ready:
            if not self._go_on(None):
                raise StopIteration
        return self._pop()

    def _pop(self):
        ok, value, number = self._ready.popleft()
        feed = self._feed
        if number is not None:
            feed.took((number,))
            if feed.thread is None and feed.is_low():
                feed.fill()
        if ok:
            return value
        raise value

    def _go_on(self, timeout):
        """Waits for results and takes them. Returns False at the end, and raises the exception of the source of the items."""
        feed = self._feed
        if feed.thread is None:
            feed.fill()
        elif not self._await_feed(timeout):
            raise TimeoutError(f'no result came within {timeout} s')
        taken = wait(lambda seconds: feed.stream.take(self._ordered, seconds), timeout)
        if taken is not None:
            if self._pool is not None and self._pool._log_marker is not None:
                logs.flush(self._pool._native, self._pool._log_marker)
            self._sort(taken)
            return True
        with feed.changed:
            if feed.active or feed.n_out > 0:
                return True
        return self._end()

    def _end(self):
        feed = self._feed
        self._pool = None
        error, feed.source_error = feed.source_error, None
        if error is not None:
            raise error
        return False

    def _await_feed(self, timeout):
        """Until something is out, or nothing will be any more. Returns False when the time is over."""
        feed = self._feed
        with feed.changed:
            return feed.changed.wait_for(lambda: feed.n_out > 0 or not feed.active, timeout)

    def _sort(self, taken):
        notes = self._feed.notes
        for number, kind, reply in split_taken(taken):
            if self._pool is not None and self._pool._tells_jobs:
                self._pool.on_job_ready(self, number, None, None)
            note = notes.get(number) if notes else None
            if note is not None and isinstance(note[1], Exception):
                self._ready.append((False, note[1], number))
            elif kind == _POOL_ERROR:
                self._add(number, False, self._pool_error(number))
            elif kind == _LARGE_REPLY:
                self._add(number, *blocks.decode_bytes(self._feed.stream.steal_large(number)))
            elif note is not None and note[1] is not None:
                self._add(number, *self._feed.calls.decode(reply, note[1]))
            else:
                self._add(number, *pickling.decode_reply(reply))

    def _pool_error(self, number):
        try:
            self._feed.stream.check(number)
        except GLib.Error as error:
            return from_gerror(error)
        return RuntimeError('a call failed for no reason')

    def _add(self, number, ok, value):
        if not self._chunked or ok is False:
            self._ready.append((ok, value, number))
            return
        failures = {}
        if ok is None:
            value, failures = value
        last = len(value) - 1
        for index, one in enumerate(value):
            end = number if index == last else None
            if index in failures:
                self._ready.append((False, failures[index], end))
            else:
                self._ready.append((True, one, end))

    async def __anext__(self):
        while not self._ready:
            if not await self._go_on_async():
                raise StopAsyncIteration
        return self._pop()

    async def _go_on_async(self):
        import asyncio  # here: most programs do without, and it is large

        loop = asyncio.get_running_loop()
        feed = self._feed
        if feed.thread is None:
            feed.fill()
        else:
            await loop.run_in_executor(None, self._await_feed, None)
        await self._await_stream(loop)
        try:
            taken = feed.stream.take(self._ordered, 0)
        except GLib.Error as error:
            if matches(error, Error.WAIT_TIMED_OUT):
                return True  # the feed has sent more since the stream said that all was taken
            raise from_gerror(error) from None
        if taken is not None:
            self._sort(taken)
            return True
        with feed.changed:
            if feed.active or feed.n_out > 0:
                return True
        return self._end()

    async def _await_stream(self, loop):
        future = loop.create_future()

        def end():
            if not future.done():
                future.set_result(None)

        def tell(*_):
            try:
                loop.call_soon_threadsafe(end)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

        self._feed.stream.wait_async(self._ordered, None, tell)
        await future

    def __del__(self):
        feed = getattr(self, '_feed', None)
        if feed is not None:
            feed.drop()

    __class_getitem__ = classmethod(types.GenericAlias)


class IMapUnorderedIterator(IMapIterator):
    """The results of :meth:`Pool.imap_unordered`, in the order in which they come."""

    _ordered = False
