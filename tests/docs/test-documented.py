#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every public symbol has a gi-docgen comment: functions with each parameter, result and version, classes,
enumerations with each member, properties and signals.

    test-documented.py SOURCE-DIR

The scanner warns of much of this too, but only where introspection is built.
"""

import pathlib
import re
import sys

import tap

LIBRARY = pathlib.Path(sys.argv[1], 'libpool')
HEADERS = {path: path.read_text(encoding='utf-8') for path in sorted(LIBRARY.glob('*.h'))
           if not path.name.endswith('-private.h')}
SOURCES = {path: path.read_text(encoding='utf-8') for path in sorted(LIBRARY.glob('*.c'))}
# the interface for those who write a backend has plain comments
APPLICATION = {path: text for path, text in HEADERS.items() if 'backend' not in path.name}

COMMENT = re.compile(r'/\*\*\n \* ([\w:-]+?):?(?: \([^\n]*\))?\n(.*?)\*/', re.S)
COMMENTS = {}
for text in [*HEADERS.values(), *SOURCES.values()]:
    for name, body in COMMENT.findall(re.sub(r'^ +\*', ' *', re.sub(r'^ +/\*\*', '/**', text, flags=re.M), flags=re.M)):
        COMMENTS[name] = body

FUNCTION = re.compile(r'^POOL_AVAILABLE_IN_\w+\n([\w ]+?[ *]+)(pool_\w+) \((.*?)\)[^;]*;', re.M | re.S)
ENUM = re.compile(r'typedef enum\n\{\n(.*?)\n\} (Pool\w+);', re.S)
CALLBACK = re.compile(r'^typedef ([\w ]+?[ *]*)\(\*(Pool\w+)\) \((.*?)\);', re.M | re.S)


def parameters(text):
    names = [re.search(r'(\w+)(?:\[\])?$', part.strip())[1] for part in text.split(',') if part.strip() != 'void']
    return [name for name in names if name]


def check_callable(name, result, arguments, since=True):
    """What is wrong with the comment of a function or callback."""
    if name not in COMMENTS:
        return [f'{name}: no comment']
    body = COMMENTS[name]
    wrong = [f'{name}: @{argument} is not described' for argument in parameters(arguments)
             if not re.search(rf'^ \* @{argument}: \S', body, re.M)]
    if result.strip() != 'void' and not re.search(r'^ \* Returns:', body, re.M):
        wrong.append(f'{name}: no Returns:')
    if since and not re.search(r'^ \* Since: \d', body, re.M):
        wrong.append(f'{name}: no Since:')
    return wrong


def class_of(path):
    """The class that a file is about: pool-manager-settings.c is about PoolManager."""
    words = [word.capitalize() for word in path.stem.split('-')[1:]]
    while len(words) > 1 and 'Pool' + ''.join(words) not in COMMENTS:
        words.pop()
    return 'Pool' + ''.join(words)


def none(problems):
    assert not problems, '\n' + '\n'.join(problems)


@tap.test
def functions():
    wrong, count = [], 0
    for text in APPLICATION.values():
        for result, name, arguments in FUNCTION.findall(text):
            if not name.endswith('_get_type'):
                count += 1
                wrong += check_callable(name, result, arguments)
    assert count > 50, f'only {count} functions found'
    none(wrong)


@tap.test
def callbacks():
    found = [match for text in APPLICATION.values() for match in CALLBACK.findall(text)]
    assert found
    none([problem for result, name, arguments in found for problem in check_callable(name, result, arguments)])


@tap.test
def classes():
    names = {name for text in APPLICATION.values()
             for name in re.findall(r'G_DECLARE_\w+ \((Pool\w+),', text) +
             re.findall(r'^typedef struct _(Pool\w+Result) ', text, re.M)}
    assert len(names) >= 9, names
    none([f'{name}: no comment' for name in sorted(names) if name not in COMMENTS])
    none([f'{name}: no Since:' for name in sorted(names) if 'Since:' not in COMMENTS[name]])


@tap.test
def enumerations_and_their_members():
    wrong = []
    for text in APPLICATION.values():
        for members, name in ENUM.findall(text):
            body = COMMENTS.get(name)
            if body is None:
                wrong.append(f'{name}: no comment')
                continue
            wrong += [f'{name}: @{member} is not described'
                      for member in re.findall(r'^  (POOL_\w+)', members, re.M) if f'@{member}:' not in body]
    none(wrong)


@tap.test
def properties():
    wrong, count = [], 0
    for path, text in SOURCES.items():
        class_name = class_of(path)
        for name in re.findall(r'g_param_spec_\w+ \(\s*"([\w-]+)"', text):
            count += 1
            if f'{class_name}:{name}' not in COMMENTS:
                wrong.append(f'{class_name}:{name}: no comment')
    assert count, 'no property found'
    none(wrong)


@tap.test
def signals():
    wrong, count = [], 0
    for path, text in SOURCES.items():
        class_name = class_of(path)
        for name in re.findall(r'(?:g_signal_new \(|add_signal \(\w+,)\s*"([\w-]+)"', text):
            count += 1
            if f'{class_name}::{name}' not in COMMENTS:
                wrong.append(f'{class_name}::{name}: no comment')
    assert count > 10, f'only {count} signals found'
    none(wrong)


tap.main()
