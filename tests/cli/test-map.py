#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool map, backends and tasks: inputs in, results out, and what the exit status says."""

import base64
import os
import pathlib
import subprocess

from clitest import BACKENDS, POOL, each_backend, main, needs, run, test


def make_files():
    files = {
        'empty': b'',
        'small': b'hello\n',
        'with space': b'x' * 5000,
        'back\\slash': b'1',
        'new\nline': b'2',
        'carriage\rreturn': b'3',
        'large': os.urandom(3 * 1024 * 1024 + 17),
    }
    for name, data in files.items():
        pathlib.Path(name).write_bytes(data)
    return list(files)


@each_backend
def test_checksums_are_those_of_coreutils(backend):
    names = make_files()
    for kind in 'md5', 'sha1', 'sha256', 'sha384', 'sha512':
        expected = subprocess.run([f'{kind}sum', *names], stdout=subprocess.PIPE, check=True).stdout
        result = run('map', '-b', backend, '-k', '-j2', f'checksum.{kind}', *names)
        assert result.status == 0, result.messages
        assert result.out == expected, (kind, result.out, expected)


@test
def test_blake2_if_there():
    listing = run('tasks', 'checksum').text
    names = make_files()
    if 'checksum.blake2b' in listing:
        expected = subprocess.run(['b2sum', *names], stdout=subprocess.PIPE, check=True).stdout
        assert run('map', '-k', 'checksum.blake2b', *names).out == expected


@test
def test_checksum_output_can_be_verified():
    names = make_files()
    sums = run('map', 'checksum.sha256', *names).out
    check = subprocess.run(['sha256sum', '--check', '--strict', '--quiet'], input=sums)
    assert check.returncode == 0
    assert len(sums.splitlines()) == len(names)


@each_backend
def test_lines_of_stdin(backend):
    # the last line lacks its end; an empty one is an input too
    result = run('map', '-b', backend, '-k', 'debug.echo', stdin=b'one\n\nthree  \nfour')
    assert result.status == 0
    assert result.out == b'one\n\nthree  \nfour\n'


@test
def test_no_input_at_all():
    result = run('map', 'debug.echo', stdin=b'')
    assert (result.status, result.out, result.err) == (0, b'', b'')


@each_backend
def test_zero_separated_names_of_any_bytes(backend):
    names = [b'plain', b'not\xffutf8', b'both\xfe\nlines']
    for name in names:
        pathlib.Path(os.fsdecode(name)).write_bytes(name)
    result = run('map', '-b', backend, '-0', '-k', 'checksum.sha256', stdin=b'\0'.join(names) + b'\0')
    expected = subprocess.run(['sha256sum', *names], stdout=subprocess.PIPE, check=True).stdout
    assert result.status == 0, result.messages
    assert result.out == expected
    # as arguments they are the same
    assert run('map', '-b', backend, '-k', 'checksum.sha256', *names).out == expected


@test
def test_arg_file():
    pathlib.Path('inputs').write_bytes(b'a\nb\n')
    assert run('map', '-k', '-a', 'inputs', 'debug.echo', stdin=b'no').out == b'a\nb\n'
    assert run('map', '-k', '-a-', 'debug.echo', stdin=b'yes').out == b'yes\n'
    assert run('map', '-a', 'inputs', 'debug.echo', 'c').status == 2
    missing = run('map', '-a', 'missing', 'debug.echo')
    assert missing.status == 2 and 'missing' in missing.messages
    assert run('map', '-a', '.', 'debug.echo').status == 2


@test
def test_long_lines_and_zero_bytes():
    line = b'x' * 1000000
    assert run('map', '-k', 'debug.echo', stdin=line + b'\nshort\n').out == line + b'\nshort\n'
    endless = run('map', 'debug.echo', stdin=b'x' * (17 * 1024 * 1024))
    assert endless.status == 1 and 'longer than' in endless.messages
    zero = run('map', 'debug.echo', stdin=b'a\0b\n')
    assert zero.status == 1 and 'zero byte' in zero.messages


@each_backend
def test_a_missing_file_fails_alone(backend):
    pathlib.Path('there').write_bytes(b'x')
    result = run('map', '-b', backend, 'checksum.sha256', 'there', 'missing', '.')
    assert result.status == 1
    assert len(result.lines) == 1 and result.text.endswith('  there\n')
    assert 'pool: missing: No such file or directory\n' in result.messages
    assert 'pool: .: Is a directory\n' in result.messages
    assert result.messages.splitlines()[-1] == 'pool: 2 of 3 tasks failed'


@test
def test_permission_denied():
    if os.geteuid() == 0:
        # root may read all; /proc has what nobody may
        result = run('map', 'checksum.sha256', '/proc/self/mem')
        assert result.status == 1 and '/proc/self/mem' in result.messages
        return
    pathlib.Path('secret').touch(mode=0o000)
    result = run('map', 'checksum.sha256', 'secret')
    assert result.status == 1 and 'secret: Permission denied' in result.messages


@test
def test_usage_errors():
    for words, part in [
        (['map', 'checksum.sha265', 'x'], 'checksum.sha256'),
        (['map', 'chekcsum.sha256', 'x'], 'chekcsum'),
        (['map', 'nodot', 'x'], 'nodot'),
        (['map', '-b', 'forc', 'debug.echo', 'x'], 'forc'),
        (['map', '-j0', 'debug.echo', 'x'], None),
        (['map', '-j', '-3', 'debug.echo', 'x'], None),
        (['map', '-jx', 'debug.echo', 'x'], '--jobs'),
        (['map', '--start-method', 'magic', 'debug.echo', 'x'], 'forkserver'),
        (['map', '--sandbox', 'magic', 'debug.echo', 'x'], 'strict'),
        (['map', '--halt', 'later', 'debug.echo', 'x'], '--halt'),
        (['map', '--halt', 'now,fail=0', 'debug.echo', 'x'], '--halt'),
        (['map', '--type', '(', 'debug.echo', 'x'], '--type'),
        (['map', '--type', '*', 'debug.echo', 'x'], '--type'),
        (['map', '--chunksize', '-1', 'debug.echo', 'x'], '--chunksize'),
        (['map', '--resume', 'debug.echo', 'x'], '--joblog'),
        (['map', '--no-such-option', 'debug.echo', 'x'], '--no-such-option'),
        (['map'], 'task'),
        (['frobnicate'], 'frobnicate'),
        (['--frobnicate'], 'frobnicate'),
        ([], 'command'),
        (['tasks', 'nomodule'], 'nomodule'),
        (['backends', 'extra'], 'arguments'),
    ]:
        result = run(*words)
        assert result.status == 2, (words, result.status, result.messages)
        assert result.out == b'', (words, result.out)
        assert result.messages.startswith('pool: '), (words, result.messages)
        assert part is None or part in result.messages, (words, result.messages)


@test
def test_help_and_version():
    assert run('--version').text.startswith('pool (libpool) ')
    assert 'pool map' in run('--help').text
    for command in 'backends', 'bench', 'exec', 'map', 'tasks':
        for words in [command, '--help'], ['help', command]:
            result = run(*words)
            assert result.status == 0 and f'pool {command}' in result.text, words
        assert run(command, '--version').text == run('--version').text


@each_backend
def test_keep_order(backend):
    inputs = ['0.4', '0.3', '0.2', '0.1', '0']
    result = run('map', '-b', backend, '-j5', '-k', '--tag', 'debug.sleep', *inputs)
    assert [line.split('\t')[0] for line in result.lines] == inputs
    # and without, they come as they are done
    result = run('map', '-b', backend, '-j5', '--tag', 'debug.sleep', '1.5', '0')
    assert [line.split('\t')[0] for line in result.lines] == ['0', '1.5']


@test
def test_types():
    assert run('map', '-k', '--type=i', 'debug.echo', '1', '0x10').text == '1\n16\n'
    assert run('map', '--type=as', 'debug.echo', "['a', 'b']").text == "['a', 'b']\n"
    # the members of a tuple are arguments
    assert run('map', '--type=(is)', 'debug.echo', "(1, 'x')").text == "(1, 'x')\n"
    assert run('map', '--type=((is))', 'debug.echo', "((1, 'x'),)").text == "(1, 'x')\n"
    assert run('map', '--type=ay', 'debug.echo', 'xy').text == "b'xy'\n"
    bad = run('map', '-k', '--type=i', 'debug.echo', '1', 'two', '3')
    assert bad.status == 1 and bad.text == '1\n3\n' and 'pool: two: ' in bad.messages
    assert run('map', '--type=i', 'debug.echo', '--', '-5').text == '-5\n'


@test
def test_leading_arguments():
    pathlib.Path('f').write_text('one\nTWO\nthree\n')
    result = run('map', 'text.grep', '--arg=^[A-Z]', 'f')
    assert result.text == "[(2, 'TWO')]\n"
    assert run('map', 'debug.echo', '--arg=a', '--arg=b', 'c').text == "('a', 'b', 'c')\n"


@test
def test_text_tasks():
    data = b'one two\n  three\xff\n\nlast'
    pathlib.Path('f').write_bytes(data)
    assert run('map', 'text.count', 'f').text == f'(3, 4, {len(data)})\n'
    assert run('map', 'text.count', '/dev/null').text == '(0, 0, 0)\n'
    # a line that is not UTF-8 is matched by bytes and shown with what is wrong in it replaced
    assert run('map', 'text.grep', '--arg=thr..', 'f').text == "[(2, '  three\N{REPLACEMENT CHARACTER}')]\n"
    assert run('map', 'text.grep', '--arg=st$', 'f').text == "[(4, 'last')]\n"
    assert run('map', '--json', 'text.grep', '--arg=nothing', 'f').objects[0]['result'] == []
    bad = run('map', 'text.grep', '--arg=(', 'f')
    assert bad.status == 1 and bad.messages.count('\n') == 2
    # lines that cross the blocks that a file is read in
    lines = [f'line {i} ' + 'x' * (i % 97) for i in range(20000)]
    pathlib.Path('g').write_text('\n'.join(lines))
    found = run('map', '--json', 'text.grep', '--arg=line 1?9999 ', 'g').objects[0]['result']
    assert found == [[10000, lines[9999]], [20000, lines[19999]]]


@each_backend
def test_json(backend):
    result = run('map', '-b', backend, '-k', '--json', 'debug.fail_if', 'a', 'fail now', 'ü"\\')
    assert result.status == 1
    first, second, third = result.objects
    assert first['seq'] == 1 and first['input'] == first['result'] == 'a'
    assert first['attempts'] == 1 and first['worker'] >= 0 and first['run_time'] >= 0
    assert 'error' not in first and 'result' not in second
    message = 'Failed as asked: fail now'
    assert second['error'] == {'domain': 'g-io-error-quark', 'code': 0, 'message': message}
    assert third['result'] == 'ü"\\'


@test
def test_json_of_odd_values():
    objects = run('map', '-k', '--json', '--type=ad', 'debug.echo', '[1.5, inf, nan]').objects
    assert objects[0]['result'] == [1.5, None, None]
    name = b'\xff\n'
    value = run('map', '--json', 'debug.echo', name).objects[0]
    assert base64.b64decode(value['input_base64']) == name
    nested = run('map', '--json', '--type=a{sv}', 'debug.echo', "{'a': <1>, 'b': <[true]>}").objects[0]
    assert nested['result'] == {'a': 1, 'b': [True]}
    for kind, text, expected in [
        ('t', '18446744073709551615', 2.0 ** 64),
        ('t', '9223372036854775807', 2 ** 63 - 1),
        ('x', '-9223372036854775808', -2 ** 63),
        ('ay', 'a', [97, 0]),
        ('mi', 'nothing', None),
        ('mmi', 'just nothing', None),
        ('a{is}', "{1: 'x'}", {'1': 'x'}),
        ('{sd}', "{'x', 0.5}", ['x', 0.5]),
        ('a(sv)', "[('x', <(1, [2.5])>)]", [['x', [1, [2.5]]]]),
        ('as', '[]', []),
        ('g', "'a{sv}'", 'a{sv}'),
        ('y', '255', 255),
        ('b', 'true', True),
    ]:
        result = run('map', '--json', f'--type={kind}', 'debug.echo', '--', text)
        assert result.objects[0]['result'] == expected, (kind, text, result.text, result.messages)


@test
def test_backends_and_tasks():
    plain = run('backends')
    assert plain.status == 0
    objects = run('backends', '--json').objects
    assert [entry['name'] for entry in objects] == [line.split()[0] for line in plain.lines]
    for entry in objects:
        assert entry['available'] == ('description' in entry) == ('error' not in entry)

    tasks = run('tasks', '--json').objects
    names = [entry['name'] for entry in tasks]
    assert names == [line.split()[0] for line in run('tasks').lines]
    for name in 'checksum.sha256', 'debug.echo', 'exec.run', 'text.count':
        assert name in names
    assert {entry['module'] for entry in run('tasks', '--json', 'text', 'exec').objects} == {'text', 'exec'}
    assert all(entry['description'] for entry in tasks)


@test
def test_a_broken_backend_is_listed_with_its_reason():
    os.mkdir('modules')
    pathlib.Path('modules/libpool-backend-broken.so').write_bytes(b'no module')
    path = os.path.abspath('modules') + ':' + os.environ.get('POOL_BACKEND_PATH', '')
    result = run('backends', env={'POOL_BACKEND_PATH': path})
    assert result.status == 0
    assert [line for line in result.lines if line.startswith('broken') and 'unavailable: ' in line]
    used = run('map', '-b', 'broken', 'debug.echo', 'x', env={'POOL_BACKEND_PATH': path})
    assert used.status in (1, 2) and used.messages.startswith('pool: ')


@test
def test_full_disk():
    for words in ['tasks'], ['map', 'debug.echo', 'x']:
        with open('/dev/full', 'wb') as full:
            tool = subprocess.run([POOL, *words], stdout=full, stderr=subprocess.PIPE, timeout=30)
        assert tool.returncode == 1, words
        assert b'No space left on device' in tool.stderr, tool.stderr


@each_backend
def test_chunks_stay_together(backend):
    inputs = [str(i) for i in range(20)]
    result = run('map', '-b', backend, '-k', '-j2', '--chunksize=5', '--json', 'debug.worker', *inputs)
    assert result.status == 0, result.messages
    workers = [entry['result'] for entry in result.objects]
    assert len(workers) == 20
    for start in range(0, 20, 5):
        assert len(set(workers[start:start + 5])) == 1, workers
    # an error in a chunk is that of one item
    result = run('map', '-b', backend, '-k', '-j2', '--chunksize=3', 'debug.fail_if', 'a', 'fail', 'b', 'c')
    assert result.status == 1 and result.text == 'a\nb\nc\n'
    assert '1 of 4 tasks failed' in result.messages


@each_backend
def test_chunks_of_a_pipe_that_pauses(backend):
    script = '(echo a; sleep 0.5; echo b; echo c) | "$0" map -b "$1" -k --chunksize=100 debug.echo'
    result = subprocess.run(['sh', '-c', script, POOL, backend], stdout=subprocess.PIPE, timeout=30)
    assert result.returncode == 0 and result.stdout == b'a\nb\nc\n'


@each_backend
def test_many_inputs(backend):
    inputs = b''.join(b'%d\n' % i for i in range(20000))
    for words in [], ['--chunksize=64']:
        result = run('map', '-b', backend, '-k', *words, 'debug.echo', stdin=inputs)
        assert result.status == 0 and result.out == inputs


@test
def test_a_crash_fails_alone():
    needs('fork')
    crash = run('map', '-b', 'fork', '-j2', '--json', 'debug.crash', '11')
    assert crash.status == 1
    assert crash.objects[0]['error']['domain'] == 'pool-error-quark'
    assert '1 of 1 tasks failed' in crash.messages
    # SIGCHLD does nothing, so that these go well while the one in their middle does not
    mixed = run('map', '-b', 'fork', '-j2', '-k', '--tag', 'debug.crash', '17', '17', '11', '17', '17')
    assert mixed.status == 1
    assert mixed.lines == ['17\t17'] * 4, mixed.lines
    assert mixed.messages.startswith('pool: 11: ') and '1 of 5 tasks failed' in mixed.messages


@test
def test_worker_exit_and_no_value():
    needs('fork')
    assert run('map', '-b', 'fork', 'debug.exit', '7').status == 1
    null = run('map', '-b', 'fork', 'debug.null', 'x')
    assert null.status == 1 and null.messages.startswith('pool: x: ')
    assert run('map', '-b', 'fork', '--json', 'debug.flaky', '1').objects[0]['result'] == 2


@each_backend
def test_debug_tasks(backend):
    assert run('map', '-b', backend, 'debug.allocate', '1000000').text.strip() == '1000000'
    value = run('map', '-b', backend, '--json', 'debug.bytes', '1000').objects[0]['result']
    assert bytes(value) == bytes(i % 251 for i in range(1000))
    raised = run('map', '-b', backend, 'debug.raise', 'what went wrong')
    assert raised.status == 1 and 'what went wrong' in raised.messages
    assert run('map', '-b', backend, 'debug.spin', '0.01').text == '0.01\n'
    for task, bad in ('debug.sleep', 'x'), ('debug.sleep', '-1'), ('debug.exit', '256'), ('debug.crash', '0'):
        wrong = run('map', '-b', backend, task, '--', bad)
        assert wrong.status == 1 and 'Argument 1 must' in wrong.messages, wrong.messages


@test
def test_dry_run():
    result = run('map', '--dry-run', 'checksum.sha256', 'a b', 'c', "d'e")
    assert result.status == 0
    assert result.text == "checksum.sha256 'a b'\nchecksum.sha256 c\nchecksum.sha256 'd'\\''e'\n"


@test
def test_halt():
    for when in 'soon', 'now':
        result = run('map', '-j1', '-k', f'--halt={when},fail=1', 'debug.fail_if', 'a', 'fail', 'b', 'c', 'd')
        assert result.status == 1
        assert result.lines == ['a'], result.lines
    # what was printed before goes out, and what runs is ended
    for backend in BACKENDS:
        result = run('map', '-b', backend, '-j2', '--halt=now,success=2', '--tag', 'debug.sleep',
                     '0', '0.3', '50', '50', '50')
        assert result.status == 0 and [line.split('\t')[0] for line in result.lines] == ['0', '0.3']
    result = run('map', '-j1', '-k', '--halt=soon,success=2', 'debug.echo', 'a', 'b', 'c', 'd')
    assert result.status == 0 and result.lines == ['a', 'b']


@test
def test_retries():
    result = run('map', '--retries=3', '--json', 'debug.raise', 'no')
    assert result.status == 1 and result.objects[0]['attempts'] == 3


@test
def test_start_methods():
    needs('fork')
    for method in 'fork', 'forkserver', 'spawn', 'auto':
        result = run('map', '-b', 'fork', f'--start-method={method}', '-k', 'debug.echo', 'a', 'b')
        assert result.status == 0 and result.text == 'a\nb\n', (method, result.messages)


@test
def test_memory_limit():
    needs('fork')
    assert run('map', '-b', 'fork', 'debug.allocate', '200000000').status == 0
    for limit in '65536', '65536k', '64M':
        result = run('map', '-b', 'fork', '-k', '--memory-limit', limit, 'debug.allocate', '200000000', '1000', '2000')
        assert result.status == 1, result.messages
        assert result.lines == ['1000', '2000'], result.lines
        assert 'memory' in result.messages, result.messages
    assert run('map', '-b', 'fork', '--memory-limit=1G', 'debug.allocate', '200000000').status == 0
    for wrong in '', '0', 'M', '-1', '1.5G', '64MB', '99999999999T', '18446744073709551616':
        result = run('map', f'--memory-limit={wrong}', 'debug.allocate', '1')
        assert result.status == 2 and '--memory-limit' in result.messages, (wrong, result.messages)
    if 'threads' in BACKENDS:
        result = run('map', '-b', 'threads', '--memory-limit=64M', 'debug.allocate', '1')
        assert result.status != 0 and 'memory-limit' in result.messages


if __name__ == '__main__':
    main()
