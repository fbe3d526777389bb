#!/usr/bin/env bash
# Every check of the project, in one command, on a machine where nothing was prepared: Debian 12, root or sudo, network.
#
#   bash tests/run.sh [PYTEST ARGUMENT...]
#
# PYTHON chooses the interpreter (python3 by default), PUSHD_TEST_PROCESSES how many run tests side by side (2). What is
# fetched or built is kept in ${XDG_CACHE_HOME:-~/.cache}/pushd-tests; a second run starts in seconds.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/prepare.sh
export PUSHD_TEST_REQUIRE=1

scripts=(tests/run.sh tests/prepare.sh tests/benchmarks/run.sh .ci/run deploy/provision.sh deploy/quickstart.sh deploy/install.sh deploy/release.sh deploy/databases.sh)

# Every check is made even when one before it failed: a run tells all there is to mend.
failed=()
check() {
    "$@" || failed+=("$1")
}

heading "Lint"
check ruff check .
check ruff format --check .
check shellcheck --external-sources "${scripts[@]}"

heading "Types"
check mypy pushd tests deploy

heading "Imports"
check lint-imports --no-logo

heading "Tests"
[ ${#failed[@]} = 0 ] || printf 'whatever the tests say, this failed already: %s\n' "${failed[*]}"
status=0
pytest --cov --cov-branch --numprocesses "${PUSHD_TEST_PROCESSES:-2}" --dist loadfile "$@" || status=$?
[ ${#failed[@]} = 0 ] || [ "$status" != 0 ] || status=1
exit "$status"
