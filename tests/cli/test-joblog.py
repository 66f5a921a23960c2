#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log of a run, and going on where one was cut off."""

import pathlib
import signal
import subprocess
import time

from clitest import POOL, Tool, each_backend, main, run, test

HEADER = 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand'


def read_log(name='log'):
    lines = pathlib.Path(name).read_bytes().decode(errors='surrogateescape').split('\n')
    assert lines[0] == HEADER and lines[-1] == ''
    return [line.split('\t') for line in lines[1:-1]]


@each_backend
def test_log_of_a_map(backend):
    before = time.time()
    result = run('map', '-b', backend, '-k', '--joblog', 'log', 'debug.fail_if', 'a', 'fail it', 'b')
    assert result.status == 1
    rows = {int(row[0]): row for row in read_log()}
    assert sorted(rows) == [1, 2, 3]
    assert [rows[i][6] for i in (1, 2, 3)] == ['0', '1', '0']
    assert [rows[i][8] for i in (1, 2, 3)] == \
        ['debug.fail_if a', "debug.fail_if 'fail it'", 'debug.fail_if b']
    for row in rows.values():
        assert row[1] == ':' and row[7] == '0'
        assert before - 1 <= float(row[2]) <= time.time() + 1
        assert 0 <= float(row[3]) < 5


@test
def test_log_of_commands():
    run('exec', '-k', '--joblog', 'log', 'sleep 0.2; printf 12345; exit {}', ':::', '0', '4')
    first, second = read_log()
    assert first[5:8] == ['5', '0', '0'] and second[5:8] == ['5', '4', '0']
    assert 0.2 <= float(first[3]) < 5
    assert second[8] == 'sleep 0.2; printf 12345; exit 4'
    run('exec', '--joblog', 'log', 'kill -9 $$ # {}', ':::', 'x')
    assert read_log()[0][6:8] == ['137', '9']


@test
def test_resume_runs_only_what_is_missing_or_failed():
    script = 'echo {} >> ran; test {} != 3 || test -e fixed'
    inputs = ['1', '2', '3', '4', '5']
    assert run('exec', '--joblog', 'log', script, ':::', *inputs[:4]).status == 1
    assert sorted(pathlib.Path('ran').read_text().split()) == inputs[:4]
    pathlib.Path('ran').unlink()
    pathlib.Path('fixed').touch()
    assert run('exec', '--joblog', 'log', '--resume', script, ':::', *inputs).status == 0
    assert sorted(pathlib.Path('ran').read_text().split()) == ['3', '5']
    pathlib.Path('ran').unlink()
    # now all is done
    assert run('exec', '--joblog', 'log', '--resume', script, ':::', *inputs).status == 0
    assert not pathlib.Path('ran').exists()
    assert len(read_log()) == 6


@test
def test_resume_knows_a_changed_command():
    run('map', '--joblog', 'log', 'debug.echo', 'a', 'b')
    result = run('map', '-k', '--joblog', 'log', '--resume', 'debug.echo', 'a', 'x', 'b')
    assert result.text == 'x\nb\n'


@test
def test_without_resume_the_log_begins_anew():
    run('map', '--joblog', 'log', 'debug.echo', 'a', 'b')
    result = run('map', '-k', '--joblog', 'log', 'debug.echo', 'a', 'c', 'd')
    assert result.text == 'a\nc\nd\n' and len(read_log()) == 3


@test
def test_resume_from_nothing_and_from_a_torn_log():
    assert run('map', '--joblog', 'log', '--resume', 'debug.echo', 'a').text == 'a\n'
    with open('log', 'a') as log:
        log.write('2\t:\t1.0\t 0.1\t0\t0\t0\t0\tdebug.ec')
    result = run('map', '-k', '--joblog', 'log', '--resume', 'debug.echo', 'a', 'b', 'c')
    assert result.text == 'b\nc\n'
    # the torn line is on its own, and what followed is known
    assert run('map', '--joblog', 'log', '--resume', 'debug.echo', 'a', 'b', 'c').text == ''


@test
def test_odd_names():
    names = [b'a\nb', b'a\tb', b'\xff', b'']
    run('map', '--joblog', 'log', 'debug.echo', *names)
    assert pathlib.Path('log').read_bytes().count(b'\n') == 5
    assert run('map', '--joblog', 'log', '--resume', 'debug.echo', *names, 'new').text == 'new\n'


@test
def test_dry_run_of_resume():
    run('map', '--joblog', 'log', 'debug.echo', 'a')
    before = pathlib.Path('log').read_bytes()
    result = run('map', '--joblog', 'log', '--resume', '--dry-run', 'debug.echo', 'a', 'b')
    assert result.text == 'debug.echo b\n'
    assert pathlib.Path('log').read_bytes() == before


@test
def test_log_that_cannot_be_written():
    result = run('map', '--joblog', 'no/such/folder', 'debug.echo', 'a')
    assert result.status == 2 and 'no/such/folder' in result.messages
    full = run('map', '--joblog', '/dev/full', 'debug.echo', 'a')
    assert full.status in (1, 2) and 'No space left' in full.messages


@each_backend
def test_resume_after_an_interrupt(backend):
    words = ['exec', '-b', backend, '-j2', '--joblog', 'log', 'echo {} >> ran; sleep 0.2', ':::',
             *map(str, range(12))]
    with Tool(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool:
        while not pathlib.Path('log').exists() or len(pathlib.Path('log').read_text().split('\n')) < 5:
            time.sleep(0.01)
        tool.process.send_signal(signal.SIGINT)
        assert tool.process.wait(10) == 130
        tool.expect_nobody()
    done = {row[8] for row in read_log()}
    assert 3 <= len(done) < 12
    pathlib.Path('ran').unlink()
    words.insert(words.index('log') + 1, '--resume')
    assert run(*words).status == 0
    again = pathlib.Path('ran').read_text().split()
    assert len(again) == 12 - len(done)
    assert len({row[8] for row in read_log()}) == 12


@test
def test_the_log_knows_no_more_than_the_reader_got():
    # the reader takes a little and is gone: what was never read is not done
    script = f'"$0" map -k -j2 --joblog log debug.bytes {"20000 " * 40} | head -c 10'
    subprocess.run(['sh', '-c', script, POOL], stdout=subprocess.DEVNULL, timeout=30)
    assert len(read_log()) < 10


if __name__ == '__main__':
    main()
