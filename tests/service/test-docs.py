#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/dbus.md: its commands, one after the other in one shell on one bus, print what it says. “…” stands for anything."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from servicetest import Bus, POOL, Skip, main, test

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TEXT = (SOURCE / 'docs/dbus.md').read_text(encoding='utf-8')


def commands():
    found = []
    for block in re.findall(r'^```console\n(.*?)^```$', TEXT, re.M | re.S):
        for line in block.splitlines():
            if line.startswith('$ '):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def matches(expected, printed):
    pattern = '.*'.join(map(re.escape, expected.split('…')))
    return re.fullmatch(pattern, printed) is not None


@test
def the_commands_of_the_chapter():
    for program in 'gdbus', 'busctl':
        if not shutil.which(program):
            raise Skip(f'there is no {program}')
    with Bus() as bus, tempfile.TemporaryDirectory() as folder:
        for example in SOURCE.glob('examples/dbus-*'):
            shutil.copy(example, folder)
        binaries = pathlib.Path(folder, 'bin')
        binaries.mkdir()
        (binaries / 'python3').symlink_to(sys.executable)
        environment = bus.environment
        environment['PATH'] = f'{binaries}:{pathlib.Path(POOL).parent}:{environment["PATH"]}'
        environment['LC_ALL'] = 'C.UTF-8'
        marked = ''.join(f'{command}\necho "--- $?"\n' for command, _ in commands())
        done = subprocess.run(['bash', '-c', marked], cwd=folder, env=environment, text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        parts = re.split(r'^--- (\d+)\n', done.stdout, flags=re.M)
        assert len(commands()) > 20 and len(parts) == 2 * len(commands()) + 1, done
        for i, (command, expected) in enumerate(commands()):
            printed = parts[2 * i].splitlines()
            assert parts[2 * i + 1] == '0', (command, parts[2 * i + 1], done.stderr)
            assert len(printed) == len(expected) and all(map(matches, expected, printed)), (command, printed, done.stderr)


@test
def the_example_for_GJS():
    if not shutil.which('gjs'):
        raise Skip('there is no gjs')
    with Bus() as bus:
        done = subprocess.run(['gjs', SOURCE / 'examples/dbus-gjs.js', 'one', 'two'], env=bus.environment, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.stdout == b'one two\n', done


if __name__ == '__main__':
    main()
