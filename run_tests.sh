#!/usr/bin/env bash
# Lint, types, the board's currency and all tests, in the environment of run_record.sh plus the test extra.
#
#   ./run_tests.sh [--quick] [pytest arguments]
#
# --quick: lint, types and the tests marked quick, two minutes of CPU time instead of thirteen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./setup_env.sh
setup_env train test cluster

[ "${1:-}" != --quick ] || set -- -m quick "${@:2}"

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Two workers: the tests start real runs of two ranks each. loadfile keeps the tests of one file together,
# and without reordering the files of real runs, which have few tests and take longest, are not started last.
exec env OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n "${SPEEDRUN_TEST_WORKERS:-2}" --dist loadfile --no-loadscope-reorder "$@"
