#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys: what is written where, who can read it, and what is left alone."""

import os
import pathlib
import re
import stat
import subprocess

from clitest import POOL, main, run, test

DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def values_in(path):
    lines = [line for line in pathlib.Path(path).read_text().splitlines() if not line.startswith('#')]
    values = dict(line.split(' = ') for line in lines)
    assert len(values) == len(lines)
    for value in values.values():
        assert len(value) == 40 and set(value) <= set(DIGITS), value
    return values


@test
def test_a_pair():
    for umask in 0o000, 0o022, 0o077:
        os.umask(umask)
        name = f'keys {umask:o}'
        result = run('keygen', name)
        assert result.status == 0 and result.err == b'', result.err
        secret, public = values_in(f'{name}.key'), values_in(f'{name}.pub')
        assert set(secret) == {'public', 'secret'} and set(public) == {'public'}
        assert secret['public'] == public['public'] != secret['secret']
        assert mode_of(f'{name}.key') == 0o600 and mode_of(f'{name}.pub') == 0o644
        assert result.lines == [f'secret: {name}.key', f'public: {name}.pub', f'key:    {public["public"]}']
        assert secret['secret'] not in result.text
    os.umask(0o022)
    assert sorted(os.listdir()) == sorted(f'keys {umask}.{end}' for umask in ('0', '22', '77') for end in ('key', 'pub'))


@test
def test_keys_differ():
    for i in range(20):
        assert run('keygen', str(i)).status == 0
    assert len({value for i in range(20) for value in values_in(f'{i}.key').values()}) == 40


@test
def test_print_public():
    result = run('keygen', '--print-public', 'a')
    assert result.status == 0 and result.text == values_in('a.pub')['public'] + '\n'


@test
def test_files_that_there_are():
    assert run('keygen', 'a').status == 0
    before = values_in('a.key')
    result = run('keygen', 'a')
    assert result.status == 2 and result.out == b'' and re.match(r'pool: a\.key exists: .*--force', result.messages)
    os.unlink('a.key')
    result = run('keygen', 'a')
    assert result.status == 2 and 'a.pub exists' in result.messages
    assert os.listdir() == ['a.pub'] and values_in('a.pub')['public'] == before['public']
    assert run('keygen', '--force', 'a').status == 0
    after = values_in('a.key')
    assert after['public'] == values_in('a.pub')['public'] != before['public']
    assert sorted(os.listdir()) == ['a.key', 'a.pub']


@test
def test_links_are_not_followed():
    pathlib.Path('target').write_text('precious')
    for link in 'a.key', 'a.pub':
        os.symlink('target', link)
        for options in [], ['--force']:
            result = run('keygen', *options, 'a')
            assert result.status == 2 and link in result.messages, result.messages
        os.unlink(link)
        if os.path.lexists('a.key'):
            os.unlink('a.key')
    assert pathlib.Path('target').read_text() == 'precious' and os.listdir() == ['target']


@test
def test_several_names():
    result = run('keygen', 'a', 'b')
    assert result.status == 0 and sorted(os.listdir()) == ['a.key', 'a.pub', 'b.key', 'b.pub']
    assert values_in('a.pub') != values_in('b.pub')


@test
def test_wrong_words():
    for words, message in [([], 'Which name'), (['--frce', 'a'], '--frce'), ([''], 'name of a file'),
                           (['folder/'], 'name of a file'), (['nowhere/a'], 'nowhere/a.key')]:
        result = run('keygen', *words)
        assert result.status == 2 and result.out == b'' and message in result.messages, result.messages
    assert os.listdir() == []


@test
def test_nowhere_to_print_to():
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([POOL, 'keygen', 'a'], stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and b'Cannot write' in done.stderr


@test
def test_it_loads_nothing():
    """What makes secrets runs no code but its own and that of the libraries that it is linked to."""
    for name in 'pool-task-x.so', 'libpool-backend-zmq.so', 'libpool-backend-fork.so':
        pathlib.Path(name).write_bytes(b'')
    here = os.getcwd()
    done = subprocess.run([POOL, 'keygen', 'a'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30,
                          env={**os.environ, 'LD_DEBUG': 'files', 'POOL_TASK_PATH': here, 'POOL_BACKEND_PATH': here,
                               'POOL_WORKER': f'{here}/pool-task-x.so'})
    assert done.returncode == 0
    assert b'calling init' in done.stderr and b'libzmq' in done.stderr
    assert b'dynamically loaded by' not in done.stderr
    assert here.encode() not in done.stderr


if __name__ == '__main__':
    main()
