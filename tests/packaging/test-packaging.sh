#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the build into a temporary place and uses it as a stranger would: with pkg-config, the installed
# headers, library, backends and task modules, and nothing of the build directory.

set -euo pipefail
source=$1 build=$2 prefix=$3 bindir=$4 libdir=$5 libexecdir=$6 includedir=$7 datadir=$8
with_gir=$9 with_vapi=${10} overrides=${11:-} gjs=${12:-}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
dest=$tmp/dest
n=0
status=0

report ()
{
  n=$((n + 1))
  if [[ $1 == ok ]]; then
    echo "ok $n $2"
  else
    echo "not ok $n $2"
    status=1
  fi
}

# check NAME COMMAND...: one result; what the command prints goes to the log.
check ()
{
  local name=$1
  shift
  if ("$@") > "$tmp/log" 2>&1; then
    report ok "$name"
  else
    sed 's/^/# /' "$tmp/log"
    report failed "$name"
  fi
}

# The environment of the tests points into the build; here the installed files must do.
export PKG_CONFIG_PATH=$tmp/pc
unset LD_LIBRARY_PATH POOL_BACKEND_PATH POOL_TASK_PATH POOL_WORKER GI_TYPELIB_PATH

# The headers that a program gets, from the two that it may include.
headers_are_installed ()
{
  local header wanted missing=0

  mapfile -t wanted < <(
    printf 'libpool.h\nlibpool-backend.h\n'
    sed -n 's/^#include "\(.*\)"$/\1/p' "$source"/libpool/libpool.h "$source"/libpool/libpool-backend.h
  )
  for header in "${wanted[@]}"; do
    [[ -f $dest$includedir/libpool-1/$header ]] || { echo "missing: $header"; missing=1; }
  done
  ! find "$dest$includedir" -name '*-private.h' | grep . || missing=1
  return "$missing"
}

files_are_installed ()
{
  local file missing=0

  for file in "$@"; do
    [[ -s $dest$file ]] || { echo "missing: $file"; missing=1; }
  done
  return "$missing"
}

pc_file_is_right ()
{
  local pc=$dest$libdir/pkgconfig/libpool-1.pc

  grep -qx "prefix=$prefix" "$pc" || { cat "$pc"; return 1; }
  ! grep -F "$build" "$pc"
}

# As installed for good: the same file, with its prefix where the files lie now.
use_pc_file ()
{
  mkdir -p "$tmp/pc"
  sed "s|^prefix=.*|prefix=$dest$prefix|" "$dest$libdir/pkgconfig/libpool-1.pc" > "$tmp/pc/libpool-1.pc"
  pkg-config --exists --print-errors libpool-1
}

compile ()
{
  local flags

  flags=$(pkg-config --cflags --libs libpool-1) || return 1
  # shellcheck disable=SC2086
  timeout 60 "${CC:-cc}" -Wall -Werror -o "$tmp/square" "$source/examples/square.c" $flags -lm
}

only_one_header_may_be_included ()
{
  local flags

  flags=$(pkg-config --cflags libpool-1) || return 1
  printf '#include <pool-manager.h>\n' > "$tmp/one.c"
  # shellcheck disable=SC2086
  ! timeout 60 "${CC:-cc}" -fsyntax-only $flags "$tmp/one.c" || return 1
  printf '#include <libpool.h>\n#include <libpool-backend.h>\n' > "$tmp/both.c"
  # shellcheck disable=SC2086
  timeout 60 "${CC:-cc}" -fsyntax-only $flags "$tmp/both.c"
}

# A program of tasks of its own; where workers do not have those, one that names those of modules.
program_for ()
{
  if [[ $1 == zmq || $1 == mpi ]]; then
    printf '%s\n' "$dest$bindir/pool" map -b "$1" checksum.sha256 "$source/LICENSE"
  else
    printf '%s\n' "$tmp/square" "$1"
  fi
}

output_of ()
{
  if [[ $1 == zmq || $1 == mpi ]]; then
    sha256sum "$source/LICENSE"
  else
    cat "$source/examples/expected/square.txt"
  fi
}

run_with_paths ()
{
  local program

  export LD_LIBRARY_PATH=$dest$libdir POOL_WORKER=$dest$libexecdir/pool-worker
  export POOL_BACKEND_PATH=$dest$libdir/libpool-1/backends POOL_TASK_PATH=$dest$libdir/libpool-1/tasks
  mapfile -t program < <(program_for "$1")
  timeout 60 "${program[@]}" | diff <(output_of "$1") -
}

# With the files mounted where they belong nothing has to tell where they are.
run_in_place ()
{
  local program

  mapfile -t program < <(program_for "$1")
  timeout 60 unshare --mount --map-root-user sh -c '
    mkdir -p "$2" && mount --bind "$1" "$2" && export LD_LIBRARY_PATH=$3 && shift 3 && exec "$@"
  ' sh "$dest$prefix" "$prefix" "$libdir" "${program[@]}" | diff <(output_of "$1") -
}

can_mount ()
{
  unshare --mount --map-root-user sh -c 'mkdir -p "$2" && mount --bind "$1" "$2"' sh "$dest$prefix" "$prefix"
}

typelib_loads ()
{
  LD_LIBRARY_PATH=$dest$libdir GI_TYPELIB_PATH=$dest$libdir/girepository-1.0 timeout 60 /usr/bin/python3 -c '
import gi
gi.require_version("Pool", "1")
from gi.repository import Pool
print(Pool.cpu_count())
'
}

# A stranger's program: from where the override is installed, and from nowhere else.
python_runs ()
{
  local site=$dest${overrides%/gi/overrides}

  export LD_LIBRARY_PATH=$dest$libdir GI_TYPELIB_PATH=$dest$libdir/girepository-1.0
  export POOL_BACKEND_PATH=$dest$libdir/libpool-1/backends POOL_WORKER=$dest$libexecdir/pool-worker
  export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1
  cat > "$tmp/program.py" << 'EOF'
import sys

from gi.repository import Pool


def module_of_pool(x):
    return sys.modules['gi.overrides.Pool'].__file__


if __name__ == '__main__':
    with Pool.Pool(2, start_method=sys.argv[1]) as pool:
        files = set(pool.map(module_of_pool, range(4)))
        assert files == {module_of_pool(0)}, files
        assert files.pop() == sys.argv[2], files
        assert pool.map(abs, [-1, 2]) == [1, 2]
EOF
  cd /
  timeout 60 /usr/bin/python3 "$tmp/program.py" "$1" "$dest$overrides/Pool.py"
}

# Each file of the sources, and nothing that an interpreter made of them.
override_is_complete ()
{
  diff -r --exclude=__pycache__ "$source/bindings/python/gi/overrides" "$dest$overrides" || return 1
  diff -r "$source/bindings/python/gi-stubs" "$dest${overrides%/gi/overrides}/gi-stubs" || return 1
  ! find "$dest$overrides" -name '*.pyc' | grep .
}

# Where PyGObject looks for overrides, if Python looks anywhere below the prefix.
override_is_found ()
{
  /usr/bin/python3 -c '
import site, sys
below = [path for path in site.getsitepackages() if path.startswith(sys.argv[1] + "/lib")]
sys.exit(below and sys.argv[2] not in below and f"{sys.argv[2]} is none of {below}")
' "$prefix" "${overrides%/gi/overrides}"
}

# Where GJS looks below its data directories.
gjs_runs ()
{
  export LD_LIBRARY_PATH=$dest$libdir GI_TYPELIB_PATH=$dest$libdir/girepository-1.0
  export POOL_BACKEND_PATH=$dest$libdir/libpool-1/backends POOL_WORKER=$dest$libexecdir/pool-worker
  export XDG_DATA_DIRS=$dest$datadir:/usr/share
  unset GJS_PATH
  cat > "$tmp/program.js" << 'EOF'
import Pool from 'gi://Pool?version=1';

export function fileOfPool() {
    return imports.overrides.Pool.__file__;
}

if (!Pool.isWorker) {
    const pool = new Pool.Manager({module: import.meta.url, processes: 2});
    print(await pool.apply('fileOfPool'));
    pool.close();
    await pool.join();
}
EOF
  cd /
  [[ $(timeout 60 "$gjs" -m "$tmp/program.js") == "$dest$datadir/gjs-1.0/overrides/Pool.js" ]]
}

gjs_override_is_complete ()
{
  diff -r "$source/bindings/gjs/overrides" "$dest$datadir/gjs-1.0/overrides"
}

cli_runs ()
{
  export LD_LIBRARY_PATH=$dest$libdir
  export POOL_BACKEND_PATH=$dest$libdir/libpool-1/backends POOL_TASK_PATH=$dest$libdir/libpool-1/tasks
  [[ $(timeout 60 "$dest$bindir/pool" map checksum.sha256 "$source/LICENSE") \
    == *"$(sha256sum < "$source/LICENSE" | cut -d ' ' -f 1)"* ]]
}

export DESTDIR=$dest
check "meson install" timeout 120 meson install -C "$build" --no-rebuild --quiet
unset DESTDIR
check "every public header is installed, no private one" headers_are_installed
check "library, pkg-config file, helper and command are installed" files_are_installed \
  "$libdir/libpool-1.so" "$libdir/libpool-1.so.0" "$libdir/pkgconfig/libpool-1.pc" \
  "$libexecdir/pool-worker" "$bindir/pool"
check "task modules are installed" files_are_installed \
  "$libdir"/libpool-1/tasks/pool-task-{checksum,debug,exec,text}.so
if [[ $with_gir == gir ]]; then
  check "introspection data are installed" files_are_installed \
    "$datadir/gir-1.0/Pool-1.gir" "$libdir/girepository-1.0/Pool-1.typelib"
  check "the installed typelib loads" typelib_loads
fi
if [[ $with_gir == gir && -n $overrides ]]; then
  check "the Python override and its types are installed" override_is_complete
  check "the Python override is where Python looks" override_is_found
  for method in fork forkserver spawn; do
    check "a Python program runs a pool, start method $method" python_runs "$method"
  done
fi
if [[ -n $gjs ]]; then
  check "the override of GJS is installed" gjs_override_is_complete
  check "a JavaScript program runs a pool" gjs_runs
fi
if [[ $with_vapi == vapi ]]; then
  check "the Vala binding is installed" files_are_installed "$datadir/vala/vapi/libpool-1.vapi"
fi
check "the pkg-config file names the prefix and nothing of the build" pc_file_is_right
check "pkg-config finds the library" use_pc_file
check "a program compiles against what is installed" compile
check "headers can only be included through libpool.h" only_one_header_may_be_included
for file in "$dest$libdir"/libpool-1/backends/libpool-backend-*.so; do
  backend=${file##*/libpool-backend-}
  backend=${backend%.so}
  # its workers are a service's, which a bus starts: that has tests of its own
  if [[ $backend == dbus ]]; then
    check "the service on D-Bus is installed" files_are_installed "$libexecdir/pool-service" \
      "$datadir"/dbus-1/{services,system-services}/org.libpool.Service1.service \
      "$datadir"/dbus-1/interfaces/org.libpool.Service1{,.Pool,.Job}.xml "$datadir/dbus-1/system.d/org.libpool.Service1.conf" \
      "$datadir/polkit-1/actions/org.libpool.Service1.policy" "$prefix/lib/systemd/user/pool-service.service" \
      "$prefix/lib/systemd/system/pool-service-system.service" "$datadir/man/man8/pool-service.8"
    continue
  fi
  check "the program runs with the installed $backend backend" run_with_paths "$backend"
  # needs the right to mount in a namespace of its own, which containers may not give
  if can_mount 2> /dev/null; then
    check "the installed $backend backend is found without being told" run_in_place "$backend"
  fi
done
check "the installed command runs" cli_runs
echo "1..$n"
exit $status
