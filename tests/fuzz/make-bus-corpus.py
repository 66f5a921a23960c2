#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the inputs of fuzz-bus: calls of the service as clients send them.

    make-bus-corpus.py FOLDER
"""

import pathlib
import sys

import gi

gi.require_version('Gio', '2.0')
from gi.repository import Gio, GLib  # noqa: E402

NAME = 'org.libpool.Service1'
VALUES = ('(1,)', "('text', true, byte 1)", '(0.5, [1.5, 2.5])', "({'a': <1>, 'b': <'x'>},)", '([(1, 2), (3, 4)],)', '(@ay [],)',
          "(<<<1>>>,)", '[1, 2, 3]', "@av [<1>, <'two'>]", '@ax []', "[('a', 1)]", "(objectpath '/a', signature 'a{sv}')",
          '[true, false]', "b'bytes'", '(int16 -1, uint16 1, -1, uint32 1, int64 -1, uint64 1)', "'no tuple'")
OPTIONS = ('{}', "{'timeout': <1.5>}", "{'max-retries': <3>, 'priority': <-1>}", "{'star': <true>, 'chunksize': <uint32 10>}",
           "{'packed': <true>}", "{'inline': <true>, 'durable': <true>, 'correlation-id': <'x'>}", "{'timeout': <'soon'>}",
           "{'nothing': <1>}")


def write(folder, name, path, interface, method, values):
    message = Gio.DBusMessage.new_method_call(NAME, path, interface, method)
    message.set_serial(1)
    if values is not None:
        message.set_body(values)
    (folder / f'{name}.bin').write_bytes(bytes(message.to_blob(Gio.DBusCapabilityFlags.NONE)))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for i, text in enumerate(VALUES):
        options = GLib.Variant.parse(GLib.VariantType('a{sv}'), OPTIONS[i % len(OPTIONS)], None, None)
        value = GLib.Variant.parse(None, text, None, None)
        values = GLib.Variant.new_tuple(GLib.Variant('s', 'debug.echo'), GLib.Variant('v', value), options)
        write(folder, f'call-{i:02}', '/org/libpool/Service1/pool/1', NAME + '.Pool', ('Apply', 'Map')[i % 2], values)
    write(folder, 'create', '/org/libpool/Service1', NAME, 'CreatePool',
          GLib.Variant('(sa{sv})', ('fork', {'processes': GLib.Variant('i', 2), 'static-args': GLib.Variant('(x)', (1,))})))
    write(folder, 'list', '/org/libpool/Service1', NAME, 'ListTasks', None)
    write(folder, 'get', '/org/libpool/Service1', 'org.freedesktop.DBus.Properties', 'Get', GLib.Variant('(ss)', (NAME, 'Version')))
    write(folder, 'result', '/org/libpool/Service1/job/1', NAME + '.Job', 'Result', GLib.Variant('(da{sv})', (-1.0, {})))
    write(folder, 'put', '/org/libpool/Service1/pool/1', NAME + '.Pool', 'Put', GLib.Variant('(vd)', (GLib.Variant('(i)', (1,)), 1.0)))


main()
