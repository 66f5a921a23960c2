#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tables for those who come from another pool: every call of theirs is there, and everything of ours exists.

    test-coming-from.py coming-from.md GIR-FILE
"""

import importlib
import inspect
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

from gi.repository import Pool

import tap

TEXT = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')
GIR = ElementTree.parse(sys.argv[2])
CODE = re.compile(r'`([^`]+)`')

MAPS = 'map map_async starmap starmap_async imap imap_unordered'
RESULT = 'get wait ready successful'
# what the documents of those pools name
THEIRS = {
    'multiprocessing': f'''multiprocessing.Pool multiprocessing.pool.ThreadPool get_context processes initializer initargs maxtasksperchild
        apply apply_async {MAPS} close terminate join {RESULT} next cpu_count''',
    'billiard': f'''Pool processes initializer initargs maxtasksperchild timeout soft_timeout lost_worker_timeout max_restarts max_restart_freq
        on_process_up on_process_down on_timeout_set on_timeout_cancel threads semaphore putlocks allow_restart synack
        on_process_exit context max_memory_per_child enable_timeouts apply apply_async callback error_callback accept_callback
        timeout_callback waitforslot callbacks_propagate correlation_id {MAPS} {RESULT} ApplyResult.terminate ApplyResult
        MapResult close terminate join restart grow shrink terminate_job maintain_pool send_ack did_start_ok on_job_ready
        handle_result_event cpu_count process_sentinels TimeoutError SoftTimeLimitExceeded TimeLimitExceeded WorkerLostError''',
    'fiber': f'''fiber.Pool ZPool ResilientZPool ApplyResult MapResult get processes initializer initargs maxtasksperchild cluster
        master_sock_type apply apply_async {MAPS} close terminate join''',
    'better.multiprocessing': '''PoolManager PoolProcess target size static_args queue_size ordered logger daemon addLogger removeLogger put
        putAsync get getAll map start isAlive joinAsync join clearTasks close terminate run''',
    'mpi4py': f'''mpi4py.util.pool.Pool mpi4py.util.pool.ThreadPool processes initializer initargs maxtasksperchild context apply apply_async
        {MAPS} istarmap istarmap_unordered close terminate join AsyncResult ApplyResult MapResult {RESULT} MPIPoolExecutor''',
    'GThreadPool': ' '.join('g_thread_pool_' + name for name in '''new new_full push set_max_threads get_max_threads get_num_threads unprocessed
        set_sort_function move_to_front free set_max_unused_threads get_max_unused_threads get_num_unused_threads
        stop_unused_threads set_max_idle_time get_max_idle_time'''.split()),
}
# and what is found in them where they are installed
CLASSES = {
    'multiprocessing': ['multiprocessing.pool.Pool', 'multiprocessing.pool.ApplyResult', 'multiprocessing.pool.IMapIterator'],
    'mpi4py': ['mpi4py.util.pool.Pool', 'mpi4py.util.pool.AsyncResult'],
}
OBJECTS = {'pool': Pool.Pool, 'result': Pool.MapResult, 'iterator': Pool.IMapIterator, 'manager': Pool.Manager,
           'executor': Pool.Executor}


def rows(section):
    """The cells of a section's tables, without their heads."""
    body = re.search(rf'^## {re.escape(section)}$(.*?)(?=^## |\Z)', TEXT, re.M | re.S)[1]
    found = [[cell.strip() for cell in line.strip('|').split('|')] for line in body.splitlines() if line.startswith('| `')]
    assert found and all(len(cells) == 3 for cells in found), found
    return found


def resolve(name):
    """An object of Python by its name; a keyword in parentheses is one that it takes."""
    path, _, keyword = name.removesuffix(')').partition('(')
    first, *rest = path.split('.')
    found = Pool if first == 'Pool' else OBJECTS[first]
    for part in rest:
        found = getattr(found, part)
    if keyword:
        parameters = inspect.signature(found).parameters
        assert keyword.removesuffix('=') in parameters, f'{name}: there is no such parameter'


def names_of_c():
    """Functions, properties (PoolManager:name) and signals (PoolManager::name) in the introspection data."""
    core, c, glib = (f'{{http://www.gtk.org/introspection/{part}/1.0}}' for part in ('core', 'c', 'glib'))
    found = {element.get(f'{c}identifier') for element in GIR.iter()}
    for cls in GIR.iter(f'{core}class'):
        name = cls.get(f'{c}type')
        found |= {f'{name}:{element.get("name")}' for element in cls.iter(f'{core}property')}
        found |= {f'{name}::{element.get("name")}' for element in cls.iter(f'{glib}signal')}
    return found


def add(section):
    def every_call():
        cells = [code for left, _, _ in rows(section) for code in CODE.findall(left)]
        missing = [name for name in THEIRS[section].split() if name not in cells]
        assert not missing, f'not in the table: {missing}'
        for path in CLASSES.get(section, []):
            module, _, name = path.rpartition('.')
            try:
                cls = getattr(importlib.import_module(module), name)
            except ImportError:
                continue
            public = [member for member in vars(cls) if not member.startswith('_')]
            assert public and not set(public) - set(cells), f'{path}: {set(public) - set(cells)}'

    def everything_of_ours():
        c_names = names_of_c()
        for _, right, _ in rows(section):
            ours = CODE.findall(right)
            assert ours, right
            for name in ours:
                if section != 'GThreadPool':
                    resolve(name)
                else:
                    assert name.removesuffix('()') in c_names, name

    every_call.__doc__ = f'{section}: every call of theirs is in the table'
    everything_of_ours.__doc__ = f'{section}: everything of ours exists'
    tap.test(every_call)
    tap.test(everything_of_ours)


for title in THEIRS:
    add(title)


@tap.test
def a_name_that_does_not_exist_is_found():
    for name, error in ('pool.no_such_method()', AttributeError), ('Pool.Pool(no_such=)', AssertionError):
        try:
            resolve(name)
        except error:
            continue
        raise AssertionError(name)


tap.main()
