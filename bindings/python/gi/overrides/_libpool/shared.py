# SPDX-License-Identifier: LGPL-2.1-or-later
"""Read-only values that all workers map: sent once, stored once."""

import collections
import fcntl
import itertools
import mmap
import os
import pickle
import threading
import types

from . import pickling

_numbers = itertools.count(1)
_lock = threading.Lock()
#: In a worker: the last values that were used, by who made them.
_KEPT = 16
_values = collections.OrderedDict()

try:
    with open('/proc/sys/kernel/random/boot_id') as _file:
        _MACHINE = _file.read(8)
except OSError:
    _MACHINE = ''

_F_ADD_SEALS = 1033
_SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8  # sealing, shrinking, growing, writing


class Shared:
    """A value that is sent to any number of tasks and exists once in memory. See :func:`shared`.

    ``value`` is the value here. A task that gets this as an argument, or within one, gets the value itself; one that is a
    thread gets that for arguments only.
    """

    def __init__(self, value):
        parts = pickling.Parts(*pickling.encode_anything(value))
        self.value = value
        self.size = parts.size
        self._key = os.getpid(), next(_numbers), _MACHINE
        self._fd = os.memfd_create('libpool-shared', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._fd, self.size)
            with mmap.mmap(self._fd, self.size) as mapping:
                with memoryview(mapping) as view:
                    parts.write_to(view)
            # nobody can change it or cut it short, whoever gets hold of it
            fcntl.fcntl(self._fd, _F_ADD_SEALS, _SEAL_ALL)
        except BaseException:
            self.close()
            raise

    def close(self):
        """Lets go of the memory; workers that have it keep it until they need the room. Also done when this is dropped."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self):
        if getattr(self, '_fd', -1) >= 0 and self._key[0] == os.getpid():
            self.close()

    def __reduce__(self):
        if self._fd < 0:
            raise ValueError('a shared value that was closed cannot be sent')
        return _open, (self._key, self._fd, self.size)

    __class_getitem__ = classmethod(types.GenericAlias)

    def __repr__(self):
        return f'<{type(self).__module__}.{type(self).__qualname__} {self.size} bytes>'


def shared(value):
    """Puts a value into memory that all workers map, read-only, instead of sending it with each task.

    ``shared(array)`` is given to a task in place of the array. Worth while for what has large buffers (numpy arrays,
    bytes in protocol-5 objects) and goes to many tasks. Only workers on this machine, of the same user, can map it; a task
    elsewhere fails with ValueError.

        table = Pool.shared(numpy.load('table.npy'))
        pool.starmap(look_up, [(table, key) for key in keys])
    """
    return Shared(value)


def values_of(arguments):
    """Arguments that go to a task without having been pickled, as it gets them."""
    if type(arguments) in (tuple, list) and any(type(argument) is Shared for argument in arguments):
        return tuple(argument.value if type(argument) is Shared else argument for argument in arguments)
    return arguments


def _open(key, fd, size):
    """What a Shared is in a task: the value, which is kept for the next task."""
    with _lock:
        if key in _values:
            _values.move_to_end(key)
            return _values[key]
    if key[2] != _MACHINE:
        raise ValueError('a shared value cannot be mapped on another machine: send it as it is')
    path = f'/proc/{key[0]}/fd/{fd}'
    try:
        own = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f'a shared value of process {key[0]} cannot be mapped here: {error}') from None
    try:
        mapping = mmap.mmap(own, size, mmap.MAP_SHARED, mmap.PROT_READ)
    finally:
        os.close(own)
    view = memoryview(mapping)
    if view[0] == pickling.LARGE:
        head, *buffers = pickling.split_large(view)
        value = pickle.loads(head, buffers=buffers)
    else:
        value = pickle.loads(view)
    with _lock:
        _values[key] = value
        while len(_values) > _KEPT:
            _values.popitem(last=False)
    return value
