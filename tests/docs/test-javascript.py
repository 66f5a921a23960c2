#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the programs of the book's chapter on JavaScript, and compares what they print.

    test-javascript.py javascript.md BUILD-DIR

A program is a ```javascript block that begins with an import; the ```console block after it runs it. Other ```javascript blocks
are parts of programs.
"""

import os
import pathlib
import sys

import tap
from document import blocks, commands, run_block

BLOCKS = blocks(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8'))
BUILD = pathlib.Path(sys.argv[2])
HAS_ZMQ = any(pathlib.Path(folder, 'libpool-backend-zmq.so').exists()
              for folder in os.environ.get('POOL_BACKEND_PATH', '').split(':'))


def add(program, block):
    def example():
        if "backend: 'zmq'" in program and not HAS_ZMQ:
            raise tap.Skip('there is no backend zmq')
        run_block(program, block, BUILD)
    example.__doc__ = commands(block)[0][0]
    tap.test(example)


latest = None
for kind, content in BLOCKS:
    if kind == 'javascript':
        latest = content
    elif kind == 'console':
        add(latest, content)


@tap.test
def every_program_is_run():
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds.count('console') >= 3
    for position, (kind, content) in enumerate(BLOCKS):
        if kind == 'javascript' and content.startswith('import '):
            assert kinds[position + 1:position + 2] == ['console'], f'a program that no command runs:\n{content}'
            run = commands(BLOCKS[position + 1][1])[0][0]
            assert run.startswith('gjs -m '), run


tap.main()
