#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The types that gi-stubs gives are those of the module: each name, method, parameter and default.

    test-stubs.py GI-STUBS-DIR
"""

import ast
import importlib
import inspect
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

import tap

import gi

gi.require_version('Pool', '1')
from gi.repository import Pool  # noqa: E402

STUBS = pathlib.Path(sys.argv[1])
TREE = ast.parse((STUBS / 'repository' / 'Pool.pyi').read_text(encoding='utf-8'))
ALL = importlib.import_module('gi.overrides.Pool').__all__
FUNCTION = ast.FunctionDef, ast.AsyncFunctionDef


def names_of(body):
    """What a module or class of the stub declares, by name; of overloads the last."""
    found = {}
    for node in body:
        if isinstance(node, (*FUNCTION, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname: node for alias in node.names if alias.asname})
    return found


DECLARED = names_of(TREE.body)
ENUMS = ['State', 'Error', 'StartMethod', 'Sandbox', 'WorkerState', 'DownReason', 'HistogramKind', 'SandboxFlags']


def declared_parameters(node):
    arguments = node.args
    found = []
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    for index, one in enumerate(positional):
        kind = 'positional' if index < len(arguments.posonlyargs) else 'any'
        found.append((kind, one.arg, index >= first_default))
    if arguments.vararg:
        found.append(('*', arguments.vararg.arg, False))
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        found.append(('keyword', one.arg, default is not None))
    if arguments.kwarg:
        found.append(('**', arguments.kwarg.arg, False))
    return found


KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: 'positional',
    inspect.Parameter.POSITIONAL_OR_KEYWORD: 'any',
    inspect.Parameter.VAR_POSITIONAL: '*',
    inspect.Parameter.KEYWORD_ONLY: 'keyword',
    inspect.Parameter.VAR_KEYWORD: '**',
}


def real_parameters(function):
    return [(KINDS[one.kind], one.name, one.default is not one.empty)
            for one in inspect.signature(function).parameters.values() if not one.name.startswith('_')]


def compare_function(name, node, function):
    declared, real = declared_parameters(node), real_parameters(function)
    return [] if declared == real else [f'{name}: the stub has {declared}, the module {real}']


def own_members(cls):
    """Public ones, and how it is made, that this project wrote."""
    for name, member in vars(cls).items():
        if name in ('__init__', '__new__', '__getitem__', '__next__', '__anext__') or not name.startswith('_'):
            yield name, member


def compare_class(name, node, cls):
    wrong = []
    declared = names_of(node.body)
    inherited = {}
    for base in node.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(base, ast.Name) and isinstance(DECLARED.get(base.id), ast.ClassDef):
            inherited.update(names_of(DECLARED[base.id].body))
    for member_name, member in own_members(cls):
        full = f'{name}.{member_name}'
        if member_name not in declared:
            if member_name not in inherited:
                wrong.append(f'{full} is not in the stub')
            continue
        member_node = declared[member_name]
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if isinstance(member, property):
            if not (isinstance(member_node, FUNCTION) and member_node.decorator_list or
                    isinstance(member_node, ast.AnnAssign)):
                wrong.append(f'{full} is a property')
        elif inspect.isfunction(member) and isinstance(member_node, FUNCTION):
            wrong += compare_function(full, member_node, member)
        elif inspect.iscoroutinefunction(member) != isinstance(member_node, ast.AsyncFunctionDef):
            wrong.append(f'{full} is a coroutine in one of them')
    wrong += [f'{name}.{member_name} is in the stub only' for member_name, member_node in declared.items()
              if isinstance(member_node, FUNCTION) and not hasattr(cls, member_name)]
    return wrong


def none(problems):
    assert not problems, '\n' + '\n'.join(problems)


@tap.test
def every_name_of_the_module_is_in_the_stub():
    none([name for name in ALL if name not in DECLARED])


@tap.test
def every_name_in_the_stub_is_in_the_module():
    none([name for name in DECLARED if not name.startswith('_') and not hasattr(Pool, name)])


@tap.test
def classes_have_the_same_members_and_parameters():
    compared, wrong = 0, []
    for name in ALL:
        node, real = DECLARED[name], getattr(Pool, name)
        if isinstance(node, ast.ClassDef):
            assert inspect.isclass(real), f'{name} is no class'
            compared += 1
            wrong += compare_class(name, node, real)
    assert compared > 20, compared
    none(wrong)


@tap.test
def functions_have_the_same_parameters():
    none([problem for name in ALL if isinstance(DECLARED[name], FUNCTION)
          for problem in compare_function(name, DECLARED[name], getattr(Pool, name))])


@tap.test
def classes_have_the_same_bases():
    wrong = []
    for name in ALL:
        node, real = DECLARED[name], getattr(Pool, name)
        if not isinstance(node, ast.ClassDef):
            continue
        declared = [ast.unparse(base).split('[')[0].rpartition('.')[2] for base in node.bases]
        names = {one.__name__ for one in real.__mro__}
        wrong += [f'{name} is no {base}' for base in declared if base not in names | {'Generic'}]
    none(wrong)


@tap.test
def enumerations_have_the_same_members():
    for name in ENUMS:
        declared = set(names_of(DECLARED[name].body))
        real = {member for member in vars(getattr(Pool, name)) if member.isupper()}
        assert declared == real, f'{name}: {declared ^ real}'


# --- a type checker ---

GOOD = '''
import logging

from gi.repository import GLib, Pool


class Scale(Pool.PoolProcess):
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def run(self, x: int) -> int:
        return x * self.factor


def text(x: int) -> str:
    return str(x)


def add(a: int, b: int) -> int:
    return a + b


def told(names: list[str]) -> None:
    print(names)


def up(worker: Pool.WorkerInfo) -> None:
    print(worker + 0, worker.info.get_state() == Pool.WorkerState.IDLE)


def use(pool: Pool.Pool) -> int:
    names: list[str] = pool.map(text, range(3))
    mapped: Pool.MapResult[str] = pool.map_async(text, [1], callback=told)
    one: str = mapped[0]
    total: int = sum(pool.starmap(add, [(1, 2), (3, 4)]))
    for name in pool.imap_unordered(text, [1, 2], chunksize=2):
        one = name.upper()
    print(names, one, pool.apply(add, (1,), {'b': 2}))
    result = pool.apply_async(add, (1, 2), timeout=3, error_callback=print)
    try:
        return total + result.get(timeout=1)
    except (Pool.TimeoutError, Pool.WorkerLostError, Pool.SoftTimeLimitExceeded) as error:
        print(error)
    except Pool.PoolError as error:
        return -1 if error.code == Pool.Error.BACKEND else 0
    return 0


async def wait(pool: Pool.Pool) -> str:
    async for name in pool.imap(text, [1]):
        print(name.upper())
    return await pool.apply_async(text, (1,))


with Pool.Pool(2, None, (), 10, on_process_up=up, start_method='spawn', sandbox='strict') as made:
    use(made)
use(Pool.ThreadPool(2))
with Pool.Manager(Scale, static_args=[3], logger=logging.getLogger('x')) as manager:
    manager.put(1, block=False)
with Pool.Manager(text, size=2) as texts:
    first: str = texts.get(timeout=1)
with Pool.Executor(2) as executor:
    print(executor.submit(add, 1, b=2).result() + 1, sum(executor.map(add, [1], [2], chunksize=2)))
task = Pool.current_task()
if task is not None:
    task.set_progress(0.5)
print(Pool.shared([1]).value[0] + Pool.cpu_count(), Pool.State.RUN.value_nick, GLib.get_prgname())
'''

BAD = '''
from gi.repository import Pool


def text(x: int) -> str:
    return str(x)


pool = Pool.Pool('2')  # [arg-type]
pool.map(text, ['a'])  # [arg-type]
pool.map(text)  # [call-arg]
numbers: list[int] = pool.map(text, [1])  # [arg-type]
number: int = pool.apply_async(text, (1,)).get()  # [assignment]
pool.apply_async(text, (1,), time_out=3)  # [call-arg]
pool.imap_everything(text, [1])  # [attr-defined]
Pool.Pool(start_method='frok')  # [arg-type]
Pool.Poool(2)  # [attr-defined]
Pool.current_task().set_progress(1)  # [union-attr]
'''


def run_mypy(program):
    """Checks a program where the stubs are installed."""
    mypy = shutil.which('mypy')
    if mypy is None:
        raise tap.Skip('mypy is not installed')
    with tempfile.TemporaryDirectory() as tmp:
        venv.create(f'{tmp}/env', system_site_packages=True, symlinks=True)
        site = next(pathlib.Path(tmp, 'env', 'lib').glob('python*')) / 'site-packages'
        shutil.copytree(STUBS, site / 'gi-stubs')
        path = pathlib.Path(tmp, 'program.py')
        path.write_text(program, encoding='utf-8')
        done = subprocess.run([mypy, '--strict', '--no-incremental', '--show-error-codes', '--no-error-summary',
                               '--python-executable', f'{tmp}/env/bin/python', 'program.py'],
                              cwd=tmp, text=True, check=False, timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@tap.test
def a_type_checker_accepts_what_is_right():
    status, output = run_mypy(GOOD)
    assert status == 0, '\n' + output


@tap.test
def a_type_checker_refuses_what_is_wrong():
    status, output = run_mypy(BAD)
    assert status == 1, '\n' + output
    expected = [(number, line.rpartition('# ')[2]) for number, line in enumerate(BAD.splitlines(), 1) if '# [' in line]
    found = []
    for line in output.splitlines():
        path, number, kind, *_ = line.split(':', 3)
        if kind.strip() == 'error':
            found.append((int(number), line[line.rindex('['):]))
    assert sorted(set(found)) == expected, f'\n{output}'


tap.main()
