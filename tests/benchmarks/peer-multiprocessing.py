#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Python's multiprocessing.Pool takes for what pool-bench measures: the same figures, the same lines.

peer-multiprocessing.py FIGURE [--workers N] [--seconds S] [--repeat R] [--items N]
"""

import argparse
import contextlib
import json
import mmap
import multiprocessing
import os
import pathlib
import signal
import statistics
import struct
import sys
import time

CONTEXT = multiprocessing.get_context('fork')
MIB = 1 << 20

# inherited by the workers of the one figure that sets it
barrier = None
killed_at = None


def double(x):
    return 2 * x + 1


def identity(value):
    return value


def meet(index):
    """Ends when as many tasks run at once as the pool has workers."""
    barrier.wait(20)
    return os.getpid()


def die():
    killed_at[:8] = struct.pack('d', time.monotonic())
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def pool_of(workers):
    """A pool that ends by close() and join(): terminate() right after a task hangs now and then."""
    pool = CONTEXT.Pool(workers)
    yield pool
    pool.close()
    pool.join()


def check(right, what):
    if not right:
        raise RuntimeError(what)


def map_rate(options, chunksize):
    n = options.items or (20000 if chunksize else 1000000)
    items = range(n)
    done, elapsed = 0, 0
    with pool_of(options.workers or 2) as pool:
        pool.map(double, range(100), 1)
        while elapsed < options.seconds:
            start = time.monotonic()
            results = pool.map(double, items, chunksize)
            elapsed += time.monotonic() - start
            check(len(results) == n and results[0] == 1 and results[-1] == 2 * n - 1, 'wrong results')
            done += n
    yield '', done / elapsed, 'task/s'


def apply_rtt(options):
    times = []
    with pool_of(options.workers or 2) as pool:
        for x in range(20):
            pool.apply(double, (x,))
        end = time.monotonic() + options.seconds
        last = time.monotonic()
        while last < end or not times:
            x = len(times)
            check(pool.apply(double, (x,)) == 2 * x + 1, 'a wrong result')
            now = time.monotonic()
            times.append(now - last)
            last = now
    times.sort()
    yield '', times[len(times) // 2] * 1e6, 'us'
    yield '.p99', times[len(times) * 99 // 100] * 1e6, 'us'


def payload(options, size):
    value = bytes(range(256)) * (size // 256)
    n = 0
    with pool_of(options.workers or 2) as pool:
        check(pool.apply(identity, (value,)) == value, 'a wrong result')
        start = now = time.monotonic()
        while n == 0 or now - start < options.seconds:
            result = pool.apply(identity, (value,))
            check(len(result) == len(value) and result[-1] == value[-1], 'a wrong result')
            n += 1
            now = time.monotonic()
    yield '', len(value) * n / MIB / (now - start), 'MiB/s'


def start_pool(options, workers):
    start = time.monotonic()
    with pool_of(options.workers or workers) as pool:
        check(pool.apply(double, (1,)) == 3, 'a wrong result')
        elapsed = time.monotonic() - start
    yield '', elapsed * 1e3, 'ms'


def pss_of(pid):
    for line in pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1])
    raise RuntimeError(f'process {pid} has no Pss')


def pss(options, workers):
    global barrier
    workers = options.workers or workers
    barrier = CONTEXT.Barrier(workers)
    with pool_of(workers) as pool:
        pids = set(pool.map(meet, range(workers), 1))
        time.sleep(0.2)
        check(len(pids) == workers, 'a worker has run two tasks at the same time')
        yield '', statistics.mean(pss_of(pid) for pid in pids), 'KiB'


def recover(options):
    """From the death of a busy worker (an idle one takes the lock of the pool with it) to full strength."""
    global barrier, killed_at
    workers = options.workers or 2
    barrier = CONTEXT.Barrier(workers)
    killed_at = mmap.mmap(-1, mmap.PAGESIZE)
    with pool_of(workers) as pool:
        pool.map(meet, range(workers), 1)
        time.sleep(0.05)
        lost = pool.apply_async(die)
        while not any(killed_at[:8]):
            time.sleep(0.0001)
        pids = pool.map_async(meet, range(workers), 1).get(30)
        elapsed = time.monotonic() - struct.unpack('d', killed_at[:8])[0]
        check(len(set(pids)) == workers, 'a worker has run two tasks at the same time')
        yield '', elapsed * 1e3, 'ms'
        # it would be waited for until the end of time
        del pool._cache[lost._job]


# what to run, and how often when the command line does not say
FIGURES = {
    'map-chunk1': (lambda options: map_rate(options, 1), 1),
    'map-default': (lambda options: map_rate(options, None), 1),
    'apply': (apply_rtt, 1),
    'payload-1m': (lambda options: payload(options, MIB), 1),
    'payload-64m': (lambda options: payload(options, 64 * MIB), 1),
    'start-2': (lambda options: start_pool(options, 2), 5),
    'start-16': (lambda options: start_pool(options, 16), 3),
    'start-64': (lambda options: start_pool(options, 64), 3),
    'pss-2': (lambda options: pss(options, 2), 1),
    'pss-16': (lambda options: pss(options, 16), 1),
    'pss-64': (lambda options: pss(options, 64), 1),
    'recover': (recover, 3),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('figure', choices=FIGURES)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=1)
    parser.add_argument('--repeat', type=int, default=0)
    parser.add_argument('--items', type=int, default=0)
    options = parser.parse_args()

    function, repeat = FIGURES[options.figure]
    series = {}
    for _ in range(options.repeat or repeat):
        for suffix, value, unit in function(options):
            series.setdefault((suffix, unit), []).append(value)
    for (suffix, unit), values in series.items():
        print(json.dumps({
            'figure': options.figure + suffix,
            'backend': 'multiprocessing',
            'value': statistics.median(values),
            'unit': unit,
            'min': min(values),
            'max': max(values),
            'samples': len(values),
        }))


if __name__ == '__main__':
    sys.exit(main())
