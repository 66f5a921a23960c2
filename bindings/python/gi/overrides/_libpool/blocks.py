# SPDX-License-Identifier: LGPL-2.1-or-later
"""Large values, from 64 KiB on: memory that both sides look at, so that nothing of them goes through a pipe.

An argument is written once, into the pool's shared memory. The worker maps those pages privately: it sees them without
a copy, what it changes is its own, and what it keeps is made its own when the call ends. A result is written once, too,
and the program looks at it where it lies, for as long as it keeps it.
"""

import ctypes
import mmap

from gi.repository import GLib

from . import pickling
from .native import native

_PAGE = mmap.PAGESIZE
_READ, _WRITE = 0x100, 0x200
_MADV_POPULATE_READ = 22

_from_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_from_memory.restype = ctypes.py_object
_from_memory.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]


def look(address, size, mode=_READ):
    """A memoryview of memory that somebody else keeps alive."""
    return _from_memory(address, size, mode)


class Argument:
    """The argument of a call with buffers, while the call runs.

    ``head`` is what is to be loaded, ``buffers`` what that refers to, writable.
    """

    def __init__(self, task, view):
        self.mapping = self.view = None
        if not self._map(task, len(view)):
            # it came some other way: the task gets a copy
            self.view = memoryview(bytearray(view))
        self.head, *self.buffers = pickling.split_large(self.view)

    def _map(self, task, size):
        located, fd, offset = task.locate_argument()
        if not located:
            return False
        start = offset - offset % _PAGE
        self.mapping = mmap.mmap(fd, offset - start + size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE,
                                 offset=start)
        try:
            # one call in place of a fault for every few pages; reading, so that nothing is copied
            self.mapping.madvise(_MADV_POPULATE_READ)
        except OSError:  # before Linux 5.14
            pass
        self.view = memoryview(self.mapping)[offset - start:]
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.head = self.buffers = self.view = None
        if self.mapping is None:
            return
        try:
            self.mapping.close()
        except BufferError:
            # the task has kept some of it: pages that were not written to are still those that the pool will use
            # again, so write to each
            pages = memoryview(self.mapping)[::_PAGE]
            pages[:] = pages.tobytes()
        self.mapping = None


class Plain:
    """As Argument, of a call without buffers."""

    buffers = None

    def __init__(self, view):
        self.head = view

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def send_reply(task, parts):
    """Writes a reply to where the program will look at it."""
    address = task.reserve_reply_address(parts.size)
    if address != 0:
        parts.write_to(look(address, parts.size, _WRITE))


def fill(manager, parts):
    """A block of the pool's memory that holds the parts."""
    block = manager.reserve(parts.size)
    parts.write_to(look(block.get_address(), parts.size, _WRITE))
    return block


def submit(manager, name, message, options):
    """Makes a call of bytes or Parts; if that fails, its result does."""
    if type(message) is not bytes:
        try:
            block = fill(manager, message)
        except GLib.Error:  # as what is tried now will say, too
            message = message.join()
        else:
            return manager.apply_block_async(name, block, options, None, None)
    return manager.apply_bytes_async(name, message, options, None, None)


def open_bytes(data):
    """A writable memoryview of a GLib.Bytes that nobody else refers to; it keeps them alive."""
    size = data.get_size()
    array = (ctypes.c_char * size).from_address(native.bytes_get_address(data))
    array.owner = data
    return memoryview(array).cast('B')


def decode_bytes(data):
    """As pickling.decode_reply(), of a GLib.Bytes."""
    if data.get_size() < pickling.LARGE_SIZE:
        return pickling.decode_reply(data.get_data())
    view = open_bytes(data)
    if view[0] != pickling.LARGE:
        return pickling.decode_reply(view)
    head, *buffers = pickling.split_large(view)
    return pickling.decode_reply(head, buffers)
