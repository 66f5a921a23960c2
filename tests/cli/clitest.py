# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the command line tool share: running it, and looking for what it leaves behind.

A script gets the path of the tool, and the source folder, as its arguments. Each test is a function marked
with @test; it fails by raising, has a folder of its own to run in, and a time limit.
"""

import functools
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import tap

POOL = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else 'pool'
SOURCE = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
LIMIT = 60

Skip = tap.Skip
main = tap.main


def _register(function, name):
    """A test has a folder of its own, and a time limit."""
    def run_one():
        with tempfile.TemporaryDirectory(prefix='pool-cli-') as folder:
            os.chdir(folder)
            try:
                tap.within(LIMIT, function)
            finally:
                os.chdir('/')

    run_one.__name__ = name
    run_one.__doc__ = None
    tap.test(run_one)


def test(function):
    _register(function, function.__name__)
    return function


def each_backend(function):
    """The test is run once for each backend that the build has; it is given the backend's name."""
    for backend in BACKENDS:
        _register(functools.partial(function, backend), f'{function.__name__} on {backend}')
    return function


class Result:
    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    @property
    def text(self):
        return self.out.decode()

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def messages(self):
        return self.err.decode(errors='replace')

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]


class Tool:
    """A running tool, marked so that all that comes from it can be found, whoever its parent is now."""

    def __init__(self, *words, **keywords):
        self.mark = f'POOL_CLI_TEST={uuid.uuid4()}'
        name, value = self.mark.split('=')
        environment = dict(os.environ, **{name: value}, **keywords.pop('env', {}))
        self.process = subprocess.Popen([POOL, *words], env=environment, **keywords)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def family(self):
        """The processes that come from the tool and live; a zombie does not."""
        found = []
        for folder in pathlib.Path('/proc').glob('[0-9]*'):
            try:
                if self.mark.encode() not in (folder / 'environ').read_bytes():
                    continue
                if (folder / 'stat').read_text().rsplit(')', 1)[1].split()[0] not in 'ZX':
                    found.append(int(folder.name))
            except OSError:
                pass
        return found

    def expect_nobody(self, seconds=2):
        """Nothing is left, or what is left is just going."""
        deadline = time.monotonic() + seconds
        while self.family():
            if time.monotonic() > deadline:
                left = [pathlib.Path(f'/proc/{pid}/cmdline').read_bytes() for pid in self.family()]
                raise AssertionError(f'still there: {left}')
            time.sleep(0.02)

    def memory(self):
        """The memory of the whole family, in KiB; what they share counts once."""
        total = 0
        for pid in self.family():
            try:
                for line in pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
                    if line.startswith('Pss:'):
                        total += int(line.split()[1])
            except OSError:
                pass
        return total

    def wait_for(self, what, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f'waited in vain for {what}'
            assert self.process.poll() is None, f'the tool ended early: {self.process.returncode}'
            time.sleep(0.02)

    def wait_until_it_runs(self):
        """Waits until it has started its pool: from then on it catches signals."""
        def catches():
            for line in pathlib.Path(f'/proc/{self.process.pid}/status').read_text().splitlines():
                if line.startswith('SigCgt:'):
                    return int(line.split()[1], 16) & (1 << (signal.SIGTERM - 1))
        self.wait_for('its signal handlers', catches)

    def wait_for_commands(self, name, count):
        """Waits until so many processes run this program."""
        def found():
            number = 0
            for pid in self.family():
                try:
                    number += pathlib.Path(f'/proc/{pid}/comm').read_text().strip() == name
                except OSError:
                    pass
            return number >= count
        self.wait_for(f'{count} times {name}', found)


def run(*words, stdin=b'', env=None, seconds=40):
    """Runs the tool to its end, and sees that it leaves nothing behind."""
    with Tool(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
              env=env or {}) as tool:
        out, err = tool.process.communicate(stdin, timeout=seconds)
        tool.expect_nobody()
        return Result(tool.process.returncode, out, err)


class Terminal:
    """A terminal to run the tool on; what comes out of it is collected."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.seen = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.master)
        self.close_slave()

    def close_slave(self):
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def make_controlling(self):
        """In the child: what is typed is for this session, ^C too."""
        import fcntl
        import termios
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def read(self, seconds):
        """Collects what comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        return self.seen

    def type(self, data):
        os.write(self.master, data)


def _find_backends():
    if len(sys.argv) < 2:
        return []
    listing = subprocess.run([POOL, 'backends', '--json'], stdout=subprocess.PIPE, timeout=LIMIT).stdout
    known = [json.loads(line) for line in listing.decode().splitlines()]
    # the others run elsewhere, and are tested where they live
    return [entry['name'] for entry in known if entry['available'] and entry['name'] in ('fork', 'threads')]


BACKENDS = _find_backends()


def needs(backend):
    """The test is about worker processes."""
    if backend not in BACKENDS:
        raise Skip(f'there is no backend {backend}')
