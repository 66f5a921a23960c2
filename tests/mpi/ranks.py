# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools of MPI ranks, as tests have them: a program that mpirun has started, and its processes."""

import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'remote'))

# pylint: disable=wrong-import-position
from pools import DRIVE, Drive, Pools, descendants  # noqa: E402
from processes import status  # noqa: E402
from remotetest import wait_until  # noqa: E402

MPIRUN = os.environ['POOL_MPIRUN']
COMMAND = os.environ['POOL_COMMAND']
IS_OPEN_MPI = b'Open' in subprocess.run([MPIRUN, '--version'], capture_output=True, check=False, timeout=20).stdout


def words_of(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().decode().split('\0')[:-1]
    except OSError:
        return []


def name_of(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
    except OSError:
        return ''


def ticks(pid):
    """The time of the CPU that a process has had, in seconds."""
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def elsewhere():
    """What makes a program believe that it is on a machine of its own, or None: it sees no other processes."""
    words = ['unshare', *(['--map-root-user'] if os.geteuid() else []), '--pid', '--fork', '--kill-child', '--mount-proc']
    done = subprocess.run([*words, 'true'], capture_output=True, check=False, timeout=20)
    return words if done.returncode == 0 else None


class Ranks(Pools):
    """Programs of several ranks."""

    def mpirun(self, n, *words, options=(), **keywords):
        return self.spawn([MPIRUN, *options, '-n', str(n), *map(str, words)], **keywords)

    def drive_ranks(self, n, *words, options=(), **keywords):
        """drive.c as rank 0, and n - 1 that do its tasks."""
        env = dict(os.environ, POOL_TEST_RANKS='1')
        command = [MPIRUN, *options, '-n', str(n), DRIVE, '--backend', 'mpi', *map(str, words)]
        return Drive(self.spawn(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, **keywords))

    def drive_spawned(self, *words, **keywords):
        return self.drive('--backend', 'mpi', *words, **keywords)

    @staticmethod
    def programs(process):
        """The ranks that mpirun has started, the one with the pool first."""
        return sorted(pid for pid in descendants(process.pid) if words_of(pid)[:1] == [DRIVE] and name_of(pid) == 'drive')

    @staticmethod
    def bridge(process):
        return next((pid for pid in descendants(process.pid) if name_of(pid) == 'pool-mpi'), None)

    def spawned(self):
        """Agents that an MPI has spawned, which are nobody's children but orted's."""
        return [pid for pid in self.family() if words_of(pid)[1:3] == ['mpi', 'agent'] and name_of(status(pid)[1]) == 'orted']


def wait_for_end(process, seconds):
    """The exit status, or None, and how long it took."""
    start = time.monotonic()
    wait_until(lambda: process.poll() is not None, seconds)
    return process.poll(), time.monotonic() - start


__all__ = ['COMMAND', 'IS_OPEN_MPI', 'MPIRUN', 'Ranks', 'elsewhere', 'name_of', 'status', 'ticks', 'wait_for_end', 'words_of']
