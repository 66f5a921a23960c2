# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pool: what multiprocessing.Pool and billiard.Pool are, on libpool."""

import atexit
import functools
import itertools
import os
import sys
import time
import warnings
import weakref

from gi.repository import GLib

from . import blocks
from . import iterators
from . import logs
from . import pickling
from . import spawning
from . import worker
from .calls import ProcessCalls, ThreadCalls
from .errors import from_gerror
from .native import State, native
from .results import ApplyResult, MapResult
from .waiting import wait
from .workers import Worker, WorkerInfo, exit_code

INIT, RUN, CLOSE, TERMINATE = 'INIT', 'RUN', 'CLOSE', 'TERMINATE'

#: A map of so many items or fewer sends each by itself: the pool divides them, and takes them back for a worker that is idle.
_SINGLE_ITEMS_MAX = 2000
#: Chunks of a longer map that are chosen here: a share of what is left, and never fewer or more than these.
_CHUNK_MIN, _CHUNK_MAX = 32, 65536

#: A map with so many small items for each large one, or fewer, makes each a call of its own.
_SMALL_PER_LARGE = 8

#: What the library has room for.
_PRIORITY_MIN, _PRIORITY_MAX = -16, 15

_pools = weakref.WeakSet()


@atexit.register
def _end_all():
    # in the order in which multiprocessing does it: before anything that workers could still need is gone
    for pool in list(_pools):
        if pool._creator == os.getpid():
            pool._end_at_exit()


def cpu_count():
    """How many CPUs this process may use: affinity and the quota of its control group count."""
    return native.cpu_count()


class _Sentinel(int):
    """A descriptor that is closed when nobody refers to it."""

    def __del__(self, _close=os.close):
        _close(self)


def _find_result(pool, native_result):
    """What Python has for a result of the library."""
    number, pool = native_result.get_id(), pool()
    end = time.monotonic() + 0.2
    while pool is not None:
        found = pool._results.get(number)
        if found is not None:
            return found
        # its worker may be faster than who submits it
        if not pool._submitting or time.monotonic() > end:
            break
        time.sleep(0.0005)
    return native_result


def _tell_ack(pool, find, _, native_result, *rest):
    pool = pool()
    if pool is not None:
        pool.send_ack(True, find(native_result), native_result.get_id(), None)


def _seconds(name, value):
    if value is None:
        return 0.0
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        raise ValueError(f'{name} is a number of seconds, not {value!r}')
    return float(value)


#: What ``cluster`` may be.
_CLUSTERS = ("'local', 'slurm', 'slurm:OPTIONS', 'ssh:HOST,…', 'command:TEMPLATE', 'none', or an endpoint such as "
             "'tcp://*:5555' for agents that come by themselves")


def _map_cluster(cluster):
    """The properties of the library that a ``cluster`` stands for."""
    if cluster is None:
        return {}
    if isinstance(cluster, str):
        kind, colon, rest = cluster.partition(':')
        if rest.startswith('//') and kind in ('tcp', 'ipc'):
            return {'endpoint': cluster, 'launcher': 'none'}
        if cluster in ('local', 'slurm', 'none') or kind in ('slurm', 'ssh', 'command') and rest:
            return {'launcher': cluster}
    raise ValueError(f'there is no cluster {cluster!r}; there are {_CLUSTERS}')


class Pool:
    """A pool of worker processes, in place of ``multiprocessing.Pool`` and ``billiard.Pool``.

    ``processes``: number of workers; default: the CPUs that this process may use. ``initializer(*initargs)`` runs once in
    each worker. ``maxtasksperchild``: a worker is replaced after so many tasks. ``timeout``, ``soft_timeout``: seconds
    that a task may run: at the soft limit SoftTimeLimitExceeded is raised in it, at the hard one it is ended.
    ``max_memory_per_child``: KiB; a worker that has more after a task is replaced. ``context``, ``start_method``: how
    workers are made, see ``multiprocessing``. ``resilient``: tasks of a worker that died run again; one that has lost
    ``max_retries`` workers fails. ``backend_options`` are further properties of ``Pool.native.Manager``, such as ``grace=0.5``,
    ``sandbox='strict'``, ``memory_limit=100_000``, ``heartbeat=5``. ``cluster``: where agents are, see :class:`ZPool`. ``loggers``: records that tasks give to these come out here.

    ``lost_worker_timeout``: seconds that results may still take when their worker is gone; on this machine they take none.
    ``enable_timeouts`` is there for billiard's sake: time limits always hold. ``threads=False``: no thread looks after the
    pool; see :meth:`maintain_pool`.

    ``with`` terminates the pool at its end. Raises ValueError or TypeError for arguments that make no sense, and
    PoolError if the pool cannot be started.
    """

    _backend = 'fork'
    _state = INIT
    _native = _calls = None
    _creator = 0
    _last_function = None
    _tells_jobs = _tells_acks = False  # whether a subclass overrides on_job_ready(), send_ack()
    _all_up = False  # whether all workers were, once
    _runs_again = False  # whether calls that raise are
    _program = spawning.Program()
    _attempts = 1  # how often a call that raises is run in all
    _log_marker = None  # with loggers: see logs.flush()
    _submitting = 0  # calls that are on their way, while their results are looked for by number

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls._tells_jobs = cls.on_job_ready is not Pool.on_job_ready
        cls._tells_acks = cls.send_ack is not Pool.send_ack

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, timeout=None,
                 soft_timeout=None, lost_worker_timeout=None, max_restarts=None, max_restart_freq=1, on_process_up=None,
                 on_process_down=None, on_timeout_set=None, on_timeout_cancel=None, threads=True, semaphore=None,
                 putlocks=False, allow_restart=False, synack=False, on_process_exit=None, context=None,
                 max_memory_per_child=None, enable_timeouts=False, *, backend=None, cluster=None, master_sock_type='w',
                 start_method=None, resilient=True, max_retries=3, loggers=(), **backend_options):
        self._creator = os.getpid()
        self._iterators = weakref.WeakSet()
        self._sentinels = {}
        self._ctx = context
        self._backend = backend or self._backend
        if processes is None:
            processes = self._default_processes()
        if processes < 1:
            raise ValueError('Number of processes must be at least 1')
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError('maxtasksperchild must be a positive int or None')
        if initializer is not None and not callable(initializer):
            raise TypeError('initializer must be a callable')
        self._processes = processes
        self._initializer = initializer
        self._initargs = tuple(initargs)
        self._allow_restart = allow_restart
        self._threads = threads
        self._loggers = [logs.check(logger) for logger in loggers]

        if self._runs_again:
            self._attempts = max(max_retries, 1)
        options = dict(
            processes=processes,
            max_tasks_per_child=maxtasksperchild or 0,
            timeout=_seconds('timeout', timeout),
            soft_timeout=_seconds('soft_timeout', soft_timeout),
            max_restarts=max_restarts or 0,
            max_restart_freq=_seconds('max_restart_freq', max_restart_freq),
            threads=bool(threads),
            putlocks=bool(putlocks),
            allow_restart=True,
            synack=bool(synack),
            max_memory_per_child=max_memory_per_child or 0,
            resilient=bool(resilient),
            max_retries=max_retries,
            callback_grace=0.05 if 'gi.repository.Gtk' in sys.modules else 0.0,
            interruptible=True,
        )
        if lost_worker_timeout is not None:
            options['lost_worker_timeout'] = _seconds('lost_worker_timeout', lost_worker_timeout)
        if semaphore is not None:
            options['semaphore'] = getattr(semaphore, '_initial_value', semaphore)
            options['putlocks'] = True
        if on_timeout_set is not None or on_timeout_cancel is not None or synack and self._tells_acks:
            options['report_tasks'] = True
        options.update(self._map_options(cluster, master_sock_type, backend_options))
        self._has_endpoint = options.get('endpoint') is not None
        self._native = self._make_native(options)
        self._connect_hooks(on_process_up, on_process_down, on_process_exit, on_timeout_set, on_timeout_cancel,
                            synack and self._tells_acks)
        # where nothing is measured, limited or told of single items, threads take them by themselves
        self._takes_turns = self._backend == 'threads' and not any((
            timeout, soft_timeout, maxtasksperchild, max_memory_per_child, synack, self._results is not None,
            options.get('report_tasks')))
        self._start(start_method)

    # --- making it ---

    @staticmethod
    def _default_processes():
        return native.cpu_count()

    def _map_options(self, cluster, master_sock_type, backend_options):
        """``cluster`` and ``master_sock_type`` mean something to remote backends only."""
        if not spawning.is_remote(self._backend):
            if cluster is not None or master_sock_type != 'w':
                raise ValueError(f'cluster and master_sock_type say where remote workers are; those of the backend '
                                 f'{self._backend!r} are on this machine')
            return backend_options
        if master_sock_type not in ('r', 'w'):
            raise ValueError(f"master_sock_type is 'r' or 'w', not {master_sock_type!r}")
        options = {name: os.fspath(value) if isinstance(value, os.PathLike) else value
                   for name, value in backend_options.items()}
        for name, value in _map_cluster(cluster).items():
            if options.get(name) not in (None, value):
                raise ValueError(f'cluster={cluster!r} means {name}={value!r}, and {name}={options[name]!r} was given')
            options[name] = value
        return options

    def _make_native(self, options):
        try:
            made = native.Manager(backend=self._backend)
            for name, value in options.items():
                if isinstance(value, str) and name == 'sandbox':
                    value = getattr(native.Sandbox, value.upper())
                made.set_property(name.replace('_', '-'), value)
        except TypeError as error:
            raise TypeError(f'{type(self).__name__}() got an argument that it does not know: {error}') from None
        return made

    def _connect_hooks(self, up, down, exited, timeout_set, timeout_cancel, acks):
        connect = self._native.connect
        self._results = weakref.WeakValueDictionary() if timeout_set or timeout_cancel or acks else None
        if up is not None:
            connect('process-up', lambda _, info: up(WorkerInfo(info)))
        if down is not None:
            connect('process-down', lambda _, info: down(WorkerInfo(info), exit_code(info)))
        if exited is not None:
            connect('process-exit', lambda _, info, *rest: exited(WorkerInfo(info), exit_code(info)))
        if self._results is None:
            return
        find = functools.partial(_find_result, weakref.ref(self))
        if timeout_set is not None:
            connect('timeout-set', lambda _, result, soft, hard: timeout_set(find(result), soft or None, hard or None))
        if timeout_cancel is not None:
            connect('timeout-cancel', lambda _, result: timeout_cancel(find(result)))
        if acks:
            connect('task-accepted', functools.partial(_tell_ack, weakref.ref(self), find))

    def _start(self, start_method):
        if self._backend == 'threads':
            inherited = []
            self._calls = ThreadCalls()
            self._start_method = None
            self._native.register_bytes(worker.CALL_NAME, self._calls.run)
            self._native.set_thread_func(worker.thread_function)
            if self._initializer is not None:
                start = worker.ThreadStart(self._initializer, self._initargs)
                self._native.register_bytes(worker.START_NAME, start)
                self._native.set_initializer(worker.START_NAME, None)
        else:
            remote = spawning.is_remote(self._backend)
            if remote:
                self._start_method = spawning.choose_remote_method(self._backend, start_method, self._ctx)
            else:
                self._start_method = spawning.choose_method(start_method, self._ctx)
            self._calls = ProcessCalls(self._start_method != 'fork' and spawning.hides_main(self._program))
            logs.connect(self._native, self._loggers)
            inherited = spawning.prepare(self._native, self._start_method, self._initializer, self._initargs,
                                         logs.describe(self._loggers), remote, self._attempts, self._program)
        try:
            with spawning.inheritable(inherited):
                self._native.start()
        except GLib.Error as error:
            raise from_gerror(error) from None
        self._state = RUN
        if self._loggers and self._backend != 'threads':
            nothing = GLib.Bytes.new(pickling.pack_items([]))
            self._log_marker = self._native.map_packed_async(worker.CALL_NAME, nothing, 0, None, None)
        _pools.add(self)

    # --- calls ---

    def _check_running(self):
        if self._state != RUN:
            raise ValueError('Pool not running')

    def apply(self, func, args=(), kwds={}):
        """Calls ``func(*args, **kwds)`` in a worker and returns what it returns; raises what it raises."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None, accept_callback=None,
                    timeout_callback=None, waitforslot=None, soft_timeout=None, timeout=None, lost_worker_timeout=None,
                    callbacks_propagate=(), correlation_id=None, *, priority=0, max_retries=None):
        """Calls ``func(*args, **kwds)`` in a worker; returns an ApplyResult.

        ``callback(value)`` or ``error_callback(exception)`` is called when the call has ended, before ``wait()`` and
        ``get()`` return. ``accept_callback(pid, monotonic_time)`` when a worker has started it,
        ``timeout_callback(soft=, timeout=)`` when it runs over a limit. ``soft_timeout``, ``timeout``: seconds, in place
        of the pool's. ``priority``: -16 to 15, more urgent calls are started first.

        An argument that cannot be pickled is the exception of the result. ``lost_worker_timeout`` is checked, and that of
        the pool holds.
        """
        self._check_running()
        _seconds('lost_worker_timeout', lost_worker_timeout)
        result = ApplyResult(self, callback, error_callback, callbacks_propagate, correlation_id)
        options = None
        if (accept_callback or timeout_callback or soft_timeout is not None or timeout is not None or priority or
                max_retries is not None or waitforslot is not None or correlation_id is not None):
            options = self._make_options(result, accept_callback, timeout_callback, waitforslot, soft_timeout, timeout,
                                         correlation_id, priority, max_retries)
        if self._runs_again and max_retries is not None:
            func = worker.Attempts(func, max_retries)
        calls = self._calls
        try:
            message, result._call = calls.encode(self._function(func), pickling.CALL, (args, kwds))
        except Exception as error:
            result._failed(error)
            return result
        result._calls = calls
        self._submit(result, message, options)
        return result

    def _function(self, func):
        """What the calls of this function share; one that is found by its name is remembered for the next call."""
        last = self._last_function
        if last is not None and last.function is func:
            return last
        function = self._calls.function(func)
        if function is not func and function.reference is not None:
            self._last_function = function
        return function

    def _submit(self, result, message, options=None):
        if self._results is not None:
            self._submitting += 1
        if type(message) is bytes:
            made = self._native.apply_bytes_async(worker.CALL_NAME, message, options, None, None)
        else:
            try:
                block = blocks.fill(self._native, message)
            except GLib.Error as error:
                if self._results is not None:
                    self._submitting -= 1
                result._failed(from_gerror(error))
                return
            made = self._native.apply_block_async(worker.CALL_NAME, block, options, None, None)
        if self._results is not None:
            self._results[made.get_id()] = result
            self._submitting -= 1
        result._submitted(made)

    @staticmethod
    def _make_options(result, accept, on_timeout, waitforslot, soft_timeout, timeout, correlation_id, priority,
                      max_retries):
        options = native.CallOptions()
        if correlation_id is not None:
            options.set_correlation_id(str(correlation_id))
        if soft_timeout is not None:
            options.set_soft_timeout(_seconds('soft_timeout', soft_timeout))
        if timeout is not None:
            options.set_timeout(_seconds('timeout', timeout))
        if max_retries is not None:
            options.set_max_retries(max_retries)
        if waitforslot is not None:
            options.set_wait_for_slot(bool(waitforslot))
        if priority:
            if not _PRIORITY_MIN <= priority <= _PRIORITY_MAX:
                raise ValueError(f'the priority is from {_PRIORITY_MIN} to {_PRIORITY_MAX}, not {priority!r}')
            options.set_priority(priority)
        if accept is not None or on_timeout is not None:
            # the library keeps what it is given as long as the result lives, which they may refer to
            hooks = result._follow(accept, on_timeout)
        if accept is not None:
            options.set_accept_callback(lambda _, info, moment, *rest: hooks and hooks[0](WorkerInfo(info), moment / 1e6))
        if on_timeout is not None:
            options.set_timeout_callback(
                lambda _, soft, limit, *rest: hooks and hooks[1](soft=soft, timeout=round(limit, 6)))
        return options

    def map(self, func, iterable, chunksize=None):
        """Calls ``func`` with each item; returns the list of what it returns, in the order of the items.

        If items raise, the others are still run; then the exception of the first of them is raised.
        """
        return self._map_async(func, iterable, False, chunksize).get()

    def starmap(self, func, iterable, chunksize=None):
        """As map(), for items that are tuples of arguments."""
        return self._map_async(func, iterable, True, chunksize).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """As map(); returns a MapResult at once."""
        return self._map_async(func, iterable, False, chunksize, callback, error_callback)

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """As starmap(); returns a MapResult at once."""
        return self._map_async(func, iterable, True, chunksize, callback, error_callback)

    def _map_async(self, func, iterable, star, chunksize, callback=None, error_callback=None):
        self._check_running()
        if not hasattr(iterable, '__len__'):
            iterable = list(iterable)
        if chunksize is not None and chunksize < 1:
            raise ValueError(f'Chunksize must be 1+, not {chunksize:n}')
        result = MapResult(self, callback, error_callback)
        result._calls = self._calls
        try:
            messages = self._encode_map(result, func, iterable, star, chunksize)
        except Exception as error:
            result._failed(error)
            return result
        n_large = sum(type(message) is not bytes for message in messages)
        if n_large > 0 and n_large * _SMALL_PER_LARGE >= len(messages):
            self._submit_each(result, messages)
            return result
        packed = GLib.Bytes.new(pickling.pack_items([message if type(message) is bytes else message.join()
                                                     for message in messages]))
        single = 1 if chunksize is not None or result._starts is not None else 0
        made = self._native.map_packed_async(worker.CALL_NAME, packed, single, None, None)
        if self._results is not None:
            self._results[made.get_id()] = result
        result._submitted(made)
        return result

    def _submit_each(self, result, messages):
        """Each message of a map as a call of its own."""
        options = native.CallOptions()
        options.set_wait_for_slot(False)
        self._submitting += 1
        made = [blocks.submit(self._native, worker.CALL_NAME, message, options) for message in messages]
        if self._results is not None:
            for one in made:
                self._results[one.get_id()] = result
        self._submitting -= 1
        result._submitted_all(made)

    def _encode_map(self, result, func, iterable, star, chunksize):
        """One message for each item, or for each chunk of a longer map."""
        calls = self._calls
        if chunksize == 1 and self._takes_turns:
            messages, result._turns = calls.encode_map(func, iterable, star, self._processes)
            result._length = len(result._turns.items)
            return messages
        function = self._function(func)
        n = len(iterable)
        result._length = n
        if chunksize == 1 or chunksize is None and n <= _SINGLE_ITEMS_MAX and not calls.by_reference:
            kind = pickling.STAR if star else pickling.ITEM
            messages, result._tokens = calls.encode_all(function, kind, iterable)
            result._length = len(messages)
            return messages
        kind = pickling.STAR_CHUNK if star else pickling.CHUNK
        chunks = list(self._cut(iterable, n, chunksize))
        result._starts = [0, *itertools.accumulate(map(len, chunks))]
        result._length = result._starts.pop()
        messages, result._tokens = calls.encode_all(function, kind, chunks)
        return messages

    def _cut(self, iterable, n, chunksize):
        if type(iterable) in (range, list, tuple):
            start = 0
            while start < n:
                size = chunksize or self._share(n - start)
                yield iterable[start:start + size]
                start += size
            return
        iterator = iter(iterable)
        left = n
        while chunk := tuple(itertools.islice(iterator, chunksize or self._share(left))):
            left = max(left - len(chunk), 0)
            yield chunk

    def _share(self, left):
        """Chunks get smaller towards the end, so that all workers end at about the same time."""
        if self._calls.by_reference:
            return max(left // (4 * self._processes), 1)
        return min(max(left // (3 * self._processes), _CHUNK_MIN), _CHUNK_MAX)

    def imap(self, func, iterable, chunksize=1, lost_worker_timeout=None):
        """As map(), lazily: an iterator over the results in the order of the items.

        Items are taken as workers need them, never more than a window ahead of the results that were taken. An
        exception of one item does not end the iteration. ``next(timeout)`` waits for so many seconds.
        """
        _seconds('lost_worker_timeout', lost_worker_timeout)
        return self._imap(func, iterable, chunksize, False, True)

    def imap_unordered(self, func, iterable, chunksize=1, lost_worker_timeout=None):
        """As imap(), with results in the order in which they come."""
        _seconds('lost_worker_timeout', lost_worker_timeout)
        return self._imap(func, iterable, chunksize, False, False)

    def istarmap(self, func, iterable, chunksize=1):
        """As imap(), for items that are tuples of arguments."""
        return self._imap(func, iterable, chunksize, True, True)

    def istarmap_unordered(self, func, iterable, chunksize=1):
        """As imap_unordered(), for items that are tuples of arguments."""
        return self._imap(func, iterable, chunksize, True, False)

    def _imap(self, func, iterable, chunksize, star, ordered):
        self._check_running()
        if chunksize < 1:
            raise ValueError(f'Chunksize must be 1+, not {chunksize:n}')
        kind = iterators.IMapIterator if ordered else iterators.IMapUnorderedIterator
        made = kind(self, func, iterable, chunksize, star)
        self._iterators.add(made._feed)
        made._feed.begin()
        return made

    # --- its life ---

    def close(self):
        """Takes no more calls; workers end when they have done what there is."""
        if self._state == RUN:
            self._state = CLOSE
            for feed in list(self._iterators):
                feed.finish_alone()
            self._feed_ended()

    def _feed_ended(self):
        if self._state == CLOSE and not any(feed.active for feed in list(self._iterators)):
            self._close_native()

    def _close_native(self):
        try:
            self._native.close()
        except GLib.Error as error:
            raise from_gerror(error) from None

    def terminate(self):
        """Ends the workers at once. Calls that have not ended become ready, and raise Terminated."""
        self._state = TERMINATE
        for feed in list(self._iterators):
            feed.stop()
        try:
            self._native.terminate()
        except GLib.Error as error:
            raise from_gerror(error) from None
        self._calls.clear()

    def join(self):
        """Waits until the workers are gone. Raises ValueError if the pool was neither closed nor terminated."""
        if self._state == RUN:
            raise ValueError('Pool is still running')
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError('In unknown state')
        for feed in list(self._iterators):
            feed.join()
        if self._state == CLOSE:
            self._close_native()
        wait(self._native.join, None)
        # callbacks of the last results may be on their way, in another thread
        self._calls.clear()

    def restart(self):
        """Starts a pool anew that was closed, terminated or broken. Raises RuntimeError without ``allow_restart``."""
        if not self._allow_restart:
            raise RuntimeError('the pool was made without allow_restart=True')
        try:
            self._native.restart()
        except GLib.Error as error:
            raise from_gerror(error) from None
        self._state = RUN

    def _end_at_exit(self):
        try:
            if self._native is not None and self._native.get_state() not in (State.NEW, State.JOINED):
                self.terminate()
                wait(self._native.join, 10)
        except Exception:  # the program is ending: nobody could do anything about it
            pass

    def __enter__(self):
        self._check_running()
        return self

    def __exit__(self, *_):
        self.terminate()

    def __del__(self, _warn=warnings.warn, _RUN=RUN, _is_finalizing=sys.is_finalizing):
        # at the end of the program, _end_all() has seen to it
        if _is_finalizing() or self._creator != os.getpid():
            return
        if self._state == _RUN:
            _warn(f'unclosed running multiprocessing pool {self!r}', ResourceWarning, source=self)
        made, self._native = self._native, None
        if made is not None:
            if self._calls is not None:
                self._calls.clear()
            try:
                made.terminate()
            except GLib.Error:
                pass

    def __repr__(self):
        cls = type(self)
        return f'<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={self._processes}>'

    def __reduce__(self):
        raise NotImplementedError('pool objects cannot be passed between processes or pickled')

    # --- workers ---

    def _up(self, seconds=10):
        """The workers, when all that are coming up are there."""
        deadline = time.monotonic() + seconds
        # how many agents bring that come by themselves, nobody knows
        expected = 1 if self._comes_by_itself else self._processes
        while True:
            infos = self._native.get_workers()
            if len(infos) >= expected:
                self._all_up = True
            elif not self._threads and not self._all_up and self._state == RUN:
                # nobody else takes notice of those that have come up
                self._native.maintain_pool()
            replaced = self._threads and self._native.props.replace_workers
            if self._all_up and (len(infos) >= expected or not replaced) or self._state != RUN or \
                    time.monotonic() > deadline:
                return infos
            time.sleep(0.002)

    @property
    def _comes_by_itself(self):
        if not spawning.is_remote(self._backend):
            return False
        launcher = self._native.props.launcher
        return launcher == 'none' or launcher is None and self._has_endpoint

    @property
    def endpoint(self):
        """Where agents connect to the pool: an address for ``pool worker --connect``. None if all workers are made here."""
        return self._native.props.endpoint

    @property
    def _pool(self):
        return [Worker(self, info) for info in self._up()]

    def _repopulate_pool(self):
        self._native.maintain_pool()

    def get_workers(self):
        """The workers that are up: a list of ``Pool.native.WorkerInfo``."""
        return self._native.get_workers()

    def worker_pids(self):
        """The process id of each worker; of this process for each that is a thread."""
        return [info.get_pid() or os.getpid() for info in self._up()]

    def grow(self, n=1):
        """Adds workers."""
        self._change_size(self._native.grow, n, n)

    def shrink(self, n=1):
        """Lets workers go, idle ones first. Raises ValueError if all are busy."""
        states = [info.get_state() for info in self._native.get_workers()]
        if len(states) >= self._processes and all(state == native.WorkerState.BUSY for state in states):
            raise ValueError("Can't shrink pool. All processes busy!")
        self._change_size(self._native.shrink, n, -n)

    def _change_size(self, change, n, by):
        try:
            change(n)
        except GLib.Error as error:
            raise from_gerror(error) from None
        self._processes += by

    def terminate_job(self, pid, sig=None):
        """Ends what the worker with this process id runs now; its result raises Terminated."""
        try:
            self._native.terminate_job(int(pid), int(sig or 15))
        except GLib.Error as error:
            raise from_gerror(error) from None

    def did_start_ok(self):
        """Whether no worker has ended since the start that should not have."""
        return self._native.did_start_ok()

    def maintain_pool(self):
        """Replaces workers that have died, where no thread does that. Raises RestartFreqExceeded if that is too often."""
        try:
            self._native.maintain_pool()
        except GLib.Error as error:
            raise from_gerror(error) from None

    def handle_result_event(self, *args):
        """With ``threads=False``: takes the results that have come."""
        self.maintain_pool()

    def on_job_ready(self, job, i, obj, inqW_fd):
        """To be overridden: a result is there. Called with the result object, its number, and None twice.

        What imap() and its relatives return is told when a result is taken, with the number of the item or chunk, from 0.
        """

    def send_ack(self, response, job, i, fd):
        """To be overridden: with ``synack``, a worker has asked whether it may start. The pool itself has answered that.

        Called with True, the result object, its number and None.
        """

    @property
    def process_sentinels(self):
        """Descriptors, one for each worker, that are readable when it has ended: for multiprocessing.connection.wait.

        They are the pool's, which closes them when the worker is gone and this is asked again, or when it goes itself.
        """
        kept, self._sentinels = self._sentinels, {}
        for info in self._native.get_workers():
            if info.get_host() not in (None, '', GLib.get_host_name()):
                continue
            key = info.get_id(), info.get_pid()
            try:
                self._sentinels[key] = kept.get(key) or _Sentinel(os.pidfd_open(info.get_pid()))
            except OSError:  # it has just ended; or is a thread
                pass
        return list(self._sentinels.values())

    @staticmethod
    def cpu_count():
        """How many CPUs this process may use."""
        return native.cpu_count()

    def statistics(self):
        """Counters of the pool, by name."""
        props = self._native.props
        return {name: getattr(props, 'n_' + name)
                for name in ('workers', 'pending', 'running', 'done', 'failed', 'retried', 'restarts')}
