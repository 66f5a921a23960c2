# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools in asyncio, and in programs with a GLib main loop."""

import asyncio
import os
import threading
import time

import pytest

from conftest import until
from gi.repository import GLib, Pool
import tasks

#: Where the start of the workers makes no difference.
few_kinds = pytest.mark.parametrize('kind', ['fork', 'threads'])
few_methods = pytest.mark.parametrize('method', ['fork'])

LONG = 60


def touch(path, seconds=0):
    with open(path, 'a') as file:
        file.write('x')
    time.sleep(seconds)
    return path


def test_await(pool):
    async def main():
        assert await pool.apply_async(tasks.square, (3,)) == 9
        assert await pool.map_async(tasks.square, range(50)) == [i * i for i in range(50)]
        assert await pool.starmap_async(tasks.add, [(1, 2), (3, 4)]) == [3, 7]
        with pytest.raises(KeyError):
            await pool.apply_async(tasks.fail, ('k',))
        with pytest.raises(ValueError):
            await pool.map_async(tasks.fail_if_odd, range(4))
        ended = pool.apply_async(tasks.square, (4,))
        ended.wait()
        assert await ended == 16 and await ended == 16
        called = []
        assert await pool.apply_async(tasks.square, (5,), callback=called.append) == 25
        assert called == [25]
    asyncio.run(main())


@few_kinds
def test_await_does_not_block_the_loop(pool):
    async def main():
        ticks = 0
        result = asyncio.ensure_future(_await(pool.apply_async(tasks.sleep, (0.5,))))
        while not result.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert await result == 0.5
        assert ticks > 10
    asyncio.run(main())


async def _await(result):
    return await result


@few_kinds
def test_many_at_once(pool):
    async def main():
        results = await asyncio.gather(*(_await(pool.apply_async(tasks.square, (i,))) for i in range(100)))
        assert results == [i * i for i in range(100)]
        results = await asyncio.gather(*(_await(pool.apply_async(tasks.fail_if_odd, (i,))) for i in range(100)),
                                       return_exceptions=True)
        assert [result if i % 2 == 0 else result.args[0] for i, result in enumerate(results)] == list(range(100))
    asyncio.run(main())


@few_kinds
def test_two_that_await_one(pool):
    async def main():
        result = pool.apply_async(tasks.sleep, (0.2,))
        assert await asyncio.gather(_await(result), _await(result)) == [0.2, 0.2]
    asyncio.run(main())


def test_cancelling_ends_the_task(processes, tmp_path):
    path = str(tmp_path / 'begun')

    async def main():
        result = processes.apply_async(touch, (path, LONG))
        other = processes.apply_async(tasks.sleep, (0.3,))
        waits = asyncio.ensure_future(_await(result))
        # a task that is cancelled before it has begun awaits nothing
        await asyncio.sleep(0)
        while not os.path.exists(path):
            await asyncio.sleep(0.01)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert await other == 0.3
        start = time.monotonic()
        with pytest.raises(Pool.CancelledError):
            result.get(20)
        assert time.monotonic() - start < 15
        assert await processes.map_async(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    asyncio.run(main())
    assert os.path.getsize(path) == 1


@few_methods
def test_wait_for(processes):
    async def main():
        start = time.monotonic()
        result = processes.apply_async(tasks.sleep, (LONG,))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(result), 0.2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(processes.map_async(tasks.sleep, [LONG, LONG]), 0.2)
        assert time.monotonic() - start < 10
        assert await asyncio.wait_for(_await(processes.apply_async(tasks.square, (3,))), 20) == 9
    asyncio.run(main())


@few_kinds
@pytest.mark.parametrize('source', [list, iter])
@pytest.mark.parametrize('n', [0, 1, 500])
def test_async_for(pool, source, n):
    async def main():
        found = []
        async for value in pool.imap(tasks.square, source(list(range(n)))):
            found.append(value)
        assert found == [i * i for i in range(n)]
        assert sorted([value async for value in pool.imap_unordered(tasks.square, source(list(range(n))))]) == found
        assert [value async for value in pool.imap(tasks.square, source(list(range(n))), 7)] == found
    asyncio.run(main())


@few_kinds
@pytest.mark.parametrize('source', [list, iter])
def test_an_error_does_not_end_an_iteration(pool, source):
    async def main():
        found = []
        results = pool.imap(tasks.fail_if_odd, source(list(range(6))))
        while True:
            try:
                found.append(await results.__anext__())
            except StopAsyncIteration:
                break
            except ValueError as error:
                found.append(-error.args[0])
        assert found == [0, -1, 2, -3, 4, -5]
    asyncio.run(main())


@few_kinds
def test_a_source_that_raises(pool):
    def source():
        yield 1
        raise ZeroDivisionError('the source')

    async def main():
        results = pool.imap(tasks.square, source())
        assert await results.__anext__() == 1
        with pytest.raises(ZeroDivisionError):
            await results.__anext__()
        with pytest.raises(StopAsyncIteration):
            await results.__anext__()
    asyncio.run(main())


@few_kinds
def test_an_iteration_that_is_left(pool):
    async def main():
        async for value in pool.imap(tasks.square, range(1000)):
            if value > 10:
                break
        results = pool.imap(tasks.sleep, [0.3, 0.01])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(results.__anext__(), 0.05)
        # nothing is lost by that
        assert [value async for value in results] == [0.3, 0.01]
    asyncio.run(main())


@few_kinds
def test_a_slow_source_does_not_block_the_loop(pool):
    def source():
        for i in range(3):
            time.sleep(0.2)
            yield i

    async def main():
        ticks, ended = [0], False

        async def tick():
            while not ended:
                ticks[0] += 1
                await asyncio.sleep(0.01)
        ticking = asyncio.ensure_future(tick())
        assert [value async for value in pool.imap(tasks.square, source())] == [0, 1, 4]
        ended = True
        await ticking
        assert ticks[0] > 10
    asyncio.run(main())


@few_kinds
def test_two_iterations_at_once(pool):
    async def main():
        async def run(n):
            return [value async for value in pool.imap(tasks.square, range(n))]
        found = await asyncio.gather(run(100), run(200), run(0))
        assert [len(values) for values in found] == [100, 200, 0]
    asyncio.run(main())


def test_it_is_fast(pool):
    """A pool that polled, or let each call wait for a main context, would need 20 ms each."""
    async def main():
        await pool.apply_async(tasks.square, (1,))
        start = time.monotonic()
        for i in range(50):
            assert await pool.apply_async(tasks.square, (i,)) == i * i
        took = time.monotonic() - start
        start = time.monotonic()
        async for _ in pool.imap(tasks.square, range(50)):
            pass
        return took, time.monotonic() - start
    # the machine may have been busy with something else
    runs = [asyncio.run(main()) for _ in range(3)]
    assert min(took for took, _ in runs) < 0.5 and min(iterated for _, iterated in runs) < 0.5, runs


@few_kinds
def test_a_loop_in_another_thread(pool):
    found = []

    async def main():
        found.append(await pool.apply_async(tasks.square, (3,)))
        found.append([value async for value in pool.imap_unordered(tasks.square, [4])])
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(20)
    assert found == [9, [16]]


@few_kinds
def test_a_loop_that_is_closed_meanwhile(pool):
    async def main():
        task = asyncio.ensure_future(_await(result))
        await asyncio.sleep(0.05)
        return task
    result = pool.map_async(tasks.sleep, [0.3])
    asyncio.run(main())  # cancels what it leaves
    result.wait(20)
    assert result.ready()
    assert pool.apply(tasks.square, (3,)) == 9


@few_kinds
def test_callbacks_come_in_the_thread_of_the_main_loop(pool):
    loop = GLib.MainLoop()
    threads, values = [], []

    def called(value):
        threads.append(threading.current_thread())
        values.append(value)
        if len(values) == 20:
            loop.quit()

    def submit():
        for i in range(20):
            pool.apply_async(tasks.square, (i,), callback=called)
    GLib.idle_add(submit)
    guard = GLib.timeout_add_seconds(20, loop.quit)
    loop.run()
    GLib.source_remove(guard)
    assert sorted(values) == [i * i for i in range(20)]
    assert set(threads) == {threading.main_thread()}


@few_kinds
def test_a_main_loop_and_waiting_in_a_callback(pool):
    loop, found = GLib.MainLoop(), []

    def called(value):
        found.append(pool.apply(tasks.square, (value,)))
        found.append(pool.map(tasks.square, range(3)))
        loop.quit()
    GLib.idle_add(lambda: pool.apply_async(tasks.square, (2,), callback=called) and False)
    guard = GLib.timeout_add_seconds(20, loop.quit)
    loop.run()
    GLib.source_remove(guard)
    assert found == [16, [0, 1, 4]]


def test_hooks_come_in_the_thread_of_the_main_loop():
    loop, threads = GLib.MainLoop(), []

    def up(pid):
        threads.append(threading.current_thread())
        if len(threads) == 2:
            loop.quit()
    guard = GLib.timeout_add_seconds(20, loop.quit)
    with Pool.Pool(2, on_process_up=up, start_method='fork'):
        loop.run()
    GLib.source_remove(guard)
    until(lambda: len(threads) >= 2)
    assert threads[0] is threading.main_thread()
