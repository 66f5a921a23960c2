#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool map and exec with agents: what comes out is what comes out on fork, wherever the workers are."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile

from clitest import POOL, Skip, Tool, main, run, test

BACKENDS = subprocess.run([POOL, 'backends'], stdout=subprocess.PIPE, timeout=60).stdout.decode()


def needs_zmq():
    if not re.search('^zmq +(?!unavailable)', BACKENDS, re.M):
        raise Skip('there is no backend zmq')


@contextlib.contextmanager
def private_endpoint():
    # sockets have short names
    with tempfile.TemporaryDirectory(prefix='pool-', dir='/tmp') as folder:
        yield f'ipc://{folder}/pool'


def agent(endpoint, *words):
    return subprocess.Popen([os.environ['POOL_WORKER'], 'zmq', 'agent', '--connect', endpoint, *words])


def both(*words, **keywords):
    """The same on fork and on zmq."""
    fork, zmq = (run(words[0], '-b', backend, *words[1:], **keywords) for backend in ('fork', 'zmq'))
    assert zmq.status == fork.status, (zmq.status, zmq.messages)
    assert zmq.out == fork.out, (zmq.out, fork.out)
    assert zmq.messages == fork.messages, (zmq.messages, fork.messages)
    return zmq


@test
def test_map_is_as_on_fork():
    needs_zmq()
    for name in 'a', 'b c':
        pathlib.Path(name).write_bytes(name.encode() * 1000)
    assert both('map', '-k', '-j2', 'checksum.sha256', 'a', 'b c').status == 0
    assert both('map', '-k', 'debug.echo', stdin=b'one\n\nthree\n').lines == ['one', '', 'three']
    assert both('map', '-k', 'checksum.sha256', 'missing', 'a').status == 1
    assert both('map', 'no.such', 'x').status == 2


@test
def test_many_inputs():
    needs_zmq()
    lines = ''.join(f'{i}\n' for i in range(5000)).encode()
    assert run('map', '-b', 'zmq', '-k', '-j2', '--processes-per-agent=1', 'debug.echo', stdin=lines).out == lines


@test
def test_exec_is_as_on_fork():
    needs_zmq()
    assert both('exec', '-k', '-j2', '--', 'printf', '[%s]', '{}', ':::', 'a b', '$x', 'ü', '').status == 0
    assert both('exec', '-k', '-j2', 'echo out {}; echo err >&2; exit 3', ':::', 'x').status == 1
    assert both('exec', '-k', 'head -c 300000 /dev/zero; printf {}', ':::', b'\xff', 'b').status == 0
    assert both('exec', '-j3', 'touch {}; while test $(ls | wc -l) -lt 3; do sleep 0.01; done', ':::', 'a', 'b', 'c').status == 0
    shown = run('exec', '-b', 'zmq', '--json', 'echo {}', ':::', 'x').objects[0]
    assert shown['stdout'] == 'x\n' and shown['exit_code'] == 0


@test
def test_an_agent_that_comes_by_itself():
    needs_zmq()
    with private_endpoint() as endpoint:
        for words, expected in (('map', 'debug.echo', 'a', 'b'), 'a\nb\n'), (('exec', 'echo', ':::', 'a', 'b'), 'a\nb\n'):
            process = agent(endpoint, '--processes=2')
            try:
                result = run(words[0], '-b', 'zmq', '-k', '--endpoint', endpoint, *words[1:])
                assert (result.status, result.text, result.messages) == (0, expected, ''), result.messages
                assert process.wait(10) == 0
            finally:
                process.kill()
                process.wait()


@test
def test_where_agents_connect_is_told():
    needs_zmq()
    result = run('map', '-b', 'zmq', '--verbose', 'debug.echo', 'x')
    assert result.text == 'x\n' and re.fullmatch(r'pool: agents connect to ipc:///\S+\n', result.messages), result.messages
    with private_endpoint() as endpoint:
        with Tool('map', '-b', 'zmq', '--endpoint', endpoint, '--launcher=none', '-v', 'debug.echo', 'x',
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
            assert tool.process.stderr.readline().decode() == f'pool: agents connect to {endpoint}\n'
            process = agent(endpoint, '--processes=1')
            assert tool.process.communicate(timeout=20)[0] == b'x\n' and process.wait(10) == 0


@test
def test_what_does_not_go():
    for option in 'endpoint', 'launcher', 'key-file', 'allowed-keys', 'agent-key-file', 'agent-command':
        result = run('map', '-b', 'fork', f'--{option}=x', 'debug.echo', 'x')
        assert result.status == 2 and option in result.messages, (option, result.status, result.messages)
    assert run('map', '--processes-per-agent=-1', 'debug.echo', 'x').status == 2
    needs_zmq()
    for words, part in [
        (['--endpoint=udp://x'], 'tcp://ADDRESS:PORT'),
        (['--endpoint=ipc:///nowhere/at/all'], '/nowhere/at'),
        (['--endpoint=tcp://127.0.0.1:*'], 'key'),
    ]:
        result = run('map', '-b', 'zmq', *words, 'debug.echo', 'x')
        assert result.status in (1, 2) and part in result.messages, (words, result.status, result.messages)


if __name__ == '__main__':
    main()
