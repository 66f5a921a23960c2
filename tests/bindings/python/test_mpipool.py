# SPDX-License-Identifier: LGPL-2.1-or-later
"""mpi4py's pool: warnings, keywords, and the ranks of a job."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from gi.repository import Pool

pytestmark = pytest.mark.skipif('mpi' not in Pool.native.list_backends(), reason='there is no backend mpi')

MPIRUN = os.environ.get('POOL_MPIRUN') or shutil.which('mpirun')
SETTINGS = {'OMPI_ALLOW_RUN_AS_ROOT': '1', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM': '1', 'OMPI_MCA_rmaps_base_oversubscribe': '1',
            'OMPI_MCA_btl_tcp_if_include': 'lo', 'OMPI_MCA_oob_tcp_if_include': 'lo'}


def run_ranks(n, path, code):
    """What rank 0 prints in JSON, of a script that n ranks run."""
    script = path / 'script.py'
    script.write_text(textwrap.dedent(code))
    done = subprocess.run([MPIRUN, '-n', str(n), sys.executable, str(script)], env={**SETTINGS, **os.environ}, timeout=60,
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_arguments_that_it_does_not_have():
    """Before anything is made: the backend has no such launcher."""
    for name, value in ('maxtasksperchild', 5), ('context', 'fork'):
        with pytest.warns(UserWarning, match=name), pytest.raises(ValueError, match='launcher'):
            Pool.MPIPool(1, launcher='nonsense', **{name: value})


@pytest.mark.skipif(MPIRUN is None, reason='there is no mpirun')
def test_ranks(tmp_path):
    lines = run_ranks(4, tmp_path, '''
        import json
        import operator
        import os
        import time
        from gi.repository import Pool

        def square(x):
            return x * x

        def where(x):
            time.sleep(0.2)
            return os.getpid()

        if __name__ == '__main__':
            with Pool.MPIPool() as pool:
                print(json.dumps(pool.map(square, range(100))))
                print(json.dumps(list(pool.istarmap(operator.sub, [(5, 3), (3, 5)]))))
                print(json.dumps(sorted(pool.istarmap_unordered(operator.sub, [(5, 3), (3, 5)]))))
                print(json.dumps(len(set(pool.map(where, range(12), chunksize=1)))))
            # another one has the same ranks
            with Pool.MPIPool(2) as pool:
                print(json.dumps(pool.apply(square, (7,))))
    ''')
    assert lines == [[x * x for x in range(100)], [2, -2], [-2, 2], 3, 49]


@pytest.mark.skipif(MPIRUN is None, reason='there is no mpirun')
def test_keywords_for_workers(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'found_by_path.py').write_text('def begin(x):\n    import os\n    os.environ["BEGUN"] = x\n')
    lines = run_ranks(2, tmp_path, f'''
        import json
        import os
        from gi.repository import Pool

        def look():
            return os.getcwd(), os.environ['COLOUR'], os.environ['BEGUN']

        def begin(x):
            import found_by_path
            found_by_path.begin(x)

        if __name__ == '__main__':
            with Pool.MPIPool(initializer=begin, initargs=('yes',), env={{'COLOUR': 'red'}}, wdir='{tmp_path}',
                              path=['{tmp_path}/elsewhere']) as pool:
                print(json.dumps(pool.apply(look)))
    ''')
    assert lines == [[str(tmp_path), 'red', 'yes']]


@pytest.mark.skipif(MPIRUN is None, reason='there is no mpirun')
def test_what_the_main_module_of_workers_has(tmp_path):
    lines = run_ranks(2, tmp_path, '''
        import json
        import os
        import sys
        from gi.repository import Pool

        def look():
            return [greeting, sys.flags.optimize, os.path.basename(sys.executable)]

        if __name__ == '__main__':
            with Pool.MPIPool(globals={'greeting': 'hello'}, python_exe=sys.executable, python_args=['-OO']) as pool:
                print(json.dumps(pool.apply(look)))
    ''')
    assert lines == [['hello', 2, os.path.basename(sys.executable)]]


@pytest.mark.skipif(MPIRUN is None, reason='there is no mpirun')
def test_workers_without_the_main_module(tmp_path):
    lines = run_ranks(2, tmp_path, f'''
        import json
        import operator
        import os
        from gi.repository import Pool

        with open('{tmp_path}/imported', 'a') as note:
            note.write('x')
        with Pool.MPIPool(main=False) as pool:
            print(json.dumps(pool.apply(operator.add, (2, 3))))
    ''')
    assert lines == [5]
    # each rank has run it up to where the pool is made, and no worker
    assert (tmp_path / 'imported').read_text() == 'xx'


@pytest.mark.skipif(MPIRUN is None, reason='there is no mpirun')
def test_a_script_without_a_guard_is_told(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(textwrap.dedent('''
        from gi.repository import Pool

        with Pool.MPIPool() as pool:
            pool.apply(print)
    '''))
    done = subprocess.run([MPIRUN, '-n', '2', sys.executable, str(script)], env={**SETTINGS, **os.environ}, timeout=60,
                          check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr, done
    assert 'MPI_Init' not in done.stderr, done
