#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is let in to a pool on a network, and who is not; the pool goes on working for those that are.

    test-security.py POOL
"""

import contextlib
import hashlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

import gi

from remotetest import main, test, wait_until

gi.require_version('Pool', '1')
from gi.repository import GLib, Pool as Override  # noqa: E402  pylint: disable=wrong-import-position

Pool = Override.native
POOL = os.path.abspath(sys.argv[1])
SILENT = 5000
ROUNDS = 2
# a peer that says nothing is cut off after this time
HANDSHAKE_SECONDS = 3


def in_folder(function):
    def run():
        with tempfile.TemporaryDirectory(prefix='pool-security-') as folder:
            with contextlib.ExitStack() as stack:
                function(Site(pathlib.Path(folder), stack))
    run.__name__ = function.__name__
    return test(run)


def keygen(path):
    done = subprocess.run([POOL, 'keygen', '--print-public', path], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    return done.stdout.strip()


def iterate():
    while GLib.MainContext.default().iteration(False):
        pass


class Site:
    """The keys of a pool and of an agent that it allows, the pool, and agents."""

    def __init__(self, folder, stack):
        self.folder = folder
        self.stack = stack
        self.server_key = keygen(folder / 'pool')
        self.agent_key = keygen(folder / 'agent')
        self.allowed = folder / 'allowed'
        self.allowed.write_text(f'{self.agent_key} agent\n')
        self.manager = None
        self.n_hashed = 0

    def start(self, **properties):
        settings = {'key_file': str(self.folder / 'pool.key'), 'allowed_keys': str(self.allowed), **properties}
        self.manager = Pool.Manager(backend='zmq', launcher='none', endpoint='tcp://127.0.0.1:*')
        for name, value in settings.items():
            if value is not None:
                self.manager.set_property(name.replace('_', '-'), value)
        self.manager.start()
        self.stack.callback(self.end)
        return self.manager

    def end(self):
        self.manager.terminate()
        assert self.manager.join(30)

    @property
    def address(self):
        host, port = self.manager.props.endpoint[len('tcp://'):].rsplit(':', 1)
        return host.strip('[]'), int(port)

    def agent(self, key='agent', server=None, *words):
        """Starts an agent; what it prints is in a file."""
        path = self.folder / f'agent-{time.monotonic_ns()}.err'
        with path.open('wb') as err:
            # pylint: disable=consider-using-with
            process = subprocess.Popen([POOL, 'worker', '--connect', self.manager.props.endpoint, '-j', '1',
                                        '--key-file', self.folder / f'{key}.key',
                                        '--server-key', server or self.server_key, '--verbose', *words],
                                       stdin=subprocess.DEVNULL, stderr=err)
        process.err = path
        self.stack.callback(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def until(self, condition, seconds=30):
        """The pool's loop runs meanwhile."""
        def look():
            iterate()
            return condition()
        assert wait_until(look, seconds), f'{self.refused} were refused'

    @property
    def refused(self):
        iterate()
        return self.manager.props.n_refused

    def until_refused(self, n, seconds=30):
        self.until(lambda: self.refused >= n, seconds)

    def until_it_says(self, agent, text):
        self.until(lambda: text in agent.err.read_text())

    def hash(self):
        """The pool works."""
        self.n_hashed += 1
        path = self.folder / f'data-{self.n_hashed}'
        path.write_bytes(os.urandom(1000))
        value = self.manager.apply('checksum.sha256', GLib.Variant('(s)', (str(path),)), None, None)
        value = value.unpack()
        assert hashlib.sha256(path.read_bytes()).hexdigest() in str(value), value

    def connect(self):
        return socket.create_connection(self.address, timeout=20)


def is_closed(sock, seconds=20):
    """Reads until the other side ends it."""
    sock.settimeout(seconds)
    try:
        while sock.recv(1000):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def greeting(mechanism):
    return b'\xff' + bytes(8) + b'\x7f\x03\x00' + mechanism.ljust(20, b'\0') + bytes(32)


def command(name, data=b''):
    body = bytes([len(name)]) + name + data
    return b'\x04' + bytes([len(body)]) + body


def metadata(name, value):
    return bytes([len(name)]) + name + len(value).to_bytes(4, 'big') + value


READY = command(b'READY', metadata(b'Socket-Type', b'DEALER') + metadata(b'Identity', b''))


@in_folder
def test_the_right_key(site):
    site.start()
    site.agent()
    site.hash()
    # the key as a file, of which both kinds have it
    site.agent('agent', str(site.folder / 'pool.pub'))
    site.until(lambda: len(site.manager.get_workers()) >= 2)
    site.hash()
    assert site.refused == 0


@in_folder
def test_a_directory_of_keys(site):
    (site.folder / 'keys').mkdir()
    (site.folder / 'agent.pub').rename(site.folder / 'keys/agent.pub')
    site.start(allowed_keys=str(site.folder / 'keys'))
    site.agent()
    site.hash()


def start_error(site, **properties):
    try:
        site.start(**properties)
    except GLib.Error as error:
        assert error.matches(Pool.error_quark(), Pool.Error.AUTHENTICATION), error
        return error.message
    raise AssertionError('it started')


@in_folder
def test_no_keys(site):
    for missing in {'key_file': None}, {'allowed_keys': None}, {'key_file': None, 'allowed_keys': None}:
        message = start_error(site, **missing)
        assert 'pool keygen pool' in message and 'pool keygen agent' in message and 'allowed' in message, message
        for name in missing:
            assert name.replace('_', '-') in message.splitlines()[0], message
    os.chmod(site.folder / 'pool.key', 0o644)
    assert f'chmod 600 {site.folder}/pool.key' in start_error(site)
    os.chmod(site.folder / 'pool.key', 0o600)
    assert 'pool.pub' in start_error(site, key_file=str(site.folder / 'pool.pub'))
    assert f'{site.folder}/missing' in start_error(site, allowed_keys=str(site.folder / 'missing'))
    site.allowed.write_text('nonsense\n')
    assert str(site.allowed) in start_error(site)


@in_folder
def test_agents_that_lack_something(site):
    site.start()
    for words, text in (([], '--server-key'), (['--server-key', site.server_key], '--key-file'),
                        (['--server-key', 'missing', '--key-file', site.folder / 'agent.key'], 'missing')):
        done = subprocess.run([POOL, 'worker', '--connect', site.manager.props.endpoint, *words],
                              stderr=subprocess.PIPE, text=True, check=False, timeout=30)
        assert done.returncode == 1 and text in done.stderr, done


@in_folder
def test_the_wrong_server_key(site):
    site.start()
    site.agent()
    site.hash()
    stranger = site.agent('agent', site.agent_key)
    site.until_it_says(stranger, 'is ' + site.agent_key + ' the public key of that pool?')
    site.until_refused(1)
    site.hash()
    assert len(site.manager.get_workers()) == 1


@in_folder
def test_a_key_that_is_not_listed(site):
    site.start()
    other = keygen(site.folder / 'other')
    stranger = site.agent('other')
    site.until_it_says(stranger, f"refused this agent's key: is its public key, {other}, in the pool's allowed-keys?")
    site.until_refused(1)
    site.agent()
    site.hash()
    assert stranger.poll() is None
    assert stranger.err.read_text().count('refused') == 1
    # it is let in as soon as it is listed
    with site.allowed.open('a', encoding='utf-8') as file:
        print(other, file=file)
    site.until_it_says(stranger, 'works for')


@in_folder
def test_a_key_that_is_removed(site):
    site.start()
    agent = site.agent()
    site.hash()
    site.allowed.write_text('# nobody\n')
    site.stop(agent)
    before = site.refused
    again = site.agent()
    site.until_refused(before + 1)
    site.until_it_says(again, 'refused this agent')
    # a list that is broken lets nobody in
    site.allowed.write_text(f'{site.agent_key}\nnonsense\n')
    before = site.refused
    site.until_refused(before + 2)
    assert 'works for' not in again.err.read_text()
    site.allowed.write_text(f'{site.agent_key}\n')
    site.until_it_says(again, 'works for')
    site.hash()


@in_folder
def test_no_mechanism(site):
    site.start()
    site.agent()
    site.hash()
    before = site.refused
    for mechanism in b'NULL', b'PLAIN', b'CURVE', b'NONSENSE':
        with site.connect() as sock:
            sock.sendall(greeting(mechanism) + READY)
            # a message that would be taken from who is let in
            with contextlib.suppress(OSError):
                sock.sendall(b'\0\5hello')
            site.until(lambda s=sock: is_closed(s, 0.05))
        before += 1
        site.until_refused(before)
        site.hash()
    assert site.refused == before, (site.refused, before)


@in_folder
def test_garbage(site):
    site.start()
    site.agent()
    site.hash()
    before = site.refused
    for data in (b'GET / HTTP/1.0\r\n\r\n', b'\0' * 100, b'\xff' * 100, bytes(range(256)) * 40, b'\x01\x00' * 50,
                 b'\xff' + bytes(8) + b'\x7f\x01\x00', b'\xff' + bytes(8) + b'\x7f\x00', b'x' * 1_000_000):
        with site.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            site.until(lambda s=sock: is_closed(s, 0.05))
        before += 1
        site.until_refused(before)
        site.hash()
    assert site.refused == before, (site.refused, before)
    # some that come and go
    for _ in range(50):
        site.connect().close()
    before += 50
    site.until_refused(before)
    site.hash()
    assert site.refused == before, (site.refused, before)


@in_folder
def test_many_that_say_nothing(site):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(SILENT, (hard - 200) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * SILENT + 500)), hard))
    site.stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    site.start()
    site.agent()
    site.hash()
    before = site.refused
    for _ in range(ROUNDS):
        start = time.monotonic()
        with contextlib.ExitStack() as strangers:
            socks = [strangers.enter_context(site.connect()) for _ in range(count)]
            site.hash()
            took = time.monotonic() - start
            assert took < 60, took
            before += count
            site.until_refused(before, 60)
            assert time.monotonic() - start >= HANDSHAKE_SECONDS - 1
            assert all(is_closed(sock, 1) for sock in socks)
        assert site.refused == before, (site.refused, before, count)
    # another agent comes as ever
    site.agent()
    site.until(lambda: len(site.manager.get_workers()) >= 2)
    site.hash()


@in_folder
def test_strangers_while_agents_come(site):
    site.start()
    keygen(site.folder / 'other')
    strangers = [site.agent('other') for _ in range(3)]
    socks = [site.stack.enter_context(site.connect()) for _ in range(100)]
    agents = [site.agent() for _ in range(2)]
    for number, sock in enumerate(socks):
        if number % 2:
            sock.sendall(b'garbage ' * 10)
    for agent in agents:
        site.until_it_says(agent, 'works for')
    site.until_refused(50)
    for _ in range(20):
        site.hash()
    for stranger in strangers:
        stranger.send_signal(signal.SIGKILL)
    site.hash()


if __name__ == '__main__':
    main()
