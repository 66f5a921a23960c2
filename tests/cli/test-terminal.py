#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Progress, ^C and signals: what a user sees, and what is left afterwards."""

import os
import signal
import subprocess
import time

from clitest import Terminal, Tool, each_backend, main, run, test

SLEEPS = ['0.15'] * 10


@test
def test_progress_shows_on_a_terminal():
    for option in '--progress', '--bar', '--eta':
        with Terminal() as terminal, \
                Tool('map', '-j1', option, 'debug.sleep', *SLEEPS, stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE, stderr=terminal.slave) as tool:
            terminal.close_slave()
            seen = terminal.read(20)
            assert tool.process.wait(20) == 0
            assert b'/10' in seen and b'/s' in seen and b'ETA' in seen and b'#' in seen, seen
            # throttled, on one line, and taken away at the end
            assert seen.count(b'\r\033[K') < 40 and b'\n' not in seen
            assert seen.endswith(b'\r\033[K')
            assert tool.process.stdout.read().count(b'\n') == 10


@test
def test_no_progress_elsewhere():
    result = run('map', '-j2', '--bar', '--progress', '--eta', 'debug.sleep', *SLEEPS)
    assert result.status == 0 and result.err == b'' and b'\033' not in result.out


@test
def test_progress_makes_way_for_results():
    with Terminal() as terminal, \
            Tool('map', '-j1', '--bar', '--tag', 'debug.sleep', *SLEEPS, stdin=subprocess.DEVNULL,
                 stdout=terminal.slave, stderr=terminal.slave) as tool:
        terminal.close_slave()
        seen = terminal.read(20)
        assert tool.process.wait(20) == 0
    for line in seen.split(b'\n')[:-1]:
        assert line.endswith(b'0.15\t0.14999999999999999\r') or line.endswith(b'0.15\t0.15\r'), seen
        assert b'[' not in line or line.rindex(b'\033[K') > line.index(b'['), line


@test
def test_nothing_but_results_when_nobody_asked():
    with Terminal() as terminal, \
            Tool('map', '-j1', 'debug.sleep', *SLEEPS, stdin=subprocess.DEVNULL,
                 stdout=terminal.slave, stderr=terminal.slave) as tool:
        terminal.close_slave()
        seen = terminal.read(20)
        assert tool.process.wait(20) == 0
        assert b'\033' not in seen


def count_messages(seen):
    """The lines that the tool wrote; the terminal itself shows ^C."""
    return len([line for line in seen.replace(b'^C', b'').split(b'\n') if line.strip()])


def interrupt(words, ready=None, seconds=2):
    """^C on a terminal. Returns: how long it took, and what was seen"""
    with Terminal() as terminal, \
            Tool(*words, stdin=terminal.slave, stdout=subprocess.DEVNULL, stderr=terminal.slave,
                 preexec_fn=terminal.make_controlling) as tool:
        terminal.close_slave()
        tool.wait_until_it_runs()
        if ready:
            ready(tool)
        terminal.read(0.3)
        terminal.seen = b''
        start = time.monotonic()
        terminal.type(b'\x03')
        seen = terminal.read(5)
        status = tool.process.wait(10)
        took = time.monotonic() - start
        tool.expect_nobody(max(0.0, seconds - took))
        assert status == 130, status
        assert took < seconds, took
        assert count_messages(seen) <= 1, seen
        return seen


@each_backend
def test_interrupt_while_tasks_sleep(backend):
    seen = interrupt(['map', '-b', backend, '-j4', 'debug.sleep', *['100'] * 50])
    assert b'pool: interrupted' in seen


@each_backend
def test_interrupt_with_progress(backend):
    interrupt(['map', '-b', backend, '-j4', '--bar', 'debug.sleep', *['100'] * 50])


@each_backend
def test_interrupt_while_tasks_do_not_listen(backend):
    interrupt(['map', '-b', backend, '-j2', 'debug.spin', *['100'] * 50])


@each_backend
def test_interrupt_ends_commands(backend):
    interrupt(['exec', '-b', backend, '-j3', 'sleep', ':::', '100', '101', '102', '103'],
              lambda tool: tool.wait_for_commands('sleep', 3))


@each_backend
def test_interrupt_ends_what_commands_started(backend):
    interrupt(['exec', '-b', backend, '-j2', 'sleep {} & sleep {}; true', ':::', '100', '101'],
              lambda tool: tool.wait_for_commands('sleep', 4))


@each_backend
def test_interrupt_while_waiting_for_input(backend):
    interrupt(['map', '-b', backend, 'debug.echo'])


def terminate(number, words, ready=None, **keywords):
    with Tool(*words, stderr=subprocess.PIPE, **keywords) as tool:
        tool.wait_until_it_runs()
        if ready:
            ready(tool)
        time.sleep(0.2)
        start = time.monotonic()
        tool.process.send_signal(number)
        status = tool.process.wait(10)
        took = time.monotonic() - start
        tool.expect_nobody(max(0.0, 2 - took))
        assert status == 128 + number, status
        assert took < 2, took
        messages = tool.process.stderr.read()
        assert messages.count(b'\n') <= 1, messages


@each_backend
def test_sigterm(backend):
    quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL}
    terminate(signal.SIGTERM, ['map', '-b', backend, '-j4', 'debug.sleep', *['100'] * 50], **quiet)
    terminate(signal.SIGTERM, ['map', '-b', backend, '-j2', 'debug.spin', *['100'] * 50], **quiet)
    terminate(signal.SIGTERM,
              ['exec', '-b', backend, '-j2', 'sleep {} & sleep {}; true', ':::', '100', '101'],
              lambda tool: tool.wait_for_commands('sleep', 4), **quiet)


@each_backend
def test_sigterm_at_any_time(backend):
    """Also while it starts: it ends, and nothing is left."""
    for delay in range(0, 60, 4):
        with Tool('map', '-b', backend, '-j4', 'debug.sleep', *['100'] * 20, stdin=subprocess.DEVNULL,
                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool:
            time.sleep(delay / 1000)
            tool.process.send_signal(signal.SIGTERM)
            assert tool.process.wait(10) in (143, -signal.SIGTERM)
            tool.expect_nobody()


@each_backend
def test_sigint_and_sighup_without_a_terminal(backend):
    quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL}
    for number in signal.SIGINT, signal.SIGHUP:
        terminate(number, ['map', '-b', backend, '-j4', 'debug.sleep', *['100'] * 50], **quiet)


@each_backend
def test_sigterm_while_nobody_reads(backend):
    """The output pipe is full: a plain write would hold the program for ever."""
    read_end, write_end = os.pipe()
    inputs = subprocess.Popen(['yes'], stdout=subprocess.PIPE)
    try:
        terminate(signal.SIGTERM, ['map', '-b', backend, 'debug.echo'],
                  stdin=inputs.stdout, stdout=write_end)
    finally:
        inputs.kill()
        inputs.wait()
        inputs.stdout.close()
        os.close(read_end)
        os.close(write_end)


@each_backend
def test_nothing_is_left_when_the_tool_is_killed(backend):
    with Tool('exec', '-b', backend, '-j3', 'sleep', ':::', '100', '101', '102', '103',
              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as tool:
        tool.wait_for_commands('sleep', 3)
        tool.process.kill()
        tool.process.wait()
        tool.expect_nobody()


if __name__ == '__main__':
    main()
