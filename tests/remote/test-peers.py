#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Peers that say what no agent says: they are cut off, and their pool and its tasks take no harm."""

import contextlib
import os
import random
import signal
import struct
import time

from pools import Pools, expect_all_right
from remotetest import for_each, main, test
from zmtp import (ACCEPTED, BYE, DOWN, DRAINING, HELLO, LACKS, LEAVING, LOG, OUTPUT, PING, PROGRESS, RESULT, RETURN, SHARE, STATE, TASK, UP,
                  WAS_SPLIT, WELCOME, Peer, facts, head, record)

HEARTBEAT = 0.3
N = 300


@contextlib.contextmanager
def pool_with_an_agent():
    """A pool that works all the time, and in the end has done so."""
    with Pools() as here:
        # what one bad peer had may be the first that the next one is given
        drive = here.drive_here('-n', N, '--nap', 5000, '--heartbeat', HEARTBEAT, '--max-retries', 20, '--progress', 10, '--hold')
        agent = here.agent()
        drive.wait_for(10)
        yield here, lambda: Peer(here.path / 'pool')
        drive.process.stdin.close()
        expect_all_right(drive.result(), N)
        result = drive.result()
        expect_all_right(result, N)
        assert (result['workers'], result['wanted']) == (2, 2), result
        drive.end()
        assert agent.wait(5) == 0


@test
def test_garbage_of_all_kinds():
    good = head([record(HELLO, facts(), worker=2)])
    rand = random.Random(1)
    with pool_with_an_agent() as (here, connect):
        for data in [b'', b'\0', os.urandom(24), os.urandom(5000), good[:-1], good + b'\0', good[:20],
                     head([], n=0xffffffff), head([record(UP, size=1 << 63)]), head([record(PING)] * 1000, session=7),
                     head([record(WELCOME)]), head([record(HELLO, b'\1\2\3', worker=2)]), head([record(HELLO, b'', worker=1)]),
                     head([record(HELLO, facts(), worker=0)]), head([record(HELLO, facts(), worker=4001)]),
                     head([record(HELLO, b'\0i', worker=2)]), head([record(HELLO, part=1, size=5, worker=2)], n_parts=1)]:
            with connect() as peer:
                peer.send(data)
                peer.send(data, data)
                peer.send(*[data[:100]] * 1100)
        for _ in range(300):
            bad = bytearray(good)
            # but for the number of workers
            bad[rand.choice([*range(28), *range(32, len(bad))])] ^= 1 << rand.randrange(8)
            with connect() as peer:
                peer.send(bytes(bad))
        with Peer(here.path / 'pool', greets=False) as peer:
            peer.send_raw(os.urandom(1000))
        with connect() as peer:
            peer.send_raw(b'\2' + struct.pack('>Q', 1 << 62) + b'x')
        with connect() as peer:
            peer.send_raw(b'\3' + struct.pack('>Q', len(good)) + good)


@test
def test_silence():
    with pool_with_an_agent() as (here, connect):
        with Peer(here.path / 'pool', greets=False), connect(), connect() as peer:
            peer.hello(4000)
            assert peer.expect(WELCOME)
            # nobody answers the pings
            time.sleep(6 * HEARTBEAT)


@test
def test_silence_that_was_announced():
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(1)
            assert peer.expect(TASK)
            # which may take 40 s
            peer.say(record(PING, id=320 << 20))
            assert peer.may_be_silent(10 * HEARTBEAT)
            # it was there sooner
            assert not peer.may_be_silent(10 * HEARTBEAT)


@test
def test_silence_for_what_is_long():
    """The pool gave it something that takes a while to read"""
    with Pools() as here:
        drive = here.drive_here('-n', 1, '--kind', 'bytes', '--size', 24 << 20, '--heartbeat', HEARTBEAT)
        with Peer(here.path / 'pool') if wait_for_socket(here) else None as peer:
            peer.join_with_workers(1)
            announced = peer.expect(PING)
            while announced['id'] == 0:
                peer.say(record(PING))
                announced = peer.expect(PING)
            assert announced['id'] == 24 << 20, announced
            assert len(peer.expect(TASK)['data']) == 24 << 20
            assert peer.may_be_silent(6 * HEARTBEAT)
            # all is there now
            assert not peer.may_be_silent(10 * HEARTBEAT)
        here.agent()
        expect_all_right(drive.result(), 1)
        drive.end()


LIES = {
    'a result of a task that it does not have': record(RESULT, b'x', worker=1, handle=12345, kind=1, n_items=1),
    'progress of a task that it does not have': record(RESULT, worker=1, handle=12345, kind=PROGRESS),
    'that a worker began what it does not have': record(RESULT, worker=1, handle=12345, kind=ACCEPTED),
    'that a worker leaves that is none': record(RESULT, worker=77, handle=1, kind=LEAVING),
    'a result of no kind': record(RESULT, worker=1, handle=1, kind=99),
    'more workers than it has': b''.join(record(UP, worker=10 + i, item=2 + i) for i in range(2)),
    'a worker beyond all': record(UP, worker=9, item=1 << 31),
    'the end of a worker in no way': record(DOWN, b'\0i', worker=1),
    'the end of a worker that is none': record(DOWN, b'', worker=77),
    'what a worker does that is none': record(STATE, worker=77, handle=1),
    'that it lacks workers that it has': record(LACKS, n_items=1),
    'that it has done with memory that it never saw': record(RETURN, handle=4096),
    'where its memory is in no way': record(SHARE, b'anywhere', kind=1),
}


@for_each(LIES)
def test_who_tells(what):
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(2)
            peer.expect(TASK)
            lie = LIES[what]
            peer.say(*(lie[i:i + 56] for i in range(0, len(lie), 56)) if len(lie) % 56 == 0 else [lie])
            assert peer.was_cut_off()


@test
def test_a_task_of_somebody_else():
    with pool_with_an_agent() as (_, connect):
        with connect() as one, connect() as two:
            one.join_with_workers(1)
            two.join_with_workers(1)
            handle = one.expect(TASK)['handle']
            two.say(record(RESULT, b'\0' * 8, worker=1, handle=handle, kind=1, n_items=1))
            assert two.was_cut_off()
            one.say(record(BYE))


@test
def test_wrong_results_of_its_own_task():
    """What is no answer fails that task, and no other: here the pool does it again or tells of it"""
    with Pools() as here:
        drive = here.drive_here('-n', 50, '--nap', 1000, '--heartbeat', HEARTBEAT)
        with Peer(here.path / 'pool') if wait_for_socket(here) else None as peer:
            peer.join_with_workers(1)
            handle = peer.expect(TASK)['handle']
            peer.say(record(RESULT, os.urandom(40), worker=1, handle=handle, kind=2, n_items=1 << 31))
            peer.say(record(BYE))
        here.agent()
        result = drive.result()
        assert result['right'] == 49 and sum(result['errors'].values()) == 1 and not result['open'], result
        drive.end()


def wait_for_socket(here):
    while not (here.path / 'pool').exists():
        time.sleep(0.01)
    return True


@test
def test_replayed_and_missing_messages():
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(1)
            handle = peer.expect(TASK)['handle']
            peer.serial -= 1
            peer.say(record(STATE, worker=1, handle=handle))
            assert peer.was_cut_off()
            peer.session = 0
            peer.join(1)
            peer.serial = 3
            peer.up(1)
            assert peer.was_cut_off()
        with connect() as peer, connect() as other:
            peer.join(1)
            other.join(1)
            # in the name of another
            other.session = peer.session
            other.up(1)
            peer.up(1)
            assert peer.expect(TASK)
            peer.say(record(BYE))
            other.say(record(BYE))


@test
def test_an_agent_with_4000_workers_that_does_nothing():
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(4000)
            assert peer.expect(TASK)
        with connect() as peer:
            peer.join(4000)
            for _ in range(3):
                peer.up(4000)
            assert peer.was_cut_off()


@test
def test_a_flood_of_what_is_allowed():
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(2)
            handle = peer.expect(TASK)['handle']
            for _ in range(200):
                peer.say(*[record(PING), record(LOG, os.urandom(100), worker=1), record(OUTPUT, b'x' * 100, handle=handle, time=50,
                                                                                     n_items=3)] * 20)
            peer.say(record(STATE, worker=1, handle=handle, item=1 << 31))
            assert peer.was_cut_off(20)
        with connect() as peer:
            peer.join_with_workers(2)
            handle = peer.expect(TASK)['handle']
            peer.say(record(WAS_SPLIT, handle=handle, item=0x7fffffff))
            assert peer.was_cut_off(20)
        with connect() as peer:
            peer.join_with_workers(2)
            for _ in range(20):
                peer.say(record(DRAINING))
            peer.say(record(BYE))


@test
def test_many_that_come_and_go():
    with pool_with_an_agent() as (_, connect):
        for i in range(200):
            with connect() as peer:
                peer.hello(1 + i)
        time.sleep(5 * HEARTBEAT)


@test
def test_the_pool_says_nothing_to_a_signal_of_strangers():
    """KILL and the like are for agents to hear, not to say"""
    with pool_with_an_agent() as (_, connect):
        with connect() as peer:
            peer.join_with_workers(1)
            # a message that its sender has not to say is none
            peer.say(record(21, worker=1, kind=int(signal.SIGKILL)))
            try:
                peer.expect(WELCOME, 3)
                raise AssertionError('welcomed')
            except (TimeoutError, EOFError):
                pass


if __name__ == '__main__':
    main()
