#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Digests of files, computed by the service on the session bus: a client with Gio, and nothing of libpool."""

import os
import sys

import gi

gi.require_version('Gio', '2.0')
from gi.repository import Gio, GLib  # noqa: E402

NAME = 'org.libpool.Service1'

bus = Gio.bus_get_sync(Gio.BusType.SESSION)


def call(path, interface, method, values):
    return bus.call_sync(NAME, path, interface, method, values, None, Gio.DBusCallFlags.NONE, -1).unpack()


pool, = call('/org/libpool/Service1', NAME, 'CreatePool', GLib.Variant('(sa{sv})', ('fork', {'processes': GLib.Variant('i', 2)})))
jobs = {}
for path in sys.argv[1:]:
    jobs[path], = call(pool, NAME + '.Pool', 'ApplyAsync',
                       GLib.Variant('(sva{sv})', ('checksum.sha256', GLib.Variant('(s)', (os.path.abspath(path),)), {})))
for path, job in jobs.items():
    try:
        digest, = call(job, NAME + '.Job', 'Result', GLib.Variant('(da{sv})', (-1, {})))
        print(f'{digest}  {path}')
    except GLib.Error as error:
        print(f'{path}: {error.message.split(": ", 1)[1]}')
