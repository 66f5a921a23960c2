# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting that can be interrupted: libpool waits in C, where Python's signal handlers do not run."""

import threading
import time

from gi.repository import GLib

from .errors import TimeoutError, from_gerror
from .native import Error, matches

#: The library returns when a signal has come; one that comes in the moment before it sleeps is seen after so many seconds.
_NET = 1.0


def wait(once, timeout, nothing=TimeoutError):
    """Calls ``once(seconds)`` until it returns, which may be after several interruptions.

    ``timeout``: seconds, None for ever. Raises ``nothing`` when they are over, and else what the pool says.
    """
    if timeout is None:
        deadline = None
    else:
        deadline = time.monotonic() + timeout
        left = max(timeout, 0)
    handles_signals = threading.current_thread() is threading.main_thread()
    while True:
        if deadline is None:
            seconds = _NET if handles_signals else -1
        else:
            seconds = min(left, _NET) if handles_signals else left
        try:
            return once(seconds)
        except GLib.Error as error:
            if not matches(error, Error.WAIT_TIMED_OUT) and not matches(error, Error.INTERRUPTED):
                raise from_gerror(error) from None
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise nothing
