# SPDX-License-Identifier: LGPL-2.1-or-later
"""How workers are made: by os.fork from this program, or as fresh interpreters that import what it has imported."""

import collections
import contextlib
import dataclasses
import importlib.util
import io
import json
import multiprocessing
import multiprocessing.context
import multiprocessing.process
import multiprocessing.spawn
import os
import pickle
import shutil
import sys
from multiprocessing.reduction import ForkingPickler

from gi.repository import GLib

from . import worker
from .native import native

METHODS = ('fork', 'forkserver', 'spawn')
#: backends whose workers are children of this program, or its threads
_LOCAL_BACKENDS = ('fork', 'threads')
_PREFIXES = {'fork': 'Fork', 'forkserver': 'ForkServer', 'spawn': 'Spawn'}

#: threads of GLib that hold its locks now and then; in a child of a fork nobody would release them
_GLIB_THREADS = ('gmain', 'gdbus', 'dconf worker', 'pool-spawner')


def choose_method(start_method=None, context=None):
    """The start method of a new pool.

    What is asked for is obeyed. Else it is multiprocessing's, but ``forkserver`` in place of ``fork`` while the program
    has other threads, as the child could inherit a lock that nobody will release.
    """
    if start_method is None and context is not None:
        start_method = context.get_start_method()
    if start_method is not None:
        if start_method not in METHODS:
            raise ValueError(f'there is no start method {start_method!r}; there are {", ".join(METHODS)}')
        return start_method
    method = multiprocessing.get_start_method()
    if method == 'fork' and has_other_threads():
        return 'forkserver'
    return method


def is_remote(backend):
    """Whether agents make the workers of this backend: they may be on other machines."""
    return backend not in _LOCAL_BACKENDS


def choose_remote_method(backend, start_method=None, context=None):
    """The start method of a new pool with agents, which are no children of this program.

    ``fork`` may be the habit of a context, and becomes ``forkserver``; it is refused if it was asked for.
    """
    if start_method == 'fork':
        raise ValueError(f'workers of the backend {backend!r} are not forked from this program: the start methods are '
                         f'forkserver and spawn')
    if start_method is None and context is None:
        return 'spawn' if multiprocessing.get_start_method() == 'spawn' else 'forkserver'
    method = choose_method(start_method, context)
    return 'forkserver' if method == 'fork' else method


def has_other_threads():
    """Threads of Python, and of GLib. Those of numerical libraries do no harm: they see to that themselves."""
    if len(sys._current_frames()) > 1:
        return True
    try:
        ids = os.listdir('/proc/self/task')
    except OSError:
        return False
    if len(ids) == 1:
        return False
    for number in ids:
        try:
            with open(f'/proc/self/task/{number}/comm') as file:
                if file.read().strip() in _GLIB_THREADS:
                    return True
        except OSError:  # it has ended
            pass
    return False


class _Descriptor:
    """A descriptor that a child inherits, in a pickle."""

    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        return self.fd


class _Inheritance:
    """What multiprocessing's locks, queues and pipes see while they are pickled for a child that is being made."""

    DupFd = _Descriptor

    def __init__(self):
        self.fds = []

    def duplicate_for_child(self, fd):
        self.fds.append(fd)
        return fd


def _dump_by_value(parts):
    """By cloudpickle, and what multiprocessing knows to pickle as it does."""
    import cloudpickle

    class Pickler(cloudpickle.CloudPickler):
        dispatch_table = collections.ChainMap(ForkingPickler._extra_reducers, cloudpickle.CloudPickler.dispatch_table)

    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL).dump(parts)
    return file.getvalue()


def _dump_start(start, inheritance, by_value):
    parts = start.prefix, start.initializer, start.initargs, start.loggers, start.attempts
    # nothing is inherited by what an agent makes: locks and queues say that they cannot be sent
    multiprocessing.context.set_spawning_popen(inheritance)
    try:
        if by_value:
            with contextlib.suppress(Exception):
                return _dump_by_value(parts)
        return bytes(ForkingPickler.dumps(parts, pickle.HIGHEST_PROTOCOL))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        try:
            import cloudpickle
        except ImportError:
            raise error from None
        return cloudpickle.dumps(parts)
    finally:
        multiprocessing.context.set_spawning_popen(None)


def _register_calls(manager):
    manager.register_memory(worker.CALL_NAME, worker.run_call)
    # queues, files, sockets of the program are its workers', as multiprocessing has it
    manager.props.keep_descriptors = True


def prepare(manager, method, initializer, initargs, loggers, remote, attempts, program):
    """Tells a new pool of processes how its workers are made, and what each begins with.

    Returns the descriptors that those that are fresh interpreters are to inherit.
    """
    start = worker.Start(_PREFIXES[method], initializer, initargs, loggers, attempts)
    manager.props.start_method = getattr(native.StartMethod, method.upper())
    _register_calls(manager)
    inheritance = _Inheritance()
    if method == 'fork':
        manager.register_bytes(worker.START_NAME, start)
        manager.set_fork_func(worker.fork_function)
        manager.set_initializer(worker.START_NAME, None)
    else:
        # an agent may have a command of its own for its workers: then they hear only now what program theirs is
        description = _describe_program(program) if remote else None
        parts = _dump_start(start, None if remote else inheritance, hides_main(program))
        data = GLib.Bytes.new(pickle.dumps((description, parts), pickle.HIGHEST_PROTOCOL))
        value = GLib.Variant.new_from_bytes(GLib.VariantType('ay'), data, True)
        manager.props.worker_command = _worker_command(program)
        manager.register_bytes(worker.START_NAME, _start_from_bytes)
        manager.set_initializer(worker.START_NAME, GLib.Variant.new_tuple(value))
        manager.props.keep_descriptors = len(inheritance.fds) > 0
    return inheritance.fds


@contextlib.contextmanager
def inheritable(fds):
    """While these descriptors survive an exec."""
    before = [(fd, os.get_inheritable(fd)) for fd in set(fds)]
    try:
        for fd, _ in before:
            os.set_inheritable(fd, True)
        yield
    finally:
        for fd, was in before:
            os.set_inheritable(fd, was)


@dataclasses.dataclass(frozen=True)
class Program:
    """What fresh interpreters are: which one is run, with which options, and whether they import the main module."""
    executable: str | None = None
    arguments: tuple | None = None
    main: bool = True


def check_importing():
    """RuntimeError in a worker that imports the main module, and comes to where that starts a pool."""
    multiprocessing.spawn._check_not_importing_main()


def _describe_program(program):
    """What multiprocessing tells a fresh interpreter; nothing of a main module that is in no file."""
    data = multiprocessing.spawn.get_preparation_data('libpool')
    del data['authkey']  # the command line is for all to see
    if not program.main:
        data.pop('init_main_from_name', None)
    if not program.main or not os.path.isfile(data.get('init_main_from_path', '')):
        data.pop('init_main_from_path', None)
    return data


def hides_main(program):
    """Whether fresh interpreters cannot import the main module, and cloudpickle can send what is in it.

    That is so at a prompt, with ``-c`` and standard input, and for ``__main__.py`` of a package; and where they are not to.
    """
    data = _describe_program(program)
    name = data.get('init_main_from_name', '')
    if 'init_main_from_path' in data or name and name.rpartition('.')[2] != '__main__':
        return False
    return importlib.util.find_spec('cloudpickle') is not None


def _worker_command(program):
    data = _describe_program(program)
    # nothing is imported before the path is this program's: there may be anything in the working directory
    code = f'import sys; sys.path[:] = {sys.path!r}; import gi.repository.Pool; from {__name__} import main; main()'
    if program.executable:
        executable = shutil.which(program.executable) or program.executable
    else:
        executable = multiprocessing.spawn.get_executable()
    executable = os.path.abspath(os.fsdecode(executable))
    arguments = multiprocessing.util._args_from_interpreter_flags() if program.arguments is None else program.arguments
    return [executable, *arguments, '-c', code, json.dumps(data)]


_is_prepared = False


def _prepare_program(data):
    """This interpreter gets what the program of the pool has: its path, its directory, its main module."""
    global _is_prepared

    # another machine need not have all of that
    if not os.path.isdir(data.get('dir', '')):
        data.pop('dir', None)
    if not os.path.isfile(data.get('init_main_from_path', '')):
        data.pop('init_main_from_path', None)
    process = multiprocessing.process.current_process()
    process._inheriting = True
    try:
        multiprocessing.spawn.prepare(data)
    finally:
        del process._inheriting
    _is_prepared = True


def _prepare_late(data):
    """The same in a worker that was started by a command of its agent's own, whose path comes first."""
    path = [*sys.path, *(folder for folder in data['sys_path'] if folder not in sys.path and os.path.exists(folder))]
    try:
        _prepare_program({**data, 'sys_path': path})
    except BaseException as error:
        worker.fail_to_begin('the main module cannot be imported:', error)


def _start_from_bytes(task, data, *_):
    program, parts = pickle.loads(bytes(data))
    if program is not None and not _is_prepared:
        _prepare_late(program)
    return worker.Start(*pickle.loads(parts))(task, b'')


def main():
    """The life of an interpreter that a pool or an agent has started by what _worker_command() says."""
    run(json.loads(sys.argv[1]), sys.argv[2:])


def run(data, arguments):
    """The life of an interpreter that was started to be a worker, or to fork workers.

    ``data``: of the program of the pool; None where it comes with the first order.
    """
    status = 1
    try:
        if data is not None:
            _prepare_program(data)
        manager = native.Manager()
        _register_calls(manager)
        manager.register_bytes(worker.START_NAME, _start_from_bytes)
        manager.set_fork_func(worker.fork_function)
        try:
            status = manager.run_worker(arguments)
        except GLib.Error as error:
            sys.exit(f'{sys.argv[0]}: {error.message}')
        worker.end_in_order()
    except SystemExit as error:
        print(error, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        worker.flush()
        os._exit(status if status >= 0 else 1)
