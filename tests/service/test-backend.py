#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The backend `dbus`: a program's own pool, whose workers the service has."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

from gi.repository import Gio

from program import Program
from servicetest import Bus, POOL, count_threads, is_alive, main, raises, test, wait_for

sys.path.append(str(pathlib.Path(__file__).parents[1] / 'remote'))
import zmtp  # noqa: E402


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
        assert count_threads(service) == 1


def workers_of(service):
    """How many there are below all agents: they are made by a process that each agent has for that."""
    def count(pid, depth):
        return 1 if depth == 0 else sum(count(child, depth - 1) for child in children(pid))
    return count(service, 3)


@test
def a_pool_grows_and_shrinks_within_the_limits():
    with Bus('[Client]\nMaxPools=1\nMaxWorkers=5\n') as bus, Program('dbus', bus.environment, processes=2, max_processes=8) as program:
        program('pool.start()', 'True')
        program.wait_for("pool.props.n_workers", '2')
        program('pool.grow(3)', 'True')
        program.wait_for("pool.props.n_workers", '5')
        # all of them are one pool, of which there may be one
        program('pool.shrink(4)', 'True')
        program.wait_for("pool.props.n_workers", '1')
        program('pool.grow(4)', 'True')
        program.wait_for("pool.props.n_workers", '5')
        service = bus.pid()
        program('pool.grow(1)', 'True')
        program('submit(50, 0.01)')
        program('ends()', '(50, [])')
        program("pool.props.n_workers", '5')
        program('pool.terminate()')
        wait_for('the agents to go', lambda: not children(service))


@test
def a_client_that_dies_takes_its_workers_with_it():
    with Bus('[User]\nMaxWorkers=3\n') as bus:
        for _ in range(5):
            with Program('dbus', bus.environment, processes=2) as program:
                program('pool.start()', 'True')
                program('pool.grow(1)', 'True')
                program('submit(20, 60)')
                program.wait_for("pool.props.n_running", '3')
            wait_for('its agents to go', lambda: not children(bus.pid()))
        assert len(bus.pids()) == 1


@test
def tasks_end_with_an_error_when_the_service_dies():
    with Bus() as bus, Program('dbus', bus.environment, processes=2, max_retries=0) as program:
        program('pool.start()', 'True')
        program('submit(2, 60)')
        program.wait_for("pool.props.n_running", '2')
        program('submit(20, 0.01)')
        bus.kill()
        answer = program('ends()')
        # those that were running are lost, the others are done at the next service
        assert answer.startswith('(20, [') and answer.count('pool-error') == 2 and 'lost with its agent' in answer, answer


@test
def tasks_end_when_there_is_no_service_any_more():
    with Bus() as bus, Program('dbus', bus.environment, processes=2) as program:
        program('pool.start()', 'True')
        program('submit(2, 60)')
        program('submit(20, 0.01)')
        program.wait_for("pool.props.n_running", '2')
        (bus.folder / 'start').write_text('#!/bin/sh\nexit 1\n')
        bus.kill()
        answer = program('ends()')
        assert answer.startswith('(0, [') and answer.count('pool-error') == 22, answer
        assert 'gives no workers' in answer, answer


@test
def tasks_end_when_there_is_no_bus_any_more():
    with Bus() as bus, Program('dbus', bus.environment, processes=2) as program:
        program('pool.start()', 'True')
        program('submit(2, 60)')
        program.wait_for("pool.props.n_running", '2')
        bus.daemon.kill()
        answer = program('ends()')
        assert answer.startswith('(0, [') and 'The bus is gone' in answer, answer


@test
def nobody_gets_more_workers_than_were_asked_for():
    def send(*records, serial):
        data = zmtp.head(records, session=7, serial=serial)
        ours.sendall(struct.pack('<IIQ', 1, 0, len(data)) + data)

    def receive(stream):
        """The types of the records of the next message."""
        n, _ = struct.unpack('<II', stream.read(8))
        sizes = struct.unpack(f'<{n}Q', stream.read(8 * n))
        return [words['type'] for words in zmtp.parse([stream.read(size) for size in sizes])[2]]

    with Bus() as bus, bus.connect() as client:
        ours, theirs = socket.socketpair()
        with ours, ours.makefile('rb') as stream:
            client.service.call('StartAgent', '(huu)', 0, 2, 1, fds=Gio.UnixFDList.new_from_array([theirs.detach()]))
            assert zmtp.HELLO in receive(stream)
            send(zmtp.record(zmtp.WELCOME, zmtp.facts()), serial=0)
            wait_for('its workers', lambda: workers_of(bus.pid()) == 2)
            for serial in range(1, 20):
                send(zmtp.record(zmtp.ADD, n_items=10), serial=serial)
            # two may be leaving while others come
            wait_for('more of them', lambda: workers_of(bus.pid()) == 4)
            send(zmtp.record(zmtp.ADD, n_items=10), zmtp.record(zmtp.PING), serial=20)
            while zmtp.PING not in receive(stream):
                pass
            assert workers_of(bus.pid()) == 4
        wait_for('the agent to go', lambda: not children(bus.pid()))


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
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.StartAgent, '(suu)', 'x', 1, 1)
        raises('org.freedesktop.DBus.Error.InvalidArgs', client.service.StartAgent, '(huu)', 0, 1, 1)


@test
def without_a_bus():
    result = subprocess.run([POOL, 'map', '-b', 'dbus', 'debug.echo', 'x'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=60, env=dict(os.environ, DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent'))
    assert result.returncode == 1 and b'/nonexistent' in result.stderr, result


if __name__ == '__main__':
    main()
