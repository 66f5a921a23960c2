#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Vala binding against the introspection data that it is made from: nothing that is asynchronous is lost on the way.

    test-vapi.py Pool-1.gir libpool-1.vapi
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

import tap

CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'
CLASSES = ElementTree.parse(sys.argv[1]).getroot().findall(f'{CORE}namespace/{CORE}class')
VAPI = pathlib.Path(sys.argv[2]).read_text(encoding='utf-8')
# asynchronous by what they do, not by GIO's pattern: they take no callback and have no finish function
NOT_GIO = {'Manager.put_async', 'Manager.join_async'}


def methods(condition):
    return {f'{pool_class.get("name")}.{method.get("name")}'
            for pool_class in CLASSES for method in pool_class.findall(f'{CORE}method') if condition(method)}


def takes_callback(method):
    return any(type.get('name') == 'Gio.AsyncReadyCallback' for type in method.iter(f'{CORE}type'))


def declarations(pattern):
    """Pairs of class.member and its line, of the classes in the binding."""
    current, found = None, {}
    for line in VAPI.splitlines():
        if opened := re.match(r'\t(?:public |sealed |abstract )*class (\w+)', line):
            current = opened[1]
        elif line == '\t}':
            current = None
        elif current and (member := re.match(pattern, line)):
            found[f'{current}.{member[1]}'] = line.strip()
    return found


ASYNC = declarations(r'\t\tpublic async \S+ @?(\w+) \(')


@tap.test
def async_methods_are_those_of_the_introspection_data():
    expected = methods(takes_callback)
    assert len(expected) == 9, expected
    assert set(ASYNC) == expected, set(ASYNC) ^ expected


@tap.test
def every_one_has_its_finish_function():
    finished = {name.removesuffix('_finish') for name in methods(lambda method: method.get('name').endswith('_finish'))}
    assert finished == {name.removesuffix('_async') for name in ASYNC}, finished
    assert '_finish' not in VAPI


@tap.test
def names_that_say_async_and_are_not_are_known():
    assert methods(lambda method: method.get('name').endswith('_async')) - set(ASYNC) == NOT_GIO


@tap.test
def they_return_what_their_plain_forms_do():
    plain = declarations(r'\t\tpublic (?!async)\S+ @?(\w+) \(.*throws GLib.Error')
    compared = 0
    for name, line in ASYNC.items():
        other = plain.get(name.removesuffix('_async'))
        if other is not None:
            compared += 1
            assert line.split()[2] == other.split()[1], (line, other)
    assert compared >= 6, compared


@tap.test
def they_throw_and_can_be_cancelled():
    for line in ASYNC.values():
        assert line.endswith('throws GLib.Error;'), line
        assert 'GLib.Cancellable? cancellable = null)' in line, line


@tap.test
def delegates_that_are_kept_are_owned():
    kept = 0
    for method in (method for pool_class in CLASSES for method in pool_class.findall(f'{CORE}method')):
        for parameter in method.iter(f'{CORE}parameter'):
            if parameter.get('destroy') is not None:
                kept += 1
                kind = parameter.find(f'{CORE}type').get('name')
                line = re.search(rf'^.* {method.get("name")} \(.*$', VAPI, re.M)[0]
                assert re.search(rf'owned Pool\.{kind}\??', line), line
    assert kept >= 8, kept


@tap.test
def every_signal_is_there():
    expected = {f'{pool_class.get("name")}.{signal.get("name").replace("-", "_")}'
                for pool_class in CLASSES for signal in pool_class.findall(f'{GLIB}signal')}
    found = set(declarations(r'\t\tpublic signal void (\w+) \('))
    assert 'Manager.timeout' in expected
    # there is a property of that name
    assert found == expected - {'Manager.timeout'} | {'Manager.timed_out'}, found ^ expected


tap.main()
