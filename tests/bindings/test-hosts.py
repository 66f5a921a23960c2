#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers that are made by Python's own means, as a binding makes them: by os.fork, by a program in Python, and in threads
that the interpreter knows. With arguments it is such a program.
"""

import os
import pathlib
import signal
import sys
import threading
import time

import tap

import gi

gi.require_version('Pool', '1')
from gi.repository import GLib, Pool as Override  # noqa: E402

Pool = Override.native

POOLS = 50
CALLS = 20


def fork():
    """What a binding gives to set_fork_func"""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = Pool.run_worker()
        finally:
            os._exit(status)
    return pid


def square(_task, arguments):
    return GLib.Variant('x', arguments[0] ** 2)


def where(_task, _arguments):
    """The process, and whether Python is as after a fork of its own: with one thread"""
    return GLib.Variant('(xx)', (os.getpid(), threading.active_count()))


def interpreter(_task, _arguments):
    return GLib.Variant('s', sys.argv[0])


TASKS = (square, where, interpreter)


def manager(backend='fork', **properties):
    pool = Pool.Manager(backend=backend, processes=2, **properties)
    for task in TASKS:
        pool.register(task.__name__, task)
    return pool


def call(pool, task, *arguments):
    variants = [GLib.Variant('x', argument) for argument in arguments]
    return pool.apply(task, GLib.Variant.new_tuple(*variants), None, None).unpack()


def end(pool):
    pool.close()
    assert pool.join(30)


class busy:
    """Four threads that compute, print and allocate, in Python."""

    def __enter__(self):
        self.quit = False
        # the default is 5 ms for each, which every call would wait for several times
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def work(self):
        with open(os.devnull, 'w', encoding='utf-8') as null:
            while not self.quit:
                print(sorted(range(200), key=lambda x: -x), file=null)

    def __exit__(self, *_):
        self.quit = True
        for thread in self.threads:
            thread.join()
        sys.setswitchinterval(self.interval)


@tap.test
def workers_by_os_fork_beside_threads():
    with busy():
        for number in range(POOLS):
            pool = manager(start_method=Pool.StartMethod.FORK)
            pool.set_fork_func(fork)
            pool.start()
            assert [call(pool, 'square', x) for x in range(CALLS)] == [x * x for x in range(CALLS)]
            pid, threads = call(pool, 'where')
            assert pid != os.getpid() and threads == 1, (pid, threads)
            if number % 10 == 0:
                os.kill(pid, signal.SIGKILL)
                assert call(pool, 'square', 5) == 25
            end(pool)


@tap.test
def without_a_function_there_is_no_fork_beside_threads():
    with busy():
        try:
            manager(start_method=Pool.StartMethod.FORK).start()
        except GLib.Error as error:
            assert error.matches(GLib.quark_from_string('pool-error-quark'), Pool.Error.STATE), error
        else:
            raise AssertionError('it started')


@tap.test
def a_function_that_raises():
    hook, raised = sys.excepthook, []
    sys.excepthook = lambda *what: raised.append(what[0])
    pool = manager(start_method=Pool.StartMethod.FORK)
    pool.set_fork_func(lambda: 1 // 0)
    try:
        pool.start()
    except GLib.Error as error:
        assert error.matches(GLib.quark_from_string('pool-error-quark'), Pool.Error.BACKEND), error
        assert 'the fork function failed' in error.message, error.message
    else:
        raise AssertionError('it started')
    finally:
        sys.excepthook = hook
    assert raised == [ZeroDivisionError], raised


def check_command(method):
    command = [sys.executable, str(pathlib.Path(__file__).resolve())]
    pool = manager(start_method=method, worker_command=command)
    assert pool.props.worker_command == command
    pool.register('missing', square)
    pool.start()
    assert [call(pool, 'square', x) for x in range(CALLS)] == [x * x for x in range(CALLS)]
    assert call(pool, 'interpreter') == command[1]
    try:
        call(pool, 'missing', 1)
    except GLib.Error as error:
        assert error.matches(GLib.quark_from_string('pool-error-quark'), Pool.Error.NO_SUCH_TASK), error
    else:
        raise AssertionError('it is there')
    end(pool)


@tap.test
def workers_forked_from_a_program():
    check_command(Pool.StartMethod.FORKSERVER)


@tap.test
def workers_that_run_a_program():
    check_command(Pool.StartMethod.SPAWN)


@tap.test
def workers_in_threads():
    threads = []

    def run():
        threads.append(threading.get_ident())
        assert Pool.run_worker() == 0

    pool = manager('threads')
    pool.set_thread_func(run)
    pool.start()
    assert [call(pool, 'square', x) for x in range(200)] == [x * x for x in range(200)]
    deadline = time.monotonic() + 30
    while len(threads) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    end(pool)
    assert len(threads) == 2, threads


def be_worker(arguments):
    pool = manager()
    pool.set_fork_func(fork)
    sys.exit(pool.run_worker(arguments))


if len(sys.argv) > 1:
    be_worker(sys.argv[1:])
tap.main()
