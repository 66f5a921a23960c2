#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/count-tests.py on logs that show every way in which a test program can end."""

import json
import pathlib
import subprocess
import sys
import tempfile

import tap

TOOL = sys.argv[1]


def entry(stdout='', result='OK', returncode=0, name='unit / thing'):
    return {'name': name, 'stdout': stdout, 'result': result, 'returncode': returncode}


def run(*entries, status=0, protocols=None):
    """Runs the tool; returns its lines and its exit status."""
    with tempfile.TemporaryDirectory() as tmp:
        log = pathlib.Path(tmp, 'meson-logs', 'testlog.json')
        log.parent.mkdir()
        log.write_text(''.join(json.dumps(e) + '\n' for e in entries))
        if protocols:
            intro = pathlib.Path(tmp, 'meson-info', 'intro-tests.json')
            intro.parent.mkdir()
            intro.write_text(json.dumps([{'name': n, 'protocol': p} for n, p in protocols.items()]))
        done = subprocess.run([sys.executable, TOOL, '--status', str(status), str(log)], text=True,
                              stdout=subprocess.PIPE, timeout=60, check=False)
        return done.stdout.splitlines(), done.returncode


def expect(want, *entries, **more):
    passed, failed, skipped = want
    lines, status = run(*entries, **more)
    got = lines[-1], status
    line = f'{passed} passed, {failed} failed, {skipped} skipped'
    assert got == (line, 0 if passed and not failed else 1), f'{got} instead of {line}'


@tap.test
def tap_counts_each_subtest():
    expect((2, 0, 1), entry('TAP version 13\n# random seed: x\n1..3\nok 1 /a\nok 2 /b # SKIP not here\nok 3 /c\n'))


@tap.test
def tap_failure_with_the_status_of_g_test_run_counts_once():
    expect((1, 1, 0), entry('1..2\nok 1 /a\nnot ok 2 /b\n', 'ERROR', 1))


@tap.test
def tap_todo():
    expect((1, 0, 1), entry('1..2\nok 1 /a\nnot ok 2 /b # TODO later\n', 'OK', 0))
    expect((1, 1, 0), entry('1..2\nok 1 /a\nok 2 /b # TODO later\n', 'FAIL', 0))


@tap.test
def crash_after_the_last_line_is_one_failure():
    expect((1, 1, 0), entry('1..2\nok 1 /a\n', 'ERROR', -6))
    expect((1, 1, 0), entry('1..2\nok 1 /a\n', 'ERROR', 134))
    expect((1, 1, 0), entry('1..1\nok 1 /a\n', 'ERROR', -11))


@tap.test
def crash_after_a_failure_is_another_failure():
    expect((1, 2, 0), entry('1..3\nok 1 /a\nnot ok 2 /b\n', 'ERROR', -6))


@tap.test
def bail_out_is_one_failure():
    expect((1, 1, 0), entry('1..2\nok 1 /a\nBail out! ERROR:t.c:3:f: assertion failed\n', 'ERROR', -6))


@tap.test
def glib_stops_after_a_failure():
    expect((1, 1, 0), entry('1..3\nok 1 /a\nnot ok 2 /b\nBail out!\n', 'ERROR', 1))


@tap.test
def time_limit_is_one_failure():
    expect((1, 1, 0), entry('1..2\nok 1 /a\n', 'TIMEOUT', -15))
    expect((0, 1, 0), entry('', 'TIMEOUT', -15))


@tap.test
def tests_that_never_ran_are_one_failure():
    expect((1, 1, 0), entry('1..7\nok 1 /a\n', 'ERROR', 0))


@tap.test
def leak_found_at_exit_is_one_failure():
    expect((2, 1, 0), entry('1..2\nok 1 /a\nok 2 /b\n', 'ERROR', 1))


@tap.test
def whole_program_skipped():
    expect((1, 0, 1), entry('1..0 # SKIP no network\n', 'SKIP'), entry('', 'OK'))
    expect((1, 0, 1), entry('', 'SKIP', 77), entry('', 'OK'))


@tap.test
def plain_exit_status():
    expect((1, 0, 0), entry('whatever', 'OK'))
    expect((0, 1, 0), entry('whatever', 'FAIL', 3))
    expect((1, 0, 0), entry('', 'EXPECTEDFAIL', 1))
    expect((0, 1, 0), entry('', 'UNEXPECTEDPASS', 0))


GTEST = '''[==========] Running 4 tests from 2 test suites.
[ RUN      ] A.Good
[       OK ] A.Good (0 ms)
[ RUN      ] A.Bad
t.cc:3: Failure
[  FAILED  ] A.Bad (1 ms)
[ RUN      ] P/A.Bad/1
[  FAILED  ] P/A.Bad/1, where GetParam() = (2, "x y") (0 ms)
[ RUN      ] A.Skip
[  SKIPPED ] A.Skip (0 ms)
[----------] 4 tests from A (1 ms total)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] A.Skip
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] A.Bad
[  FAILED  ] P/A.Bad/1, where GetParam() = (2, "x y")
'''


@tap.test
def gtest_counts_each_test_once():
    expect((1, 2, 1), entry(GTEST, 'FAIL', 1))


@tap.test
def gtest_crash():
    expect((1, 1, 0), entry('[ RUN      ] A.Good\n[       OK ] A.Good (0 ms)\n[ RUN      ] A.Crash\n', 'FAIL', -11))


@tap.test
def what_a_plain_program_prints_is_not_tap():
    expect((1, 0, 0), entry('ok 1\nnot ok 2\n', 'OK', name='cli / thing'), protocols={'thing': 'exitcode'})
    expect((1, 1, 0), entry('ok 1\nnot ok 2\n', 'FAIL', name='cli / thing'), protocols={'thing': 'tap'})


@tap.test
def run_that_ended_badly_without_a_failure_fails():
    expect((1, 1, 0), entry(), status=124)
    expect((0, 1, 0), entry('', 'FAIL', 1), status=1)


@tap.test
def what_failed_is_told_by_its_last_lines():
    lines, _ = run(entry('1..3\nok 1 /a\n# why\nnot ok 2 /b\n# after\nok 3 /c\n', 'ERROR', 1, 'unit / first'),
                   entry('', 'OK', name='unit / second'),
                   {**entry('x\n', 'FAIL', -6, 'unit / third'), 'stderr': '\n'.join(f'line {i}' for i in range(99))})
    assert lines[:5] == ['what failed:', '--- unit / first', '    # why', '    not ok 2 /b', '--- unit / third'], lines
    assert lines[5] == '    x' and lines[6] == '    line 87' and lines[17] == '    line 98', lines
    assert lines[18:20] == ['failed: unit / first: /b', 'failed: unit / third (FAIL, signal 6)'], lines


@tap.test
def what_passed_is_not():
    assert run(entry('1..1\n# why\nok 1 /a\n'))[0] == ['1 passed, 0 failed, 0 skipped']


@tap.test
def nothing_passed_is_no_success():
    expect((0, 0, 0))
    expect((0, 0, 1), entry('', 'SKIP', 77))


tap.main()
