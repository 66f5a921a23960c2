#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the model of the ring, in shapes that are small enough to look at every state; and that what is broken on
purpose is found.

    test-model.py MODEL COMPILER...
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap

MODEL, COMPILER = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
MEMORY_MIB = 900
SECONDS = 300

RIGHT = {
    'two workers, three tasks, one of them long': 'T=3 LONG',
    'four slots, so that more is set aside': 'T=3 S=4 LONG',
    'three workers': 'W=3 T=1',
    'a worker is killed': 'T=2 K=1 CLAIM=1',
    'a worker is killed, a task is long': 'T=2 K=1 CLAIM=1 LONG',
    'a worker alone is killed twice': 'W=1 T=3 S=4 K=2',
    'a worker is killed, and the next is late': 'T=2 K=1 CLAIM=1 LATE',
    'a worker is killed with no room for its results': 'W=1 T=3 S=4 R=1 K=1',
    'a worker is retired with no room for its results': 'T=2 R=1 CLAIM=1 RETIRE',
    'a worker is stopped and goes on': 'T=2 CLAIM=1 FREEZE',
    'a worker is stopped and goes on, a task is long': 'T=2 CLAIM=1 FREEZE LONG',
}
# what is broken, in a shape that shows it
BROKEN = {
    'NO_SECOND_LOOK': 'T=2',
    'PUBLISH_LATE': 'T=2',
    'TWO_LOOKS': 'T=3 CLAIM=1 LONG',
    'SHARE_LATE': 'T=3 S=4 LONG',
    'COUNT_STARTING': 'T=1 K=1 LATE',
    'NO_WAKE_AFTER_DEATH': 'T=1 K=1 LATE',
    'NO_ORPHANS': 'W=1 T=3 S=4 K=1',
    'NO_DRAIN': 'T=2 K=1 CLAIM=1',
    'CONTINUED': 'W=1 T=2 FREEZE',
    'WAKE_ANY': 'W=1 T=3 S=4 R=1 RETIRE',
    'TELL_EARLY': 'W=1 T=3 S=4 R=1',
    'BELL_LATE': 'T=1',
}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)


def check(constants):
    """Looks at every state; what pan said."""
    if shutil.which('spin') is None:
        raise tap.Skip('spin is not installed')
    with tempfile.TemporaryDirectory(prefix='pool-model-') as directory:
        made = run('spin', '-a', *[f'-D{constant}' for constant in constants.split()], str(MODEL), cwd=directory)
        assert made.returncode == 0, made.stdout + made.stderr
        made = run(*COMPILER, '-O1', '-w', '-DSAFETY', '-DCOLLAPSE', f'-DMEMLIM={MEMORY_MIB}', '-o', 'pan', 'pan.c',
                   cwd=directory)
        assert made.returncode == 0, made.stderr
        # the first line that says why
        looked = run('./pan', '-m10000', cwd=directory).stdout
    for line in looked.splitlines():
        if line.startswith('pan:1:') or 'states, stored' in line:
            print('# ' + line.strip())
    return looked


def add(title, constants, judge):
    def function():
        judge(check(constants))
    function.__doc__ = title
    tap.test(function)


def holds(looked):
    assert re.search(r'errors: 0$', looked, re.M), looked
    # every state, and none left out for want of memory or depth
    assert 'MEMLIM' not in looked and 'depth too small' not in looked and 'Warning' not in looked, looked


def is_found(looked):
    assert re.search(r'^pan:1: (invalid end state|assertion violated)', looked, re.M), looked


for name, shape in RIGHT.items():
    add(f'{name} ({shape})', shape, holds)
for name, shape in BROKEN.items():
    add(f'BUG_{name} is found ({shape})', f'{shape} BUG_{name}', is_found)
tap.main()
