# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fiber's pools: defaults, what is run again, where agents are."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from conftest import has_zmq, until
from gi.repository import Pool
import tasks

pytestmark = pytest.mark.skipif(not has_zmq(), reason='there is no backend zmq')

#: how often what was called, in this worker
calls = {}


def count(key):
    calls[key] = calls.get(key, 0) + 1
    return calls[key]


def succeed_at(key, number):
    n = count(key)
    if n < number:
        raise ValueError(key, n)
    return key, n


def fail_as_third(key):
    n = count(key)
    if key % 3 == 0:
        raise ValueError(key, n)
    return key, n


def succeed_at_third(key):
    return succeed_at(key, 3)


def interrupt(key):
    count(key)
    raise KeyboardInterrupt


def overrun(key):
    count(key)
    time.sleep(60)


def change_and_fail(values, array=None):
    n = count('change')
    values.append(n)
    if array is not None:
        array += 1
    if n % 3:
        raise ValueError(n)
    return values, None if array is None else float(array[0])


def change_at_third(item):
    key, values = item
    values.append(key)
    succeed_at(key, 3)
    return values


def die_at_first(x):
    if Pool.current_task().get_attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_then_raise(key):
    """The first of its runs takes the worker along, the others raise."""
    if Pool.current_task().get_attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError(key, count(key))


def get_calls():
    return calls


def double(array):
    return array * 2


def look_up(table, index):
    return int(table[index])


def pid_and_worker(_):
    time.sleep(0.05)
    return os.getpid(), Pool.current_task().get_worker()


@contextlib.contextmanager
def agents(*commands):
    """An endpoint in a directory of this user only, and agents that connect to it, each with its own words."""
    with tempfile.TemporaryDirectory(prefix='pool-', dir='/tmp') as folder:
        endpoint = f'ipc://{folder}/pool'
        started = [subprocess.Popen([os.environ['POOL_WORKER'], 'zmq', 'agent', '--connect', endpoint, *words])
                   for words in commands]
        try:
            yield endpoint, started
            assert [agent.wait(20) for agent in started] == [0] * len(started)
        finally:
            for agent in started:
                agent.kill()
                agent.wait()


OWN = ['--processes=1', '--', '/usr/bin/python3', '-m', 'gi.overrides._libpool']
POOLS = ['--processes=1', '--accept-command']


def test_defaults():
    with Pool.ZPool() as pool:
        assert pool._processes == Pool.cpu_count()
        assert pool._native.props.backend == 'zmq' and not pool._native.props.resilient
        assert pool._native.props.launcher is None and pool.endpoint.startswith('ipc:///')
        assert pool.map(tasks.square, range(20)) == [x * x for x in range(20)]
        assert pool.apply(tasks.where)['name'].startswith('ForkServerPoolWorker-')
    with Pool.ResilientZPool() as pool:
        assert pool._processes == 1 and pool._native.props.resilient
        assert pool.map(tasks.square, range(20)) == [x * x for x in range(20)]
    assert Pool.ThreadPool(1).endpoint is None


def test_positional_arguments():
    with Pool.ZPool(1, tasks.begin, (1, 2), 5, None, 'r') as pool:
        assert pool.apply(tasks.get_state)['args'] == (1, 2)
    with Pool.ResilientZPool(1, tasks.begin, (3,), 5, 'local') as pool:
        assert pool.apply(tasks.get_state)['args'] == (3,)
        assert pool._native.props.launcher == 'local'


def test_maxtasksperchild():
    with Pool.ZPool(1, maxtasksperchild=3) as pool:
        assert len(set(pool.map(tasks.who, range(9), 1))) == 3


def test_what_raises_is_run_again():
    with Pool.ResilientZPool() as pool:
        assert pool.apply(succeed_at, ('a', 3)) == ('a', 3)
        with pytest.raises(ValueError) as info:
            pool.apply(succeed_at, ('b', 4))
        assert info.value.args == ('b', 3) and 'raise ValueError(key, n)' in info.value.__cause__.tb
        assert pool.apply_async(succeed_at, ('c', 5), max_retries=5).get() == ('c', 5)
        with pytest.raises(ValueError) as info:
            pool.apply_async(succeed_at, ('d', 5), max_retries=0).get()
        assert info.value.args == ('d', 1)
    with Pool.ResilientZPool(max_retries=1) as pool, pytest.raises(ValueError) as info:
        pool.apply(succeed_at, ('e', 2))
    assert info.value.args == ('e', 1)
    # nobody else does that
    with Pool.ZPool(1) as pool, pytest.raises(ValueError) as info:
        pool.apply(succeed_at, ('f', 2))
    assert info.value.args == ('f', 1)


@pytest.mark.parametrize('chunksize', [1, 4, 100])
def test_each_item_is_run_again_by_itself(chunksize):
    with Pool.ResilientZPool() as pool:
        assert pool.map(succeed_at_third, range(1, 20), chunksize) == [(i, 3) for i in range(1, 20)]
        assert pool.starmap(succeed_at, [(-1, 1), (-2, 2), (-3, 3)], chunksize) == [(-1, 1), (-2, 2), (-3, 3)]
        result = pool.map_async(fail_as_third, range(100, 110), chunksize)
        with pytest.raises(ValueError) as info:
            result.get()
        assert info.value.args == (102, 3)
        assert [result[i] for i in (0, 1, 3, 9)] == [(100, 1), (101, 1), (103, 1), (109, 1)]
        assert list(pool.imap(succeed_at_third, range(200, 209), chunksize)) == [(i, 3) for i in range(200, 209)]
        assert sorted(pool.imap_unordered(succeed_at_third, range(300, 309), chunksize)) == [(i, 3) for i in range(300, 309)]


def test_what_is_no_error_is_not_run_again():
    with Pool.ResilientZPool() as pool:
        with pytest.raises(Pool.TaskExit):
            pool.apply(interrupt, ('interrupt',))
        with pytest.raises(Pool.TaskExit):
            pool.map(interrupt, ['map', 'too'], 2)
        with pytest.raises(Pool.SoftTimeLimitExceeded):
            pool.apply_async(overrun, ('soft',), soft_timeout=0.2).get()
        assert pool.apply(get_calls) == {'interrupt': 1, 'map': 1, 'too': 1, 'soft': 1}


def test_each_run_has_the_arguments_as_they_were():
    numpy = pytest.importorskip('numpy')
    with Pool.ResilientZPool() as pool:
        assert pool.apply(change_and_fail, ([],)) == ([3], None)
        assert pool.apply(change_and_fail, ([], numpy.zeros(100_000))) == ([6], 1.0)
        assert pool.map(change_at_third, [('a', []), ('b', [])], 2) == [['a'], ['b']]


def test_a_worker_that_is_killed():
    with Pool.ResilientZPool(2) as pool:
        assert pool.map(die_at_first, range(4), 1) == [0, 1, 2, 3]
        with pytest.raises(Pool.WorkerLostError):
            pool.apply(tasks.kill_me)
        # workers that were lost and exceptions count together
        with pytest.raises(ValueError) as info:
            pool.apply(die_then_raise, ('x',))
        assert info.value.args == ('x', 2)
        assert pool.apply(tasks.square, (3,)) == 9
    with Pool.ZPool(2) as pool:
        with pytest.raises(Pool.WorkerLostError):
            pool.apply(die_at_first, (1,))
        assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_large_values():
    numpy = pytest.importorskip('numpy')
    with Pool.ZPool(2) as pool:
        array = numpy.arange(500_000, dtype='d')
        result = pool.apply(double, (array,))
        assert (result == 2 * array).all() and result.flags.writeable and array[1] == 1
        assert [float(x.sum()) for x in pool.imap(double, [array] * 4)] == [2 * float(array.sum())] * 4
        assert pool.map(tasks.identity, [bytes([i]) * (1 << 20) for i in range(4)]) == [bytes([i]) * (1 << 20) for i in range(4)]
        assert pool.apply(tasks.make_bytes, (1 << 20,)) == b'x' * (1 << 20)
        # workers of this machine map it
        table = Pool.shared(array)
        assert pool.starmap(look_up, [(table, 3), (table, 499_999)]) == [3, 499_999]


def test_a_shared_value_does_not_travel():
    shared = Pool.shared(1)
    shared._key = (*shared._key[:2], 'elsewhere')
    with Pool.ZPool(1) as pool, pytest.raises(ValueError, match='another machine'):
        pool.apply(tasks.identity, (shared,))


def test_time_limits():
    with Pool.ZPool(2, timeout=30) as pool:
        start = time.monotonic()
        with pytest.raises(Pool.TimeLimitExceeded):
            pool.apply_async(tasks.sleep, (60,), timeout=0.3).get()
        assert pool.apply_async(tasks.sleep_and_clean_up, (60,), soft_timeout=0.3).get() == 'cleaned up'
        assert time.monotonic() - start < 20
        with pytest.raises(Pool.TimeoutError):
            pool.apply_async(tasks.sleep, (0.5,)).get(0.01)
        assert pool.apply(tasks.square, (2,)) == 4


def test_callbacks():
    got, called = [], threading.Event()
    with Pool.ResilientZPool(1) as pool:
        pool.apply_async(tasks.square, (7,), callback=got.append).wait()
        pool.apply_async(tasks.fail, ('k',), callback=pytest.fail, error_callback=got.append).wait()
        pool.map_async(succeed_at_third, [1, 2], callback=lambda value: called.set())
        assert called.wait(20)
    assert got[0] == 49 and isinstance(got[1], KeyError)


@pytest.mark.parametrize('cluster,expected', [
    ('local', {'launcher': 'local'}),
    ('none', {'launcher': 'none'}),
    ('slurm', {'launcher': 'slurm'}),
    ('slurm:--partition=short', {'launcher': 'slurm:--partition=short'}),
    ('ssh:a,b', {'launcher': 'ssh:a,b'}),
    ('command:bsub {command}', {'launcher': 'command:bsub {command}'}),
    ('tcp://*:5555', {'endpoint': 'tcp://*:5555', 'launcher': 'none'}),
    ('ipc:///run/x/pool', {'endpoint': 'ipc:///run/x/pool', 'launcher': 'none'}),
    (None, {}),
])
def test_clusters(cluster, expected):
    from gi.overrides._libpool.pool import _map_cluster
    assert _map_cluster(cluster) == expected


@pytest.mark.parametrize('bad', ['', 'kubernetes', 'ssh', 'ssh:', 'slurm:', 'command:', 'udp://*:1', 'tcp:x', 3])
def test_unknown_clusters(bad):
    with pytest.raises(ValueError, match='slurm.*ssh:HOST.*command:TEMPLATE.*none.*tcp'):
        Pool.ZPool(1, cluster=bad)


def test_bad_arguments(tmp_path):
    with pytest.raises(TypeError, match='master_sock_type'):
        Pool.ResilientZPool(1, master_sock_type='w')
    with pytest.raises(ValueError, match="'r' or 'w'"):
        Pool.ZPool(1, master_sock_type='x')
    with pytest.raises(TypeError, match='frobnicate'):
        Pool.ZPool(1, frobnicate=1)
    with pytest.raises(ValueError, match='launcher'):
        Pool.ZPool(1, cluster='slurm', launcher='local')
    with pytest.raises(ValueError, match='not forked'):
        Pool.ZPool(1, start_method='fork')
    with pytest.raises(ValueError, match='processes'):
        Pool.ResilientZPool(1, backend='threads')
    with pytest.raises(ValueError, match='at least 1'):
        Pool.ZPool(0)
    with pytest.raises(ValueError, match='cluster'):
        Pool.Pool(1, cluster='local')
    for name in 'endpoint', 'launcher', 'key_file', 'allowed_keys', 'agent_key_file', 'agent_command':
        with pytest.raises(ValueError, match=name.replace('_', '-')):
            Pool.Pool(1, **{name: 'x'})
    with pytest.raises(ValueError, match='tcp://ADDRESS'):
        Pool.ZPool(1, endpoint='x')
    tmp_path.chmod(0o755)
    with pytest.raises(Pool.PoolError, match='chmod 700'):
        Pool.ZPool(1, cluster=f'ipc://{tmp_path}/pool')


def test_a_backend_that_is_not_there():
    for kind in Pool.ZPool, Pool.ResilientZPool:
        with pytest.raises(ValueError, match="'zmqq' is not installed"):
            kind(1, backend='zmqq')


def test_contexts_and_start_methods():
    for options, name in [({'start_method': 'spawn'}, 'Spawn'), ({'start_method': 'forkserver'}, 'ForkServer'),
                          ({'context': multiprocessing.get_context('fork')}, 'ForkServer'),
                          ({'context': multiprocessing.get_context('spawn')}, 'Spawn')]:
        with Pool.Pool(1, backend='zmq', **options) as pool:
            assert pool.apply(tasks.where)['name'].startswith(name + 'PoolWorker-')


def test_locks_are_not_sent():
    with pytest.raises(RuntimeError, match='inheritance'):
        Pool.ZPool(1, tasks.begin, (multiprocessing.get_context('spawn').Lock(),))


def test_several_agents_of_this_machine():
    with Pool.Pool(3, backend='zmq', processes_per_agent=1, heartbeat=5, cluster='local') as pool:
        # the agent that is there first may do all of them
        until(lambda: len({pid for pid, _ in pool.map(pid_and_worker, range(12), 1)}) == 3, 30)
        assert len(pool.worker_pids()) == 3 and len(pool.process_sentinels) == 3


def test_executors_and_managers():
    with Pool.Executor(1, backend='zmq') as executor:
        assert list(executor.map(tasks.square, range(3))) == [0, 1, 4]
    with Pool.Manager(tasks.Target, size=2, static_args=[10], ordered=True, backend='zmq') as manager:
        for x in range(3):
            manager.put(x)
        assert manager.getAll() == [0, 10, 20]


def test_agents_that_come_by_themselves():
    with agents(OWN, POOLS) as (endpoint, _):
        with Pool.ZPool(8, tasks.begin, (1,), cluster=endpoint) as pool:
            assert pool.endpoint == endpoint
            until(lambda: len(pool.get_workers()) == 2, 30)
            until(lambda: len({pid for pid, _ in pool.map(pid_and_worker, range(20), 1)}) == 2, 30)
            assert all(state == {'args': (1,), 'begun': 1} for state in pool.map(tasks.get_state, range(20), 1))
            assert {fact['file'] for fact in pool.map(tasks.where, range(20), 1)} == {tasks.__file__}
            # what the agents have said counts, not how many were thought of
            start = time.monotonic()
            assert len(pool._pool) == 2 and time.monotonic() - start < 5
        pool.join()


def test_an_agent_that_is_killed():
    with Pool.ZPool(2, launcher='local', processes_per_agent=1, resilient=True, heartbeat=1) as pool:
        agents_of = {int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1]) for pid in pool.worker_pids()}
        result = pool.map_async(tasks.sleep, [0.1] * 20, 1)
        time.sleep(0.3)
        parent = agents_of.pop()
        while int(open(f'/proc/{parent}/stat').read().rpartition(')')[2].split()[1]) != os.getpid():
            parent = int(open(f'/proc/{parent}/stat').read().rpartition(')')[2].split()[1])
        os.kill(parent, signal.SIGKILL)
        assert result.get(60) == [0.1] * 20


PROGRAM = '''
import os
import sys
import helper
from gi.repository import Pool


def mine(x):
    return helper.add(x), os.path.basename(os.getcwd())


if __name__ == '__main__':
    with Pool.ZPool(2, cluster=sys.argv[1]) as pool:
        print(pool.map(mine, [1, 2]))
        print(*sorted({os.path.basename(path) for path in pool.map(helper.where, range(20), 1)}))
    pool.join()
'''


def test_a_program_of_its_own(tmp_path):
    """Path, directory and main module get to workers, whoever says what their program is."""
    (tmp_path / 'helper.py').write_text('def add(x):\n    return x + 10\n\n\ndef where(x):\n    return __file__\n')
    (tmp_path / 'program.py').write_text(PROGRAM)
    for words in OWN, POOLS:
        with agents(words) as (endpoint, _):
            done = subprocess.run([sys.executable, tmp_path / 'program.py', endpoint], cwd=tmp_path, stdout=subprocess.PIPE,
                                  timeout=60, check=True)
        assert done.stdout.decode() == f"[(11, '{tmp_path.name}'), (12, '{tmp_path.name}')]\nhelper.py\n"


def test_an_agent_without_a_program():
    """It says so, and goes; the pool waits for another."""
    with agents() as (endpoint, _):
        with Pool.ZPool(1, cluster=endpoint) as pool:
            result = pool.apply_async(tasks.square, (3,))
            done = subprocess.run([os.environ['POOL_WORKER'], 'zmq', 'agent', '--connect', endpoint, '--processes=1'],
                                  stderr=subprocess.PIPE, timeout=30)
            assert done.returncode == 1 and b'--accept-command' in done.stderr, done
            agent = subprocess.Popen([os.environ['POOL_WORKER'], 'zmq', 'agent', '--connect', endpoint, *POOLS])
            assert result.get(30) == 9
        pool.join()
        assert agent.wait(20) == 0


def test_the_program_of_workers_by_hand():
    done = subprocess.run(['/usr/bin/python3', '-m', 'gi.overrides._libpool'], stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and b'libpool gives them' in done.stderr and b'Traceback' not in done.stderr
