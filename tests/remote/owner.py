#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Has hosts, or a cluster, and ends as it is told to: for tests of what is left of it.

    owner.py hosts KIND exit|raise|wait
    owner.py slurm DIRECTORY exit|raise|wait

Prints its mark and the ids of processes that have to go with it, as JSON.
"""

import json
import subprocess
import sys
import time

from hosts import Hosts
from processes import read_line
from relay import Relay
from slurm import Slurm

# gone from its parent, its session and its output
DAEMON = 'setsid sleep 1000 < /dev/null > /dev/null 2>&1 & echo $!'


def in_hosts(kind):
    hosts = Hosts(['a', 'b'], kind)
    yield hosts
    program = hosts.popen('a', ['sleep', '1000'])
    daemon = int(hosts.run('b', ['sh', '-c', DAEMON]).stdout)
    shell = hosts.popen('b', ['sh', '-c', 'sleep 1000 & echo $!; wait'], bufsize=0, stdout=subprocess.PIPE)
    pids = [program.pid, daemon, shell.pid, int(read_line(shell)), hosts.proxy('a', ('127.0.0.1', 9)).process.pid,
            Relay(('127.0.0.1', 0), ('127.0.0.1', 9)).process.pid]
    if hosts.anchor:
        pids.append(hosts.anchor.pid)
    yield pids


def in_slurm(directory):
    cluster = Slurm(directory)
    yield cluster
    program = cluster.popen('srun', 'sh', '-c', 'echo $$; sleep 1000', bufsize=0, stdout=subprocess.PIPE)
    yield [*(daemon.pid for daemon in cluster.daemons.values()), program.pid, int(read_line(program))]


def main():
    what, argument, end = sys.argv[1:4]
    steps = {'hosts': in_hosts, 'slurm': in_slurm}[what](argument)
    with next(steps) as owner:
        print(json.dumps([owner.mark, next(steps)]), flush=True)
        if end == 'raise':
            raise RuntimeError('as it was told to')
        while end == 'wait':
            time.sleep(1000)


if __name__ == '__main__':
    main()
