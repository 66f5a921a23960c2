#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures every figure turn by turn with its peer and prints one table.

A figure and its peer run one after the other in each round, in the other order in every second round, so that
a disturbance of the machine hits both. A figure that fails is shown as FAILED, the rest goes on, and the exit
status is 1. A bar that is not met does not change the exit status unless --strict is given (then 3).
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import sys

import figures
import runner

# a program may need many times the time that it measures: to start a thousand workers, to sort its samples
TIMEOUT = 120
QUICK = {'rounds': 1, 'seconds': 0.1}
USUAL = {'rounds': 5, 'seconds': 1.0}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build-dir', default='build', help='where libpool was built (default: %(default)s)')
    parser.add_argument('--rounds', type=int, help=f'how often (default: {USUAL["rounds"]})')
    parser.add_argument('--seconds', type=float, help=f'of each measurement (default: {USUAL["seconds"]:g})')
    parser.add_argument('--only', metavar='REGEX', help='rows whose "BACKEND FIGURE" matches')
    parser.add_argument('--quick', action='store_true', help='one short round: a first impression')
    parser.add_argument('--json', metavar='FILE', help='write the samples there, too')
    parser.add_argument('--strict', action='store_true', help='exit status 3 if a bar is not met')
    options = parser.parse_args()

    preset = QUICK if options.quick else USUAL
    options.rounds = options.rounds or preset['rounds']
    options.seconds = options.seconds or preset['seconds']
    if options.rounds < 1 or options.seconds <= 0:
        parser.error('--rounds and --seconds have to be positive')
    return options


class Series:
    """What one program measured, round by round."""

    def __init__(self):
        self.lines = []
        self.failures = []

    def add(self, command, options, environment):
        line = command.line(options.bench_dir, ('--seconds', f'{options.seconds:g}'))
        try:
            measured = runner.run(line, environment, TIMEOUT + 10 * options.seconds,
                                  command.attempts)
            if command.figure not in measured:
                raise runner.Failed('it did not print its figure')
            self.lines.append(measured)
        except runner.Failed as failure:
            self.failures.append(f'{command}: {failure}')
        except OSError as error:
            self.failures.append(f'{command}: {error}')

    def values(self, name):
        return [measured[name]['value'] for measured in self.lines if name in measured]

    def unit(self, name):
        return next((measured[name]['unit'] for measured in self.lines if name in measured), '')

    def names(self):
        return list(self.lines[0]) if self.lines else []


class Row:
    """A figure with all that was measured for it."""

    def __init__(self, figure, series, peer_series):
        self.figure = figure
        self.failures = series.failures + (peer_series.failures if peer_series else [])
        self.values = series.values(figure.wanted)
        self.unit = series.unit(figure.wanted)
        self.peer_values = peer_series.values(figure.peer.figure) if peer_series else []
        self.peer_unit = peer_series.unit(figure.peer.figure) if peer_series else ''
        self.beside = {name: statistics.median(series.values(name)) for name in series.names()
                       if name != figure.command.figure and not figure.series}
        self.beside_unit = {name: series.unit(name) for name in self.beside}

    @property
    def failed(self):
        return bool(self.failures) or not self.values

    @property
    def ratio(self):
        """Median by median; None where the two are not of one kind."""
        if not self.values or not self.peer_values or self.unit != self.peer_unit:
            return None
        peer = statistics.median(self.peer_values)
        return statistics.median(self.values) / peer if peer else None

    @property
    def judged(self):
        """What the bar is for."""
        if self.figure.relative:
            return self.ratio
        return statistics.median(self.values) if self.values else None

    def reaches(self, bar):
        if bar is None or self.judged is None:
            return None
        return self.judged >= bar if self.figure.higher else self.judged <= bar

    @property
    def met(self):
        if self.failed:
            return 'FAILED'
        reached = self.reaches(self.figure.bar)
        if reached is None:
            return '-'
        if not reached:
            return 'NO'
        return 'stretch' if self.reaches(self.figure.stretch) else 'yes'

    def to_json(self):
        figure = self.figure
        return {
            'figure': figure.name, 'backend': figure.backend, 'command': str(figure.command),
            'unit': self.unit, 'better': 'higher' if figure.higher else 'lower',
            'values': self.values,
            'median': statistics.median(self.values) if self.values else None,
            'bar': figure.bar, 'stretch': figure.stretch,
            'bar_of': 'ratio' if figure.relative else 'value',
            'met': self.met, 'ratio': self.ratio,
            'peer': str(figure.peer) if figure.peer else None,
            'peer_unit': self.peer_unit, 'peer_values': self.peer_values,
            'beside': self.beside, 'failures': self.failures,
        }


def measure(rows, options, environment):
    """All rounds; progress goes to stderr, where it is in nobody's way."""
    jobs = {key: (Series(), Series() if key[1] else None) for key in figures.commands(rows)}
    for number in range(options.rounds):
        for at, ((command, peer), (series, peer_series)) in enumerate(jobs.items(), 1):
            print(f'round {number + 1}/{options.rounds}, {at}/{len(jobs)}: {command}', file=sys.stderr)
            turns = [(command, series), (peer, peer_series)][:2 if peer else 1]
            for what, where in reversed(turns) if number % 2 else turns:
                where.add(what, options, environment)
    return [Row(figure, *jobs[figure.command, figure.peer]) for figure in rows]


def number(value):
    """Three digits and a factor: 12.3M."""
    for factor, letter in ((1e9, 'G'), (1e6, 'M'), (1e4, 'k')):
        if abs(value) >= factor:
            return f'{value / (1e3 if letter == "k" else factor):.3g}{letter}'
    return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def spread(values, unit):
    if not values:
        return '-'
    low, middle, high = min(values), statistics.median(values), max(values)
    return f'{number(middle)} [{number(low)}..{number(high)}] {unit}'


def bar_text(figure, bar):
    if bar is None:
        return '-'
    sign = '>=' if figure.higher else '<='
    return f'{sign} {number(bar)}{" x peer" if figure.relative else ""}'


def cells(row):
    figure = row.figure
    beside = ', '.join(f'{name.removeprefix(figure.command.figure + ".")} {number(value)} '
                       f'{row.beside_unit[name]}' for name, value in row.beside.items())
    return [
        figure.name, figure.backend,
        'FAILED' if row.failed and not row.values else spread(row.values, row.unit),
        bar_text(figure, figure.bar), bar_text(figure, figure.stretch), row.met,
        f'{spread(row.peer_values, row.peer_unit)} ({figure.peer.figure})' if figure.peer else '-',
        '-' if row.ratio is None else f'{row.ratio:.3g}',
        beside or '-',
    ]


def print_table(rows):
    head = ['figure', 'backend', 'median [min..max]', 'bar', 'stretch', 'met?', 'peer median [min..max]',
            'ratio', 'beside it']
    lines = [head] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ['-' * width for width in widths])
    for line in lines:
        print(' | '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def machine():
    model = re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())
    return {
        'cpus': len(os.sched_getaffinity(0)),
        'model': model.group(1) if model else platform.machine(),
        'kernel': platform.release(),
        'load': os.getloadavg()[0],
    }


def main():
    options = parse_arguments()
    build_dir = pathlib.Path(options.build_dir).resolve()
    options.bench_dir = build_dir / 'tests' / 'benchmarks'
    environment = runner.build_environment(build_dir)
    rows = [figure for figure in figures.available(runner.built_backends(build_dir))
            if not options.only or re.search(options.only, f'{figure.backend} {figure.name}')]
    if not rows:
        print('Nothing is left to measure: is that a build directory, and the expression right?',
              file=sys.stderr)
        # for the test harness: skipped, the backend is not built
        sys.exit(77)

    before = machine()
    results = measure(rows, options, environment)
    print(f'{before["cpus"]} CPUs ({before["model"]}), Linux {before["kernel"]}, '
          f'load {before["load"]:.2f} before, {os.getloadavg()[0]:.2f} after; '
          f'{options.rounds} rounds of {options.seconds:g} s\n')
    print_table(results)

    failures = list(dict.fromkeys(failure for row in results for failure in row.failures))
    for failure in failures:
        print('\nFAILED ' + failure)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({
            'machine': before, 'rounds': options.rounds, 'seconds': options.seconds,
            'rows': [row.to_json() for row in results],
        }, indent=2) + '\n')

    missed = [row for row in results if row.met == 'NO']
    judged = [row for row in results if row.met in ('NO', 'yes', 'stretch')]
    print(f'\n{len(judged) - len(missed)} of {len(judged)} bars met, {len(failures)} failures')
    if any(row.failed for row in results):
        sys.exit(1)
    if options.strict and missed:
        sys.exit(3)


if __name__ == '__main__':
    main()
