# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worker pools: ``multiprocessing.Pool`` and ``billiard.Pool``, faster, and without their hangs.

    from gi.repository import Pool

    with Pool.Pool(4) as pool:
        print(pool.map(f, range(100)))

What the library itself has, without this layer, is in ``Pool.native``.
"""

from ._libpool.errors import (CancelledError, Empty, Full, MaybeEncodingError, OutOfMemoryError, PoolError, RemoteTraceback,
                              RestartFreqExceeded, SoftTimeLimitExceeded, TaskExit, Terminated, TimeLimitExceeded,
                              TimeoutError, WorkerLostError)
from ._libpool.executor import Executor
from ._libpool.iterators import IMapIterator, IMapUnorderedIterator
from ._libpool.joblib_backend import register as register_joblib
from ._libpool.kinds import MPIPool, ResilientZPool, ThreadPool, ZPool
from ._libpool.manager import Manager, PoolProcess
from ._libpool.native import native
from ._libpool.pool import Pool, cpu_count
from ._libpool.results import ApplyResult, AsyncResult, MapResult
from ._libpool.shared import Shared, shared
from ._libpool.worker import current_task
from ._libpool.workers import WorkerInfo

__all__ = [
    'ApplyResult', 'AsyncResult', 'CancelledError', 'Empty', 'Executor', 'Full', 'IMapIterator',
    'IMapUnorderedIterator', 'MPIPool', 'Manager', 'MapResult', 'MaybeEncodingError', 'OutOfMemoryError', 'Pool',
    'PoolError', 'PoolProcess', 'RemoteTraceback', 'ResilientZPool', 'RestartFreqExceeded', 'Shared',
    'SoftTimeLimitExceeded', 'TaskExit', 'Terminated', 'ThreadPool', 'TimeLimitExceeded', 'TimeoutError',
    'WorkerInfo', 'WorkerLostError', 'ZPool', 'cpu_count', 'current_task', 'native', 'register_joblib', 'shared',
]

# in pickles, too, so that whoever loads one gets the whole
for _name in __all__:
    if getattr(globals()[_name], '__module__', '').startswith(__package__):
        globals()[_name].__module__ = 'gi.repository.Pool'
