#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Slurm cluster of its own: that it starts, runs jobs, warns them with a signal, requeues them, and goes."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from processes import kill_orphans, read_line, since
from remotetest import main, test, wait_until
from slurm import Slurm

OWNER = pathlib.Path(__file__).with_name('owner.py')
# says so when it gets SIGUSR1, and ends with status 3
WAITS = '''trap 'echo warned; exit 3' USR1; echo ready; while true; do sleep 0.1; done'''
CLUSTERS = []


def cluster():
    return CLUSTERS[0]


def start(*options):
    """Starts a step that waits for SIGUSR1, gives srun and the id of its job."""
    step = cluster().popen('srun', '--unbuffered', *options, 'sh', '-c', f'echo $SLURM_JOB_ID; {WAITS}', bufsize=0,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    job = int(read_line(step))
    assert read_line(step) == 'ready'
    return step, job


def expect_warned(step, seconds=20):
    assert read_line(step, seconds) == 'warned'
    assert step.wait(20) == 3


@test
def test_a_job_is_told_its_node():
    assert cluster().states() == {'n1': 'idle', 'n2': 'idle'}
    done = cluster().srun(['--nodes=2', 'sh', '-c', 'echo $SLURMD_NODENAME'])
    assert sorted(done.stdout.split()) == ['n1', 'n2'], done
    assert cluster().srun(['--nodelist=n2', 'printenv', 'SLURMD_NODENAME']).stdout == 'n2\n'
    assert cluster().srun(['sh', '-c', 'exit 7'], check=False).returncode == 7
    try:
        cluster().srun(['false'])
    except OSError as error:
        assert 'status 1' in str(error), error
    else:
        raise AssertionError('it succeeded')


@test
def test_nothing_listens_beyond_loopback():
    inodes = set()
    for daemon in cluster().daemons.values():
        for link in pathlib.Path(f'/proc/{daemon.pid}/fd').iterdir():
            if match := re.fullmatch(r'socket:\[(\d+)\]', os.readlink(link)):
                inodes.add(match[1])
    addresses = []
    for name in 'tcp', 'tcp6':
        for line in pathlib.Path('/proc/net', name).read_text(encoding='ascii').splitlines()[1:]:
            words = line.split()
            if words[3] == '0A' and words[9] in inodes:
                addresses.append(words[1].split(':')[0])
    assert addresses == ['0100007F'] * 3, addresses


@test
def test_a_signal_to_a_step():
    step, job = start()
    assert cluster().queue()[job] == 'RUNNING' and cluster().steps(job) == [f'{job}.0']
    cluster().command('scancel', '--signal=USR1', f'{job}.0')
    expect_warned(step)


def heard(job):
    """Who of a batch job says that it got a signal."""
    return {line for line in cluster().output(job).splitlines() if line in ('batch', 'child', 'warned')}


@test
def test_who_of_a_step_gets_a_signal():
    """A signal to a step is for all of its processes"""
    job = cluster().sbatch('#!/bin/sh\nsrun --unbuffered sh -c "sh -c \'trap \\"echo child; exit\\" USR1; '
                           f'while true; do sleep 0.1; done\' & {WAITS}"\n')
    cluster().wait_for('the step', lambda: 'ready' in cluster().output(job))
    cluster().command('scancel', '--signal=USR1', f'{job}.0')
    cluster().wait_idle()
    assert heard(job) == {'child', 'warned'}, cluster().output(job)


@test
def test_who_of_a_batch_job_gets_a_signal():
    """A signal to a batch job is for its steps, for the script it is with --batch, for both with --full"""
    script = f'#!/bin/sh\ntrap "echo batch" USR1\nsrun --unbuffered sh -c "{WAITS}" &\nwait; wait; wait; echo end\n'
    for option, expected in ('', {'warned'}), ('--batch', {'batch'}), ('--full', {'batch', 'warned'}):
        job = cluster().sbatch(script)
        cluster().wait_for('the step', lambda j=job: 'ready' in cluster().output(j))
        cluster().command('scancel', *filter(None, [option]), '--signal=USR1', str(job))
        cluster().wait_for(f'a signal {option}', lambda j=job, e=expected: heard(j) == e)
        cluster().command('scancel', str(job))
        cluster().wait_idle()
        assert heard(job) == expected, (option, cluster().output(job))


@test
def test_a_job_that_is_requeued():
    job = cluster().sbatch('#!/bin/sh\necho run ${SLURM_RESTART_COUNT:-0}\n'
                           '[ -n "$SLURM_RESTART_COUNT" ] || exec sleep 1000\n', '--requeue', '--open-mode=append')
    cluster().wait_for('its start', lambda: cluster().output(job) == 'run 0\n')
    cluster().command('scontrol', 'requeue', str(job))
    cluster().wait_idle()
    assert cluster().output(job).splitlines()[-1] == 'run 1', cluster().output(job)


@test
def test_the_signal_before_the_time_limit():
    """Times are whole minutes and are looked at twice a minute: with --time=1 and USR1@60 it comes within 30 s"""
    step, job = start('--time=0:01', '--signal=USR1@60')
    assert ' TimeLimit=00:01:00 ' in cluster().command('scontrol', 'show', 'job', str(job)).stdout
    expect_warned(step, 45)
    cluster().wait_idle()


@test
def test_why_it_does_not_start():
    with tempfile.TemporaryDirectory(prefix='pool-slurm-') as folder:
        try:
            with Slurm(folder, SelectType='select/nonsense'):
                raise AssertionError('it started')
        except TimeoutError as error:
            for part in 'slurmctld ended with status 1', '--- slurmctld.out\n', 'select/nonsense':
                assert part in str(error), error


def start_owner(folder, end):
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        [sys.executable, OWNER, 'slurm', folder, end], bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    _, pids = json.loads(read_line(process))
    return process, {pid: since(pid) for pid in pids}


def left(pids):
    return [pid for pid, started in pids.items() if started and since(pid) == started]


@test
def test_nothing_is_left():
    """Daemons and jobs end with their owner, or with the next one when it was killed; another cluster stays"""
    for end in 'exit', 'raise', 'wait':
        with tempfile.TemporaryDirectory(prefix='pool-slurm-') as folder:
            process, pids = start_owner(folder, end)
            if end == 'wait':
                assert len(left(pids)) == 6
                process.kill()
            process.stdout.close()
            process.wait(30)
            if end == 'wait':
                kill_orphans()
            assert wait_until(lambda p=pids: not left(p), 2), (end, left(pids))
    assert cluster().states() == {'n1': 'idle', 'n2': 'idle'}


if __name__ == '__main__':
    if reason := Slurm.why_not():
        print(f'1..0 # SKIP {reason}')
        sys.exit(0)
    with tempfile.TemporaryDirectory(prefix='pool-slurm-') as directory, Slurm(directory) as started_cluster:
        CLUSTERS.append(started_cluster)
        main()
