#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Streams without end: memory stays flat, and a reader who has enough ends the run quietly."""

import os
import subprocess
import time

from clitest import Tool, each_backend, main, test


@each_backend
def test_head_ends_it_quietly(backend):
    for words in ['map', '-b', backend, 'debug.echo'], ['exec', '-b', backend, 'echo']:
        inputs = subprocess.Popen(['yes'], stdout=subprocess.PIPE)
        with Tool(*words, stdin=inputs.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
            inputs.stdout.close()
            head = subprocess.run(['head', '-1'], stdin=tool.process.stdout, stdout=subprocess.PIPE)
            tool.process.stdout.close()
            assert head.stdout == b'y\n'
            assert tool.process.wait(10) == 141
            assert tool.process.stderr.read() == b''
            tool.expect_nobody()
        assert inputs.wait(10) != 0


# what the address sanitizer keeps of freed memory, and of where it was allocated, is no growth of ours
SMALL_SANITIZER = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '')
                   + ':quarantine_size_mb=1:thread_local_quarantine_size_kb=16:malloc_context_size=1'}


def watch_memory(words, inputs, kib):
    with Tool(*words, stdin=inputs.stdout, stdout=subprocess.DEVNULL, env=SMALL_SANITIZER) as tool:
        time.sleep(1.5)
        early = tool.memory()
        time.sleep(2)
        late = tool.memory()
        assert tool.process.poll() is None
        assert late < early + kib, (early, late)


@each_backend
def test_endless_input_takes_no_memory(backend):
    for extra in [], ['-k'], ['--chunksize=16'], ['--json']:
        inputs = subprocess.Popen(['yes', 'abcdefgh' * 8], stdout=subprocess.PIPE)
        try:
            watch_memory(['map', '-b', backend, *extra, 'debug.echo'], inputs, 4096)
        finally:
            inputs.kill()
            inputs.wait()
            inputs.stdout.close()


@each_backend
def test_a_slow_task_at_the_head_stops_the_input(backend):
    """With --keep-order the results behind it wait: so must the input."""
    with Tool('map', '-b', backend, '-j2', '-k', 'debug.sleep', stdin=subprocess.PIPE,
              stdout=subprocess.DEVNULL) as tool:
        pipe = tool.process.stdin.fileno()
        os.write(pipe, b'100\n')
        os.set_blocking(pipe, False)
        taken = 0
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            try:
                taken += os.write(pipe, b'0\n' * 2048) // 2
            except BlockingIOError:
                time.sleep(0.01)
        # what a pipe, a read buffer and the window hold; not the hundred thousands that could have been run
        assert taken < 110000, taken


@each_backend
def test_large_results_do_not_pile_up(backend):
    """Workers are faster than a result of 4 MB is printed."""
    inputs = subprocess.Popen(['yes', '4000000'], stdout=subprocess.PIPE)
    try:
        with Tool('map', '-b', backend, '-j2', 'debug.bytes', stdin=inputs.stdout,
                  stdout=subprocess.DEVNULL, env=SMALL_SANITIZER) as tool:
            largest = 0
            for _ in range(30):
                time.sleep(0.1)
                largest = max(largest, tool.memory())
            # 16 results, some of them twice, and the text of one or two
            assert 0 < largest < 300 * 1024, largest
    finally:
        inputs.kill()
        inputs.wait()
        inputs.stdout.close()


@each_backend
def test_a_reader_that_pauses_stops_the_input(backend):
    line = 'x' * 1000
    inputs = subprocess.Popen(['yes', line], stdout=subprocess.PIPE)
    try:
        with Tool('map', '-b', backend, 'debug.echo', stdin=inputs.stdout, stdout=subprocess.PIPE,
                  env=SMALL_SANITIZER) as tool:
            time.sleep(1.5)
            early = tool.memory()
            time.sleep(1.5)
            late = tool.memory()
            assert late < early + 4096, (early, late)
            assert tool.process.stdout.read(len(line) + 1) == line.encode() + b'\n'
    finally:
        inputs.kill()
        inputs.wait()
        inputs.stdout.close()


if __name__ == '__main__':
    main()
