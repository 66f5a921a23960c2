# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a test starts is marked, by a variable of its environment, so that it is found again whoever its parent
is, also by the next test after this one was killed.
"""

import contextlib
import itertools
import os
import pathlib
import re
import select
import signal
import subprocess
import threading
import time

VARIABLE = 'POOL_REMOTE_TEST'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMIT = 30
PF_KTHREAD = 0x00200000
PID_NAMESPACE = os.stat('/proc/self/ns/pid').st_ino

_numbers = itertools.count(1)


class Unsupported(Exception):
    """It cannot be done here, for the reason that it gives."""


def status(pid):
    """The words of /proc/PID/stat from the state on, None when the process has ended, waited for or not."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    words = text.rsplit(')', 1)[1].split()
    return None if words[0] in 'ZX' else words


def since(pid):
    """When a process started: nobody else ever has this pid and this time. None when it is gone."""
    words = status(pid)
    return words and int(words[19])


def environment(pid):
    """The environment that a process was started with, none when it is gone or another user's."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            if text := pathlib.Path(f'/proc/{pid}/environ').read_bytes():
                return text.split(b'\0')
        except OSError:
            break
        words = status(pid)
        if words is None or int(words[6]) & PF_KTHREAD or int(words[48]):
            break
        # it is between two programs: the old environment is gone, the new one not there
        time.sleep(0.001)
    return []


def new_mark():
    """A name that nobody else has, and that tells which process it is of, in which PID namespace."""
    return '-'.join(map(str, (PID_NAMESPACE, os.getpid(), since(os.getpid()), next(_numbers))))


def is_orphan(mark):
    """Whether the process that made this mark is gone. What is in another PID namespace cannot be told."""
    match = re.fullmatch(r'(\d+)-(\d+)-(\d+)-\d+', mark)
    return bool(match) and int(match[1]) == PID_NAMESPACE and since(match[2]) != int(match[3])


def marked():
    """All other living processes that have marks, with these: what a test in a test has started has two."""
    found = {}
    prefix = VARIABLE.encode() + b'='
    for pid in [int(name) for name in os.listdir('/proc') if name.isdigit()]:
        for entry in environment(pid):
            if entry.startswith(prefix) and since(pid) is not None and pid != os.getpid():
                found[pid] = entry[len(prefix):].decode(errors='replace').split()
    return found


def kill(find, seconds=10):
    """Kills the processes that find() finds, until it finds none."""
    deadline = time.monotonic() + seconds
    while pids := find():
        for pid in pids:
            try:
                process = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                # from here on the pid cannot become another's
                if pid in find():
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [], 1)
            except ProcessLookupError:
                pass
            finally:
                os.close(process)
        if time.monotonic() > deadline:
            raise TimeoutError(f'processes {pids} do not go')


def kill_orphans():
    """Ends what was started by tests that have been killed since."""
    kill(lambda: [pid for pid, marks in marked().items() if any(map(is_orphan, marks))])


def read_line(process, seconds=LIMIT):
    """A line of the standard output of a process, which has to be an unbuffered pipe."""
    deadline = time.monotonic() + seconds
    line = b''
    while not line.endswith(b'\n'):
        if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f'{process.args} said nothing within {seconds} s')
        data = os.read(process.stdout.fileno(), 1)
        if not data:
            raise EOFError(f'{process.args} ended')
        line += data
    return line.decode().strip()


class Owner:
    """Has processes, and whatever else a subclass sets up in start() and takes away in stop().

    To be used in a `with`: an exception ends it all, and so does a signal that would end the program.
    """

    def __init__(self):
        self.mark = new_mark()
        self.processes = []
        self.handlers = {}

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) == signal.SIG_DFL:
                    self.handlers[number] = signal.signal(number, self._leave)
        try:
            kill_orphans()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _leave(number, _frame):
        raise SystemExit(128 + number)

    def close(self):
        """Ends and removes everything; a signal that comes meanwhile waits."""
        late, handlers = [], {}
        if threading.current_thread() is threading.main_thread():
            for number in (*SIGNALS, signal.SIGALRM):
                if callable(signal.getsignal(number)):
                    handlers[number] = signal.signal(number, lambda number, _frame: late.append(number))
        try:
            self.stop()
        finally:
            try:
                self.kill_all()
            finally:
                self._handle(handlers, late)

    def _handle(self, handlers, late):
        """Signals act again, and those that came late do so now."""
        for number, handler in handlers.items():
            signal.signal(number, handler)
        try:
            for number in late:
                signal.raise_signal(number)
        finally:
            for number, handler in self.handlers.items():
                signal.signal(number, handler)
            self.handlers = {}

    def spawn(self, argv, *, env=None, **keywords):
        """As subprocess.Popen, but there is no input, and the process ends with its owner."""
        env = dict(os.environ if env is None else env)
        env[VARIABLE] = f'{os.environ.get(VARIABLE, "")} {self.mark}'.strip()
        keywords.setdefault('stdin', subprocess.DEVNULL)
        process = subprocess.Popen(argv, env=env, **keywords)  # pylint: disable=consider-using-with
        self.processes.append(process)
        return process

    def execute(self, argv, *, timeout=LIMIT, **keywords):
        """As subprocess.run with captured text, but it has to succeed, and what failed is told."""
        keywords.setdefault('stdin', subprocess.DEVNULL)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace', timeout=timeout, check=False, **keywords)
        if done.returncode:
            raise OSError(f'{" ".join(map(str, argv))}: status {done.returncode}: {done.stdout.strip()}')
        return done.stdout

    def family(self):
        """The processes that come from here and live."""
        return [pid for pid, marks in marked().items() if self.mark in marks]

    def kill_all(self):
        """Kills the family, waits for its members, and closes the pipes to them."""
        for process in self.processes:
            process.kill()
        kill(self.family)
        for process in self.processes:
            process.wait(LIMIT)
            for stream in process.stdin, process.stdout, process.stderr:
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
