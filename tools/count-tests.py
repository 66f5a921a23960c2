#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the results in the logs of `meson test`, sub-test by sub-test.

A program that speaks TAP or GoogleTest counts once for each of its tests, any other once as a whole. What
ends a program after its last result (a crash, a time limit, a leak found at exit) is one more failure.
A test that fails where it is expected to (TAP's TODO) counts as skipped: it shows nothing about the code.
Below each program that failed are the last lines that it printed.

The last line is `N passed, N failed, N skipped`; the exit status is 0 only if something passed and nothing
failed.
"""

import argparse
import json
import pathlib
import re
import sys

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'
GOOD = {'OK', 'EXPECTEDFAIL', 'SKIP'}
KILLED = {'TIMEOUT', 'INTERRUPT'}

# of what programs that failed print
LINES, PROGRAMS = 12, 8

DIRECTIVE = r'(?:\s*#\s*(SKIP\S*|TODO)\b\s*(.*))?'
TAP_PLAN = re.compile(r'^1\.\.(\d+)' + DIRECTIVE + r'\s*$', re.I)
TAP_TEST = re.compile(r'^(ok|not ok)\b[ \t]*(\d+)?[ \t]*(?:-[ \t]+)?([^#]*)' + DIRECTIVE, re.I)
GTEST_TEST = re.compile(r'^\[ +(OK|FAILED|SKIPPED) +\] (\S+?)(?:, where .*)? \(\d+ ms\)$')


class Program:
    """One test of meson: what it reported, one entry for each sub-test."""

    def __init__(self, entry, protocol):
        self.name = entry['name']
        self.result = entry['result']
        self.returncode = entry.get('returncode', 0)
        self.planned = None
        self.ended_early = ''
        self.stopped = False
        self.subtests = []
        output = (entry.get('stdout') or '').splitlines()

        if protocol in ('tap', None):
            self.read_tap(output)
        if protocol in ('gtest', None) and not self.subtests:
            self.read_gtest(output)
        self.judge()
        self.last_lines = self.find_reason(output)[-LINES:] + (entry.get('stderr') or '').splitlines()[-LINES:]

    def find_reason(self, output):
        """What comes before the last test that failed, or the last lines there are."""
        verdicts = [number for number, line in enumerate(output) if TAP_TEST.match(line)]
        failed = [number for number in verdicts if output[number].startswith('not ok')]
        if not failed:
            return [line for line in output if line.strip()]
        before = max((number for number in verdicts if number < failed[-1]), default=-1)
        return [line for line in output[before + 1:failed[-1] + 1] if line.strip()]

    def add(self, outcome, name, why=''):
        self.subtests.append((outcome, name.strip(), (why or '').strip()))

    def read_tap(self, output):
        for line in output:
            plan, test = TAP_PLAN.match(line), TAP_TEST.match(line)
            if plan:
                self.planned = int(plan[1])
                if self.planned == 0:
                    self.add(SKIPPED, '', plan[3])
            elif test:
                good, directive = test[1].lower() == 'ok', (test[4] or '').upper()
                if directive.startswith('SKIP') and good:
                    outcome = SKIPPED
                elif directive == 'TODO':
                    outcome = FAILED if good else SKIPPED
                else:
                    outcome = PASSED if good else FAILED
                self.add(outcome, test[3] or test[2] or '', test[5])
            elif line.startswith('Bail out!'):
                # GLib stops like this after a test that failed, and says no more
                self.stopped = line == 'Bail out!' and self.subtests and self.subtests[-1][0] == FAILED
                self.ended_early = '' if self.stopped else line

    def read_gtest(self, output):
        for line in output:
            test = GTEST_TEST.match(line)
            if test:
                self.add({'OK': PASSED, 'FAILED': FAILED, 'SKIPPED': SKIPPED}[test[1]], test[2])

    def count(self, outcome):
        return sum(1 for subtest in self.subtests if subtest[0] == outcome)

    def judge(self):
        """Makes what the lines do not say count too."""
        if not self.subtests:
            if self.result == 'SKIP':
                self.add(SKIPPED, '')
            else:
                self.add(PASSED if self.result in GOOD else FAILED, '', self.how_it_ended())
            return
        killed = self.result in KILLED or self.returncode < 0 or self.returncode >= 128
        short = bool(self.planned) and len(self.subtests) < self.planned and not self.stopped
        unexplained = self.result not in GOOD and not self.count(FAILED)
        if killed or short or self.ended_early or unexplained:
            self.add(FAILED, 'after ' + self.subtests[-1][1], self.ended_early or self.how_it_ended())

    def how_it_ended(self):
        if self.result in GOOD:
            return ''
        if self.returncode < 0:
            return f'{self.result}, signal {-self.returncode}'
        return f'{self.result}, status {self.returncode}'


def protocols(log):
    """Reads which test speaks what from meson's introspection data beside the log; a name may occur twice."""
    found = {}
    try:
        tests = json.loads((log.parent.parent / 'meson-info' / 'intro-tests.json').read_text())
    except (OSError, ValueError):
        return found
    for test in tests:
        found.setdefault(test['name'], set()).add(test.get('protocol'))
    return found


def read_log(path):
    known = protocols(path)
    with path.open(encoding='utf-8', errors='replace') as lines:
        for line in lines:
            if not line.strip():
                continue
            entry = json.loads(line)
            spoken = known.get(entry['name'].split(' / ', 1)[-1], set())
            yield Program(entry, next(iter(spoken)) if len(spoken) == 1 else None)


def report(programs, outcome):
    for program in programs:
        for kind, name, why in program.subtests:
            if kind == outcome:
                print(outcome + ': ' + program.name + (f': {name}' if name else '') + (f' ({why})' if why else ''))


def explain(programs):
    failed = [program for program in programs if program.count(FAILED)]
    print(end='what failed:\n' if failed else '')
    for program in failed[:PROGRAMS]:
        print(f'--- {program.name}')
        for line in program.last_lines:
            print(f'    {line}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--status', type=int, default=0, help='what `meson test` ended with')
    parser.add_argument('logs', nargs='+', type=pathlib.Path, metavar='testlog.json')
    options = parser.parse_args()

    programs = [program for log in options.logs for program in read_log(log)]
    total = {outcome: sum(p.count(outcome) for p in programs) for outcome in (PASSED, FAILED, SKIPPED)}
    explain(programs)
    report(programs, SKIPPED)
    report(programs, FAILED)
    if options.status != 0 and total[FAILED] == 0:
        print(f'failed: meson test itself ended with status {options.status}')
        total[FAILED] += 1
    print(', '.join(f'{n} {outcome}' for outcome, n in total.items()), flush=True)
    return 0 if total[PASSED] > 0 and total[FAILED] == 0 else 1


if __name__ == '__main__':
    sys.exit(main())
