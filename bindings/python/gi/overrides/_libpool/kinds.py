# SPDX-License-Identifier: LGPL-2.1-or-later
"""The siblings of Pool: a pool of threads, fiber's and mpi4py's."""

import os
import pickle
import shlex
import sys
import types
import warnings

from . import spawning
from .native import native
from .pool import Pool


class ThreadPool(Pool):
    """A pool of threads: functions, arguments and results are passed by reference."""

    _backend = 'threads'

    def __init__(self, processes=None, initializer=None, initargs=(), **options):
        super().__init__(processes, initializer, initargs, **options)


class ZPool(Pool):
    """Fiber's pool: its workers are made by agents, on this machine or on others, which are reached by ZeroMQ.

    A task of a worker that dies fails. ``cluster`` says where agents are: None or ``'local'``: on this machine;
    ``'ssh:HOST,…'``, ``'slurm'``, ``'command:TEMPLATE'``: they are started there; ``'tcp://*:5555'`` or another endpoint:
    they come by themselves, by ``pool worker --connect``. ``master_sock_type``, ``'r'`` or ``'w'``, is there for fiber's sake, and
    without effect. Further keywords are those of :class:`Pool`, and ``endpoint``, ``launcher``, ``key_file``,
    ``allowed_keys``, ``agent_key_file``, ``agent_command``, ``processes_per_agent``, ``heartbeat``: see ``Pool.native.Manager``.

    Raises ValueError if the backend is not installed, or the cluster makes no sense.
    """

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, cluster=None,
                 master_sock_type='w', **options):
        options.setdefault('backend', 'zmq')
        options.setdefault('resilient', False)
        _check_backend(options['backend'])
        super().__init__(processes, initializer, initargs, maxtasksperchild, cluster=cluster,
                         master_sock_type=master_sock_type, **options)


class ResilientZPool(ZPool):
    """Fiber's pool that runs tasks again that a worker took with it, and that raised.

    A task is run up to ``max_retries`` times in all (default: 3); then its caller gets WorkerLostError, or the last
    exception that it raised. Items of a map are tasks of their own. What raised is run again at once, by the same worker, on
    arguments that are loaded anew; time limits hold for all its runs together. What ends by SoftTimeLimitExceeded, or by what is
    no Exception (KeyboardInterrupt, SystemExit), is not run again.
    """

    _runs_again = True

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, cluster=None, **options):
        if 'master_sock_type' in options:
            raise TypeError("ResilientZPool() got an unexpected keyword argument 'master_sock_type'")
        if options.get('backend') == 'threads':
            raise ValueError('the tasks of a ResilientZPool are run by processes, not by threads')
        options.setdefault('resilient', True)
        super().__init__(1 if processes is None else processes, initializer, initargs, maxtasksperchild, cluster,
                         **options)


def _set_in_main(variables):
    """In the main module, and for its functions: those of one that multiprocessing has imported have globals beside it."""
    main = sys.modules['__main__']
    names = vars(main)
    classes = [value for value in names.values() if isinstance(value, type) and value.__module__ == main.__name__]
    functions = [value for owner in (main, *classes) for value in vars(owner).values()
                 if isinstance(value, types.FunctionType) and value.__module__ == main.__name__]
    for place in [names, *(function.__globals__ for function in functions)]:
        place.update(variables)


class _Beginning:
    """What a worker of an MPIPool does before its initializer, which may need the path to be found."""

    def __init__(self, initializer, env, path, wdir, variables):
        self._data = pickle.dumps((initializer, dict(variables or {})), pickle.HIGHEST_PROTOCOL)
        self._env, self._path, self._wdir = dict(env or {}), [os.fspath(folder) for folder in path or ()], wdir

    def __call__(self, *initargs):
        if self._wdir is not None:
            os.chdir(self._wdir)
        os.environ.update(self._env)
        sys.path[:0] = self._path
        initializer, variables = pickle.loads(self._data)
        _set_in_main(variables)
        if initializer is not None:
            initializer(*initargs)


class MPIPool(Pool):
    """mpi4py's pool: its workers are ranks.

    In a program that ``mpirun -n N python3 script.py`` has started the other ranks become agents where rank 0 makes its
    pool, and what follows is run by rank 0 only; ``processes`` is N - 1 if it is not given. Elsewhere agents are spawned by
    the MPI. As with mpi4py, ``mpi_info``, a dict or pairs, is for MPI_Comm_spawn; ``env``, ``path`` and ``wdir`` are what workers
    add to their environment and to ``sys.path``, and where they go; ``globals`` are variables that their main module gets, after
    it has been imported; ``main=False``: they do not import it; ``python_exe`` and ``python_args`` are the interpreter that they
    are, and its options. Further keywords are those of :class:`Pool`, and ``launcher`` and ``processes_per_agent``: see
    ``Pool.native.Manager``.

    Warns of ``maxtasksperchild`` and ``context``, which mpi4py's does not have. Raises ValueError if the backend is not
    installed.
    """

    # pylint: disable-next=redefined-builtin
    def __init__(self, processes=None, initializer=None, initargs=(), *, python_exe=None, python_args=None, mpi_info=None,
                 globals=None, main=True, path=None, wdir=None, env=None, **options):
        for name in 'maxtasksperchild', 'context':
            if options.pop(name, None) is not None:
                warnings.warn(f'the argument {name} is not supported by MPIPool', UserWarning, stacklevel=2)
        options.setdefault('backend', 'mpi')
        _check_backend(options['backend'])
        if mpi_info:
            words = (shlex.quote(f'{key}={value}') for key, value in dict(mpi_info).items())
            options.setdefault('launcher', 'spawn:' + ' '.join(words))
        if env or path or wdir is not None or globals:
            initializer = _Beginning(initializer, env, path, wdir, globals)
        self._program = spawning.Program(python_exe, None if python_args is None else tuple(python_args), main)
        if options['backend'] == 'mpi':
            spawning.check_importing()
            # what was printed is this program's, whatever becomes of it
            sys.stdout.flush()
            sys.stderr.flush()
            native.join_ranks()
        super().__init__(processes, initializer, initargs, **options)

    @staticmethod
    def _default_processes():
        return max(native.count_ranks() - 1, 0) or native.cpu_count()


def _check_backend(name):
    """A clear word before anything is made."""
    if name not in native.list_backends():
        raise ValueError(f'the backend {name!r} is not installed; there are {", ".join(native.list_backends())}')
