#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# /usr/bin/python3 apply.py square.c queue.c
"""One call, many calls, and a call that fails: functions of this program, in two worker processes.

    apply.py FILE...
"""

import hashlib
import sys

from gi.repository import Pool


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()


def main(paths):
    with Pool.Pool(2) as pool:
        print('one call:', pool.apply(digest, (paths[0],))[:16])

        for path, found in zip(paths, pool.map(digest, paths)):
            print(found[:16], path)

        try:
            pool.apply(digest, ('/nonexistent',))
        except FileNotFoundError as error:
            print(f'not there: {error.filename}')


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit('usage: apply.py FILE...')
    main(sys.argv[1:])
