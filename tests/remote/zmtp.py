# SPDX-License-Identifier: LGPL-2.1-or-later
"""A peer of a pool that says what it likes: ZMTP 3.0 (https://rfc.zeromq.org/spec/23/) over a Unix socket, without
security, and messages as in libpool/pool-wire-private.h.
"""

import socket
import struct
import time

MAGIC = 0x3157504c
(HELLO, UP, DOWN, RESULT, STATE, WAS_SPLIT, LOG, OUTPUT, LACKS, DRAINING, BYE, WELCOME, REFUSED, RESET, FUNCTION, TASK, CANCEL,
 SPLIT, NOTIFY, ANSWER, DOOM, KILL, RETIRE, ADD, TAKE_OUTPUT, STOP, PING, SHARE, RETURN) = range(1, 30)
# kinds of results that end no task
ACCEPTED, PROGRESS, LEAVING = 6, 7, 8
RECORD = struct.Struct('<HHIQQIIIIqQ')
FIELDS = 'type', 'part', 'worker', 'handle', 'id', 'kind', 'flags', 'n_items', 'item', 'time', 'size'


def record(kind_of, data=b'', **fields):
    values = dict.fromkeys(FIELDS, 0) | {'type': kind_of, 'size': len(data)} | fields
    return RECORD.pack(*(values[name] for name in FIELDS)) + data + bytes(-len(data) % 8)


def head(records, session=0, serial=0, n_parts=0, magic=MAGIC, n=None):
    return struct.pack('<IIQII', magic, serial, session, len(records) if n is None else n, n_parts) + b''.join(records)


def facts(text=b'\0a{sv}'):
    """An empty dictionary, as values are sent."""
    return text


def parse(message):
    """Session, serial and records of a message."""
    _, serial, session, n, _ = struct.unpack_from('<IIQII', message[0])
    offset, records = 24, []
    for _ in range(n):
        words = dict(zip(FIELDS, RECORD.unpack_from(message[0], offset)))
        offset += RECORD.size
        words['data'] = message[0][offset:offset + words['size']] if words['part'] == 0 else message[words['part']]
        offset += (words['size'] + 7) // 8 * 8 if words['part'] == 0 else 0
        records.append(words)
    return session, serial, records


class Peer:
    """A connection that has been through its handshake, as a DEALER of ZeroMQ."""

    def __init__(self, path, greets=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.buffer = bytearray()
        self.session = self.serial = 0
        if greets:
            self.socket.sendall(b'\xff' + bytes(8) + b'\x7f\3\0' + b'NULL'.ljust(20, b'\0') + bytes(32))
            self._read(64)
            self.command(b'\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0')
            flags, _ = self.frame()
            assert flags & 4

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _read(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError('cut off')
            self.buffer += data
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def command(self, body):
        self.socket.sendall(bytes([4, len(body)]) + body)

    def frame(self):
        flags = self._read(1)[0]
        size = struct.unpack('>Q', self._read(8))[0] if flags & 2 else self._read(1)[0]
        return flags, self._read(size)

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, *parts):
        frames = []
        for i, part in enumerate(parts):
            frames += struct.pack('>BQ', 2 | (i + 1 < len(parts)), len(part)), part
        self.socket.sendall(b''.join(frames))

    def receive(self, seconds=10):
        """The next message."""
        self.socket.settimeout(seconds)
        parts, more = [], True
        while more:
            flags, data = self.frame()
            if flags & 4:
                continue
            parts.append(data)
            more = flags & 1
        return parts

    # as an agent

    def hello(self, workers=2):
        self.send(head([record(HELLO, facts(), worker=workers)]))

    def join(self, workers=2):
        """Says hello until it has a session, and returns the records that it was welcomed with."""
        self.hello(workers)
        self.session, _, records = parse(self.receive())
        self.serial = 0
        assert records[0]['type'] == WELCOME, records
        return records

    def say(self, *records, **keywords):
        self.send(head(list(records), self.session, self.serial, **keywords))
        self.serial += 1

    def expect(self, kind_of, seconds=10):
        """The next record of a kind; PINGs are answered meanwhile."""
        while True:
            _, _, records = parse(self.receive(seconds))
            for words in records:
                if words['type'] == kind_of:
                    return words
                if words['type'] == PING and words['id'] == 0 and self.session:
                    self.say(record(PING))

    def may_be_silent(self, seconds):
        """Whether it still has its session after a time in which it says nothing."""
        time.sleep(seconds)
        self.say(record(PING))
        end = time.monotonic() + 1
        while (left := end - time.monotonic()) > 0:
            try:
                _, _, records = parse(self.receive(left))
            except TimeoutError:
                break
            if any(words['type'] == RESET for words in records):
                return False
        return True

    def up(self, n):
        self.say(*(record(UP, worker=i + 1, id=1000 + i, item=i) for i in range(n)))

    def join_with_workers(self, n):
        """Has a session, and all workers that it offers are up."""
        self.join(n)
        self.up(n)

    def was_cut_off(self, seconds=10):
        """It is told that it has no session any more."""
        return bool(self.expect(RESET, seconds))
