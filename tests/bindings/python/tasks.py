# SPDX-License-Identifier: LGPL-2.1-or-later
"""Functions that the tests run in workers: a module, so that every kind of worker can import it."""

import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time

from gi.repository import Pool

state = {}


def square(x):
    return x * x


def identity(x):
    return x


def add(a, b=0, *, c=0):
    return a + b + c


def kill_me(x=None):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_now_and_then(x):
    if x % 1000 == 999 and Pool.current_task().get_attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def fail(x):
    raise KeyError(x)


def fail_if_odd(x):
    if x % 2:
        raise ValueError(x)  # an odd number
    return x


class TwoArguments(Exception):
    """Can be pickled, and not be unpickled."""

    def __init__(self, a, b):
        super().__init__(f'{a} and {b}')


def raise_two_arguments():
    raise TwoArguments(1, 2)


class Unsendable(Exception):
    def __reduce__(self):
        raise RuntimeError('it stays here')


def raise_unsendable():
    raise Unsendable('x')


def return_lambda():
    return lambda: 42


def exit_by(how):
    if how == 'exit':
        sys.exit(3)
    if how == 'interrupt':
        raise KeyboardInterrupt
    if how == 'base':
        raise GeneratorExit('gone')
    if how == 'stop':
        raise StopIteration('x')
    os._exit(7)


def stop_iteration_if_five(x):
    if x == 5:
        raise StopIteration
    return x


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def sleep_and_clean_up(seconds):
    try:
        time.sleep(seconds)
    except Pool.SoftTimeLimitExceeded:
        return 'cleaned up'


def who(_=None):
    time.sleep(0.01)
    return os.getpid()


def where(_=None):
    return {
        'pid': os.getpid(),
        'main': threading.current_thread() is threading.main_thread(),
        'threads': threading.active_count(),
        'name': multiprocessing.current_process().name,
        'file': __file__,
        'argv': sys.argv[1:],
        'random': random.random(),
    }


def begin(*args):
    state['args'] = args
    state['begun'] = state.get('begun', 0) + 1


def get_state(_=None):
    return state


def begin_badly():
    raise OSError('no database')


def set_progress(fraction, seconds):
    Pool.current_task().set_progress(fraction)
    time.sleep(seconds)
    return fraction


def log(name, level, message, *args, **kwargs):
    logging.getLogger(name).log(level, message, *args, **kwargs)


def log_exception(name):
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger(name).exception('it went wrong', extra={'request': 7, 'handle': threading.Lock()})


def print_both(x):
    # one write each: pytest's files do not buffer, and two workers write to one
    sys.stdout.write(f'out {x}\n')
    sys.stderr.write(f'err {x}\n')


def nested(n):
    with Pool.Pool(2) as pool:
        return sum(pool.map(square, range(n)))


class Counter:
    """A callable whose state is its own in each call."""

    def __init__(self):
        self.n = 0

    def __call__(self, x):
        self.n += 1
        return self.n

    def method(self, other):
        return other is self


class Target(Pool.PoolProcess):
    def __init__(self, factor=1):
        self.factor = factor
        self.done = 0

    def run(self, x):
        self.done += 1
        return x * self.factor


def times(x, factor):
    return x * factor


def change_in_place(array):
    array[0] = 99
    return float(array.sum())


kept = []


def keep(array):
    kept.append(array)
    return float(array.sum())


def sum_kept(_):
    return [float(array.sum()) for array in kept]


def make_bytes(n):
    return b'x' * n


def address_of(array):
    return array.flags.writeable, float(array.sum())


def slow_if_first(x):
    time.sleep(2 if x == 0 else 0.01)
    return os.getpid(), threading.get_ident()


def sum_unless_odd(array):
    """Of arrays whose first number is odd it raises; it kills the worker of those that begin with 4, once."""
    if array[0] == 4 and Pool.current_task().get_attempt() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if array[0] % 2:
        raise ValueError(int(array[0]))
    return float(array.sum())


def sleep_by(array):
    time.sleep(array[0])
    return array
