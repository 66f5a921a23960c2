# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting that can be interrupted: libpool waits in C, where Python's signal handlers do not run."""

import _signal
import ctypes
import signal
import threading
import time

from gi.repository import GLib

from .errors import TimeoutError, from_gerror
from .native import Error, matches

#: The library returns when a signal has come; one that comes in the moment before it sleeps is seen after so many seconds.
_NET = 1.0

#: Signals whose handlers, in Python, may raise an exception.
_SIGNALS = [int(number) for number in (
    signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)]


class _Deferred:
    """What comes while the library waits: handlers run after that.

    A handler that Python runs while PyGObject makes a GLib.Error an exception must not raise one: it would be printed,
    and lost.
    """

    __slots__ = ('handlers', 'came')

    def __init__(self):
        self.handlers = {}
        self.came = []

    def __call__(self, signum, frame):
        self.came.append((signum, frame))

    def __enter__(self):
        for number in _SIGNALS:
            handler = _signal.getsignal(number)
            if callable(handler):
                # a callback that waits, within a wait, has the program's
                self.handlers[number] = handler.handlers[number] if type(handler) is _Deferred else handler
                _signal.signal(number, self)
        return self

    def __exit__(self, *_):
        for number, handler in self.handlers.items():
            if _signal.getsignal(number) is self:
                _signal.signal(number, handler)

    def run(self):
        while self.came:
            signum, frame = self.came.pop(0)
            self.handlers[signum](signum, frame)


def wait(once, timeout, nothing=TimeoutError):
    """Calls ``once(seconds)`` until it returns, which may be after several interruptions.

    ``timeout``: seconds, None for ever. Raises ``nothing`` when they are over, and else what the pool says.
    """
    left, deadline = -1, None
    if timeout is not None:
        left, deadline = max(timeout, 0), time.monotonic() + timeout
    handles_signals = threading.current_thread() is threading.main_thread()
    while True:
        try:
            if not handles_signals:
                return once(left)
            with _Deferred() as deferred:
                value = once(_NET if deadline is None else min(left, _NET))
            deferred.run()
            return value
        except GLib.Error as error:
            if not matches(error, Error.WAIT_TIMED_OUT) and not matches(error, Error.INTERRUPTED):
                raise from_gerror(error) from None
        if handles_signals:
            deferred.run()
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise nothing


_wait_in_c = ctypes.CDLL('libpool-1.so.0').pool_async_result_wait
_wait_in_c.argtypes = [ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p]


def wait_for(native_result, timeout):
    """Waits for a result of the library. As wait(), and faster where the result is soon there."""
    left = timeout
    if threading.current_thread() is threading.main_thread():
        start = time.monotonic()
        # no GLib.Error comes of this; handlers of signals run when it has returned. The hash is the address.
        if _wait_in_c(hash(native_result), _NET if timeout is None else min(max(timeout, 0), _NET), None, None):
            return True
        if timeout is not None:
            left = timeout - (time.monotonic() - start)
    return wait(lambda seconds: native_result.wait(seconds, None), left)


def wait_for_all(bundle, timeout):
    """As wait_for(), for several results."""
    deadline = None if timeout is None else time.monotonic() + timeout
    for member in bundle.members:
        if not member.ready():
            wait_for(member, None if deadline is None else max(deadline - time.monotonic(), 0))
    return True
