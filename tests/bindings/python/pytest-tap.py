#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs pytest on the files that are named, and tells each test's result as TAP.

    pytest-tap.py FILE... [PYTEST-OPTION...]
"""

import sys

import pytest


class Tap:
    def __init__(self):
        self.n = 0
        self.told = set()

    @staticmethod
    def pytest_addoption(parser):
        # pytest asks for it where it explains an assertion, and the plugin that has it would print more than TAP
        parser.addoption('--verbose', action='count', default=0, dest='verbose')

    def tell(self, outcome, name, why=''):
        self.n += 1
        name = name.replace('#', '')
        print(f'{outcome} {self.n} {name}' + (f' # SKIP {why}' if why else ''), flush=True)

    def pytest_collection_modifyitems(self, items):
        print(f'1..{len(items)}', flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            print('# ' + report.longreprtext.replace('\n', '\n# '))
            print(f'Bail out! {report.nodeid} cannot be collected', flush=True)

    def pytest_runtest_logreport(self, report):
        if report.nodeid in self.told:
            return
        name = report.nodeid.rpartition('/')[2]
        if report.failed:
            self.told.add(report.nodeid)
            for line in (report.longreprtext + '\n' + report.capstdout + report.capstderr).splitlines():
                print('# ' + line)
            self.tell('not ok', name)
        elif report.skipped:
            self.told.add(report.nodeid)
            self.tell('ok', name, str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
        elif report.when == 'teardown':
            self.told.add(report.nodeid)
            self.tell('ok', name)


# workers that are fresh interpreters import this file
if __name__ == '__main__':
    sys.exit(pytest.main(['-p', 'no:cacheprovider', '-p', 'no:terminal', *sys.argv[1:]], plugins=[Tap()]))
