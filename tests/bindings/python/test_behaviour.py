# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs rely on that were written for multiprocessing.Pool."""

import gc
import itertools
import multiprocessing
import os
import pickle
import queue
import re
import sys
import threading
import time
import traceback
import weakref

import pytest

from conftest import make, until
from gi.repository import Pool
import tasks


def test_apply(pool):
    assert pool.apply(tasks.square, (5,)) == 25
    assert pool.apply(tasks.add, (1,), {'b': 2, 'c': 3}) == 6
    assert pool.apply_async(tasks.add, [1, 2]).get() == 3


def test_builtins_and_types(pool):
    assert pool.map(abs, [-1, 2]) == [1, 2]
    assert pool.map(int, ['1', '2']) == [1, 2]
    assert pool.apply(max, (3, 4)) == 4
    assert pool.map(str.upper, ['a', 'b']) == ['A', 'B']


@pytest.mark.parametrize('n', [0, 1, 2, 7, 100, 2001, 5000])
def test_map_keeps_the_order(pool, n):
    expected = [x * x for x in range(n)]
    assert pool.map(tasks.square, range(n)) == expected
    assert pool.map(tasks.square, list(range(n))) == expected
    assert pool.map(tasks.square, iter(range(n))) == expected
    assert pool.map(tasks.square, dict.fromkeys(range(n)).keys()) == expected


@pytest.mark.parametrize('chunksize', [1, 2, 3, 50, 1000])
def test_chunks(pool, chunksize):
    assert pool.map(tasks.square, range(101), chunksize) == [x * x for x in range(101)]
    assert list(pool.imap(tasks.square, range(101), chunksize)) == [x * x for x in range(101)]
    assert sorted(pool.imap_unordered(tasks.square, range(101), chunksize)) == [x * x for x in range(101)]
    assert pool.starmap(tasks.add, [(i, i) for i in range(50)], chunksize) == [2 * i for i in range(50)]


def test_starmaps(pool):
    pairs = [(i, 10 * i) for i in range(20)]
    expected = [11 * i for i in range(20)]
    assert pool.starmap(tasks.add, pairs) == expected
    assert pool.starmap_async(tasks.add, iter(pairs)).get() == expected
    assert list(pool.istarmap(tasks.add, pairs)) == expected
    assert sorted(pool.istarmap_unordered(tasks.add, pairs, 3)) == expected


def test_empty(pool):
    assert pool.map(tasks.square, []) == []
    assert pool.map_async(tasks.square, ()).get() == []
    assert list(pool.imap(tasks.square, [])) == []
    assert list(pool.imap_unordered(tasks.square, iter(()))) == []


@pytest.mark.parametrize('call', ['imap', 'imap_unordered'])
def test_bad_chunksize(pool, call):
    for bad in 0, -1:
        with pytest.raises(ValueError):
            getattr(pool, call)(tasks.square, [1], bad)
    with pytest.raises(ValueError):
        pool.map(tasks.square, [1], 0)


def test_exceptions_arrive_as_they_were(pool, kind):
    with pytest.raises(KeyError) as info:
        pool.apply(tasks.fail, ('k',))
    assert info.value.args == ('k',)
    if kind == 'threads':
        assert info.value.__cause__ is None
        assert 'raise KeyError(x)' in ''.join(traceback.format_tb(info.value.__traceback__))
        return
    cause = info.value.__cause__
    assert type(cause) is Pool.RemoteTraceback is multiprocessing.pool.RemoteTraceback
    assert 'raise KeyError(x)' in cause.tb
    assert '_libpool' not in cause.tb


def test_map_runs_all_and_raises_the_first(pool):
    result = pool.map_async(tasks.fail_if_odd, range(20))
    with pytest.raises(ValueError) as info:
        result.get()
    assert info.value.args == (1,)
    assert len(result) == 20 and result.n_done == 20
    assert result[2] == 2 and result[-2] == 18
    with pytest.raises(ValueError):
        result[3]
    with pytest.raises(IndexError):
        result[20]
    assert not result.successful()
    with pytest.raises(ValueError):
        pool.map(tasks.fail_if_odd, range(5000), 100)


def test_an_error_does_not_end_an_iteration(pool):
    for chunksize in 1, 4:
        found = []
        results = pool.imap(tasks.fail_if_odd, range(9), chunksize)
        while True:
            try:
                found.append(next(results))
            except StopIteration:
                break
            except ValueError as error:
                found.append(-error.args[0])
        assert found == [0, -1, 2, -3, 4, -5, 6, -7, 8]


def test_stop_iteration_of_a_task_loses_nothing(pool):
    result = pool.map_async(tasks.stop_iteration_if_five, range(20), 10)
    with pytest.raises(RuntimeError):
        result.get()
    assert result[4] == 4 and result[6] == 6 and result[19] == 19


def generator_that_raises(n):
    for i in range(n):
        yield i
    raise ZeroDivisionError('the source')


def test_a_generator_that_raises(pool):
    with pytest.raises(ZeroDivisionError):
        pool.map(tasks.square, generator_that_raises(3))
    for chunksize, good in (1, 3), (2, 2):
        results = pool.imap(tasks.square, generator_that_raises(3), chunksize)
        assert [next(results) for _ in range(good)] == [0, 1, 4][:good]
        with pytest.raises(ZeroDivisionError):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


def test_what_cannot_be_sent_is_the_results_own_error(processes):
    class Local:
        def __reduce__(self):
            raise RuntimeError('it stays here')

    bad = processes.apply_async(tasks.identity, (Local(),))
    good = processes.apply_async(tasks.identity, (1,))
    with pytest.raises(RuntimeError, match='it stays here'):
        bad.get()
    assert not bad.successful() and good.get() == 1
    results = processes.imap(tasks.identity, [1, Local(), 3])
    assert next(results) == 1
    with pytest.raises(RuntimeError):
        next(results)
    assert next(results) == 3
    errors = []
    processes.apply_async(tasks.identity, (Local(),), error_callback=errors.append).wait()
    assert isinstance(errors[0], RuntimeError)


def test_what_cannot_be_sent_back(processes):
    with pytest.raises(Pool.MaybeEncodingError) as info:
        processes.apply(tasks.return_lambda)
    assert 'lambda' in info.value.value and info.value.exc
    with pytest.raises(Pool.MaybeEncodingError):
        processes.apply(tasks.raise_unsendable)
    with pytest.raises(Pool.MaybeEncodingError):
        processes.apply(tasks.raise_two_arguments)
    assert processes.apply(tasks.square, (3,)) == 9


@pytest.mark.parametrize('how', ['exit', 'interrupt', 'base'])
def test_a_task_that_ends_oddly(pool, how):
    with pytest.raises(Pool.TaskExit) as info:
        pool.apply(tasks.exit_by, (how,))
    assert isinstance(info.value.exception, {'exit': SystemExit, 'interrupt': KeyboardInterrupt, 'base': GeneratorExit}[how])
    assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_a_task_that_ends_its_process(method):
    with make(method, max_retries=0) as pool:
        with pytest.raises(Pool.WorkerLostError, match='7'):
            pool.apply(tasks.exit_by, ('_exit',))
        with pytest.raises(Pool.WorkerLostError, match='9|KILL'):
            pool.apply(tasks.kill_me)
        assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_closures_and_lambdas(processes):
    pytest.importorskip('cloudpickle')
    n = 3
    assert processes.map(lambda x: x + n, [1, 2]) == [4, 5]

    def inner(a, b):
        return a * b + n
    assert processes.starmap(inner, [(1, 2), (3, 4)]) == [5, 15]
    assert processes.apply(lambda: n) == 3
    assert list(processes.imap(lambda x: x * n, range(5))) == [0, 3, 6, 9, 12]


def test_a_callable_with_state_is_each_calls_own(processes):
    assert processes.map(tasks.Counter(), range(6), 1) == [1] * 6
    assert processes.map(tasks.Counter(), range(6), 3) == [1, 2, 3] * 2
    counter = tasks.Counter()
    assert processes.apply(counter.method, (counter,)) is True


def test_callbacks_come_before_wait_returns(pool):
    for _ in range(50):
        got = []
        result = pool.apply_async(tasks.square, (7,), callback=got.append, error_callback=pytest.fail)
        result.wait()
        assert got == [49] and result.ready() and result.successful()
    got = []
    pool.map_async(tasks.square, range(3), callback=got.append).wait()
    assert got == [[0, 1, 4]]
    with pytest.raises(KeyError):
        pool.apply_async(tasks.fail, (1,), callback=pytest.fail, error_callback=got.append).get()
    assert isinstance(got[1], KeyError)


def test_callbacks_come_when_nobody_waits(pool):
    called = threading.Event()
    pool.apply_async(tasks.square, (2,), callback=lambda value: called.set())
    assert called.wait(10)


def test_a_callback_that_submits(pool):
    chain, done = [], threading.Event()

    def go_on(value):
        chain.append(value)
        if len(chain) == 100:
            done.set()
        else:
            pool.apply_async(tasks.add, (value, 1), callback=go_on)
    start = time.monotonic()
    go_on(0)
    assert done.wait(30)
    assert chain == list(range(100))
    # a pool that let each callback wait for a main context would need 5 s
    assert time.monotonic() - start < 4


def test_a_callback_that_raises(pool, caplog):
    def bad(value):
        raise OSError('in the callback')
    result = pool.apply_async(tasks.square, (2,), callback=bad)
    assert result.get() == 4
    assert 'in the callback' in caplog.text
    caplog.clear()  # its records hold frames
    with pytest.raises(OSError):
        pool.apply_async(tasks.square, (2,), callback=bad, callbacks_propagate=(OSError,)).get()


def test_timeouts_of_waiting(pool):
    result = pool.apply_async(tasks.sleep, (0.5,))
    for exception in multiprocessing.TimeoutError, TimeoutError, Pool.TimeoutError:
        with pytest.raises(exception):
            result.get(timeout=0.01)
    with pytest.raises(ValueError):
        result.successful()
    assert result.wait(0.01) is None and not result.ready()
    assert result.get() == 0.5
    results = pool.imap(tasks.sleep, [0.4])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    assert results.next(timeout=10) == 0.4
    with pytest.raises(StopIteration):
        results.next(timeout=0.01)


def test_closed_pools_refuse(kind):
    pool = make(kind)
    result = pool.apply_async(tasks.square, (3,))
    pool.close()
    pool.close()
    for call in (pool.apply, pool.apply_async):
        with pytest.raises(ValueError, match='Pool not running'):
            call(tasks.square, (1,))
    for call in (pool.map, pool.map_async, pool.imap, pool.imap_unordered, pool.starmap, pool.istarmap):
        with pytest.raises(ValueError, match='Pool not running'):
            call(tasks.square, [1])
    with pytest.raises(ValueError):
        pool.__enter__()
    pool.join()
    pool.join()
    assert result.get() == 9


def test_join_of_a_running_pool(pool):
    with pytest.raises(ValueError, match='still running'):
        pool.join()


def test_terminated_pools(kind):
    pool = make(kind)
    results = [pool.apply_async(tasks.sleep, (0.3 if kind == 'threads' else 60,)) for _ in range(5)]
    mapped = pool.map_async(tasks.sleep, [0.3 if kind == 'threads' else 60] * 5)
    pool.terminate()
    pool.terminate()
    pool.join()
    assert all(result.ready() for result in [*results, mapped])
    assert not any(result.successful() for result in results[2:])
    with pytest.raises(Pool.Terminated):
        results[4].get()
    with pytest.raises(Pool.Terminated):
        mapped.get()
    with pytest.raises(ValueError):
        pool.apply(tasks.square, (1,))


@pytest.mark.parametrize('bad', [0, -1])
def test_bad_sizes(kind, bad):
    with pytest.raises(ValueError, match='at least 1'):
        make(kind, bad)


def test_bad_arguments():
    for bad in 0, -1, 0.5, '12':
        with pytest.raises(ValueError):
            Pool.Pool(1, maxtasksperchild=bad)
    with pytest.raises(TypeError):
        Pool.Pool(1, initializer=1)
    with pytest.raises(ValueError, match='backend'):
        Pool.Pool(1, backend='frok')
    with pytest.raises(ValueError, match='start method'):
        Pool.Pool(1, start_method='frok')
    with pytest.raises(TypeError, match='frobnicate'):
        Pool.Pool(1, frobnicate=1)
    with pytest.raises(ValueError):
        Pool.Pool(1, timeout=-1)


def test_planned_backends_say_so():
    for kind in Pool.ZPool, Pool.ResilientZPool, Pool.MPIPool:
        assert issubclass(kind, Pool.Pool)
        name = 'mpi' if kind is Pool.MPIPool else 'zmq'
        if name not in Pool.list_backends():
            with pytest.raises(ValueError, match=name):
                kind(1)
    with pytest.warns(UserWarning, match='maxtasksperchild'), pytest.raises(ValueError):
        Pool.MPIPool(1, maxtasksperchild=3, backend='none')


def test_it_is_a_context_manager(kind):
    with make(kind) as pool:
        assert pool.map(tasks.square, [1]) == [1]
    with pytest.raises(ValueError):
        pool.map(tasks.square, [1])
    pool.join()


def test_repr_and_pickle(pool):
    assert re.search(r'Pool state=RUN pool_size=2>$', repr(pool))
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)
    assert 'running' in repr(pool.apply_async(tasks.sleep, (0.1,)))


def test_a_dropped_pool_warns_and_goes(kind):
    pool = make(kind)
    pool.apply_async(tasks.sleep, (0.2 if kind == 'threads' else 60,))
    with pytest.warns(ResourceWarning, match='unclosed running multiprocessing pool'):
        del pool
        gc.collect()


def test_a_pool_in_a_cycle_goes(kind):
    pool = make(kind, 1)
    pool.apply(tasks.square, (1,))
    cycle = [pool]
    pool.cycle = cycle
    ref = weakref.ref(pool)
    pool.close()
    pool.join()
    del pool, cycle
    gc.collect()
    assert ref() is None


def test_a_result_keeps_its_pool(kind):
    with pytest.warns(ResourceWarning):
        assert make(kind, 1).apply_async(tasks.square, (4,)).get() == 16
        gc.collect()


class Thing:
    pass


def test_arguments_and_results_are_let_go(pool, kind):
    things = [Thing() for _ in range(10)]
    refs = [weakref.ref(thing) for thing in things]
    if kind != 'threads':
        things = [tasks.Counter() for _ in range(10)]
        refs = [weakref.ref(thing) for thing in things]
    pool.map(tasks.identity, things)
    list(pool.imap(tasks.identity, things))
    pool.apply(tasks.identity, (things[0],))
    del things
    until(lambda: gc.collect() is not None and all(ref() is None for ref in refs))


def test_initializer_runs_once_in_each_worker(kind):
    tasks.state.clear()
    with make(kind, 2, tasks.begin, (1, 'two')) as pool:
        pool.worker_pids()  # all have begun
        states = pool.map(tasks.get_state, range(20), 1)
        assert all(state['args'] == (1, 'two') for state in states)
        assert all(state['begun'] == (2 if kind == 'threads' else 1) for state in states[-1:])
    tasks.state.clear()


def test_an_initializer_that_fails_does_not_go_on_for_ever(kind, capfd):
    with make(kind, 2, tasks.begin_badly) as pool:
        with pytest.raises(Exception, match='no database'):
            pool.apply_async(tasks.square, (1,)).get(60)
    assert 'no database' in capfd.readouterr().err


def test_locks_and_queues_as_initargs(method):
    context = multiprocessing.get_context(method)
    lock, values = context.Lock(), context.SimpleQueue()
    with make(method, 2, tasks.begin, (lock, values), context=context) as pool:
        pool.map(put_under_lock, range(10))
    assert sorted(values.get() for _ in range(10)) == list(range(10))
    values.close()


def put_under_lock(x):
    lock, values = tasks.state['args']
    with lock:
        values.put(x)


def test_tasks_run_in_the_main_thread_of_a_worker(method):
    with make(method) as pool:
        facts = pool.map(tasks.where, range(8), 1)
        assert all(fact['main'] and fact['threads'] == 1 for fact in facts)
        assert os.getpid() not in {fact['pid'] for fact in facts}
        assert all(re.fullmatch(r'(Fork|ForkServer|Spawn)PoolWorker-\d', fact['name']) for fact in facts)
        assert {fact['file'] for fact in facts} == {tasks.__file__}
        assert len({fact['random'] for fact in facts}) == len(facts)


def test_maxtasksperchild(processes, method):
    with make(method, 2, maxtasksperchild=5) as pool:
        pids = pool.map(tasks.who, range(60), 1)
        assert len(set(pids)) >= 6
        assert max(pids.count(pid) for pid in set(pids)) <= 10


def test_output_of_tasks_is_not_lost(method, capfd):
    with make(method) as pool:
        pool.map(tasks.print_both, range(20))
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == sorted(f'out {i}' for i in range(20))
    assert sorted(err.splitlines()) == sorted(f'err {i}' for i in range(20))


def test_pools_in_tasks(method):
    with make(method, 2) as pool:
        assert pool.map(tasks.nested, [3, 4]) == [5, 14]


def test_a_subclass(kind):
    class Mine(Pool.ThreadPool if kind == 'threads' else Pool.Pool):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mine = True
    options = {} if kind == 'threads' else {'start_method': kind}
    with Mine(1, **options) as pool:
        assert pool.mine and pool.apply(tasks.square, (2,)) == 4


@pytest.mark.parametrize('kind', ['fork', 'threads'])
@pytest.mark.parametrize('make_one', [
    lambda pool: pool.apply_async(tasks.square, (3,)),
    lambda pool: pool.map_async(tasks.square, range(300), 1),
    lambda pool: pool.map_async(tasks.square, range(5000)),
    lambda pool: pool.map_async(tasks.identity, [bytes(100_000)] * 3),
])
def test_threads_that_wait_for_one_result(kind, make_one):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with make(kind) as pool:
            for _ in range(50):
                result, barrier, values = make_one(pool), threading.Barrier(4), []

                def get():
                    barrier.wait(20)
                    values.append(result.get(20))

                result.wait()
                threads = [threading.Thread(target=get) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len(values) == 4 and values[0] is not None and all(value == values[0] for value in values)
    finally:
        sys.setswitchinterval(interval)


def test_threads_that_submit_at_once(pool):
    results = queue.Queue()

    def submit(n):
        try:
            for i in range(20):
                results.put((n * i, pool.apply(tasks.add, (n * i, 0))))
            results.put((sum(x * x for x in range(50)), sum(pool.imap_unordered(tasks.square, range(50)))))
            results.put(([x * x for x in range(30)], pool.map(tasks.square, range(30))))
        except BaseException as error:
            results.put((None, error))
    threads = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    got = [results.get_nowait() for _ in range(8 * 22)]
    assert all(expected == value for expected, value in got), [pair for pair in got if pair[0] != pair[1]][:3]


def test_an_endless_source_is_taken_as_needed(pool):
    taken = itertools.count()
    last = [0]

    def source():
        for i in taken:
            last[0] = i
            yield i
    results = pool.imap(tasks.square, source())
    for n in range(300):
        assert next(results) == n * n
        assert last[0] - n <= 300
    time.sleep(0.2)
    assert last[0] < 300 + 300
    del results


def test_a_source_that_waits_for_results(pool):
    """The way round eager pools: a generator that waits until results are taken"""
    room = threading.BoundedSemaphore(3)

    def source():
        for i in range(60):
            room.acquire()
            yield i
    found = []
    for value in pool.imap_unordered(tasks.square, source()):
        found.append(value)
        room.release()
    assert sorted(found) == [i * i for i in range(60)]


def test_a_slow_source_does_not_hold_up_results(pool):
    def source():
        yield 1
        time.sleep(2)
        yield 2
    pool.apply(tasks.square, (1,))
    start = time.monotonic()
    results = pool.imap(tasks.square, source())
    assert next(results) == 1
    assert time.monotonic() - start < 1.9
    assert next(results) == 4


def test_results_after_the_pool_has_ended(kind):
    pool = make(kind)
    results = pool.imap(tasks.square, range(1000))
    unordered = pool.imap_unordered(tasks.square, iter(range(1000)))
    pool.close()
    pool.join()
    assert list(results) == [i * i for i in range(1000)]
    assert sorted(unordered) == [i * i for i in range(1000)]


def test_an_iterator_that_is_dropped_still_runs_its_items(kind, tmp_path):
    pool = make(kind)
    pool.imap_unordered(write_file, [(str(tmp_path), i) for i in range(500)])
    pool.close()
    pool.join()
    assert len(list(tmp_path.iterdir())) == 500


def write_file(where):
    with open(os.path.join(where[0], str(where[1])), 'w') as file:
        file.write('x')


def test_one_long_item_does_not_hold_up_the_others(kind):
    with make(kind, 2) as pool:
        pool.map(tasks.sleep, [0.1] * 4, 1)  # both workers are up
        workers = pool.map(tasks.slow_if_first, range(100))
        if kind != 'threads':
            # what had been dealt to the worker of the long one was taken back
            assert workers[1:].count(workers[0]) < 15


def test_cpu_count():
    assert Pool.cpu_count() == len(os.sched_getaffinity(0)) or Pool.cpu_count() >= 1
    with Pool.Pool() as pool:
        assert pool.cpu_count() == Pool.cpu_count() == pool._processes
