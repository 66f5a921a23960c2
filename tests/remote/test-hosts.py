#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts on one machine and relays: what passes, what is cut, and that nothing is left of them."""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

from hosts import KINDS, NAMES, Hosts
from processes import Unsupported, read_line, since
from relay import Relay
from remotetest import Skip, for_each, main, test, wait_until

OWNER = pathlib.Path(__file__).with_name('owner.py')
ECHO = '''
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(self.client_address[0].encode() + b" " + line)
socketserver.ThreadingTCPServer.daemon_threads = True
with socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
'''
CLIENT = '''
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as sock:
    sock.settimeout(None)
    stream = sock.makefile("rw")
    print("ready", flush=True)
    for line in sys.stdin:
        print(line, end="", file=stream, flush=True)
        if not (answer := stream.readline()):
            sys.exit(1)
        print(answer, end="", flush=True)
'''


def works(kind):
    try:
        with Hosts(['a'], kind):
            return True
    except Unsupported:
        return False


WORKING = [kind for kind in KINDS if works(kind)]
NETWORKS = [kind for kind in WORKING if kind != 'loopback']


def python(program, *arguments):
    return [sys.executable, '-I', '-S', '-c', program, *map(str, arguments)]


def serve(hosts, name, port=None):
    """Answers on a host; gives its address."""
    address = hosts.address(name), port or hosts.port(name)
    read_line(hosts.popen(name, python(ECHO, *address), bufsize=0, stdout=subprocess.PIPE))
    return address


class Client:
    """A connection from a host to an address."""

    def __init__(self, hosts, name, address, seconds=20):
        self.process = hosts.popen(name, python(CLIENT, *address, seconds), bufsize=0, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        read_line(self.process, seconds + 20)

    def ask(self, text, seconds=20):
        """What comes back, and after how many seconds."""
        start = time.monotonic()
        self.process.stdin.write(text.encode() + b'\n')
        return read_line(self.process, seconds), time.monotonic() - start

    def round_trip(self):
        return min(self.ask('x')[1] for _ in range(5))


def raises(kind, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except kind as error:
        return error
    raise AssertionError(f'no {kind.__name__}')


@for_each(WORKING)
def test_everybody_reaches_everybody(kind):
    names = ['manager', 'a', 'b']
    with Hosts(names, kind) as hosts:
        assert hosts.kind == kind
        assert len({hosts.address(name) for name in names}) == 3
        servers = {name: serve(hosts, name) for name in names}
        for name in names:
            for other in names:
                answer, _ = Client(hosts, name, servers[other]).ask('hello')
                if kind != 'loopback':
                    assert answer == f'{hosts.address(name)} hello', answer
                assert answer.endswith(' hello'), answer


@for_each(NETWORKS)
def test_hosts_are_hosts(kind):
    with Hosts(['a', 'b'], kind) as hosts:
        assert [hosts.run(name, ['hostname']).stdout for name in 'ab'] == ['a\n', 'b\n']
        # a port of one is not a port of the other
        server = serve(hosts, 'a', 7000)
        raises(EOFError, Client, hosts, 'a', (hosts.address('b'), 7000), 1)
        serve(hosts, 'b', 7000)
        for name in 'ab':
            Client(hosts, name, server).ask('x')
        listing = hosts.run('a', ['ip', '-brief', 'address']).stdout
        assert hosts.address('a') in listing and len(listing.splitlines()) == 2, listing


@for_each(WORKING)
def test_programs_on_hosts(kind):
    with Hosts(['a', 'b'], kind) as hosts:
        folder = pathlib.Path('/usr/share').resolve()
        done = hosts.run('a', ['sh', '-c', 'pwd; echo $WORD; echo err >&2; cat; exit 3'], cwd=folder,
                         env={'WORD': 'a b', 'PATH': '/usr/bin:/bin:/usr/sbin'}, input='in')
        assert (done.returncode, done.stdout, done.stderr) == (3, f'{folder}\na b\nin', 'err\n'), done
        raises(subprocess.CalledProcessError, hosts.run, 'a', ['false'], check=True)
        raises(subprocess.TimeoutExpired, hosts.run, 'a', ['sleep', '100'], timeout=1)
        raises(KeyError, hosts.run, 'c', ['true'])
        process = hosts.popen('b', ['sleep', '100'])
        name = pathlib.Path(f'/proc/{process.pid}/comm')
        assert wait_until(lambda: name.read_text(encoding='utf-8') == 'sleep\n')
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


@for_each(NETWORKS)
def test_a_link_that_goes_down(kind):
    with Hosts(['manager', 'a', 'b'], kind) as hosts:
        server = serve(hosts, 'manager')
        first, second = (Client(hosts, name, server) for name in 'ab')
        first.ask('one')
        hosts.link('a', up=False)
        raises(TimeoutError, first.ask, 'two', 1)
        second.ask('the others are as they were')
        raises(EOFError, Client, hosts, 'a', server, 1)
        hosts.link('a', up=True)
        # the same connection, and nothing is lost
        assert read_line(first.process, 30).endswith(' two')
        assert first.ask('three')[0].endswith(' three')
        Client(hosts, 'a', server).ask('new')


@for_each(NETWORKS)
def test_netem(kind):
    with Hosts(['manager', 'a', 'b'], kind) as hosts:
        server = serve(hosts, 'manager')
        first, second = (Client(hosts, name, server) for name in 'ab')
        first.ask('x')
        try:
            hosts.netem('a', 'delay 100ms')
        except Unsupported as error:
            if kind == NETWORKS[0]:
                raise Skip(error) from error
            return
        assert 0.2 <= first.round_trip() < 1
        assert second.round_trip() < 0.1
        hosts.netem('a', 'delay 50ms 5ms loss 10%')
        # a lost packet is sent again
        assert 0.09 <= first.round_trip() < 1
        hosts.netem('a', 'loss 100%')
        raises(TimeoutError, first.ask, 'kept', 1)
        hosts.clear_netem('a')
        assert read_line(first.process, 30).endswith(' kept')
        assert first.round_trip() < 0.1
        hosts.clear_netem('a')
        raises((OSError, Unsupported), hosts.netem, 'a', 'delay of some kind')
        first.ask('still there')
        hosts.netem('b', 'delay 1ms')
        hosts.link('b', up=False)
        raises(TimeoutError, second.ask, 'x', 1)


@for_each(NETWORKS)
def test_much_data(kind):
    """More than a frame, with what the devices do not compute"""
    size = 20_000_000
    with Hosts(['a', 'b'], kind) as hosts:
        try:
            hosts.netem('a', 'delay 1ms')
        except Unsupported:
            pass
        server = serve(hosts, 'b')
        program = ('import hashlib, socket, sys\n'
                   'sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n'
                   f'text = bytes(range(97, 123)) * {size // 26} + b"\\n"\n'
                   'import threading\n'
                   'threading.Thread(target=sock.sendall, args=[text]).start()\n'
                   'stream = sock.makefile("rb")\n'
                   'print(stream.readline().split()[1] == text.strip())\n')
        assert hosts.run('a', python(program, *server), timeout=60).stdout == 'True\n'


@test
def test_the_network_of_the_machine_is_left_alone():
    if not NETWORKS:
        raise Skip('no namespaces')
    def look():
        return subprocess.run(['ip', '-brief', 'address'], stdout=subprocess.PIPE, check=True, timeout=10).stdout
    before = look()
    with Hosts(['a', 'b']) as hosts:
        hosts.link('a', up=False)
        assert look() == before
    assert look() == before


@test
def test_what_loopback_cannot_do():
    with Hosts(['manager', 'a'], 'loopback') as hosts:
        for function in lambda: hosts.link('a', up=False), lambda: hosts.netem('a', 'delay 1ms'), \
                lambda: hosts.clear_netem('a'):
            assert 'namespaces' in str(raises(Unsupported, function))
        assert hosts.address('a').startswith('127.')


def start_owner(kind, end):
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        [sys.executable, OWNER, 'hosts', kind, end], bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    mark, pids = json.loads(read_line(process))
    return process, mark, {pid: since(pid) for pid in pids}


def left(mark, pids):
    """What is left of an owner: processes and namespaces."""
    return [pid for pid, start in pids.items() if start and since(pid) == start] + \
        [path.name for path in NAMES.glob(f'pool-{mark}-*')]


@for_each(WORKING)
def test_nothing_is_left(kind):
    for end, number, status in (('exit', None, 0), ('raise', None, 1), ('wait', signal.SIGTERM, 128 + signal.SIGTERM),
                                ('wait', signal.SIGINT, -signal.SIGINT), ('wait', signal.SIGHUP, 128 + signal.SIGHUP)):
        process, mark, pids = start_owner(kind, end)
        if number:
            assert len(left(mark, pids)) >= 6
            process.send_signal(number)
        err = process.communicate(timeout=30)[1].decode()
        assert process.returncode == status, (end, number, process.returncode, err)
        assert wait_until(lambda m=mark, p=pids: not left(m, p), 2), (end, number, left(mark, pids))


@for_each(WORKING)
def test_what_a_killed_test_leaves_goes_with_the_next(kind):
    process, mark, pids = start_owner(kind, 'wait')
    other, other_mark, other_pids = start_owner(kind, 'wait')
    before = left(other_mark, other_pids)
    assert len(left(mark, pids)) >= 6
    process.kill()
    process.wait(30)
    for stream in process.stdout, process.stderr:
        stream.close()
    # here another test that starts may have been the next already
    with Hosts(['a', 'b'], kind):
        assert wait_until(lambda: not left(mark, pids), 2), left(mark, pids)
        # what has an owner stays
        assert left(other_mark, other_pids) == before
    other.terminate()
    other.communicate(timeout=30)
    assert wait_until(lambda: not left(other_mark, other_pids), 2)


def connect(relay):
    return socket.create_connection(relay.address, timeout=20)


def receive(sock, seconds=20):
    sock.settimeout(seconds)
    return sock.recv(100)


@test
def test_a_relay():
    with socket.create_server(('127.0.0.1', 0)) as server, \
            Relay(('127.0.0.1', 0), server.getsockname()) as relay:
        server.settimeout(20)
        assert relay.count == 0
        with connect(relay) as near, server.accept()[0] as far:
            near.sendall(b'there')
            assert receive(far) == b'there'
            far.sendall(b'back')
            assert receive(near) == b'back'
            assert (relay.count, relay.open) == (1, 1)

            relay.cut()
            near.sendall(b'held')
            raises(TimeoutError, receive, far, 0.3)
            with connect(relay) as second:
                server.settimeout(0.3)
                raises(TimeoutError, server.accept)
                server.settimeout(20)
                relay.resume()
                assert receive(far) == b'held'
                with server.accept()[0] as far_second:
                    second.sendall(b'new')
                    assert receive(far_second) == b'new'
                    assert relay.count == 2

            relay.delay(0.2)
            start = time.monotonic()
            near.sendall(b'late')
            assert receive(far) == b'late'
            assert 0.2 <= time.monotonic() - start < 2
            relay.delay(0)

            relay.limit(300)
            start = time.monotonic()
            near.sendall(b'x' * 100)
            assert receive(far) == b'x' * 100
            near.sendall(b'after')
            assert receive(far) == b'after'
            assert 0.3 <= time.monotonic() - start < 3

            # one way ends, the other not yet
            near.shutdown(socket.SHUT_WR)
            assert receive(far) == b''
            far.sendall(b'last')
            assert receive(near) == b'last'
            far.close()
            assert receive(near) == b''
            assert wait_until(lambda: relay.open == 0)


@test
def test_a_relay_that_drops():
    with socket.create_server(('127.0.0.1', 0)) as server, \
            Relay(('127.0.0.1', 0), server.getsockname()) as relay:
        server.settimeout(20)
        for cut in False, True:
            with connect(relay) as near, server.accept()[0] as far:
                if cut:
                    relay.cut()
                relay.drop()
                for end in near, far:
                    try:
                        assert receive(end) == b''
                    except ConnectionResetError:
                        pass
                assert wait_until(lambda: relay.open == 0)
                relay.resume()
        with connect(relay) as near, server.accept()[0] as far:
            near.sendall(b'new')
            assert receive(far) == b'new'
        server.close()
        # nobody is there: so it looks to who connects
        with connect(relay) as near:
            try:
                assert receive(near) == b''
            except ConnectionResetError:
                pass


@for_each(WORKING)
def test_relays_on_hosts(kind):
    with Hosts(['manager', 'a'], kind) as hosts:
        server = serve(hosts, 'manager')
        relay = hosts.proxy('a', server)
        assert relay.address[0] == hosts.address('a')
        client = Client(hosts, 'a', relay.address)
        client.ask('one')
        relay.cut()
        raises(TimeoutError, client.ask, 'two', 0.3)
        relay.resume()
        assert read_line(client.process, 20).endswith(' two')
        assert relay.count == 1
        relay.drop()
        client.process.stdin.write(b'three\n')
        assert client.process.wait(20) == 1


if __name__ == '__main__':
    main()
