#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The way of a task, and of one that goes wrong, is told in file and function names: each of them is there, and a function is in
the file that was named last.

    test-follow-a-task.py follow-a-task.md SOURCE-DIR
"""

import pathlib
import re
import sys

import tap

TEXT = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')
SOURCE = pathlib.Path(sys.argv[2])
WORDS = re.findall(r'`([^`\n]+)`', TEXT)
FILES = {path.name: path for folder in ('libpool', 'backends') for path in (SOURCE / folder).rglob('*.[ch]')}
FILE = re.compile(r'(?:[\w-]+/)*([\w-]+\.[ch])')
FUNCTION = re.compile(r'[a-z]\w*_\w+')


@tap.test
def files_are_there():
    named = [word for word in WORDS if FILE.fullmatch(word)]
    assert len(named) > 12, named
    for word in named:
        path = SOURCE / word if '/' in word else FILES.get(word)
        assert path is not None and path.is_file(), word


@tap.test
def functions_are_where_they_are_said_to_be():
    """A function is defined in a file that its paragraph names, where that names any"""
    count = 0
    for paragraph in re.split(r'\n(?=\d+\. )|\n\n', TEXT):
        words = re.findall(r'`([^`\n]+)`', paragraph)
        paths = [FILES[pathlib.Path(word).name] for word in words if FILE.fullmatch(word)]
        for name in words:
            if not FUNCTION.fullmatch(name):
                continue
            count += 1
            defined = [path for path in FILES.values()
                       if re.search(rf'^{name} \(', path.read_text(encoding='utf-8'), re.M)]
            assert defined, f'{name} is no function'
            if paths:
                assert set(defined) & set(paths), f'{name} is in {defined[0].relative_to(SOURCE)}, which is not named beside it'
    assert count >= 10, f'only {count} functions found'


@tap.test
def what_else_is_named_is_a_name_in_the_code():
    code = '\n'.join(path.read_text(encoding='utf-8') for path in FILES.values())
    for word in WORDS:
        if not FILE.fullmatch(word) and re.fullmatch(r'\w+', word):
            assert re.search(rf'\b{word}\b', code), word


tap.main()
