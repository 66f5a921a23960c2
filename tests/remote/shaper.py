#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delays and loses frames as netem does, where the kernel has no netem: a wire between two TAP devices.

    shaper.py NEAR FAR DELAY JITTER LOSS

Makes the two devices, says `ready`, and ends with its input. Times are in seconds, the loss is from 0 to 1; each holds
each way. With a jitter, frames may overtake each other.
"""

import fcntl
import heapq
import itertools
import os
import random
import re
import select
import struct
import sys
import time

from processes import Unsupported

TUNSETIFF = 0x400454ca
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
FRAME = 65536
FRAMES = 10000
UNITS = {'s': 1, 'ms': 1e-3, 'us': 1e-6, '': 1e-6}


def parse(text):
    """The part of netem's language that is known here: `delay TIME [JITTER]` and `loss PERCENT%`."""
    found = {'delay': 0.0, 'jitter': 0.0, 'loss': 0.0}
    duration = r'(\d+(?:\.\d+)?)(s|ms|us|)'
    rest = text.strip()
    while rest:
        if match := re.match(rf'delay\s+{duration}(?:\s+{duration})?(?:\s+|$)', rest):
            found['delay'] = float(match[1]) * UNITS[match[2]]
            found['jitter'] = float(match[3]) * UNITS[match[4]] if match[3] else 0.0
        elif match := re.match(r'loss\s+(?:random\s+)?(\d+(?:\.\d+)?)%(?:\s+|$)', rest):
            found['loss'] = float(match[1]) / 100
        else:
            raise Unsupported(f'this kernel has no netem, and {rest!r} is not known here')
        rest = rest[match.end():]
    return [str(found[name]) for name in ('delay', 'jitter', 'loss')]


def make_tap(name):
    tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def send(tap, frame):
    try:
        os.write(tap, frame)
    except OSError:
        pass  # a device that is down or full: frames may be lost


def forward(others, delay, jitter, loss):
    """Passes frames between the devices; others: where the frames of each device go."""
    waiting = []
    numbers = itertools.count()
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        readable = select.select([*others, sys.stdin], [], [], timeout)[0]
        if sys.stdin in readable:
            return
        for tap in readable:
            try:
                frame = os.read(tap, FRAME)
            except OSError:
                continue
            if random.random() >= loss and len(waiting) < FRAMES:
                due = time.monotonic() + delay + random.uniform(-jitter, jitter)
                heapq.heappush(waiting, (due, next(numbers), others[tap], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, tap, frame = heapq.heappop(waiting)
            send(tap, frame)


def main():
    near, far = make_tap(sys.argv[1]), make_tap(sys.argv[2])
    print('ready', flush=True)
    forward({near: far, far: near}, *map(float, sys.argv[3:]))


if __name__ == '__main__':
    main()
