#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# build-and-run.sh make|meson BUILD-DIR EXPECTED-FILE: builds a copy of this folder against the library in
# BUILD-DIR, which need not be installed, and runs the program.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tool=$1 build=$2 expected=$3

if ! command -v "$tool" > /dev/null || ! command -v pkg-config > /dev/null; then
  echo "$tool or pkg-config is not installed"
  exit 77
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/source"
cp "$here"/{Makefile,meson.build,*.c} "$tmp/source"
cd "$tmp/source"
export PKG_CONFIG_PATH=$build/meson-uninstalled${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
out=$PWD

if [[ $tool == make ]]; then
  timeout 60 make CFLAGS='-O2 -g -Wall -Werror'
else
  out=$tmp/out
  timeout 60 meson setup -Dwerror=true "$out" .
  timeout 60 ninja -C "$out"
fi

export POOL_TASK_PATH=$out
for backend in fork threads; do
  timeout 60 "$out/use-primes" "$backend" | diff "$expected" -
done
