#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# /usr/bin/python3 asyncio-pool.py
"""A pool in a program that runs asyncio's loop: results are awaited, and come one by one in `async for`."""

import asyncio
import time

from gi.repository import Pool


def factor(n):
    """The smallest factor of n that is greater than 1"""
    return next((k for k in range(2, int(n ** 0.5) + 1) if n % k == 0), n)


async def tick(ticks):
    while True:
        await asyncio.sleep(0.01)
        ticks.append(time.monotonic())


async def main():
    ticks = []
    clock = asyncio.create_task(tick(ticks))
    with Pool.Pool(2) as pool:
        print('one:', await pool.apply_async(factor, (1_000_003 * 1_000_033,)))
        print('two at once:', *await asyncio.gather(pool.apply_async(factor, (91,)), pool.apply_async(factor, (143,))))

        async for found in pool.imap(factor, [15, 49, 97]):
            print('one by one:', found)

        try:
            await asyncio.wait_for(pool.apply_async(time.sleep, (60,)), timeout=0.2)
        except asyncio.TimeoutError:
            print('given up: the task is ended, too')
    clock.cancel()
    print('the loop went on:', len(ticks) > 5)


if __name__ == '__main__':
    asyncio.run(main())
