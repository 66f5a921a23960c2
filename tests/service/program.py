# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program with a pool of its own, which does what it is told, line by line, and prints what comes of it."""

import subprocess
import sys

from servicetest import wait_for

PROGRAM = r'''
import sys
import gi
gi.require_version('Pool', '1')
from gi.repository import GLib, Pool
jobs = []

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except GLib.Error as error:
        return f'{error.domain}:{error.code}: {error.message}'

def ends():
    """How many tasks ended well; and how those did that did not."""
    failures = []
    for job in jobs:
        failure = attempt(job.get, 60)
        if isinstance(failure, str):
            failures.append(failure)
    n, jobs[:] = len(jobs) - len(failures), []
    return n, failures

def submit(n, seconds):
    for _ in range(n):
        jobs.append(pool.apply_async('debug.sleep', GLib.Variant('(d)', (seconds,)), None, None, None))

loop = GLib.MainContext.default()

print('ready', flush=True)
for line in sys.stdin:
    print(repr(eval(line, globals())) if not line.startswith(('pool =', 'import ')) else exec(line, globals()), flush=True)
'''


class Program:
    """It runs while the context lasts; program(text) has it evaluate that."""

    def __init__(self, backend, environment, **properties):
        self.backend = backend
        self.environment = environment
        self.properties = properties

    def __enter__(self):
        # as in C, without the overrides
        environment = {name: value for name, value in self.environment.items() if name != 'PYTHONPATH'}
        self.process = subprocess.Popen([sys.executable, '-c', PROGRAM], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.process.stdout.readline() == 'ready\n'
        self(f"pool = Pool.Manager.new({self.backend!r})", 'None')
        for name, value in self.properties.items():
            self(f'pool.set_property({name!r}, {value!r})', 'None')
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def begin(self, text):
        self.process.stdin.write(text + '\n')

    def end(self):
        return self.process.stdout.readline().strip()

    def __call__(self, text, expected=None):
        self.begin(text)
        answer = self.end()
        assert expected in (None, answer), (text, answer)
        return answer

    def wait_for(self, text, expected):
        wait_for(f'{text} to be {expected}', lambda: self(text) == expected)
