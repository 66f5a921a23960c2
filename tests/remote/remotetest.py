# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests with a time limit each, and what they wait for."""

import functools
import time

import tap

LIMIT = 90

Skip = tap.Skip
main = tap.main


def register(function, name):
    """Adds a test that has a name and LIMIT seconds."""
    def run_one():
        tap.within(LIMIT, function)

    run_one.__name__ = name
    tap.test(run_one)


def test(function):
    register(function, function.__name__)
    return function


def for_each(values):
    """The test is run once for each value, which it is given."""
    def decorate(function):
        for value in values:
            register(functools.partial(function, value), f'{function.__name__} with {value}')
        return function
    return decorate


def wait_until(condition, seconds=20):
    """Waits until a condition holds, and says whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
