#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files that tell of a run: --trace and --metrics."""

import pathlib

from clitest import each_backend, main, needs, run, test

import traces


@each_backend
def test_a_map(backend):
    inputs = [str(i) for i in range(50)]
    result = run('map', '-b', backend, '-j2', '--trace=trace.json', '--metrics', 'metrics.txt', 'debug.echo', *inputs)
    assert result.status == 0 and sorted(result.lines) == sorted(inputs), result.messages
    ran = traces.runs(traces.read('trace.json'))
    assert sum(event['args']['items'] for event in ran) == 50
    samples = traces.parse_metrics(pathlib.Path('metrics.txt').read_text())
    assert samples['libpool_tasks_submitted_total',] == samples['libpool_tasks_done_total',] == 50
    assert traces.check_histogram(samples, 'libpool_run_time_seconds')[0] == len(ran)


@test
def test_commands_that_fail():
    needs('fork')
    result = run('exec', '-j2', '--trace=trace.json', '--metrics=metrics.txt', '--', 'false', ':::', '1', '2', '3')
    assert result.status == 1
    assert len(traces.runs(traces.read('trace.json'))) == 3
    samples = traces.parse_metrics(pathlib.Path('metrics.txt').read_text())
    assert samples['libpool_tasks_submitted_total',] == 3
    assert samples['libpool_workers_alive',] == 0


@test
def test_names_that_cannot_be_written():
    for option in '--trace', '--metrics':
        result = run('map', f'{option}=no/such/file', 'debug.echo', '1')
        assert result.status == 2 and not result.lines, (option, result.status)
        assert 'no/such/file' in result.messages and 'No such file' in result.messages, result.messages


@test
def test_a_full_disk():
    """The tasks are done, and their results printed, all the same."""
    for option in '--trace', '--metrics':
        result = run('map', f'{option}=/dev/full', 'debug.echo', '1')
        assert result.lines == ['1'] and result.status == 1, (option, result.status)
        assert '/dev/full' in result.messages and 'No space left' in result.messages, result.messages


@test
def test_a_dry_run_writes_nothing():
    assert run('map', '--dry-run', '--trace=trace.json', '--metrics=metrics.txt', 'debug.echo', '1').status == 0
    assert not pathlib.Path('trace.json').exists() and not pathlib.Path('metrics.txt').exists()


main()
