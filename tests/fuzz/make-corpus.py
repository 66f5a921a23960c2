#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the inputs that fuzzing begins with: batches, values, errors and messages, good ones and such as are nearly good.

    make-corpus.py DIRECTORY
"""

import pathlib
import struct
import sys

ERROR = 1 << 63


def value(data, kind):
    return data + b'\0' + kind.encode()


def error(domain, code, message):
    return struct.pack('<i', code) + domain.encode() + b'\0' + message.encode() + b'\0'


def batch(items, errors=()):
    end, ends, data = 0, b'', b''
    for i, item in enumerate(items):
        end += len(item)
        ends += struct.pack('<Q', end | (ERROR if i in errors else 0))
        data += item
    return struct.pack('<Q', len(items)) + ends + data


def field(key, data, is_string=True):
    return struct.pack('<IBB', len(data), is_string, len(key)) + key + b'\0' + data + b'\0'


def record(fields, name=b'task', level=16, magic=b'PLR1', n=None):
    n = len(fields) if n is None else n
    return magic + struct.pack('<IIIQQQII', level, 1, 0, 99, 7, 0, n, len(name)) + name + b'\0' + b''.join(fields)


VALUES = {
    'boolean': value(b'\1', 'b'),
    'int32': value(struct.pack('<i', -5), 'i'),
    'int64-in-tuple': value(struct.pack('<q', 1 << 40), '(x)'),
    'double': value(struct.pack('<d', 1.5), 'd'),
    'string': value(b'text\0', 's'),
    'path': value(b'/a/b\0', 'o'),
    'signature': value(b'a{sv}\0', 'g'),
    'unit': value(b'\0', '()'),
    'nothing': value(b'', 'mi'),
    'just': value(struct.pack('<i', 3), 'mi'),
    'just-string': value(b'x\0\0', 'ms'),
    'bytes': value(bytes(range(40)), 'ay'),
    'bytes-in-tuple': value(bytes(range(9)), '(ay)'),
    'strings': value(b'a\0bc\0\0\2\5\6', 'as'),
    'empty-array': value(b'', 'a(sv)'),
    'padded': value(b'\1\0\0\0' + struct.pack('<i', 2), '(yi)'),
    'pair': value(b'a\0b\0\2', '(ss)'),
    'variant': value(struct.pack('<i', 7) + b'\0i', 'v'),
    'variant-in-variant': value(b's\0\0s\0v', 'v'),
    'dictionary': value(b'k\0\0\0\0\0\0\0\1\0y\2\x0c', 'a{sv}'),
    'arrays': value(struct.pack('<iii', 1, 2, 3) + b'\x08\x08\x0c', 'aai'),
    'long-type': value(b'\0' * 40, '(' + 'y' * 40 + ')'),
}
ERRORS = {
    'known': error('pool-error-quark', 12, 'The pool was terminated'),
    'gio': error('g-io-error-quark', 1, 'No such file'),
    'unknown': error('some-other-quark', -3, 'What nobody here knows'),
    'empty-message': error('g-io-error-quark', 0, ''),
    'unicode': error('g-file-error-quark', 4, 'mit Ümläuten'),
}
DAMAGED = {
    'error-no-domain': error('', 1, 'text'),
    'error-no-end': error('g-io-error-quark', 1, 'text')[:-1],
    'error-no-utf8': struct.pack('<i', 1) + b'g-io-error-quark\0\xff\xfe\0',
    'value-no-type': b'\1\2\3\4',
    'value-indefinite': value(b'', 'a*'),
    'value-deep': value(b'', 'a' * 200 + 'i'),
    'value-not-normal': value(b'\2', 'b'),
    'value-bad-offsets': value(b'a\0bc\0\0\7\5\6', 'as'),
    'batch-too-many': struct.pack('<Q', 1 << 61) + b'12345678',
    'batch-falling': struct.pack('<QQQ', 2, 4, 2) + b'abcd',
    'batch-beyond': struct.pack('<QQ', 1, 5) + b'abcd',
    'batch-rest': struct.pack('<QQ', 1, 3) + b'abcd',
}


FIELDS = [field(b'MESSAGE', 'größer'.encode()), field(b'GLIB_DOMAIN', b'd'), field(b'BYTES', b'a\0b', False)]
RECORDS = {
    'log-plain': record(FIELDS),
    'log-empty': record([]),
    'log-no-task': record(FIELDS[:1], b''),
    'log-binary-empty': record([field(b'B', b'', False)]),
    'log-bad-magic': record(FIELDS, magic=b'PLR2'),
    'log-too-many': record(FIELDS, n=4),
    'log-too-few': record(FIELDS, n=2),
    'log-huge-number': record(FIELDS, n=0xffffffff),
    'log-bad-key': record([field(b'A=B\n', b'x')]),
    'log-no-key': record([field(b'', b'x')]),
    'log-zero-in-text': record([field(b'A', b'x\0y')]),
    'log-name-no-utf8': record(FIELDS, b'\xff'),
    'log-long-value': record([struct.pack('<IBB', 0xffffffff, 0, 1) + b'A\0x\0']),
    'log-kind': record([field(b'A', b'x', 2)]),
}


def said(kind, data=b'', part=0, size=None, worker=1, handle=1 << 33):
    """A record of a message between a pool and an agent."""
    size = len(data) if size is None else size
    return struct.pack('<HHIQQIIIIqQ', kind, part, worker, handle, 7, 1, 0, 1, 0, 1000, size) + data + bytes(-len(data) % 8)


def message(records, parts=b'', n_parts=0, magic=b'LPW1', n=None, session=1 << 32):
    n = len(records) if n is None else n
    return magic + struct.pack('<IQII', 3, session, n, n_parts) + b''.join(records) + parts


FROM_AGENT = ('hello', 'up', 'down', 'result', 'state', 'was-split', 'log', 'output', 'draining', 'bye')
FROM_POOL = ('welcome', 'refused', 'reset', 'function', 'task', 'cancel', 'split', 'notify', 'answer', 'doom', 'kill', 'retire',
             'add', 'take-output', 'stop', 'ping')
WITH_DATA = {'hello': b'\0a{sv}', 'welcome': b'\0a{sv}', 'down': value(b'\0' * 44, '(uiittday)'), 'result': value(b'\1\0\0\0', 'i'),
             'log': record(FIELDS), 'output': b'out and err', 'refused': b'why', 'function': b'module.task\0digest\0',
             'task': value(struct.pack('<q', 5), '(x)')}
MESSAGES = {f'wire-{name}': message([said(kind, WITH_DATA.get(name, b''))])
            for kind, name in enumerate(FROM_AGENT + FROM_POOL, 1)}
MESSAGES |= {
    'wire-none': message([]),
    'wire-agent-all': message([said(kind, b'x' * kind) for kind in range(1, 11)]),
    'wire-pool-all': message([said(kind, b'x' * kind) for kind in range(11, 27)]),
    # the last byte tells how long parts are: see check_wire() in fuzz-parse.c
    'wire-part': message([said(4, part=1, size=24)], b'\x18' * 24, 1),
    'wire-parts': message([said(15, part=2, size=16), said(15, part=1, size=16)], b'\x10' * 32, 2),
    'wire-part-missing': message([said(4, part=9, size=24)], b'\x18' * 24, 1),
    'wire-both-sides': message([said(2), said(15)]),
    'wire-bad-magic': message([said(2)], magic=b'LPW2'),
    'wire-too-many': message([said(2)], n=2),
    'wire-huge-number': message([said(2)], n=0xffffffff),
    'wire-too-few': message([said(2), said(2)], n=1),
    'wire-no-type': message([said(0)]),
    'wire-type-beyond': message([said(27)]),
    'wire-data-beyond': message([said(4, b'12345678', size=9)]),
    'wire-data-huge': message([said(4, b'12345678', size=(1 << 64) - 1)]),
    'wire-data-wrap': message([said(4, b'12345678', size=(1 << 64) - 7)]),
    'wire-short-head': message([])[:23],
}


def main():
    directory = pathlib.Path(sys.argv[1])
    values, errors = list(VALUES.values()), list(ERRORS.values())
    files = {f'value-{name}': data for name, data in VALUES.items()}
    files |= {f'error-{name}': data for name, data in ERRORS.items()}
    files |= DAMAGED | RECORDS | MESSAGES
    files['batch-none'] = batch([])
    files['batch-empty-items'] = batch([b'', b'', b''])
    files['batch-bytes'] = batch([b'abc', b'', b'defg'])
    files['batch-values'] = batch(values)
    files['batch-errors'] = batch(errors, range(len(errors)))
    files['batch-mixed'] = batch([values[1], errors[0], values[4], errors[2]], {1, 3})
    files['batch-in-batch'] = batch([batch(values[:3]), batch([])])

    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob('*.bin'):
        old.unlink()
    for name, data in files.items():
        (directory / f'{name}.bin').write_bytes(data)


main()
