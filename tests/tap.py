# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small TAP producer: functions marked with @test run in their order; the module ends with main()."""

import signal
import sys
import traceback

_tests = []


class Skip(Exception):
    """Raised by a test that cannot run here, with the reason."""


def test(function):
    _tests.append(function)
    return function


def within(seconds, function):
    """Calls a function, which fails when it takes longer."""
    def expire(_number, _frame):
        raise TimeoutError(f'the test took longer than {seconds} s')

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        function()
    finally:
        signal.alarm(0)


def main():
    failed = 0
    print(f'1..{len(_tests)}', flush=True)
    for number, function in enumerate(_tests, 1):
        title = function.__name__.replace('_', ' ').strip()
        if function.__doc__:
            title = function.__doc__.strip().splitlines()[0].rstrip('.')
        title = title.replace('#', '')
        try:
            function()
            print(f'ok {number} {title}', flush=True)
        except Skip as why:
            print(f'ok {number} {title} # SKIP {why}', flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print(f'not ok {number} {title}', flush=True)
    sys.exit(1 if failed else 0)
