#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ranks that Slurm starts: srun --mpi=pmix."""

import hashlib
import pathlib
import signal
import sys
import tempfile

from ranks import COMMAND, IS_OPEN_MPI

from processes import kill_orphans
from remotetest import main, test
from slurm import Slurm

FILES = sorted(path for path in pathlib.Path('/usr/lib/python3').glob('**/*.py') if path.stat().st_size > 0)[:40]
CLUSTERS = []


def run_ranks(*words, check=True):
    return CLUSTERS[0].srun(['--mpi=pmix', '-n', '4', COMMAND, 'map', '-k', '-b', 'mpi', *map(str, words)], check=check)


@test
def test_the_tool_runs_as_it_stands():
    out = run_ranks('checksum.sha256', *FILES).stdout
    assert out.splitlines() == [f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}' for path in FILES]


@test
def test_a_crash_costs_a_task_and_no_rank():
    words = [(signal.SIGSEGV if i % 10 == 0 else signal.SIGURG).value for i in range(100)]
    done = run_ranks('debug.crash', *words, check=False)
    assert done.returncode not in (0, None), done
    assert len(done.stdout.splitlines()) == 90, done
    assert done.stderr.count('was killed by signal 11') == 10, done


if __name__ == '__main__':
    reason = Slurm.why_not() or (None if IS_OPEN_MPI else 'srun speaks PMIx, and this MPI does not')
    if reason:
        print(f'1..0 # SKIP {reason}')
        sys.exit(0)
    kill_orphans()
    with tempfile.TemporaryDirectory(prefix='pool-slurm-') as directory, Slurm(directory, nodes=1, cpus=4) as cluster:
        CLUSTERS.append(cluster)
        main()
