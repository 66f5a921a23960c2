#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project needs nothing but itself: no file points to something outside of it.

    test-self-contained.py SOURCE-DIR
"""

import pathlib
import re
import sys

import tap

ROOT = pathlib.Path(sys.argv[1]).resolve()
CODE = {'.c', '.h', '.cc', '.py', '.sh', '.vala', '.js', '.mjs', '.supp'}


def project_files():
    """All text files, without what git and builds put there."""
    pending = [ROOT]
    while pending:
        directory = pending.pop()
        for path in sorted(directory.iterdir()):
            if path.is_symlink() or path.name in ('.git', '__pycache__', 'subprojects'):
                continue
            if path.is_dir():
                if not (path / 'meson-private').exists():
                    pending.append(path)
                continue
            try:
                yield path.relative_to(ROOT), path.read_text(encoding='utf-8')
            except UnicodeDecodeError:
                continue


FILES = dict(project_files())
NAMES = {path.name for path in FILES}


def lines():
    for path, text in FILES.items():
        for number, line in enumerate(text.splitlines(), 1):
            yield path, number, line


def none(problems):
    assert not problems, '\n' + '\n'.join(problems)


@tap.test
def links_of_documents_lead_somewhere():
    wrong = []
    for path, text in FILES.items():
        if path.suffix != '.md':
            continue
        for target in re.findall(r'\]\(([^)\s]+)\)', text):
            if re.match(r'\w+:', target) or target.startswith('#'):
                continue
            full = (ROOT / path.parent / target.split('#')[0]).resolve()
            if not full.is_relative_to(ROOT) or not full.exists():
                wrong.append(f'{path}: {target}')
    none(wrong)


@tap.test
def documents_that_are_named_exist():
    word = re.compile(r'(?<![\w.*/-])(?:[\w-]+/)*([\w-]+\.md)\b')
    none([f'{path}:{number}: {name}' for path, number, line in lines() for name in word.findall(line)
          if name not in NAMES])


@tap.test
def no_path_of_one_machine_is_named():
    """Only what every system has may be named by an absolute path"""
    path_of_a_machine = re.compile(r'(?<![\w.${}<>~*@)\]-])/(?:home|root|work|mnt|srv|media|Users)/\w')
    none([f'{path}:{number}: {line.strip()}' for path, number, line in lines() if path_of_a_machine.search(line)])


@tap.test
def no_path_leads_out_of_the_project():
    wrong = []
    for path, number, line in lines():
        for target in re.findall(r'(?<![\w./])((?:\.\./)+)', line):
            if target.count('../') >= len(path.parts):
                wrong.append(f'{path}:{number}: {line.strip()}')
    none(wrong)


@tap.test
def every_source_file_names_its_licence():
    wrong = []
    for path, text in FILES.items():
        head = text.splitlines()[:2]
        script = bool(head) and head[0].startswith('#!')
        if (path.suffix in CODE or script) and not any(
                'SPDX-License-Identifier: LGPL-2.1-or-later' in line for line in head):
            wrong.append(str(path))
    none(wrong)


@tap.test
def text_is_clean():
    """No tabs but in Makefiles, no blanks at the end of a line, a newline at the end of a file"""
    wrong = []
    for path, text in FILES.items():
        if path.name in ('LICENSE', 'Makefile') or path.suffix in ('.tap', '.txt', '.bin'):
            continue
        if text and not text.endswith('\n'):
            wrong.append(f'{path}: no newline at the end')
        wrong += [f'{path}:{number}: blank or tab' for number, line in enumerate(text.splitlines(), 1)
                  if '\t' in line or line != line.rstrip()]
    none(wrong)


tap.main()
