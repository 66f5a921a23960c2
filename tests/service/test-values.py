#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Values of all types and sizes: in messages and in sealed memfds, both ways."""

import fcntl
import os
import resource
import pathlib

from servicetest import (ADD_SEALS, Bus, Gio, GLib, POOL_INTERFACE, NAME, Skip, apply, call_with_memfd, main, make_memfd,
                         raises, read_memfd, result, submit, test, wait_for)


def raw(pool, task, arguments, method='Apply', **options):
    """The value of the reply as it came: a variant, or a handle and its list of descriptors."""
    reply, fds = pool.client.connection.call_with_unix_fd_list_sync(
        NAME, pool.path, POOL_INTERFACE, method,
        GLib.Variant('(sva{sv})', (task, arguments, {k: GLib.Variant('b', v) for k, v in options.items()})),
        None, Gio.DBusCallFlags.NONE, 60000, None, None)
    return reply.get_child_value(0).get_variant(), fds


def open_files(pid):
    return len(list(pathlib.Path(f'/proc/{pid}/fd').iterdir()))


@test
def values_of_all_types():
    texts = ('(true,)', "(byte 0x2a, int16 -3, uint16 3, -4, uint32 4, int64 -5, uint64 5, 0.5, 'text', objectpath '/a', "
             "signature 'a{sv}')", "([1, 2, 3], ['a', 'b'], {'a': <1>, 'b': <'x'>}, [true, false], @ad [0.5], (1, ('x', [(1, 2)])))",
             '(@as [], @a{sv} {}, @ay [])', "(<<<'deep'>>>,)", "({1: 'one'}, [{'a': 1}])")
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        for text in texts:
            value = GLib.Variant.parse(None, text, None, None)
            back, fds = raw(pool, 'conform.echo', value)
            assert back.print_(True) == value.print_(True) and fds is None, (text, back)


@test
def what_a_message_cannot_hold_comes_in_a_memfd():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        for text in ('(@mi 5,)', "((),)", '(@mas nothing, [<@mi 5>])'):
            value = GLib.Variant.parse(None, text, None, None)
            fd = make_memfd(value)
            reply, fds = client.connection.call_with_unix_fd_list_sync(
                NAME, pool.path, POOL_INTERFACE, 'Apply', GLib.Variant('(sva{sv})', ('conform.echo', GLib.Variant('h', 0), {})),
                None, Gio.DBusCallFlags.NONE, 60000, Gio.UnixFDList.new_from_array([fd]), None)
            assert reply.get_child_value(0).get_variant().get_type_string() == 'h'
            assert read_memfd(fds.get(0)).print_(True) == value.print_(True)
        # the depth that GVariant has and D-Bus has not
        deep = GLib.Variant('i', 1)
        for _ in range(50):
            deep = GLib.Variant('v', deep)
        fd = make_memfd(GLib.Variant.new_tuple(deep))
        reply, fds = client.connection.call_with_unix_fd_list_sync(
            NAME, pool.path, POOL_INTERFACE, 'Apply', GLib.Variant('(sva{sv})', ('conform.echo', GLib.Variant('h', 0), {})),
            None, Gio.DBusCallFlags.NONE, 60000, Gio.UnixFDList.new_from_array([fd]), None)
        assert reply.get_child_value(0).get_variant().get_type_string() == 'h'


@test
def large_values_travel_as_memfds():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        small, fds = raw(pool, 'debug.bytes', GLib.Variant('(x)', (60000,)))
        assert small.get_type_string() == 'ay' and fds is None
        large, fds = raw(pool, 'debug.bytes', GLib.Variant('(x)', (70000,)))
        assert large.get_type_string() == 'h' and fds.get_length() == 1
        inline, fds = raw(pool, 'debug.bytes', GLib.Variant('(x)', (70000,)), inline=True)
        assert inline.get_type_string() == 'ay' and inline.n_children() == 70000
        data = os.urandom(3000000)
        value = GLib.Variant.new_tuple(GLib.Variant.new_from_bytes(GLib.VariantType('ay'), GLib.Bytes.new(data), True))
        assert call_with_memfd(pool, 'Apply', 'debug.echo', value) == data
        job = client.object(call_with_memfd(pool, 'ApplyAsync', 'debug.echo', value))
        assert result(job) == data
        # in the message itself, which a client may do as well
        assert bytes(pool.Apply('(sva{sv})', 'debug.echo', value, {'inline': GLib.Variant('b', True)})) == data


@test
def a_map_of_a_million_items():
    n = 1000000
    items = GLib.Variant.new_from_bytes(GLib.VariantType('ax'), GLib.Bytes.new(
        b''.join(i.to_bytes(8, 'little') for i in range(n))), True)
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=2)
        fd = make_memfd(items)
        path = pool.call('MapAsync', '(sva{sv})', 'conform.square', GLib.Variant('h', 0), {},
                         fds=Gio.UnixFDList.new_from_array([fd]))
        reply, fds = client.connection.call_with_unix_fd_list_sync(
            NAME, path, NAME + '.Job', 'Result', GLib.Variant('(da{sv})', (-1.0, {})), None, Gio.DBusCallFlags.NONE, 60000,
            None, None)
        value = read_memfd(fds.get(0))
        assert value.get_type_string() == 'av' and value.n_children() == n
        for i in (0, 1, 12345, n - 1):
            assert value.get_child_value(i).get_variant().get_int64() == i * i


@test
def handles_that_are_none():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        value = GLib.Variant('(s)', ('x',))
        raises('InvalidArgument', call_with_memfd, pool, 'Apply', 'debug.echo', value, seals=0, part='seals')
        raises('InvalidArgument', call_with_memfd, pool, 'Apply', 'debug.echo', value, seals=fcntl.F_SEAL_WRITE
               if hasattr(fcntl, 'F_SEAL_WRITE') else 8)

        def send(fd):
            return pool.call('Apply', '(sva{sv})', 'debug.echo', GLib.Variant('h', 0), {},
                             fds=Gio.UnixFDList.new_from_array([fd]))
        raises('InvalidArgument', send, os.open('/etc/passwd', os.O_RDONLY))
        raises('InvalidArgument', send, os.pipe()[0])
        for data in b'', b'x', b'garbage', b'\0(s', b'\0zz', b'abc\0s', b'\xff\0s', b'\0' * 100 + b'v', b'\0' + b'a' * 5000 + b'y':
            fd = os.memfd_create('value', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.write(fd, data)
            fcntl.fcntl(fd, ADD_SEALS, 2 | 4 | 8)
            try:
                send(fd)
                raise AssertionError(f'{data!r} is a value')
            except Exception as error:
                assert getattr(error, 'name', None) in ('InvalidArgument', 'Protocol'), error
        assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
        raises('InvalidArgument', pool.call, 'Map', '(sva{sv})', 'conform.square', GLib.Variant('h', 0), {},
               fds=Gio.UnixFDList.new_from_array([make_memfd(value)]))


@test
def a_gibibyte():
    size = 1 << 30
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES')
    if memory < 3.5 * size:
        raise Skip(f'there is memory for {memory >> 20} MiB, and this needs 3.5 GiB')
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.bytes', '(x)', size)
        assert job.Wait('(d)', 240.0, seconds=250) is True
        reply, fds = client.connection.call_with_unix_fd_list_sync(
            NAME, job.path, NAME + '.Job', 'Result', GLib.Variant('(da{sv})', (-1.0, {})), None, Gio.DBusCallFlags.NONE, 200000,
            None, None)
        fd = fds.get(0)
        # data, a zero byte, the type
        assert os.fstat(fd).st_size == size + 3 and os.pread(fd, 3, size) == b'\0ay'
        os.close(fd)


@test
def no_descriptor_is_left():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        value = GLib.Variant('(s)', ('x' * 100000,))
        call_with_memfd(pool, 'Apply', 'debug.echo', value)
        seen = []
        # some are made when they are first needed
        for n in 20, 200:
            for _ in range(n):
                call_with_memfd(pool, 'Apply', 'debug.echo', value)
                raises('InvalidArgument', call_with_memfd, pool, 'Apply', 'debug.echo', value, seals=0)
            seen.append(open_files(bus.pid()))
        assert seen[1] <= seen[0] + 2, seen


@test
def descriptors_that_no_value_names_are_closed():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)

        def send(fds, handle):
            return pool.call('Apply', '(sva{sv})', 'debug.echo', GLib.Variant('h', handle), {}, fds=fds)
        before = None
        for _ in range(30):
            fds = Gio.UnixFDList.new_from_array([make_memfd(GLib.Variant('(s)', (str(i),))) for i in range(10)])
            assert send(fds, 7) == '7'
            try:
                send(fds, 10)
                raise AssertionError('there is an eleventh')
            except Exception as error:
                assert getattr(error, 'name', None) in ('InvalidArgument', 'org.freedesktop.DBus.Error.InvalidArgs'), error
            # the first time some are made that stay
            before = before or open_files(bus.pid())
        # the answer may be there before those of its call are closed
        wait_for(f'the {before} files there were', lambda: open_files(bus.pid()) <= before + 2)


@test
def when_there_are_no_more_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        apply(pool, 'debug.echo', '(s)', 'x')
        pid = bus.pid()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 1, hard))
        for _ in range(3):
            try:
                apply(pool, 'debug.bytes', '(x)', 100000)
            except Exception as error:
                assert getattr(error, 'name', '') in (
                    'Backend', 'OutOfMemory', 'Encoding', 'org.freedesktop.DBus.Error.LimitsExceeded'), error
            try:
                client.create_pool(processes=1)
            except Exception as error:
                assert getattr(error, 'name', ''), error
        # what needs none goes on
        assert apply(pool, 'debug.echo', '(s)', 'y') == 'y'
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert len(apply(pool, 'debug.bytes', '(x)', 100000)) == 100000
        wait_for('a pool', lambda: client.create_pool(processes=1))
        assert bus.pid() == pid


if __name__ == '__main__':
    main()
