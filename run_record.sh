#!/usr/bin/env bash
# Run and judge a record or a submission. Makes .venv on the first start.
#
#   ./run_record.sh                              the current record of the smoke track, three seeds, judged (any CPU)
#   ./run_record.sh short/12 [--plan|--dry|…]    a record: replay it
#   ./run_record.sh submissions/<slug> [--runs N] a submission: run what is missing of its runs, judge all of them
#   ./run_record.sh short                        a track: run its current record and judge it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./setup_env.sh
setup_env train

exec .venv/bin/python -m harness.run_record "$@"
