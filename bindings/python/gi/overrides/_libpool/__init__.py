# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of the Python API of libpool; ``gi.overrides.Pool`` puts them together.

===============  ===========================================================
``native``       the namespace as introspection gives it
``errors``       exceptions, and what each GError becomes
``pickling``     calls and results as bytes; large buffers beside them
``calls``        calls by reference, for threads
``blocks``       large values: memory that is looked at, not copied
``worker``       what runs in a worker
``spawning``     how workers are made: os.fork, or a fresh interpreter
``results``      ApplyResult, MapResult
``iterators``    imap and its relatives
``workers``      what can be seen of a worker
``pool``         Pool
``kinds``        ThreadPool, ZPool, ResilientZPool, MPIPool
``manager``      Manager and PoolProcess, a work queue with one target
``executor``     concurrent.futures on top
``joblib_backend``  joblib on top
``logs``         log records from workers
``__main__``     the program of workers, for agents that have one of their own
``shared``       read-only values that all workers map
===============  ===========================================================
"""
