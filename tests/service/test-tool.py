#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pool submit, jobs, wait, cancel and top, on a bus of their own."""

import json
import subprocess

from servicetest import Bus, POOL, apply, main, test


def run(bus, *words, status=0):
    result = subprocess.run([POOL, *words], env=bus.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == status, (words, result)
    return result.stdout.decode(), result.stderr.decode()


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


@test
def a_job_from_submission_to_its_result():
    with Bus() as bus:
        job = run(bus, 'submit', '--name', 'first', 'debug.echo', 'hello')[0].strip()
        assert job.isdigit()
        listed, = objects(run(bus, 'jobs', '--json')[0])
        assert (listed['job'], listed['task'], listed['name'], listed['durable']) == (job, 'debug.echo', 'first', True)
        assert run(bus, 'wait', '--keep', job)[0] == 'hello\n'
        assert 'done' in run(bus, 'jobs')[0]
        # whatever happens
        bus.kill()
        assert objects(run(bus, 'wait', '--json', job)[0]) == [{'job': job, 'value': 'hello'}]
        assert run(bus, 'jobs')[0] == ''
        assert 'no pool or job' in run(bus, 'wait', job, status=1)[1]


@test
def a_second_job_goes_to_the_same_pool():
    with Bus() as bus:
        for _ in range(3):
            run(bus, 'submit', 'debug.echo', 'x')
        pools = {job['pool'] for job in objects(run(bus, 'jobs', '--json')[0])}
        assert len(pools) == 1
        run(bus, 'submit', '-j2', 'debug.echo', 'x')
        run(bus, 'submit', '--pool', pools.pop(), 'debug.echo', 'x')
        assert len({job['pool'] for job in objects(run(bus, 'jobs', '--json')[0])}) == 2


@test
def arguments():
    with Bus() as bus:
        job = run(bus, 'submit', '--arguments', '(int64 1, int64 2)', 'conform.add')[0].strip()
        assert run(bus, 'wait', job)[0] == '3\n'
        large = 'x' * 100000
        job = run(bus, 'submit', 'debug.echo', large)[0].strip()
        assert run(bus, 'wait', job)[0] == large + '\n'
        run(bus, 'submit', '--arguments', '(1, 2)', 'conform.add', '3', status=2)
        run(bus, 'submit', '--arguments', 'nonsense', 'conform.add', status=2)
        run(bus, 'submit', status=2)
        assert 'NoSuch' not in run(bus, 'submit', 'debug.nothing', status=0)[1]


@test
def cancelling_and_failing():
    with Bus() as bus:
        job = run(bus, 'submit', '-j1', 'debug.sleep', '60')[0].strip()
        assert 'not ended' in run(bus, 'wait', '--timeout', '0.1', job, status=1)[1]
        run(bus, 'cancel', job)
        assert 'cancel' in run(bus, 'wait', '--keep', job, status=1)[1].lower()
        assert 'too late' in run(bus, 'cancel', job, status=1)[1]
        failed = run(bus, 'submit', 'debug.raise', 'as asked')[0].strip()
        done = run(bus, 'submit', 'debug.echo', 'x')[0].strip()
        out, err = run(bus, 'wait', failed, done, status=1)
        assert out == 'x\n' and 'as asked' in err


@test
def top():
    with Bus() as bus, bus.connect() as client:
        assert objects(run(bus, 'top', '--once', '--json')[0]) == []
        pool = client.create_pool(processes=2, persistent=True)
        for _ in range(5):
            apply(pool, 'debug.echo', '(s)', 'x')
        shown, = objects(run(bus, 'top', '--once', '--json')[0])
        assert shown['pool'] == pool.path and shown['done'] == 5 and shown['backend'] == 'fork'
        assert {worker['state'] for worker in shown['workers']} == {'idle'} and len(shown['workers']) == 2
        busier = client.create_pool(processes=1, persistent=True)
        for _ in range(6):
            apply(busier, 'debug.echo', '(s)', 'x')
        order = [row['pool'] for row in objects(run(bus, 'top', '--once', '--json', '--sort', 'done')[0])]
        assert order == [busier.path, pool.path]
        text = run(bus, 'top', '--once')[0]
        assert 'WORKERS' in text and pool.path.rsplit('/', 1)[1] in text
        run(bus, 'top', '--sort', 'colour', status=2)
        run(bus, 'top', '--interval', '0', status=2)


@test
def top_goes_on():
    with Bus() as bus, bus.connect() as client:
        pool = client.create_pool(processes=1, persistent=True)
        tool = subprocess.Popen([POOL, 'top', '--json', '--interval', '0.1'], env=bus.environment, stdout=subprocess.PIPE)
        try:
            first = json.loads(tool.stdout.readline())
            apply(pool, 'debug.echo', '(s)', 'x')
            later = json.loads(tool.stdout.readline())
            while later['done'] == 0:
                later = json.loads(tool.stdout.readline())
            assert first['done'] == 0 and later['done'] == 1 and later['rate'] > 0
        finally:
            tool.kill()
            tool.wait()
            tool.stdout.close()


if __name__ == '__main__':
    main()
