#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each protection of a pool costs: figures without and with it, turn by turn, and their ratio."""

import argparse
import statistics
import sys

import figures
import runner

PROTECTIONS = {
    'a hard time limit': ('timeout=60',),
    'a soft and a hard time limit': ('soft-timeout=30', 'timeout=60'),
    'recycling after 1000 tasks': ('max-tasks-per-child=1000',),
    'memory looked at after each task': ('max-memory-per-child=10000000',),
    'report-tasks': ('report-tasks=1',),
    'synack': ('synack=1',),
    'not resilient': ('resilient=0',),
    'a hard memory limit': ('memory-limit=10000000',),
    'sandbox basic': ('sandbox=basic',),
    'sandbox strict': ('sandbox=strict',),
    'statistics': ('statistics=1',),
}
# name: whether more is better
FIGURES = {'throughput-b': True, 'throughput-a1': True, 'rtt-b': False}


def measure(options, environment, figure, settings):
    command = figures.pool('fork', figure)
    arguments = ['--seconds', str(options.seconds), *(word for one in settings for word in ('--set', one))]
    return runner.run(command.line(options.build_dir + '/tests/benchmarks', arguments), environment,
                      options.timeout)[figure]['value']


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build-dir', default='build')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=0.3)
    parser.add_argument('--timeout', type=float, default=60)
    parser.add_argument('--only', default='', help='protections whose name holds this')
    options = parser.parse_args()
    environment = runner.build_environment(options.build_dir)

    print('| protection | ' + ' | '.join(FIGURES) + ' |')
    print('|---|' + '---|' * len(FIGURES))
    failed = False
    for name, settings in PROTECTIONS.items():
        if options.only not in name:
            continue
        cells = []
        for figure, more_is_better in FIGURES.items():
            plain, protected = [], []
            try:
                for turn in range(options.rounds):
                    # A B, B A, A B, …: neither is always the second
                    for values, with_it in ((plain, ()), (protected, settings))[::1 if turn % 2 == 0 else -1]:
                        values.append(measure(options, environment, figure, with_it))
            except runner.Failed as problem:
                cells.append(f'FAILED: {problem}')
                failed = True
                continue
            ratio = statistics.median(protected) / statistics.median(plain)
            cells.append(f'{(ratio if more_is_better else 1 / ratio) * 100:.0f} %')
        print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
