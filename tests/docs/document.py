# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what a document shows: writes its programs to files, runs its commands, compares what they print.

In a ```console block a line that begins with `$ ` is a command, the lines after it are what it prints. A ```c block is the
file that a `cc` command in the next ```console block compiles, a ```python block the one that a `python3` command there runs; the
like is so for the other languages.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import tap

# of the file that a command is about
SUFFIXES = {'c++': '.cc', 'cc': '.c', 'gjs': '.js', 'lua5.3': '.lua', 'python3': '.py', 'valac': '.vala'}
FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)


def blocks(text):
    """Pairs of a kind and a text."""
    return FENCE.findall(text)


def environment(tmp, build, compiler=None):
    """The build as if it were installed, with the compiler that built it as `cc`, and this interpreter as `python3`."""
    directory = pathlib.Path(tmp, 'bin')
    directory.mkdir()
    for name, command in ('cc', compiler), ('python3', [sys.executable]):
        if command is not None:
            wrapper = directory / name
            wrapper.write_text('#!/bin/sh\nexec ' + shlex.join(command) + ' "$@"\n')
            wrapper.chmod(0o755)
    vapis = pathlib.Path(tmp, 'share/vala/vapi')
    vapis.mkdir(parents=True)
    for path in *build.glob('libpool/libpool-*.vapi'), *build.glob('meson-private/libpool-*.deps'):
        (vapis / path.name).symlink_to(path)
    return {
        **os.environ,
        'PATH': f'{directory}:{build}/tools:{os.environ["PATH"]}',
        'PKG_CONFIG_PATH': f'{build}/meson-uninstalled',
        'XDG_DATA_DIRS': f'{tmp}/share:{os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share")}',
        'LC_ALL': 'C.UTF-8',
    }


def commands(block):
    """Pairs of a command and the lines that follow it."""
    found = []
    for line in block.splitlines():
        if line.startswith('$ '):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def run_block(program, block, build, compiler=None, links=None):
    """Runs the commands of a console block, in a directory of its own. links: what is there already, by its name."""
    with tempfile.TemporaryDirectory() as tmp:
        env = environment(tmp, build, compiler)
        for name, target in (links or {}).items():
            pathlib.Path(tmp, name).symlink_to(target)
        for command, expected in commands(block):
            words = shlex.split(command)
            suffix = SUFFIXES.get(words[0])
            if suffix is not None:
                name = next(word for word in words if word.endswith(suffix))
                pathlib.Path(tmp, name).write_text(program, encoding='utf-8')
            done = subprocess.run(['bash', '-c', command], cwd=tmp, env=env, text=True, timeout=60, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert done.returncode == 0, f'{command}: status {done.returncode}\n{done.stderr}'
            assert done.stdout.splitlines() == expected, f'{command} printed\n{done.stdout}\n{done.stderr}'


def has_zmq():
    return any(pathlib.Path(folder, 'libpool-backend-zmq.so').exists()
               for folder in os.environ.get('POOL_BACKEND_PATH', '').split(':'))


def add_chapter(path, build, kind, command, is_program, needs_zmq, at_least, compiler=None):
    """Tests for a chapter whose programs are blocks of a kind: each is run by the console block after it, with a command.

    is_program: is a block of the kind a program, or part of one? needs_zmq: a text in programs that need that backend.
    at_least: how many there are. compiler: of programs in C. Returns the blocks.
    """
    found = blocks(pathlib.Path(path).read_text(encoding='utf-8'))

    def add(program, block):
        def example():
            if needs_zmq in program and not has_zmq():
                raise tap.Skip('there is no backend zmq')
            run_block(program, block, build, compiler)
        example.__doc__ = find_run(block) or commands(block)[0][0]
        tap.test(example)

    def find_run(block):
        return next((run for run, _ in commands(block) if run.startswith(command + ' ')), None)

    latest = None
    for this, content in found:
        if this == kind:
            latest = content
        elif this == 'console':
            add(latest, content)

    @tap.test
    def every_program_is_run():
        kinds = [this for this, _ in found]
        assert kinds.count('console') >= at_least
        for position, (this, content) in enumerate(found):
            if this == kind and is_program(content):
                assert kinds[position + 1:position + 2] == ['console'], f'a program that no command runs:\n{content}'
                assert find_run(found[position + 1][1]) is not None, found[position + 1][1]

    return found
