# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPython's own tests of its pools, from Debian's libpython3.11-testsuite, with libpool's in their place.

The start method is that of the environment variable POOL_TEST_START_METHOD.
"""

import multiprocessing
import multiprocessing.dummy
import os
import re
import subprocess
import sys

import pytest

from gi.repository import Pool

suite = pytest.importorskip('test._test_multiprocessing')

METHOD = os.environ.get('POOL_TEST_START_METHOD', 'fork')

# What is left out, and why.
EXCLUDED = {
    'TestPoolNotLeakOnFailure': 'it replaces the Process class of a context, and libpool makes no Process objects',
    'WithThreadsTestPool.test_map_unplicklable': 'CPython skips it: threads pickle nothing',
    'WithManagerTestPool': 'it is about proxies of a pool in another process; the pool in there is multiprocessing\'s',
}


@pytest.fixture(autouse=True, scope='module')
def in_place_of_multiprocessing():
    patch = pytest.MonkeyPatch()
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(METHOD, force=True)
    patch.setattr(multiprocessing, 'Pool', Pool.Pool)
    patch.setattr(suite.ProcessesMixin, 'Pool', staticmethod(Pool.Pool))
    patch.setattr(suite.ThreadsMixin, 'Pool', staticmethod(Pool.ThreadPool))
    yield
    patch.undo()
    multiprocessing.set_start_method(before, force=True)


def _install():
    found = {}
    suite.install_tests_in_module_dict(every := {'__name__': __name__}, METHOD)
    for name, case in every.items():
        if isinstance(case, type) and re.search(r'TestPool', name) and name not in EXCLUDED:
            found[name] = case
            for left_out in EXCLUDED:
                owner, _, test = left_out.partition('.')
                if owner == name:
                    setattr(case, test, None)
    return found


globals().update(_install())


class WithProcessesTestPoolWorkerLifetime(WithProcessesTestPoolWorkerLifetime):  # noqa: F821
    def test_worker_finalization_via_atexit_handler_of_multiprocessing(self):
        """As CPython's, whose program imports multiprocessing's pool"""
        program = '''if 1:
            from gi.repository import Pool
            problem = None
            class A:
                def __init__(self):
                    self.pool = Pool.Pool(processes=1)
            def test():
                global problem
                problem = A()
                problem.pool.map(float, tuple(range(10)))
            if __name__ == "__main__":
                test()
        '''
        ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
