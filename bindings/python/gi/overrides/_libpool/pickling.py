# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls and results as bytes.

A call is one kind byte and what the kind says; a reply is a pickle as it is, or a mark and more::

    call    kind | BY_REFERENCE, u32 n, n bytes: the function's pickle, the arguments' pickle
            kind, the pickle of (function, arguments)
    reply   a pickle: what the function returned (a pickle begins with 0x80)
            RAISED, the pickle of (exception, text of its traceback)
            UNSENDABLE, the pickle of two texts: why, and what could not be pickled
            SOME_RAISED, the pickle of (values of a chunk, {index: reply of what failed})
    either  LARGE, 3 bytes, u32 n, n u64 sizes; then n segments, each from a multiple of 64 bytes: what stands above,
            and the buffers that its pickles refer to (protocol 5)

The pickle of a function that is found by its name is made once, and loaded once in each worker. Any other function
travels with its arguments, so that each call has a copy of its own and what they share stays shared.
"""

import array
import copyreg
import itertools
import pickle
import struct
import sys
import traceback
import types
from multiprocessing.pool import MaybeEncodingError, RemoteTraceback
from multiprocessing.reduction import ForkingPickler

from .errors import TaskExit

#: Buffers and values from this size on (bytes) are moved as memory, not as bytes of Python.
LARGE_SIZE = 64 * 1024

CALL = 1  # arguments: (args, kwds)
ITEM = 2  # one item of a map
STAR = 3  # one item of a starmap
CHUNK = 4  # a sequence of items
STAR_CHUNK = 5
NOTHING = 6  # no call: None
BY_REFERENCE = 0x40
LARGE = 0x7f

RAISED = 1
UNSENDABLE = 2
SOME_RAISED = 3
PICKLE = 0x80

ALIGNMENT = 64
NOTHING_CALL = bytes([NOTHING])
_HEAD = struct.Struct('<BI')
_LARGE_HEAD = struct.Struct('<B3xI')
_REFERENCE_TYPES = (types.FunctionType, types.BuiltinFunctionType, type)

loads = pickle.loads


class _Sink:
    __slots__ = ('write',)


def _keeper(buffers):
    """For a pickler: puts large buffers beside the pickle; smaller ones go with the rest."""
    def keep(buffer):
        view = buffer.raw()
        if view.nbytes < LARGE_SIZE:
            return True
        buffers.append(view)
        return False
    return keep


class _Encoder:
    """A pickler that is used again and again. It hands out what is large without copying it."""

    free = []  # those that nobody uses now: pickling may run code that pickles

    def __init__(self):
        self.parts = []
        self.buffers = []
        sink = _Sink()
        sink.write = self.parts.append
        self.pickler = pickle.Pickler(sink, pickle.HIGHEST_PROTOCOL, buffer_callback=_keeper(self.buffers))
        self.table = None

    def refresh(self):
        """What multiprocessing can pickle, this can."""
        extra = ForkingPickler._extra_reducers
        size = len(copyreg.dispatch_table), len(extra)
        if size != self.table:
            self.table = size
            self.pickler.dispatch_table = {**copyreg.dispatch_table, **extra}

    @classmethod
    def take(cls):
        """One that nobody uses; to be given back to ``free``."""
        try:
            encoder = cls.free.pop()
        except IndexError:
            encoder = cls()
        encoder.refresh()
        return encoder

    def encode(self, value):
        """The pickle's parts, to be joined, and the buffers beside it."""
        try:
            self.pickler.dump(value)
            return self.parts[:], self.buffers[:]
        finally:
            self.pickler.clear_memo()
            self.parts.clear()
            self.buffers.clear()


def _encode(value):
    encoder = _Encoder.take()
    try:
        return encoder.encode(value)
    finally:
        _Encoder.free.append(encoder)


def encode_anything(value):
    """As _encode(), by cloudpickle where pickle cannot do it and cloudpickle is installed."""
    try:
        return _encode(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        try:
            return encode_by_value(value)
        except Exception:
            raise error from None


def encode_by_value(value):
    """As _encode(), by cloudpickle: functions and classes of the main module go as what they are, not by their names."""
    import cloudpickle

    buffers = []
    pickled = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=_keeper(buffers))
    return [pickled], buffers


class Parts:
    """A message whose parts lie here and there: ``size`` bytes, to be written to one place by :meth:`write_to`."""

    __slots__ = ('segments', 'sizes', 'size')

    def __init__(self, head, buffers):
        """``head``: parts that are joined; ``buffers``: each a segment of its own"""
        self.segments = [head, *([buffer] for buffer in buffers)]
        if not buffers:
            self.sizes = None
            self.size = sum(map(len, head))
            return
        self.sizes = [sum(map(len, head)), *(buffer.nbytes for buffer in buffers)]
        end = _LARGE_HEAD.size + 8 * len(self.sizes)
        for size in self.sizes:
            end = _align(end) + size
        self.size = end

    def write_to(self, view):
        """``view``: a writable memoryview of at least ``size`` bytes"""
        position = 0
        if self.sizes is not None:
            _LARGE_HEAD.pack_into(view, 0, LARGE, len(self.sizes))
            struct.pack_into(f'<{len(self.sizes)}Q', view, _LARGE_HEAD.size, *self.sizes)
            position = _align(_LARGE_HEAD.size + 8 * len(self.sizes))
        for segment in self.segments:
            for part in segment:
                end = position + len(part)
                view[position:end] = part
                position = end
            position = _align(position)

    def join(self):
        if self.sizes is None:
            return b''.join(self.segments[0])
        whole = bytearray(self.size)
        self.write_to(memoryview(whole))
        return bytes(whole)


def _align(position):
    return (position + ALIGNMENT - 1) & -ALIGNMENT


def split_large(view):
    """The segments of a LARGE message, as slices of the memoryview."""
    _, n = _LARGE_HEAD.unpack_from(view)
    sizes = struct.unpack_from(f'<{n}Q', view, _LARGE_HEAD.size)
    position = _LARGE_HEAD.size + 8 * n
    segments = []
    for size in sizes:
        position = _align(position)
        segments.append(view[position:position + size])
        position += size
    return segments


def _pack(parts, buffers):
    """Bytes if it is small, else Parts."""
    if not buffers:
        if len(parts) == 1:
            return parts[0]
        joined = sum(map(len, parts))
        if joined < LARGE_SIZE:
            return b''.join(parts)
    return Parts(parts, buffers)


# --- calls ---

class Function:
    """A function on its way to workers; many calls of one function share it."""

    __slots__ = ('function', 'heads', 'reference', 'encode_rest')

    def __init__(self, function, by_value=False):
        """``by_value``: a worker does not find what is in the main module"""
        self.function = function
        self.encode_rest = encode_by_value if by_value else encode_anything
        self.heads = {}
        self.reference = None
        if isinstance(function, _REFERENCE_TYPES):
            try:
                if by_value:
                    self.reference = b''.join(encode_by_value(function)[0])
                else:
                    self.reference = pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
            except Exception:  # not found by its name: it is pickled with each call
                self.reference = None

    def encode(self, kind, arguments):
        """A call as bytes or Parts; raises what pickling raises."""
        head = self.heads.get(kind)
        if head is None:
            head = self._make_head(kind)
        if self.reference is not None:
            parts, buffers = self.encode_rest(arguments)
        else:
            parts, buffers = self.encode_rest((self.function, arguments))
        if len(parts) == 1 and not buffers and len(parts[0]) < LARGE_SIZE:
            return head + parts[0]
        parts.insert(0, head)
        return _pack(parts, buffers)

    def encode_all(self, kind, items):
        """A call for each item. Raises what pickling raises for the first that cannot be pickled."""
        if self.reference is None or self.encode_rest is encode_by_value:
            return [self.encode(kind, item) for item in items]
        head = self.heads.get(kind) or self._make_head(kind)
        encoder = _Encoder.take()
        dump, clear, parts, buffers = encoder.pickler.dump, encoder.pickler.clear_memo, encoder.parts, encoder.buffers
        messages = []
        add, pop = messages.append, parts.pop
        try:
            for item in items:
                try:
                    dump(item)
                except Exception:
                    parts.clear()
                    buffers.clear()
                    add(self.encode(kind, item))  # by other means, or with the error once more
                    continue
                finally:
                    clear()
                if len(parts) == 1 and not buffers and len(parts[0]) < LARGE_SIZE:
                    add(head + pop())
                else:
                    add(_pack([head, *parts], buffers[:]))
                    parts.clear()
                    buffers.clear()
        finally:
            parts.clear()
            buffers.clear()
            _Encoder.free.append(encoder)
        return messages

    def _make_head(self, kind):
        if self.reference is None:
            head = bytes([kind])
        else:
            head = _HEAD.pack(kind | BY_REFERENCE, len(self.reference)) + self.reference
        self.heads[kind] = head
        return head


# --- in the worker ---

def _nothing(_):
    return None


_functions = {}  # by their heads: kind, length and pickle
_unpack_head = _HEAD.unpack_from


def decode_call(view, buffers=None):
    """Returns (kind, function, arguments)."""
    kind, n = _unpack_head(view) if len(view) >= 5 else (view[0], 0)
    if kind & BY_REFERENCE:
        n += 5
        head = view[:n].tobytes()
        function = _functions.get(head)
        if function is None:
            function = _functions[head] = loads(head[5:])
        return kind & ~BY_REFERENCE, function, loads(view[n:], buffers=buffers)
    if kind == NOTHING:
        return ITEM, _nothing, None
    function, arguments = loads(view[1:], buffers=buffers)
    return kind, function, arguments


_PLAIN = frozenset((int, float, bool, type(None), complex))
_dumps = pickle.dumps


def encode_value(value):
    """A reply: bytes if it is small, else Parts."""
    if type(value) in _PLAIN:
        return _dumps(value, pickle.HIGHEST_PROTOCOL)
    try:
        parts, buffers = _encode(value)
    except Exception as error:
        return _unsendable(error, value)
    if len(parts) == 1 and not buffers:
        return parts[0] if len(parts[0]) < LARGE_SIZE else Parts(parts, buffers)
    return _pack(parts, buffers)


def _unsendable(error, value):
    wrapped = MaybeEncodingError(error, value)
    return bytes([UNSENDABLE]) + pickle.dumps((wrapped.exc, wrapped.value), pickle.HIGHEST_PROTOCOL)


def encode_exception(error):
    """A reply for an exception that a task raised, with the text of its traceback, but for this library's frames."""
    text = describe_traceback(error)
    if not isinstance(error, Exception):
        error = TaskExit(error)
    try:
        pickled = pickle.dumps((error, text), pickle.HIGHEST_PROTOCOL)
    except Exception as problem:
        return _unsendable(problem, error)
    return bytes([RAISED]) + pickled


def describe_traceback(error):
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_globals.get('__name__', '').startswith(__package__):
        tb = tb.tb_next
    lines = traceback.format_exception(type(error), error, tb or error.__traceback__)
    return '\n"""\n%s"""' % ''.join(lines)


def encode_chunk(values, failures):
    """``failures``: replies by index"""
    if not failures:
        return encode_value(values)
    try:
        parts, buffers = _encode((values, failures))
    except Exception as error:
        return _unsendable(error, values)
    parts.insert(0, bytes([SOME_RAISED]))
    return _pack(parts, buffers)


# --- in the program ---

def _load_exception(view):
    try:
        error, text = loads(view)
    except Exception as problem:
        return MaybeEncodingError(problem, bytes(view[:200]))
    error.__cause__ = RemoteTraceback(text)
    return error


def decode_failure(view):
    """The exception in a reply that is no value."""
    if view[0] == RAISED:
        return _load_exception(view[1:])
    exc, value = loads(view[1:])
    error = MaybeEncodingError.__new__(MaybeEncodingError, exc, value)
    error.exc, error.value = exc, value
    error.args = exc, value
    return error


def decode_reply(view, buffers=None):
    """Returns (True, value) or (False, exception). A chunk of which some items raised is (None, (values, failures))."""
    mark = view[0]
    if mark == PICKLE:
        try:
            return True, loads(view, buffers=buffers)
        except Exception as error:
            return False, MaybeEncodingError(error, bytes(view[:200]))
    if mark == SOME_RAISED:
        values, failures = loads(view[1:], buffers=buffers)
        return None, (values, {index: decode_failure(reply) for index, reply in failures.items()})
    return False, decode_failure(view)


def pack_items(items):
    """A packed batch of byte strings, as libpool has it: number, ends, data; all numbers 64 bits."""
    ends = array.array('Q', (len(items),))
    ends.extend(itertools.accumulate(map(len, items)))
    if sys.byteorder != 'little':
        ends.byteswap()
    return ends.tobytes() + b''.join(items)


def unpack_items(data):
    """The items of a packed batch, as slices of it."""
    n, = struct.unpack_from('<Q', data)
    start = 8 * (n + 1)
    position = start
    for end in struct.unpack_from(f'<{n}Q', data, 8):
        end += start
        yield data[position:end]
        position = end


def load_items(data):
    """The values of a packed batch of replies, or None if some are no plain pickles (whose marks no pickle begins with)."""
    n, = struct.unpack_from('<Q', data)
    base = 8 * (n + 1)
    ends = struct.unpack_from(f'<{n}Q', data, 8)
    data = data[base:]
    try:
        return [loads(data[start:end]) for start, end in zip((0, *ends), ends)]
    except Exception:
        return None
