# SPDX-License-Identifier: LGPL-2.1-or-later
"""Log records that are made in workers come out of the program's loggers.

A record travels as a GLib log record: its message and level as text for whoever looks at those, the record itself,
with all fields that can be pickled, beside them.
"""

import copy
import logging
import logging.handlers
import pickle

from gi.repository import GLib

#: a field of the GLib record
FIELD = 'PYTHON_RECORD'
#: GLib has domains; the root logger has no name
ROOT = 'python-root'


def domain_of(name):
    return name or ROOT


def check(logger):
    if not isinstance(logger, logging.Logger):
        raise TypeError(f'a logging.Logger is needed, not {logger!r}')
    return logger


def _level(levelno):
    if levelno >= logging.ERROR:
        return GLib.LogLevelFlags.LEVEL_CRITICAL
    if levelno >= logging.WARNING:
        return GLib.LogLevelFlags.LEVEL_WARNING
    if levelno >= logging.INFO:
        return GLib.LogLevelFlags.LEVEL_INFO
    return GLib.LogLevelFlags.LEVEL_DEBUG


def encode_record(record):
    """The record's fields, pickled. What cannot be pickled becomes text; a traceback is text already."""
    record = copy.copy(record)
    if record.exc_info:
        if not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
    fields = record.__dict__
    try:
        return pickle.dumps(fields, pickle.HIGHEST_PROTOCOL)
    except Exception:
        pass
    plain = {}
    for name, value in fields.items():
        try:
            pickle.dumps(value)
        except Exception:
            value = tuple(map(_plain, value)) if name == 'args' and isinstance(value, tuple) else repr(value)
        plain[name] = value
    return pickle.dumps(plain, pickle.HIGHEST_PROTOCOL)


def _plain(value):
    try:
        pickle.dumps(value)
        return value
    except Exception:
        return repr(value)


class _Sender(logging.Handler):
    """In a worker: sends each record to the program."""

    def __init__(self, name):
        super().__init__()
        self.domain = domain_of(name)

    def emit(self, record):
        try:
            fields = GLib.VariantDict.new(None)
            fields.insert_value('MESSAGE', GLib.Variant('s', record.getMessage()))
            fields.insert_value(FIELD, GLib.Variant.new_from_bytes(GLib.VariantType('ay'),
                                                                   GLib.Bytes.new(encode_record(record)), True))
            GLib.log_variant(self.domain, _level(record.levelno), fields.end())
        except Exception:
            self.handleError(record)


def intercept(loggers):
    """In a worker: the loggers of these names and levels write to the program only."""
    for name, level in loggers:
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
        logger.addHandler(_Sender(name))
        logger.propagate = False
        logger.setLevel(level)


def describe(loggers):
    """What intercept() needs in another process."""
    return [('' if logger.name == 'root' else logger.name, logger.getEffectiveLevel()) for logger in loggers]


def connect(manager, loggers):
    """In the program: records that arrive come out of these loggers."""
    by_domain = {domain_of('' if logger.name == 'root' else logger.name): logger for logger in loggers}

    def on_log(_, level, fields):
        data = fields.get(FIELD) if isinstance(fields, dict) else None
        if data is None:
            return
        domain = fields.get('GLIB_DOMAIN')
        record = logging.makeLogRecord(pickle.loads(bytes(data)))
        logger = by_domain.get(domain) or logging.getLogger(record.name)
        logger.handle(record)

    for domain in by_domain:
        manager.add_logger(domain)
        manager.connect('log::' + domain, on_log)
