#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whose is what: clients and users see only their own, pools end with their clients, and nobody gets more than there is for one."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

from servicetest import (Bus, GLib, ON_BROKER, PATH, POOL_INTERFACE, Skip, apply, as_somebody, is_alive, main, raises,
                         result, submit, test, wait_for)

MANAGER = 'org.freedesktop.DBus.ObjectManager'
UNKNOWN = 'org.freedesktop.DBus.Error.UnknownObject'
NO_START = 'org.freedesktop.DBus.Error.' + ('ServiceUnknown' if ON_BROKER else 'Spawn.ChildExited')


def objects(client):
    return client.call(PATH, MANAGER, 'GetManagedObjects', GLib.Variant('()', ()))


def workers(pool):
    apply(pool, 'debug.echo', '(s)', 'x')
    return [worker['pid'] for worker in pool.GetWorkers()]


@test
def clients_do_not_see_each_other():
    with Bus() as bus, bus.connect() as one, bus.connect() as other:
        other.listen()
        pool = one.create_pool(processes=1)
        job = submit(pool, 'debug.sleep', '(d)', 60.0)
        assert set(objects(one)) == {pool.path, job.path}
        assert objects(other) == {}
        raises(UNKNOWN, other.object(pool.path).GetWorkers)
        raises(UNKNOWN, apply, other.object(pool.path), 'debug.echo', '(s)', 'x')
        raises(UNKNOWN, other.object(pool.path).get_all)
        raises(UNKNOWN, other.object(pool.path).Terminate)
        raises(UNKNOWN, other.object(job.path).Cancel)
        raises(UNKNOWN, result, other.object(job.path))
        raises(UNKNOWN, other.call, pool.path, 'org.freedesktop.DBus.Introspectable', 'Introspect', GLib.Variant('()', ()))
        job.Cancel()
        assert job.Wait('(d)', 10.0) is False
        time.sleep(0.1)
        assert [s for s in other.signals if s[1] != 'org.freedesktop.DBus'] == []


@test
def a_pool_ends_with_its_client():
    with Bus() as bus, bus.connect() as one, bus.connect() as other:
        pool = one.create_pool(processes=2)
        pids = workers(pool)
        submit(pool, 'debug.sleep', '(d)', 60.0)
        kept = other.create_pool(processes=1)
        one.close()
        wait_for('the workers to go', lambda: not any(map(is_alive, pids)))
        assert apply(kept, 'debug.echo', '(s)', 'mine stays') == 'mine stays'


@test
def a_client_that_is_killed_in_the_middle_leaves_nothing():
    script = '''
import os, signal, sys
from servicetest import Client, GLib, apply, submit
class Bus: address = sys.argv[3]
client = Client(Bus)
pool = client.create_pool(processes=2)
jobs = [submit(pool, 'debug.sleep', '(d)', 60.0) for _ in range(10)]
print(' '.join(str(worker['pid']) for worker in pool.GetWorkers()), flush=True)
client.begin(pool.path, 'org.libpool.Service1.Pool', 'Apply', GLib.Variant('(sva{sv})', ('debug.sleep',
             GLib.Variant('(d)', (60.0,)), {})), print)
client.connection.flush_sync(None)
os.kill(os.getpid(), signal.SIGKILL)
'''
    with Bus() as bus, bus.connect() as client:
        limits = client.service.get('Limits')
        for _ in range(int(limits['client-pools']) // 8):
            child = subprocess.run([sys.executable, '-c', script, sys.argv[1], sys.argv[2], bus.address],
                                   stdout=subprocess.PIPE, timeout=60,
                                   env=dict(os.environ, PYTHONPATH=os.environ['PYTHONPATH'] + ':' + os.path.dirname(__file__)))
            assert child.returncode == -9
            wait_for('the workers to go', lambda: not any(map(is_alive, map(int, child.stdout.split()))))


@test
def a_persistent_pool_stays_for_its_user():
    with Bus() as bus:
        with bus.connect() as one:
            pool = one.create_pool(processes=1, persistent=True)
            assert pool.get('Persistent') is True
            pids = workers(pool)
        with bus.connect() as other:
            assert list(objects(other)) == [pool.path]
            mine = other.object(pool.path)
            assert workers(mine) == pids
            other.listen()
            mine.Terminate()
            wait_for('it to go', lambda: (pool.path, [POOL_INTERFACE]) in other.seen('InterfacesRemoved'))
            assert objects(other) == {}


@test
def a_persistent_pool_outlives_the_service():
    with Bus() as bus, bus.connect() as client:
        # as soon as its path is known, however soon the service dies after that
        for _ in range(5):
            pool = client.create_pool(processes=1, persistent=True, static_args=GLib.Variant('(x)', (100,)))
            first = bus.pid()
            bus.kill()
            assert apply(pool, 'conform.add', '(x)', 1) == 101
            assert bus.pid() != first
            pool.Close()


@test
def users_do_not_see_each_other():
    if os.geteuid() != 0:
        raise Skip('only root can be two users')
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)
        found = as_somebody(bus, f'''
    seen = client.call(PATH, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects', GLib.Variant('()', ()))
    error = raises('{UNKNOWN}', client.object('{pool.path}').GetWorkers)
    mine = client.create_pool(processes=1, persistent=True)
    return [list(seen), error.name, mine.path]
''')
        assert found[:2] == [[], UNKNOWN]
        assert list(objects(client)) == [pool.path]
        raises(UNKNOWN, client.object(found[2]).Terminate)
        as_somebody(bus, f'    client.object({found[2]!r}).Terminate()')
        pool.Terminate()


@test
def limits_of_a_client():
    with Bus('[Client]\nMaxPools=3\nMaxWorkers=5\nMaxTasks=4\nMaxBytes=100000\n') as bus, bus.connect() as client:
        raises('LimitExceeded', client.create_pool, processes=6, part='5 workers')
        pools = [client.create_pool(processes=1) for _ in range(3)]
        raises('LimitExceeded', client.create_pool, processes=1, part='3 pools')
        raises('LimitExceeded', pools[0].Grow, '(u)', 3)
        pools[0].Grow('(u)', 2)
        raises('LimitExceeded', pools[1].Grow, '(u)', 1)
        jobs = [submit(pools[0], 'debug.sleep', '(d)', 60.0) for _ in range(4)]
        raises('LimitExceeded', submit, pools[0], 'debug.echo', '(s)', 'x', part='4 tasks')
        raises('LimitExceeded', apply, pools[0], 'debug.echo', '(s)', 'x')
        for job in jobs:
            job.Release()
        wait_for('room', lambda: pools[0].get('NPending') == 0)
        raises('LimitExceeded', apply, pools[0], 'debug.echo', '(ay)', b'x' * 100001, part='bytes')
        # a result that was not fetched takes room, too
        job = submit(pools[0], 'debug.bytes', '(x)', 200000)
        job.Wait('(d)', 10.0)
        raises('LimitExceeded', apply, pools[0], 'debug.echo', '(s)', 'x', part='bytes')
        assert len(result(job)) == 200000
        assert apply(pools[0], 'debug.echo', '(s)', 'x') == 'x'
        # what is given back can be had again
        for pool in pools:
            pool.Terminate()
        wait_for('the pools to go', lambda: objects(client) == {})
        client.create_pool(processes=5)


@test
def limits_of_a_user():
    with Bus('[User]\nMaxPools=2\n') as bus, bus.connect() as one, bus.connect() as other:
        one.create_pool(processes=1)
        kept = other.create_pool(processes=1, persistent=True)
        raises('LimitExceeded', other.create_pool, processes=1, part='user')
        one.close()
        wait_for('room', lambda: len(objects(other)) == 1)

        def try_again():
            with contextlib.suppress(Exception):
                return other.create_pool(processes=1)
        assert wait_for('a pool', try_again)
        kept.Terminate()


@test
def a_hundred_thousand_pools():
    with Bus() as bus, bus.connect() as client:
        failures = []
        made = []
        # on the second bus it is not asked again whether so many are too many
        n = 10000 if ON_BROKER else 100000

        def done(outcome):
            (failures if isinstance(outcome, Exception) else made).append(outcome)
        for i in range(n):
            client.begin(PATH, 'org.libpool.Service1', 'CreatePool',
                         GLib.Variant('(sa{sv})', ('fork', {'processes': GLib.Variant('i', 1)})), done)
            while i - len(failures) - len(made) > 500:
                GLib.MainContext.default().iteration(True)
        while len(failures) + len(made) < n:
            GLib.MainContext.default().iteration(True)
        assert len(made) == 16 and {error.name for error in failures} == {'LimitExceeded'}
        assert apply(client.object(made[0][0]), 'debug.echo', '(s)', 'x') == 'x'


@test
def commands_are_not_run_unless_allowed():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        raises('NotAllowed', apply, pool, 'exec.shell', '(s)', 'id')
        raises('NotAllowed', submit, pool, 'exec.run', '(as)', ['id'])
        raises('NotAllowed', client.create_pool, target='exec.shell')
        raises('NotAllowed', client.create_pool, initializer='exec.shell')
    with Bus('[Service]\nAllowExec=true\n') as bus, bus.connect() as client:
        assert 'exec.shell' in dict(client.service.ListTasks())
        pool = client.create_pool(processes=1)
        assert bytes(apply(pool, 'exec.shell', '(s)', 'echo hello')[1]) == b'hello\n'


@test
def modules_of_the_administrator():
    # the module of the tests, which is not in the path of this service
    tasks = next(p for p in os.environ['POOL_TASK_PATH'].split(':') if p.endswith('/tasks'))
    conform = pathlib.Path(tasks).parent / 'tests/conformance'
    before = os.environ['POOL_TASK_PATH']
    os.environ['POOL_TASK_PATH'] = tasks
    try:
        with Bus() as bus, bus.connect() as client:
            raises('NoSuchTask', apply, client.create_pool(processes=1), 'conform.add', '(x)', 1)
        with Bus(f'[Service]\nModuleDirectories={conform}\n') as bus, bus.connect() as client:
            assert apply(client.create_pool(processes=1), 'conform.add', '(x)', 1) == 1
    finally:
        os.environ['POOL_TASK_PATH'] = before


@test
def a_wrong_configuration_is_told():
    for text, part in (('[Client]\nMaxPool=1\n', 'MaxPool'), ('[Service]\nIdleTimeout=soon\n', 'IdleTimeout'),
                       ('[Service]\nModuleDirectories=tasks\n', 'absolute'), ('[Other]\nx=1\n', 'Other')):
        bus = Bus(text)
        try:
            with bus:
                with bus.connect() as client:
                    raises(NO_START, client.service.ListTasks)
            raise RuntimeError('it said nothing')
        except AssertionError as error:
            # what it wrote
            assert part in str(error) and 'pool-service: ' in str(error), error


if __name__ == '__main__':
    main()
