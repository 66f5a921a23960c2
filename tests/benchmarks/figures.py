# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table of the benchmark bed: every figure, its bars and the peer it is measured against."""

import dataclasses
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# a distribution's own Python where there is one: peers are measured as they are installed
PYTHON = '/usr/bin/python3' if pathlib.Path('/usr/bin/python3').exists() else sys.executable


@dataclasses.dataclass(frozen=True)
class Command:
    """One program that measures one figure."""
    program: str
    figure: str
    arguments: tuple = ()
    ranks: int = 0

    def line(self, bench_dir, arguments=()):
        if self.program.endswith('.py'):
            head = [PYTHON, str(HERE / self.program)]
        else:
            head = [str(pathlib.Path(bench_dir) / self.program)]
        if self.ranks:
            head = [os.environ['POOL_MPIRUN'], '-n', str(self.ranks), *head]
        return [*head, self.figure, *self.arguments, *arguments]

    @property
    def attempts(self):
        """multiprocessing hangs now and then; that is no failure of ours."""
        return 4 if self.program.endswith('.py') else 1

    def __str__(self):
        return ' '.join([self.program.removesuffix('.py'), self.figure, *self.arguments])


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row: what is measured, and what it has to reach.

    `bar` must be reached and `stretch` is the goal. With `relative` both are for the ratio to the peer of the
    same run, else for the value itself.
    """
    name: str
    backend: str
    command: Command
    higher: bool = False
    bar: float | None = None
    stretch: float | None = None
    relative: bool = False
    peer: Command | None = None
    series: str = ''

    @property
    def wanted(self):
        """The name of the line that holds the value."""
        return self.command.figure + self.series


def pool(backend, figure, *arguments):
    return Command('pool-bench', figure, ('--backend', backend, *arguments))


def glib(figure):
    return Command('peer-glib', figure)


def floor(figure, *arguments):
    return Command('peer-floor', figure, arguments)


def multiprocessing(figure):
    return Command('peer-multiprocessing.py', figure)


def fork(figure, bar=None, stretch=None, peer=None, **rest):
    return Figure(figure, 'fork', pool('fork', figure), bar=bar, stretch=stretch, peer=peer, **rest)


def threads(figure, bar, stretch, peer, **rest):
    return Figure(figure, 'threads', pool('threads', figure), bar=bar, stretch=stretch, peer=peer,
                  relative=True, **rest)


def raw_zmq(figure):
    return Command('peer-zmq', figure)


def zmq(figure, bar, stretch, peer, **rest):
    return Figure(figure, 'zmq', pool('zmq', figure), bar=bar, stretch=stretch, peer=peer, relative=peer is not None, **rest)


def raw_mpi(figure):
    return Command('peer-mpi', figure, ranks=2)


def mpi(figure, bar, stretch, peer, **rest):
    """With one worker, in a rank of its own, as the raw messages have it."""
    return Figure(figure, 'mpi', Command('pool-bench', figure, ('--backend', 'mpi', '--workers', '1'), 2), bar=bar,
                  stretch=stretch, peer=peer, relative=peer is not None, **rest)


def cold(placement):
    """Sleepers cost what the placement makes them cost; where it is free, the scheduler tosses a coin."""
    where = ('--placement', placement)
    bars = {} if placement == 'free' else {'bar': 1.15, 'stretch': 1.05}
    return Figure(f'rtt-cold-{placement}', 'fork', pool('fork', 'rtt-cold', *where),
                  peer=floor('futex-cold', *where), relative=True, **bars)


FIGURES = [
    fork('throughput-a', 10e6, 20e6, multiprocessing('map-chunk1'), higher=True),
    fork('throughput-a1', None, None, multiprocessing('map-chunk1'), higher=True),
    fork('throughput-a-batch', None, None, multiprocessing('map-default'), higher=True),
    fork('throughput-b', 2e6, 4e6, glib('gtask'), higher=True),
    fork('throughput-c', 0.35e6, 0.45e6, glib('variant-cap'), higher=True),
    fork('rtt-a', 0.8, 0.4, multiprocessing('apply')),
    fork('rtt-b', 1.5, 0.8, multiprocessing('apply')),
    fork('rtt-c', 6, 5, multiprocessing('apply')),
    cold('cross'),
    cold('same'),
    cold('free'),
    fork('payload-1m-copied', 5000, 6500, floor('copied-1m'), higher=True),
    fork('payload-1m-inplace', 20000, 35000, floor('inplace-1m'), higher=True),
    fork('payload-64m-copied', 1900, 2300, floor('copied-64m'), higher=True),
    fork('payload-64m-inplace', 8000, 11000, floor('inplace-64m'), higher=True),
    fork('start-2', 0.6, 0.4, multiprocessing('start-2')),
    fork('start-16', 3.3, 2, multiprocessing('start-16')),
    fork('start-64', 11, 7, multiprocessing('start-64')),
    fork('start-1000', 1000),
    Figure('start-1000.pss', 'fork', pool('fork', 'start-1000'), bar=200, series='.pss'),
    fork('pss-2', 760, 680, multiprocessing('pss-2')),
    fork('pss-16', 260, 220, multiprocessing('pss-16')),
    fork('pss-64', 170, 140, multiprocessing('pss-64')),
    fork('kill-error', 2, 0.5),
    fork('kill-strength', 2, 1, multiprocessing('recover')),
    fork('limit-error', 2, 0.5),
    fork('limit-error-deaf', 50, 2),
    fork('shutdown', 1000, 100),
    fork('idle-cpu', 0, 0),
    Figure('idle-cpu.switches', 'fork', pool('fork', 'idle-cpu'), bar=0, stretch=0, series='.switches'),
    fork('linear', 11),
    fork('linear-a1', 11),
    fork('linear-b', 11),
    threads('throughput-a', 2, 4, glib('threadpool-bulk'), higher=True),
    threads('throughput-b', 1, 2, glib('threadpool-bulk'), higher=True),
    threads('rtt-a', 1 / 8, 1 / 16, glib('threadpool-rtt')),
    threads('rtt-b', 1 / 8, 1 / 16, glib('threadpool-rtt')),
    Figure('idle-cpu', 'threads', pool('threads', 'idle-cpu'), bar=0, stretch=0),
    Figure('idle-cpu.switches', 'threads', pool('threads', 'idle-cpu'), bar=0, stretch=0,
           series='.switches'),
    Figure('linear', 'threads', pool('threads', 'linear'), bar=11),
    zmq('throughput-a', 0.7, 0.9, raw_zmq('one-way'), higher=True),
    zmq('throughput-b', None, None, None, higher=True),
    zmq('rtt-a', None, None, raw_zmq('rtt')),
    zmq('rtt-b', 1.15, 1.05, raw_zmq('rtt')),
    zmq('payload-1m-copied', 0.8, 0.95, raw_zmq('payload-1m'), higher=True),
    zmq('payload-1m-inplace', 0.8, 0.95, raw_zmq('payload-1m'), higher=True),
    Figure('start-2', 'zmq', pool('zmq', 'start-2')),
    mpi('throughput-a', 0.5, 0.8, raw_mpi('one-way'), higher=True),
    mpi('throughput-b', None, None, None, higher=True),
    mpi('rtt-a', 8, 4, raw_mpi('rtt')),
    mpi('rtt-b', None, None, raw_mpi('rtt')),
    mpi('rtt-idle', 3000, 1000, None),
    mpi('payload-1m-copied', None, None, raw_mpi('payload-1m'), higher=True),
    # for comparison: the same values through multiprocessing, and what the machine takes
    Figure('payload-1m', 'multiprocessing', multiprocessing('payload-1m'), higher=True),
    Figure('payload-64m', 'multiprocessing', multiprocessing('payload-64m'), higher=True),
    Figure('futex', 'floor', floor('futex')),
    Figure('eventfd', 'floor', floor('eventfd')),
    Figure('eventfd-cold-cross', 'floor', floor('eventfd-cold', '--placement', 'cross')),
    Figure('memcpy-1m', 'floor', floor('memcpy-1m'), higher=True),
    Figure('memcpy-64m', 'floor', floor('memcpy-64m'), higher=True),
    Figure('threadpool', 'glib', glib('threadpool'), higher=True),
    Figure('threadpool-rtt-cond', 'glib', glib('threadpool-rtt-cond')),
    Figure('gtask-rtt', 'glib', glib('gtask-rtt')),
]


def available(backends):
    """The rows that can be measured here with these backends; those of the machine always."""
    ours = {'fork', 'threads', 'zmq', 'mpi'}
    one_cpu = len(os.sched_getaffinity(0)) < 2
    return [figure for figure in FIGURES
            if (figure.backend not in ours or figure.backend in backends)
            and (figure.command.ranks == 0 or 'POOL_MPIRUN' in os.environ)
            and not (one_cpu and 'cross' in figure.command.arguments)]


def commands(figures):
    """What has to be run for the rows: each once, with the rows that read it."""
    jobs = {}
    for figure in figures:
        jobs.setdefault((figure.command, figure.peer), []).append(figure)
    return jobs
