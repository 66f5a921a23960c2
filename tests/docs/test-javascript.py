#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the programs of the book's chapter on JavaScript, and compares what they print.

    test-javascript.py javascript.md BUILD-DIR

A program is a ```javascript block that begins with an import; the ```console block after it runs it. Other ```javascript blocks
are parts of programs.
"""

import pathlib
import sys

import tap
from document import add_chapter

add_chapter(sys.argv[1], pathlib.Path(sys.argv[2]), 'javascript', 'gjs -m', lambda content: content.startswith('import '),
            "backend: 'zmq'", 3)

tap.main()
