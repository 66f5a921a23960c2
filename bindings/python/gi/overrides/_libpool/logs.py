# SPDX-License-Identifier: LGPL-2.1-or-later
"""Log records that are made in workers come out of the program's loggers.

A record travels as a GLib log record: its message as text, the record itself, with all fields that can be pickled,
beside it. For GLib it is a debug message, whatever its level: it is not to be written twice, nor to end a worker where
G_DEBUG says that warnings are fatal.
"""

import copy
import logging
import pickle
import threading
import traceback

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


def _text(record):
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: the program's handlers say so
        return str(record.msg)


class _Sender(logging.Handler):
    """In a worker: sends each record to the program."""

    def __init__(self, name):
        super().__init__()
        self.domain = domain_of(name)

    def emit(self, record):
        try:
            fields = GLib.VariantDict.new(None)
            fields.insert_value('MESSAGE', GLib.Variant('s', _text(record)))
            fields.insert_value(FIELD, GLib.Variant.new_from_bytes(GLib.VariantType('ay'),
                                                                   GLib.Bytes.new(encode_record(record)), True))
            GLib.log_variant(self.domain, GLib.LogLevelFlags.LEVEL_DEBUG, fields.end())
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


def flush(manager, marker):
    """Waits until the records that have come are out of their loggers, in whatever thread that is done.

    ``marker``: a result of the pool that has ended: what is called for it is called after them.
    """
    done = threading.Event()
    marker.wait_async(None, lambda *_: done.set())
    try:
        manager.maintain_pool()  # this thread may be the one that has to do it
    except GLib.Error:  # somebody else is told
        pass
    # not for ever: a handler may wait for the result of a task
    done.wait(5)


def connect(manager, loggers):
    """In the program: records that arrive come out of these loggers."""
    by_domain = {domain_of('' if logger.name == 'root' else logger.name): logger for logger in loggers}

    def on_log(_, level, fields):
        data = fields.lookup_value(FIELD, None)
        if data is None:  # C code has made it
            return
        record = logging.makeLogRecord(pickle.loads(data.get_data_as_bytes().get_data()))
        domain = fields.lookup_value('GLIB_DOMAIN', None)
        if record.levelname == f'Level {record.levelno}':  # a name that only the program has given
            record.levelname = logging.getLevelName(record.levelno)
        logger = by_domain.get(domain.get_string() if domain is not None else '') or logging.getLogger(record.name)
        try:
            logger.handle(record)
        except Exception:  # of a handler; the record is the program's, and so is the problem
            traceback.print_exc()

    for domain in by_domain:
        manager.add_logger(domain)
        manager.connect('log::' + domain, on_log)
