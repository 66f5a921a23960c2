# SPDX-License-Identifier: LGPL-2.1-or-later
"""joblib.parallel_backend('libpool')."""

import os
import subprocess
import sys
import time

import joblib
import numpy
import pytest

from conftest import children, until
from gi.repository import Pool
import tasks

Pool.register_joblib()


def nested(n):
    with joblib.parallel_backend('libpool'):
        return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(tasks.square)(i) for i in range(n)))


def nested_as_it_comes(n):
    return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(tasks.square)(i) for i in range(n)))


def sum_array(array, factor):
    return float(array.sum()) * factor


def double(array):
    array = array.copy()
    array *= 2
    return array


def parallel(function, items, n_jobs=2, **options):
    with joblib.parallel_backend('libpool', n_jobs=n_jobs):
        return joblib.Parallel(**options)(joblib.delayed(function)(*item) for item in items)


def test_it_gives_results_in_order():
    assert parallel(tasks.square, [(i,) for i in range(200)]) == [i * i for i in range(200)]
    assert parallel(tasks.square, []) == []
    assert parallel(tasks.square, [(i,) for i in range(50)], batch_size=7) == [i * i for i in range(50)]
    assert parallel(tasks.square, [(i,) for i in range(50)], pre_dispatch='all') == [i * i for i in range(50)]


def test_it_runs_in_workers():
    pids = set(parallel(tasks.who, [()] * 20, batch_size=1))
    assert len(pids) == 2 and os.getpid() not in pids


def test_as_the_backend_of_one_parallel():
    result = joblib.Parallel(n_jobs=2, backend='libpool')(joblib.delayed(tasks.square)(i) for i in range(20))
    assert result == [i * i for i in range(20)]
    assert joblib.Parallel(n_jobs=1, backend='libpool')(joblib.delayed(os.getpid)() for _ in range(2))


def test_numbers_of_jobs():
    for n_jobs in -1, -2, None, 1, 3:
        assert parallel(tasks.square, [(i,) for i in range(10)], n_jobs) == [i * i for i in range(10)]
    with pytest.raises(ValueError, match='n_jobs'):
        parallel(tasks.square, [(1,)], 0)


def test_arrays():
    arrays = [numpy.arange(200000, dtype=float) + i for i in range(6)]
    assert parallel(sum_array, [(array, 2) for array in arrays]) == [float(array.sum()) * 2 for array in arrays]
    for array, doubled in zip(arrays, parallel(double, [(array,) for array in arrays])):
        assert (doubled == array * 2).all()


def test_lambdas_and_closures():
    pytest.importorskip('cloudpickle')
    n = 3
    assert parallel(lambda x: x + n, [(i,) for i in range(5)]) == [3, 4, 5, 6, 7]


def test_exceptions():
    before = set(children())
    with pytest.raises(ValueError) as info:
        parallel(tasks.fail_if_odd, [(i,) for i in range(20)])
    assert info.value.args[0] % 2 == 1
    assert 'an odd number' in str(info.value.__cause__)
    until(lambda: not set(children()) - before)


def test_exceptions_in_a_with_block():
    """It can be used again"""
    with joblib.parallel_backend('libpool', n_jobs=2):
        with joblib.Parallel() as run:
            with pytest.raises(ValueError):
                run(joblib.delayed(tasks.fail_if_odd)(i) for i in range(20))
            assert run(joblib.delayed(tasks.square)(i) for i in range(20)) == [i * i for i in range(20)]


def test_timeouts():
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        parallel(tasks.sleep, [(60,)] * 2, timeout=0.3)
    assert time.monotonic() - start < 15
    assert parallel(tasks.sleep, [(0.01,)] * 4, timeout=20) == [0.01] * 4


def test_a_with_block_uses_one_pool():
    with joblib.parallel_backend('libpool', n_jobs=2):
        with joblib.Parallel(batch_size=1) as run:
            first = set(run(joblib.delayed(tasks.who)() for _ in range(10)))
            second = set(run(joblib.delayed(tasks.who)() for _ in range(10)))
    assert first == second and len(first) == 2


def test_nested():
    assert parallel(nested, [(3,), (4,)]) == [5, 14]
    assert parallel(nested_as_it_comes, [(3,), (4,)]) == [5, 14]


def test_options_of_the_pool():
    with joblib.parallel_backend('libpool', n_jobs=2, start_method='spawn', initializer=tasks.begin, initargs=(7,)):
        states = joblib.Parallel()(joblib.delayed(tasks.get_state)() for _ in range(4))
    assert all(state['args'] == (7,) for state in states)


def test_a_worker_that_dies():
    assert parallel(tasks.kill_now_and_then, [(i,) for i in range(998, 1002)], batch_size=1) == [998, 999, 1000, 1001]


def test_nothing_is_left():
    before = set(children())
    parallel(tasks.square, [(i,) for i in range(5)])
    until(lambda: not set(children()) - before)


@pytest.mark.parametrize('imports', [
    'import joblib\nfrom gi.repository import Pool',
    'from gi.repository import Pool\nimport joblib\nPool.register_joblib()',
    'from gi.repository import Pool\nPool.register_joblib(make_default=True)\nimport joblib'])
def test_registration(imports):
    program = imports + '''
from math import sqrt
import contextlib
default = 'make_default' in IMPORTS
with contextlib.nullcontext() if default else joblib.parallel_backend('libpool'):
    p = joblib.Parallel(n_jobs=2)
    assert type(p._backend).__name__ == 'LibpoolBackend', p._backend
    print(p(joblib.delayed(sqrt)(i * i) for i in range(5)))
'''.replace('IMPORTS', repr(imports))
    done = subprocess.run([sys.executable, '-W', 'error::ResourceWarning', '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.stdout == '[0.0, 1.0, 2.0, 3.0, 4.0]\n' and done.stderr == '' and done.returncode == 0


def test_without_joblib_it_is_not_imported():
    program = 'import sys; from gi.repository import Pool; print("joblib" in sys.modules, "numpy" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)
    assert done.stdout == 'False False\n'
