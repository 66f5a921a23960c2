#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same with dbus-python: words of files, counted by the service on the session bus."""

import os
import sys

import dbus

NAME = 'org.libpool.Service1'

bus = dbus.SessionBus()
service = dbus.Interface(bus.get_object(NAME, '/org/libpool/Service1'), NAME)
pool = dbus.Interface(bus.get_object(NAME, service.CreatePool('fork', {'processes': dbus.Int32(2)})), NAME + '.Pool')
for path in sys.argv[1:]:
    lines, words, size = pool.Apply('text.count', dbus.Struct([os.path.abspath(path)], signature='s', variant_level=1), {},
                                    signature='sva{sv}')
    print(lines, words, size, path)
pool.Close()
