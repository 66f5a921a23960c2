# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pool.Manager and Pool.PoolProcess: what programs rely on that were written for better.multiprocessing."""

import gc
import os
import pickle
import queue
import signal
import threading
import time
import weakref

import pytest

from conftest import children, until
from gi.repository import Pool
import tasks

#: Where the start of the workers makes no difference.
few_kinds = pytest.mark.parametrize('kind', ['fork', 'threads'])
few_methods = pytest.mark.parametrize('method', ['fork'])

LONG = 60


def manage(kind, target, size=2, **options):
    if kind == 'threads':
        return Pool.Manager(target, size=size, backend='threads', **options)
    return Pool.Manager(target, size=size, start_method=kind, **options)


def multiply(a, b):
    return a * b


def multiply_by_static(x, static):
    return x * static


def four(a, b, c, d):
    return a, b, c, d


def nothing():
    return 'nothing'


class Worker(Pool.PoolProcess):
    """Its state is its own in each worker."""

    def __init__(self, *static):
        self.static = static
        self.done = 0

    def run(self, *task):
        self.done += 1
        return task, self.static, self.done


class Unfinished(Pool.PoolProcess):
    pass


class BadStart(Pool.PoolProcess):
    def __init__(self):
        raise OSError('no database')

    def run(self, x):
        return x


def kill_if_odd(x):
    if x % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def touch(path, seconds):
    with open(path, 'a') as file:
        file.write('x')
    time.sleep(seconds)
    return path


def touched(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def slow_if_first(x):
    time.sleep(0.6 if x == 0 else 0)
    return x


def large(n):
    return b'r' * n


# --- how it is made ---

def test_bad_targets():
    for bad in 1, 'x', None, int, object, tasks.Counter:
        with pytest.raises(TypeError, match='target'):
            Pool.Manager(bad)
    with pytest.raises(TypeError):
        Pool.Manager(multiply, 2)  # options are keywords
    with pytest.raises(TypeError):
        Pool.Manager()
    assert tasks.Counter()(1) == 1 and Pool.Manager(tasks.Counter()) is not None


def test_bad_options():
    for bad in 0, -1, 1.5, '2':
        with pytest.raises(ValueError):
            Pool.Manager(multiply, size=bad)
        with pytest.raises(ValueError):
            Pool.Manager(multiply, queue_size=bad)
    with pytest.raises(TypeError):
        Pool.Manager(multiply, logger='test')
    with pytest.raises(ValueError, match='backend'):
        Pool.Manager(multiply, backend='frok').start()
    with pytest.raises(TypeError, match='frobnicate'):
        Pool.Manager(multiply, frobnicate=1).start()


def test_its_size_is_that_of_the_machine():
    assert f'pool_size={Pool.cpu_count()}>' in repr(Pool.Manager(multiply))


def test_what_cannot_be_done_before_the_start():
    pool = Pool.Manager(multiply, size=1)
    for call in (lambda: pool.put(1, 2), lambda: pool.get(), lambda: pool.putAsync([1])):
        with pytest.raises(ValueError):
            call()
    assert not pool.isAlive()
    pool.clearTasks()
    pool.joinAsync()
    pool.close()
    pool.join()
    assert pool.getAll() == []


@few_kinds
def test_it_starts_once(kind):
    pool = manage(kind, multiply)
    pool.start()
    with pytest.raises(RuntimeError):
        pool.start()
    pool.put(1, 2)
    assert pool.get() == 2
    pool.join()
    with pytest.raises(RuntimeError):
        pool.start()


# --- putting and getting ---

def test_put_unpacks(kind):
    with manage(kind, multiply, ordered=True) as pool:
        pool.put(10, 20)
        pool.put((14, 25))
        assert pool.get() == 200
        assert pool.get() == 350
    with manage(kind, four) as pool:
        pool.put(1, 2, 3, 4)
        pool.put((1, (2,), 3, None))
        assert sorted(pool.getAll(), key=repr) == [(1, (2,), 3, None), (1, 2, 3, 4)]


@few_kinds
def test_put_of_one_item(kind):
    with manage(kind, tasks.identity, ordered=True) as pool:
        for item in 5, [1, 2], {'a': 1}, None, 'text', ((1, 2),), b'':
            pool.put(item)
        assert pool.getAll() == [5, [1, 2], {'a': 1}, None, 'text', (1, 2), b'']


@few_kinds
def test_put_of_nothing(kind):
    with manage(kind, nothing) as pool:
        pool.put()
        assert pool.get() == 'nothing'


def test_static_arguments_of_functions(kind):
    with manage(kind, multiply_by_static, static_args=[10]) as pool:
        pool.put(10)
        assert pool.get() == 100
        for x in range(1, 5):
            pool.put(x)
        assert sorted(pool.getAll()) == [10, 20, 30, 40]
    with manage(kind, four, static_args=('c', 'd')) as pool:
        pool.put('a', 'b')
        assert pool.get() == ('a', 'b', 'c', 'd')
    assert manage(kind, multiply_by_static, static_args=[10], ordered=True).map([1, 2, 3]) == [10, 20, 30]


def test_pool_processes(kind):
    with manage(kind, Worker, 1, static_args=[10, 'x'], ordered=True) as pool:
        pool.put(1)
        pool.put(1, 2)
        pool.put((3, 4))
        assert pool.getAll() == [((1,), (10, 'x'), 1), ((1, 2), (10, 'x'), 2), ((3, 4), (10, 'x'), 3)]
    with manage(kind, Worker, 2) as pool:
        for i in range(20):
            pool.put(i)
        counts = [done for _, static, done in pool.getAll() if static == ()]
        assert len(counts) == 20 and sum(n == 1 for n in counts) <= 2
    with manage(kind, tasks.Target, static_args=[3]) as pool:
        pool.put(5)
        assert pool.get() == 15


@few_kinds
def test_a_pool_process_without_run(kind):
    with manage(kind, Unfinished) as pool:
        pool.put(1)
        with pytest.raises(NotImplementedError, match='Unfinished'):
            pool.get()


@few_kinds
def test_a_pool_process_that_cannot_be_made(kind, capfd):
    with manage(kind, BadStart) as pool:
        pool.put(1)
        with pytest.raises(Exception, match='no database|left|restart|worker'):
            pool.get(timeout=30)


def test_lambdas(kind):
    if kind in ('spawn', 'forkserver'):
        pytest.importorskip('cloudpickle')
    n = 2
    with manage(kind, lambda x: x ** n) as pool:
        for i in range(10):
            pool.put(i)
        assert sorted(pool.getAll()) == [i * i for i in range(10)]
    assert sorted(manage(kind, lambda x, y: x + y, static_args=[1]).map([1, 2])) == [2, 3]


def test_a_task_that_raises(kind):
    with manage(kind, tasks.fail_if_odd, ordered=True) as pool:
        for i in range(3):
            pool.put(i)
        assert pool.get() == 0
        with pytest.raises(ValueError) as info:
            pool.get()
        assert info.value.args == (1,)
        if kind != 'threads':
            assert 'an odd number' in info.value.__cause__.tb
        assert pool.get() == 2


@few_methods
def test_what_cannot_be_sent(method):
    with manage(method, tasks.identity) as pool:
        with pytest.raises(Exception, match='(?i)pickle'):
            pool.put(threading.Lock())
        pool.put(1)
        assert pool.get() == 1
        with pytest.raises(ValueError):
            pool.get()


def test_large_items(kind):
    with manage(kind, tasks.identity, ordered=True) as pool:
        items = [bytes([i]) * (1 << 20) for i in range(6)]
        for item in items:
            pool.put(item)
        assert pool.getAll() == items
    with manage(kind, large, ordered=True) as pool:
        for n in 10, 1 << 16, 1 << 20:
            pool.put(n)
        assert [len(value) for value in pool.getAll()] == [10, 1 << 16, 1 << 20]


@few_kinds
def test_get_without_put(kind):
    with manage(kind, tasks.square) as pool:
        for options in {}, {'block': False}, {'timeout': 0.1}:
            with pytest.raises(ValueError):
                pool.get(**options)
        pool.put(2)
        assert pool.get() == 4
        with pytest.raises(ValueError):
            pool.get()


@few_kinds
def test_empty(kind):
    with manage(kind, tasks.sleep, 1) as pool:
        pool.put(2)
        with pytest.raises(queue.Empty):
            pool.get(block=False)
        with pytest.raises(queue.Empty):
            pool.get(False)
        start = time.monotonic()
        with pytest.raises(queue.Empty):
            pool.get(True, 0.05)
        with pytest.raises(Pool.Empty):
            pool.get(timeout=0.05)
        assert 0.09 < time.monotonic() - start < 2
        assert pool.get(timeout=20) == 2


@few_kinds
def test_full(kind, tmp_path):
    with manage(kind, tasks.sleep, 1, queue_size=2) as pool:
        # one is at work, two wait
        for _ in range(3):
            pool.put(1, timeout=20)
        with pytest.raises(queue.Full):
            pool.put(1, block=False)
        start = time.monotonic()
        with pytest.raises(Pool.Full):
            pool.put(1, timeout=0.05)
        assert 0.04 < time.monotonic() - start < 1
        pool.put(0, timeout=20)
        assert sorted(pool.getAll()) == [0, 1, 1, 1]


@few_kinds
def test_full_puts_nothing(kind):
    with manage(kind, tasks.sleep, 1, queue_size=1) as pool:
        pool.put(0.2)
        pool.put(0.2)
        for _ in range(20):
            with pytest.raises(queue.Full):
                pool.put(0.2, block=False)
        assert len(pool.getAll()) == 2


@few_kinds
def test_the_queue_has_twice_the_workers_room(kind):
    with manage(kind, tasks.sleep, 2) as pool:
        n = 0
        with pytest.raises(queue.Full):
            for n in range(100):
                pool.put(0.3, block=False)
        assert 4 <= n <= 8
        pool.getAll()


@few_kinds
def test_put_waits_though_nobody_gets(kind):
    """What has ended makes room, whoever takes the results."""
    with manage(kind, tasks.square, 2, queue_size=1) as pool:
        for i in range(200):
            pool.put(i, timeout=20)
        assert sorted(pool.getAll()) == [i * i for i in range(200)]


def test_ordered(kind):
    with manage(kind, slow_if_first, 2, ordered=True) as pool:
        for i in range(6):
            pool.put(i)
        with pytest.raises(queue.Empty):
            pool.get(block=False)
        assert [pool.get() for _ in range(3)] == [0, 1, 2]
        assert pool.getAll() == [3, 4, 5]
    with manage(kind, slow_if_first, 2, ordered=True) as pool:
        assert pool.map(range(6)) == list(range(6))


@few_kinds
def test_unordered(kind):
    with manage(kind, slow_if_first, 2) as pool:
        for i in range(5):
            pool.put(i)
        assert pool.getAll() == [1, 2, 3, 4, 0]
    with manage(kind, slow_if_first, 2) as pool:
        assert pool.map(range(5)) == [1, 2, 3, 4, 0]


@few_kinds
def test_get_all(kind):
    with manage(kind, tasks.square) as pool:
        assert pool.getAll() == []
        for i in range(5):
            pool.put(i)
        pool.get()
        assert len(pool.getAll()) == 4
        assert pool.getAll() == []


@few_kinds
def test_results_after_close(kind):
    pool = manage(kind, tasks.square, ordered=True)
    pool.start()
    for i in range(5):
        pool.put(i)
    pool.close()
    pool.close()
    with pytest.raises(ValueError):
        pool.put(1)
    with pytest.raises(ValueError):
        pool.putAsync([1])
    assert pool.get() == 0
    pool.join()
    pool.join()
    assert pool.getAll() == [1, 4, 9, 16]
    with pytest.raises(ValueError):
        pool.get()
    assert not pool.isAlive()


def test_many_from_two_threads(kind):
    n = 10000 if kind in ('fork', 'threads') else 2000
    with manage(kind, tasks.identity, 2, queue_size=200) as pool:
        failures = []

        def put():
            try:
                for i in range(n):
                    pool.put(i, timeout=60)
            except BaseException as error:
                failures.append(error)
        thread = threading.Thread(target=put)
        thread.start()
        found = []
        while len(found) < n and not failures:
            try:
                found.append(pool.get(timeout=60))
            except ValueError:  # the other has put none yet
                time.sleep(0.001)
        thread.join()
        assert not failures and sorted(found) == list(range(n))


@few_kinds
def test_two_that_put_and_two_that_get(kind):
    with manage(kind, tasks.identity, 2) as pool:
        found, lock = [], threading.Lock()

        def put(start):
            for i in range(start, start + 300):
                pool.put(i, timeout=60)

        def get():
            while True:
                with lock:
                    if len(found) >= 600:
                        return
                try:
                    value = pool.get(timeout=1)
                except (ValueError, queue.Empty):
                    time.sleep(0.001)
                    continue
                with lock:
                    found.append(value)
        threads = [threading.Thread(target=put, args=(0,)), threading.Thread(target=put, args=(300,)),
                   threading.Thread(target=get), threading.Thread(target=get)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert sorted(found) == list(range(600))


# --- in a thread of its own ---

def test_put_async(kind):
    with manage(kind, tasks.square, 2, ordered=True) as pool:
        assert pool.putAsync(iter(range(500))) is None
        with pytest.raises(RuntimeError):
            pool.putAsync([1])
        assert pool.get(timeout=20) == 0
        pool.joinAsync()
        assert pool.getAll() == [i * i for i in range(1, 500)]
        with pytest.raises(RuntimeError):
            pool.putAsync([1])
        pool.put(3)
        assert pool.get() == 9


@few_kinds
def test_put_async_does_not_wait(kind):
    with manage(kind, tasks.sleep, 1, queue_size=1) as pool:
        start = time.monotonic()
        pool.putAsync([0.4] * 5)
        # four of them would have to end first
        assert time.monotonic() - start < 1
        assert pool.getAll() == [0.4] * 5


@few_kinds
def test_put_async_unpacks(kind):
    with manage(kind, multiply, ordered=True) as pool:
        pool.putAsync([(1, 2), (3, 4)])
        assert pool.getAll() == [2, 12]


@few_kinds
def test_get_waits_for_what_is_yet_to_be_put(kind):
    def source():
        time.sleep(0.2)
        yield 7
    with manage(kind, tasks.square) as pool:
        pool.putAsync(source())
        assert pool.get(timeout=20) == 49
        pool.joinAsync()
        with pytest.raises(ValueError):
            pool.get()


@few_kinds
def test_put_async_of_a_source_that_raises(kind):
    def source():
        yield 1
        raise ZeroDivisionError('the source')
    with manage(kind, tasks.square) as pool:
        pool.putAsync(source())
        assert pool.get(timeout=20) == 1
        # the error is that of who waits for it, and told once
        with pytest.raises(ZeroDivisionError):
            pool.joinAsync()
        pool.joinAsync()
        pool.put(2)
        assert pool.get() == 4


@few_kinds
def test_close_ends_put_async(kind):
    pool = manage(kind, tasks.square, 2)
    pool.start()
    pool.putAsync(iter(int, 1))
    pool.get(timeout=20)
    pool.close()
    pool.joinAsync()
    pool.join()


@few_kinds
def test_join_waits_for_what_was_put_async(kind):
    """As the with statement of the documents has it"""
    with manage(kind, tasks.square, 2, ordered=True) as pool:
        pool.putAsync(range(50))
        pool.joinAsync()
    assert pool.getAll() == [i * i for i in range(50)]


# --- clearing ---

@few_kinds
def test_clear_tasks(kind, tmp_path):
    path, other = str(tmp_path / 'first'), str(tmp_path / 'others')
    with manage(kind, touch, 1, queue_size=20, ordered=True) as pool:
        pool.put(path, 0.5)
        until(lambda: touched(path))
        for _ in range(10):
            pool.put(other, 0)
        pool.clearTasks()
        pool.put(path, 0)
        assert pool.get(timeout=20) == path
        cleared = 0
        for _ in range(10):
            try:
                assert pool.get(timeout=20) == other
            except ValueError:
                cleared += 1
        assert pool.get(timeout=20) == path
        assert touched(other) + cleared == 10 and cleared >= 8
        assert touched(path) == 2


@few_kinds
def test_clearing_makes_room(kind):
    with manage(kind, tasks.sleep, 1, queue_size=2) as pool:
        for _ in range(3):
            pool.put(0.3)
        with pytest.raises(queue.Full):
            pool.put(0, block=False)
        pool.clearTasks()
        pool.put(0, timeout=0.25)
        pool.terminate()


@few_kinds
def test_clearing_nothing(kind):
    with manage(kind, tasks.square) as pool:
        pool.clearTasks()
        pool.put(2)
        assert pool.get() == 4
        pool.clearTasks()
        pool.put(3)
        assert pool.get() == 9


# --- map ---

def test_map_starts_and_ends_it(kind):
    pool = manage(kind, tasks.square)
    assert sorted(pool.map([1, 2, 3])) == [1, 4, 9]
    assert not pool.isAlive()
    with pytest.raises(ValueError):
        pool.put(1)
    assert manage(kind, multiply, ordered=True).map([(1, 2), (3, 4)]) == [2, 12]
    assert manage(kind, tasks.square).map([]) == []
    assert manage(kind, tasks.square, ordered=True).map(iter(range(300))) == [i * i for i in range(300)]


@few_kinds
def test_map_of_a_pool_that_runs(kind):
    with manage(kind, tasks.square, ordered=True) as pool:
        assert pool.map(range(5)) == [0, 1, 4, 9, 16]
        pool.put(7)
        assert pool.map(iter(range(3))) == [0, 1, 4]
        assert pool.get() == 49


@few_kinds
def test_map_that_fails_ends_what_it_began(kind):
    pool = manage(kind, tasks.fail_if_odd)
    with pytest.raises(ValueError):
        pool.map([0, 1, 2])
    assert not pool.isAlive()
    with manage(kind, tasks.fail_if_odd) as pool:
        with pytest.raises(ValueError):
            pool.map([0, 1, 2])
        assert pool.map([0, 2, 4]) and pool.isAlive()


# --- life ---

def test_with(kind):
    pool = manage(kind, tasks.square)
    with pool as same:
        assert same is pool and pool.isAlive()
        for i in range(4):
            pool.put(i)
    # closed and joined, not terminated
    assert sorted(pool.getAll()) == [0, 1, 4, 9]
    started = manage(kind, tasks.square)
    started.start()
    with started:
        started.put(1)
    assert started.get() == 1


@few_kinds
def test_with_and_an_exception(kind):
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        with manage(kind, tasks.sleep) as pool:
            for _ in range(3):
                pool.put(0.3 if kind == 'threads' else LONG)
            1 / 0
    assert time.monotonic() - start < 20
    assert 'TERMINATE' in repr(pool)


@few_kinds
def test_terminate(kind):
    pool = manage(kind, tasks.sleep, 1)
    pool.start()
    for _ in range(3):
        pool.put(0.3 if kind == 'threads' else LONG)
    pool.terminate()
    pool.terminate()
    for _ in range(2 if kind == 'threads' else 3):
        with pytest.raises(RuntimeError):
            pool.get(timeout=20)
            pool.get(timeout=20)
    with pytest.raises(ValueError):
        pool.put(1)
    pool.join()
    assert not pool.isAlive()


@few_methods
def test_is_alive_is_remembered(method):
    with manage(method, tasks.square, 2) as pool:
        assert pool.isAlive() is True
        for pid in pool._pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not pool._pool.get_workers())
        assert pool.isAlive() is True
        pool._alive_asked = None
        assert pool.isAlive() is False


@few_kinds
def test_daemon(kind):
    before = set(children())
    pool = manage(kind, tasks.sleep, 1)
    pool.start()
    pool.put(0.5 if kind == 'threads' else LONG)
    with pytest.warns(ResourceWarning, match='unclosed running pool'):
        del pool
        gc.collect()
    until(lambda: not set(children()) - before)


@few_kinds
def test_no_daemon(kind, tmp_path):
    path = str(tmp_path / 'x')
    pool = manage(kind, touch, 1, daemon=False)
    pool.start()
    pool.put(path, 0.3)
    pool.put(path, 0)
    del pool
    gc.collect()
    assert touched(path) == 2


@few_kinds
def test_it_is_let_go(kind):
    with manage(kind, tasks.square) as pool:
        pool.put(1)
        pool.get()
    ref = weakref.ref(pool)
    del pool
    gc.collect()
    assert ref() is None


@few_kinds
def test_repr_and_pickle(kind):
    pool = manage(kind, tasks.square)
    assert 'Manager state=INIT pool_size=2>' in repr(pool)
    with pool:
        assert 'state=RUN' in repr(pool)
    assert 'state=CLOSE' in repr(pool)
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)


def test_names_as_python_has_them():
    for ours, theirs in (('put_async', 'putAsync'), ('get_all', 'getAll'), ('is_alive', 'isAlive'),
                         ('join_async', 'joinAsync'), ('clear_tasks', 'clearTasks'), ('add_logger', 'addLogger'),
                         ('remove_logger', 'removeLogger')):
        assert getattr(Pool.Manager, ours) is getattr(Pool.Manager, theirs)


# --- deaths ---

@few_methods
def test_dead_workers_are_not_replaced(method):
    with manage(method, kill_if_odd, 2) as pool:
        pool.put(2)
        assert pool.get(timeout=20) == 2
        for _ in range(2):
            pool.put(1)
        for _ in range(2):
            with pytest.raises((Pool.WorkerLostError, RuntimeError)):
                pool.get(timeout=20)
        until(lambda: not pool._pool.get_workers())
        with pytest.raises((RuntimeError, ValueError)):
            pool.put(2)
            pool.get(timeout=20)


def test_no_worker_is_left(method):
    with manage(method, tasks.sleep, 2) as pool:
        for _ in range(6):
            pool.put(LONG)
        for pid in pool._pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        errors = []
        for _ in range(6):
            with pytest.raises(Exception) as info:
                pool.get(timeout=20)
            errors.append(info.value)
        assert sum(isinstance(error, RuntimeError) for error in errors) >= 4
        assert all(isinstance(error, (RuntimeError, Pool.WorkerLostError)) for error in errors)


@few_methods
def test_no_worker_is_left_and_results_are_still_had(method):
    with manage(method, tasks.square, 2) as pool:
        for i in range(3):
            pool.put(i)
        until(lambda: pool._pool.statistics()['done'] == 3 or pool._stream.get_n_ready() == 3)
        for pid in pool._pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not pool._pool.get_workers())
        assert sorted(pool.get(timeout=20) for _ in range(3)) == [0, 1, 4]


@few_methods
def test_one_worker_is_left(method):
    with manage(method, kill_if_odd, 2, ordered=True) as pool:
        pool.put(1)
        with pytest.raises(Pool.WorkerLostError):
            pool.get(timeout=20)
        for i in range(0, 20, 2):
            pool.put(i)
        assert pool.getAll() == list(range(0, 20, 2))
        assert pool.isAlive()


def test_a_resilient_manager(method):
    with manage(method, tasks.kill_now_and_then, 2, resilient=True) as pool:
        for i in (999, 1, 1999, 2):
            pool.put(i)
        assert sorted(pool.getAll()) == [1, 2, 999, 1999]
        assert len(pool._pool.worker_pids()) == 2


@few_methods
def test_a_resilient_manager_gives_up(method):
    with manage(method, kill_if_odd, 2, resilient=True, max_retries=1) as pool:
        pool.put(1)
        with pytest.raises(Pool.WorkerLostError):
            pool.get(timeout=20)
        pool.put(2)
        assert pool.get(timeout=20) == 2
