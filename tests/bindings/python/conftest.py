# SPDX-License-Identifier: LGPL-2.1-or-later
import gc
import multiprocessing
import multiprocessing.resource_tracker
import os
import time

import pytest

import gi

gi.require_version('Pool', '1')
from gi.repository import GLib, Pool  # noqa: E402

PROCESSES = ['fork', 'forkserver', 'spawn']


def has_zmq():
    try:
        Pool.describe_backend('zmq')
    except GLib.Error:
        return False
    return True


def make(kind, processes=2, *args, **options):
    if kind == 'threads':
        return Pool.ThreadPool(processes, *args, **options)
    if kind == 'zmq':
        return Pool.Pool(processes, *args, backend='zmq', **options)
    return Pool.Pool(processes, *args, start_method=kind, **options)


def children():
    """Process ids below this one, but for those that are only waiting to be reaped by it."""
    found = []
    for number in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{number}/stat') as file:
                fields = file.read().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != 'Z':
            found.append(int(number))
    return found


def until(condition, seconds=20):
    """What happens elsewhere, and nobody tells of."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.005)


@pytest.fixture(params=[*PROCESSES, 'threads'])
def kind(request):
    return request.param


@pytest.fixture(params=PROCESSES)
def method(request):
    return request.param


@pytest.fixture
def pool(kind):
    made = make(kind)
    yield made
    made.terminate()
    made.join()


@pytest.fixture
def processes(method):
    made = make(method)
    yield made
    made.terminate()
    made.join()


@pytest.fixture(autouse=True, scope='session')
def first_pool():
    """What is opened once for all pools, and by multiprocessing."""
    multiprocessing.resource_tracker.ensure_running()
    for kind in 'fork', 'threads':
        with make(kind) as pool:
            pool.map(abs, [1])
        pool.join()
    yield


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """No descriptor or child of a pool that has ended."""
    gc.collect()
    before = set(os.listdir('/proc/self/fd'))
    others = set(children())
    yield
    request.node.funcargs.clear()
    gc.collect()
    until(lambda: not set(children()) - others)
    # threads take as long as their tasks
    until(lambda: len(os.listdir('/proc/self/fd')) <= len(before))
