#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service without clients leaves, and loses no call by that; one that idles does nothing."""

import os
import pathlib
import random
import signal
import time

from servicetest import Bus, GLib, NAME, PATH, apply, is_alive, iterate, main, result, submit, test, wait_for

SOON = '[Service]\nIdleTimeout=0.05\n'


def ticks(pid):
    """How often a process was given a processor, by itself or not."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if 'ctxt_switches' in line)


@test
def leaves_when_it_is_idle_and_comes_back():
    with Bus(SOON) as bus, bus.connect() as client:
        client.service.ListBackends()
        wait_for('the service to leave', lambda: not is_alive(bus.pids()[0]))
        client.service.ListBackends()
        assert len(bus.pids()) == 2


@test
def stays_while_somebody_has_a_pool():
    with Bus(SOON) as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        time.sleep(0.3)
        assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
        job = submit(pool, 'debug.sleep', '(d)', 0.3)
        time.sleep(0.5)
        result(job)
        assert len(bus.pids()) == 1
        client.close()
        wait_for('the service to leave', lambda: not is_alive(bus.pids()[0]))


@test
def stays_while_a_persistent_pool_has_work():
    with Bus(SOON) as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)
        job = submit(pool, 'debug.sleep', '(d)', 0.5, durable=True)
        client.close()
        first = bus.pid()
        time.sleep(0.3)
        assert is_alive(first)
        wait_for('the service to leave', lambda: not is_alive(first))
        with bus.connect() as other:
            assert result(other.object(job.path)) is not None
            other.object(pool.path).Terminate()


@test
def no_call_is_lost_around_the_exit():
    """10^4 calls around the exit: each is answered."""
    n = 0
    with Bus('[Service]\nIdleTimeout=0.02\n') as bus, bus.connect() as client:
        client.service.ListBackends()
        while n < 10000:
            outcomes = []
            # the exit comes somewhere in the pause, and the next call before it, in it or after it
            time.sleep(random.choice((0, 0.019, 0.0195, 0.02, 0.0205, 0.021, 0.022, 0.025)) + random.random() / 1000)
            for _ in range(60):
                client.begin(PATH, NAME, 'ListBackends', GLib.Variant('()', ()), outcomes.append)
            while len(outcomes) < 60:
                GLib.MainContext.default().iteration(True)
            wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            assert not wrong, wrong[0]
            n += 60
        print(f'# {n} calls, {len(bus.pids())} services')
        assert len(bus.pids()) > 10


@test
def no_pool_is_lost_around_the_exit():
    """What is made around the exit is there afterwards."""
    with Bus('[Service]\nIdleTimeout=0.02\n') as bus:
        for _ in range(150):
            with bus.connect() as client:
                time.sleep(random.choice((0, 0.0195, 0.02, 0.0205, 0.021)) + random.random() / 1000)
                pool = client.create_pool(processes=1)
                assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
        print(f'# {len(bus.pids())} services')


@test
def calls_at_the_moment_it_leaves():
    """A call that is made as soon as the bus says that the name is free."""
    with Bus(SOON) as bus, bus.connect() as client:
        outcomes, lost = [], []

        def on_owner(_connection, _sender, _path, _interface, _name, values):
            name, _old, new = values.unpack()
            if name == NAME and not new:
                lost.append(name)
                client.begin(PATH, NAME, 'ListBackends', GLib.Variant('()', ()), outcomes.append)
        client.connection.signal_subscribe('org.freedesktop.DBus', 'org.freedesktop.DBus', 'NameOwnerChanged', None, NAME, 0,
                                           on_owner)
        client.service.ListBackends()
        deadline = time.monotonic() + 60
        while len(outcomes) < 30 and time.monotonic() < deadline:
            GLib.MainContext.default().iteration(True)
        assert len(outcomes) >= 30 and not any(isinstance(outcome, Exception) for outcome in outcomes)


@test
def does_nothing_while_it_idles():
    with Bus() as bus, bus.connect() as client, bus.connect():
        pool = client.create_pool(processes=2)
        apply(pool, 'debug.echo', '(s)', 'x')
        time.sleep(1)
        pids = [bus.pid()] + [worker['pid'] for worker in pool.GetWorkers()]
        time.sleep(0.5)
        before = [ticks(pid) for pid in pids]
        time.sleep(3)
        after = [ticks(pid) for pid in pids]
        assert before == after, (before, after)
        iterate()


@test
def leaves_with_its_bus():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        apply(pool, 'debug.echo', '(s)', 'x')
        pids = [bus.pid()] + [worker['pid'] for worker in pool.GetWorkers()]
        client.connection.set_exit_on_close(False)
        bus.daemon.kill()
        wait_for('all to leave', lambda: not any(map(is_alive, pids)))


@test
def leaves_on_SIGTERM():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        apply(pool, 'debug.echo', '(s)', 'x')
        pids = [bus.pid()] + [worker['pid'] for worker in pool.GetWorkers()]
        os.kill(pids[0], signal.SIGTERM)
        wait_for('all to leave', lambda: not any(map(is_alive, pids)))


if __name__ == '__main__':
    main()
