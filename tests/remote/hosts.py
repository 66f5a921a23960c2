# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several hosts on one machine, for tests of what goes over a network.

    with Hosts(['manager', 'a', 'b']) as hosts:
        server = hosts.popen('manager', ['server', hosts.address('manager')])
        hosts.run('a', ['client', hosts.address('manager')])
        hosts.link('a', up=False)

Each host is a network namespace with a cable to a switch in a namespace of its own; nothing of the machine's own
network is touched, and the test itself is on none of the hosts. Where namespaces are not permitted, a host is an
address of the loopback device, and link() and netem() raise Unsupported.
"""

import itertools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import shaper
from processes import Owner, Unsupported, is_orphan, kill, read_line
from relay import Relay

KINDS = ('namespaces', 'user-namespaces', 'loopback')
NAMES = pathlib.Path('/run/netns')
NAME = re.compile(r'pool-(\d+-\d+-\d+-\d+)-\w[\w-]*')
FIRST_PORT = 5001

# Everything below is as root would have it. What `ip netns` mounts is seen here alone, and ends with this process,
# which ends with its input.
ANCHOR = '''
mkdir -p /run/netns 2> /dev/null
mount -t tmpfs tmpfs /run/netns 2> /dev/null || { mount -t tmpfs tmpfs /run && mkdir /run/netns; } || exit 1
echo ready
exec cat > /dev/null
'''
# A host has a name, and a program begins where it was called.
ENTER = 'hostname "$1" && cd "$2" && shift 2 && exec "$@"'


class Hosts(Owner):
    """Hosts of the given names. kind: one of KINDS, or None for the first of them that works here, which is told by
    the attribute `kind`; `why` tells why it is not another. POOL_TEST_HOSTS in the environment chooses one, too.
    """

    def __init__(self, names, kind=None):
        super().__init__()
        assert len(set(names)) == len(names) <= 250 and 'switch' not in names
        assert all(re.fullmatch(r'\w[\w-]*', name) for name in names), names
        kind = kind or os.environ.get('POOL_TEST_HOSTS')
        assert kind in (None, *KINDS), kind
        self.names = list(names)
        self.wanted = [kind] if kind else KINDS
        self.kind = None
        self.why = ''
        self.anchor = None
        self.shapers = {}
        self.ports = itertools.count(FIRST_PORT)

    # what it is made of

    def start(self):
        reasons = []
        for kind in self.wanted:
            self.kind = kind
            try:
                if kind != 'loopback':
                    self._set_up()
                break
            except (OSError, EOFError, subprocess.TimeoutExpired) as error:
                reasons.append(f'{kind}: {error}')
                self.stop()
        self.why = '; '.join(reasons)
        if len(reasons) == len(self.wanted):
            raise Unsupported(self.why)

    def _set_up(self):
        if self.kind == 'namespaces':
            if os.geteuid() != 0:
                raise PermissionError('only root may')
            remove_orphans()
        else:
            self.anchor = self.spawn(['unshare', '--user', '--map-root-user', '--mount', '--net', 'sh', '-c', ANCHOR],
                                     bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            read_line(self.anchor)
        switch = self._netns('switch')
        self._ip('netns', 'add', switch)
        self._ip('-n', switch, 'link', 'add', 'br0', 'type', 'bridge')
        self._ip('-n', switch, 'link', 'set', 'br0', 'up')
        for name in self.names:
            netns, port = self._netns(name), self._port(name)
            self._ip('netns', 'add', netns)
            self._ip('-n', switch, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns)
            self._ip('-n', switch, 'link', 'set', port, 'master', 'br0', 'up')
            self._ip('-n', netns, 'address', 'add', self.address(name) + '/24', 'dev', 'eth0')
            self._ip('-n', netns, 'link', 'set', 'eth0', 'up')
            self._ip('-n', netns, 'link', 'set', 'lo', 'up')
        self.execute(self._on(self.names[0], ['true'], '/'))

    def stop(self):
        self.shapers = {}
        if self.kind == 'namespaces' and shutil.which('ip'):
            remove(self.mark)
        self.kill_all()
        self.anchor = None

    def _netns(self, name):
        return f'pool-{self.mark}-{name}'

    def _port(self, name):
        return f'port{self.names.index(name)}'

    def _inside(self, argv):
        """Where the names of the namespaces are known."""
        if self.anchor:
            enter = ['nsenter', '--preserve-credentials', '--user', '--mount', '--net']
            return [*enter, '--target', str(self.anchor.pid), *argv]
        return list(argv)

    def _ip(self, *words):
        return self.execute(self._inside(['ip', *words]))

    def _on(self, name, argv, cwd=None):
        """The command that runs a command on a host, without a process between."""
        self._check(name)
        if self.kind == 'loopback':
            return argv
        folder = os.path.abspath(cwd or '.')
        return self._inside(['ip', 'netns', 'exec', self._netns(name),
                             'unshare', '--uts', 'sh', '-c', ENTER, 'sh', name, folder, *argv])

    def _check(self, name):
        if name not in self.names:
            raise KeyError(f'there is no host {name!r}')

    def _need_namespaces(self, what):
        if self.kind == 'loopback':
            raise Unsupported(f'{what} needs network namespaces ({self.why or "loopback was asked for"})')

    # what tests do with it

    def address(self, name):
        """The address of a host, as a string."""
        self._check(name)
        number = self.names.index(name) + 1
        if self.kind != 'loopback':
            return f'10.77.0.{number}'
        return f'127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.{number}'

    def port(self, name):
        """A TCP port that nobody has on this host."""
        if self.kind != 'loopback':
            return next(self.ports)
        with socket.socket() as sock:
            sock.bind((self.address(name), 0))
            return sock.getsockname()[1]

    def popen(self, name, argv, **keywords):
        """Starts a program on a host, as subprocess.Popen does. Its pid is that of the program. It has no input unless
        it is given one. What still runs at the end is killed, and all that it has started.
        """
        argv = self._on(name, [os.fspath(word) for word in argv], keywords.get('cwd'))
        return self.spawn(argv, **keywords)

    def run(self, name, argv, *, timeout=30, check=False, **keywords):
        """Runs a program on a host to its end, as subprocess.run does; its output is captured, as text, unless it is
        said where it has to go.
        """
        given = keywords.pop('input', None)
        if not keywords.keys() & {'stdout', 'stderr'}:
            keywords.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if given is not None:
            keywords['stdin'] = subprocess.PIPE
        keywords.setdefault('text', True)
        process = self.popen(name, argv, **keywords)
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
        finally:
            if process.poll() is not None:
                self.processes.remove(process)
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    def link(self, name, *, up):
        """Pulls the cable of a host out of the switch, or puts it in. Nobody is told: connections stay."""
        self._need_namespaces('a link that goes down')
        self._check(name)
        self._ip('-n', self._netns('switch'), 'link', 'set', self._port(name), 'up' if up else 'down')

    def netem(self, name, settings):
        """Sets what happens to what a host sends, and to what is sent to it, as netem takes it: 'delay 20ms loss 5%'.
        So a delay counts twice there and back. Where the kernel has no netem, a process does `delay` and `loss`.
        """
        self._need_namespaces('netem')
        self.clear_netem(name)
        try:
            for netns, device in self._ends(name):
                self.execute(self._inside(['tc', '-n', netns, 'qdisc', 'replace', 'dev', device, 'root', 'netem',
                                           *settings.split()]))
        except OSError as error:
            if 'kind is unknown' not in str(error):
                raise
            self._shape(name, settings)

    def clear_netem(self, name):
        """Takes back what netem() has set."""
        self._need_namespaces('netem')
        self._check(name)
        if name in self.shapers:
            self._unshape(name)
            return
        for netns, device in self._ends(name):
            if ' netem ' in self.execute(self._inside(['tc', '-n', netns, 'qdisc', 'show', 'dev', device])):
                self.execute(self._inside(['tc', '-n', netns, 'qdisc', 'del', 'dev', device, 'root']))

    def _ends(self, name):
        self._check(name)
        return (self._netns('switch'), self._port(name)), (self._netns(name), 'eth0')

    def _shape(self, name, settings):
        """Puts a process between the port of the host and the switch."""
        switch, port = self._netns('switch'), self._port(name)
        near, far, bridge = (f'{word}{self.names.index(name)}' for word in ('near', 'far', 'br-'))
        command = [sys.executable, shaper.__file__, near, far, *shaper.parse(settings)]
        process = self.spawn(self._inside(['ip', 'netns', 'exec', switch, *command]), bufsize=0,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            read_line(process)
        except EOFError:
            raise Unsupported(process.communicate()[1].decode().splitlines()[-1]) from None
        self.shapers[name] = process
        self._ip('-n', switch, 'link', 'add', 'name', bridge, 'type', 'bridge')
        for device, master in (bridge, None), (near, bridge), (far, 'br0'):
            self._ip('-n', switch, 'link', 'set', device, *(['master', master] if master else []), 'up')
        self._ip('-n', switch, 'link', 'set', port, 'master', bridge)

    def _unshape(self, name):
        switch, port = self._netns('switch'), self._port(name)
        self._ip('-n', switch, 'link', 'set', port, 'master', 'br0')
        process = self.shapers.pop(name)
        process.kill()
        process.communicate()
        self.processes.remove(process)
        self._ip('-n', switch, 'link', 'del', f'br-{self.names.index(name)}')

    def proxy(self, name, target, port=0):
        """A relay on a host, at the given port or one that is free, to the target, an address and a port."""
        return Relay((self.address(name), port), target,
                     popen=lambda argv, **keywords: self.popen(name, argv, **keywords))


def netns_pids(netns):
    done = subprocess.run(['ip', 'netns', 'pids', netns], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=30, check=False)
    return [int(word) for word in done.stdout.split()]


def remove(mark):
    """Removes the namespaces of this mark, and ends who is in them."""
    for path in NAMES.glob(f'pool-{mark}-*'):
        kill(lambda netns=path.name: netns_pids(netns))
        # another test may be at it, too
        subprocess.run(['ip', 'netns', 'del', path.name], stderr=subprocess.DEVNULL, timeout=30, check=False)


def remove_orphans():
    """Removes what tests have left behind that were killed."""
    for path in NAMES.glob('pool-*'):
        match = NAME.fullmatch(path.name)
        if match and is_orphan(match[1]):
            remove(match[1])
