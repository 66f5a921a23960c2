# SPDX-License-Identifier: LGPL-2.1-or-later
"""ThreadPool.map() with a chunksize of 1, whose threads take items by themselves."""

import gc
import sys
import threading
import time
import weakref

import pytest

from conftest import until
from gi.repository import Pool

import tasks


@pytest.fixture
def pool():
    made = Pool.ThreadPool(2)
    yield made
    made.terminate()
    made.join()


@pytest.mark.parametrize('n', [0, 1, 2, 3, 255, 256, 257, 513, 20_000])
def test_results_are_in_order(pool, n):
    assert pool.map(tasks.square, range(n), 1) == [x * x for x in range(n)]
    assert pool.starmap(tasks.add, ((x, 1) for x in range(n)), 1) == [x + 1 for x in range(n)]


def test_as_many_turns_as_threads():
    with Pool.ThreadPool(20) as pool:
        barrier = threading.Barrier(20)
        assert sorted(pool.map(lambda _: barrier.wait(20), range(20), 1)) == list(range(20))
    pool.join()


def test_every_item_has_its_own_exception(pool):
    result = pool.map_async(tasks.fail_if_odd, range(1000), 1)
    with pytest.raises(ValueError) as info:
        result.get()
    assert info.value.args == (1,) and len(result) == 1000 and result.n_done == 1000 and result.progress == 1
    assert result[998] == 998
    with pytest.raises(ValueError):
        result[999]
    assert 'fail_if_odd' in [entry.name for entry in info.traceback] and info.value.__cause__ is None


def test_exceptions_that_are_no_errors(pool):
    result = pool.map_async(lambda error: next(iter(())) if error is None else sys.exit(error), [3, None, 4], 1)
    result.wait()
    for index, expected in enumerate((Pool.TaskExit, StopIteration, Pool.TaskExit)):
        with pytest.raises(expected):
            result[index]


def test_a_slow_item_keeps_nobody_waiting(pool):
    """The first ends after the last: whoever waits behind it would wait for ever."""
    last = threading.Event()

    def work(x):
        if x == 0:
            return last.wait(20)
        if x == 4999:
            last.set()
        return True

    assert all(pool.map(work, range(5000), 1))


def test_workers_that_come_later_take_part():
    with Pool.ThreadPool(1) as pool:
        barrier = threading.Barrier(2)
        result = pool.map_async(lambda x: x > 1 or barrier.wait(20) >= 0, range(300), 1)
        pool.grow()
        assert all(result.get(20))
    pool.join()


def test_callbacks_and_the_task(pool):
    called = []
    result = pool.map_async(lambda x: Pool.current_task() is not None, range(10), 1, callback=called.append)
    assert result.get() == [True] * 10 and called == [[True] * 10]
    failed = []
    pool.map_async(tasks.fail, 'a', 1, error_callback=failed.append).wait()
    assert failed[0].args == ('a',)


def test_shared_values(pool):
    shared = Pool.shared([1, 2])
    assert pool.map(sum, [shared, [3]], 1) == [3, 3]
    assert pool.starmap(sum, [(shared, 10)], 1) == [13]


def test_progress(pool):
    go = threading.Semaphore(0)
    result = pool.map_async(lambda x: go.acquire(), range(400), 1)
    assert result.n_done == 0 and result.progress == 0
    for n in 1, 100, 398:
        while result.n_done < n:
            go.release()
            time.sleep(0.001)
        assert n <= result.n_done <= n + 2
    go.release(10)
    result.get()
    assert result.n_done == 400 and result.progress == 1


@pytest.mark.parametrize('end', ['cancel', 'terminate', 'terminate_pool', 'drop'])
def test_what_has_ended_stays(end):
    pool = Pool.ThreadPool(2, grace=0.1)
    begun, go, rest = threading.Event(), threading.Event(), []

    def work(x):
        if x > 10:
            rest.append(x)
            begun.set()
            go.wait(20)
        return x

    result = pool.map_async(work, range(1000), 1)
    assert begun.wait(20)
    if end == 'cancel':
        assert result.cancel()
    elif end == 'terminate':
        result.terminate()
    elif end == 'terminate_pool':
        pool.terminate()
    else:
        pool.__del__(_warn=lambda *_, **__: None)
    if end != 'drop':
        with pytest.raises(Pool.CancelledError if end == 'cancel' else Pool.Terminated):
            result.get(20)
        assert result[5] == 5
        with pytest.raises((Pool.CancelledError, Pool.Terminated)):
            result[900]
    go.set()
    if end == 'drop':
        until(result.ready)
    time.sleep(0.05)
    assert len(rest) <= 4, rest
    if end in ('cancel', 'terminate'):
        # those that were given up are replaced
        assert pool.map(tasks.square, range(10), 1) == [x * x for x in range(10)]
    if end != 'drop':
        pool.terminate()
        pool.join()


def test_limits_are_of_items():
    with Pool.ThreadPool(2, timeout=0.2) as pool:
        result = pool.map_async(tasks.sleep, [0, 0.6, 0, 0], 1)
        result.wait()
        with pytest.raises(Pool.TimeLimitExceeded):
            result[1]
        assert result[0] == result[3]
        # each of them is short
        pool.map(tasks.sleep, [0.04] * 20, 1)


def test_items_and_exceptions_are_let_go(pool):
    class Item:
        pass

    begun, go = threading.Event(), threading.Event()
    first = Item()
    seen = weakref.ref(first)

    def work(item):
        if item is None:
            begun.set()
            go.wait(20)

    items = [first, *[None] * 3]
    result = pool.map_async(work, iter(items), 1)
    del first, items
    assert begun.wait(20)
    until(lambda: seen() is None)
    go.set()
    result.get()

    errors = weakref.WeakSet()

    class Error(Exception):
        def __init__(self):
            errors.add(self)

    def fail(_):
        raise Error

    gc.collect()
    gc.disable()
    try:
        result = pool.map_async(fail, [1, 2, 3], 1)
        result.wait()
        assert not result.successful() and len(errors) == 3
        result = None
        until(lambda: not errors)
    finally:
        gc.enable()


def test_several_maps_at_once(pool):
    results = [pool.map_async(tasks.square, range(n * 1000), 1) for n in range(8)]
    for n, result in enumerate(results):
        assert result.get() == [x * x for x in range(n * 1000)]
    assert not pool._calls.maps
