#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The public headers, with every warning of the compilers of C++ that are here as an error.

    test-headers.py BUILD-DIR
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap

BUILD = pathlib.Path(sys.argv[1])
LIBRARY = pathlib.Path(__file__).resolve().parents[2] / 'libpool'
TYPES = ('PoolManager', 'PoolTask', 'PoolBlock', 'PoolCallOptions', 'PoolAsyncResult', 'PoolApplyResult', 'PoolMapResult',
         'PoolResultIterator', 'PoolStream', 'PoolWorkerInfo', 'PoolProcess')
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']
PROGRAMS = {
    'libpool.h': '''#include <libpool.h>
void use (gpointer object) {
  g_autoptr (GError) error = nullptr;
''' + ''.join(f'''
  g_autoptr ({name}) a_{name} = static_cast<{name} *> (g_object_ref (object));
  g_return_if_fail (a_{name} != nullptr);
''' for name in TYPES) + '''
  g_return_if_fail (POOL_IS_MANAGER (object) && POOL_MANAGER (object) != nullptr && POOL_ERROR != 0 && error == nullptr);
}
''',
    'libpool-backend.h': '''#include <libpool-backend.h>
void use (gpointer object) {
  g_autoptr (PoolBackend) backend = POOL_BACKEND (g_object_ref (object));
  g_return_if_fail (POOL_BACKEND_GET_CLASS (backend) != nullptr);
}
''',
    'POOL_DEFINE_TASK_MODULE': '''#include <libpool.h>
#include <gmodule.h>
POOL_DEFINE_TASK_MODULE (module)
{
  pool_task_module_add (module, "nothing", "does nothing",
                        [] (PoolTask *, GVariant *, gpointer, GError **) noexcept -> GVariant * {
                          return g_variant_new_tuple (nullptr, 0);
                        });
}
''',
}


def cflags():
    return subprocess.run(['pkg-config', '--cflags', 'gio-2.0', 'gmodule-no-export-2.0'], text=True, check=True,
                          stdout=subprocess.PIPE).stdout.split()


def add(compiler, standard, what):
    def compiles():
        if shutil.which(compiler) is None:
            raise tap.Skip(f'there is no {compiler}')
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, 'program.cc')
            source.write_text(PROGRAMS[what])
            done = subprocess.run([compiler, f'-std={standard}', *WARNINGS, '-I', LIBRARY, '-I', BUILD / 'libpool', *cflags(),
                                   '-fsyntax-only', source], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=100, check=False)
        assert done.returncode == 0, done.stdout
    compiles.__doc__ = f'{compiler} -std={standard}: {what}'
    tap.test(compiles)


for compiler in 'g++', 'clang++':
    for standard in 'c++17', 'c++20':
        for what in PROGRAMS:
            add(compiler, standard, what)

tap.main()
