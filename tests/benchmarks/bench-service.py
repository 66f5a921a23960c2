#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service: round trips beside a bare echo of libdbus on the same bus, maps through memfds, and how fast it starts.

    meson test -C build --benchmark service --verbose

runs, on what was built,

    bench-service.py POOL-SERVICE POOL BENCH-SERVICE [ROUNDS]
"""

import os
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../service'))

from servicetest import Bus, Gio, GLib, NAME, apply, make_memfd  # noqa: E402

HELPER = os.path.abspath(sys.argv[3])
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 5


def show(name, values, unit):
    print(f'{name}: {statistics.median(values):.2f} {unit} (from {min(values):.2f} to {max(values):.2f})', flush=True)


def round_trips():
    ratios, bares, ours = [], [], []
    with Bus() as bus:
        echo = subprocess.Popen([HELPER, 'echo'], env=bus.environment, stdout=subprocess.PIPE)
        try:
            echo.stdout.readline()
            with bus.connect() as client:
                pool = client.create_pool(processes=1, persistent=True)
                for number in range(ROUNDS + 1):
                    out = subprocess.run([HELPER, 'call', pool.path, '500'], env=bus.environment, stdout=subprocess.PIPE,
                                         check=True, timeout=120).stdout
                    bare, our = map(float, out.split())
                    # the first warms up
                    if number > 0:
                        bares.append(bare)
                        ours.append(our)
                        ratios.append(our / bare)
        finally:
            echo.kill()
            echo.wait()
            echo.stdout.close()
    show('bare echo', bares, 'us')
    show('Apply', ours, 'us')
    show('Apply / bare echo', ratios, '')


def maps(n=1000000):
    import gi
    gi.require_version('Pool', '1')
    from gi.repository import Pool
    library = getattr(Pool, 'native', Pool)
    items = [GLib.Bytes.new(struct.pack('<q', i)) for i in range(n)]
    block = library.packed_new(items)
    value = GLib.Variant.new_from_bytes(GLib.VariantType('ay'), block, True)
    rates = []
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=2)
        apply(pool, 'debug.echo', '(s)', 'x')
        for _ in range(ROUNDS + 1):
            fd = make_memfd(value)
            start = time.monotonic()
            job = pool.call('MapAsync', '(sva{sv})', 'conform.bytes-echo', GLib.Variant('h', 0),
                            {'packed': GLib.Variant('b', True)}, fds=Gio.UnixFDList.new_from_array([fd]))
            _reply, fds = client.connection.call_with_unix_fd_list_sync(
                NAME, job, NAME + '.Job', 'Result', GLib.Variant('(da{sv})', (-1.0, {})), None, Gio.DBusCallFlags.NONE, 60000,
                None, None)
            rates.append(n / (time.monotonic() - start) / 1e6)
            os.close(fds.get(0))
    show(f'MapAsync of {n} packed items through memfds', rates[1:], 'M items/s')


def activations():
    times = []
    for _ in range(ROUNDS + 1):
        with Bus() as bus, bus.connect() as client:
            start = time.monotonic()
            pool = client.create_pool(processes=1)
            assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
            times.append((time.monotonic() - start) * 1000)
    show('activation and first result', times[1:], 'ms')


def idle():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=2)
        apply(pool, 'debug.echo', '(s)', 'x')
        time.sleep(1)

        def switches():
            with open(f'/proc/{bus.pid()}/status', encoding='ascii') as file:
                return sum(int(line.split()[1]) for line in file if 'ctxt_switches' in line)
        before = switches()
        time.sleep(5)
        print(f'wake-ups in 5 s idle: {switches() - before}')


round_trips()
maps()
activations()
idle()
