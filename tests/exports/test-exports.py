#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No object of the project puts a name into a program that is not its own.

A bare `pool_` is common: what is not exported cannot clash. Names of the compiler's and the sanitizers'
run time (they begin with two underscores) are not the project's.
"""

import argparse
import pathlib
import subprocess

import tap

PARSER = argparse.ArgumentParser()
PARSER.add_argument('nm')
PARSER.add_argument('--library', required=True)
PARSER.add_argument('--task-module', action='append', default=[])
PARSER.add_argument('--backend', action='append', default=[])
OPTIONS = PARSER.parse_args()


def exported(path):
    done = subprocess.run([OPTIONS.nm, '-D', '--defined-only', path], text=True, timeout=60, check=True,
                          stdout=subprocess.PIPE)
    names = {line.split()[-1].split('@')[0] for line in done.stdout.splitlines() if line.strip()}
    return {name for name in names if not name.startswith('__')}


def check_module(path, wanted):
    def exports_only_its_entry_points():
        names = exported(path)
        assert names == wanted, f'{path}: missing {wanted - names}, unexpected {names - wanted}'

    exports_only_its_entry_points.__doc__ = f'{pathlib.Path(path).name} exports only its entry points'
    tap.test(exports_only_its_entry_points)


@tap.test
def the_library_exports_only_its_prefix():
    names = exported(OPTIONS.library)
    strange = {name for name in names if not name.startswith('pool_')}
    assert names, 'nothing is exported'
    assert not strange, f'exported: {sorted(strange)}'


@tap.test
def the_library_exports_what_the_headers_promise():
    names = exported(OPTIONS.library)
    for name in ('pool_manager_new', 'pool_manager_get_type', 'pool_error_quark', 'pool_state_get_type'):
        assert name in names, f'{name} is missing'


for module in OPTIONS.task_module:
    check_module(module, {'pool_task_module_abi', 'pool_task_module_register'})
for module in OPTIONS.backend:
    check_module(module, {'pool_backend_module_query'})
tap.main()
