#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""broker.py SOCKET NAME COMMAND: a bus by dbus-broker in place of dbus-daemon, with one name that it starts a command for.

dbus-broker leaves configuration and activation to a controller at the other end of a socket, which is this. dbus-broker-launch, which
is that elsewhere, has systemd start services.
"""

import os
import signal
import socket
import subprocess
import sys

import gi

gi.require_version('Gio', '2.0')
from gi.repository import Gio, GLib  # noqa: E402

BROKER = 'org.bus1.DBus.Broker'
NAME = 'org.bus1.DBus.Name'
MOST = str(10 ** 9)
# whoever connects may own, send and receive anything
BATCH = '(bta(btbs)a(btssssuutt)a(btssssuutt))'
POLICY = f'(a(u{BATCH})a(buu{BATCH})a(ss)bs)'
MESSAGES = [(True, 1, '', '', '', '', 0, 0, 0, 2 ** 64 - 1)]
ANYTHING = (True, 1, [(True, 1, True, '')], MESSAGES, MESSAGES)
EVERYBODY = ([(2 ** 32 - 1, ANYTHING)], [], [], False, 'session')


class Controller:
    def __init__(self, path, name, command):
        self.path = path
        self.command = command
        ours, theirs = socket.socketpair()
        with theirs:
            self.broker = subprocess.Popen(['dbus-broker', '--controller', str(theirs.fileno()), '--machine-id', '1' * 32,
                                            '--max-bytes', MOST, '--max-fds', MOST, '--max-matches', MOST, '--max-objects', MOST],
                                           pass_fds=[theirs.fileno()])
        stream = Gio.Socket.new_from_fd(ours.detach()).connection_factory_create_connection()
        self.connection = Gio.DBusConnection.new_sync(stream, None, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, None, None)
        self.connection.signal_subscribe(None, NAME, 'Activate', None, None, Gio.DBusSignalFlags.NONE, self.on_activate)
        self.add_listener()
        self.call('/org/bus1/DBus/Broker', BROKER, 'AddName', '(osu)', '/org/bus1/DBus/Name/0', name, os.getuid())

    def call(self, path, interface, method, signature, *values, fds=None):
        self.connection.call_with_unix_fd_list_sync(None, path, interface, method, GLib.Variant(signature, values), None,
                                                    Gio.DBusCallFlags.NONE, 60000, fds, None)

    def add_listener(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        os.chmod(self.path, 0o777)
        listener.listen(1000)
        listener.setblocking(False)
        self.call('/org/bus1/DBus/Broker', BROKER, 'AddListener', '(ohv)', '/org/bus1/DBus/Listener/0', 0, GLib.Variant(POLICY, EVERYBODY),
                  fds=Gio.UnixFDList.new_from_array([listener.detach()]))

    def on_activate(self, _connection, _sender, path, _interface, _signal, values):
        serial, = values.unpack()
        process = subprocess.Popen([self.command], env=dict(os.environ, DBUS_SESSION_BUS_ADDRESS=f'unix:path={self.path}'))
        GLib.child_watch_add(GLib.PRIORITY_DEFAULT, process.pid, self.on_end, (process, path, serial))

    def on_end(self, _pid, _status, request):
        """Calls wait for it no longer; if it had the name, that is no news."""
        # it is kept until here: a Popen that is dropped waits for its process itself
        _process, path, serial = request
        try:
            self.call(path, NAME, 'Reset', '(ts)', serial, NAME + '.Error.UnitFailure')
        except GLib.Error:
            pass


def main():
    loop = GLib.MainLoop()
    controller = Controller(*sys.argv[1:4])
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    print(f'unix:path={sys.argv[1]}', flush=True)
    loop.run()
    controller.broker.kill()
    controller.broker.wait()


if __name__ == '__main__':
    main()
