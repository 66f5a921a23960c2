#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The backend `dbus`: a program's own pool, whose workers the service has."""

import os
import pathlib
import signal
import subprocess
import time

from servicetest import Bus, POOL, is_alive, main, raises, test, wait_for

CONFORMANCE = pathlib.Path(POOL).parent.parent / 'tests/conformance/test-conformance'
MANY = '[Client]\nMaxPools=100\nMaxWorkers=1000\n[User]\nMaxPools=1000\nMaxWorkers=4000\n'


def run(bus, *words, status=0):
    result = subprocess.run([POOL, *words], env=bus.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert result.returncode == status, (words, result)
    return result.stdout.decode(), result.stderr.decode()


def children(pid):
    return [int(child) for task in pathlib.Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()]


@test
def a_program_has_its_pool_there():
    with Bus() as bus:
        names = [str(number) for number in range(1000)]
        out, _ = run(bus, 'map', '-b', 'dbus', '-k', '-j2', 'debug.echo', *names)
        assert out.split() == names
        # what the service starts is gone with the program, and does not make it have threads
        service = bus.pid()
        wait_for('the agent to go', lambda: not children(service))
        assert len(os.listdir(f'/proc/{service}/task')) == 1


def conforms(*parts):
    with Bus(MANY) as bus:
        for part in parts:
            result = subprocess.run([CONFORMANCE, '--tap', '-p', f'/{part}'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    env=dict(bus.environment, POOL_TEST_BACKEND='dbus'), timeout=200)
            lines = result.stdout.decode(errors='replace').splitlines()
            assert result.returncode == 0, '\n'.join(line for line in lines if 'DEBUG' not in line)[-3000:]
            assert sum(line.startswith('ok') for line in lines) >= 3


@test
def calls_conform():
    conforms('calls', 'callbacks')


@test
def maps_and_queues_conform():
    conforms('maps', 'queue')


@test
def faults_conform():
    conforms('faults')


@test
def streams_and_waits_conform():
    conforms('stream', 'waits')


@test
def a_pool_outlives_the_service():
    with Bus() as bus:
        tool = subprocess.Popen([POOL, 'map', '-b', 'dbus', '-j2', 'debug.sleep', *['0.02'] * 200], env=bus.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3):
            pid = wait_for('a service', lambda: next((p for p in bus.pids() if is_alive(p) and children(p)), None))
            time.sleep(0.3)
            agents = children(pid)
            os.kill(pid, signal.SIGKILL)
            wait_for('its agent to go', lambda: not any(map(is_alive, agents)))
        out, err = tool.communicate(timeout=60)
        assert tool.returncode == 0 and len(out.splitlines()) == 200, err
        assert len(bus.pids()) >= 3


@test
def limits_hold_there_too():
    with Bus('[Client]\nMaxWorkers=2\n') as bus, bus.connect() as client:
        assert 'may have 2 workers' in run(bus, 'map', '-b', 'dbus', '-j3', 'debug.echo', 'x', status=1)[1]
        assert 'not allowed' in run(bus, 'map', '-b', 'dbus', '-j1', 'exec.shell', 'id', status=1)[1]
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.StartAgent, '(su)', 'x', 1)
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.StartAgent, '(hu)', 0, 1)


@test
def without_a_bus():
    result = subprocess.run([POOL, 'map', '-b', 'dbus', 'debug.echo', 'x'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=60, env=dict(os.environ, DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent'))
    assert result.returncode == 1 and b'/nonexistent' in result.stderr, result


if __name__ == '__main__':
    main()
