#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools of MPI ranks: what they run, what they cost, and what comes of them when processes die."""

import hashlib
import os
import pathlib
import signal
import subprocess
import time

from ranks import COMMAND, IS_OPEN_MPI, Ranks, elsewhere, name_of, ticks, wait_for_end, words_of

from pools import POOL_ERROR, Drive, expect_all_right
from remotetest import Skip, for_each, main, test, wait_until

MONTE_CARLO = os.environ['POOL_MONTE_CARLO']
RECOVERY = ['--enable-recovery'] if IS_OPEN_MPI else ['-disable-auto-cleanup']
FILES = sorted(path for path in pathlib.Path('/usr/lib/python3').glob('**/*.py') if path.stat().st_size > 0)[:40]


def need_spawn():
    if not IS_OPEN_MPI:
        raise Skip('this MPI does not spawn')


@for_each([2, 3, 5])
def test_the_tool_runs_as_it_stands(n):
    with Ranks() as here:
        process = here.mpirun(n, COMMAND, 'map', '-k', '-b', 'mpi', 'checksum.sha256', *FILES, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.decode().splitlines() == [f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}' for path in FILES]
        here.expect_alone()


@test
def test_ranks_have_the_functions_of_the_program():
    with Ranks() as here:
        process = here.mpirun(4, MONTE_CARLO, 'mpi', stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out.count(b'\n')) == (0, 1) and b'that is right: yes' in out, out
        here.expect_alone()


@test
def test_agents_beside_another_program():
    with Ranks() as here:
        command = [COMMAND, 'map', '-b', 'mpi', 'debug.pid', *map(str, range(200))]
        workers = [':', '-n', '1', COMMAND, 'worker', '--mpi', '-j', '3']
        process = here.mpirun(1, *command, *workers, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(out.splitlines()) == 200
        here.expect_alone()


@test
def test_a_program_without_pool_init_is_told():
    with Ranks() as here:
        process = here.mpirun(2, *drive_words('-n', 1), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode != 0
        assert b'call pool_init() first in main()' in out, out


def drive_words(*words):
    return [os.environ['POOL_DRIVE'], '--backend', 'mpi', *words]


@test
def test_ranks_may_be_left_alone():
    with Ranks() as here:
        process = here.mpirun(3, COMMAND, 'map', '-b', 'fork', 'debug.echo', 'x', stdout=subprocess.PIPE,
                              env=dict(os.environ, POOL_RANKS='ignore'))
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out.count(b'x')) == (0, 3), out


@test
def test_a_crash_costs_a_task_and_no_rank():
    with Ranks() as here:
        words = [str((signal.SIGSEGV if i % 10 == 0 else signal.SIGURG).value) for i in range(1000)]
        # into files: when a rank ends with a failure, mpirun drops what it has not passed on yet
        script = 'exec "$@" > "$0/out.$OMPI_COMM_WORLD_RANK" 2> "$0/err.$OMPI_COMM_WORLD_RANK"'
        process = here.mpirun(3, 'sh', '-c', script, here.path, COMMAND, 'map', '-k', '-b', 'mpi', '-j', '2', 'debug.crash', *words)
        process.wait(80)
        out, err = (here.path / 'out.0').read_bytes(), (here.path / 'err.0').read_bytes()
        assert process.returncode not in (0, None) and process.returncode < 128, (process.returncode, err[-500:])
        assert len(out.splitlines()) == 900, (len(out.splitlines()), err[-500:])
        assert err.count(b'was killed by signal 11') == 100
        here.expect_alone()


@test
def test_a_lost_rank_with_recovery():
    with Ranks() as here:
        drive = here.drive_ranks(4, '-j', 3, '-n', 600, '--nap', 5000, '--progress', 50, options=RECOVERY)
        drive.wait_for(100)
        os.kill(here.programs(drive.process)[-1], signal.SIGKILL)
        result = drive.result()
        expect_all_right(result, 600)
        assert result['workers'] == 3, result
        drive.read('end_seconds')


@test
def test_a_lost_rank_without_recovery_ends_soon_and_can_be_resumed():
    with Ranks() as here:
        log, words = here.path / 'log', [str(0.02)] * 300
        command = [COMMAND, 'map', '-b', 'mpi', '--joblog', log, '--resume', 'debug.sleep', *words]
        process = here.mpirun(3, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_until(lambda: log.exists() and len(log.read_bytes().splitlines()) > 50)
        ranks = [pid for pid in here.family() if words_of(pid)[:1] == [COMMAND] and name_of(pid) == 'pool']
        os.kill(max(ranks), signal.SIGKILL)
        code, took = wait_for_end(process, 12)
        assert code not in (0, None) and took < 10, (code, took)
        done = len(log.read_bytes().splitlines())
        process = here.mpirun(3, *command, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and len(out.splitlines()) <= 300 - done + 2, (len(out.splitlines()), done)


@test
def test_a_stopped_rank():
    with Ranks() as here:
        drive = here.drive_ranks(3, '-j', 2, '-n', 400, '--nap', 5000, '--progress', 50, '--heartbeat', 0.3)
        drive.wait_for(50)
        rank = here.programs(drive.process)[-1]
        os.kill(rank, signal.SIGSTOP)
        drive.wait_for(350)
        os.kill(rank, signal.SIGCONT)
        expect_all_right(drive.result(), 400)
        drive.end()


@test
def test_the_process_that_has_the_mpi_is_killed():
    with Ranks() as here:
        drive = here.drive_ranks(3, '-j', 2, '-n', 400, '--nap', 5000, '--progress', 50, options=RECOVERY)
        drive.wait_for(50)
        os.kill(here.bridge(drive.process), signal.SIGKILL)
        start = time.monotonic()
        result = drive.result(20)
        assert time.monotonic() - start < 10
        assert result['open'] == 0 and result['wrong'] == 0 and result['twice'] == 0, result
        assert result['right'] + sum(result['errors'].values()) == 400, result
        assert set(result['errors']) <= {f'{POOL_ERROR} {code}' for code in (6, 10, 12)}, result


@for_each([100, 30000, 3000000])
def test_a_rank_of_another_machine(size):
    if not IS_OPEN_MPI or (unshare := elsewhere()) is None:
        raise Skip('no process can be hidden from the others here')
    with Ranks() as here:
        # there is nothing that is shared but the network
        command = [os.environ['POOL_DRIVE'], '--backend', 'mpi', '-j', 2, '-n', 60, '--kind', 'bytes', '--size', size, '--hold']
        worker = [':', '-n', '1', *unshare, COMMAND, 'worker', '--mpi', '-j', '2']
        process = here.mpirun(1, *command, *worker, options=['--mca', 'btl', 'self,tcp'], bufsize=0, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=dict(os.environ, POOL_TEST_RANKS='1'))
        drive = Drive(process)
        expect_all_right(drive.result(), 60)
        assert len({os.readlink(f'/proc/{pid}/ns/pid') for pid in here.family()}) == 2, here.describe()
        process.stdin.close()
        expect_all_right(drive.result(), 60)
        drive.end()


@test
def test_an_idle_pool_takes_little():
    with Ranks() as here:
        drive = here.drive_ranks(3, '-j', 2, '-n', 10, '--hold')
        expect_all_right(drive.result(), 10)
        time.sleep(1)
        pids = [*here.programs(drive.process), here.bridge(drive.process)]
        before = {pid: ticks(pid) for pid in pids}
        time.sleep(5)
        shares = {(pid, name_of(pid)): (ticks(pid) - before[pid]) / 5 for pid in pids}
        assert len(shares) == 4 and max(shares.values()) < 0.03, shares
        drive.process.stdin.close()
        expect_all_right(drive.result(), 10)
        drive.end()


@test
def test_spawned_agents_come_again():
    need_spawn()
    with Ranks() as here:
        drive = here.drive_spawned('-j', 2, '-n', 400, '--nap', 5000, '--progress', 50)
        drive.wait_for(50)
        agents = here.spawned()
        assert len(agents) == 1, here.describe()
        os.kill(agents[0], signal.SIGKILL)
        result = drive.result()
        expect_all_right(result, 400)
        drive.end()


@test
def test_a_pool_grows_by_spawning():
    need_spawn()
    with Ranks() as here:
        drive = here.drive_spawned('-j', 3, '--per-agent', 1, '-n', 200, '--nap', 2000, '--hold')
        expect_all_right(drive.result(), 200)
        assert len(here.spawned()) == 3
        drive.process.stdin.close()
        drive.end()
        here.expect_alone(seconds=10)


@test
def test_the_process_that_spawns_is_killed():
    need_spawn()
    with Ranks() as here:
        drive = here.drive_spawned('-j', 2, '-n', 400, '--nap', 5000, '--progress', 50)
        drive.wait_for(50)
        os.kill(here.bridge(drive.process), signal.SIGKILL)
        result = drive.result(20)
        assert result['open'] == 0 and result['wrong'] == 0 and result['twice'] == 0, result
        here.expect_alone(drive.process, seconds=15)


@for_each(['fork', 'threads', 'zmq'])
def test_other_backends_have_no_mpi(backend):
    with Ranks() as here:
        drive = here.drive('--backend', backend, '-n', 10, '--hold')
        drive.result()
        for pid in here.family():
            maps = pathlib.Path(f'/proc/{pid}/maps').read_text()
            assert 'libmpi' not in maps and 'libopen-pal' not in maps, (pid, words_of(pid))
        drive.process.stdin.close()
        drive.end()


if __name__ == '__main__':
    main()
