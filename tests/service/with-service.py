#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""with-service.py POOL-SERVICE POOL PROGRAM [ARGUMENT…]: runs a program on a bus of its own, which starts the service."""

import subprocess
import sys

from servicetest import Bus

MANY = '[Client]\nMaxPools=100\nMaxWorkers=4000\n[User]\nMaxPools=1000\nMaxWorkers=8000\n'


def main():
    with Bus(MANY, speaks=True) as bus:
        return subprocess.run(sys.argv[3:], env=bus.environment).returncode


if __name__ == '__main__':
    sys.exit(main())
