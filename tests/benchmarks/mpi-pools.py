#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""MPIPool beside mpi4py's executor, on the same work: round trips, and tasks/s of a map with chunks of one and of its choice.

    mpirun -n 3 python3 mpi-pools.py libpool
    mpirun -n 3 python3 -m mpi4py.futures mpi-pools.py mpi4py
"""

import statistics
import sys
import time


def double(x):
    return 2 * x


def measure(name, apply, run_map):
    assert apply(21) == 42
    laps = []
    end = time.perf_counter() + 2
    while time.perf_counter() < end:
        start = time.perf_counter()
        apply(1)
        laps.append(time.perf_counter() - start)
    print(f'{name} apply {statistics.median(laps) * 1e6:.1f} us')
    for chunk, n in (1, 4000), (None, 400000):
        start = time.perf_counter()
        assert sum(run_map(range(n), chunk)) == n * (n - 1)
        print(f'{name} map chunk {chunk or "default"} {n / (time.perf_counter() - start):.0f} /s', flush=True)


def main():
    if sys.argv[1] == 'mpi4py':
        from mpi4py.futures import MPIPoolExecutor
        with MPIPoolExecutor() as executor:
            # what mpi4py.util.pool does for a map without a chunksize
            workers = 2
            measure('mpi4py', lambda x: executor.submit(double, x).result(),
                    lambda items, chunk: executor.map(double, items, chunksize=chunk or -(-len(items) // (4 * workers))))
    else:
        from gi.repository import Pool
        with Pool.MPIPool() as pool:
            measure('libpool', lambda x: pool.apply(double, (x,)), lambda items, chunk: pool.map(double, items, chunk))


if __name__ == '__main__':
    main()
