#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every figure of the benchmark bed runs and gets right results; how long it takes is not looked at.

test-benchmarks.py BUILD_DIR
"""

import sys

import figures
import runner
import tap

BUILD_DIR = sys.argv[1]
ENVIRONMENT = runner.build_environment(BUILD_DIR)
# meson sets it for tests, and Python then fills 64 MiB again and again as it reads them: minutes
ENVIRONMENT.pop('MALLOC_PERTURB_', None)
TIMEOUT = 60
# small, and still enough for every worker to have some
SMALL = {
    'start-1000': ('--workers', '24'),
    'linear': ('--items', '300'),
    'linear-a1': ('--items', '300'),
    'linear-b': ('--items', '300'),
    'throughput-a': ('--items', '5000'),
    'throughput-a1': ('--items', '5000'),
    'throughput-a-batch': ('--items', '5000'),
    'threadpool-bulk': ('--items', '5000'),
    'map-chunk1': ('--items', '500'),
    'map-default': ('--items', '5000'),
}


def add_test(command, wanted):
    def run():
        arguments = ['--seconds', '0.02', '--repeat', '1', *SMALL.get(command.figure, ())]
        measured = runner.run(command.line(f'{BUILD_DIR}/tests/benchmarks', arguments), ENVIRONMENT, TIMEOUT,
                              command.attempts)
        for name in wanted:
            assert name in measured, f'{name} is not among {sorted(measured)}'
            assert measured[name]['value'] >= 0 and measured[name]['unit']

    run.__doc__ = str(command)
    tap.test(run)


def main():
    wanted = {}
    for figure in figures.available(runner.built_backends(BUILD_DIR)):
        wanted.setdefault(figure.command, set()).add(figure.wanted)
        if figure.peer:
            wanted.setdefault(figure.peer, set()).add(figure.peer.figure)
    for command, names in wanted.items():
        add_test(command, names)
    tap.main()


main()
