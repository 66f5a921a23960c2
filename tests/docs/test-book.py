#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The book as a whole: chapters are listed where the book is made, and those on languages have the same parts.

    test-book.py SOURCE-DIR
"""

import pathlib
import re
import sys

import tap

ROOT = pathlib.Path(sys.argv[1])
CHAPTERS = {path.stem: path.read_text(encoding='utf-8') for path in (ROOT / 'docs').glob('*.md')}
LANGUAGES = 'c', 'python', 'javascript', 'cpp', 'vala'
PARTS = 'Getting started', 'A complete program', 'When things go wrong', 'Pitfalls'


@tap.test
def every_chapter_is_in_the_book():
    book = (ROOT / 'docs' / 'meson.build').read_text(encoding='utf-8')
    listed = re.findall(r"^    '([\w-]+)',$", book, re.M)
    assert len(listed) > 15 and len(listed) == len(set(listed)), listed
    assert set(listed) == set(CHAPTERS), set(listed) ^ set(CHAPTERS)


@tap.test
def every_chapter_can_be_reached_from_the_readme():
    reached, pending = set(), [(ROOT / 'README.md').read_text(encoding='utf-8')]
    while pending:
        for name in re.findall(r'\]\((?:docs/|\.\./docs/|)([\w-]+)\.md\)', pending.pop()):
            if name in CHAPTERS and name not in reached:
                reached.add(name)
                pending.append(CHAPTERS[name])
    assert reached == set(CHAPTERS), set(CHAPTERS) - reached


@tap.test
def every_chapter_says_its_title():
    for name, text in CHAPTERS.items():
        title = re.match(r'Title: (.+)\n', text)
        assert title and f'\n# {title[1]}\n' in text, name


@tap.test
def chapters_on_languages_have_the_same_parts():
    for name in LANGUAGES:
        headings = re.findall(r'^## (.+)$', CHAPTERS[name], re.M)
        found = [heading for heading in headings if heading in PARTS]
        assert found == list(PARTS), f'{name}: {headings}'


tap.main()
