# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls whose workers are threads: functions, arguments and results are passed by reference; only a number travels."""

import itertools
import struct

from . import pickling
from . import shared
from . import worker

_NUMBER = struct.Struct('<Q')


class _Call:
    __slots__ = ('kind', 'function', 'arguments', 'outcome')

    def __init__(self, kind, function, arguments):
        self.kind = kind
        self.function = function
        self.arguments = arguments
        self.outcome = None


class ThreadCalls:
    """The calls of one pool of threads."""

    by_reference = True

    def __init__(self):
        self.waiting = {}  # by number, until they have run
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

    def clear(self):
        self.waiting.clear()

    def run(self, task, data, *_):
        """In the thread."""
        call = self.waiting.pop(_NUMBER.unpack(bytes(data))[0], None)
        if call is not None:
            state = worker._state
            state.task = task
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
