#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks on the ranks of an MPI job: mpirun -n 4 python3 ranks.py"""

from gi.repository import Pool


def square(x):
    return x * x


if __name__ == '__main__':
    # all ranks come here; the others do not go on
    with Pool.MPIPool() as pool:
        print(pool.map(square, range(10)))
        print(list(pool.istarmap(pow, [(2, 3), (3, 2)])))
