#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the programs of the book's Python chapter, and compares what they print.

    test-python.py python.md BUILD-DIR

A program is a ```python block that begins with an import; the ```console block after it runs it. Other ```python blocks are
parts of programs, and only have to be Python.
"""

import ast
import os
import pathlib
import sys

import tap
from document import blocks, commands, run_block

BLOCKS = blocks(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8'))
BUILD = pathlib.Path(sys.argv[2])
HAS_ZMQ = any(pathlib.Path(folder, 'libpool-backend-zmq.so').exists()
              for folder in os.environ.get('POOL_BACKEND_PATH', '').split(':'))


def is_program(content):
    return content.startswith(('import ', 'from '))


def add(program, block):
    def example():
        if 'ZPool' in program and not HAS_ZMQ:
            raise tap.Skip('there is no backend zmq')
        run_block(program, block, BUILD)
    example.__doc__ = commands(block)[0][0]
    tap.test(example)


latest = None
for kind, content in BLOCKS:
    if kind == 'python':
        latest = content
    elif kind == 'console':
        add(latest, content)


@tap.test
def every_program_is_run():
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds.count('console') >= 5
    for position, (kind, content) in enumerate(BLOCKS):
        if kind == 'python' and is_program(content):
            assert kinds[position + 1:position + 2] == ['console'], f'a program that no command runs:\n{content}'
            run = commands(BLOCKS[position + 1][1])[0][0]
            assert run.startswith('python3 '), run


@tap.test
def every_part_is_python():
    for kind, content in BLOCKS:
        if kind == 'python':
            ast.parse(content)


tap.main()
