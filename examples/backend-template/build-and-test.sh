#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# build-and-test.sh SOURCE-DIR BUILD-DIR PREFIX LIBDIR LIBEXECDIR CONFORMANCE-TEST MODULE-DIR: installs the build into a
# temporary place, builds a copy of this folder against what is installed there, as its users do, and runs the tests that
# every backend has to pass.

set -euo pipefail
here=$1 build=$2 prefix=$3 libdir=$4 libexecdir=$5 conformance=$6 modules=$7

if ! command -v meson > /dev/null || ! command -v pkg-config > /dev/null; then
  echo "1..0 # SKIP meson or pkg-config is not installed"
  exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
dest=$tmp/dest
DESTDIR=$dest timeout 120 meson install -C "$build" --no-rebuild --quiet >&2
mkdir "$tmp/pc" "$tmp/source"
sed "s|^prefix=.*|prefix=$dest$prefix|" "$dest$libdir/pkgconfig/libpool-1.pc" > "$tmp/pc/libpool-1.pc"
cp "$here"/{meson.build,*.c} "$tmp/source"

unset POOL_TASK_PATH
export PKG_CONFIG_PATH=$tmp/pc LD_LIBRARY_PATH=$dest$libdir POOL_WORKER=$dest$libexecdir/pool-worker
timeout 60 meson setup -Dwerror=true -Dwarning_level=3 "$tmp/out" "$tmp/source" >&2
timeout 60 ninja -C "$tmp/out" >&2
DESTDIR=$tmp/module timeout 60 meson install -C "$tmp/out" --no-rebuild --quiet >&2
module=$(find "$tmp/module" -name libpool-backend-template.so)
[[ $module == "$tmp/module$dest$libdir/libpool-1/backends/libpool-backend-template.so" ]] || { echo "Bail out! it is installed as $module"; exit 1; }

# the module is the only backend that is not among the installed ones
export POOL_BACKEND_PATH=${module%/*}:$dest$libdir/libpool-1/backends
export POOL_TASK_PATH=$modules:$dest$libdir/libpool-1/tasks POOL_TEST_BACKEND=template
"$conformance" --tap
