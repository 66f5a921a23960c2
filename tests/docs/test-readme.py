#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what the README shows: compiles its C, runs its commands, compares what they print.

    test-readme.py README.md BUILD-DIR COMPILER...

In a ```console block a line that begins with `$ ` is a command, the lines after it are what it prints. The ```c
block before it is the file that a `cc` command there compiles.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import tap

TEXT = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')
BUILD = pathlib.Path(sys.argv[2])
COMPILER = [shutil.which(sys.argv[3]) or sys.argv[3], *sys.argv[4:]]
FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)


def environment(tmp):
    """The build as if it were installed, with the compiler that built it as `cc`."""
    wrapper = pathlib.Path(tmp, 'bin', 'cc')
    wrapper.parent.mkdir()
    wrapper.write_text('#!/bin/sh\nexec ' + shlex.join(COMPILER) + ' "$@"\n')
    wrapper.chmod(0o755)
    return {
        **os.environ,
        'PATH': f'{wrapper.parent}:{BUILD}/tools:{os.environ["PATH"]}',
        'PKG_CONFIG_PATH': f'{BUILD}/meson-uninstalled',
        'LC_ALL': 'C.UTF-8',
    }


def commands(block):
    """Pairs of a command and the text that follows it."""
    found = []
    for line in block.splitlines():
        if line.startswith('$ '):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def run_block(program, block):
    with tempfile.TemporaryDirectory() as tmp:
        env = environment(tmp)
        for command, expected in commands(block):
            words = shlex.split(command)
            if words[0] == 'cc':
                name = next(word for word in words if word.endswith('.c'))
                pathlib.Path(tmp, name).write_text(program)
            done = subprocess.run(['bash', '-c', command], cwd=tmp, env=env, text=True, timeout=60, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert done.returncode == 0, f'{command}: status {done.returncode}\n{done.stderr}'
            assert done.stdout.splitlines() == expected, f'{command} printed\n{done.stdout}'


def add(number, program, block):
    def example():
        run_block(program, block)
    example.__doc__ = f'console example {number}: ' + commands(block)[0][0].replace('#', '')
    tap.test(example)


latest = ''
for index, (kind, content) in enumerate(FENCE.findall(TEXT), 1):
    if kind == 'c':
        latest = content
    elif kind == 'console':
        add(index, latest, content)


@tap.test
def every_c_example_is_run():
    kinds = [kind for kind, _ in FENCE.findall(TEXT)]
    assert 'c' in kinds and 'console' in kinds
    for position, kind in enumerate(kinds):
        assert kind != 'c' or kinds[position + 1] == 'console', 'a C example that no command compiles'


@tap.test
def both_commands_are_in_the_first_screen():
    first = '\n'.join(TEXT.splitlines()[:25])
    assert './tools/quickstart' in first and './tools/check' in first
    root = pathlib.Path(sys.argv[1]).parent
    for script in re.findall(r'\./((?:tools|\.ci)/\w+)', TEXT):
        assert os.access(root / script, os.X_OK), f'{script} cannot be run'


tap.main()
