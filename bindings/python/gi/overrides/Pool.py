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
from ._libpool.iterators import IMapIterator, IMapUnorderedIterator
from ._libpool.native import native
from ._libpool.pool import MPIPool, Pool, ResilientZPool, ThreadPool, WorkerInfo, ZPool, cpu_count
from ._libpool.results import ApplyResult, AsyncResult, MapResult
from ._libpool.worker import current_task

__all__ = [
    'ApplyResult', 'AsyncResult', 'CancelledError', 'Empty', 'Full', 'IMapIterator', 'IMapUnorderedIterator', 'MPIPool',
    'MapResult', 'MaybeEncodingError', 'OutOfMemoryError', 'Pool', 'PoolError', 'RemoteTraceback', 'ResilientZPool',
    'RestartFreqExceeded', 'SoftTimeLimitExceeded', 'TaskExit', 'Terminated', 'ThreadPool', 'TimeLimitExceeded',
    'TimeoutError', 'WorkerInfo', 'WorkerLostError', 'ZPool', 'cpu_count', 'current_task', 'native',
]
