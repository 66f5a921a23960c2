#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what the README shows: compiles its C, runs its Python and its commands, compares what they print.

    test-readme.py README.md BUILD-DIR COMPILER...

The module `document` says how that is written there. Python is run only where the build has introspection data.
"""

import os
import pathlib
import re
import shutil
import sys

import tap
from document import blocks, commands, run_block

TEXT = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')
BUILD = pathlib.Path(sys.argv[2])
COMPILER = [shutil.which(sys.argv[3]) or sys.argv[3], *sys.argv[4:]]
LANGUAGES = 'c', 'python'


def add(number, kind, program, block):
    def example():
        if kind == 'python' and not list(BUILD.glob('libpool/Pool-*.typelib')):
            raise tap.Skip('there are no introspection data')
        run_block(program, block, BUILD, COMPILER)
    example.__doc__ = f'console example {number}: ' + commands(block)[0][0].replace('#', '')
    tap.test(example)


latest = None, ''
for index, (kind, content) in enumerate(blocks(TEXT), 1):
    if kind in LANGUAGES:
        latest = kind, content
    elif kind == 'console':
        add(index, *latest, content)
        latest = None, ''


@tap.test
def every_program_is_run():
    kinds = [kind for kind, _ in blocks(TEXT)]
    assert {*LANGUAGES, 'console'} <= set(kinds)
    for position, kind in enumerate(kinds):
        assert kind not in LANGUAGES or kinds[position + 1] == 'console', 'a program that no command runs'


@tap.test
def both_commands_are_in_the_first_screen():
    first = '\n'.join(TEXT.splitlines()[:25])
    assert './tools/quickstart' in first and './tools/check' in first
    root = pathlib.Path(sys.argv[1]).parent
    for script in re.findall(r'\./((?:tools|\.ci)/\w+)', TEXT):
        assert os.access(root / script, os.X_OK), f'{script} cannot be run'


tap.main()
