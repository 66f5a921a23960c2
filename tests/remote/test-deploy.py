#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docs/deploy-zmq.md says, done: a pool over three machines, with the commands of the document and no others.

    test-deploy.py SOURCE-DIR
"""

import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from hosts import Hosts
from remotetest import main, test

SOURCE = pathlib.Path(sys.argv.pop(1)).resolve()
DOCUMENT = (SOURCE / 'docs' / 'deploy-zmq.md').read_text(encoding='utf-8')
POOL = os.environ['POOL_COMMAND']
AGENTS = 'host-a', 'host-b', 'host-c'
COMMANDS_MAX = 9
LONG_FILES = 8
LONG_SIZE = 200 * 1024 * 1024


def commands():
    """The lines of the shell in the part of the document that runs a pool."""
    part = DOCUMENT.split('## Three machines')[1].split('\n## ')[0]
    return [line for block in re.findall(r'```sh\n(.*?)```', part, re.S) for line in block.splitlines()]


def in_shell(line, address, files):
    """The line with what differs here: where `pool` is, what the host is called, and which files."""
    line = re.sub(r'^pool\b', shlex.quote(POOL), line).replace('manager:', f'{address}:')
    return line.replace('FILE...', ' '.join(map(shlex.quote, files)))


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


@test
def test_three_machines():
    lines = commands()
    keys = [line for line in lines if not re.match(r'pool (worker|map)', line)]
    [worker] = [line for line in lines if line.startswith('pool worker')]
    [job] = [line for line in lines if line.startswith('pool map')]
    assert len(keys) + len(AGENTS) + 1 <= COMMANDS_MAX, lines
    files = sorted(str(path) for path in (SOURCE / 'libpool').glob('pool-*.c'))
    with tempfile.TemporaryDirectory() as directory, Hosts(['manager', *AGENTS]) as hosts:
        # long enough for each agent to find the pool, which it looks for once a second
        for number in range(LONG_FILES):
            files.append(f'{directory}/zeros-{number}')
            with open(files[-1], 'wb') as file:
                file.truncate(LONG_SIZE + number)
        address = hosts.address('manager')
        for line in keys:
            subprocess.run(['sh', '-ec', in_shell(line, address, files)], cwd=directory, check=True, timeout=20,
                           stdout=subprocess.DEVNULL)
        agents = []
        for agent in AGENTS:
            line = in_shell(worker.replace('host-a', agent), address, files)
            agents.append(hosts.popen(agent, ['sh', '-ec', 'exec ' + line], cwd=directory, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE))
        done = hosts.run('manager', ['sh', '-ec', in_shell(job, address, files)], cwd=directory, timeout=60)
        wanted = {f'{digest(file)}  {file}' for file in files}
        assert set(done.stdout.splitlines()) == wanted, done.stdout + done.stderr
        for agent in agents:
            assert agent.wait(20) == 0, agent.stderr.read()


@test
def test_it_refuses_without_keys():
    done = subprocess.run([POOL, 'map', '-b', 'zmq', '--endpoint', 'tcp://127.0.0.1:*', 'checksum.sha256', __file__],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert done.returncode != 0 and done.stdout == ''
    assert 'needs keys' in done.stderr and 'pool keygen' in done.stderr, done.stderr


if __name__ == '__main__':
    main()
