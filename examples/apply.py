#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library from Python through GObject-Introspection, with nothing in between.

Functions of task modules run in worker processes; a GError that a task sets is a GLib.Error here.

    apply.py FILE...
"""

import sys

import gi

gi.require_version('Pool', '1')
from gi.repository import GLib, Pool  # noqa: E402


def main(paths):
    pool = Pool.Manager(backend='fork', processes=2)
    pool.start()

    digest = pool.apply('checksum.sha256', GLib.Variant('(ay)', (paths[0].encode(),)), None, None)
    print('one call:', digest.unpack()[:16])

    digests = pool.map('checksum.sha256', GLib.Variant('aay', [path.encode() for path in paths]), 0, None)
    for path, digest in zip(paths, digests.unpack()):
        print(digest[:16], path)

    try:
        pool.apply('checksum.sha256', GLib.Variant('(ay)', (b'/nonexistent',)), None, None)
    except GLib.Error as error:
        print(f'not there: {error.domain}, code {error.code}')

    pool.close()
    pool.join(-1)


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit('usage: apply.py FILE...')
    main(sys.argv[1:])
