// SPDX-License-Identifier: LGPL-2.1-or-later
// The same with GJS: the service on the session bus does what its arguments say, in worker processes.
const {Gio, GLib} = imports.gi;

const NAME = 'org.libpool.Service1';
const bus = Gio.bus_get_sync(Gio.BusType.SESSION, null);

function call(path, iface, method, values) {
    return bus.call_sync(NAME, path, iface, method, values, null, Gio.DBusCallFlags.NONE, -1, null).recursiveUnpack();
}

const [pool] = call('/org/libpool/Service1', NAME, 'CreatePool',
    new GLib.Variant('(sa{sv})', ['fork', {processes: new GLib.Variant('i', 2)}]));
const [results] = call(pool, `${NAME}.Pool`, 'Map',
    new GLib.Variant('(sva{sv})', ['debug.echo', new GLib.Variant('as', ARGV), {}]));
print(results.join(' '));
