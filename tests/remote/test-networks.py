#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Agents on hosts: one is killed, one stopped, one cut off, and all are far away; and very many workers."""

import pathlib
import time

from hosts import Hosts
from pools import Pools, expect_all_right, make_keys, stop_for
from processes import Unsupported
from remotetest import Skip, for_each, main, test, wait_until

HEARTBEAT = 0.3
NAMES = ['manager', 'a', 'b', 'c']


class Network:
    """A pool on the first host, an agent on each other."""

    def __init__(self, hosts, here, *options):
        allowed = make_keys(here, *NAMES)
        self.hosts, self.here = hosts, here
        address = f'tcp://{hosts.address("manager")}:{hosts.port("manager")}'
        self.drive = here.drive('--endpoint', address, '--key-file', here.path / 'manager.key', '--allowed-keys', allowed,
                                '--heartbeat', HEARTBEAT, '--progress', 10, *options,
                                popen=lambda argv, **keywords: hosts.popen('manager', argv, **keywords))
        self.endpoint = self.drive.endpoint
        self.agents = {name: self.agent(name) for name in NAMES[1:]}

    def agent(self, name):
        return self.here.agent('--key-file', self.here.path / f'{name}.key', '--server-key', self.here.path / 'manager.pub',
                               endpoint=self.endpoint,
                               popen=lambda argv, **keywords: self.hosts.popen(name, argv, **keywords))

    def end(self, n):
        result = self.drive.result()
        expect_all_right(result, n)
        print(f'# {result}')
        return result


def cut(hosts, name, seconds):
    hosts.link(name, up=False)
    time.sleep(seconds)
    hosts.link(name, up=True)


@test
def test_three_hosts_and_what_happens_to_them():
    with Hosts(NAMES) as hosts, Pools() as here:
        network = Network(hosts, here, '-n', 2000, '--nap', 10000, '--file', here.notes)
        network.drive.wait_for(100)
        network.agents['a'].kill()
        network.drive.wait_for(300)
        stop_for(network.agents['b'], 6 * HEARTBEAT, time.sleep)
        try:
            cut(hosts, 'c', 6 * HEARTBEAT)
        except Unsupported as why:
            raise Skip(str(why)) from None
        network.end(2000)
        network.drive.end()


@for_each(['delay 40ms', 'loss 5%', 'delay 10ms loss 3%'])
def test_a_network_with(settings):
    with Hosts(NAMES) as hosts, Pools() as here:
        network = Network(hosts, here, '-n', 1000, '--nap', 2000)
        network.drive.wait_for(50)
        try:
            for name in NAMES[1:]:
                hosts.netem(name, settings)
        except Unsupported as why:
            raise Skip(str(why)) from None
        network.end(1000)
        network.drive.end()


def memory(pids):
    """Of processes, in MiB, each page once."""
    kib = 0
    for pid in pids:
        try:
            text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='utf-8')
        except OSError:
            continue
        kib += int(text.split('Pss:')[1].split()[0]) if 'Pss:' in text else 0
    return kib // 1024


def run_tasks(here, n_agents, n_workers, n_tasks):
    """Seconds until all are up, of the tasks, and the memory of all."""
    start = time.monotonic()
    drive = here.drive_here('-n', n_tasks, '--hold', '--heartbeat', 5, '--seconds', 40)
    agents = [here.agent(workers=n_workers) for _ in range(n_agents)]
    expect_all_right(drive.result(), n_tasks)
    assert wait_until(lambda: len(here.family()) >= n_agents * (n_workers + 2) + 1, 60), len(here.family())
    up = time.monotonic() - start
    used = memory(here.family())
    drive.process.stdin.close()
    result = drive.result()
    expect_all_right(result, n_tasks)
    assert result['workers'] == n_agents * n_workers, result
    took = drive.end()
    assert [agent.wait(20) for agent in agents] == [0] * n_agents
    return up, result, used, took


@test
def test_a_thousand_workers():
    with Pools() as here:
        few = run_tasks(here, 2, 2, 20000)
    with Pools() as here:
        many = run_tasks(here, 20, 50, 20000)
    for name, (up, result, used, took) in {'4': few, '1000': many}.items():
        print(f'# {name} workers: up in {up:.1f} s, {20000 / result["seconds"]:.0f} tasks/s, longest stall {result["stall"]:.2f} s, '
              f'{used} MiB in all, the pool {result["memory_kib"] // 1024} MiB at its peak, ended in {took:.2f} s')


if __name__ == '__main__':
    main()
