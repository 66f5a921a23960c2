# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs rely on that were written for billiard.Pool: limits, deaths, hooks, and pools that change."""

import collections
import multiprocessing.connection
import os
import random
import signal
import sys
import threading
import time

import pytest

from conftest import children, make, until
from gi.repository import Pool
import tasks

#: Where the start of the workers makes no difference.
few_kinds = pytest.mark.parametrize('kind', ['fork', 'threads'])
few_methods = pytest.mark.parametrize('method', ['fork'])

LONG = 60


def die_at_random(x):
    if Pool.current_task().get_attempt() == 1 and random.random() < 0.0005:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def eat_memory(mib):
    tasks.kept.append(bytearray(mib << 20))
    return os.getpid()


def clean_up_slowly(seconds):
    try:
        time.sleep(LONG)
    except Pool.SoftTimeLimitExceeded:
        time.sleep(seconds)
        return 'cleaned up'


def touch(path, seconds=0):
    with open(path, 'a') as file:
        file.write('x')
    time.sleep(seconds)
    return path


def touch_and_hold(path):
    """As touch(), and runs until let_go()."""
    touch(path)
    while not os.path.exists(path + '.go'):
        time.sleep(0.01)
    return path


def let_go(path):
    open(path + '.go', 'w').close()


def begun(path, n=1):
    return os.path.exists(path) and os.path.getsize(path) >= n


def ignore_all(path):
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGUSR1:
        signal.signal(number, signal.SIG_IGN)
    touch(path)
    while True:
        time.sleep(1)


def with_a_child(path):
    pid = os.fork()
    if pid == 0:
        time.sleep(LONG)
        os._exit(0)
    with open(path, 'w') as file:
        file.write(str(pid))
    time.sleep(LONG)


def steps(n):
    for i in range(n):
        Pool.current_task().set_progress(i / n)
        time.sleep(0.01)


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


# --- limits of time ---

def test_a_hard_limit_ends_the_task(method):
    with make(method, 2, timeout=0.3) as pool:
        start = time.monotonic()
        result = pool.apply_async(tasks.sleep, (LONG,))
        with pytest.raises(Pool.TimeLimitExceeded):
            result.get(20)
        assert time.monotonic() - start < 10
        assert result.attempts == 1 and not result.successful()
        assert pool.map(tasks.square, range(10)) == [i * i for i in range(10)]
        assert len(set(pool.worker_pids())) == 2


def test_a_hard_limit_of_one_call():
    with make('fork', 2) as pool:
        slow = pool.apply_async(tasks.sleep, (LONG,), timeout=0.2)
        other = pool.apply_async(tasks.sleep, (0.7,))
        with pytest.raises(Pool.TimeLimitExceeded):
            slow.get(20)
        assert other.get(20) == 0.7


def test_a_limit_of_one_call_stands_in_place_of_the_pools():
    with make('fork', 1, timeout=0.3) as pool:
        assert pool.apply_async(tasks.sleep, (0.8,), timeout=30).get(20) == 0.8


def test_a_limit_holds_for_each_item_of_a_map():
    with make('fork', 2, timeout=0.5) as pool:
        result = pool.map_async(tasks.sleep, [0.01, LONG, 0.02])
        with pytest.raises(Pool.TimeLimitExceeded):
            result.get(20)
        assert result[0] == 0.01 and result[2] == 0.02
        found = []
        results = pool.imap(tasks.sleep, [0.01, LONG, 0.02])
        for _ in range(3):
            try:
                found.append(results.next(20))
            except Pool.TimeLimitExceeded:
                found.append(None)
        assert found == [0.01, None, 0.02]


def test_a_hard_limit_ends_what_ignores_signals(tmp_path):
    with make('fork', 1, timeout=0.4) as pool:
        with pytest.raises(Pool.TimeLimitExceeded):
            pool.apply_async(ignore_all, (str(tmp_path / 'x'),)).get(20)
        assert pool.apply(tasks.square, (3,)) == 9


def test_a_hard_limit_ends_what_the_task_has_started(tmp_path):
    path = tmp_path / 'pid'
    with make('fork', 1, timeout=0.5) as pool:
        with pytest.raises(Pool.TimeLimitExceeded):
            pool.apply_async(with_a_child, (str(path),)).get(20)
        pid = int(path.read_text())
        until(lambda: not is_alive(pid))


def test_a_soft_limit_is_raised_in_the_task(method):
    with make(method, 1, soft_timeout=0.3) as pool:
        pid = pool.apply(os.getpid)
        assert pool.apply_async(tasks.sleep_and_clean_up, (LONG,)).get(20) == 'cleaned up'
        with pytest.raises(Pool.SoftTimeLimitExceeded) as info:
            pool.apply_async(tasks.sleep, (LONG,)).get(20)
        if sys.version_info < (3, 13):
            assert 'time.sleep' in info.value.__cause__.tb
        assert pool.apply(tasks.square, (3,)) == 9
        # the worker has survived it
        assert pool.apply(os.getpid) == pid


def test_a_soft_limit_of_one_call():
    with make('fork', 1) as pool:
        assert pool.apply_async(tasks.sleep_and_clean_up, (LONG,), soft_timeout=0.2).get(20) == 'cleaned up'
        assert pool.apply_async(tasks.sleep_and_clean_up, (0.3,)).get(20) is None


def test_a_soft_limit_then_a_hard_one():
    with make('fork', 1, soft_timeout=0.2, timeout=0.8) as pool:
        assert pool.apply_async(clean_up_slowly, (0.1,)).get(20) == 'cleaned up'
        with pytest.raises(Pool.TimeLimitExceeded):
            pool.apply_async(clean_up_slowly, (LONG,)).get(20)


def test_a_soft_limit_that_comes_as_the_task_ends_harms_nobody():
    """The signal may find the next call, or none."""
    with make('fork', 2, soft_timeout=0.02) as pool:
        ended = collections.Counter()
        results = [pool.apply_async(tasks.sleep, (0.0185 + 0.00005 * i,)) for i in range(60)]
        for result in results:
            try:
                result.get(20)
                ended['well'] += 1
            except Pool.SoftTimeLimitExceeded:
                ended['late'] += 1
        assert sum(ended.values()) == 60
        assert pool.map(tasks.square, range(100)) == [i * i for i in range(100)]
        assert pool.statistics()['restarts'] == 0


def test_timeout_callbacks():
    called = []
    with make('fork', 1) as pool:
        with pytest.raises(Pool.TimeLimitExceeded):
            pool.apply_async(clean_up_slowly, (LONG,), soft_timeout=0.2, timeout=0.6,
                             timeout_callback=lambda soft, timeout: called.append((soft, timeout))).get(20)
        until(lambda: len(called) == 2)
    assert called == [(True, 0.2), (False, 0.6)]


def test_reports_of_limits_of_a_map():
    told = []
    with make('fork', 2, timeout=30, on_timeout_set=lambda *args: told.append(args)) as pool:
        result = pool.map_async(tasks.square, range(4))
        result.get(20)
        until(lambda: len(told) == 4)
        assert set(told) == {(result, None, 30)}


def test_reports_of_limits():
    told = []
    with make('fork', 1, timeout=30, soft_timeout=20, on_timeout_set=lambda *args: told.append(('set', *args)),
              on_timeout_cancel=lambda *args: told.append(('cancel', *args))) as pool:
        result = pool.apply_async(tasks.square, (3,))
        assert result.get() == 9
        until(lambda: len(told) == 2)
        own = pool.apply_async(tasks.square, (3,), timeout=5, soft_timeout=0)
        own.get()
        until(lambda: len(told) == 4)
    assert told[0] == ('set', result, 20, 30) and told[0][1] is result
    assert told[1] == ('cancel', result) and told[1][1] is result
    assert told[2] == ('set', own, None, 5) and told[3][1] is own


# --- deaths ---

def test_workers_that_die_idle(method):
    with make(method) as pool:
        for pid in pool.worker_pids():
            os.kill(pid, signal.SIGKILL)
        assert [pool.apply_async(tasks.square, (i,)).get(20) for i in range(20)] == [i * i for i in range(20)]
        until(lambda: len(pool.worker_pids()) == 2)
        assert not pool.did_start_ok()


def test_a_task_whose_worker_dies_runs_again(method):
    with make(method) as pool:
        result = pool.apply_async(tasks.kill_now_and_then, (999,))
        assert result.get(20) == 999
        assert result.attempts == 2


@pytest.mark.parametrize('options', [{'resilient': False}, {'max_retries': 0}])
def test_a_task_whose_worker_dies_fails(options):
    with make('fork', **options) as pool:
        result = pool.apply_async(tasks.kill_me)
        with pytest.raises(Pool.WorkerLostError, match='9|SIGKILL|Killed'):
            result.get(20)
        assert result.attempts == 1
        assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]


def test_a_task_that_takes_every_worker_fails_alone():
    with make('fork', max_retries=2) as pool:
        good = pool.map_async(tasks.sleep, [0.01] * 50)
        bad = pool.apply_async(tasks.kill_me)
        with pytest.raises(Pool.WorkerLostError):
            bad.get(20)
        assert bad.attempts == 2
        assert good.get(20) == [0.01] * 50
        once = pool.apply_async(tasks.kill_me, max_retries=0)
        with pytest.raises(Pool.WorkerLostError):
            once.get(20)
        assert once.attempts == 1


def test_nothing_is_lost_or_comes_twice():
    with make('fork', 4, max_restarts=100000) as pool:
        found = collections.Counter(pool.imap_unordered(die_at_random, range(100000)))
        assert len(found) == 100000 and set(found.values()) == {1}
        assert pool.statistics()['restarts'] > 5
        assert list(pool.imap(tasks.kill_now_and_then, range(5000))) == list(range(5000))
        assert pool.map(tasks.kill_now_and_then, range(5000), 1) == list(range(5000))


def test_nothing_is_lost_of_a_map():
    with make('fork', 4, max_restarts=100000) as pool:
        assert pool.map(die_at_random, range(20000), 50) == list(range(20000))
        assert pool.statistics()['restarts'] > 0


# --- ending calls ---

def test_terminate_job(method, tmp_path):
    path = str(tmp_path / 'begun')
    with make(method) as pool:
        accepted = []
        result = pool.apply_async(touch, (path, LONG), accept_callback=lambda pid, when: accepted.append(pid))
        until(lambda: begun(path) and accepted)
        pool.terminate_job(accepted[0])
        with pytest.raises(Pool.Terminated):
            result.get(20)
        assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
        assert os.path.getsize(path) == 1


def test_terminate_job_of_nobody():
    with make('fork', 1) as pool:
        with pytest.raises(ValueError):
            pool.terminate_job(os.getpid())


def test_terminating_a_result(tmp_path):
    path = str(tmp_path / 'begun')
    with make('fork', 1) as pool:
        running = pool.apply_async(touch, (path, LONG))
        waiting = pool.apply_async(touch, (path, LONG))
        until(lambda: begun(path))
        waiting.terminate(signal.SIGTERM)
        with pytest.raises(Pool.Terminated):
            waiting.get(20)
        running.terminate(signal.SIGKILL)
        with pytest.raises(Pool.Terminated):
            running.get(20)
        assert pool.apply(tasks.square, (3,)) == 9
        running.terminate(signal.SIGKILL)
        assert os.path.getsize(path) == 1


def test_cancelling(tmp_path):
    path = str(tmp_path / 'begun')
    with make('fork', 1) as pool:
        running = pool.apply_async(touch, (path, LONG))
        until(lambda: begun(path))
        waiting = pool.apply_async(touch, (path, 0))
        errors = []
        third = pool.apply_async(touch, (path, 0), error_callback=errors.append)
        assert waiting.cancel() and third.cancel() and running.cancel()
        for result in waiting, running, third:
            with pytest.raises(Pool.CancelledError):
                result.get(20)
        assert isinstance(errors[0], Pool.CancelledError)
        assert pool.apply(tasks.square, (3,)) == 9
        ended = pool.apply_async(tasks.square, (3,))
        ended.wait()
        assert not ended.cancel() and ended.get() == 9
    assert os.path.getsize(path) == 1


@pytest.mark.parametrize('synack', [False, True])
def test_a_call_that_is_cancelled_in_time_never_runs(tmp_path, synack):
    with make('fork', 2, synack=synack) as pool:
        cancelled = []
        for i in range(200):
            path = str(tmp_path / str(i))
            result = pool.apply_async(touch, (path,))
            if i % 2 and result.cancel():
                cancelled.append((path, result))
            elif not i % 2:
                assert result.get(20) == path
        for path, result in cancelled:
            with pytest.raises(Pool.CancelledError):
                result.get(20)
            if synack and result.attempts == 0:
                assert not os.path.exists(path)


def test_synack_gives_all_results():
    with make('fork', 2, synack=True) as pool:
        assert pool.map(tasks.square, range(200), 1) == [i * i for i in range(200)]
        assert list(pool.imap(tasks.square, range(200))) == [i * i for i in range(200)]
        assert pool.apply(tasks.square, (3,)) == 9


# --- hooks ---

def test_process_hooks(method):
    up, down, left = [], [], []
    pool = make(method, 2, on_process_up=up.append, on_process_down=lambda *args: down.append(args),
                on_process_exit=lambda pid, exitcode: left.append((pid, exitcode)))
    with pool:
        until(lambda: len(up) == 2)
        assert sorted(up) == sorted(pool.worker_pids())
        assert all(isinstance(pid, int) and pid.pid == pid for pid in up)
        assert {pid.id for pid in up} == {0, 1}
        victim = up[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(up) == 3 and down and left)
        assert down == [(victim, -9)] and left == [(victim, -9)]
        assert left[0][0].signal == 9
        assert up[2] != victim
        with pytest.raises(AttributeError):
            up[0].frobnicate
    pool.join()
    until(lambda: len(left) == 3)
    assert sorted(pid for pid, _ in left) == sorted(up)


def test_exit_codes_of_workers_that_end_in_order():
    left = []
    with make('fork', 2, on_process_exit=lambda pid, exitcode: left.append(exitcode)) as pool:
        pool.map(tasks.square, range(10))
        pool.close()
        pool.join()
    until(lambda: len(left) == 2)
    assert left == [0, 0]


@few_kinds
def test_accept_callbacks(kind):
    with make(kind, 1) as pool:
        told = []
        before = time.monotonic()
        pid = pool.apply_async(os.getpid, accept_callback=lambda *args: told.append(args)).get(20)
        until(lambda: told)
        assert told[0][0] == pid
        assert before - 0.1 <= told[0][1] <= time.monotonic()
        until(lambda: len(told) == 1)


def test_accept_callbacks_come_when_the_task_starts(tmp_path):
    path = str(tmp_path / 'begun')
    with make('fork', 1) as pool:
        told = []
        first = pool.apply_async(touch, (path, LONG), accept_callback=lambda *args: told.append(1))
        pool.apply_async(touch, (path, LONG), accept_callback=lambda *args: told.append(2))
        until(lambda: begun(path) and told)
        time.sleep(0.1)
        assert told == [1] and not first.ready()


@few_kinds
def test_correlation_ids(kind):
    with make(kind) as pool:
        result = pool.apply_async(tasks.square, (3,), correlation_id='job-7')
        assert result.get(20) == 9 and result.correlation_id == 'job-7'
        assert pool.apply_async(tasks.square, (3,)).correlation_id is None


@few_kinds
def test_callbacks_propagate(kind, caplog):
    def bad(value):
        raise KeyError('in the callback')
    with make(kind) as pool:
        with pytest.raises(KeyError, match='in the callback'):
            pool.apply_async(tasks.square, (3,), callback=bad, callbacks_propagate=(KeyError, OSError)).get(20)
        with pytest.raises(KeyError, match='in the callback'):
            pool.apply_async(tasks.fail, (3,), error_callback=bad, callbacks_propagate=(KeyError,)).get(20)
        assert pool.apply_async(tasks.square, (3,), callback=bad, callbacks_propagate=(OSError,)).get(20) == 9
    assert 'in the callback' in caplog.text
    caplog.clear()  # its records hold frames


@few_kinds
def test_on_job_ready_of_a_subclass(kind):
    ready = []

    class Mine(Pool.ThreadPool if kind == 'threads' else Pool.Pool):
        def on_job_ready(self, job, i, obj, inqW_fd):
            ready.append((job, i, obj, inqW_fd))
    options = {} if kind == 'threads' else {'start_method': kind}
    with Mine(2, **options) as pool:
        result = pool.apply_async(tasks.square, (3,))
        assert result.get(20) == 9
        until(lambda: ready)
        assert ready[0][0] is result and ready[0][3] is None
        failed = pool.apply_async(tasks.fail, (3,))
        failed.wait(20)
        until(lambda: len(ready) == 2)
        assert ready[1][0] is failed
        assert sum(pool.imap(tasks.square, range(5))) == 30
        assert [call[1] for call in ready[2:]] == list(range(5))
        del ready[2:]
        mapped = pool.map_async(tasks.square, range(5))
        assert mapped.get(20) == [0, 1, 4, 9, 16]
        until(lambda: len(ready) == 3)
        assert ready[2][0] is mapped
        called = []
        again = pool.apply_async(tasks.square, (4,), callback=called.append)
        assert again.get(20) == 16 and called == [16]
        until(lambda: len(ready) == 4)
        assert ready[3][0] is again


def test_send_ack_of_a_subclass():
    acks = []

    class Mine(Pool.Pool):
        def send_ack(self, response, job, i, fd):
            acks.append((response, job, i, fd))
    with Mine(1, start_method='fork', synack=True) as pool:
        result = pool.apply_async(tasks.square, (3,))
        assert result.get(20) == 9
        until(lambda: acks)
        assert acks == [(True, result, 1, None)] and acks[0][1] is result


# --- pools that change ---

@few_kinds
def test_grow_and_shrink(kind):
    with make(kind) as pool:
        pool.grow(2)
        until(lambda: len(pool.get_workers()) == 4)
        assert 'pool_size=4' in repr(pool)
        assert pool.map(tasks.square, range(20), 1) == [i * i for i in range(20)]
        pool.shrink(3)
        until(lambda: len(pool.get_workers()) == 1)
        assert 'pool_size=1' in repr(pool)
        assert pool.map(tasks.square, range(20), 1) == [i * i for i in range(20)]
        pool.grow()
        assert pool.map(tasks.square, range(20), 1) == [i * i for i in range(20)]
        until(lambda: len(pool.worker_pids()) == 2)


def test_shrinking_a_pool_that_is_busy(tmp_path):
    path = str(tmp_path / 'begun')
    with make('fork', 2) as pool:
        results = [pool.apply_async(touch_and_hold, (path,)) for _ in range(2)]
        until(lambda: begun(path, 2))
        with pytest.raises(ValueError):
            pool.shrink()
        assert 'pool_size=2' in repr(pool)
        let_go(path)
        assert [result.get(20) for result in results] == [path, path]
        assert os.path.getsize(path) == 2


def test_shrinking_takes_an_idle_worker(tmp_path):
    path = str(tmp_path / 'begun')
    with make('fork', 3) as pool:
        pool._up()
        result = pool.apply_async(touch_and_hold, (path,))
        until(lambda: begun(path))
        pool.shrink(2)
        until(lambda: len(pool.get_workers()) == 1)
        let_go(path)
        assert result.get(20) == path and result.attempts == 1


def test_shrinking_too_far():
    with make('fork', 2) as pool:
        with pytest.raises(ValueError):
            pool.shrink(5)
        assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_maxtasksperchild_staggers_and_loses_nothing(method):
    with make(method, 2, maxtasksperchild=10) as pool:
        assert pool.map(tasks.square, range(100), 1) == [i * i for i in range(100)]
        assert pool.did_start_ok()
        assert pool.statistics()['retried'] == 0


def test_max_memory_per_child():
    with make('fork', 1, max_memory_per_child=200 << 10) as pool:
        pids = [pool.apply(eat_memory, (60,)) for _ in range(8)]
        assert 2 <= len(set(pids)) < 8
        assert pool.statistics()['failed'] == 0


@few_kinds
def test_too_many_deaths(kind):
    if kind == 'threads':
        return  # threads do not die
    with make(kind, 1, max_restarts=3, max_restart_freq=60, max_retries=100) as pool:
        results = [pool.apply_async(tasks.kill_me) for _ in range(3)]
        for result in results:
            with pytest.raises(Pool.RestartFreqExceeded):
                result.get(20)
        with pytest.raises((Pool.RestartFreqExceeded, ValueError)):
            pool.apply_async(tasks.square, (3,)).get(20)


def test_restart(kind):
    with make(kind, 2, allow_restart=True) as pool:
        assert pool.apply(tasks.square, (3,)) == 9
        pool.close()
        pool.join()
        pool.restart()
        assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
        assert 'state=RUN' in repr(pool)
        pool.terminate()
        pool.join()
        pool.restart()
        assert pool.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
        assert list(pool.imap(tasks.square, range(5))) == [0, 1, 4, 9, 16]


def test_restart_after_too_many_deaths():
    with make('fork', 1, allow_restart=True, max_restarts=2, max_restart_freq=60, max_retries=100) as pool:
        with pytest.raises(Pool.RestartFreqExceeded):
            pool.apply_async(tasks.kill_me).get(20)
        pool.restart()
        assert pool.apply(tasks.square, (3,)) == 9


@few_kinds
def test_restart_must_be_allowed(pool):
    with pytest.raises(Exception, match='allow_restart'):
        pool.restart()
    assert pool.apply(tasks.square, (3,)) == 9


@few_kinds
def test_did_start_ok(kind):
    with make(kind) as pool:
        pool.worker_pids()
        assert pool.did_start_ok() is True
        pool.map(tasks.square, range(5))
        assert pool.did_start_ok() is True


@few_methods
def test_process_sentinels(method):
    with make(method) as pool:
        pool.worker_pids()
        sentinels = pool.process_sentinels
        assert len(sentinels) == 2
        assert multiprocessing.connection.wait(sentinels, timeout=0.05) == []
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        assert len(multiprocessing.connection.wait(sentinels, timeout=10)) == 1


def test_worker_pids(kind):
    with make(kind, 3) as pool:
        pids = pool.worker_pids()
        assert len(pids) == 3
        if kind == 'threads':
            assert set(pids) == {os.getpid()}
        else:
            assert len(set(pids)) == 3 and all(map(is_alive, pids))
            assert set(pool.map(tasks.who, range(30), 1)) <= set(pids)
    pool.join()
    if kind != 'threads':
        assert not any(map(is_alive, pids))


# --- without an engine thread ---

def test_without_threads():
    with make('fork', 2, threads=False) as pool:
        result = pool.apply_async(tasks.square, (3,))
        end = time.monotonic() + 20
        while not result.ready():
            pool.handle_result_event()
            assert time.monotonic() < end
            time.sleep(0.01)
        assert result.get() == 9
        called = []
        last = pool.apply_async(tasks.square, (4,), callback=called.append)
        mapped = pool.map_async(tasks.square, range(10))
        pool.close()
        pool.join()
        assert last.ready() and last.get() == 16 and mapped.get() == [i * i for i in range(10)]
        assert called == [16]


def test_without_threads_the_dead_are_replaced_when_it_is_asked():
    with make('fork', 2, threads=False, max_restarts=2, max_restart_freq=60) as pool:
        pids = pool.worker_pids()
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: not is_alive(pids[0]))
        end = time.monotonic() + 20
        while pids[0] in pool.worker_pids() or len(pool.worker_pids()) < 2:
            pool.maintain_pool()
            assert time.monotonic() < end
            time.sleep(0.01)
        with pytest.raises(Pool.RestartFreqExceeded):
            for _ in range(200):
                for pid in pool.worker_pids():
                    if is_alive(pid):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
                pool.maintain_pool()


# --- slots, urgency, progress, numbers ---

def test_putlocks():
    with make('fork', 2, putlocks=True) as pool:
        start = time.monotonic()
        results = [pool.apply_async(tasks.sleep, (1,)) for _ in range(4)]
        assert time.monotonic() - start >= 0.9
        assert not results[-1].ready()
        assert [result.get(20) for result in results] == [1] * 4
        start = time.monotonic()
        results = [pool.apply_async(tasks.sleep, (1,), waitforslot=False) for _ in range(6)]
        assert time.monotonic() - start < 0.95
        assert [result.get(20) for result in results] == [1] * 6


def test_a_semaphore():
    for semaphore in 3, threading.BoundedSemaphore(3):
        with make('fork', 2, semaphore=semaphore) as pool:
            start = time.monotonic()
            results = [pool.apply_async(tasks.sleep, (1,)) for _ in range(3)]
            assert time.monotonic() - start < 0.95
            results.append(pool.apply_async(tasks.sleep, (0.01,)))
            assert time.monotonic() - start >= 0.9
            for result in results:
                result.get(20)


def test_putlocks_are_free_again_whatever_happens():
    with make('fork', 2, putlocks=True, max_retries=0) as pool:
        for _ in range(3):
            ends = [pool.apply_async(tasks.kill_me), pool.apply_async(tasks.fail, (1,)),
                    pool.apply_async(tasks.sleep, (LONG,), timeout=0.1), pool.apply_async(tasks.square, (2,))]
            for result in ends:
                result.wait(20)
                assert result.ready()


def test_urgent_calls_come_first(tmp_path):
    path = str(tmp_path / 'begun')
    order = []
    with make('fork', 1) as pool:
        for bad in -17, 16:
            with pytest.raises(ValueError, match='priority'):
                pool.apply_async(tasks.square, (1,), priority=bad)
        first = pool.apply_async(touch_and_hold, (path,))
        until(lambda: begun(path))
        results = [pool.apply_async(tasks.identity, (priority,), callback=order.append, priority=priority)
                   for priority in (*[0] * 300, -16, 0, 0, 15, 5, 15)]
        let_go(path)
        first.get(20)
        for result in results:
            result.get(20)
    # what the worker had at hand already goes before, and every so often the oldest does
    last = len(order) - 1 - order[::-1].index(0)
    assert order.index(15) < order.index(5) < last and order.index(15) < order.index(-16)


def test_progress(kind):
    with make(kind, 1) as pool:
        result = pool.apply_async(tasks.set_progress, (0.25, 0.5))
        assert result.progress in (0, 0.25)
        until(lambda: result.progress == 0.25)
        assert not result.ready()
        result.get(20)
        assert result.progress == 1
        seen = []
        result = pool.apply_async(steps, (50,))
        while not result.ready():
            seen.append(result.progress)
            time.sleep(0.01)
        assert seen == sorted(seen) and len(set(seen)) > 5
        mapped = pool.map_async(tasks.sleep, [0.05] * 10, 1)
        until(lambda: 0 < mapped.progress < 1)
        mapped.get(20)
        assert mapped.progress == 1


@few_kinds
def test_outside_of_a_task_there_is_none(kind):
    assert Pool.current_task() is None
    with make(kind, 1) as pool:
        assert pool.apply(has_task) is True
    assert Pool.current_task() is None


def has_task():
    task = Pool.current_task()
    return task is not None and task.get_attempt() == 1 and task.get_id() > 0


@few_kinds
def test_statistics(kind):
    with make(kind, 2) as pool:
        pool.worker_pids()
        pool.map(tasks.square, range(10), 1)
        for i in range(5):
            pool.apply(tasks.square, (i,))
        facts = pool.statistics()
        assert facts['workers'] == 2 and facts['pending'] == facts['running'] == 0
        assert facts['done'] == 15 and facts['failed'] == facts['retried'] == facts['restarts'] == 0


@few_kinds
def test_facts_of_results(kind):
    with make(kind, 2) as pool:
        result = pool.apply_async(tasks.sleep, (0.05,))
        result.wait(20)
        assert result.id == 1 and result.attempts == 1 and result.worker in (0, 1)
        result.get()
        assert result.id == 1 and result.attempts == 1 and result.run_time >= 0
        big = pool.apply_async(tasks.make_bytes, (1 << 20,))
        assert len(big.get(20)) == 1 << 20
        assert big.id == 2 and big.attempts == 1 and big.worker in (0, 1)


@few_kinds
def test_repr(kind):
    with make(kind, 2) as pool:
        assert 'state=RUN' in repr(pool)
        good, bad = pool.apply_async(tasks.square, (2,)), pool.apply_async(tasks.fail, (2,))
        good.wait(20)
        bad.wait(20)
        assert 'successful' in repr(good) and 'failed' in repr(bad)
        pool.close()
        assert 'state=CLOSE' in repr(pool)
    assert 'state=TERMINATE' in repr(pool)


def test_no_child_is_left_by_terminate(method):
    before = set(children())
    pool = make(method, 4)
    pool.map_async(tasks.sleep, [LONG] * 8)
    pool.terminate()
    pool.join()
    until(lambda: not set(children()) - before)
