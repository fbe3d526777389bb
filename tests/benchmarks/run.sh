#!/usr/bin/env bash
# pushd measured beside crane and skopeo, in one command, on a machine where nothing was prepared: Debian 12, root or
# sudo, network. Takes a quarter of an hour, and a machine that does nothing else.
#
#   bash tests/benchmarks/run.sh [ARGUMENT...]
#
# `--help` lists the arguments. What is prepared is the same as for tests/run.sh.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/prepare.sh

heading "Benchmarks"
exec python -m tests.benchmarks "$@"
