#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-hash-job.sh BUILD-DIR: the job of tools/quickstart, on a few files.

set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

pool_hash_job "$1" 20
