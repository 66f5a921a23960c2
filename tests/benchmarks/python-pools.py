#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Python's pools of libpool beside those of multiprocessing and billiard, turn by turn, in one table.

Each figure of each pool is measured in a process of its own; in every second round the pools come in the other order.
Ratios are of medians, to multiprocessing. The exit status is 1 if something failed, and with --strict 3 if a bar is missed.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

import runner

PEERS = ('libpool', 'multiprocessing', 'billiard')
TIMEOUT = 120

#: What is wanted of libpool: 'x' of multiprocessing's median, an absolute value, or both. '+': more is better.
BARS = {
    'map-chunk1': ('+', 3, 130e3),
    'map-list': ('+', 1, None),
    'map-range': ('+', 1, None),
    'imap-unordered': ('+', 2, None),
    'apply.p50': ('-', 1 / 5, 25),
    'payload-1m-bytes': ('+', 10, None),
    'payload-64m-array': ('+', 20, None),
    'map-arrays-sum': ('+', 5, None),
    'map-arrays-back': ('+', 5, None),
    'threads-chunk1': ('+', 1, None),
    'start-16': ('-', 1 / 2, None),
    'pss-2': ('-', 1, None),
    'pss-16': ('-', 1, None),
    'kill-idle': ('+', None, 20),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5, help='how often (default: %(default)s)')
    parser.add_argument('--only', metavar='REGEX', help='figures whose name matches')
    parser.add_argument('--peers', default=','.join(PEERS), help='which pools (default: %(default)s)')
    parser.add_argument('--quick', action='store_true', help='one round of small numbers: a first impression')
    parser.add_argument('--json', metavar='FILE', help='write the samples there, too')
    parser.add_argument('--strict', action='store_true', help='exit status 3 if a bar is not met')
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def run(*arguments):
    """What a run of the other program has measured, by figure; nothing that it started is left."""
    program = pathlib.Path(__file__).with_name('peer-pools.py')
    return runner.run_once([sys.executable, str(program), *arguments], dict(os.environ), TIMEOUT)


def list_figures():
    """The figures of each peer that can be measured here."""
    program = pathlib.Path(__file__).with_name('peer-pools.py')
    return json.loads(subprocess.check_output([sys.executable, str(program), '--list'], timeout=TIMEOUT))


def measure(options, samples, failures):
    """Fills in samples[figure][peer]: (values, unit)."""
    available = list_figures()
    peers = [peer for peer in options.peers.split(',') if peer in available]
    figures = [figure for figure in available['libpool'] if not options.only or re.search(options.only, figure)]
    share = ['--share', '0.02'] if options.quick else []
    for number in range(options.rounds):
        for figure in figures:
            turns = [peer for peer in peers if figure in available[peer]]
            for peer in reversed(turns) if number % 2 else turns:
                print(f'round {number + 1}/{options.rounds}: {figure} of {peer}', file=sys.stderr)
                try:
                    measured = run(peer, figure, *share)
                except runner.Failed as error:
                    failures.append(f'{figure} of {peer}: {error}')
                    continue
                for name, entry in measured.items():
                    values = samples.setdefault(name, {}).setdefault(peer, ([], entry['unit']))[0]
                    values.append(entry['value'])


def number(value):
    for factor, letter in ((1e6, 'M'), (1e4, 'k')):
        if abs(value) >= factor:
            return f'{value / (1e3 if letter == "k" else factor):.3g}{letter}'
    return f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}'


def spread(measured):
    if measured is None:
        return '-'
    values, _ = measured
    return f'{number(statistics.median(values))} [{number(min(values))}..{number(max(values))}]'


def judge(figure, ours, ratio):
    """Returns the bar in words and whether it is met; None where there is none."""
    if figure not in BARS or ours is None:
        return '-', None
    way, times, value = BARS[figure]
    words, met = [], True
    for bar, got, unit in (times, ratio, ' x'), (value, ours, ''):
        if bar is None:
            continue
        words.append(('>= ' if way == '+' else '<= ') + f'{bar:.3g}' * (bar < 1000) + number(bar) * (bar >= 1000) + unit)
        met = met and got is not None and (got >= bar if way == '+' else got <= bar)
    return ' and '.join(words), met


def table(samples):
    rows = [['figure', 'unit', 'libpool', 'multiprocessing', 'billiard', 'ratio', 'bar', 'met?']]
    verdicts = []
    for figure, by_peer in samples.items():
        medians = {peer: statistics.median(values) for peer, (values, _) in by_peer.items()}
        ours, theirs = medians.get('libpool'), medians.get('multiprocessing')
        ratio = ours / theirs if ours is not None and theirs else None
        bar, met = judge(figure, ours, ratio)
        if met is not None:
            verdicts.append(met)
        rows.append([figure, next(iter(by_peer.values()))[1], *(spread(by_peer.get(peer)) for peer in PEERS),
                     '-' if ratio is None else f'{ratio:.3g}', bar, {None: '-', True: 'yes', False: 'NO'}[met]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ['-' * width for width in widths])
    for row in rows:
        print(' | '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return verdicts


def main():
    options = parse_arguments()
    samples, failures = {}, []
    before = os.getloadavg()[0]
    measure(options, samples, failures)
    print(f'{len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}, Python {platform.python_version()}, load '
          f'{before:.2f} before, {os.getloadavg()[0]:.2f} after; {options.rounds} rounds\n')
    verdicts = table(samples)
    for failure in failures:
        print('\nFAILED ' + failure)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(samples, indent=2) + '\n')
    print(f'\n{sum(verdicts)} of {len(verdicts)} bars met, {len(failures)} failures')
    if failures:
        return 1
    return 3 if options.strict and not all(verdicts) else 0


if __name__ == '__main__':
    sys.exit(main())
