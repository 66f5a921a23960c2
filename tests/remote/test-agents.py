#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Agents that come to a pool by themselves: they join and leave at any time, and no task is lost or run twice."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time

from pools import POOL_ERROR, Pools, are_gone, descendants, expect_all_right, make_keys, stop_for
from processes import status
from relay import Relay
from remotetest import for_each, main, test, wait_until

HEARTBEAT = 0.3
NO_SUCH_TASK, WORKER_LOST, BACKEND = f'{POOL_ERROR} 4', f'{POOL_ERROR} 10', f'{POOL_ERROR} 6'
MODULE = next(path for folder in os.environ['POOL_TASK_PATH'].split(':')
              if (path := pathlib.Path(folder) / 'pool-task-remote.so').exists())


def each_once(here, n):
    numbers, pids = here.read_notes()
    assert sorted(numbers) == list(range(n)) and set(numbers.values()) == {1}, numbers.most_common(9)
    return pids


def agents_among(pids):
    """Without who looks after them, and takes a moment more to see that all are gone."""
    def is_keeper(pid):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                return b'pool-keeper' in file.read()
        except OSError:
            return False
    return [pid for pid in pids if not is_keeper(pid)]


@test
def test_tasks_wait_for_an_agent_that_is_late():
    with Pools() as here:
        drive = here.drive_here('-n', 200, '--nap', 2000, '--file', here.notes)
        assert drive.endpoint == here.endpoint
        time.sleep(0.5)
        assert not here.notes.exists()
        agent = here.agent()
        result = drive.result()
        expect_all_right(result, 200)
        assert len(each_once(here, 200)) == 2
        drive.end()
        assert agent.wait(5) == 0
        here.expect_alone()


@test
def test_a_pool_leaves_no_socket_behind():
    with Pools() as here:
        drive = here.drive('-n', 5, env={'XDG_RUNTIME_DIR': str(here.path)})
        assert drive.endpoint.startswith(f'ipc://{here.path}/libpool-')
        assert len(list(here.path.iterdir())) == 1
        drive.result()
        drive.end()
        assert not list(here.path.iterdir())
        # and if it has no time to do that itself
        drive = here.drive('-n', 1000, '--nap', 10000, '--progress', 5, env={'XDG_RUNTIME_DIR': str(here.path)})
        drive.wait_for(5)
        drive.process.kill()
        drive.process.wait()
        assert wait_until(lambda: not list(here.path.iterdir()), 5), list(here.path.iterdir())


@test
def test_an_agent_may_be_there_before_its_pool():
    with Pools() as here:
        agent = here.agent()
        time.sleep(0.7)
        drive = here.drive_here('-n', 20)
        expect_all_right(drive.result(), 20)
        drive.end()
        assert agent.wait(5) == 0


@test
def test_a_second_agent_takes_its_share():
    with Pools() as here:
        drive = here.drive_here('-n', 300, '--nap', 10000, '--file', here.notes, '--progress', 50)
        first = here.agent()
        drive.wait_for(50)
        second = here.agent(workers=4)
        expect_all_right(drive.result(), 300)
        pids = each_once(here, 300)
        assert len(pids) == 6 and sum(sorted(pids.values())[:4]) > 60, pids
        drive.end()
        assert (first.wait(5), second.wait(5)) == (0, 0)


@for_each([signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_an_agent_drains_at(number):
    with Pools() as here:
        drive = here.drive_here('-n', 200, '--nap', 20000, '--file', here.notes, '--progress', 10)
        agents = [here.agent(), here.agent()]
        drive.wait_for(40)
        agents[0].send_signal(number)
        assert agents[0].wait(5) == 0
        result = drive.result()
        expect_all_right(result, 200)
        assert (result['n_retried'], result['workers'], result['wanted']) == (0, 2, 2), result
        each_once(here, 200)
        drive.end()
        assert agents[1].wait(5) == 0
        here.expect_alone()


@test
def test_the_last_agent_drains_and_the_next_goes_on():
    with Pools() as here:
        drive = here.drive_here('-n', 100, '--nap', 20000, '--file', here.notes, '--progress', 10)
        agent = here.agent('--stay')
        drive.wait_for(20)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(5) == 0
        here.agent()
        expect_all_right(drive.result(), 100)
        each_once(here, 100)
        drive.end()


@for_each([signal.SIGTERM, signal.SIGUSR1])
def test_an_agent_without_a_pool_ends_at(number):
    with Pools() as here:
        agent = here.agent('--retry', -1)
        time.sleep(0.3)
        agent.send_signal(number)
        assert agent.wait(5) == 0


@test
def test_tasks_of_a_killed_agent_go_elsewhere():
    with Pools() as here:
        drive = here.drive_here('-n', 300, '--nap', 10000, '--heartbeat', HEARTBEAT, '--progress', 10)
        agents = [here.agent(), here.agent()]
        drive.wait_for(40)
        family = descendants(agents[0].pid)
        assert len(family) >= 3, family
        agents[0].kill()
        agents[0].wait()
        result = drive.result()
        expect_all_right(result, 300)
        assert 1 <= result['n_retried'] <= 2 and (result['workers'], result['wanted']) == (2, 2), result
        assert result['seconds'] < 8 * HEARTBEAT + 3, result
        assert wait_until(lambda: are_gone(family), 1), here.describe()
        drive.end()
        here.expect_alone()


@test
def test_machines_that_go_do_not_break_a_pool():
    """Workers that came by themselves are not for the pool to replace, and no sign of bad tasks"""
    with Pools() as here:
        drive = here.drive_here('-n', 2000, '--nap', 10000, '--heartbeat', HEARTBEAT, '--progress', 10, '--max-restarts', 3)
        agents = [here.agent(workers=8) for _ in range(3)]
        drive.wait_for(60)
        for agent in agents[1:]:
            agent.kill()
        result = drive.result()
        expect_all_right(result, 2000)
        assert (result['workers'], result['wanted'], result['n_restarts']) == (8, 8, 0), result
        drive.end()


@test
def test_a_stopped_agent_works_again():
    with Pools() as here:
        drive = here.drive_here('-n', 800, '--nap', 10000, '--heartbeat', HEARTBEAT, '--progress', 10)
        agents = [here.agent(), here.agent()]
        drive.wait_for(40)
        stop_for(agents[0], 6 * HEARTBEAT, time.sleep)
        result = drive.result()
        expect_all_right(result, 800)
        assert result['workers'] == result['wanted'] == 4, result
        drive.end()
        assert [agent.wait(5) for agent in agents] == [0, 0]
        here.expect_alone()


@test
def test_the_only_agent_was_stopped():
    with Pools() as here:
        drive = here.drive_here('-n', 100, '--nap', 10000, '--heartbeat', HEARTBEAT, '--progress', 10)
        agent = here.agent()
        drive.wait_for(20)
        stop_for(agent, 6 * HEARTBEAT, time.sleep)
        result = drive.result()
        expect_all_right(result, 100)
        assert result['wanted'] == 2, result
        drive.end()
        assert agent.wait(5) == 0


@test
def test_a_stopped_pool_finds_its_agent_again():
    with Pools() as here:
        drive = here.drive_here('-n', 200, '--nap', 10000, '--heartbeat', HEARTBEAT, '--progress', 10)
        agent = here.agent()
        drive.wait_for(20)
        stop_for(drive.process, 6 * HEARTBEAT, time.sleep)
        expect_all_right(drive.result(), 200)
        drive.end()
        assert agent.wait(5) == 0


@for_each(['local', None])
def test_a_pool_that_is_busy_as_agents_come_with_launcher(launcher):
    with Pools() as here:
        options = '-n', 50, '--wait', 2, '--without-threads', '--at-most-once', '--file', here.notes, '--max-restarts', 1
        drive = here.drive('--launcher', launcher, *options) if launcher else here.drive_here(*options)
        if not launcher:
            here.agent()
        result = drive.result()
        expect_all_right(result, 50)
        assert (result['wanted'], result['n_restarts']) == (2, 0), result
        each_once(here, 50)
        drive.end()
        here.expect_alone()


@test
def test_with_a_killed_pool_its_own_agents_go():
    with Pools() as here:
        drive = here.drive('-n', 1000, '--nap', 10000, '--progress', 10, '-j', 4, '--per-agent', 2)
        drive.wait_for(50)
        # the program, two agents, four workers: the last may still be on their way
        assert wait_until(lambda: len(agents_among(descendants(drive.process.pid))) >= 7), here.describe()
        family = agents_among(descendants(drive.process.pid))
        drive.process.kill()
        drive.process.wait()
        assert wait_until(lambda: are_gone(family), 1), here.describe()
        here.expect_alone()


@test
def test_an_agent_that_was_started_and_stopped_is_replaced():
    with Pools() as here:
        drive = here.drive('-n', 300, '--nap', 10000, '--progress', 10, '-j', 4, '--per-agent', 2, '--heartbeat', HEARTBEAT,
                           '--hold')
        drive.wait_for(20)
        agents = agents_among(pid for pid in descendants(drive.process.pid) if status(pid)[1] == str(drive.process.pid))
        assert len(agents) == 2, agents
        os.kill(agents[0], signal.SIGSTOP)
        expect_all_right(drive.result(), 300)
        assert wait_until(lambda: are_gone(agents[:1]), 20)
        drive.process.stdin.close()
        result = drive.result()
        expect_all_right(result, 300)
        assert (result['workers'], result['wanted']) == (4, 4), result
        drive.end()
        here.expect_alone()


@test
def test_an_agent_stays_for_the_next_pool():
    with Pools() as here:
        options = '-n', 100, '--nap', 5000, '--heartbeat', HEARTBEAT, '--progress', 10
        agent = here.agent('--stay')
        for end in 'close', 'kill', 'close':
            drive = here.drive_here(*options)
            if end == 'kill':
                drive.wait_for(20)
                drive.process.kill()
                drive.process.wait()
            else:
                expect_all_right(drive.result(), 100)
                drive.end()
        assert agent.poll() is None
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(5) == 0
        here.expect_alone()


@test
def test_an_agent_gives_up_without_a_pool():
    with Pools() as here:
        start = time.monotonic()
        agent = here.agent('--retry', 1, stderr=subprocess.PIPE)
        assert agent.wait(5) == 1 and 1 <= time.monotonic() - start < 3
        assert b'no pool answers' in agent.stderr.read()
        drive = here.drive_here('-n', 1000, '--nap', 5000, '--heartbeat', HEARTBEAT, '--progress', 10)
        agent = here.agent('--retry', 1)
        drive.wait_for(20)
        drive.process.kill()
        drive.process.wait()
        assert agent.wait(4 * HEARTBEAT + 4) == 1
        here.expect_alone()


@test
def test_ten_thousand_tasks_and_agents_that_are_killed_and_stopped():
    rand, n = random.Random(1), 10000
    with Pools() as here:
        drive = here.drive('-n', n, '--nap', 2000, '--progress', 250, '-j', 6, '--per-agent', 2, '--heartbeat', HEARTBEAT,
                           '--max-retries', 100, '--max-restarts', 1000)
        killed = stopped = 0
        for ended in range(250, 9000, 250):
            drive.wait_for(ended)
            mine = descendants(drive.process.pid) - {drive.process.pid}
            agents = [pid for pid in mine if (words := status(pid)) and words[1] == str(drive.process.pid)]
            pid = rand.choice(sorted(agents if agents and rand.random() < 0.5 else mine) or [drive.process.pid])
            number = rand.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGSTOP])
            if pid == drive.process.pid:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            killed += number != signal.SIGSTOP
            stopped += number == signal.SIGSTOP
            # an agent that is stopped is missed; a worker that is, without a limit of its task, is not
            if number == signal.SIGSTOP and (pid not in agents or rand.random() < 0.5):
                time.sleep(rand.random())
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        result = drive.result()
        print(f'# {killed} signals to end, {stopped} to stop: {result}')
        expect_all_right(result, n)
        drive.end()
        here.expect_alone()


@for_each(['missing', 'another'])
def test_a_module_of_an_agent_is(how):
    with Pools() as here:
        folder = here.path / 'tasks'
        folder.mkdir()
        if how == 'another':
            (folder / MODULE.name).write_bytes(MODULE.read_bytes() + b'\0')
        drive = here.drive_here('-n', 4)
        here.agent(env={'POOL_TASK_PATH': str(folder)})
        result = drive.result()
        assert result['errors'] == {NO_SUCH_TASK: 4}, result
        assert ('checksum' if how == 'another' else 'remote') in result['example'], result
        # only that task does not work there
        drive.end()
        here.expect_alone()


@test
def test_at_most_once_is_once():
    with Pools() as here:
        drive = here.drive_here('-n', 200, '--nap', 10000, '--heartbeat', HEARTBEAT, '--at-most-once', '--progress', 10,
                                '--file', here.notes)
        agents = [here.agent() for _ in range(3)]
        drive.wait_for(60)
        agents[0].kill()
        drive.wait_for(100)
        stop_for(agents[1], 6 * HEARTBEAT, time.sleep)
        result = drive.result()
        lost = result['errors'].pop(WORKER_LOST, 0)
        assert lost >= 2 and result['right'] + lost == 200 and not result['errors'] and not result['open'], result
        assert set(here.read_notes()[0].values()) == {1}
        drive.end()


@test
def test_a_program_with_few_descriptors():
    with Pools() as here:
        drive = here.drive('-n', 20, '--nofile', 64)
        expect_all_right(drive.result(), 20)
        drive.end()
        drive = here.drive('-n', 20, '--nofile', 30)
        assert drive.read('error')['error'] == BACKEND
        assert drive.process.wait(5) == 1
        # each agent takes some more
        drive = here.drive('-n', 20, '-j', 30, '--per-agent', 1, '--nofile', 64)
        error = drive.read('error')
        assert error['error'] == BACKEND and 'descriptors' in error['message'], error
        assert drive.process.wait(5) == 1


@test
def test_large_arguments_and_results():
    with Pools() as here:
        drive = here.drive_here('-n', 60, '--kind', 'bytes', '--size', 3000000, '--heartbeat', HEARTBEAT, '--progress', 5)
        agents = [here.agent(), here.agent()]
        drive.wait_for(10)
        agents[0].kill()
        expect_all_right(drive.result(), 60)
        drive.end()


def on_its_own(here, argv, **keywords):
    """In a process tree of its own, as on another machine: nothing of the pool's can be seen from there."""
    user = [] if os.geteuid() == 0 else ['--user', '--map-root-user']
    return here.spawn(['unshare', *user, '--pid', '--fork', '--kill-child', '--mount-proc', *argv], **keywords)


@test
def test_values_that_take_longer_than_anyone_may_be_silent():
    # 5.3 s for each way of each value, where 4 s without a word are too long
    size, rate, heartbeat = 64 << 20, 12 << 20, 1
    with Pools() as here:
        drive = here.drive('--endpoint', 'tcp://127.0.0.1:*', '--key-file', here.path / 'manager.key', '--allowed-keys',
                           make_keys(here, 'manager', 'agent'), '--heartbeat', heartbeat, '-n', 2, '--kind', 'bytes',
                           '--size', size)
        host, port = drive.endpoint[len('tcp://'):].rsplit(':', 1)
        with Relay(('127.0.0.1', 0), (host, int(port)), popen=here.spawn) as relay:
            relay.limit(rate)
            start = time.monotonic()
            agent = here.agent('--key-file', here.path / 'agent.key', '--server-key', here.path / 'manager.pub',
                               endpoint='tcp://{}:{}'.format(*relay.address),
                               popen=lambda argv, **keywords: on_its_own(here, argv, **keywords))
            expect_all_right(drive.result(), 2)
            assert time.monotonic() - start > 2 * size / rate
            assert relay.count == 1
            drive.end()
            assert agent.wait(5) == 0


if __name__ == '__main__':
    main()
