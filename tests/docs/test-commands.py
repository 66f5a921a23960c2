#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the commands of a page that was written for somebody with a clone of the project, all in one directory.

    test-commands.py PAGE SOURCE-DIR BUILD-DIR

There `examples` is the project's, and `build` is where it was built. The ```c blocks of such a page are parts of files.
"""

import pathlib
import sys

import tap
from document import blocks, commands, run_block

PAGE, SOURCE, BUILD = map(pathlib.Path, sys.argv[1:])
CONSOLE = [content for kind, content in blocks(PAGE.read_text(encoding='utf-8')) if kind == 'console']


@tap.test
def every_command_prints_what_the_page_says():
    script = ''.join(CONSOLE)
    assert len(commands(script)) >= 5
    run_block(None, script, BUILD, links={'examples': SOURCE / 'examples', 'build': BUILD})


tap.main()
