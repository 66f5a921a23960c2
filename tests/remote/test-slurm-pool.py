#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A pool whose agents are steps of Slurm: it starts, one is drained, and another takes its place."""

import re
import socket
import subprocess
import sys
import tempfile

from pools import DRIVE, Drive, Pools, expect_all_right, make_keys
from processes import kill_orphans
from remotetest import main, test, wait_until
from slurm import Slurm

CLUSTERS = []


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def start(here, *options):
    """A pool with two agents."""
    allowed = make_keys(here, 'manager', 'agent')
    process = CLUSTERS[0].popen(DRIVE, '--launcher', 'slurm', '--endpoint', f'tcp://127.0.0.1:{free_port()}',
                                '--key-file', str(here.path / 'manager.key'), '--allowed-keys', str(allowed),
                                '--agent-key-file', str(here.path / 'agent.key'), '-j', '4', '--per-agent', '2', '--progress', '10',
                                *map(str, options), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return Drive(process)


def steps():
    """JOB.STEP of all that run."""
    return re.findall(r'^(\d+\.\d+)$', CLUSTERS[0].command('squeue', '--steps', '--noheader', '--format=%i').stdout, re.M)


@test
def test_a_drained_step_is_replaced():
    with Pools() as here:
        drive = start(here, '-n', 2500, '--nap', 20000, '--file', here.notes)
        drive.wait_for(50)
        before = steps()
        assert len(before) == 2, before
        # all processes of the step are told, workers too
        CLUSTERS[0].command('scancel', '--signal=USR1', before[0])
        assert wait_until(lambda: before[0] not in steps() and len(steps()) == 2, 20), (before, steps())
        result = drive.result()
        expect_all_right(result, 2500)
        assert result['wanted'] == 4, result
        assert set(here.read_notes()[0].values()) == {1}, 'a task that ran was ended'
        drive.end()
        assert wait_until(lambda: not steps(), 10), steps()


if __name__ == '__main__':
    if reason := Slurm.why_not():
        print(f'1..0 # SKIP {reason}')
        sys.exit(0)
    kill_orphans()
    with tempfile.TemporaryDirectory(prefix='pool-slurm-') as directory, Slurm(directory) as started_cluster:
        CLUSTERS.append(started_cluster)
        main()
