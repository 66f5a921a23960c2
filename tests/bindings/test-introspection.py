#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library through GObject-Introspection alone, on both local backends.

    test-introspection.py Pool-1.gir
"""

import ctypes
import hashlib
import os
import pathlib
import struct
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

import tap

import gi

gi.require_version('Pool', '1')
from gi.repository import GLib, Gio, GObject, Pool as Override  # noqa: E402

# what the library has by itself; Python's own API stands on it
Pool = Override.native

BACKENDS = ('fork', 'threads')
CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'
C = '{http://www.gtk.org/introspection/c/1.0}'
FILES = sorted(str(path) for path in pathlib.Path('/etc').glob('*.conf') if os.access(path, os.R_OK))[:8]


class running:
    """A started pool, closed and joined at the end of the block."""

    def __init__(self, backend, **properties):
        self.pool = Pool.Manager(backend=backend, processes=2, **properties)

    def __enter__(self):
        self.pool.start()
        return self.pool

    def __exit__(self, *_):
        self.pool.close()
        assert self.pool.join(30)
        assert self.pool.get_state() == Pool.State.JOINED


def fails_with(domain, code, function, *arguments):
    try:
        function(*arguments)
    except GLib.Error as error:
        assert error.domain == domain, f'{error.domain}: {error.message}'
        assert error.code == code, f'{error.code} instead of {int(code)}: {error.message}'
        return error
    raise AssertionError('it did not fail')


def pool_error(code, function, *arguments):
    return fails_with('pool-error-quark', code, function, *arguments)


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def on_each_backend(function):
    for backend in BACKENDS:
        def bound(backend=backend):
            function(backend)
        bound.__name__ = f'{function.__name__}_{backend}'
        tap.test(bound)
    return function


@tap.test
def namespace():
    assert Pool._version == '1'
    assert Pool.cpu_count() >= 1
    assert set(BACKENDS) <= set(Pool.list_backends())
    assert 'checksum' in Pool.list_task_modules()
    assert isinstance(Pool.describe_backend('fork'), str)


@tap.test
def classes():
    assert issubclass(Pool.Manager, GObject.Object)
    assert issubclass(Pool.ApplyResult, Pool.AsyncResult)
    assert issubclass(Pool.MapResult, Pool.AsyncResult)
    assert Gio.AsyncResult.__gtype__ in GObject.type_interfaces(Pool.AsyncResult)
    assert issubclass(Pool.Process, GObject.Object)


@tap.test
def properties_and_their_defaults():
    pool = Pool.Manager()
    assert pool.props.backend == 'fork'
    assert pool.props.processes == Pool.cpu_count()
    assert pool.props.start_method == Pool.StartMethod.AUTO
    assert pool.props.resilient is True
    assert pool.props.max_retries == 3
    assert pool.props.ordered is False
    assert pool.props.state == Pool.State.NEW
    for name in ('n-workers', 'n-pending', 'n-running', 'n-done', 'n-failed', 'n-retried', 'n-restarts'):
        assert pool.get_property(name) == 0, name


@tap.test
def enums_have_nicks():
    assert Pool.State.RUN.value_nick == 'run'
    assert Pool.Error.NO_SUCH_TASK.value_nick == 'no-such-task'
    assert Pool.StartMethod.FORKSERVER.value_nick == 'forkserver'
    assert Pool.WorkerState.BUSY.value_nick == 'busy'
    assert Pool.DownReason.CRASHED.value_nick == 'crashed'
    assert Pool.error_quark() == GLib.quark_from_string('pool-error-quark')


@tap.test
def everything_is_documented():
    """Each class, function, property, signal and enumeration of the GIR has a text"""
    tags = [CORE + kind for kind in ('class', 'enumeration', 'bitfield', 'member', 'function', 'method',
                                     'constructor', 'property', 'callback', 'virtual-method')]
    missing = []
    tree = ElementTree.parse(sys.argv[1])
    # the virtual functions are there once more, as fields of a class's struct
    fields = {child for record in tree.iter(CORE + 'record') for child in record.iter()}
    for element in tree.iter():
        if element.tag not in tags + [GLIB + 'signal'] or element in fields or element.get('introspectable') == '0':
            continue
        if element.find(CORE + 'doc') is None:
            missing.append(element.get(C + 'identifier') or element.get('name'))
    assert not missing, f'no documentation for {missing}'


@on_each_backend
def apply_a_task_of_a_module(backend):
    with running(backend) as pool:
        result = pool.apply('checksum.sha256', GLib.Variant('(s)', (FILES[0],)), None, None)
        assert result.unpack() == sha256(FILES[0])


@on_each_backend
def map_keeps_the_order(backend):
    with running(backend) as pool:
        result = pool.map('checksum.sha256', GLib.Variant('as', FILES), 0, None)
        assert result.get_type_string() == 'av'
        assert result.unpack() == [sha256(path) for path in FILES]
        result = pool.starmap('checksum.sha256', GLib.Variant('a(s)', [(path,) for path in FILES]), 2, None)
        assert result.unpack() == [sha256(path) for path in FILES]
        assert pool.props.n_done == 2 * len(FILES)


@on_each_backend
def map_of_nothing(backend):
    with running(backend) as pool:
        assert pool.map('checksum.sha256', GLib.Variant('as', []), 0, None).unpack() == []


@on_each_backend
def errors_of_a_task(backend):
    with running(backend) as pool:
        arguments = GLib.Variant('(s)', ('/nonexistent',))
        error = fails_with('g-io-error-quark', Gio.IOErrorEnum.NOT_FOUND, pool.apply, 'checksum.sha256', arguments,
                           None, None)
        assert error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND)
        assert '/nonexistent' in error.message
        fails_with('g-io-error-quark', Gio.IOErrorEnum.NOT_FOUND, pool.map, 'checksum.sha256',
                   GLib.Variant('as', FILES + ['/nonexistent']), 0, None)


@on_each_backend
def errors_of_the_pool(backend):
    arguments = GLib.Variant('(s)', (FILES[0],))
    pool = Pool.Manager(backend=backend, processes=1)
    pool_error(Pool.Error.NOT_STARTED, pool.apply, 'checksum.sha256', arguments, None, None)
    pool.start()
    error = pool_error(Pool.Error.NO_SUCH_TASK, pool.apply, 'checksum.sha265', arguments, None, None)
    assert 'sha256' in error.message, error.message
    pool_error(Pool.Error.NO_SUCH_TASK, pool.apply, 'nothing', arguments, None, None)
    pool_error(Pool.Error.INVALID_ARGUMENT, pool.map, 'checksum.sha256', GLib.Variant('s', 'x'), 0, None)
    pool.close()
    pool_error(Pool.Error.CLOSED, pool.apply, 'checksum.sha256', arguments, None, None)
    pool.join(30)


@tap.test
def unknown_backend():
    error = pool_error(Pool.Error.NO_SUCH_BACKEND, Pool.Manager(backend='frok').start)
    assert 'frok' in error.message, error.message


@on_each_backend
def iterator(backend):
    paths = FILES[:3] + ['/nonexistent'] + FILES[3:]
    good, bad = [], 0
    with running(backend) as pool:
        iterator = pool.imap('checksum.sha256', GLib.Variant('as', paths), 1)
        while True:
            try:
                value = iterator.next(30)
            except GLib.Error as error:
                assert error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND), error.message
                bad += 1
                continue
            if value is None:
                break
            good.append(value.unpack())
        assert iterator.is_done()
        assert good == [sha256(path) for path in FILES] and bad == 1

        iterator = pool.imap_unordered('checksum.sha256', GLib.Variant('as', FILES), 2)
        found = [iterator.next(30).unpack() for _ in FILES]
        assert iterator.next(30) is None
        assert sorted(found) == sorted(map(sha256, FILES))


@on_each_backend
def async_result(backend):
    with running(backend) as pool:
        results = [pool.apply_async('checksum.sha256', GLib.Variant('(s)', (path,)), None, None, None)
                   for path in FILES]
        assert [result.get(30).unpack() for result in results] == [sha256(path) for path in FILES]
        assert all(result.ready() and result.successful() for result in results)
        assert len({result.get_id() for result in results}) == len(FILES)


@on_each_backend
def callback_in_the_main_loop(backend):
    got = []
    loop = GLib.MainLoop()

    def on_digest(source, result):
        got.append((threading.current_thread(), source.apply_finish(result).unpack()))
        loop.quit()

    with running(backend) as pool:
        # from before the call on: else the pool's thread may be first
        assert GLib.MainContext.default().acquire()
        pool.apply_async('checksum.sha256', GLib.Variant('(s)', (FILES[0],)), None, None, on_digest)
        guard = GLib.timeout_add_seconds(30, loop.quit)
        loop.run()
        GLib.MainContext.default().release()
        GLib.source_remove(guard) if got else None
    assert got == [(threading.main_thread(), sha256(FILES[0]))]


@tap.test
def python_function_on_threads():
    def shout(task, arguments):
        assert task.get_name() == 'shout'
        return GLib.Variant('s', arguments.unpack()[0].upper())

    pool = Pool.Manager(backend='threads', processes=2)
    pool.register('shout', shout)
    pool.start()
    assert pool.map('shout', GLib.Variant('as', ['a', 'b', 'c']), 1, None).unpack() == ['A', 'B', 'C']
    pool.close()
    pool.join(30)


def pack(items):
    ends, end = [], 0
    for item in items:
        end += len(item)
        ends.append(end)
    return struct.pack(f'<{len(items) + 1}Q', len(items), *ends) + b''.join(items)


def unpack(packed):
    n, = struct.unpack_from('<Q', packed)
    ends = struct.unpack_from(f'<{n}Q', packed, 8)
    data = packed[8 + 8 * n:]
    return [data[start:end] for start, end in zip((0,) + ends, ends)]


@tap.test
def packed_batches():
    items = [b'abc', b'', b'\0' * 5]
    packed = Pool.packed_new([GLib.Bytes.new(item) for item in items])
    assert packed.get_data() == pack(items)
    assert Pool.packed_get_n_items(packed) == 3
    assert Pool.packed_get_item(packed, 2).get_data() == items[2]
    pool_error(Pool.Error.PROTOCOL, Pool.packed_check, b'\xff' * 11)


@tap.test
def stream_with_a_python_function():
    def reverse(task, data, *_):
        task.reply(bytes(data)[::-1])
        return True

    pool = Pool.Manager(backend='threads', processes=2, interruptible=True)
    pool.register_bytes('reverse', reverse)
    pool.start()
    stream = pool.open_stream('reverse')
    assert stream.take(True, -1) is None
    stream.submit(pack([b'abc', b'de']))
    stream.submit(pack([b'x' * 100_000]))
    pool_error(Pool.Error.PROTOCOL, stream.submit, b'no batch')
    results = []
    while (batch := stream.take(True, -1)) is not None:
        results += [struct.unpack_from('<2Q', item) + (item[16:],) for item in unpack(batch.get_data())]
    assert results == [(0, 0, b'cba'), (1, 0, b'ed'), (2, 1, b'')]
    assert stream.steal_large(2).get_size() == 100_000
    assert stream.check(2)
    assert stream.get_n_pending() == stream.get_n_ready() == 0
    pool.close()
    pool.join(30)


@tap.test
def packed_map_with_a_python_function():
    def reverse(task, data, *_):
        task.reply(bytes(data)[::-1])
        return True

    items = [f'item {i}'.encode() for i in range(100)]
    pool = Pool.Manager(backend='threads', processes=2)
    pool.register_bytes('reverse', reverse)
    pool.start()
    results = pool.map_packed('reverse', pack(items), 0, None)
    assert unpack(results.get_data()) == [item[::-1] for item in items]
    pool.close()
    pool.join(30)


def look(address, size, writable=False):
    """Memory by its address: no copy of it."""
    view = ctypes.pythonapi.PyMemoryView_FromMemory
    view.restype = ctypes.py_object
    view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    return view(address, size, 0x200 if writable else 0x100)


def content_of(data):
    """A copy, as the memory is there no longer than the bytes are"""
    address, size = Pool.bytes_get_address(data), data.get_size()
    return bytes(look(address, size)) if size else b''


def reserve(pool, content):
    block = pool.reserve(len(content))
    assert block.get_size() == len(content) and block.get_address()
    look(block.get_address(), len(content), writable=True)[:] = content
    return block


CONTENTS = [b'x', bytes(range(256)) * 256, os.urandom(3 << 20)]


@tap.test
def memory_function_on_threads():
    located = []

    def turn(task, address, size, *_):
        located.append(task.locate_argument())
        place = task.reserve_reply_address(size)
        look(place, size, writable=True)[:] = look(address, size)[::-1]
        return True

    pool = Pool.Manager(backend='threads', processes=2)
    pool.register_memory('turn', turn)
    pool.start()
    for content in CONTENTS:
        result = pool.apply_block_async('turn', reserve(pool, content), None, None, None)
        assert content_of(result.get_bytes(30)) == content[::-1]
        assert content_of(pool.apply_bytes('turn', content, None, None)) == content[::-1]
    items = [content[:1000] for content in CONTENTS]
    results = pool.map_packed('turn', pack(items), 0, None)
    assert unpack(results.get_data()) == [item[::-1] for item in items]
    assert set(located) == {(False, -1, 0)}, located
    pool.close()
    pool.join(30)


@on_each_backend
def blocks(backend):
    pool_error(Pool.Error.NOT_STARTED, Pool.Manager(backend=backend).reserve, 10)
    with running(backend) as pool:
        for content in CONTENTS:
            block = reserve(pool, content)
            result = pool.apply_block_async('conform.bytes-echo', block, None, None, None)
            assert block.get_address() == 0 == block.get_size()
            assert content_of(result.get_bytes(30)) == content
            again = pool.apply_block_async('conform.bytes-echo', block, None, None, None)
            pool_error(Pool.Error.INVALID_ARGUMENT, again.get_bytes, 30)
        empty = pool.apply_block_async('conform.bytes-echo', pool.reserve(0), None, None, None)
        assert content_of(empty.get_bytes(30)) == b''
        dropped = reserve(pool, CONTENTS[2])
    assert look(dropped.get_address(), dropped.get_size()) == CONTENTS[2]


@tap.test
def block_with_a_callback():
    got = []
    loop = GLib.MainLoop()

    def on_result(source, result):
        got.append(source.apply_block_finish(result).get_data())
        loop.quit()

    with running('fork') as pool:
        pool.apply_block_async('conform.bytes-copy', reserve(pool, CONTENTS[1]), None, None, on_result)
        guard = GLib.timeout_add_seconds(30, loop.quit)
        loop.run()
        GLib.source_remove(guard) if got else None
    assert got == [CONTENTS[1]]


@on_each_backend
def packed_map_of_a_module(backend):
    with running(backend) as pool:
        items = [struct.pack('=10I', *range(i, i + 10)) for i in range(0, 100, 10)] + [b'']
        results = unpack(pool.map_packed('primes.filter', pack(items), 2, None).get_data())
        assert len(results) == len(items)
        assert struct.unpack('=4I', results[0]) == (2, 3, 5, 7)
        assert results[9] == struct.pack('=I', 97) and results[10] == b''
        lone = pool.apply_bytes('primes.filter', items[1], None, None)
        assert struct.unpack('=4I', lone.get_data()) == (11, 13, 17, 19)


@on_each_backend
def queue(backend):
    with running(backend, target='checksum.sha256', ordered=True, queue_size=2) as pool:
        for path in FILES[:4]:
            assert pool.put(GLib.Variant('(s)', (path,)), 30)
        assert [pool.get(30).unpack() for _ in FILES[:4]] == [sha256(path) for path in FILES[:4]]
        pool_error(Pool.Error.NOTHING_PUT, pool.get, 0)


@on_each_backend
def workers_and_signals(backend):
    up = []
    pool = Pool.Manager(backend=backend, processes=2)
    pool.connect('process-up', lambda _, info: up.append(info.get_id()))
    pool.start()
    deadline = time.monotonic() + 30
    while pool.props.n_workers < 2 and time.monotonic() < deadline:
        pool.map('checksum.sha256', GLib.Variant('as', FILES), 1, None)
    workers = pool.get_workers()
    assert len(workers) == 2 == pool.props.n_workers
    if backend == 'fork':
        assert os.getpid() not in [info.get_pid() for info in workers]
    else:
        assert {info.get_pid() for info in workers} == {0}
    pool.close()
    pool.join(30)
    assert sorted(up) == sorted(info.get_id() for info in workers), up


@tap.test
def logs_and_output():
    records = []
    pool = Pool.Manager(processes=1, capture_output=True)
    assert pool.add_logger('py-log') and pool.add_logger('py-other')
    assert pool.remove_logger('py-other')
    pool_error(Pool.Error.INVALID_ARGUMENT, pool.remove_logger, 'py-other')
    pool.connect('log::py-log', lambda _, level, fields: records.append((level, fields)))
    pool.start()
    pool_error(Pool.Error.STATE, pool.add_logger, 'late')
    pool.apply('conform.log', GLib.Variant('(ssii)', ('py-log', 'fields', 7, 1)), None, None)
    result = pool.apply_async('conform.write', GLib.Variant('(ssu)', ('print', 'fail', 5)), None, None, None)
    assert result.wait(30)
    assert result.get_output().get_data() == b'out 5'
    assert result.get_error_output().get_data() == b'err 5'
    assert result.get_lost_output() == 0
    pool.close()
    pool.join(30)
    (level, fields), = records
    assert level == GLib.LogLevelFlags.LEVEL_MESSAGE, level
    assert fields['MESSAGE'] == 'record 7: größer'
    assert bytes(fields['CONFORM_BYTES']) == b'a\0b\xff\0'
    assert fields['POOL_TASK_NAME'] == 'conform.log'
    assert int(fields['POOL_TASK']) > 0


@tap.test
def floating_and_borrowed_variants():
    """A variant given to the pool still belongs to the caller"""
    with running('threads') as pool:
        arguments = GLib.Variant('(s)', (FILES[0],))
        for _ in range(1000):
            pool.apply('checksum.sha256', arguments, None, None)
        assert arguments.unpack() == (FILES[0],)


@tap.test
def no_temporary_files_are_left():
    before = set(os.listdir('/dev/shm')), set(os.listdir(tempfile.gettempdir()))
    with running('fork') as pool:
        pool.map('checksum.sha256', GLib.Variant('as', FILES), 0, None)
        during = set(os.listdir('/dev/shm')) - before[0]
    assert not during, during
    assert not [name for name in set(os.listdir(tempfile.gettempdir())) - before[1] if 'pool' in name]


tap.main()
