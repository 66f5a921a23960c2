# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs: how they end, how they are interrupted, and what their workers are made of."""

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from conftest import PROCESSES, until
from gi.repository import Pool
import tasks

HERE = os.path.dirname(os.path.abspath(__file__))

PROGRAM = '''
import os, sys, time, signal
from gi.repository import Pool

def square(x):
    return x * x

def slow(x):
    time.sleep(60)

def main():
{body}

if __name__ == '__main__':
    main()
'''


def write(path, body, program=PROGRAM):
    path.write_text(program.format(body=textwrap.indent(textwrap.dedent(body), '    ')))
    return str(path)


def run(*args, **options):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=60, **options)


def family(mark):
    """Processes whose environment has this."""
    found = []
    for number in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{number}/environ', 'rb') as file:
                if mark.encode() in file.read():
                    found.append(int(number))
        except OSError:
            pass
    return found


@pytest.fixture
def marked():
    mark = f'POOL_TEST_MARK={os.getpid()}-{time.monotonic()}'
    name, value = mark.split('=')
    yield {**os.environ, name: value}, lambda: family(mark)
    for pid in family(mark):
        os.kill(pid, signal.SIGKILL)


def ready_and_map(method):
    return f'''
        pool = Pool.Pool(3, start_method={method!r})
        pool.map(square, range(10))
        pool.worker_pids()
        print('ready', flush=True)
        pool.map(slow, range(20))
    '''


def on_a_terminal(args, environment, when, send):
    """Runs a program on a terminal of its own. Returns its status and what it wrote."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, *args], environment)
    output, sent, end = b'', 0, time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            output += data
        if when in output and not sent:
            time.sleep(0.2)
            os.write(fd, send)
            sent = time.monotonic()
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, output.decode(), time.monotonic() - sent


# --- ^C and other ends ---

@pytest.mark.parametrize('method', PROCESSES)
def test_one_interrupt_ends_a_program(tmp_path, marked, method):
    environment, left = marked
    path = write(tmp_path / 'program.py', ready_and_map(method))
    status, output, took = on_a_terminal([path], environment, b'ready', b'\x03')
    assert status in (130, 1, -signal.SIGINT), output
    assert took < 8
    assert output.count('Traceback') == 1 and output.rstrip().endswith('KeyboardInterrupt'), output
    until(lambda: not left())


@pytest.mark.parametrize('call', ['list(pool.imap(slow, range(20)))', 'pool.apply(slow, (1,))',
                                  'pool.apply_async(slow, (1,)).wait()', 'pool.close(); pool.join()',
                                  'pool.apply_async(slow, (1,), callback=print).get(timeout=50)',
                                  'list(pool.imap_unordered(slow, iter(range(20))))'])
def test_every_wait_can_be_interrupted(tmp_path, marked, call):
    environment, left = marked
    path = write(tmp_path / 'program.py', f'''
        pool = Pool.Pool(2, start_method='fork')
        pool.apply_async(slow, (1,))
        print('ready', flush=True)
        try:
            {call}
        except KeyboardInterrupt:
            print('interrupted', flush=True)
            pool.terminate()
            pool.join()
    ''')
    status, output, took = on_a_terminal([path], environment, b'ready', b'\x03')
    assert status == 0 and 'interrupted' in output and 'Traceback' not in output, output
    assert took < 8
    until(lambda: not left())


def test_a_manager_can_be_interrupted(tmp_path, marked):
    environment, left = marked
    path = write(tmp_path / 'program.py', '''
        with Pool.Manager(slow, size=2, start_method='fork') as pool:
            pool.put(1)
            print('ready', flush=True)
            pool.get()
    ''')
    status, output, took = on_a_terminal([path], environment, b'ready', b'\x03')
    assert status in (130, 1, -signal.SIGINT) and output.count('Traceback') == 1, output
    assert took < 8
    until(lambda: not left())


@pytest.mark.parametrize('method', PROCESSES)
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_is_killed_leaves_nobody(tmp_path, marked, method, number):
    environment, left = marked
    path = write(tmp_path / 'program.py', ready_and_map(method))
    process = subprocess.Popen([sys.executable, path], env=environment, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'ready\n'
    assert len(left()) >= 4
    process.send_signal(number)
    assert process.wait(10) == -number
    process.stdout.close()
    until(lambda: not left())


# --- ending in order ---

ENDS = {
    'with': 'with Pool.Pool(2{m}) as pool: print(pool.map(square, range(5)))',
    'joined': 'pool = Pool.Pool(2{m}); print(pool.map(square, range(5))); pool.close(); pool.join()',
    'closed': 'pool = Pool.Pool(2{m}); print(pool.map(square, range(5))); pool.close()',
    'terminated': 'pool = Pool.Pool(2{m}); print(pool.map(square, range(5))); pool.terminate()',
    'manager': 'with Pool.Manager(square, size=2{m}) as pool: print(pool.map(range(5)) and [0, 1, 4, 9, 16])',
    'executor': 'with Pool.Executor(2{m}) as pool: print(list(pool.map(square, range(5))))',
    'threads': 'with Pool.ThreadPool(2) as pool: print(pool.map(square, range(5)))',
    'imap': 'with Pool.Pool(2{m}) as pool: print(list(pool.imap(square, iter(range(5)))))',
}


@pytest.mark.parametrize('method', PROCESSES)
@pytest.mark.parametrize('end', ENDS)
# PyGObject itself makes an ImportWarning, for any namespace
@pytest.mark.parametrize('flags', [['-W', 'error', '-W', 'ignore::ImportWarning'], ['-X', 'dev', '-W', 'ignore::ImportWarning']], ids=['error', 'dev'])
def test_nothing_is_said(tmp_path, method, end, flags):
    if end == 'threads' and method != 'fork':
        method = 'fork'
    path = write(tmp_path / 'program.py', ENDS[end].replace('{m}', f', start_method={method!r}'))
    done = run(*flags, path)
    assert done.stderr == '' and done.stdout == '[0, 1, 4, 9, 16]\n' and done.returncode == 0


@pytest.mark.parametrize('method', PROCESSES)
def test_a_program_that_ends_with_its_pool_running(tmp_path, marked, method):
    environment, left = marked
    path = write(tmp_path / 'program.py', f'''
        global pool
        pool = Pool.Pool(2, start_method={method!r})
        print(pool.map(square, range(3)))
        pool.map_async(slow, range(10))
        global results
        results = pool.imap(slow, iter(range(10)))
        global ended
        ended = time.time()
    ''')
    start = time.monotonic()
    done = run(path, env=environment)
    assert done.returncode == 0 and done.stdout == '[0, 1, 4]\n' and done.stderr == ''
    assert time.monotonic() - start < 8
    until(lambda: not left())


def test_a_program_that_exits_in_the_middle(tmp_path, marked):
    environment, left = marked
    path = write(tmp_path / 'program.py', '''
        with Pool.Pool(2, start_method='fork') as pool:
            pool.map_async(slow, range(10))
            sys.exit(5)
    ''')
    done = run(path, env=environment)
    assert done.returncode == 5 and done.stderr == ''
    path = write(tmp_path / 'program.py', '''
        pool = Pool.Pool(2, start_method='fork')
        pool.map_async(slow, range(10))
        raise OSError('mine')
    ''')
    done = run(path, env=environment)
    assert done.returncode == 1 and done.stderr.count('Traceback') == 1 and 'OSError: mine' in done.stderr
    until(lambda: not left())


# --- what runs in a worker, and what does not ---

def test_hooks_of_forks_and_ends(tmp_path):
    path = write(tmp_path / 'program.py', '''
        import atexit, random
        main = os.getpid()
        def say(*what):
            sys.stdout.write(' '.join(map(str, what)) + '\\n')
            sys.stdout.flush()
        def begin():
            import multiprocessing.util
            multiprocessing.util.Finalize(None, say, args=('finalized',), exitpriority=10)
        atexit.register(lambda: say('atexit', os.getpid() == main))
        os.register_at_fork(after_in_child=lambda: say('child', os.getpid() == main))
        pool = Pool.Pool(2, begin, start_method='fork')
        pool.map(square, range(10))
        pool.worker_pids()
        pool.close()
        pool.join()
    ''')
    done = run(path)
    assert done.stderr == '' and done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines.count('finalized') == 2
    assert lines.count('atexit True') == 1 and lines.count('atexit False') == 0 and lines[-1] == 'atexit True'
    # of the zygote and each worker
    assert lines.count('child False') >= 2 and 'child True' not in lines


@pytest.mark.parametrize('method', ['forkserver', 'spawn'])
def test_finalizers_of_an_initializer(tmp_path, method):
    path = write(tmp_path / 'program.py', f'''
        with Pool.Pool(2, begin, start_method={method!r}) as pool:
            pool.map(square, range(10))
            pool.worker_pids()
            pool.close()
            pool.join()
    ''', PROGRAM.replace('def main', '''def say(what):
    sys.stdout.write(what)
    sys.stdout.flush()

def begin():
    import multiprocessing.util
    multiprocessing.util.Finalize(None, say, args=('finalized\\n',), exitpriority=10)

def main'''))
    done = run(path)
    assert done.stderr == '' and done.stdout == 'finalized\n' * 2


def test_forking_while_other_threads_are_busy():
    """A lock that a thread held would be held for ever in a child."""
    stop = threading.Event()
    lock, counts = threading.Lock(), [0] * 4

    def work(n):
        import logging
        log = logging.getLogger('tests.busy')
        while not stop.is_set():
            with lock:
                counts[n] += len(str(list(range(50))))
            log.debug('x')
            tasks.square(n)
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        start, n = time.monotonic(), 0
        while n < 50 or (n < 200 and time.monotonic() - start < 8):
            with Pool.Pool(2, start_method='fork') as pool:
                assert pool.map_async(tasks.square, range(6)).get(30) == [0, 1, 4, 9, 16, 25]
            pool.join()
            n += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert n >= 50


def test_forking_while_another_pool_calls_back():
    """Its thread has just got to Python, or leaves it, and holds a lock of the interpreter."""
    def again(_):
        if not stop.is_set():
            busy.apply_async(tasks.square, (3,), callback=again)
    stop = threading.Event()
    with Pool.Pool(1, start_method='fork') as busy:
        for _ in range(20):
            busy.apply_async(tasks.square, (2,), callback=again)
        start, n = time.monotonic(), 0
        while n < 20 or (n < 100 and time.monotonic() - start < 10):
            with Pool.Pool(2, tasks.begin, (1,), start_method='fork') as pool:
                assert pool.map_async(tasks.square, range(3)).get(30) == [0, 1, 4]
            n += 1
        stop.set()


# --- where functions come from ---

@pytest.mark.parametrize('method', ['forkserver', 'spawn'])
def test_a_script_without_a_guard(tmp_path, marked, method):
    environment, left = marked
    path = tmp_path / 'program.py'
    path.write_text(textwrap.dedent(f'''
        from gi.repository import Pool
        print('begins', flush=True)
        def square(x):
            return x * x
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map_async(square, range(5)).get(30))
    '''))
    done = run(str(path), env=environment)
    assert done.returncode != 0
    assert "if __name__ == '__main__'" in done.stderr
    assert done.stdout.count('begins') < 12
    until(lambda: not left())


@pytest.mark.parametrize('method', PROCESSES)
def test_functions_of_a_script(tmp_path, method):
    path = write(tmp_path / 'program.py', f'''
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map(square, range(5)), sys.argv[1:])
    ''')
    done = run(path, 'one', '--two')
    assert done.stderr == '' and done.stdout == "[0, 1, 4, 9, 16] ['one', '--two']\n"
    # by a name that is relative to where it was started
    done = run('program.py', 'one', '--two', cwd=tmp_path)
    assert done.stderr == '' and done.stdout == "[0, 1, 4, 9, 16] ['one', '--two']\n"


@pytest.mark.parametrize('method', PROCESSES)
def test_a_script_that_changes_its_directory(tmp_path, method):
    write(tmp_path / 'program.py', f'''
        os.chdir('/')
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map(square, range(3)), set(pool.map(where, range(4))))
    ''', PROGRAM.replace('def main', 'def where(_):\n    return os.getcwd()\n\ndef main'))
    done = run('program.py', cwd=tmp_path)
    assert done.stderr == '' and done.stdout == "[0, 1, 4] {'/'}\n"


@pytest.mark.parametrize('method', PROCESSES)
def test_functions_of_a_package(tmp_path, method):
    package = tmp_path / 'things'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / 'other.py').write_text('def cube(x):\n    return x ** 3\n')
    write(package / '__main__.py', f'''
        from .other import cube
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map(square, range(5)), pool.map(cube, range(3)))
    ''')
    done = run('-m', 'things', cwd=tmp_path)
    assert done.stderr == '' and done.stdout == '[0, 1, 4, 9, 16] [0, 1, 8]\n'


@pytest.mark.parametrize('method', PROCESSES)
def test_functions_of_a_module_that_is_run(tmp_path, method):
    write(tmp_path / 'thing.py', f'''
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map(square, range(5)))
    ''')
    done = run('-m', 'thing', cwd=tmp_path)
    assert done.stderr == '' and done.stdout == '[0, 1, 4, 9, 16]\n'


@pytest.mark.parametrize('method', PROCESSES)
@pytest.mark.parametrize('way', ['c', 'stdin'])
def test_functions_that_are_in_no_file(method, way):
    """There is no file that a fresh interpreter could read them from: cloudpickle sends them, as it does lambdas."""
    if method != 'fork':
        pytest.importorskip('cloudpickle')
    text = PROGRAM.format(body=textwrap.indent(textwrap.dedent(f'''
        with Pool.Pool(2, start_method={method!r}) as pool:
            print(pool.map(abs, [-1]), pool.map(square, range(5)))
    '''), '    '))
    done = run('-c', text) if way == 'c' else run('-', input=text)
    assert done.stderr == '' and done.stdout == '[1] [0, 1, 4, 9, 16]\n'


def test_the_working_directory_is_not_imported_from(tmp_path):
    """A file beside the data may be called anything"""
    for name in 'gi', 'json', 'pickle':
        (tmp_path / f'{name}.py').write_text('raise SystemExit("the wrong one")\n')
    program = tmp_path / 'bin'
    program.mkdir()
    path = write(program / 'program.py', '''
        with Pool.Pool(2, start_method='spawn') as pool:
            print(pool.map(square, range(5)))
    ''')
    done = run(path, cwd=tmp_path)
    assert done.stderr == '' and done.stdout == '[0, 1, 4, 9, 16]\n'


def test_what_else_is_in_no_file():
    """Classes and an initializer. What it leaves in the main module's variables is not shared with the functions."""
    done = run('-c', textwrap.dedent('''
        import os
        from gi.repository import Pool
        class Thing:
            def __init__(self, n):
                self.n = n
        def begin(n):
            os.environ['BEGUN'] = str(n)
        def get(thing):
            return thing.n, os.environ['BEGUN']
        with Pool.Pool(1, begin, (7,), start_method='spawn') as pool:
            print(pool.map(get, [Thing(1), Thing(2)]), list(pool.imap(lambda x: x.n, [Thing(3)])))
    '''))
    assert done.stderr == '' and done.stdout == "[(1, '7'), (2, '7')] [3]\n"
