#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples: the command in the first comment of each builds and runs it, and what it prints is right.

    test-examples.py SOURCE-DIR BUILD-DIR COMPILER...
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap
from document import environment

SOURCE = pathlib.Path(sys.argv[1])
BUILD = pathlib.Path(sys.argv[2])
SCRATCH = tempfile.TemporaryDirectory(prefix='pool-examples-')
EXAMPLES = pathlib.Path(SCRATCH.name, 'examples')
ENVIRONMENT = environment(SCRATCH.name, BUILD, [shutil.which(sys.argv[3]) or sys.argv[3], *sys.argv[4:]])
BACKENDS = {path.stem.removeprefix('libpool-backend-')
            for folder in os.environ['POOL_BACKEND_PATH'].split(':') for path in pathlib.Path(folder).glob('libpool-backend-*.so')}


def run(*words, status=0, folder=EXAMPLES):
    """Runs a program, or a command of the shell; what it prints, and what it says to standard error."""
    command = ['bash', '-c', words[0]] if len(words) == 1 else words
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=100, check=False)
    assert done.returncode == status, f'{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}'
    return done.stdout, done.stderr


def first_command(name):
    """The one line in the first comment of an example that begins with a dollar."""
    head = re.split(r'^\s*(?:#include|import|from|class)', (EXAMPLES / name).read_text(encoding='utf-8'), maxsplit=1, flags=re.M)[0]
    commands = re.findall(r'^[ *#/]*\$ (.+)$', head, re.M)
    assert len(commands) == 1, f'{name} has {len(commands)} commands in its first comment'
    return commands[0]


def need(*programs, gir=False, vapi=False):
    for program in programs:
        if shutil.which(program) is None:
            raise tap.Skip(f'there is no {program}')
    if gir and not list(BUILD.glob('libpool/Pool-*.typelib')):
        raise tap.Skip('there are no introspection data')
    if vapi and not list(BUILD.glob('libpool/libpool-*.vapi')):
        raise tap.Skip('there is no Vala binding')


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@tap.test
def checksum_tree_prints_what_sha256sum_does():
    out, _ = run(first_command('checksum-tree.c'))
    names = [line.split('  ', 1)[1] for line in out.splitlines()]
    assert names == sorted(names, key=lambda name: name.split('/')), names
    assert set(names) == {f'./{path.relative_to(EXAMPLES)}' for path in EXAMPLES.rglob('*') if path.is_file()}
    subprocess.run(['sha256sum', '--check', '--strict', '--quiet'], input=out, text=True, cwd=EXAMPLES, check=True, timeout=100)


@tap.test
def checksum_tree_goes_on_after_what_it_cannot_read():
    folder = pathlib.Path(SCRATCH.name, 'odd')
    folder.mkdir()
    (folder / 'a').write_text('one')
    (folder / 'b\n\\').write_text('two')
    (folder / 'c').symlink_to('nowhere')
    out, said = run(EXAMPLES / 'checksum-tree', folder, 'missing', folder / 'a', status=1, folder=SCRATCH.name)
    escaped = str(folder / 'b\n\\').replace('\\', '\\\\').replace('\n', '\\n')
    # a link within a tree is not followed
    assert out.splitlines() == [f'{sha256(folder / "a")}  {folder}/a', f'\\{sha256(folder / (chr(98) + chr(10) + chr(92)))}  {escaped}',
                                f'{sha256(folder / "a")}  {folder}/a'], out
    assert said.splitlines() == ['missing: No such file or directory'], said
    subprocess.run(['sha256sum', '--check', '--strict', '--quiet'], input=out, text=True, check=True, timeout=100)


@tap.test
def checksum_tree_tells_of_a_file_that_cannot_be_read():
    # root cannot, either
    out, said = run(EXAMPLES / 'checksum-tree', '/proc/self/attr/sockcreate', '/proc/self/mem', '/dev/null', status=1)
    assert '/proc/self/mem' in said and '/proc/self/mem' not in out, (out, said)


@tap.test
def grep_files_finds_what_grep_finds():
    command = first_command('grep-files.c')
    out, _ = run(command)
    pattern = re.search(r"-n '([^']+)'", command)[1]
    expected = subprocess.run(['grep', '-rnP', pattern, '.'], cwd=EXAMPLES, text=True, stdout=subprocess.PIPE, check=True,
                              env=dict(os.environ, LC_ALL='C'), timeout=100).stdout

    def text(lines):
        return [line for line in lines.splitlines() if not line.startswith('Binary file')]

    assert len(text(out)) >= 2 and sorted(text(out)) == sorted(text(expected)), out
    files = [line.split(':')[0] for line in text(out)]
    assert files == sorted(files), files


@tap.test
def grep_files_ends_as_grep_does():
    (EXAMPLES / 'latin').write_bytes(b'caf\xe9\nCAFE\nthe end')
    (EXAMPLES / 'binary').write_bytes(b'\0caf\n')
    grep = EXAMPLES / 'grep-files'
    assert run(grep, 'end$', 'latin')[0] == 'the end\n'
    assert run(grep, '-i', '-n', '^cafe', 'latin')[0] == '2:CAFE\n'
    assert run(grep, 'caf', 'binary', 'walk.h')[0] == 'Binary file binary matches\n'
    assert run(grep, 'x' + 'yz', 'latin', status=1) == ('', '')
    out, said = run(grep, 'end$', 'latin', 'missing', status=2)
    assert out == 'latin:the end\n' and said.startswith('missing: '), (out, said)
    out, said = run(grep, 'end$', '/proc/self/mem', 'latin', status=2)
    assert out == 'latin:the end\n' and '/proc/self/mem' in said, (out, said)
    out, said = run(grep, '(', 'latin', status=2)
    assert out == '' and 'missing terminating )' in said, said
    assert 'usage' in run(grep, 'one', status=2)[1]


@tap.test
def parse_untrusted_names_those_that_break_the_parser():
    try:
        out, _ = run(first_command('parse-untrusted.c'))
    except AssertionError as error:
        if 'The sandbox "strict" cannot be enforced' in str(error):
            raise tap.Skip(str(error).splitlines()[-1]) from None
        raise
    assert out == 'greeting: [hello world]\n', out

    names = ['good', 'deep', 'loop', 'laughs', 'undefined', 'latin', 'missing', 'last']
    (EXAMPLES / 'good').write_text('name $a$a\na x\nmain <$name>\n')
    (EXAMPLES / 'deep').write_text('main ' + '[' * 5_000_000 + '\n')
    (EXAMPLES / 'loop').write_text('main =a\na =b\nb =a\n')
    (EXAMPLES / 'laughs').write_text('main $a40\na0 ' + 'ha' * 500_000 + '\n' + ''.join(f'a{n + 1} $a{n}$a{n}\n' for n in range(40)))
    (EXAMPLES / 'undefined').write_text('main $nobody\n')
    (EXAMPLES / 'latin').write_bytes(b'main caf\xe9\n')
    (EXAMPLES / 'last').write_text('main fine\n')
    out, _ = run(EXAMPLES / 'parse-untrusted', *names, status=1)
    assert out.splitlines() == [
        'good: <xx>',
        'deep: crashes the parser',
        'loop: takes longer than 2 s',
        'laughs: takes more than 64 MiB',
        'undefined: cannot be parsed: "nobody" is not defined',
        'latin: cannot be parsed: not UTF-8',
        'missing: cannot be parsed: Failed to open file “missing”: No such file or directory',
        'last: fine',
    ], out


@tap.test
def monte_carlo_on_this_machine_and_on_the_ranks_of_a_job():
    expected = (SOURCE / 'examples/expected/monte-carlo.txt').read_text()
    if 'mpi' not in BACKENDS:
        raise tap.Skip('there is no backend mpi')
    need('mpirun')
    out, _ = run(first_command('monte-carlo.c'))
    assert out.replace('\r', '') == expected * 2, out


STATISTICS = {
    'text-statistics.py': ['/usr/bin/python3', 'text-statistics.py'],
    'text-statistics.js': ['gjs', '-m', 'text-statistics.js'],
    'text-statistics.vala': ['./text-statistics'],
}


@tap.test
def text_statistics_are_the_same_in_three_languages():
    need('gjs', 'valac', gir=True, vapi=True)
    for name in STATISTICS:
        out, _ = run(first_command(name))
        assert out == (SOURCE / 'examples/expected/text-statistics.txt').read_text().replace(
            'failed: no-such-file: No such file or directory\n', ''), out
    (EXAMPLES / 'empty').write_text('')
    # ties, in the order in which the words come; what is not UTF-8
    (EXAMPLES / 'ties').write_text('b a b a c d d c\n')
    (EXAMPLES / 'mixed').write_bytes('Élan ÉLAN naïve'.encode() + b' caf\xe9 CAFE\n')
    for paths in (['empty'], ['ties'], ['mixed', 'ties', 'empty'], ['no-such-file'],
                  ['../README.md', 'no-such-file', 'ties', '../LICENSE', 'queue.c']):
        printed = {name: run(*words, *paths)[0] for name, words in STATISTICS.items()}
        assert len(set(printed.values())) == 1, printed
        assert len(next(iter(printed.values())).splitlines()) == len(paths) + 3, printed


with SCRATCH:
    shutil.copytree(SOURCE / 'examples', EXAMPLES, symlinks=True)
    for name in 'LICENSE', 'README.md':
        shutil.copy(SOURCE / name, SCRATCH.name)
    tap.main()
