# SPDX-License-Identifier: LGPL-2.1-or-later
"""Log records that are made in workers come out of the program's loggers."""

import logging
import threading

import pytest

from conftest import make
from gi.repository import Pool
import tasks


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def logger():
    made = logging.getLogger('tests.pool')
    keep = Keep()
    made.addHandler(keep)
    made.setLevel(logging.DEBUG)
    made.propagate = False
    made.records = keep.records
    yield made
    made.removeHandler(keep)
    made.setLevel(logging.NOTSET)
    made.propagate = True
    del made.records


def manage(kind, target, size=2, **options):
    if kind == 'threads':
        return Pool.Manager(target, size=size, backend='threads', **options)
    return Pool.Manager(target, size=size, start_method=kind, **options)


def work(x):
    logging.getLogger('tests.pool').info('task %d of %s', x, 'many', extra={'request': x})
    return x


def work_and_tell(name, level=logging.INFO):
    logging.getLogger(name).log(level, 'from %s', name)
    return name


def work_oddly(x):
    logging.getLogger('tests.pool').warning('odd %s', threading.Lock(), extra={'handle': threading.Lock(), 'good': x},
                                            stack_info=True)


def many(start, n):
    log = logging.getLogger('tests.pool')
    for i in range(start, start + n):
        log.debug('%d', i)
    return start


def not_at_all(x):
    log = logging.getLogger('tests.pool')
    log.debug('below the level')
    log.warning('%d %d', 'no number', 1)  # which a formatter cannot put together
    return log.isEnabledFor(logging.DEBUG)


class LogWorker(Pool.PoolProcess):
    def __init__(self):
        self.log = logging.getLogger('tests.pool')
        self.log.info('begins')

    def run(self, task):
        self.log.info('This is going to be logged, and sent to the main process')
        return task * 2


def test_a_logger(kind, logger):
    with manage(kind, work, logger=logger) as pool:
        for x in range(5):
            pool.put(x)
            assert pool.get() == x
            # a record is there before the result is
            assert len(logger.records) == x + 1
            record = logger.records[x]
            assert record.getMessage() == f'task {x} of many' and record.msg == 'task %d of %s'
            assert record.args == (x, 'many') and record.request == x
    record = logger.records[0]
    assert record.name == 'tests.pool' and record.levelno == logging.INFO and record.levelname == 'INFO'
    assert record.funcName == 'work' and record.filename == 'test_logging.py'
    if kind != 'threads':
        import os
        assert record.process != os.getpid()
        assert 'PoolWorker' in record.processName


def test_a_pool_process(kind, logger):
    with manage(kind, LogWorker, 1, logger=logger) as pool:
        pool.put(10)
        assert pool.get() == 20
    messages = [record.getMessage() for record in logger.records]
    assert messages == ['begins', 'This is going to be logged, and sent to the main process']


def test_exceptions_and_odd_fields(kind, logger):
    with manage(kind, tasks.log_exception, logger=logger) as pool:
        pool.put('tests.pool')
        pool.get()
    record, = logger.records
    assert record.levelno == logging.ERROR and record.request == 7
    text = logging.Formatter('%(message)s').format(record)
    assert 'it went wrong' in text and 'ZeroDivisionError' in text and '1 / 0' in text
    if kind != 'threads':
        assert 'lock' in record.handle
    logger.records.clear()
    with manage(kind, work_oddly, logger=logger) as pool:
        pool.put(1)
        pool.get()
    record, = logger.records
    assert 'lock' in record.getMessage() and record.good == 1 and 'work_oddly' in record.stack_info


def test_levels(kind, logger):
    logger.setLevel(logging.INFO)
    with manage(kind, not_at_all, logger=logger) as pool:
        pool.put(1)
        assert pool.get() is False
    assert [record.msg for record in logger.records] == ['%d %d']
    assert logger.records[0].args == ('no number', 1)


def test_a_level_of_its_own(kind, logger):
    logging.addLevelName(35, 'NOTICE')
    with manage(kind, work_and_tell, logger=logger) as pool:
        for level in 35, logging.CRITICAL, logging.DEBUG, 5, 100:
            pool.put('tests.pool', level)
            pool.get()
    assert [record.levelno for record in logger.records] == [35, 50, 10, 100]
    assert logger.records[0].levelname == 'NOTICE'


def test_filters_and_handlers_are_the_programs(kind, logger):
    seen = []
    logger.addFilter(lambda record: seen.append(record) or record.request != 1)
    try:
        with manage(kind, work, logger=logger) as pool:
            for x in range(3):
                pool.put(x)
            pool.getAll()
    finally:
        logger.filters.clear()
    if kind == 'threads':
        assert len(seen) == 3
    assert sorted(record.request for record in logger.records) == [0, 2]


def test_nothing_is_lost(kind, logger):
    with manage(kind, many, 2, logger=logger) as pool:
        for start in range(0, 10000, 100):
            pool.put(start, 100)
        pool.getAll()
        assert len(logger.records) == 10000
    numbers = [record.args[0] for record in logger.records]
    assert sorted(numbers) == list(range(10000))
    for start in range(0, 10000, 100):
        mine = [number for number in numbers if start <= number < start + 100]
        assert mine == list(range(start, start + 100))


def test_the_root_logger(kind):
    root, keep = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.INFO)
    try:
        with manage(kind, work_and_tell, logger=root) as pool:
            for name in None, 'tests.other', 'tests.other.deep':
                pool.put(name)
                pool.get()
    finally:
        root.removeHandler(keep)
        root.setLevel(level)
    assert [record.name for record in keep.records] == ['root', 'tests.other', 'tests.other.deep']
    assert [record.getMessage() for record in keep.records] == ['from None', 'from tests.other', 'from tests.other.deep']


def test_loggers_below_it(kind, logger):
    with manage(kind, work_and_tell, logger=logger) as pool:
        for name in 'tests.pool.a', 'tests.pool', 'tests.pool.a.b':
            pool.put(name)
            pool.get()
    assert [record.name for record in logger.records] == ['tests.pool.a', 'tests.pool', 'tests.pool.a.b']


def test_both_of_a_pair(kind, logger):
    """A record comes once out of the logger that it was given to, and from there to those above."""
    child, keep = logging.getLogger('tests.pool.child'), Keep()
    child.addHandler(keep)
    try:
        pool = manage(kind, work_and_tell)
        pool.addLogger(logger)
        pool.addLogger(child)
        with pool:
            pool.put('tests.pool.child')
            pool.get()
    finally:
        child.removeHandler(keep)
    assert len(keep.records) == 1 and len(logger.records) == 1


def test_adding_and_removing(kind, logger):
    other, keep = logging.getLogger('tests.second'), Keep()
    other.addHandler(keep)
    other.propagate = False
    other.setLevel(logging.INFO)
    try:
        pool = manage(kind, work_and_tell)
        pool.addLogger(logger)
        pool.addLogger(other)
        pool.add_logger(other)
        pool.removeLogger('tests.pool')
        with pytest.raises(KeyError):
            pool.removeLogger('tests.pool')
        with pytest.raises(KeyError):
            pool.removeLogger(logger)
        with pytest.raises(KeyError):
            pool.remove_logger('never')
        for bad in 'tests.pool', None, 1:
            with pytest.raises(TypeError):
                pool.addLogger(bad)
        with pool:
            with pytest.raises(RuntimeError):
                pool.addLogger(logger)
            with pytest.raises(RuntimeError):
                pool.removeLogger(other)
            pool.put('tests.second')
            pool.get()
            if kind != 'threads':
                pool.put('tests.pool')
                pool.get()
                assert logger.records == []
        assert [record.getMessage() for record in keep.records] == ['from tests.second']
        again = manage(kind, work_and_tell, logger=other)
        again.removeLogger(other)
    finally:
        other.removeHandler(keep)
        other.setLevel(logging.NOTSET)
        other.propagate = True


def test_other_loggers_are_not_touched(method, logger, capfd):
    """They write where they did, from the worker."""
    other = logging.getLogger('tests.loud')
    other.setLevel(logging.WARNING)
    with manage(method, work_and_tell, logger=logger) as pool:
        pool.put('tests.loud', logging.WARNING)
        pool.get()
    other.setLevel(logging.NOTSET)
    assert logger.records == []
    if method != 'fork':  # there, pytest's handlers are the child's
        assert 'from tests.loud' in capfd.readouterr().err


def test_the_programs_own_records(kind, logger):
    with manage(kind, work, logger=logger) as pool:
        logger.info('mine')
        pool.put(1)
        pool.get()
    assert [record.getMessage() for record in logger.records] == ['mine', 'task 1 of many']
    logger.info('after')
    assert len(logger.records) == 3


def test_a_handler_that_raises(kind, logger):
    class Bad(logging.Handler):
        def emit(self, record):
            raise OSError('full')

        def handleError(self, record):
            raise
    bad = Bad()
    with manage(kind, work, logger=logger) as pool:
        logger.addHandler(bad)
        try:
            pool.put(1)
            if kind == 'threads':
                with pytest.raises(OSError):
                    pool.get(timeout=20)
            else:
                assert pool.get(timeout=20) == 1
        finally:
            logger.removeHandler(bad)
        pool.put(2)
        assert pool.get(timeout=20) == 2


def test_loggers_of_a_pool(kind, logger):
    with make(kind, 2, loggers=[logger]) as pool:
        assert pool.map(work, range(10), 1) == list(range(10))
        assert sorted(record.request for record in logger.records) == list(range(10))
        logger.records.clear()
        assert list(pool.imap(work, range(10))) == list(range(10))
        assert pool.apply(work, (10,)) == 10
        assert sorted(record.request for record in logger.records) == list(range(11))
    with pytest.raises(TypeError):
        make(kind, 2, loggers=['tests.pool'])


def test_records_of_an_initializer(method, logger):
    with make(method, 2, work, (7,), loggers=[logger]) as pool:
        assert pool.apply(tasks.square, (3,)) == 9
        pool.worker_pids()
        assert {record.request for record in logger.records} == {7}


def test_records_of_a_worker_that_died(method, logger):
    with make(method, 1, loggers=[logger], max_retries=0) as pool:
        with pytest.raises(Pool.WorkerLostError):
            pool.apply(work_and_die)
        assert pool.apply(work, (2,)) == 2
    assert [record.getMessage() for record in logger.records] == ['task 1 of many', 'task 2 of many']


def work_and_die():
    work(1)
    tasks.kill_me()
