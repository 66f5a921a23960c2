# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools with agents, as tests have them: drive.c, `pool worker`, and their ends."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from processes import Owner, marked, read_line, status
from remotetest import Skip, wait_until

DRIVE = os.environ['POOL_DRIVE']
AGENT = [os.environ['POOL_WORKER'], 'zmq', 'agent']
POOL_ERROR = 'pool-error-quark'


class Drive:
    """A program that has a pool; see drive.c."""

    def __init__(self, process):
        self.process = process
        self.ended = 0
        self.seen = []

    def read(self, key, seconds=40):
        """The next line that has something of this name."""
        while True:
            try:
                line = read_line(self.process, seconds)
            except EOFError:
                raise EOFError(f'{self.process.args} ended, and said {self.seen}') from None
            self.seen.append(line)
            words = json.loads(line)
            if key in words:
                return words

    @property
    def endpoint(self):
        return self.read('endpoint')['endpoint']

    def wait_for(self, n):
        """Until so many tasks have ended; it was to tell of that."""
        while self.read('ended')['ended'] < n:
            pass

    def result(self, seconds=50):
        return self.read('tasks', seconds)

    def end(self, seconds=20):
        """Waits for its end, and returns how long that of the pool took."""
        took = self.read('end_seconds', seconds)['end_seconds']
        assert self.process.wait(seconds) == 0
        return took


class Pools(Owner):
    """Programs with pools, and agents, in a directory of their own."""

    def __init__(self):
        super().__init__()
        self.folder = None
        self.path = None

    def start(self):
        self.folder = tempfile.TemporaryDirectory(prefix='pool-agents-')  # pylint: disable=consider-using-with
        self.path = pathlib.Path(self.folder.name)
        os.chmod(self.path, 0o700)

    def stop(self):
        self.kill_all()
        if self.folder:
            self.folder.cleanup()

    @property
    def endpoint(self):
        return f'ipc://{self.path}/pool'

    @property
    def notes(self):
        return self.path / 'notes'

    def drive(self, *options, env=None, popen=None, **keywords):
        env = dict(os.environ, **(env or {}))
        return Drive((popen or self.spawn)([DRIVE, *map(str, options)], bufsize=0, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, env=env, **keywords))

    def drive_here(self, *options, **keywords):
        """With an endpoint to which agents connect by themselves."""
        return self.drive('--endpoint', self.endpoint, *options, **keywords)

    def agent(self, *options, workers=2, endpoint=None, env=None, popen=None, **keywords):
        env = dict(os.environ, **(env or {}))
        return (popen or self.spawn)([*AGENT, '--connect', endpoint or self.endpoint, f'--processes={workers}',
                                      *map(str, options)], env=env, **keywords)

    def read_notes(self):
        """How often each number was begun, and how many by each process."""
        numbers, pids = collections.Counter(), collections.Counter()
        for line in self.notes.read_text().splitlines() if self.notes.exists() else []:
            number, pid = map(int, line.split())
            numbers[number] += 1
            pids[pid] += 1
        return numbers, pids

    def wait_for_notes(self, n):
        assert wait_until(lambda: sum(self.read_notes()[0].values()) >= n), self.read_notes()

    def expect_alone(self, *but, seconds=5):
        """Nobody is left but these and their children."""
        pids = {process.pid for process in but}
        assert wait_until(lambda: set(self.family()) <= pids, seconds), self.describe()

    def describe(self):
        found = []
        for pid in self.family():
            try:
                found.append((pid, pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().replace(b'\0', b' '), status(pid)[:2]))
            except (OSError, TypeError):
                pass
        return found


def expect_all_right(result, n):
    assert (result['right'], result['wrong'], result['open'], result['twice'], result['errors']) == (n, 0, 0, 0, {}), result


def descendants(pid):
    """The processes of a process, itself among them."""
    parents = {other: int(words[1]) for other in marked() if (words := status(other))}
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found


def are_gone(pids):
    return all(status(pid) is None for pid in pids)


def stop_for(process, seconds, sleep):
    process.send_signal(signal.SIGSTOP)
    sleep(seconds)
    process.send_signal(signal.SIGCONT)


def make_keys(here, *names):
    """Keys by `pool keygen`: a file for each, and one of those that are let in."""
    pool = shutil.which('pool')
    for name in names:
        done = subprocess.run([pool or 'pool', 'keygen', here.path / name], capture_output=True, check=False) if pool else None
        if not done or done.returncode or not (here.path / f'{name}.key').exists():
            raise Skip('there is no `pool keygen` yet')
    allowed = here.path / 'allowed'
    allowed.write_text(''.join((here.path / f'{name}.pub').read_text() for name in names if name != 'manager'))
    return allowed
