#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service as others see it than Gio, by which the other tests call it: dbus-python and dbus-send (libdbus), busctl (sd-bus), gdbus."""

import contextlib
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

from servicetest import (Bus, ERROR, GLib, JOB_INTERFACE, NAME, PATH, POOL_INTERFACE, Skip, apply, iterate, main, make_memfd,
                         read_memfd, submit, test, wait_for)

try:
    import dbus
    import dbus.bus
    import dbus.mainloop.glib
except ImportError:
    dbus = None

UNKNOWN = 'org.freedesktop.DBus.Error.Unknown'


class Connection:
    """One of dbus-python."""

    def __init__(self, bus):
        if dbus is None:
            raise Skip('there is no dbus-python')
        self.bus = dbus.bus.BusConnection(bus.address, mainloop=dbus.mainloop.glib.DBusGMainLoop())
        self.bus.set_exit_on_disconnect(False)
        self.service = self.interface(PATH, NAME)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bus.close()

    def interface(self, path, name):
        return dbus.Interface(self.bus.get_object(NAME, path, introspect=False, follow_name_owner_changes=True), name)

    def create_pool(self, **options):
        path = self.service.CreatePool('fork', dbus.Dictionary(options, signature='sv'), signature='sa{sv}')
        return self.interface(path, POOL_INTERFACE)

    def job(self, path):
        return self.interface(path, JOB_INTERFACE)


def call(pool, method, task, *values, **options):
    """With arguments as a structure, or with a file descriptor that holds them."""
    arguments = values[0] if isinstance(values[0], dbus.types.UnixFd) else dbus.Struct(values, variant_level=1)
    return pool.get_dbus_method(method)(task, arguments, dbus.Dictionary(options, signature='sv'), signature='sva{sv}')


def failure(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except dbus.DBusException as error:
        return error.get_dbus_name()
    raise AssertionError('no error')


@test
def dbus_python_has_tasks_run():
    with Bus() as bus, Connection(bus) as client:
        assert [str(name) for name, _ in client.service.ListBackends()] == ['fork']
        assert 'debug.echo' in dict(client.service.ListTasks())
        pool = client.create_pool(processes=dbus.Int32(2), **{'max-retries': dbus.UInt32(1)})
        assert call(pool, 'Apply', 'debug.echo', 'hello') == 'hello'
        assert call(pool, 'Apply', 'conform.add', dbus.Int64(1), dbus.Int64(2)) == 3
        echoed = call(pool, 'Apply', 'debug.echo', dbus.Dictionary({'a': dbus.Array([1, 2], signature='x', variant_level=1)},
                                                                   signature='sv'))
        assert echoed == {'a': [1, 2]}, echoed
        items = dbus.Array(range(100), signature='x', variant_level=1)
        assert list(pool.Map('conform.square', items, {}, signature='sva{sv}')) == [i * i for i in range(100)]
        pool.Grow(dbus.UInt32(1))
        wait_for('three workers', lambda: len(pool.GetWorkers()) == 3)
        pool.Shrink(dbus.UInt32(2))
        wait_for('one worker', lambda: len(pool.GetWorkers()) == 1)
        properties = dbus.Interface(pool.proxy_object, dbus.PROPERTIES_IFACE)
        assert properties.Get(POOL_INTERFACE, 'NDone') == 103
        assert properties.GetAll(POOL_INTERFACE)['State'] == 'run'
        pool.Close()


@test
def dbus_python_has_jobs_and_hears_of_them():
    with Bus() as bus, Connection(bus) as client:
        seen = []

        def on_signal(*values, member, path):
            seen.append((str(member), str(path), values))
        client.bus.add_signal_receiver(on_signal, bus_name=NAME, member_keyword='member', path_keyword='path')

        def wait_for_signal(member, path, first=None):
            def find():
                iterate()
                return [values for name, where, values in seen if (name, where) == (member, path) and first in (None, values[0])]
            return wait_for(f'the signal {member}', find)[0]
        pool = client.create_pool(processes=dbus.Int32(1))
        assert wait_for_signal('ProcessUp', pool.object_path)[0]['pid'] > 0
        job = client.job(call(pool, 'ApplyAsync', 'debug.echo', 'x', **{'correlation-id': 'mine'}))
        assert job.Wait(-1.0) == 1 and job.Progress() == 1
        assert wait_for_signal('Completed', job.object_path) == (True, '', '')
        assert job.Result(0.0, dbus.Dictionary(signature='sv')) == 'x'
        assert failure(job.Result, 0.0, dbus.Dictionary(signature='sv')) == UNKNOWN + 'Object'
        slow = client.job(call(pool, 'ApplyAsync', 'debug.sleep', 60.0))
        assert failure(slow.Wait, 0.0) == ERROR + 'WaitTimedOut'
        assert slow.Cancel() == 1
        assert failure(slow.Result, -1.0, dbus.Dictionary(signature='sv')) == ERROR + 'Cancelled'
        manager = client.interface(PATH, 'org.freedesktop.DBus.ObjectManager')
        pool.Terminate()
        assert wait_for_signal('InterfacesRemoved', PATH, slow.object_path)[1] == [JOB_INTERFACE]
        wait_for('the pool to go', lambda: not manager.GetManagedObjects())


@test
def dbus_python_sends_and_gets_memfds():
    data = os.urandom(300000)
    value = GLib.Variant.new_tuple(GLib.Variant.new_from_bytes(GLib.VariantType('ay'), GLib.Bytes.new(data), True))
    with Bus() as bus, Connection(bus) as client:
        pool = client.create_pool(processes=dbus.Int32(1))
        fd = make_memfd(value)
        back = call(pool, 'Apply', 'debug.echo', dbus.types.UnixFd(fd, variant_level=1))
        job = client.job(call(pool, 'ApplyAsync', 'debug.echo', dbus.types.UnixFd(fd, variant_level=1)))
        os.close(fd)
        for descriptor in back, job.Result(-1.0, dbus.Dictionary(signature='sv')):
            assert read_memfd(descriptor.take()).get_data_as_bytes().get_data() == data
        unsealed = make_memfd(value, seals=0)
        assert failure(call, pool, 'Apply', 'debug.echo', dbus.types.UnixFd(unsealed, variant_level=1)) == ERROR + 'InvalidArgument'
        os.close(unsealed)


@test
def dbus_python_finds_its_durable_job_again():
    with Bus() as bus, Connection(bus) as client:
        pool = client.create_pool(processes=dbus.Int32(1))
        job = client.job(call(pool, 'ApplyAsync', 'debug.echo', 'kept', durable=True))
        bus.kill()
        assert job.Wait(-1.0) == 1
        assert job.Result(0.0, dbus.Dictionary(signature='sv')) == 'kept'
        pool.Terminate()


@test
def dbus_python_is_told_what_is_wrong():
    with Bus() as bus, Connection(bus) as client, Connection(bus) as other:
        pool = client.create_pool(processes=dbus.Int32(1))
        invalid = 'org.freedesktop.DBus.Error.InvalidArgs'

        def say(path, interface, method, signature, *values, who=client):
            return failure(who.bus.call_blocking, NAME, path, interface, method, signature, values)
        assert say(PATH, NAME, 'CreatePool', 's', 'fork') == invalid
        assert say(PATH, NAME, 'CreatePool', 'sa{ss}', 'fork', dbus.Dictionary(signature='ss')) == invalid
        assert say(pool.object_path, POOL_INTERFACE, 'Apply', 'ssa{sv}', 'debug.echo', 'x', dbus.Dictionary(signature='sv')) == invalid
        assert say(pool.object_path, POOL_INTERFACE, 'Grow', 'i', 1) == invalid
        assert say(pool.object_path, POOL_INTERFACE, 'Grow', '') == invalid
        assert say(pool.object_path, POOL_INTERFACE, 'Explode', '') == UNKNOWN + 'Method'
        assert say(pool.object_path, NAME, 'ListTasks', '') == UNKNOWN + 'Interface'
        assert say(pool.object_path + '/x', POOL_INTERFACE, 'GetWorkers', '') == UNKNOWN + 'Object'
        # those of another client are as if they were not there
        assert say(pool.object_path, POOL_INTERFACE, 'GetWorkers', '', who=other) == UNKNOWN + 'Object'
        assert failure(call, pool, 'Apply', 'debug.nothing', 'x') == ERROR + 'NoSuchTask'
        assert failure(call, pool, 'Apply', 'exec.shell', 'id') == ERROR + 'NotAllowed'
        assert call(pool, 'Apply', 'debug.echo', 'still there') == 'still there'


def run(bus, *words, status=0):
    if not shutil.which(words[0]):
        raise Skip(f'there is no {words[0]}')
    done = subprocess.run(words, env=dict(bus.environment, LC_ALL='C.UTF-8'), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)
    assert done.returncode == status, (words, done)
    return done.stdout if status == 0 else done.stderr


@test
def busctl_sees_and_calls_everything():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)
        job = submit(pool, 'debug.sleep', '(d)', 60.0, durable=True)

        def busctl(*words, status=0):
            return run(bus, 'busctl', f'--address={bus.address}', *words, status=status)
        tree = busctl('--list', 'tree', NAME).split()
        assert {PATH, pool.path, job.path} <= set(tree), tree
        for path, interface, member in (PATH, NAME, 'CreatePool'), (pool.path, POOL_INTERFACE, 'Apply'), (job.path, JOB_INTERFACE, 'Wait'):
            lines = busctl('introspect', NAME, path, interface).splitlines()
            assert [line for line in lines if line.startswith(f'.{member} ') and ' method ' in line], lines
        made = json.loads(busctl('--json=short', 'call', NAME, PATH, NAME, 'CreatePool', 'sa{sv}', 'fork', '2', 'processes', 'i', '1',
                                 'persistent', 'b', 'true'))
        assert made['type'] == 'o', made
        other = made['data'][0]
        assert busctl('call', NAME, other, POOL_INTERFACE, 'Apply', 'sva{sv}', 'conform.add', '(xx)', '3', '4', '0') == 'v x 7\n'
        assert busctl('call', NAME, other, POOL_INTERFACE, 'Map', 'sva{sv}', 'conform.square', 'ax', '3', '1', '2', '3', '0') == \
            'v av 3 x 1 x 4 x 9\n'
        assert busctl('get-property', NAME, other, POOL_INTERFACE, 'State', 'NDone') == 's "run"\nt 4\n'
        error = busctl('set-property', NAME, other, POOL_INTERFACE, 'State', 's', 'x', status=1)
        assert 'cannot be set' in error, error
        assert busctl('call', NAME, job.path, JOB_INTERFACE, 'Cancel') == 'b true\n'
        for path, method, signature, values, part in ((other, 'Grow', 's', ['x'], 'Grow takes'), (other, 'Explode', '', [], 'Explode'),
                                                      (PATH + '/nowhere', 'GetWorkers', '', [], 'nowhere')):
            error = busctl('call', NAME, path, POOL_INTERFACE, method, signature, *values, status=1)
            assert part in error, error
        for path in other, pool.path:
            busctl('call', NAME, path, POOL_INTERFACE, 'Terminate')


@test
def gdbus_sees_what_there_is():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)
        text = run(bus, 'gdbus', 'introspect', '--address', bus.address, '--dest', NAME, '--object-path', pool.path, '--xml')
        assert POOL_INTERFACE in [i.get('name') for i in ElementTree.fromstring(text).findall('interface')]
        error = run(bus, 'gdbus', 'call', '--address', bus.address, '--dest', NAME, '--object-path', pool.path, '--method',
                    POOL_INTERFACE + '.Grow', '0x1', '2', status=1)
        assert 'Grow' in error or 'argument' in error, error
        pool.Terminate()


@test
def dbus_send_is_answered():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)

        def send(path, method, *words, status=0):
            return run(bus, 'dbus-send', f'--bus={bus.address}', '--print-reply=literal', f'--dest={NAME}', path, method, *words,
                       status=status)
        assert 'checksum.sha256' in send(PATH, NAME + '.ListTasks')
        send(pool.path, POOL_INTERFACE + '.Grow', 'uint32:1')
        assert 'uint32 2' in send(pool.path, 'org.freedesktop.DBus.Properties.Get', f'string:{POOL_INTERFACE}', 'string:NWanted')
        assert UNKNOWN + 'Method' in send(pool.path, POOL_INTERFACE + '.Explode', status=1)
        assert 'InvalidArgs' in send(pool.path, POOL_INTERFACE + '.Grow', 'string:x', status=1)
        send(pool.path, POOL_INTERFACE + '.Terminate')


@test
def all_of_them_at_once():
    """A pool that each kind of client uses while the others do."""
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(Bus())
        client = stack.enter_context(bus.connect())
        other = stack.enter_context(Connection(bus))
        if not shutil.which('busctl'):
            raise Skip('there is no busctl')
        pool = client.create_pool(processes=2, persistent=True)
        theirs = other.interface(pool.path, POOL_INTERFACE)
        tools = [subprocess.Popen(['busctl', f'--address={bus.address}', 'call', NAME, pool.path, POOL_INTERFACE, 'Apply', 'sva{sv}',
                                   'conform.square', '(x)', str(i), '0'], stdout=subprocess.PIPE) for i in range(10)]
        jobs = [other.job(call(theirs, 'ApplyAsync', 'conform.square', dbus.Int64(i))) for i in range(100)]
        assert [apply(pool, 'conform.square', '(x)', i) for i in range(100)] == [i * i for i in range(100)]
        assert [job.Result(-1.0, dbus.Dictionary(signature='sv')) for job in jobs] == [i * i for i in range(100)]
        assert [tool.communicate(timeout=60)[0] for tool in tools] == [b'v x %d\n' % (i * i) for i in range(10)]
        assert pool.get('NDone') == 210
        pool.Terminate()


if __name__ == '__main__':
    main()
