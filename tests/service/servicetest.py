# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the service share: a bus of their own that starts it on demand, and clients of that bus.

A script gets the path of pool-service, and that of the tool `pool`, as its arguments. Each test has a time limit, and a bus with a
service and a state of its own; when it ends, nothing of them may be left.
"""

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import gi

gi.require_version('Gio', '2.0')
from gi.repository import Gio, GLib  # noqa: E402

import tap  # noqa: E402

SERVICE = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else 'pool-service'
POOL = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else 'pool'
LIMIT = 300

NAME = 'org.libpool.Service1'
PATH = '/org/libpool/Service1'
POOL_INTERFACE = NAME + '.Pool'
JOB_INTERFACE = NAME + '.Job'
ERROR = NAME + '.Error.'
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if hasattr(fcntl, 'F_SEAL_SHRINK') else 2 | 4 | 8
ADD_SEALS = 1033
GET_SEALS = 1034
SOMEBODY = 65534
ON_BROKER = os.environ.get('POOL_TEST_BUS') == 'dbus-broker'

Skip = tap.Skip
main = tap.main

CONFIGURATION = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{folder}/services</servicedir>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="max_incoming_unix_fds">250000</limit>
  <limit name="max_outgoing_unix_fds">250000</limit>
  <limit name="max_replies_per_connection">300000</limit>
  <limit name="max_match_rules_per_connection">512</limit>
  <limit name="service_start_timeout">60000</limit>
  <limit name="max_completed_connections">10000</limit>
  <limit name="max_connections_per_user">10000</limit>
</busconfig>
'''


def test(function):
    @functools.wraps(function)
    def run_one():
        tap.within(LIMIT, function)

    return tap.test(run_one)


def is_alive(pid):
    """A zombie is not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def count_threads(pid):
    """One that has ended has none."""
    try:
        return len(os.listdir(f'/proc/{pid}/task')) if is_alive(pid) else 0
    except OSError:
        return 0


def wait_for(what, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f'waited in vain for {what}'
        time.sleep(0.01)
    return found


class Bus:
    """A bus that starts the service; which says nothing itself, but @speaks: tasks may."""

    def __init__(self, configuration='', arguments='', speaks=False):
        self.speaks = speaks
        self.configuration = configuration
        self.arguments = arguments
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix='pool-service-')))
        (self.folder / 'services').mkdir()
        (self.folder / 'service.conf').write_text(self.configuration)
        (self.folder / 'bus.conf').write_text(CONFIGURATION.format(folder=self.folder))
        # keeps a list of the services that there were
        start = self.folder / 'start'
        start.write_text('#!/bin/sh\n'
                         f'echo $$ >> {self.folder}/pids\n'
                         f'export DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.folder}/bus\n'
                         f'exec {shlex.quote(SERVICE)} --config {self.folder}/service.conf '
                         f'--state-directory {self.folder}/state {self.arguments} >> {self.folder}/output 2>&1\n')
        start.chmod(0o755)
        (self.folder / f'services/{NAME}.service').write_text(f'[D-BUS Service]\nName={NAME}\nExec={start}\n')
        with open(self.folder / 'daemon-output', 'wb') as output:
            self.daemon = subprocess.Popen(self.command(start), stdout=subprocess.PIPE, stderr=output)
        assert self.daemon.stdout.readline()
        self.daemon.stdout.close()
        self.address = f'unix:path={self.folder}/bus'
        os.chmod(self.folder, 0o755)
        return self

    def command(self, start):
        """Of the bus; POOL_TEST_BUS names another one: dbus-broker."""
        if not ON_BROKER:
            return ['dbus-daemon', f'--config-file={self.folder}/bus.conf', '--nofork', '--nopidfile', '--print-address']
        if shutil.which('dbus-broker') is None:
            raise Skip('dbus-broker is not installed')
        return [sys.executable, pathlib.Path(__file__).with_name('broker.py'), self.folder / 'bus', NAME, start]

    def __exit__(self, *_):
        threads = sum(map(count_threads, self.pids()))
        self.daemon.terminate()
        self.daemon.wait()
        try:
            # those that lost their bus leave
            wait_for('the services to leave', lambda: not any(map(is_alive, self.pids())))
        finally:
            for pid in self.pids():
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
            output = self.output()
            self.stack.close()
        assert self.speaks or not output, output
        # whatever it was called for; of those that there were at most one is left
        assert threads <= 1, threads

    def output(self):
        path = self.folder / 'output'
        return path.read_text() if path.exists() else ''

    def pids(self):
        """Of the services that there were."""
        path = self.folder / 'pids'
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def pid(self):
        """Of the one that there is."""
        alive = [pid for pid in self.pids() if is_alive(pid)]
        assert len(alive) == 1, alive
        return alive[0]

    def kill(self, number=signal.SIGKILL):
        """Ends the service, and waits until the bus knows."""
        pid = self.pid()
        os.kill(pid, number)
        wait_for('it to end', lambda: not is_alive(pid))
        with self.connect() as client:
            wait_for('the bus to notice', lambda: not client.connection.call_sync(
                'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'NameHasOwner',
                GLib.Variant('(s)', (NAME,)), None, Gio.DBusCallFlags.NONE, 60000, None).unpack()[0])

    @property
    def environment(self):
        return dict(os.environ, DBUS_SESSION_BUS_ADDRESS=self.address)

    def connect(self):
        return Client(self)


def as_somebody(bus, program):
    """What a client of another user prints, as JSON."""
    script = f'''
import json, os, sys
sys.argv = {sys.argv!r}
os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})
from servicetest import *
class Bus: address = {bus.address!r}
client = Client(Bus)
def main():
{program}
print(json.dumps(main()), flush=True)
'''
    environment = dict(os.environ, PYTHONPATH=os.environ['PYTHONPATH'] + ':' + os.path.dirname(os.path.abspath(__file__)))
    child = subprocess.run([sys.executable, '-c', script], stdout=subprocess.PIPE, timeout=60, env=environment, cwd='/')
    assert child.returncode == 0
    return json.loads(child.stdout)


class Object:
    """One object of the service, as one client sees it: obj.Method('(si)', 'x', 1) returns the values that came back."""

    def __init__(self, client, path, interface):
        self.client = client
        self.path = path
        self.interface = interface

    def __getattr__(self, method):
        if method.startswith('_'):
            raise AttributeError(method)
        return functools.partial(self.call, method)

    def call(self, method, signature='()', *values, seconds=60, interface=None, fds=None):
        return self.client.call(self.path, interface or self.interface, method,
                                GLib.Variant(signature, values), seconds, fds)

    def get(self, name):
        return self.call('Get', '(ss)', self.interface, name, interface='org.freedesktop.DBus.Properties')

    def get_all(self):
        return self.call('GetAll', '(s)', self.interface, interface='org.freedesktop.DBus.Properties')


class Error(Exception):
    """What the service failed a call with: its name on the bus, short if it is one of the service's."""

    def __init__(self, error):
        name = Gio.DBusError.get_remote_error(error) or f'{error.domain}:{error.code}'
        message = error.message.split(': ', 1)[-1] if name in error.message else error.message
        super().__init__(f'{name}: {message}')
        self.name = name[len(ERROR):] if name.startswith(ERROR) else name
        self.message = message


class Client:
    """A connection, on which signals are collected."""

    def __init__(self, bus):
        self.bus = bus
        self.connection = Gio.DBusConnection.new_for_address_sync(
            bus.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
            None, None)
        self.service = Object(self, PATH, NAME)
        self.signals = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.connection.is_closed():
            self.connection.close_sync(None)

    close = __exit__

    def call(self, path, interface, method, values, seconds=60, fds=None):
        try:
            if interface is None:
                return self.call_without_interface(path, method, values, seconds)
            reply, out = self.connection.call_with_unix_fd_list_sync(
                NAME, path, interface, method, values, None, Gio.DBusCallFlags.NONE, int(seconds * 1000), fds, None)
        except GLib.Error as error:
            raise Error(error) from None
        result = tuple(unpack(reply.get_child_value(i), out) for i in range(reply.n_children()))
        return result[0] if len(result) == 1 else result or None

    def call_without_interface(self, path, method, values, seconds):
        message = Gio.DBusMessage.new_method_call(NAME, path, None, method)
        message.set_body(values)
        reply, _serial = self.connection.send_message_with_reply_sync(message, Gio.DBusSendMessageFlags.NONE,
                                                                      int(seconds * 1000), None)
        reply.to_gerror()
        return reply.get_body().unpack()[0]

    def begin(self, path, interface, method, values, done, seconds=60):
        """Asynchronously: @done gets the values or an Error."""
        def finish(connection, result):
            try:
                done(connection.call_finish(result).unpack())
            except GLib.Error as error:
                done(Error(error))
        self.connection.call(NAME, path, interface, method, values, None, Gio.DBusCallFlags.NONE, int(seconds * 1000),
                             None, finish)

    def listen(self):
        """From now on signals are collected, as (path, interface, name, values)."""
        def on_signal(_connection, _sender, path, interface, name, values):
            self.signals.append((path, interface, name, values.unpack()))
        self.connection.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, on_signal)

    def seen(self, name, path=None):
        """The values of the signals of that name that have come."""
        iterate()
        return [s[3] for s in self.signals if s[2] == name and path in (None, s[0])]

    def wait_for_signal(self, name, path=None, seconds=20):
        return wait_for(f'the signal {name}', lambda: self.seen(name, path), seconds)[0]

    def create_pool(self, backend='fork', **options):
        """A pool; names of options may have _ for -, values are variants or of the obvious type."""
        return self.object(self.service.CreatePool('(sa{sv})', backend, as_options(options)))

    def object(self, path):
        return Object(self, path, POOL_INTERFACE if '/pool/' in path else JOB_INTERFACE)


def iterate():
    while GLib.MainContext.default().iteration(False):
        pass


def as_variant(value):
    if isinstance(value, GLib.Variant):
        return value
    if isinstance(value, bool):
        return GLib.Variant('b', value)
    if isinstance(value, int):
        return GLib.Variant('i', value)
    if isinstance(value, float):
        return GLib.Variant('d', value)
    return GLib.Variant('s', value)


def as_options(options):
    return {name.replace('_', '-'): as_variant(value) for name, value in options.items()}


def apply(pool, task, signature='()', *values, seconds=60, method='Apply', **options):
    """Calls a task; () goes as an empty array of variants, since D-Bus has no empty structure."""
    arguments = GLib.Variant('av', []) if signature == '()' else GLib.Variant(signature, values)
    return pool.call(method, '(sva{sv})', task, arguments, as_options(options), seconds=seconds)


def submit(pool, task, signature='()', *values, **options):
    """The same, as a job."""
    return pool.client.object(apply(pool, task, signature, *values, method='ApplyAsync', **options))


def result(job, timeout=30.0, **options):
    return job.Result('(da{sv})', timeout, as_options(options))


def make_memfd(value, seals=SEALS):
    """A value as it travels when it is large."""
    data = GLib.Variant('v', value).get_data_as_bytes().get_data() or b''
    fd = os.memfd_create('value', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, 'wb', closefd=False) as file:
        file.write(data)
    if seals:
        fcntl.fcntl(fd, ADD_SEALS, seals)
    return fd


def call_with_memfd(pool, method, task, value, seconds=60, seals=SEALS, **options):
    fd = make_memfd(value, seals)
    try:
        return pool.call(method, '(sva{sv})', task, GLib.Variant('h', 0), as_options(options), seconds=seconds,
                         fds=Gio.UnixFDList.new_from_array([os.dup(fd)]))
    finally:
        os.close(fd)


def read_memfd(fd):
    """The value in a memfd of the service, which can change no more."""
    assert fcntl.fcntl(fd, GET_SEALS) & SEALS == SEALS
    with open(fd, 'rb') as file:
        data = file.read()
    value = GLib.Variant.new_from_bytes(GLib.VariantType('v'), GLib.Bytes.new(data), False)
    assert value.is_normal_form()
    return value.get_variant()


def unpack(value, fds=None):
    """Like GLib.Variant.unpack(), but a handle becomes the value behind it, and bytes are bytes."""
    kind = value.get_type_string()
    if kind == 'v':
        return unpack(value.get_variant(), fds)
    if kind == 'h':
        return unpack(read_memfd(fds.get(value.get_handle())))
    if kind == 'ay':
        return value.get_data_as_bytes().get_data() or b''
    return value.unpack()


def raises(name, function, *arguments, part='', **keywords):
    try:
        function(*arguments, **keywords)
    except Error as error:
        assert error.name == name and part in error.message, error
        return error
    raise AssertionError(f'no error, and not {name}')
