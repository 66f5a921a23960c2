#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docs/deploy-mpi.md says, done: every command of it, and nothing set but what it says is to be set.

    test-deploy.py SOURCE-DIR
"""

import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

SOURCE = pathlib.Path(sys.argv.pop(1)).resolve()

# pylint: disable=wrong-import-position
from ranks import COMMAND, IS_OPEN_MPI, MPIRUN, Ranks  # noqa: E402
from remotetest import Skip, main, register  # noqa: E402

DOCUMENT = (SOURCE / 'docs' / 'deploy-mpi.md').read_text(encoding='utf-8')
LINES = [line for block in re.findall(r'```sh\n(.*?)```', DOCUMENT, re.S) for line in block.splitlines()]
EXPORTS = [line for line in LINES if line.startswith('export ')]
FILES = sorted(map(str, (SOURCE / 'libpool').glob('pool-engine*.c')))
HAS_PYTHON = os.environ.get('POOL_HAS_PYTHON') == '1'


def in_shell(line):
    """The line with what differs here: where programs are, and which files."""
    line = re.sub(r'\bpool (map|worker)\b', rf'{shlex.quote(COMMAND)} \1', line)
    line = line.replace('./monte-carlo', os.environ['POOL_MONTE_CARLO'])
    line = line.replace('python3 ranks.py', f'/usr/bin/python3 {SOURCE / "examples" / "ranks.py"}')
    return re.sub(r'^mpirun\b', shlex.quote(MPIRUN), line).replace('FILE...', ' '.join(map(shlex.quote, FILES)))


def expect(line, out):
    if 'checksum.sha256' in line:
        digests = [f'{hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest()}  {name}' for name in FILES]
        assert sorted(out.splitlines()) == sorted(digests), out
    elif 'monte-carlo' in line:
        assert 'that is right: yes' in out and out.count('\n') == 1, out
    else:
        assert out == '[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n[8, 9]\n', out


def run(line):
    if 'python3' in line and not HAS_PYTHON:
        raise Skip('there is no Python binding')
    if not line.startswith('mpirun') and not IS_OPEN_MPI:
        raise Skip('this MPI does not spawn')
    settings = EXPORTS if line.startswith('mpirun') else []
    env = {name: value for name, value in os.environ.items() if not name.startswith('OMPI_')}
    with Ranks() as here:
        process = here.spawn(['/bin/sh', '-c', '\n'.join([*settings, in_shell(line)])], env=env, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=80)
        assert process.returncode == 0, (process.returncode, out)
        expect(line, out.decode())
        here.expect_alone(seconds=10)


for number, words in enumerate(sorted(set(LINES) - set(EXPORTS))):
    register(lambda words=words: run(words), f'the command {words}')

if __name__ == '__main__':
    assert len(EXPORTS) == 3 and len(LINES) >= 8, LINES
    main()
