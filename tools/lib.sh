# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
#
# What quickstart, check and .ci/run share: packages, configuring, building, and the job that hashes
# real files. To be sourced, after `set -euo pipefail`.

pool_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a build needs on Debian 12.
pool_build_packages=(
  binutils coreutils findutils gcc gobject-introspection grep libc6-dev libdbus-1-dev libgcrypt20-dev
  libgirepository1.0-dev libglib2.0-dev libjson-glib-dev libopenmpi-dev libseccomp-dev libsqlite3-dev libzmq3-dev meson
  ninja-build pkg-config python3 valac
)
# What the tests need on top of it.
pool_test_packages=(
  clang dbus dbus-broker file g++ gdb gi-docgen gir1.2-glib-2.0 gjs groff-base iproute2 libclang-rt-14-dev
  libglib2.0-bin libgtest-dev libmpich-dev libpython3.11-testsuite libsysprof-4-dev lua-lgi lua5.3 make mpich munge mypy
  openmpi-bin openssh-client procps python3-billiard python3-cloudpickle python3-dbus python3-gi python3-joblib
  python3-mpi4py python3-numpy python3-pil python3-prometheus-client python3-pytest slurm-wlm spin strace systemd
  valgrind
)

pool_say ()
{
  printf '==> %s\n' "$*" >&2
}

pool_die ()
{
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints those of the named packages that are not installed, one per line.
pool_missing_packages ()
{
  local installed package

  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2> /dev/null || true)
  for package in "$@"; do
    grep -qxF "installed $package" <<< "$installed" || printf '%s\n' "$package"
  done
}

# Installs what is missing, asking nothing; does not call apt when nothing is.
pool_need_packages ()
{
  local missing=() as_root=() apt

  if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    pool_say "this is no Debian: install what these packages hold by hand: $*"
    return 0
  fi
  mapfile -t missing < <(pool_missing_packages "$@")
  ((${#missing[@]})) || return 0

  if ((EUID != 0)); then
    if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
      as_root=(sudo -n)
    else
      pool_die "packages are missing, and neither root nor sudo without a password is at hand." \
        "As root, run: apt-get install --no-install-recommends ${missing[*]}"
    fi
  fi

  pool_say "installing ${missing[*]}"
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout -k 10 1800 apt-get -q -y
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
  "${apt[@]}" update < /dev/null >&2 || pool_die "apt-get update failed: is the network there?"
  "${apt[@]}" install --no-install-recommends "${missing[@]}" < /dev/null >&2 \
    || pool_die "apt-get could not install: ${missing[*]}"
}

# pool_configure DIR [OPTION...]: does nothing when DIR is configured already.
pool_configure ()
{
  local dir=$1
  shift

  [[ -f $dir/build.ninja ]] && return 0
  pool_say "configuring $dir"
  timeout -k 10 600 meson setup "$dir" "$pool_root" "$@" >&2
}

# pool_build DIR: quiet while nothing fails.
pool_build ()
{
  pool_say "building $1"
  timeout -k 10 1800 ninja -C "$1" >&2
}

# Makes the name of a build directory absolute: everything runs from the top of the project.
pool_build_dir ()
{
  local dir=${BUILD_DIR:-build}

  [[ $dir == /* ]] || dir=$pool_root/$dir
  printf '%s\n' "$dir"
}

# pool_in_env DIR PROGRAM [ARGUMENT...]: runs a program of the build as if it were installed.
pool_in_env ()
{
  local dir=$1
  shift

  timeout -k 10 300 meson devenv -C "$dir" "$@"
}

# Real files of this machine, one per line: at most $1 from each directory, none with an odd name.
pool_real_files ()
{
  local dir

  for dir in /usr/bin /usr/lib; do
    { find "$dir" -xdev -type f -readable -size +0 -size -4096k -print0 2> /dev/null || true; } \
      | LC_ALL=C grep -zE '^[[:alnum:]/_.+-]+$' | LC_ALL=C sort -z | sed -zn "1,$1p" | tr '\0' '\n'
  done
}

# pool_hash_job DIR N: hashes up to 2 N real files in the workers of a fork pool, shows some digests
# and proves that all of them are those of sha256sum.
pool_hash_job ()
(
  dir=$1 each=$2
  export LC_ALL=C
  tmp=$(mktemp -d) || exit 1
  trap 'rm -rf "$tmp"' EXIT

  mapfile -t files < <(pool_real_files "$each")
  n=${#files[@]}
  ((n > 0)) || pool_die "no file to hash under /usr/bin and /usr/lib"

  pool_say "pool map -b fork --keep-order checksum.sha256, $n files"
  pool_in_env "$dir" "$dir/tools/pool" map -b fork --keep-order checksum.sha256 "${files[@]}" > "$tmp/pool" \
    || pool_die "pool map ended with status $?"
  timeout -k 10 300 sha256sum -- "${files[@]}" > "$tmp/sha256sum" || pool_die "sha256sum failed"

  sed -n '1,3p' "$tmp/pool"
  ((n <= 6)) || { printf '...\n'; sed -n "$((n - 2)),\$p" "$tmp/pool"; }
  equal=$(comm -12 <(sort "$tmp/pool") <(sort "$tmp/sha256sum") | wc -l)
  printf "%s of %s digests equal sha256sum's\n" "$equal" "$n"
  if ! cmp -s "$tmp/pool" "$tmp/sha256sum"; then
    diff "$tmp/sha256sum" "$tmp/pool" | sed -n '1,20p' >&2
    exit 1
  fi
)
