# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one program of the benchmark bed under a time limit and reads the lines it prints."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time


class Failed(Exception):
    """A program that did not measure what it was asked for, with what it said."""


def build_environment(build_dir):
    """The environment in which the programs of a build find each other."""
    build = pathlib.Path(build_dir).resolve()
    environment = dict(os.environ)
    environment['POOL_BACKEND_PATH'] = ':'.join(str(path) for path in sorted((build / 'backends').glob('*/')))
    environment['POOL_TASK_PATH'] = str(build / 'tasks')
    environment['POOL_WORKER'] = str(build / 'tools' / 'pool-worker')
    # caches and dumps of whoever runs the table are no part of what is measured
    environment.pop('G_MESSAGES_DEBUG', None)
    return environment


def built_backends(build_dir):
    """The names of the backends that a build has."""
    modules = pathlib.Path(build_dir).glob('backends/*/libpool-backend-*.so')
    return {path.stem.removeprefix('libpool-backend-') for path in modules}


def _group_is_gone(group, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def _end_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _describe(status):
    return f'killed by {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'


def run(line, environment, timeout, attempts=1):
    """As run_once(), and once more when it fails and may."""
    for _ in range(attempts - 1):
        try:
            return run_once(line, environment, timeout)
        except Failed:
            pass
    return run_once(line, environment, timeout)


def run_once(line, environment, timeout):
    """Runs a program and returns what it measured: {name: {'value': …, 'unit': …}}."""
    # files, not pipes: a process left behind would keep a pipe open for ever
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment,
                                   start_new_session=True)
        try:
            status = process.wait(timeout)
            problem = _describe(status) if status != 0 else ''
            if not problem and not _group_is_gone(process.pid, 2):
                problem = 'processes are left behind'
        except subprocess.TimeoutExpired:
            problem = f'still running after {timeout:g} s'
        finally:
            _end_group(process.pid)
            process.wait()
        out.seek(0)
        err.seek(0)
        if problem:
            raise Failed('\n'.join([problem, *err.read().strip().splitlines()[-12:]]))
        try:
            lines = [json.loads(text) for text in out if text.strip()]
            return {entry['figure']: entry for entry in lines}
        except (ValueError, KeyError) as error:
            raise Failed(f'its output makes no sense: {error}') from error
