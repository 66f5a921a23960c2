#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compiles and runs the programs of the book's chapter on C, and compares what they print.

    test-c.py c.md BUILD-DIR COMPILER...

A program is a ```c block that begins with an include; the ```console block after it builds and runs it.
"""

import pathlib
import shutil
import sys

import tap
from document import add_chapter

COMPILER = [shutil.which(sys.argv[3]) or sys.argv[3], *sys.argv[4:], '-Wall', '-Werror']

add_chapter(sys.argv[1], pathlib.Path(sys.argv[2]), 'c', 'cc', lambda content: content.startswith('#include '), "\"zmq\"", 3,
            COMPILER)

tap.main()
