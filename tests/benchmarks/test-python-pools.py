#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each figure of Python's pools can be measured and gets right results; no time is looked at."""

import json
import pathlib
import subprocess
import sys
import tempfile

import tap

HERE = pathlib.Path(__file__).parent


@tap.test
def every_figure_can_be_measured():
    with tempfile.TemporaryDirectory() as folder:
        samples = pathlib.Path(folder, 'samples.json')
        ended = subprocess.run([sys.executable, HERE / 'python-pools.py', '--quick', '--peers', 'libpool', '--json', samples],
                               capture_output=True, text=True, timeout=250)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        measured = json.loads(samples.read_text())
    assert '0 failures' in ended.stdout
    for figure in 'map-chunk1', 'map-list', 'apply.p50', 'payload-64m-array', 'start-16', 'pss-2', 'kill-idle':
        assert measured[figure]['libpool'][0][0] > 0, figure
    assert measured['kill-idle']['libpool'][0] == [20], measured['kill-idle']


tap.main()
