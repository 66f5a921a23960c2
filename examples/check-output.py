#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs an example and compares what it prints with the text of a file.

    check-output.py [--unordered] EXPECTED-FILE COMMAND...

`{sha256:NAME}` in the file stands for the digest of a file, `{sha256/N:NAME}` for its first N digits. With
--unordered the lines may come in any order.
"""

import difflib
import hashlib
import pathlib
import re
import subprocess
import sys


def digest(match):
    whole = hashlib.sha256(pathlib.Path(match[2]).read_bytes()).hexdigest()
    return whole[:int(match[1])] if match[1] else whole


def main(arguments):
    unordered = arguments[0] == '--unordered'
    expected, command = arguments[unordered], arguments[unordered + 1:]
    text = pathlib.Path(expected).read_text(encoding='utf-8')
    want = re.sub(r'\{sha256(?:/(\d+))?:([^}]+)\}', digest, text).splitlines()

    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, timeout=50, check=False)
    got = done.stdout.splitlines()
    if unordered:
        want, got = sorted(want), sorted(got)

    print('\n'.join(difflib.unified_diff(want, got, 'expected', 'printed', lineterm='')))
    if done.returncode != 0:
        print(f'{command[0]} ended with status {done.returncode}')
    return 0 if want == got and done.returncode == 0 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
