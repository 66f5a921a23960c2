#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the models of the ring and of the progress word, in shapes that are small enough to look at every state; and that
what is broken on purpose is found.

    test-model.py RING-MODEL PROGRESS-MODEL COMPILER...
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap

MODELS = {'ring': pathlib.Path(sys.argv[1]).resolve(), 'progress': pathlib.Path(sys.argv[2]).resolve()}
COMPILER = sys.argv[3:]
MEMORY_MIB = 900
SECONDS = 300

# what holds, and in which shape it is looked at
RIGHT = {
    'ring': {
        'two workers, one of two tasks is long': 'T=2 LONG',
        'four slots, so that more is set aside': 'T=3 S=4 LONG',
        'a worker is killed, which may have set tasks aside': 'T=1 K=1',
        'a worker is killed, a task is long': 'T=2 K=1 CLAIM=1 LONG',
        'a worker is killed, and the next is late': 'T=1 K=1 LATE',
        'a worker alone is killed twice': 'W=1 T=3 S=4 K=2',
        'a worker is killed with no room for its results': 'W=1 T=3 S=4 R=1 K=1',
        'a worker is retired with no room for its results': 'T=2 R=1 CLAIM=1 RETIRE',
        'a worker is stopped and goes on': 'T=1 FREEZE',
        'a worker is stopped and goes on, a task is long': 'T=2 CLAIM=1 FREEZE LONG',
        'a worker leaves': 'T=3 LEAVE',
        'a worker leaves, and says so when it has answered': 'T=3 LEAVE LEAVE_AFTER',
        'a worker leaves beside another, and the next is late': 'W=3 T=2 CLAIM=1 LEAVE LATE',
        'one that says so when it has answered': 'W=3 T=2 CLAIM=1 LEAVE LEAVE_AFTER LATE',
        'a worker leaves with no room for its results, and one is killed': 'T=2 R=1 CLAIM=1 LEAVE K=1',
    },
    'progress': {
        'batches of items': 'T=3 N=4',
        'batches in one piece': 'T=3 WHOLE',
        'the serial number of the last batch comes again': 'T=3 S=1 SERIALS=1',
        'in one piece, with the serial number of the last': 'T=3 S=1 SERIALS=1 WHOLE',
    },
}
# what is broken, in a shape that shows it
BROKEN = {
    'ring': {
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
        'LEAVER_COUNTED': 'W=3 T=2 CLAIM=1 LEAVE LATE',
        'NO_WAKE_AFTER_LEAVING': 'W=3 T=2 CLAIM=1 LEAVE LEAVE_AFTER LATE',
        'STAY_SLEEPER': 'W=3 T=2 CLAIM=1 LEAVE LATE',
        'STAY_LATE': 'T=1 CLAIM=1 LEAVE',
        'RETIRE_QUIETLY': 'T=1 CLAIM=1 LEAVE',
        'STOP_SLEEPERS': 'T=1 CLAIM=1 LEAVE',
    },
    'progress': {
        'NEXT_STORE': 'T=2',
        'FINISH_STORE': 'T=2',
        'PUBLISH_EARLY': 'T=2',
        'NEVER_DOOMED': 'T=2',
        'TAKE_BACK_STORE': 'T=2',
        'DOOM_STORE': 'T=2',
        'DOOM_ANY_SERIAL': 'T=2',
        'DOOM_ANY_ITEM': 'T=2',
        'DOOM_FINISHED': 'T=2',
        'KILL_AT_ONCE': 'T=2',
        'SINCE_LATE': 'T=2',
        'SINCE_AFTER_BEGIN': 'T=2 WHOLE',
        'READ_SINCE_FIRST': 'T=2',
        'READ_FINISHED': 'T=2 S=1 SERIALS=1',
    },
}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)


def check(model, constants):
    """Looks at every state; what pan said."""
    with tempfile.TemporaryDirectory(prefix='pool-model-') as directory:
        made = run('spin', '-a', *[f'-D{constant}' for constant in constants.split()], str(MODELS[model]), cwd=directory)
        assert made.returncode == 0, made.stdout + made.stderr
        # where there is little to look at, the compiler's time is what counts
        level = '-O0' if 'BUG_' in constants and 'W=3' not in constants else '-O1'
        made = run(*COMPILER, level, '-w', '-DSAFETY', '-DCOLLAPSE', f'-DMEMLIM={MEMORY_MIB}', '-o', 'pan', 'pan.c',
                   cwd=directory)
        assert made.returncode == 0, made.stderr
        return run('./pan', '-m10000', '-w21', cwd=directory).stdout


# two at a time: half of the time goes into compiling
EXECUTOR = concurrent.futures.ThreadPoolExecutor(2)
HAS_SPIN = shutil.which('spin') is not None


def add(title, model, constants, judge):
    looked = EXECUTOR.submit(check, model, constants) if HAS_SPIN else None

    def function():
        if looked is None:
            raise tap.Skip('spin is not installed')
        for line in looked.result().splitlines():
            # the first line that says why
            if line.startswith('pan:1:') or 'states, stored' in line:
                print('# ' + line.strip())
        judge(looked.result())
    function.__doc__ = f'{model}: {title}'
    tap.test(function)


def holds(looked):
    assert re.search(r'errors: 0$', looked, re.M), looked
    # every state, and none left out for want of memory or depth
    assert 'MEMLIM' not in looked and 'depth too small' not in looked and 'Warning' not in looked, looked


def is_found(looked):
    assert re.search(r'^pan:1: (invalid end state|assertion violated)', looked, re.M), looked


for model, shapes in RIGHT.items():
    for name, shape in shapes.items():
        add(f'{name} ({shape})', model, shape, holds)
for model, shapes in BROKEN.items():
    for name, shape in shapes.items():
        add(f'BUG_{name} is found ({shape})', model, f'{shape} BUG_{name}', is_found)
tap.main()
