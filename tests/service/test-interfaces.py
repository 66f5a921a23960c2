#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""All methods, signals and properties of the service, and that what it says of itself is what data/dbus/ says."""

import pathlib
import time
import xml.etree.ElementTree as ElementTree

from servicetest import (Bus, ERROR, GLib, JOB_INTERFACE, NAME, PATH, POOL_INTERFACE, apply, main, raises, result, submit,
                         test, wait_for)

DATA = pathlib.Path(__file__).resolve().parents[2] / 'data/dbus'
INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable'
MANAGER = 'org.freedesktop.DBus.ObjectManager'
PROPERTIES = 'org.freedesktop.DBus.Properties'


def describe(interface):
    """An interface as a set that can be compared: methods, signals, properties, with their arguments and annotations."""
    found = set()
    for member in interface:
        arguments = tuple((a.get('name'), a.get('type'), a.get('direction') or ('in' if member.tag == 'method' else 'out'))
                          for a in member.findall('arg'))
        annotations = tuple(sorted((a.get('name'), a.get('value')) for a in member.findall('annotation')))
        found.add((member.tag, member.get('name'), member.get('type'), member.get('access'), arguments, annotations))
    return found


def introspect(client, path):
    return ElementTree.fromstring(client.call(path, INTROSPECTABLE, 'Introspect', GLib.Variant('()', ())))


@test
def introspection_is_the_xml_in_data():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.echo', '(s)', 'x')
        for path, name in (PATH, NAME), (pool.path, POOL_INTERFACE), (job.path, JOB_INTERFACE):
            expected = ElementTree.parse(DATA / f'{name}.xml').getroot().find('interface')
            live = introspect(client, path)
            interface = live.find(f"interface[@name='{name}']")
            assert describe(interface) == describe(expected), name
            others = {i.get('name') for i in live.findall('interface')} - {name}
            assert {'org.freedesktop.DBus.Properties', INTROSPECTABLE} <= others
            assert (MANAGER in others) == (path == PATH)


@test
def the_tree_leads_to_everything():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        path = '/'
        for name in pool.path.split('/')[1:]:
            assert name in [node.get('name') for node in introspect(client, path).findall('node')], path
            path = path.rstrip('/') + '/' + name
        raises('org.freedesktop.DBus.Error.UnknownObject', introspect, client, '/nowhere')


@test
def properties():
    with Bus() as bus, bus.connect() as client:
        service = client.service
        assert service.get('Version').count('.') == 2
        assert service.get('Limits')['client-pools'] == 16
        assert set(service.get_all()) == {'Version', 'Limits'}
        pool = client.create_pool(processes=2)
        apply(pool, 'debug.echo', '(s)', 'x')
        raises('org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code0',
               apply, pool, 'debug.raise', '(s)', 'as asked', part='as asked')
        values = pool.get_all()
        assert values['State'] == 'run' and values['Backend'] == 'fork' and not values['Persistent']
        assert (values['NDone'], values['NFailed'], values['NPending']) == (1, 1, 0)
        wait_for('both workers', lambda: pool.get('NWorkers') == 2)
        assert abs(values['CreatedAt'] / 1e6 - time.time()) < 60
        raises('org.freedesktop.DBus.Error.UnknownProperty', pool.get, 'Colour')
        raises('org.freedesktop.DBus.Error.PropertyReadOnly', pool.call, 'Set', '(ssv)', POOL_INTERFACE, 'State',
               GLib.Variant('s', 'x'), interface='org.freedesktop.DBus.Properties')


@test
def properties_that_change_are_told():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1)
        wait_for('a worker', lambda: any(s[1]['NWorkers'] == 1 for s in client.seen('PropertiesChanged', pool.path)))
        pool.Grow('(u)', 1)
        wait_for('another one', lambda: any(s[1]['NWorkers'] == 2 for s in client.seen('PropertiesChanged', pool.path)))
        pool.Close()
        wait_for('the end', lambda: any(s[1]['State'] == 'close' for s in client.seen('PropertiesChanged', pool.path)))


@test
def the_object_manager_tells_of_pools_and_jobs():
    with Bus() as bus, bus.connect() as client:
        client.listen()

        def objects():
            return client.call(PATH, MANAGER, 'GetManagedObjects', GLib.Variant('()', ()))
        assert objects() == {}
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.sleep', '(d)', 30.0)
        assert set(objects()) == {pool.path, job.path}
        assert objects()[job.path][JOB_INTERFACE]['Task'] == 'debug.sleep'
        assert client.wait_for_signal('InterfacesAdded')[0] == pool.path
        job.Release()
        pool.Terminate()
        wait_for('both to go', lambda: {s[0] for s in client.seen('InterfacesRemoved')} == {pool.path, job.path})
        assert objects() == {}
        raises('org.freedesktop.DBus.Error.UnknownObject', pool.GetWorkers)


@test
def apply_and_its_options():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        assert apply(pool, 'conform.add', '(xxx)', 1, 2, 3) == 6
        assert pool.Apply('(sva{sv})', 'conform.add', GLib.Variant('av', [GLib.Variant('x', 4), GLib.Variant('x', 5)]), {}) == 9
        raises('TimedOut', apply, pool, 'debug.sleep', '(d)', 30.0, timeout=0.1)
        raises('InvalidArgument', apply, pool, 'debug.echo', '(s)', 'x', colour='red', part='colour')
        raises('InvalidArgument', apply, pool, 'debug.echo', '(s)', 'x', timeout='soon', part='timeout')
        raises('InvalidArgument', apply, pool, 'debug.echo', '(s)', 'x', max_retries=-7)
        raises('InvalidArgument', apply, pool, 'debug.echo', '(s)', 'x', durable=True, part='ApplyAsync')
        raises('InvalidArgument', pool.Apply, '(sva{sv})', 'debug.echo', GLib.Variant('s', 'x'), {}, part='structure')
        raises('NoSuchTask', apply, pool, 'debug.nothing')
        raises('NoSuchTask', apply, pool, '../../evil.so')
        raises('WorkerLost', apply, pool, 'debug.crash', '(i)', 11, max_retries=0, part='signal 11')
        assert apply(pool, 'debug.flaky', '(i)', 1) == 2


@test
def maps():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=2)

        def call(task, items, method='Map', **options):
            return pool.call(method, '(sva{sv})', task, items,
                             {name: GLib.Variant('b' if isinstance(value, bool) else 'u', value) for name, value in options.items()})
        items = GLib.Variant('ax', range(1000))
        assert call('conform.square', items) == [i * i for i in range(1000)]
        assert call('conform.square', items, chunksize=10) == [i * i for i in range(1000)]
        assert call('conform.add', GLib.Variant('a(xx)', [(1, 2), (3, 4)]), star=True) == [3, 7]
        assert call('conform.square', GLib.Variant('ax', [])) == []
        job = client.object(call('conform.square', items, 'MapAsync'))
        assert job.get('Kind') == 'map'
        assert result(job) == [i * i for i in range(1000)]
        raises('InvalidArgument', call, 'conform.square', GLib.Variant('x', 1))
        raises('InvalidArgument', call, 'conform.square', items, packed=True)
        error = raises('org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code0', call, 'conform.even',
                       GLib.Variant('ax', [2, 3]))
        assert 'odd: 3' in error.message


@test
def jobs():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.echo', '(s)', 'x', correlation_id='mine')
        values = job.get_all()
        assert values['Pool'] == pool.path and values['Task'] == 'debug.echo' and values['Kind'] == 'apply'
        assert values['CorrelationId'] == 'mine' and values['Runs'] == 1 and not values['Durable']
        assert job.Wait('(d)', -1.0) is True
        assert job.Progress() == 1
        assert client.wait_for_signal('Completed', job.path) == (True, '', '')
        assert result(job, keep=True) == 'x'
        assert job.get('State') == 'done'
        assert result(job) == 'x'
        raises('org.freedesktop.DBus.Error.UnknownObject', result, job)

        job = submit(pool, 'debug.raise', '(s)', 'as asked')
        assert job.Wait('(d)', -1.0) is False
        success, name, message = client.wait_for_signal('Completed', job.path)
        assert not success and name.startswith('org.gtk.GDBus.UnmappedGError') and 'as asked' in message
        assert job.get('State') == 'failed'
        job.Release()

        job = submit(pool, 'debug.sleep', '(d)', 60.0)
        raises('WaitTimedOut', job.Wait, '(d)', 0.05)
        raises('WaitTimedOut', result, job, 0.0)
        assert job.get('State') == 'pending'
        assert job.Cancel() is True
        raises('Cancelled', result, job)

        job = submit(pool, 'debug.sleep', '(d)', 60.0)
        wait_for('it to run', lambda: pool.get('NRunning') == 1)
        raises('InvalidArgument', job.Terminate, '(i)', 4711)
        assert job.Terminate('(i)', 9) is True
        raises('Terminated', result, job)
        assert apply(pool, 'debug.echo', '(s)', 'goes on') == 'goes on'


@test
def a_job_that_runs_says_how_far_it_is():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1)
        job = submit(pool, 'conform.progress', '(i)', 60000)
        seen = wait_for('some progress', lambda: 0 < job.Progress() and job.Progress())
        assert seen < 1
        wait_for('more of it', lambda: job.Progress() > seen)
        assert job.Cancel() is True
        wait_for('its state to be told', lambda: any(s[1].get('State') == 'failed' for s in client.seen('PropertiesChanged', job.path)))
        mapped = client.object(pool.call('MapAsync', '(sva{sv})', 'debug.sleep', GLib.Variant('ad', [0.0, 60.0]), {}))
        wait_for('its first half', lambda: mapped.Progress() == 0.5)
        mapped.Release()


@test
def soft_time_limits():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1)
        raises('SoftTimedOut', apply, pool, 'conform.patient', '(d)', 60.0, soft_timeout=0.05)
        path, soft, limit = client.wait_for_signal('Timeout', pool.path)
        # a call that is waited for has no job
        assert (path, soft) == ('/', True) and abs(limit - 0.05) < 1e-6


@test
def put_and_get():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        raises('State', pool.Put, '(vd)', GLib.Variant('(x)', (1,)), 0.0, part='target')
        pool = client.create_pool(processes=2, target='conform.square', ordered=True, queue_size=4)
        raises('NothingPut', pool.Get, '(d)', 0.0)
        for i in range(40):
            pool.Put('(vd)', GLib.Variant('(x)', (i,)), 10.0)
        assert [pool.Get('(d)', 10.0) for _ in range(40)] == [i * i for i in range(40)]
        raises('NothingPut', pool.Get, '(d)', 0.0)

        pool = client.create_pool(processes=1, target='debug.sleep', queue_size=1)
        pool.Put('(vd)', GLib.Variant('(d)', (0.5,)), 0.0)
        raises('QueueFull', pool.Put, '(vd)', GLib.Variant('(d)', (0.5,)), 0.0)
        raises('QueueEmpty', pool.Get, '(d)', 0.0)
        raises('QueueFull', pool.Put, '(vd)', GLib.Variant('(d)', (0.5,)), 0.05)
        raises('QueueEmpty', pool.Get, '(d)', 0.05)
        pool.Put('(vd)', GLib.Variant('(d)', (0.01,)), -1.0)
        for _ in range(2):
            pool.Get('(d)', -1.0)


@test
def growing_shrinking_restarting():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, allow_restart=True)
        pool.Grow('(u)', 2)
        wait_for('three workers', lambda: len(pool.GetWorkers()) == 3)
        pool.Shrink('(u)', 2)
        wait_for('one worker', lambda: len(pool.GetWorkers()) == 1)
        before = pool.GetWorkers()[0]['pid']
        pool.Restart()
        wait_for('another worker', lambda: apply(pool, 'debug.pid') != before)
        fixed = client.create_pool(processes=1)
        raises('State', fixed.Restart)


@test
def a_closed_pool_ends_its_tasks_first():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.sleep', '(d)', 0.5)
        pool.Close()
        raises('Closed', apply, pool, 'debug.echo', '(s)', 'x')
        wait_for('the pool to go', lambda: (pool.path, [POOL_INTERFACE]) in client.seen('InterfacesRemoved'))
        assert job.Wait('(d)', 0.0) is True


@test
def signals_of_workers_and_tasks():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1, loggers=GLib.Variant('as', ['conform']))
        up, = client.wait_for_signal('ProcessUp', pool.path)
        assert up['pid'] > 0 and 'reason' not in up
        job = submit(pool, 'debug.flaky', '(i)', 1)
        assert client.wait_for_signal('TaskRetried', pool.path)[0] == job.path
        down, = client.wait_for_signal('ProcessDown', pool.path)
        assert (down['pid'], down['signal'], down['reason']) == (up['pid'], 9, 'crashed')
        assert client.wait_for_signal('ProcessExit', pool.path)[0]['pid'] == up['pid']
        assert result(job) == 2
        slow = submit(pool, 'debug.sleep', '(d)', 60.0, timeout=0.1)
        path, soft, limit = client.wait_for_signal('Timeout', pool.path)
        assert path == slow.path and not soft and abs(limit - 0.1) < 1e-6


@test
def log_records_of_workers():
    with Bus() as bus, bus.connect() as client:
        client.listen()
        pool = client.create_pool(processes=1, loggers=GLib.Variant('as', ['conform-a']))
        apply(pool, 'conform.log', '(ssii)', 'conform-a', 'warning', 1, 1)
        level, fields = client.wait_for_signal('Log', pool.path)
        assert level > 0 and fields['MESSAGE'].startswith('warning 1'), fields


@test
def options_of_pools():
    with Bus() as bus, bus.connect() as client:
        raises('NoSuchBackend', client.create_pool, 'threads')
        raises('NoSuchBackend', client.create_pool, '../evil')
        raises('InvalidArgument', client.create_pool, colour='red', part='colour')
        raises('InvalidArgument', client.create_pool, processes=0)
        raises('InvalidArgument', client.create_pool, processes='many', part='processes')
        raises('InvalidArgument', client.create_pool, sandbox='loose', part='sandbox')
        raises('InvalidArgument', client.create_pool, start_method='fork', part='start-method')
        raises('InvalidArgument', client.create_pool, timeout=float('inf'))
        raises('NoSuchTask', client.create_pool, target='debug.nothing')
        pool = client.create_pool(processes=1, static_args=GLib.Variant('(x)', (100,)))
        assert apply(pool, 'conform.add', '(x)', 1) == 101
        pool = client.create_pool(processes=1, initializer='conform.initialize', initargs=GLib.Variant('(i)', (7,)))
        assert apply(pool, 'conform.initialized') == 7
        pool = client.create_pool(processes=1, timeout=0.1)
        raises('TimedOut', apply, pool, 'debug.sleep', '(d)', 30.0)


@test
def wrong_calls():
    unknown = 'org.freedesktop.DBus.Error.Unknown'
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.CreatePool, '(s)', 'fork')
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.ListTasks, '(s)', 'x')
        raises('org.freedesktop.DBus.Error.InvalidArgs', pool.Grow, '(i)', 1)
        raises(unknown + 'Method', pool.Explode)
        raises(unknown + 'Interface', pool.call, 'Apply', interface='org.example.Other')
        raises(unknown + 'Interface', client.call, PATH, POOL_INTERFACE, 'GetWorkers', GLib.Variant('()', ()))
        raises(unknown + 'Object', client.call, PATH + '/pool/1', POOL_INTERFACE, 'GetWorkers', GLib.Variant('()', ()))
        raises(unknown + 'Object', client.call, '/', NAME, 'ListTasks', GLib.Variant('()', ()))
        raises(unknown + 'Interface', client.call, pool.path, MANAGER, 'GetManagedObjects', GLib.Variant('()', ()))
        # a number has one spelling, and what is below an object is none
        number = pool.path.rsplit('/', 1)[1]
        for name in ('pool/0' + number, 'pool/x', f'pool/{number}/x', 'pool/' + '9' * 30, 'pool', 'job/' + number, 'pool/_' + number):
            raises(unknown + 'Object', client.call, f'{PATH}/{name}', POOL_INTERFACE, 'GetWorkers', GLib.Variant('()', ()))
        job = submit(pool, 'debug.echo', '(s)', 'x')
        raises('org.freedesktop.DBus.Error.InvalidArgs', job.Wait, '(i)', 1)
        raises('org.freedesktop.DBus.Error.InvalidArgs', job.Result, '(d)', 0.0)
        raises(unknown + 'Interface', client.call, job.path, POOL_INTERFACE, 'GetWorkers', GLib.Variant('()', ()))
        raises('org.freedesktop.DBus.Error.InvalidArgs', pool.call, 'Get', '(s)', 'State', interface=PROPERTIES)
        raises(unknown + 'Property', pool.call, 'Get', '(ss)', 'org.example.Other', 'State', interface=PROPERTIES)
        raises('org.freedesktop.DBus.Error.InvalidArgs', pool.call, 'Introspect', '(s)', 'x', interface=INTROSPECTABLE)
        # without an interface, as the specification allows
        assert client.call(PATH, None, 'ListBackends', GLib.Variant('()', ()))
        raises(unknown + 'Method', client.call, PATH, None, 'Explode', GLib.Variant('()', ()))
        assert apply(pool, 'debug.echo', '(s)', 'still there') == 'still there'
        assert ERROR


if __name__ == '__main__':
    main()
