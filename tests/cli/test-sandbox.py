#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--sandbox: what commands and tasks are kept from, and what they are not."""

import os
import pathlib

from clitest import BACKENDS, Skip, main, needs, run, test


def sandboxed(*words):
    """Runs the tool in the fork backend; a build without libseccomp refuses, and says so."""
    needs('fork')
    result = run(words[0], '-b', 'fork', *words[1:])
    if 'built without libseccomp' in result.messages:
        assert result.status != 0 and result.out == b''
        raise Skip('this build has no sandbox')
    return result


def status(result):
    return dict(line.split(':\t') for line in result.lines if ':\t' in line)


@test
def test_what_a_command_is_kept_from():
    for sandbox, expected in ('basic', ('1', '2')), ('strict', ('1', '2')):
        result = sandboxed('exec', f'--sandbox={sandbox}', '--', 'cat', '{}', ':::', '/proc/self/status')
        assert result.status == 0, result.messages
        found = status(result)
        assert (found['NoNewPrivs'], found['Seccomp']) == expected, (sandbox, found)


@test
def test_strict_writes_nothing():
    pathlib.Path('file').write_text('precious')
    for command in 'echo gone > file', 'echo new > other', 'rm file', 'mv file moved', 'touch file', 'chmod 0 file':
        result = sandboxed('exec', '--sandbox', 'strict', command + ' # {}', ':::', 'x')
        assert result.status != 0, (command, result.messages)
    assert os.listdir() == ['file'] and pathlib.Path('file').read_text() == 'precious'
    result = sandboxed('exec', '--sandbox', 'basic', 'echo new > other # {}', ':::', 'x')
    assert result.status == 0 and pathlib.Path('other').read_text() == 'new\n', result.messages


@test
def test_tasks_and_commands_that_mean_no_harm():
    pathlib.Path('a').write_text('one\n')
    pathlib.Path('b').write_text('two\n')
    for sandbox in 'none', 'basic', 'strict':
        plain = sandboxed('map', '-k', 'checksum.sha256', 'a', 'b')
        result = sandboxed('map', '-k', '--sandbox', sandbox, 'checksum.sha256', 'a', 'b')
        assert result.status == 0 and result.out == plain.out, (sandbox, result.messages)
        result = sandboxed('exec', '-k', '--sandbox', sandbox, '--', 'sort', '-r', '{}', ':::', 'a', 'b')
        assert result.status == 0 and result.text == 'one\ntwo\n', (sandbox, result.messages)


@test
def test_threads_have_none():
    if 'threads' not in BACKENDS:
        raise Skip('there is no backend threads')
    for sandbox in 'basic', 'strict':
        result = run('map', '-b', 'threads', '--sandbox', sandbox, 'debug.echo', 'x')
        assert result.status != 0 and result.out == b'', result.out
        assert 'threads' in result.messages and sandbox in result.messages, result.messages
    assert run('map', '-b', 'threads', '--sandbox=none', 'debug.echo', 'x').text == 'x\n'


if __name__ == '__main__':
    main()
