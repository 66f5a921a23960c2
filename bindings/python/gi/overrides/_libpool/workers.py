# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers, as those who look at a pool see them."""

import os
import time


class WorkerInfo(int):
    """A worker, for hooks: its process id, which knows more. ``info`` is a ``Pool.native.WorkerInfo``."""

    def __new__(cls, info):
        self = super().__new__(cls, info.get_pid() or os.getpid())
        self.info = info
        return self

    pid = property(int)
    id = property(lambda self: self.info.get_id())

    def __getattr__(self, name):
        getter = getattr(object.__getattribute__(self, 'info'), 'get_' + name, None)
        if getter is None:
            raise AttributeError(name)
        return getter()


class Worker:
    """A worker as multiprocessing's pool shows it: something like a Process."""

    daemon = True

    def __init__(self, pool, info):
        self._native = pool._native
        self.info = info
        self.id = info.get_id()
        self.pid = self.ident = info.get_pid() or os.getpid()
        self.name = f'PoolWorker-{self.id + 1}'

    def is_alive(self):
        return any(info.get_id() == self.id and info.get_pid() == self.info.get_pid()
                   for info in self._native.get_workers())

    @property
    def exitcode(self):
        return None if self.is_alive() else exit_code(self.info)

    def terminate(self):
        self._native.terminate_job(self.pid, 15)

    def join(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.01)

    def __repr__(self):
        return f'<{self.name} pid={self.pid}>'


def exit_code(info):
    return -info.get_signal() if info.get_signal() else info.get_exit_code()
