# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program of workers, where an agent is given one of its own.

    pool worker --connect tcp://HOST:5555 -- /usr/bin/python3 -m gi.overrides._libpool
"""

import sys

import gi.repository.Pool  # noqa: F401

from .spawning import run

run(None, sys.argv[1:])
