#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a program under a bus that has the service.

    run-on-bus.py POOL-SERVICE POOL PROGRAM [ARGUMENT...]
"""

import subprocess
import sys

from servicetest import Bus

with Bus('[Client]\nMaxPools=100\nMaxWorkers=1000\n[User]\nMaxPools=1000\nMaxWorkers=4000\n') as bus:
    status = subprocess.run(sys.argv[3:], env=bus.environment, check=False).returncode
    # what C++ says of an exception that ends a worker is all that may be there
    lines = bus.output().splitlines()
    assert all(line.startswith(('terminate called after throwing', '  what(): ')) for line in lines), lines
    (bus.folder / 'output').unlink(missing_ok=True)
sys.exit(status if status >= 0 else 128 - status)
