#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   $ /usr/bin/python3 text-statistics.py ../LICENSE
"""Counts the words of files, with results as they come; a file that takes longer than 30 s is given up.

    text-statistics.py [--check] FILE...

With --check everything is counted once more without a pool, and the exit status tells whether both agree.
"""

import argparse
import collections
import re
import sys

from gi.repository import Pool


def count(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return path, collections.Counter(re.findall(r"[a-z]+", file.read().lower()))


def count_all(paths):
    """Returns counts by path, and exceptions."""
    counts, failures = {}, []
    with Pool.Pool(timeout=30) as pool:
        results = pool.imap_unordered(count, paths)
        while True:
            try:
                path, words = next(results)
                counts[path] = words
            except StopIteration:
                return counts, failures
            except (OSError, Pool.TimeLimitExceeded, Pool.WorkerLostError) as error:
                # the exception of one file; the next one brings the next file
                failures.append(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('files', nargs='+', metavar='FILE')
    options = parser.parse_args()

    counts, failures = count_all(options.files)
    if options.check:
        same = counts == dict(map(count, counts))
        print('the same as without a pool' if same else 'not the same as without a pool')
        return 0 if same and not failures else 1

    total = collections.Counter()
    print(f'{"words":>8}{"distinct":>10}  file')
    for path in sorted(counts):
        print(f'{sum(counts[path].values()):8}{len(counts[path]):10}  {path}')
        total.update(counts[path])
    print(f'{sum(total.values()):8}{len(total):10}  in all')
    print('most frequent:', ', '.join(f'{word} {n}' for word, n in total.most_common(3)))
    for error in failures:
        print(f'failed: {error.filename}: {error.strerror}' if isinstance(error, OSError) else f'failed: {error}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
