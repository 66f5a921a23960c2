# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Slurm cluster of its own, for tests of what runs as jobs: one machine under the names of several nodes.

    with Slurm(directory) as cluster:
        cluster.srun(['--nodelist=n2', 'hostname'])
        job = cluster.sbatch('#!/bin/sh\\nsrun program\\n', '--nodes=2')
        cluster.wait_idle()

Needs Debian's packages slurm-wlm and munge, and root; Slurm.why_not() says what is missing. Everything is in the
directory and on the loopback device, with ports that nobody has; the machine's own Slurm and munge are not asked.
"""

import os
import pathlib
import random
import shutil
import socket
import subprocess
import time

from processes import LIMIT, Owner

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch', 'scancel', 'scontrol', 'squeue', 'sinfo')
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
# below those that the system hands out
PORTS = range(20000, 32000)
CONFIGURATION = '''
ClusterName=pool
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire={patience}
CryptoType=crypto/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
{nodes}
PartitionName=pool Nodes=ALL Default=YES State=UP
'''


class Slurm(Owner):
    """nodes: how many nodes there are, n1, n2, …; cpus: what each is said to have. More keywords are settings of
    slurm.conf. patience: for so many seconds a credential holds, and a job that was requeued waits.
    """

    def __init__(self, directory, nodes=2, cpus=2, patience=5, **settings):
        super().__init__()
        self.directory = pathlib.Path(directory).resolve()
        self.nodes = [f'n{number}' for number in range(1, nodes + 1)]
        self.cpus = cpus
        self.patience = patience
        self.settings = settings
        self.daemons = {}
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(('SLURM', 'SRUN', 'SBATCH', 'SALLOC'))}
        self.environment['SLURM_CONF'] = str(self.directory / 'slurm.conf')
        self.environment['PATH'] = os.environ.get('PATH', '') + ':' + PATH

    @staticmethod
    def why_not():
        """Why there can be no cluster here, None if there can."""
        missing = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
        if missing:
            return f'{", ".join(missing)} of slurm-wlm and munge are not installed'
        if os.geteuid() != 0:
            return 'only root can start a Slurm cluster'
        return None

    # what it is made of

    def start(self):
        if reason := self.why_not():
            raise OSError(reason)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in 'state', *self.nodes:
            (self.directory / name).mkdir(exist_ok=True)
        self._write_configuration()
        key = self.directory / 'munge.key'
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        self._daemon('munged', ['munged', '--foreground', '--force', '--num-threads=2',
                                *(f'--{what}={self.directory}/munge.{end}' for what, end in (
                                    ('key-file', 'key'), ('socket', 'socket'), ('pid-file', 'pid'),
                                    ('log-file', 'log'), ('seed-file', 'seed')))])
        self._wait_for('munged', (self.directory / 'munge.socket').exists)
        conf = self.environment['SLURM_CONF']
        self._daemon('slurmctld', ['slurmctld', '-D', '-c', '-f', conf])
        for node in self.nodes:
            self._daemon(node, ['slurmd', '-D', '-f', conf, '-N', node])
        self._wait_for('the nodes', lambda: self.states_are('idle'))

    def _write_configuration(self):
        host = socket.gethostname().split('.', maxsplit=1)[0]
        ports = free_ports(1 + len(self.nodes))
        lines = [f'NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports.pop()} CPUs={self.cpus}'
                 for node in self.nodes]
        text = CONFIGURATION.format(host=host, port=ports.pop(), directory=self.directory,
                                    patience=self.patience, nodes='\n'.join(lines))
        for name, value in self.settings.items():
            kept = [line for line in text.splitlines() if not line.startswith(name + '=')]
            text = '\n'.join([*kept, f'{name}={value}', ''])
        pathlib.Path(self.environment['SLURM_CONF']).write_text(text, encoding='utf-8')

    def _daemon(self, name, argv):
        with open(self.directory / f'{name}.out', 'wb') as out:
            self.daemons[name] = self.spawn(argv, env=self.environment, cwd=self.directory, stdout=out,
                                            stderr=subprocess.STDOUT)

    def _wait_for(self, what, condition, seconds=LIMIT):
        deadline = time.monotonic() + seconds
        pause = 0.01
        while not condition():
            ended = [f'{name} ended with status {daemon.returncode}' for name, daemon in self.daemons.items()
                     if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise TimeoutError('\n'.join([f'waited for {what}', *ended, self.logs()]))
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def logs(self, lines=15):
        """The last lines of what the daemons said."""
        texts = []
        for path in sorted([*self.directory.glob('*.out'), self.directory / 'munge.log']):
            if path.exists():
                last = path.read_text(encoding='utf-8', errors='replace').splitlines()[-lines:]
                texts.append('\n'.join([f'--- {path.name}', *last]))
        return '\n'.join(texts)

    def stop(self):
        """Ends the jobs, then the daemons in the order in which they need each other, each by its own pid."""
        orderly = 'slurmctld' in self.daemons and self.daemons['slurmctld'].poll() is None
        if orderly:
            try:
                self.command('scancel', '--user=root', check=False, timeout=5)
                self._wait_for('the end of the jobs', lambda: not self.queue(), 10)
            except (OSError, subprocess.TimeoutExpired):
                orderly = False
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(5 if orderly else 1)
            except subprocess.TimeoutExpired:
                daemon.kill()
        self.daemons = {}

    # what tests do with it

    def command(self, *words, check=True, timeout=60, **keywords):
        """Runs a program to its end, as subprocess.run does, with this cluster for its Slurm; its output is captured as
        text.
        """
        given = keywords.pop('input', None)
        if given is not None:
            keywords['stdin'] = subprocess.PIPE
        keywords = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True, **keywords}
        process = self.popen(*words, **keywords)
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
        if check and process.returncode:
            raise OSError(f'{" ".join(words)}: status {process.returncode}: {err}')
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def popen(self, *words, **keywords):
        """Starts a program with this cluster for its Slurm, as subprocess.Popen does."""
        keywords.setdefault('env', self.environment)
        keywords.setdefault('cwd', self.directory)
        return self.spawn([os.fspath(word) for word in words], **keywords)

    def srun(self, argv, **keywords):
        """Runs srun with these words to its end. Without --immediate it waits until there is room."""
        return self.command('srun', *argv, **keywords)

    def sbatch(self, script, *options):
        """Submits the text of a script as a batch job, and gives its id. Its output goes to slurm-ID.out in the
        directory, see output().
        """
        done = self.command('sbatch', '--parsable', f'--output={self.directory}/slurm-%j.out', *options, input=script)
        return int(done.stdout.split(';')[0])

    def output(self, job):
        """What a batch job has said so far."""
        path = self.directory / f'slurm-{job}.out'
        return path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''

    def states(self):
        """The state of each node, as sinfo has it."""
        done = self.command('sinfo', '--noheader', '--Node', '--format=%N %t', check=False, timeout=10)
        return dict(line.split() for line in done.stdout.splitlines()) if done.returncode == 0 else {}

    def states_are(self, state):
        """Whether all nodes are in this state."""
        return set(self.states().values()) == {state}

    def queue(self):
        """The state of each job that has not ended, by its id."""
        done = self.command('squeue', '--noheader', '--format=%A %T', timeout=10)
        return {int(job): state for job, state in map(str.split, done.stdout.splitlines())}

    def steps(self, job):
        """The steps of a job that run, as scancel takes them; not the batch script."""
        done = self.command('squeue', '--noheader', '--steps', f'--jobs={job}', '--format=%i', timeout=10)
        return [word for word in done.stdout.split() if word.split('.')[1].isdigit()]

    def wait_for(self, what, condition, seconds=LIMIT):
        """Waits until a condition holds; else TimeoutError, with what the daemons said."""
        self._wait_for(what, condition, seconds)

    def wait_idle(self, seconds=60):
        """Waits until there is no job, and all nodes have nothing to do."""
        self._wait_for('an idle cluster', lambda: not self.queue() and self.states_are('idle'), seconds)


def free_ports(count):
    """Ports that nobody has now."""
    found = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as sock:
            try:
                sock.bind(('', port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found
