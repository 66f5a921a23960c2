#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Metrics and time lines of pools to which things happen: what they say is well-formed, and agrees with the properties."""

import os
import pathlib
import signal
import tempfile
import time

import tap
import traces

import gi

gi.require_version('Pool', '1')
from gi.repository import GLib, Pool as Override  # noqa: E402

Pool = Override.native

BACKENDS = ('fork', 'threads')


def each_backend(function):
    for backend in BACKENDS:
        def run(backend=backend):
            with tempfile.TemporaryDirectory(prefix='pool-statistics-') as folder:
                function(backend, pathlib.Path(folder))
        run.__name__ = f'{function.__name__} on {backend}'
        run.__doc__ = None
        tap.test(run)


def call(pool, task, *arguments, **options):
    settings = Pool.CallOptions(**options) if options else None
    try:
        return pool.apply(task, GLib.Variant.new_tuple(*arguments), settings, None)
    except GLib.Error as error:
        return error


def wait_for(pool, name, value):
    deadline = time.monotonic() + 30
    while pool.get_property(name) != value:
        assert time.monotonic() < deadline, f'{name} is {pool.get_property(name)}, not {value}'
        GLib.MainContext.default().iteration(False)
        time.sleep(0.005)


def end(pool):
    wait_for(pool, 'n-abandoned', 0)
    pool.close()
    assert pool.join(30)


def work(pool, backend):
    """A known workload. Returns: how many results came back"""
    for i in range(20):
        call(pool, 'debug.echo', GLib.Variant('i', i))
    call(pool, 'debug.raise', GLib.Variant('s', 'no'))
    pool.map('debug.echo', GLib.Variant('ai', list(range(100))), 10, None)
    error = call(pool, 'debug.sleep', GLib.Variant('d', 0.5), timeout=0.1)
    assert error.code == Pool.Error.TIMED_OUT, error
    call(pool, 'debug.sleep', GLib.Variant('d', 5), soft_timeout=0.1)
    if backend == 'fork':
        error = call(pool, 'debug.crash', GLib.Variant('i', int(signal.SIGKILL)))
        assert error.code == Pool.Error.WORKER_LOST, error
        call(pool, 'debug.flaky', GLib.Variant('i', 1))
    wait_for(pool, 'n-workers', 2)
    # 20 calls, a failure, at least 10 chunks, one that was told; those that were lost have no result
    return 20 + 1 + 1 + (backend == 'fork')


@each_backend
def metrics_agree_with_the_properties(backend, _folder):
    pool = Pool.Manager(backend=backend, processes=2, statistics=True)
    pool.start()
    calls = work(pool, backend)
    samples = traces.parse_metrics(pool.dump_metrics())
    for name in 'submitted', 'done', 'failed', 'retried', 'lost', 'cancelled':
        assert samples[f'libpool_tasks_{name}_total',] == pool.get_property(f'n-{name}'), name
    assert samples['libpool_tasks_timed_out_total', ('limit', 'hard')] == pool.props.n_timed_out == 1
    assert samples['libpool_tasks_timed_out_total', ('limit', 'soft')] == pool.props.n_soft_timed_out == 1
    assert samples['libpool_worker_restarts_total',] == pool.props.n_restarts
    assert samples['libpool_workers_alive',] == samples['libpool_workers_wanted',] == 2
    assert samples['libpool_workers_busy',] == samples['libpool_queue_length',] == 0
    assert samples['libpool_in_flight_bytes',] == samples['libpool_tasks_pending',] == 0
    for reason in 'ASKED', 'EXITED', 'CRASHED', 'RECYCLED', 'TIMED_OUT', 'OUT_OF_MEMORY', 'INITIALIZER', 'NOT_STARTED':
        assert samples['libpool_worker_exits_total', ('reason', reason.lower())] == \
            pool.get_n_exits(getattr(Pool.DownReason, reason)), reason

    fork = backend == 'fork'
    assert pool.props.n_submitted == pool.props.n_done + pool.props.n_failed == 123 + 2 * fork
    assert pool.props.n_failed == 3 + fork, pool.props.n_failed
    assert pool.props.n_lost == fork
    for kind, name in ((Pool.HistogramKind.RUN_TIME, 'run_time'), (Pool.HistogramKind.WAITING_TIME, 'waiting_time'),
                       (Pool.HistogramKind.RESTART_TIME, 'restart_time')):
        count, total = traces.check_histogram(samples, f'libpool_{name}_seconds')
        _, expected_total, expected_count = pool.get_histogram(kind).unpack()
        assert count == expected_count and abs(total - expected_total) < 1e-9, name
    count, _ = traces.check_histogram(samples, 'libpool_run_time_seconds')
    # a chunk is a time of its own, and one may have been divided
    assert calls + 10 <= count <= calls + 100, count
    assert traces.check_histogram(samples, 'libpool_waiting_time_seconds')[0] == count
    assert traces.check_histogram(samples, 'libpool_restart_time_seconds')[0] >= 1
    end(pool)


@each_backend
def metrics_without_times(backend, _folder):
    pool = Pool.Manager(backend=backend, processes=2)
    samples = traces.parse_metrics(pool.dump_metrics())
    assert samples['libpool_tasks_submitted_total',] == 0
    pool.start()
    call(pool, 'debug.echo', GLib.Variant('i', 1))
    samples = traces.parse_metrics(pool.dump_metrics())
    assert samples['libpool_tasks_submitted_total',] == samples['libpool_tasks_done_total',] == 1
    assert not [key for key in samples if key[0].endswith('_bucket')]
    end(pool)


@each_backend
def the_time_line(backend, folder):
    path = folder / 'trace.json'
    pool = Pool.Manager(backend=backend, processes=2)
    before = time.monotonic() * 1e6
    pool.start_trace(str(path))
    pool.start()
    work(pool, backend)
    end(pool)
    pool.stop_trace()
    after = time.monotonic() * 1e6
    events = traces.read(path)
    ran = traces.runs(events)
    outcomes = [event['args']['outcome'] for event in ran]
    assert all(before <= event['ts'] and event['ts'] + event['dur'] <= after for event in ran)
    assert sum(event['args']['items'] for event in ran if event['name'] == 'debug.echo') == 120
    assert len([event for event in ran if event['name'] == 'debug.raise']) == 1
    assert outcomes.count('timed-out') == 1
    limited = next(event for event in ran if event['args']['outcome'] == 'timed-out')
    assert limited['name'] == 'debug.sleep' and limited['dur'] >= 90e3, limited
    assert len(traces.instants(events, 'timeout')) == len(traces.instants(events, 'soft timeout')) == 1

    pids = {event['pid'] for event in ran}
    fork = backend == 'fork'
    assert os.getpid() not in pids if fork else pids == {os.getpid()}
    reasons = [event['args']['reason'] for event in traces.instants(events, 'worker down')]
    assert reasons.count('timed-out') == 1
    if fork:
        assert len(traces.instants(events, 'retry')) == 3, traces.instants(events, 'retry')
        assert len(traces.instants(events, 'lost')) == 1
        assert reasons.count('crashed') == 4
        assert next(event for event in ran if event['name'] == 'debug.flaky')['args']['attempt'] == 2
    assert len(traces.instants(events, 'worker up')) == len(reasons) == pool.props.n_restarts + 2 + 1


@each_backend
def the_time_line_of_many_small_tasks(backend, folder):
    """So short that rounding would make them overlap"""
    path = folder / 'trace.json'
    pool = Pool.Manager(backend=backend, processes=2)
    pool.start()
    pool.start_trace(str(path))
    results = [pool.apply_async('debug.echo', GLib.Variant('(i)', (i,)), None, None, None) for i in range(5000)]
    for result in results:
        result.get(-1)
    pool.stop_trace()
    ran = traces.runs(traces.read(path))
    assert len(ran) == 5000
    assert len({event['args']['id'] for event in ran}) == 5000
    end(pool)


tap.main()
