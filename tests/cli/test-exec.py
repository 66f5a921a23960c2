#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool exec: commands built from inputs, their output and their exit status."""

import os
import pathlib
import subprocess
import sys
import time

from clitest import POOL, each_backend, main, needs, run, test


@each_backend
def test_words_are_not_seen_by_a_shell(backend):
    nasty = ['a b', '$(touch hacked)', "'; touch hacked; '", '*', '', '-n', 'ü', '`id`']
    result = run('exec', '-b', backend, '-k', '--', 'printf', '[%s]\\n', '{}', ':::', *nasty)
    assert result.status == 0, result.messages
    assert result.lines == [f'[{text}]' for text in nasty]
    assert not os.path.exists('hacked')


@each_backend
def test_a_shell_gets_quoted_inputs(backend):
    nasty = ['a b', '$(touch hacked)', "'; touch hacked; '", '*', '', 'new\nline', 'ü']
    result = run('exec', '-b', backend, '-k', 'printf "[%s]|" {} | cat', ':::', *nasty)
    assert result.status == 0, result.messages
    assert result.text == ''.join(f'[{text}]|' for text in nasty)
    assert not os.path.exists('hacked')


@test
def test_names_of_any_bytes():
    for words in ['printf', '[%s]'], ['printf "[%s]"']:
        result = run('exec', '-k', *words, ':::', b'not\xffutf8', 'plain')
        assert result.status == 0 and result.out == b'[not\xffutf8][plain]', (words, result.out)


@test
def test_places():
    def expand(place, text):
        return run('exec', '--', 'printf', '%s', place, ':::', text).text

    for place, text, expected in [
        ('{}', 'a/b.c.gz', 'a/b.c.gz'),
        ('{.}', 'a/b.c.gz', 'a/b.c'),
        ('{.}', 'a.b/c', 'a.b/c'),
        ('{.}', 'a/b.', 'a/b.'),
        ('{/}', 'a/b.c.gz', 'b.c.gz'),
        ('{//}', 'a/b.c.gz', 'a'),
        ('{//}', 'b', '.'),
        ('{/.}', 'a/b.c.gz', 'b.c'),
        ('{#}', 'x', '1'),
        ('<{}-{/.}>{', 'a/b.c', '<a/b.c-b>{'),
        ('{x}{}', 'y', '{x}y'),
    ]:
        assert expand(place, text) == expected, (place, text, expand(place, text))
    # without a place the input comes last
    assert run('exec', 'echo', 'say', ':::', 'x').text == 'say x\n'
    assert run('exec', 'echo a; echo', ':::', 'x y').text == 'a\nx y\n'
    assert run('exec', '-k', 'echo', '{#}', ':::', 'x', 'y').text == '1\n2\n'


@test
def test_where_inputs_come_from():
    pathlib.Path('list').write_text('a\nb c\n')
    assert run('exec', '-k', 'echo', stdin=b'a\nb c\n').text == 'a\nb c\n'
    assert run('exec', '-k', '-0', 'echo', stdin=b'a\0b c\0').text == 'a\nb c\n'
    assert run('exec', '-k', '-a', 'list', 'echo').text == 'a\nb c\n'
    assert run('exec', '-k', 'echo', '::::', 'list').text == 'a\nb c\n'
    assert run('exec', 'echo', ':::').text == ''
    assert run('exec', '-k', 'echo', '--', ':::', '-j5', '--help').text == '-- -j5\n-- --help\n'
    for words in [], ['--'], [':::', 'a'], ['echo', ':::', 'a', ':::', 'b'], ['echo', '::::'], \
            ['echo', '::::', 'list', 'more'], ['-a', 'list', 'echo', ':::', 'a']:
        result = run('exec', *words)
        assert result.status == 2, (words, result.status, result.messages)


@each_backend
def test_streams_and_status(backend):
    result = run('exec', '-b', backend, 'echo out {}; echo err {} >&2; exit 3', ':::', 'x')
    assert result.status == 1
    assert result.out == b'out x\n'
    lines = result.messages.splitlines()
    assert lines[0] == 'err x'
    assert lines[1] == 'pool: x: Exit status 3: echo out x; echo err x >&2; exit 3'
    assert lines[2:] == ['pool: 1 of 1 tasks failed']


@test
def test_signals_and_missing_commands():
    killed = run('exec', '--json', 'kill -9 $$ # {}', ':::', 'x')
    assert killed.status == 1 and killed.objects[0]['exit_code'] == 137
    missing = run('exec', '--', 'no-such-command-here', ':::', 'x')
    assert missing.status == 1 and 'no-such-command-here' in missing.messages
    assert run('exec', '-k', '--', 'test', '{}', '=', 'b', ':::', 'a', 'b', 'c').status == 1
    assert run('exec', '--', 'true', ':::', 'a', 'b', 'c').status == 0


@each_backend
def test_output_is_grouped(backend):
    script = 'for i in 1 2 3 4 5; do echo {} $i; sleep 0.05; done'
    result = run('exec', '-b', backend, '-j4', script, ':::', 'a', 'b', 'c', 'd')
    lines = result.lines
    assert len(lines) == 20
    for start in range(0, 20, 5):
        name = lines[start].split()[0]
        assert lines[start:start + 5] == [f'{name} {i}' for i in range(1, 6)], lines


@test
def test_large_output():
    result = run('exec', '-k', 'head -c 3000000 /dev/zero; printf {}; head -c 3000000 /dev/zero >&2',
                 ':::', 'a', 'b')
    assert result.status == 0
    assert result.out == b'\0' * 3000000 + b'a' + b'\0' * 3000000 + b'b'
    assert result.err == b'\0' * 6000000


@test
def test_binary_and_json():
    first, second = run('exec', '-k', '--json', 'printf', '{}', ':::', 'a\\n', '\\377').objects
    assert first['stdout'] == 'a\n' and first['exit_code'] == 0 and first['command'] == "printf 'a\\n'"
    assert second['stdout_base64'] == '/w=='


@test
def test_tag():
    result = run('exec', '-k', '--tag', 'echo 1; printf 2; echo 3 >&2 # {}', ':::', 'x')
    assert result.text == 'x\t1\nx\t2'
    assert result.messages == 'x\t3\n'


@test
def test_dry_run():
    result = run('exec', '--dry-run', '--', 'gzip', '-k', '{}', ':::', 'a b', 'c')
    assert result.status == 0 and result.text == "gzip -k 'a b'\ngzip -k c\n"
    result = run('exec', '--dry-run', 'gzip -c {} > {/}.gz', ':::', 'd/a b')
    assert result.text == "gzip -c 'd/a b' > 'a b'.gz\n"


@each_backend
def test_jobs_run_at_the_same_time(backend):
    script = 'touch {}; while test $(ls | wc -l) -lt 3; do sleep 0.01; done'
    result = run('exec', '-b', backend, '-j3', script, ':::', 'a', 'b', 'c')
    assert result.status == 0


@test
def test_one_job_at_a_time():
    script = 'mkdir lock || exit 9; sleep 0.05; rmdir lock'
    assert run('exec', '-j1', script + ' # {}', ':::', 'a', 'b', 'c', 'd').status == 0


@each_backend
def test_what_a_command_leaves_behind_is_not_waited_for(backend):
    # what is left behind outlives the tool, so this is not for run(), which wants nothing left
    start = time.monotonic()
    result = subprocess.run([POOL, 'exec', '-b', backend, 'sleep 10 & echo done # {}', ':::', 'x'],
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=20)
    assert result.stdout == b'done\n'
    assert time.monotonic() - start < 9


@test
def test_commands_have_default_signals_and_no_input():
    # a shell that starts with SIGPIPE ignored cannot be killed by it
    assert run('exec', 'yes | head -1 # {}', ':::', 'x').text == 'y\n'
    status = run('exec', '--', 'grep', '{}', '/proc/self/status', ':::', 'SigIgn', 'SigBlk').text
    for line in status.splitlines():
        bits = int(line.split()[1], 16)
        for number in 1, 2, 3, 10, 12, 13, 15, 17:
            assert not bits & (1 << (number - 1)), line
    assert run('exec', 'cat; echo {}', ':::', 'x', stdin=b'not for the command').text == 'x\n'


def call(task, text):
    """A task of the module, with arguments as GVariant text."""
    return run('map', '--json', task, '--type=' + ('(sa{sv})' if task == 'exec.shell' else '(asa{sv})'), text)


@test
def test_options_of_the_tasks():
    def output(task, text):
        status, out, err = call(task, text).objects[0]['result']
        return status, bytes(out), bytes(err)

    assert output('exec.run', "(['cat'], {'stdin': <@ay b'some input'>})") == (0, b'some input\0', b'')
    assert output('exec.run', "(['true'], {'stdin': <@ay b'not read'>})") == (0, b'', b'')
    assert output('exec.run', "(['pwd'], {'cwd': <'/usr/bin'>})") == (0, b'/usr/bin\n', b'')
    assert output('exec.run', "(['pwd'], {'cwd': <@ay b'/usr/bin'>})") == (0, b'/usr/bin\n', b'')
    assert output('exec.run', "(['printenv', 'A', 'HOME'], {'env': <{'A': 'b c', 'HOME': '/x'}>})") \
        == (0, b'b c\n/x\n', b'')
    assert output('exec.shell', "('cat; echo $A >&2; exit 7', {'env': <{'A': 'x'}>, 'stdin': <@ay b'y'>})") \
        == (7, b'y\0', b'x\n')
    for text, part in [
        ("(@as [], @a{sv} {})", 'empty'),
        ("(['true'], {'stdin': <1>})", 'stdin'),
        ("(['true'], {'cwd': <1>})", 'cwd'),
        ("(['true'], {'env': <{'A=B': 'c'}>})", 'env'),
        ("(['true'], {'nonsense': <1>})", 'nonsense'),
        ("(['true'], {'cwd': <'/no/such/folder'>})", '/no/such/folder'),
    ]:
        wrong = call('exec.run', text)
        assert wrong.status == 1 and part in wrong.messages, (text, wrong.messages)
    assert 'Argument 1 is missing' in run('map', '--type=()', 'exec.run', '()').messages
    assert '“as” or “aay”' in run('map', 'exec.run', 'text').messages


@test
def test_no_descriptor_reaches_a_command():
    result = run('exec', 'ls /proc/self/fd # {}', ':::', 'x')
    # 3 is the folder that ls lists
    assert set(result.lines) <= {'0', '1', '2', '3'}, result.lines


@test
def test_memory_limit():
    needs('fork')
    for size, status in ('500 << 20', 1), ('5 << 20', 0):
        result = run('exec', '-b', 'fork', '--memory-limit=200M', '--', sys.executable, '-c', f'len(bytearray({size})) # {{}}',
                     ':::', 'x')
        assert result.status == status, result.messages
        assert ('MemoryError' in result.messages) == (status == 1)


if __name__ == '__main__':
    main()
