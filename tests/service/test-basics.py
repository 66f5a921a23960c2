#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is started by its bus, makes pools and runs tasks in them."""

import os

from servicetest import Bus, apply, count_threads, main, raises, test


@test
def starts_on_demand_and_runs_a_task():
    with Bus() as bus, bus.connect() as client:
        assert bus.pids() == []
        pool = client.create_pool(processes=1)
        assert len(bus.pids()) == 1
        assert apply(pool, 'debug.echo', '(s)', 'hello') == 'hello'
        assert apply(pool, 'debug.pid') not in (bus.pid(), os.getpid())
        pool.Close()


@test
def has_one_thread():
    with Bus() as bus, bus.connect() as client:
        client.service.ListTasks()
        pool = client.create_pool(processes=2)
        apply(pool, 'debug.echo', '(s)', 'x')
        # a reply that is an error is one of GLib's ways to a second
        raises('NoSuchTask', apply, pool, 'debug.nothing')
        assert count_threads(bus.pid()) == 1


@test
def lists_backends_and_tasks():
    with Bus() as bus, bus.connect() as client:
        assert [name for name, _ in client.service.ListBackends()] == ['fork']
        tasks = dict(client.service.ListTasks())
        assert 'debug.echo' in tasks and 'checksum.sha256' in tasks
        assert not [name for name in tasks if name.startswith('exec.')]


if __name__ == '__main__':
    main()
