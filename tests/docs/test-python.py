#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the programs of the book's Python chapter, and compares what they print.

    test-python.py python.md BUILD-DIR

A program is a ```python block that begins with an import; the ```console block after it runs it. Other ```python blocks are
parts of programs, and only have to be Python.
"""

import ast
import pathlib
import sys

import tap
from document import add_chapter

BLOCKS = add_chapter(sys.argv[1], pathlib.Path(sys.argv[2]), 'python', 'python3',
                     lambda content: content.startswith(('import ', 'from ')), 'ZPool', 5)


@tap.test
def every_part_is_python():
    for kind, content in BLOCKS:
        if kind == 'python':
            ast.parse(content)


tap.main()
