#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual page and the completion say what the program does."""

import os
import re
import shutil
import subprocess

from clitest import BACKENDS, POOL, SOURCE, Skip, main, run, test

COMMANDS = ['backends', 'bench', 'exec', 'map', 'tasks']
# where there is ZeroMQ, or D-Bus
OPTIONAL = {'cancel': {'--system'}, 'jobs': {'--system'},
            'submit': {'--pool', '--arguments', '--name', '--system'},
            'top': {'--local', '--once', '--interval', '--sort', '--system'}, 'wait': {'--timeout', '--keep', '--system'},
            'keygen': {'--force', '--print-public'},
            'worker': {'--connect', '--processes', '--server-key', '--key-file', '--tag', '--retry', '--stay',
                       '--accept-command', '--verbose'}}


def find_optional():
    commands = run('--help').text.split('Commands:\n')[1].split('\n\n')[0]
    listed = set(re.findall(r'^  ([a-z]+) ', commands, re.M))
    assert listed - set(COMMANDS) <= set(OPTIONAL), listed
    COMMANDS.extend(listed & set(OPTIONAL))


def options_of(command):
    text = run(command, '--help').text
    return set(re.findall(r'^  (?:-., )?(--[a-z-]+)', text, re.M)), set(re.findall(r'^  (-.), ', text, re.M))


def manual():
    return (SOURCE / 'data/pool.1').read_text().replace('\\-', '-')


@test
def test_the_manual_knows_every_option():
    text = manual()
    documented = {'--' + name for name in re.findall(r'Fl -([a-z][a-z-]+)', text)}
    known = set()
    for command in COMMANDS:
        long_options, short_options = options_of(command)
        known |= long_options
        for option in long_options:
            assert option in documented, (command, option)
        for option in short_options:
            assert re.search(rf'Fl {option[1]}\b', text), (command, option)
    for command, options in OPTIONAL.items():
        known |= options if command not in COMMANDS else set()
    # --check is sha256sum's
    assert documented - known - {'--check', '--mpi'} == set(), documented - known


@test
def test_the_manual_knows_commands_statuses_and_variables():
    text = manual()
    for command in COMMANDS:
        assert f'.Cm {command}' in text
    for word in 'POOL_BACKEND_PATH', 'POOL_TASK_PATH', 'POOL_WORKER':
        assert f'.It Ev {word}' in text
    for status in '0', '1', '2', '130', '141', '143':
        assert re.search(rf'^\.It .*\b{status}\b', text, re.M), status


@test
def test_the_manual_is_well_formed():
    if not shutil.which('groff'):
        raise Skip('there is no groff')
    result = subprocess.run(['groff', '-mandoc', '-ww', '-Tutf8', SOURCE / 'data/pool.1'],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert result.returncode == 0 and result.stderr == b'', result.stderr


def complete(*words):
    """What bash offers for the last of the words."""
    if not shutil.which('bash'):
        raise Skip('there is no bash')
    script = ('. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pool 2>/dev/null; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(['bash', '-c', script, SOURCE / 'data/completions/pool', POOL, *words],
                            stdout=subprocess.PIPE, check=True, timeout=30)
    return set(result.stdout.decode().split())


@test
def test_completion():
    assert set(COMMANDS) < complete('')
    assert complete('ba') == {'backends'}
    assert complete('bench', 're') == {'replacement'}
    assert complete('help', 'm') == {'map'}
    for command in COMMANDS:
        long_options, _ = options_of(command)
        assert complete(command, '--') == long_options, command
    assert complete('map', 'checksum.sha5') == {'checksum.sha512'}
    assert complete('map', '-j', '2', 'text.c') == {'text.count'}
    assert complete('tasks', 'te') == {'text'}
    assert set(BACKENDS) <= complete('map', '-b', '')
    assert complete('exec', '--start-method', 'forks') == {'forkserver'}
    assert complete('exec', '--start-method', '=', 'sp') == {'spawn'}
    assert complete('exec', '--sandbox', 's') == {'strict'}
    os.mkdir('folder')
    open('file', 'w').close()
    assert complete('map', 'debug.echo', 'fi') == {'file'}
    assert complete('map', '--joblog', 'fo') == {'folder'}
    assert complete('keygen', 'fo') == {'folder'}


if __name__ == '__main__':
    find_optional()
    main()
