#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the programs of the book's chapter on a language, and compares what they print.

    test-language.py CHAPTER BUILD-DIR KIND COMMAND BEGINNING AT-LEAST

A program is a block of that kind that begins so; the ```console block after it begins with the command. Other blocks of the kind are
parts of programs. At least so many programs have to be there.
"""

import pathlib
import sys

import tap
from document import add_chapter

CHAPTER, BUILD, KIND, COMMAND, BEGINNING, AT_LEAST = sys.argv[1:]
add_chapter(CHAPTER, pathlib.Path(BUILD), KIND, COMMAND, lambda content: content.startswith(BEGINNING), '"zmq"', int(AT_LEAST))

tap.main()
