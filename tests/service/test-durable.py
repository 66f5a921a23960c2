#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Durable jobs: what was accepted is done, whatever happens to the service, and ends once."""

import contextlib
import os
import random
import signal
import sqlite3
import time

from servicetest import (Bus, Error, GLib, NAME, PATH, POOL_INTERFACE, apply, is_alive, iterate, main, raises, result, submit,
                         test, wait_for)

MANAGER = 'org.freedesktop.DBus.ObjectManager'


def objects(client):
    return client.call(PATH, MANAGER, 'GetManagedObjects', GLib.Variant('()', ()))


def rows(bus, what):
    """From a copy, which the service does not notice."""
    with contextlib.closing(sqlite3.connect(f'file:{bus.folder}/state/jobs.sqlite?mode=ro', uri=True)) as db:
        return db.execute(what).fetchall()


@test
def a_durable_job_outlives_the_service():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.echo', '(s)', 'kept', durable=True)
        # with that its pool is its user's
        assert pool.get('Persistent') is True and job.get('Durable') is True
        assert job.Wait('(d)', 10.0) is True
        bus.kill()
        assert job.get('State') == 'done' and job.get('Runs') == 1
        assert result(job, keep=True) == 'kept'
        failed = submit(pool, 'debug.raise', '(s)', 'as asked', durable=True)
        assert failed.Wait('(d)', 10.0) is False
        bus.kill()
        assert failed.get('State') == 'failed'
        raises('org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code0', result, failed, part='as asked')
        assert result(job) == 'kept'
        # a result that was fetched is gone, for good
        raises('org.freedesktop.DBus.Error.UnknownObject', result, job)
        # which is on the disk when a later one is
        submit(pool, 'debug.echo', '(s)', 'x', durable=True)
        bus.kill()
        raises('org.freedesktop.DBus.Error.UnknownObject', result, job)
        pool.Terminate()


@test
def unfinished_jobs_run_again():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, static_args=GLib.Variant('(x)', (100,)))
        running = submit(pool, 'debug.sleep', '(d)', 1.0, durable=True)
        waiting = [submit(pool, 'conform.add', '(x)', i, durable=True, correlation_id=str(i)) for i in range(20)]
        mapped = client.object(pool.call('MapAsync', '(sva{sv})', 'conform.add', GLib.Variant('a(xx)', [(1, 2), (3, 4)]),
                                         {'durable': GLib.Variant('b', True), 'star': GLib.Variant('b', True)}))
        bus.kill()
        # the next call starts another one, which has them all
        assert running.get('State') == 'pending'
        assert [result(job) for job in waiting] == [100 + i for i in range(20)]
        assert result(mapped) == [103, 107]
        assert running.Wait('(d)', 20.0) is True and running.get('Runs') == 2
        assert len(bus.pids()) == 2
        pool.Terminate()


@test
def jobs_are_listed_for_their_user():
    with Bus() as bus:
        with bus.connect() as client:
            pool = client.create_pool(processes=1)
            job = submit(pool, 'debug.echo', '(s)', 'x', durable=True, correlation_id='found again')
        with bus.connect() as other:
            found = {path: interfaces for path, interfaces in objects(other).items() if '/job/' in path}
            assert found[job.path][NAME + '.Job']['CorrelationId'] == 'found again'
            assert result(other.object(job.path)) == 'x'
            other.object(pool.path).Terminate()


@test
def cancelled_and_released_jobs_stay_so():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        cancelled = submit(pool, 'debug.sleep', '(d)', 60.0, durable=True)
        released = submit(pool, 'debug.sleep', '(d)', 60.0, durable=True)
        assert cancelled.Cancel() is True
        assert cancelled.Wait('(d)', 10.0) is False
        released.Release()
        # which is on the disk when a later one is
        submit(pool, 'debug.echo', '(s)', 'x', durable=True).Wait('(d)', 10.0)
        bus.kill()
        raises('Cancelled', result, cancelled)
        raises('org.freedesktop.DBus.Error.UnknownObject', result, released)
        pool.Terminate()


@test
def a_terminated_pool_ends_its_jobs_and_SIGTERM_does_not():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        job = submit(pool, 'debug.sleep', '(d)', 1.0, durable=True)
        bus.kill(signal.SIGTERM)
        assert job.Wait('(d)', 20.0) is True and job.get('Runs') == 2
        job = submit(pool, 'debug.sleep', '(d)', 60.0, durable=True)
        pool.Terminate()
        raises('Terminated', result, job)
        assert objects(client).keys() - {pool.path} != set()


@test
def a_closed_pool_stays_closed():
    with Bus() as bus:
        with bus.connect() as client:
            pool = client.create_pool(processes=1, persistent=True)
            idle = client.create_pool(processes=1, persistent=True)
            slow = submit(pool, 'debug.sleep', '(d)', 1.0, durable=True)
            last = submit(pool, 'debug.echo', '(s)', 'last', durable=True)
            pool.Close()
            path = pool.path
        bus.kill()
        with bus.connect() as client:
            pool = client.object(path)
            raises('Closed', apply, pool, 'debug.echo', '(s)', 'x')
            # what was accepted is done, and the pool ends with it
            assert result(client.object(last.path)) == 'last'
            assert result(client.object(slow.path)) == 1.0
            wait_for('the end of the pool', lambda: path not in objects(client))
            assert idle.path in objects(client)
        bus.kill()
        with bus.connect() as client:
            assert path not in objects(client) and idle.path in objects(client)


@test
def a_terminated_pool_is_gone_at_once():
    with Bus() as bus:
        with bus.connect() as client:
            pool = client.create_pool(processes=1, persistent=True)
            job = submit(pool, 'debug.sleep', '(d)', 60.0, durable=True)
            pool.Terminate()
        bus.kill()
        with bus.connect() as client:
            assert pool.path not in objects(client)
            # it depends on how far the service had come
            try:
                raise AssertionError(result(client.object(job.path)))
            except Error as error:
                assert error.name in ('Terminated', 'Closed'), error


@test
def nothing_is_made_for_a_service_that_keeps_nothing():
    with Bus() as bus, bus.connect() as client:
        assert apply(client.create_pool(processes=1), 'debug.echo', '(s)', 'x') == 'x'
        assert not (bus.folder / 'state/jobs.sqlite').exists()
        submit(client.create_pool(processes=1), 'debug.echo', '(s)', 'x', durable=True)
        assert (bus.folder / 'state/jobs.sqlite').stat().st_mode & 0o777 == 0o600


@test
def what_an_older_service_kept_is_taken():
    with Bus() as bus:
        with bus.connect() as client:
            pool = client.create_pool(processes=1, persistent=True)
            job = submit(pool, 'debug.echo', '(s)', 'x', durable=True)
            wait_for('its end', lambda: job.get('State') == 'done')
        bus.kill(signal.SIGTERM)
        with contextlib.closing(sqlite3.connect(f'{bus.folder}/state/jobs.sqlite')) as db:
            db.execute('ALTER TABLE pools DROP COLUMN is_closed')
            db.execute('PRAGMA user_version = 1')
            db.commit()
        with bus.connect() as client:
            assert pool.path in objects(client)
            assert result(client.object(job.path)) == 'x'
            client.object(pool.path).Close()


@test
def large_arguments_and_results_are_kept():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        data = os.urandom(3000000)
        job = submit(pool, 'debug.echo', '(ay)', data, durable=True)
        assert job.Wait('(d)', 20.0) is True
        bus.kill()
        assert result(job) == data
        pool.Terminate()


@test
def results_that_nobody_fetches_expire():
    with Bus('[Service]\nResultLifetime=1\nDurableLifetime=1\n') as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        jobs = [submit(pool, 'debug.echo', '(s)', 'x', durable=durable) for durable in (False, True)]
        for job in jobs:
            job.Wait('(d)', 10.0)
        wait_for('them to go', lambda: not [path for path in objects(client) if '/job/' in path])
        # what goes is written a turn later, with whatever else there is to write
        wait_for('them to go from the disk', lambda: rows(bus, 'SELECT count(*) FROM jobs') == [(0,)])
        pool.Terminate()


@test
def what_cannot_be_kept_is_not_accepted():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1)
        submit(pool, 'debug.echo', '(s)', 'x', durable=True).Wait('(d)', 10.0)
        with contextlib.closing(sqlite3.connect(f'{bus.folder}/state/jobs.sqlite')) as db:
            # as a full disk or a broken one would
            db.execute('CREATE TRIGGER no BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, "the disk is full"); END')
            db.commit()
            raises('Store', submit, pool, 'debug.echo', '(s)', 'x', durable=True, part='the disk is full')
            assert apply(pool, 'debug.echo', '(s)', 'x') == 'x'
            db.execute('DROP TRIGGER no')
            db.commit()
        assert result(submit(pool, 'debug.echo', '(s)', 'x', durable=True)) == 'x'
        pool.Terminate()


@test
def a_hundred_kills_during_ten_thousand_jobs():
    """The service is killed 100 times during 10^4 durable jobs: each ends exactly once in the store."""
    n, kills = 10000, 100
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=2, persistent=True)
        accepted, pending, next_kill, killed = {}, {}, 0, 0

        def begin(number):
            def done(outcome):
                del pending[number]
                if isinstance(outcome, Error):
                    # the service died over it: whether it was accepted is not known
                    assert outcome.name.startswith('org.freedesktop.DBus.Error'), outcome
                    unknown.append(number)
                else:
                    accepted[number] = outcome[0]
            pending[number] = True
            client.begin(pool.path, POOL_INTERFACE, 'ApplyAsync',
                         GLib.Variant('(sva{sv})', ('conform.square', GLib.Variant('(x)', (number,)),
                                                    {'durable': GLib.Variant('b', True),
                                                     'correlation-id': GLib.Variant('s', str(number))})), done)
        unknown = []
        for number in range(n):
            while len(pending) >= 50:
                GLib.MainContext.default().iteration(True)
            begin(number)
            if number >= next_kill:
                next_kill += n // kills
                alive = [pid for pid in bus.pids() if is_alive(pid)]
                for pid in alive:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                for _ in range(random.randrange(20)):
                    iterate()
        while pending:
            GLib.MainContext.default().iteration(True)
        print(f'# {killed} kills, {len(accepted)} accepted, {len(unknown)} with an unknown outcome, {len(bus.pids())} services')
        assert killed >= kills * 0.8 and len(accepted) > n * 0.3

        deadline = time.monotonic() + 60
        pool.get('State')
        while rows(bus, 'SELECT count(*) FROM jobs WHERE ended_at IS NULL') != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ended = dict(rows(bus, 'SELECT id, failure IS NULL FROM jobs'))
        assert all(ended.values())
        by_path = {path: interfaces[NAME + '.Job'] for path, interfaces in objects(client).items() if '/job/' in path}
        # every accepted one is there, once, and has its own result
        assert set(accepted.values()) <= set(by_path) and len(set(accepted.values())) == len(accepted)
        numbers = [int(job['CorrelationId']) for job in by_path.values()]
        assert len(numbers) == len(set(numbers)), 'a job was kept twice'
        assert set(numbers) <= set(accepted) | set(unknown)
        for number, path in random.sample(sorted(accepted.items()), 500):
            assert result(client.object(path)) == number * number
        pool.Terminate()


if __name__ == '__main__':
    main()
