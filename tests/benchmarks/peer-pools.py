#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One figure of one pool of Python, whichever it is, as lines of JSON. python-pools.py makes the table of them.

peer-pools.py PEER FIGURE [--share S]
peer-pools.py --list
"""

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import multiprocessing.pool
import os
import pathlib
import signal
import statistics
import sys
import time

MIB = 1 << 20
KILL_TASKS = 20
KILL_SECONDS = 5
# what a figure has at least, however small a share is asked for
WORKERS_OF_SMALL = 4

# inherited by the workers of the figure that sets it
barrier = None


def double(x):
    return 2 * x + 1


def identity(value):
    return value


def total(array):
    return float(array.sum())


def meet(index):
    """Ends when as many tasks run at once as the pool has workers."""
    barrier.wait(20)
    return os.getpid()


def check(right, what):
    if not right:
        raise RuntimeError(what)


# --- who is measured ---

class Multiprocessing:
    @staticmethod
    def make(workers):
        return multiprocessing.get_context('fork').Pool(workers)

    @staticmethod
    def make_threads(workers):
        return multiprocessing.pool.ThreadPool(workers)

    @staticmethod
    def pids(pool):
        return [process.pid for process in pool._pool]

    @staticmethod
    def end(pool):
        pool.close()
        pool.join()

    @staticmethod
    def give_up(pool):
        """No more workers, so that what is left can be ended."""
        pool._worker_handler._state = multiprocessing.pool.TERMINATE


class Billiard(Multiprocessing):
    make_threads = None

    @staticmethod
    def make(workers):
        import billiard
        return billiard.Pool(workers)

    @classmethod
    def end(cls, pool):
        # join() after close() takes half a minute when there was a map, and terminate() hangs now and then
        cls.give_up(pool)
        end_children()


class Libpool:
    @staticmethod
    def make(workers):
        from gi.repository import Pool
        return Pool.Pool(workers)

    @staticmethod
    def make_threads(workers):
        from gi.repository import Pool
        return Pool.ThreadPool(workers)

    @staticmethod
    def pids(pool):
        return pool.worker_pids()

    @staticmethod
    def end(pool):
        pool.close()
        pool.join()

    @staticmethod
    def give_up(pool):
        pool.terminate()


PEERS = {'libpool': Libpool, 'multiprocessing': Multiprocessing, 'billiard': Billiard}


def is_installed(peer):
    if peer == 'libpool':
        try:
            from gi.repository import Pool
            return hasattr(Pool, 'ThreadPool')
        except (ImportError, ValueError):
            return False
    return importlib.util.find_spec(peer) is not None


class Run:
    """One figure of one peer: what it needs, scaled by the share that is asked for."""

    def __init__(self, name, share):
        self.name = name
        self.peer = PEERS[name]
        self.share = share
        self.seconds = max(1.0 * share, 0.02)

    def number(self, usual, least=40):
        return max(int(usual * self.share), least)

    def workers(self, usual):
        return usual if self.share >= 0.1 else min(usual, WORKERS_OF_SMALL)

    @contextlib.contextmanager
    def pool(self, workers=2, threads=False):
        """A pool that ends by close() and join(): terminate() right after a task hangs now and then."""
        pool = (self.peer.make_threads if threads else self.peer.make)(workers)
        yield pool
        self.peer.end(pool)


# --- maps ---

def check_doubles(results, n):
    check(results == list(range(1, 2 * n + 1, 2)), 'wrong results')


def map_single(run, threads=False):
    # billiard walks through all chunks for each result, which takes time by the square
    n = run.number(5000 if run.name == 'billiard' else 100_000)
    items = list(range(n))
    with run.pool(threads=threads) as pool:
        pool.map(double, range(100), 1)
        start = time.perf_counter()
        results = pool.map(double, items, 1)
        elapsed = time.perf_counter() - start
    check_doubles(results, n)
    yield '', n / elapsed, 'item/s'


def map_default(run, kind):
    n = run.number(1_000_000)
    items = kind(range(n))
    with run.pool() as pool:
        pool.map(double, range(100))
        start = time.perf_counter()
        results = pool.map(double, items)
        elapsed = time.perf_counter() - start
    check_doubles(results, n)
    yield '', n / elapsed, 'item/s'


def imap_unordered(run):
    n = run.number(50_000)
    with run.pool() as pool:
        pool.map(double, range(100), 1)
        start = time.perf_counter()
        results = list(pool.imap_unordered(double, range(n), 1))
        elapsed = time.perf_counter() - start
    check_doubles(sorted(results), n)
    yield '', n / elapsed, 'item/s'


# --- calls ---

def apply_times(run):
    n = run.number(2000)
    times = []
    with run.pool() as pool:
        for x in range(min(n, 100)):
            pool.apply(double, (x,))
        for x in range(n):
            start = time.perf_counter()
            result = pool.apply(double, (x,))
            times.append(time.perf_counter() - start)
            check(result == 2 * x + 1, 'a wrong result')
    times.sort()
    yield '.p50', times[n // 2] * 1e6, 'us'
    yield '.p99', times[n * 99 // 100] * 1e6, 'us'


def burst(run):
    n = run.number(20_000)
    with run.pool() as pool:
        pool.map(double, range(100), 1)
        start = time.perf_counter()
        results = [pool.apply_async(double, (x,)) for x in range(n)]
        values = [result.get(60) for result in results]
        elapsed = time.perf_counter() - start
    check_doubles(values, n)
    yield '', n / elapsed, 'call/s'


# --- payload ---

def there_and_back(run, value, size, is_same, seems_same):
    n = 0
    with run.pool() as pool:
        check(is_same(pool.apply(identity, (value,)), value), 'a wrong result')
        start = now = time.perf_counter()
        while n < 3 or now - start < run.seconds:
            check(seems_same(pool.apply(identity, (value,)), value), 'a wrong result')
            n += 1
            now = time.perf_counter()
    yield '', size * n / MIB / (now - start), 'MiB/s'


def seem_same(result, value):
    n = len(value)
    return len(result) == n and all(result[at] == value[at] for at in (0, n // 3, n - 1))


def payload_bytes(run):
    value = bytes(range(256)) * (MIB // 256)
    return there_and_back(run, value, MIB, lambda result, value: type(result) is bytes and result == value, seem_same)


def payload_array(run):
    import numpy
    size = 64 * MIB if run.share >= 0.1 else MIB
    value = numpy.arange(size // 8, dtype='float64')
    return there_and_back(run, value, size, numpy.array_equal, seem_same)


def map_arrays(run, function):
    import numpy
    n, size = (32, 4 * MIB) if run.share >= 0.1 else (4, MIB // 4)
    arrays = [numpy.arange(number, number + size // 8, dtype='float64') for number in range(n)]
    with run.pool() as pool:
        pool.map(double, range(100), 1)
        start = time.perf_counter()
        results = pool.map(function, arrays)
        elapsed = time.perf_counter() - start
        right = len(results) == n and all(numpy.array_equal(result, function(array))
                                          for result, array in zip(results, arrays))
        check(right, 'wrong results')
        del results
    yield '', n * size / MIB / elapsed, 'MiB/s'


# --- the pool itself ---

def start_pool(run, workers):
    workers = run.workers(workers)
    if run.name == 'libpool':
        # as for the others, importing is not counted
        from gi.repository import Pool  # noqa: F401
    elif run.name == 'billiard':
        import billiard.pool  # noqa: F401
    start = time.perf_counter()
    with run.pool(workers) as pool:
        check(pool.apply(double, (1,)) == 3, 'a wrong result')
        elapsed = time.perf_counter() - start
    yield '', elapsed * 1e3, 'ms'


def pss_of(pid):
    for line in pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1])
    raise RuntimeError(f'process {pid} has no Pss')


def parent_of(pid):
    return int(pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])


def pss(run, workers):
    global barrier
    workers = run.workers(workers)
    barrier = multiprocessing.get_context('fork').Barrier(workers)
    with run.pool(workers) as pool:
        pids = set(pool.map(meet, range(workers), 1))
        time.sleep(0.2)
        check(len(pids) == workers, 'a worker has run two tasks at the same time')
        check(pids == set(run.peer.pids(pool)), 'other workers than those of the pool')
        zygotes = {parent_of(pid) for pid in pids} - {os.getpid()}
        each = statistics.mean(pss_of(pid) for pid in pids)
        yield '', each, 'KiB'
        yield '.zygote', each + sum(pss_of(pid) for pid in zygotes) / workers, 'KiB'


def waits_in_read(pid):
    """Whether it is the one that waits for the next task, where others wait for its lock."""
    try:
        return pathlib.Path(f'/proc/{pid}/syscall').read_text().split()[0] == '0'
    except (OSError, IndexError):
        return False


def kill_idle(run):
    """How many calls end after one worker, which nobody has given anything to do, was killed."""
    with run.pool() as pool:
        check(pool.map(double, range(20), 1) == list(range(1, 40, 2)), 'wrong results')
        time.sleep(0.3)
        pids = run.peer.pids(pool)
        os.kill(next(filter(waits_in_read, pids), pids[0]), signal.SIGKILL)
        deadline = time.monotonic() + KILL_SECONDS
        results = [pool.apply_async(double, (x,)) for x in range(KILL_TASKS)]
        while time.monotonic() < deadline and not all(result.ready() for result in results):
            time.sleep(0.001)
        done = 0
        for x, result in enumerate(results):
            if result.ready() and result.successful():
                check(result.get() == 2 * x + 1, 'a wrong result')
                done += 1
        yield '', done, 'calls'
        if done < KILL_TASKS:
            # it would be waited for until the end of time
            sys.stdout.flush()
            run.peer.give_up(pool)
            end_children()
            os._exit(0)


def end_children():
    for task in pathlib.Path('/proc/self/task').iterdir():
        pids = []
        # the threads of a pool that is given up end meanwhile
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pids = (task / 'children').read_text().split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


FIGURES = {
    'map-chunk1': map_single,
    'map-list': lambda run: map_default(run, list),
    'map-range': lambda run: map_default(run, lambda items: items),
    'imap-unordered': imap_unordered,
    'apply': apply_times,
    'burst': burst,
    'payload-1m-bytes': payload_bytes,
    'payload-64m-array': payload_array,
    'map-arrays-sum': lambda run: map_arrays(run, total),
    'map-arrays-back': lambda run: map_arrays(run, identity),
    'start-2': lambda run: start_pool(run, 2),
    'start-16': lambda run: start_pool(run, 16),
    'start-64': lambda run: start_pool(run, 64),
    'pss-2': lambda run: pss(run, 2),
    'pss-16': lambda run: pss(run, 16),
    'kill-idle': kill_idle,
    'threads-chunk1': lambda run: map_single(run, threads=True),
}
THREADS = ('threads-chunk1',)
ARRAYS = ('payload-64m-array', 'map-arrays-sum', 'map-arrays-back')


def available():
    """The figures of each peer that can be measured here."""
    arrays = importlib.util.find_spec('numpy') is not None
    return {name: [figure for figure in FIGURES
                   if (arrays or figure not in ARRAYS) and (peer.make_threads or figure not in THREADS)]
            for name, peer in PEERS.items() if is_installed(name)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('peer', choices=PEERS, nargs='?')
    parser.add_argument('figure', choices=FIGURES, nargs='?')
    parser.add_argument('--share', type=float, default=1, help='of the usual numbers (default: %(default)s)')
    parser.add_argument('--list', action='store_true', help='what can be measured here')
    options = parser.parse_args()
    if options.list:
        print(json.dumps(available()))
        return
    if options.figure is None:
        parser.error('which figure of which peer?')

    for suffix, value, unit in FIGURES[options.figure](Run(options.peer, options.share)):
        print(json.dumps({
            'figure': options.figure + suffix, 'backend': options.peer, 'value': value, 'unit': unit,
        }), flush=True)
    if options.peer == 'billiard':
        # it would try to end its pool once more
        os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
