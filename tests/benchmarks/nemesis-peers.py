#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same workload on libpool and on other pools of processes: what becomes of tasks when workers die.

nemesis-peers.py --build-dir DIR [--workers N] [--only NAME] [--json FILE]

2000 calls of 5 ms, of which every hundredth kills its worker each time it is run, while somebody kills a random worker
every 100 ms. Each pool runs in a process group of its own and has 30 seconds; what has no result by then is lost.
"""

import argparse
import collections
import concurrent.futures
import concurrent.futures.process
import datetime
import json
import multiprocessing
import os
import pathlib
import platform
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

TASKS = 2000
DEADLY_EACH = 100
TASK_SECONDS = 0.005
KILL_SECONDS = 0.1
DEADLINE = 30
PROBE_SECONDS = 5
HARD_TIMEOUT = 60


def work(number, deadly):
    time.sleep(TASK_SECONDS)
    if deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return 3 * number + 1


def is_deadly(number):
    return number % DEADLY_EACH == DEADLY_EACH // 2


class Killer(threading.Thread):
    """Kills a random worker now and then; notes how long it takes until as many others as there should be are alive."""

    def __init__(self, processes, workers, ended):
        super().__init__(daemon=True)
        self.processes, self.workers, self.ended = processes, workers, ended
        self.over = threading.Event()
        self.kills, self.recoveries = 0, []
        self.random = random.Random(1)

    def run(self):
        while not self.over.wait(KILL_SECONDS):
            alive = [process for process in self.processes() if process.is_alive()]
            if not alive:
                continue
            victim = self.random.choice(alive)
            start = time.monotonic()
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills += 1
            while time.monotonic() - start < PROBE_SECONDS and not self.over.is_set():
                others = [process for process in self.processes() if process.pid != victim.pid and process.is_alive()]
                if len(others) >= self.workers or self.ended():
                    self.recoveries.append((time.monotonic() - start) * 1e3)
                    break
                time.sleep(0.0002)


class MultiprocessingPool:
    name = 'multiprocessing.Pool'
    broken = ()

    def __init__(self, workers):
        self.pool = multiprocessing.get_context('fork').Pool(workers)

    def processes(self):
        return list(self.pool._pool)

    def has_ended(self):
        return False

    def submit(self, number, deadly, callback):
        return self.pool.apply_async(work, (number, deadly), callback=callback, error_callback=callback)

    @staticmethod
    def get(result, timeout):
        return result.get(timeout)

    timed_out = multiprocessing.TimeoutError


class BilliardPool(MultiprocessingPool):
    name = 'billiard.Pool'

    def __init__(self, workers):
        import billiard
        self.pool = billiard.Pool(workers)
        self.timed_out = billiard.TimeoutError


class Executor:
    name = 'concurrent.futures'

    def __init__(self, workers):
        self.executor = concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context('fork'))

    def processes(self):
        return list((self.executor._processes or {}).values())

    def has_ended(self):
        return bool(self.executor._broken)

    def submit(self, number, deadly, callback):
        try:
            future = self.executor.submit(work, number, deadly)
        except concurrent.futures.process.BrokenProcessPool as error:
            future = concurrent.futures.Future()
            future.set_exception(error)
        future.add_done_callback(callback)
        return future

    @staticmethod
    def get(result, timeout):
        return result.result(timeout)

    timed_out = concurrent.futures.TimeoutError


PEERS = {peer.name: peer for peer in (MultiprocessingPool, BilliardPool, Executor)}


def names_cause(error):
    return 'signal 9' in str(error) or 'SIGKILL' in str(error)


def probe(pool):
    """Does it still run anything?"""
    try:
        return pool.get(pool.submit(1, False, lambda _: None), PROBE_SECONDS) == 4
    except Exception:
        return False


def run_peer(name, workers):
    pool = PEERS[name](workers)
    assert pool.get(pool.submit(0, False, lambda _: None), 10) == 1
    ends = collections.Counter()
    counts = collections.Counter()
    killer = Killer(pool.processes, workers, pool.has_ended)
    killer.start()
    start = time.monotonic()
    results = [pool.submit(number, is_deadly(number), lambda _, number=number: ends.update([number]))
               for number in range(TASKS)]
    for number, result in enumerate(results):
        try:
            value = pool.get(result, max(0, start + DEADLINE - time.monotonic()))
            counts['right' if value == 3 * number + 1 else 'wrong'] += 1
        except pool.timed_out:
            counts['lost'] += 1
        except Exception as error:
            counts['failed'] += 1
            counts['named'] += names_cause(error)
    seconds = time.monotonic() - start
    killer.over.set()
    killer.join(1)
    row = {
        'library': name,
        'tasks': TASKS,
        **{key: counts[key] for key in ('right', 'wrong', 'lost', 'failed', 'named')},
        'twice': sum(n > 1 for n in ends.values()),
        'kills': killer.kills,
        'recovery_ms': statistics.median(killer.recoveries) if killer.recoveries else -1,
        'seconds': seconds,
        'usable': probe(pool),
    }
    print(json.dumps(row), flush=True)
    # its own end may hang, too; the group is killed
    os._exit(0)


def run_row(command, environment):
    """One pool in a process group of its own: a hang is a figure."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
                               start_new_session=True)
    try:
        # the first line is all there is; descendants may keep the pipe open
        timer = threading.Timer(HARD_TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        line = process.stdout.readline()
    finally:
        timer.cancel()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    return json.loads(line) if line else None


COLUMNS = ('', 'right', 'lost', 'twice', 'failed', 'naming the cause', 'usable after', 'kills', 'recovery, ms', 'took, s')


def cells(name, row):
    if row is None:
        return (name, *['hung'] * (len(COLUMNS) - 1))
    recovery = f'{row["recovery_ms"]:.1f}' if row['recovery_ms'] >= 0 else 'never'
    return (name, row['right'], row['lost'], row['twice'], row['failed'], row['named'], 'yes' if row['usable'] else 'no',
            row['kills'], recovery, f'{row["seconds"]:.1f}')


def print_table(rows):
    lines = [COLUMNS, *(cells(name, row) for name, row in rows.items())]
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(COLUMNS))]
    for i, line in enumerate(lines):
        print('| ' + ' | '.join(str(cell).ljust(width) for cell, width in zip(line, widths)) + ' |')
        if i == 0:
            print('|' + '|'.join('-' * (width + 2) for width in widths) + '|')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build-dir', type=pathlib.Path, default=pathlib.Path('build'))
    parser.add_argument('--workers', type=int, default=4)
    parser.add_argument('--only', choices=['libpool', *PEERS], action='append')
    parser.add_argument('--json', type=pathlib.Path)
    parser.add_argument('--row', choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        run_peer(options.row, options.workers)

    import runner
    commands = {'libpool': [str(options.build_dir / 'tests/faults/nemesis'), '--workload', '--seed', '1', '--seconds',
                            str(DEADLINE), '--processes', str(options.workers)]}
    for name in PEERS:
        commands[name] = [sys.executable, __file__, '--row', name, '--workers', str(options.workers)]
    rows = {}
    for name, command in commands.items():
        if options.only and name not in options.only:
            continue
        if name == 'billiard.Pool' and subprocess.run([sys.executable, '-c', 'import billiard'], check=False,
                                                      stderr=subprocess.DEVNULL).returncode:
            print('billiard is not installed (Debian: python3-billiard)', file=sys.stderr)
            continue
        rows[name] = run_row(command, runner.build_environment(str(options.build_dir)))
    print(f'{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, '
          f'{options.workers} workers, load {os.getloadavg()[0]:.1f}\n')
    print_table(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
