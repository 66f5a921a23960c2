# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls whose workers are threads: functions, arguments and results are passed by reference; only a number travels."""

import itertools
import operator
import struct
import threading
import time

from . import pickling
from . import shared
from . import worker

_NUMBER = struct.Struct('<Q')
_MAP_NUMBER = struct.Struct('<Qx')

#: A map by single items has at most so many turns, and so many for each thread.
_TURNS, _TURNS_EACH = 256, 32
_TURN_SECONDS = 0.01
_MISSING = object()


class _Call:
    __slots__ = ('kind', 'function', 'arguments', 'outcome')

    def __init__(self, kind, function, arguments):
        self.kind = kind
        self.function = function
        self.arguments = arguments
        self.outcome = None


class Map:
    """A map by single items: whichever thread is free takes the next one.

    The pool gives it *turns*. In one a thread takes items one after the other: for a moment, or for its share of what is left if
    that takes longer, so that other calls get their turn, too.
    """

    def __init__(self, function, items, star, n_threads):
        self.function = _Star(function) if star else function
        self.items = items
        self.values = [_MISSING] * len(items)
        self.failures = {}
        self.indices = iter(range(len(items)))  # of all threads
        self.running = set()
        self.n_turns = min(len(items), max(_TURNS, _TURNS_EACH * n_threads))
        self.turns = iter(range(self.n_turns))

    def take_turn(self):
        """In a thread. Returns whether there may be more to do."""
        function, items, values, now = self.function, self.items, self.values, time.monotonic
        next(self.turns, None)
        # whoever has the last turn takes all that is left
        share = -(-operator.length_hint(self.indices) // (operator.length_hint(self.turns) + 1))
        end = now() + _TURN_SECONDS
        me = threading.get_ident()
        self.running.add(me)
        for index in self.indices:
            try:
                values[index] = function(items[index])
            except BaseException as error:
                error.__traceback__ = error.__traceback__.tb_next
                self.failures[index] = _keep(error)
                values[index] = None
            items[index] = None
            share -= 1
            if share <= 0 and now() > end:
                break
        self.running.discard(me)
        # this frame lives as long as an exception that came out of it
        values = items = None
        return operator.length_hint(self.indices) > 0

    @property
    def n_done(self):
        return max(len(self.items) - operator.length_hint(self.indices) - len(self.running), 0)

    def stop(self):
        """No thread takes another item."""
        for _ in self.indices:
            pass

    def end(self, error):
        """Gives away the values, and the exceptions by index. ``error``: of items that have not ended, if the map was ended."""
        values, failures = self.values, self.failures
        self.values, self.failures = None, {}
        if error is None:
            return values, failures
        self.stop()
        # a thread that was given up may still be in one
        values, failures = values[:], dict(failures)
        for index, value in enumerate(values):
            if value is _MISSING:
                values[index], failures[index] = None, error
        return values, failures


class _Star:
    __slots__ = ('function',)

    def __init__(self, function):
        self.function = function

    def __call__(self, arguments):
        return self.function(*arguments)


class ThreadCalls:
    """The calls of one pool of threads."""

    by_reference = True

    def __init__(self):
        self.waiting = {}  # by number, until they have run
        self.maps = {}  # by number, until all their items have been taken
        self.numbers = itertools.count()

    def function(self, function):
        return function

    def encode(self, function, kind, arguments):
        """Returns what travels, and the call, which is to be kept for decode()."""
        if kind == pickling.ITEM:
            arguments, = shared.values_of((arguments,))
        elif kind == pickling.CALL:
            args, kwds = arguments
            arguments = shared.values_of(args), dict(zip(kwds, shared.values_of(tuple(kwds.values()))))
        elif kind == pickling.STAR_CHUNK:
            arguments = list(map(shared.values_of, arguments))
        else:
            arguments = shared.values_of(arguments)
        call = _Call(kind, function, arguments)
        number = next(self.numbers)
        self.waiting[number] = call
        return _NUMBER.pack(number), call

    def encode_all(self, function, kind, items):
        """As encode(), for each item: what travels, and the calls."""
        encoded = [self.encode(function, kind, item) for item in items]
        return [message for message, _ in encoded], [call for _, call in encoded]

    def encode_map(self, function, items, star, n_threads):
        """A map by single items: what travels, and the map."""
        items = list(map(shared.values_of, items)) if star else list(items)
        if not star and shared.Shared in set(map(type, items)):
            items = [item.value if type(item) is shared.Shared else item for item in items]
        made = Map(function, items, star, n_threads)
        number = next(self.numbers)
        if items:
            self.maps[number] = made
        return [_MAP_NUMBER.pack(number)] * made.n_turns, made

    def clear(self):
        self.waiting.clear()
        while self.maps:
            self.maps.popitem()[1].stop()

    def run(self, task, data, *_):
        """In the thread."""
        data = bytes(data)
        state = worker._state
        state.task = task
        if len(data) == _MAP_NUMBER.size:
            number, = _MAP_NUMBER.unpack(data)
            found = self.maps.get(number)
            if found is not None:
                state.busy = True
                if not found.take_turn():
                    self.maps.pop(number, None)
                state.busy = False
            return True
        call = self.waiting.pop(_NUMBER.unpack(data)[0], None)
        if call is not None:
            state.busy = True
            call.outcome = _execute(call)
            state.busy = False
            call.function = call.arguments = None
        return True

    @staticmethod
    def decode(reply, call):
        outcome, call.outcome = call.outcome, None
        return outcome


def _execute(call):
    try:
        if call.kind == pickling.ITEM:
            return True, call.function(call.arguments)
        if call.kind == pickling.CALL:
            return True, call.function(*call.arguments[0], **call.arguments[1])
        if call.kind == pickling.STAR:
            return True, call.function(*call.arguments)
        values, failures = worker.run_items(call.function, call.arguments, call.kind == pickling.STAR_CHUNK, _keep)
        return (None, (values, failures)) if failures else (True, values)
    except BaseException as error:
        return False, _keep(error)


def _keep(error):
    return error if isinstance(error, Exception) else pickling.TaskExit(error)


class ProcessCalls:
    """The calls of one pool of processes: they are pickled."""

    by_reference = False

    def __init__(self, by_value=False):
        self.by_value = by_value

    def function(self, function):
        return pickling.Function(function, self.by_value)

    @staticmethod
    def encode(function, kind, arguments):
        return function.encode(kind, arguments), None

    @staticmethod
    def encode_all(function, kind, items):
        return function.encode_all(kind, items), None

    @staticmethod
    def clear():
        pass

    @staticmethod
    def decode(reply, call):
        return pickling.decode_reply(reply)
