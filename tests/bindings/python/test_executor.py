# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pool.Executor, by the contract of concurrent.futures."""

import asyncio
import concurrent.futures
import os
import threading
import time

import pytest

from conftest import children, until
from gi.repository import Pool
import tasks

#: Where the start of the workers makes no difference.
few_methods = pytest.mark.parametrize('method', ['fork'])

LONG = 60


def touch(path, seconds=0):
    with open(path, 'a') as file:
        file.write('x')
    time.sleep(seconds)
    return path


@pytest.fixture
def executor(method):
    with Pool.Executor(2, start_method=method) as made:
        yield made


def test_submit(executor):
    future = executor.submit(tasks.square, 5)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(20) == 25 and future.done() and not future.running() and not future.cancelled()
    assert future.exception() is None
    assert executor.submit(tasks.add, 1, b=2, c=3).result(20) == 6
    # names of submit()'s own arguments are the function's
    assert executor.submit(dict, fn=1, self=2).result(20) == {'fn': 1, 'self': 2}


def test_map(executor):
    assert list(executor.map(tasks.square, range(50))) == [i * i for i in range(50)]
    assert list(executor.map(tasks.add, range(5), range(5))) == [0, 2, 4, 6, 8]
    assert list(executor.map(tasks.square, range(50), chunksize=7)) == [i * i for i in range(50)]
    assert list(executor.map(tasks.square, [])) == []
    with pytest.raises(ValueError):
        executor.map(tasks.square, [1], chunksize=0)
    results = executor.map(tasks.fail_if_odd, range(4))
    assert next(results) == 0
    with pytest.raises(ValueError):
        next(results)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(executor.map(tasks.sleep, [0.5], timeout=0.05))


def test_exceptions(executor):
    future = executor.submit(tasks.fail, 'k')
    with pytest.raises(KeyError) as info:
        future.result(20)
    assert info.value is future.exception()
    assert 'raise KeyError(x)' in info.value.__cause__.tb
    with pytest.raises(Exception, match='(?i)pickle'):
        executor.submit(tasks.identity, threading.Lock()).result(20)
    with pytest.raises(Pool.MaybeEncodingError):
        executor.submit(tasks.return_lambda).result(20)


@few_methods
def test_as_completed_and_wait(executor):
    slow, fast = executor.submit(tasks.sleep, 0.6), executor.submit(tasks.sleep, 0.01)
    assert list(concurrent.futures.as_completed([slow, fast], 20)) == [fast, slow]
    futures = [executor.submit(tasks.sleep, 0.5), executor.submit(tasks.square, 2)]
    done, pending = concurrent.futures.wait(futures, 20, concurrent.futures.FIRST_COMPLETED)
    assert done == {futures[1]} and pending == {futures[0]}
    done, pending = concurrent.futures.wait(futures, 20)
    assert len(done) == 2 and not pending
    futures = [executor.submit(tasks.sleep, 0.8), executor.submit(tasks.fail, 2)]
    done, pending = concurrent.futures.wait(futures, 20, concurrent.futures.FIRST_EXCEPTION)
    assert done == {futures[1]}
    with pytest.raises(concurrent.futures.TimeoutError):
        futures[0].result(0.01)


@few_methods
def test_running_and_cancelling(method, tmp_path):
    path = str(tmp_path / 'begun')
    with Pool.Executor(1, start_method=method) as executor:
        running = executor.submit(touch, path, 0.6)
        waiting = [executor.submit(touch, path, 0) for _ in range(3)]
        until(running.running)
        assert not running.cancel() and not running.done()
        called = []
        waiting[2].add_done_callback(called.append)
        assert waiting[2].cancel() and waiting[2].cancelled() and waiting[2].done()
        assert called == [waiting[2]]
        with pytest.raises(concurrent.futures.CancelledError):
            waiting[2].result()
        done, pending = concurrent.futures.wait(waiting, 20)
        assert done == set(waiting) and not pending
        assert running.result(20) == path and waiting[1].result(20) == path
        assert waiting[2] in list(concurrent.futures.as_completed(waiting, 20))
    assert os.path.getsize(path) == 3


@few_methods
def test_done_callbacks(executor):
    called, done = [], threading.Event()
    future = executor.submit(tasks.square, 3)
    future.add_done_callback(lambda future: called.append(future.result()))
    future.add_done_callback(lambda future: done.set())
    assert done.wait(20) and called == [9]
    future.add_done_callback(lambda future: called.append('late'))
    assert called == [9, 'late']


@few_methods
def test_a_callback_that_submits(executor):
    done = threading.Event()
    found = []

    def go_on(future):
        found.append(future.result())
        if len(found) == 30:
            done.set()
        else:
            executor.submit(tasks.add, future.result(), 1).add_done_callback(go_on)
    executor.submit(tasks.identity, 0).add_done_callback(go_on)
    assert done.wait(20) and found == list(range(30))


@few_methods
def test_shutdown(method):
    executor = Pool.Executor(2, start_method=method)
    futures = [executor.submit(tasks.sleep, 0.1) for _ in range(6)]
    executor.shutdown()
    assert all(future.done() and future.result() == 0.1 for future in futures)
    with pytest.raises(RuntimeError, match='shutdown'):
        executor.submit(tasks.square, 1)
    with pytest.raises(RuntimeError):
        executor.map(tasks.square, [1])
    executor.shutdown()


@few_methods
def test_shutdown_without_waiting(method):
    executor = Pool.Executor(1, start_method=method)
    futures = [executor.submit(tasks.sleep, 0.5) for _ in range(3)]
    start = time.monotonic()
    executor.shutdown(wait=False)
    assert time.monotonic() - start < 1.2
    assert [future.result(20) for future in futures] == [0.5] * 3


@few_methods
def test_shutdown_that_cancels(method):
    executor = Pool.Executor(1, start_method=method)
    futures = [executor.submit(tasks.sleep, 0.3) for _ in range(10)]
    until(futures[0].running)
    start = time.monotonic()
    executor.shutdown(cancel_futures=True)
    assert time.monotonic() - start < 2
    assert futures[0].result() == 0.3
    assert all(future.done() for future in futures)
    assert sum(future.cancelled() for future in futures) >= 8


@few_methods
def test_with(method):
    before = set(children())
    with Pool.Executor(2, start_method=method) as executor:
        future = executor.submit(tasks.sleep, 0.3)
    assert future.done() and future.result() == 0.3
    until(lambda: not set(children()) - before)


def test_initializers(method):
    with Pool.Executor(1, initializer=tasks.begin, initargs=(1, 2), start_method=method) as executor:
        assert executor.submit(tasks.get_state).result(20)['args'] == (1, 2)
    with Pool.Executor(1, initializer=tasks.begin_badly, start_method=method) as executor:
        with pytest.raises(Exception, match='no database'):
            executor.submit(tasks.square, 1).result(30)


@few_methods
def test_max_tasks_per_child(method):
    with Pool.Executor(1, max_tasks_per_child=2, start_method=method) as executor:
        assert len({executor.submit(os.getpid).result(20) for _ in range(6)}) == 3


def test_bad_arguments():
    for bad in 0, -1:
        with pytest.raises(ValueError):
            Pool.Executor(bad)
    with pytest.raises(TypeError):
        Pool.Executor(1, initializer=1)
    with Pool.Executor() as executor:
        assert executor.submit(tasks.square, 3).result(20) == 9


def test_a_worker_that_dies(method):
    """ProcessPoolExecutor is broken after that"""
    with Pool.Executor(2, start_method=method, max_retries=0) as executor:
        bad, good = executor.submit(tasks.kill_me), executor.submit(tasks.sleep, 0.2)
        with pytest.raises(Pool.WorkerLostError):
            bad.result(20)
        assert good.result(20) == 0.2
        assert list(executor.map(tasks.square, range(10))) == [i * i for i in range(10)]


@few_methods
def test_asyncio(executor):
    async def main():
        loop = asyncio.get_running_loop()
        values = await asyncio.gather(*(loop.run_in_executor(executor, tasks.square, i) for i in range(20)))
        assert values == [i * i for i in range(20)]
    asyncio.run(main())


@few_methods
def test_a_dropped_executor_goes(method):
    before = set(children())
    executor = Pool.Executor(2, start_method=method)
    future = executor.submit(tasks.sleep, 0.1)
    del executor
    assert future.result(20) == 0.1
    del future
    import gc
    gc.collect()
    until(lambda: not set(children()) - before)
