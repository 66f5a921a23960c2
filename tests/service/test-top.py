#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool top: the pools of programs that show them, beside those of the service."""

import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import tempfile
import time

from program import Program
from servicetest import Bus, POOL, Skip, main, test, wait_for

NOBODY = 65534
STATE_WORDS = {'new', 'run', 'close', 'terminate', 'joined', 'broken', 'silent'}
SCHEMA = {'pool': str, 'kind': str, 'program': str, 'pid': int, 'backend': str, 'state': str, 'persistent': bool, 'pending': int,
          'running': int, 'done': int, 'failed': int, 'restarts': int, 'rate': (int, float), 'workers': list}
WORKER_SCHEMA = {'id': int, 'pid': int, 'host': str, 'state': str, 'current-task': int, 'tasks-done': int, 'rss': int,
                 'started-at': int}


@contextlib.contextmanager
def runtime_folder():
    with tempfile.TemporaryDirectory(prefix='pool-top-') as folder:
        yield pathlib.Path(folder), dict(os.environ, XDG_RUNTIME_DIR=folder, DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent')


def top(environment, *words, status=0, user=None):
    result = subprocess.run([POOL, 'top', *(words or ('--local', '--once', '--json'))], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=60, user=user)
    assert result.returncode == status, result
    return result.stdout.decode()


def rows(environment, *words):
    return [json.loads(line) for line in top(environment, *words).splitlines()]


def check(value, schema):
    assert value.keys() == schema.keys(), value
    for name, kind in schema.items():
        assert isinstance(value[name], kind), (name, value)


@test
def a_pool_that_wants_to_be_seen():
    with runtime_folder() as (folder, environment):
        with Program('fork', environment, processes=2, visible=True) as program:
            assert rows(environment) == []
            program('pool.start()', 'True')
            program('submit(10, 0.001)')
            program('ends()', '(10, [])')
            program('submit(3, 60)')
            program.wait_for('pool.props.n_running', '2')
            row, = rows(environment)
            check(row, SCHEMA)
            assert row['kind'] == 'local' and row['pid'] == program.process.pid and row['backend'] == 'fork'
            assert row['pool'].startswith(f'{row["pid"]}-') and row['state'] == 'run'
            assert (row['done'], row['failed'], row['running'], row['pending']) == (10, 0, 2, 3)
            for worker in row['workers']:
                check(worker, WORKER_SCHEMA)
                assert worker['state'] == 'busy' and worker['rss'] > 0 and worker['current-task'] > 0
            text = top(environment, '--local', '--once')
            assert row['pool'] in text and 'worker 1 ' in text
            # nobody else gets at it
            assert stat.S_IMODE((folder / 'libpool').stat().st_mode) == 0o700
            name, = (folder / 'libpool').iterdir()
            assert stat.S_IMODE(name.stat().st_mode) == 0o600 and name.is_socket()
            program('pool.terminate()')
            program('pool.join(20)', 'True')
            assert rows(environment) == [] and not list((folder / 'libpool').iterdir())


@test
def nothing_is_open_by_default():
    with runtime_folder() as (folder, environment), Program('fork', environment) as program:
        program('pool.start()', 'True')
        assert not list(folder.iterdir()) and rows(environment) == []


@test
def a_whole_program_is_shown_by_the_environment():
    with runtime_folder() as (folder, environment):
        shown = dict(environment, POOL_TOP='1')
        with Program('threads', shown) as program:
            program('pool.start()', 'True')
            row, = rows(environment)
            assert row['backend'] == 'threads'
        tool = subprocess.Popen([POOL, 'map', '-j1', 'debug.sleep', '60'], env=shown, stdout=subprocess.DEVNULL)
        try:
            row = wait_for('the tool', lambda: next((row for row in rows(environment) if row['pid'] == tool.pid), None))
            assert row['program'].split()[0] == 'pool', row
        finally:
            tool.kill()
            tool.wait()


@test
def it_is_shown_without_threads_of_the_pool():
    with runtime_folder() as (_, environment):
        with Program('fork', environment, processes=1, threads=False, visible=True) as program:
            program('pool.start()', 'True')
            program.begin('all(loop.iteration(True) for _ in range(10 ** 9)) if pool.props.n_workers >= 0 else 0')
            row = wait_for('its answer', lambda: next((row for row in rows(environment) if row['state'] == 'run'), None))
            assert row['backend'] == 'fork'


@test
def what_a_killed_program_left_is_cleared_away():
    with runtime_folder() as (folder, environment):
        with Program('fork', environment, visible=True) as program:
            program('pool.start()', 'True')
        left, = (folder / 'libpool').iterdir()
        (folder / 'libpool' / 'something').touch()
        # of a program that lives, whatever it has of that name
        (folder / 'libpool' / f'{os.getpid()}-1').touch()
        # its workers, which may have the socket, go a moment after it
        wait_for('it to go', lambda: rows(environment) == [] and not left.exists())
        assert {path.name for path in (folder / 'libpool').iterdir()} == {'something', f'{os.getpid()}-1'}


@test
def a_program_that_does_not_answer():
    with runtime_folder() as (_, environment):
        with Program('fork', environment, visible=True) as program, Program('fork', environment, visible=True) as other:
            program('pool.start()', 'True')
            other('pool.start()', 'True')
            os.kill(program.process.pid, signal.SIGSTOP)
            states = {row['pid']: row['state'] for row in rows(environment)}
            assert states == {program.process.pid: 'silent', other.process.pid: 'run'}
            os.kill(program.process.pid, signal.SIGCONT)
            assert [row['state'] for row in rows(environment)] == ['run', 'run']


@test
def a_fork_of_the_program_takes_nothing_away():
    with runtime_folder() as (_, environment):
        with Program('fork', environment, visible=True) as program:
            program('pool.start()', 'True')
            program('import os')
            program('os.waitpid(os.fork() or os._exit(0), 0)[1]', '0')
            assert len(rows(environment)) == 1


@test
def a_restarted_pool_is_there_again():
    with runtime_folder() as (_, environment):
        with Program('fork', environment, visible=True, allow_restart=True) as program:
            program('pool.start()', 'True')
            program('pool.terminate()', 'True')
            program('pool.join(20)', 'True')
            assert rows(environment) == []
            program('pool.restart()', 'True')
            assert [row['state'] for row in rows(environment)] == ['run']


@test
def a_folder_of_others():
    with runtime_folder() as (folder, environment):
        (folder / 'libpool').mkdir(mode=0o755)
        os.chmod(folder / 'libpool', 0o777)
        with Program('fork', environment, visible=True) as program:
            assert '0700' in program('attempt(pool.start)')
        # who was not asked goes on
        with Program('fork', dict(environment, POOL_TOP='1')) as program:
            program('pool.start()', 'True')
        assert rows(environment) == [] and not list((folder / 'libpool').iterdir())


@test
def another_user_sees_nothing():
    if os.geteuid() != 0:
        raise Skip('only root can be two users')
    with runtime_folder() as (folder, environment):
        os.chmod(folder, 0o755)
        with Program('fork', environment, visible=True) as program:
            program('pool.start()', 'True')
            # in a folder of its own, to which the other's socket was moved by somebody who can
            assert top(environment, '--local', '--once', '--json', user=NOBODY) == ''
            theirs = folder / 'theirs'
            (theirs / 'libpool').mkdir(parents=True)
            socket, = (folder / 'libpool').iterdir()
            (theirs / 'libpool' / socket.name).hardlink_to(socket)
            os.chown(theirs / 'libpool', NOBODY, NOBODY)
            os.chmod(theirs / 'libpool' / socket.name, 0o666)
            assert top(dict(environment, XDG_RUNTIME_DIR=str(theirs)), '--local', '--once', '--json', user=NOBODY) == ''
            os.chmod(socket, 0o600)
            assert len(rows(environment)) == 1


@test
def nobody_wakes_up_for_it():
    def switches(pid):
        return sum(int(line.split()[1]) for task in pathlib.Path(f'/proc/{pid}/task').iterdir()
                   for line in (task / 'status').read_text().splitlines() if line.startswith('voluntary_ctxt'))

    with runtime_folder() as (_, environment):
        with Program('fork', environment, processes=2, visible=True) as program:
            program('pool.start()', 'True')
            program.wait_for('pool.props.n_workers', '2')
            assert len(rows(environment)) == 1
            before = wait_for('quiet', lambda: (time.sleep(0.5), switches(program.process.pid))[1])
            time.sleep(2)
            assert switches(program.process.pid) == before


@test
def again_and_again_sorted():
    with runtime_folder() as (_, environment):
        with Program('threads', environment, processes=2, visible=True) as busy, Program('threads', environment, visible=True) as idle:
            busy('pool.start()', 'True')
            idle('pool.start()', 'True')
            tool = subprocess.Popen([POOL, 'top', '--local', '--json', '--interval', '0.2', '--sort', 'done'], env=environment,
                                    stdout=subprocess.PIPE, text=True)
            try:
                for _ in range(2):
                    tool.stdout.readline()
                busy('submit(50, 0.001)')
                busy('ends()', '(50, [])')
                pids, done, rate = [], 0, 0
                while done < 50:
                    first, second = json.loads(tool.stdout.readline()), json.loads(tool.stdout.readline())
                    pids, done, rate = [first['pid'], second['pid']], first['done'], max(rate, first['rate'])
                assert pids == [busy.process.pid, idle.process.pid] and rate > 0
            finally:
                tool.kill()
                tool.wait()
                tool.stdout.close()


@test
def beside_those_of_the_service():
    with runtime_folder() as (folder, environment), Bus() as bus, bus.connect() as client:
        both = dict(bus.environment, XDG_RUNTIME_DIR=str(folder))
        client.create_pool(processes=1, persistent=True)
        with Program('fork', both, visible=True) as program:
            program('pool.start()', 'True')
            kinds = sorted(row['kind'] for row in rows(both, '--once', '--json'))
            assert kinds == ['local', 'service']
            assert [row['kind'] for row in rows(both)] == ['local']
        assert top(environment, '--once', status=1) == ''
        top(environment, '--once', '--local', '--system', status=2)


if __name__ == '__main__':
    main()
